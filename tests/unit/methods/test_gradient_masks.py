"""Masks: the statistics of gradients, what is chosen by them, and that what is held does not move."""

from itertools import pairwise

import pytest
import torch
from naive import logp
from stand_in import FILLER, FORGET, VOCABULARY, Table, batch
from torch import nn

from unlearn.forwards import View
from unlearn.masks import HardMask, gradient_sums, largest, saliency
from unlearn.methods.base import REGISTRY
from unlearn.methods.mmunlearner import matters_more

MEANS = {row.name: len(row.ids) - row.prompt for row in FORGET}


def random_values(kind):
    """Three tensors >= 0 with ties and zeros among them."""
    generator = torch.Generator().manual_seed(3)
    values = [torch.randint(0, 9, shape, generator=generator).to(kind) / 7e5 for shape in ((4, 5), (7,), (2, 2, 3))]
    values[1] *= 1e12
    return values


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5, 0.9, 0.999])
def test_the_largest_share_is_that_of_a_sorted_list(share, kind):
    values = random_values(kind)
    ranked = sorted((x for v in values for x in v.flatten().tolist()), reverse=True)
    count = int(share * len(ranked))
    for v, mask in zip(values, largest(values, share), strict=True):
        wanted = [x > 0 and count > 0 and x >= ranked[count - 1] for x in v.flatten().tolist()]
        assert mask.shape == v.shape
        assert mask.flatten().tolist() == wanted


def test_zeros_are_never_among_the_largest_unless_all_are_asked_for():
    values = [torch.tensor([0.0, 2.0, 0.0, 0.0])]
    assert largest(values, 0.75)[0].tolist() == [False, True, False, False]
    assert largest(values, 1.0)[0].tolist() == [True] * 4


def slopes_by_differences(row, size=1e-5):
    """[V, V] the gradient of the sum of a row's cross-entropies, by differences of plain Python's."""
    table, out = Table(1), torch.zeros(VOCABULARY, VOCABULARY, dtype=torch.float64)
    for i in range(VOCABULARY):
        for j in range(VOCABULARY):
            ends = []
            for step in (size, -size):
                moved = Table(1)
                moved.weight.data = table.weight.data.clone()
                moved.weight.data[i, j] += step
                ends.append(-logp(moved, row))
            out[i, j] = (ends[0] - ends[1]) / (2 * size)
    return out


def statistic(table, squares, make=lambda row: batch([row])):
    views = [View(make(row), table) for row in FORGET]
    return gradient_sums(views, [table.weight], squares)


def test_statistics_against_plain_python():
    slopes = {row.name: slopes_by_differences(row) for row in FORGET}
    (total,), reached = statistic(Table(1), squares=False)
    torch.testing.assert_close(total, sum(slopes.values()), atol=1e-8, rtol=1e-7)
    (squares,), _ = statistic(Table(1), squares=True)
    wanted = sum((slope / MEANS[name]) ** 2 for name, slope in slopes.items())
    torch.testing.assert_close(squares, wanted, atol=1e-8, rtol=1e-6)
    assert reached.tolist() == [2]


def test_derived_numbers_of_statistics():
    """With a table of zeros every token has probability 1/11, and layers add nothing to the first order.

    So at token 2, which predicts 3, the slope is 1/11 - [v = 3]; the second row's answer is a mean over 3 tokens.
    """
    table = Table(1)
    table.weight.data.zero_()
    (total,), _ = statistic(table, squares=False)
    (squares,), _ = statistic(table, squares=True)
    pairs = {(2, 3): 2, (3, 4): 2, (5, 9): 3, (9, 8): 3, (8, 7): 3}
    for (token, target), length in pairs.items():
        assert total[token, target].item() == pytest.approx(-10 / 11)
        assert total[token, 0].item() == pytest.approx(1 / 11)
        assert squares[token, target].item() == pytest.approx((10 / 11 / length) ** 2)
    assert set(total.nonzero()[:, 0].tolist()) == {token for token, _ in pairs}
    (mask,) = saliency(5 / 121 + 1e-9).choose([[total.abs()]])
    assert {tuple(place) for place in mask.nonzero().tolist()} == set(pairs)


@pytest.mark.parametrize("squares", [False, True])
def test_dummy_rows_and_padding_change_no_statistic(squares):
    plain, _ = statistic(Table(1), squares)
    padded, reached = statistic(Table(1), squares, lambda row: batch([row], side="left", dummies=[FILLER]))
    torch.testing.assert_close(padded, plain, rtol=1e-12, atol=1e-14)
    assert reached.tolist() == [2]
    table = Table(1)
    nothing = [View(batch([], dummies=[FILLER]), table)]
    (total,), reached = gradient_sums(nothing, [table.weight], squares)
    assert not total.any()
    assert reached.tolist() == [0]


def test_a_mean_is_over_the_samples_that_reach_a_tensor():
    class Sees(Table):
        """Only samples that hold token 9 reach `other`."""

        def __init__(self):
            super().__init__(1)
            self.other = nn.Parameter(torch.ones(1, dtype=torch.float64))
            self.idle = nn.Parameter(torch.ones(3, dtype=torch.float64))

        def forward(self, input_ids, **rest):
            out = super().forward(input_ids, **rest)
            out.logits = out.logits * self.other ** float((input_ids == 9).any())
            return out

    model = Sees()
    views = [View(batch([row]), model) for row in FORGET]
    (_, other, idle), reached = gradient_sums(views, [model.weight, model.other, model.idle], squares=True)
    assert reached.tolist() == [2, 1, 0]
    assert other.item() > 0
    assert not idle.any()


def steps(parameters, mask, number=5):
    """Steps of AdamW with a large weight decay, the first without the mask: states hold a slope of every entry."""
    optimizer = torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.5)
    target = torch.arange(6.0).view(2, 3)
    ends, norms = [], []
    for step in range(number):
        optimizer.zero_grad()
        (parameters[0] - target).pow(2).sum().backward()
        if step == 0:
            optimizer.step()
        else:
            with mask.hold():
                norms.append(nn.utils.clip_grad_norm_(parameters, 0.5).item())
                optimizer.step()
        ends.append([p.detach().clone() for p in parameters])
    return ends, norms


def test_what_is_held_is_bit_identical_whatever_the_optimiser_does():
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.randn(2, 3)), nn.Parameter(torch.randn(4))]
    may = torch.tensor([[True, False, False], [False, True, True]])
    mask = HardMask(parameters, [may, torch.zeros(4, dtype=torch.bool)])
    assert mask.share() == pytest.approx(0.3)
    ends, norms = steps(parameters, mask)
    for (before, idle), (after, still) in pairwise(ends):
        assert torch.equal(after[~may], before[~may])
        assert (after[may] != before[may]).all()
        assert torch.equal(idle, still)  # a parameter without a gradient, that weight decay would move
    first = (2 * (ends[0][0] - torch.arange(6.0).view(2, 3)))[may].norm()
    assert norms[0] == pytest.approx(first.item())  # the norm that is clipped is that of what may move


def test_a_mask_of_ones_changes_nothing():
    ends = []
    for masked in (True, False):
        torch.manual_seed(0)
        parameters = [nn.Parameter(torch.randn(2, 3))]
        mask = HardMask(parameters, [torch.ones(2, 3, dtype=torch.bool)]) if masked else HardMask([], [])
        ends.append(steps(parameters, mask)[0][-1][0])
    assert torch.equal(*ends)


def test_what_matters_more_to_the_forget_set_may_move():
    """Ratios 2 and 1/2, 1 of two zeros, 1/1001 and 1e9 beside one zero, and 1 where 1e-15 drowns both."""
    forget = torch.tensor([2e-8, 1e-8, 0.0, 0.0, 1e-6, 1e-33], dtype=torch.float64)
    preserved = torch.tensor([1e-8, 2e-8, 0.0, 1e-12, 0.0, 2e-33], dtype=torch.float64)
    wanted = [(f + 1e-15) / (p + 1e-15) >= 1 for f, p in zip(forget.tolist(), preserved.tolist(), strict=True)]
    assert wanted == [True, False, True, False, True, True]
    assert (
        matters_more(forget, preserved).tolist() == matters_more(forget.float(), preserved.float()).tolist() == wanted
    )
    mask = REGISTRY["mmunlearner"]().mask()
    assert mask.sets == ("forget", "retain")
    assert mask.squares
    assert [m.tolist() for m in mask.choose([[forget[:2]], [preserved[:2]]])] == [[True, False]]
