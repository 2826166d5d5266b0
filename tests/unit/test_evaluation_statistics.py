"""Per-token statistics against plain loops and derived numbers."""

import math

import pytest
import torch

from unlearn.evaluation.scorers import CHUNK, answer_scores, token_statistics
from unlearn.forwards import LabelLogits


def naive(logits, target):
    """logp, mu, sigma and hit of one position, in plain Python."""
    top = max(logits)
    log_sum = top + math.log(sum(math.exp(z - top) for z in logits))
    log_probs = [z - log_sum for z in logits]
    mu = sum(math.exp(lp) * lp for lp in log_probs)
    variance = sum(math.exp(lp) * (lp - mu) ** 2 for lp in log_probs)
    return log_probs[target], mu, math.sqrt(variance), log_probs[target] == max(log_probs)


def test_statistics_equal_a_plain_loop():
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(40, 17, generator=generator, dtype=torch.float64)
    targets = torch.randint(17, (40,), generator=generator)
    targets[:5] = logits[:5].argmax(-1)
    logp, mu, sigma, hit = token_statistics(logits, targets)
    for i in range(40):
        expected = naive(logits[i].tolist(), int(targets[i]))
        assert (logp[i].item(), mu[i].item(), sigma[i].item()) == pytest.approx(expected[:3], abs=1e-12)
        assert hit[i].item() is expected[3]
    assert 5 <= hit.sum() < 40


def test_a_uniform_distribution_has_mu_minus_log_v_and_no_deviation():
    _, mu, sigma, _ = token_statistics(torch.zeros(1, 8, dtype=torch.float64), torch.tensor([3]))
    assert mu.item() == pytest.approx(-math.log(8))
    assert sigma.item() == pytest.approx(0, abs=1e-12)


def test_a_derived_value():
    # p = (3/4, 1/4): mu = 3/4 log 3/4 + 1/4 log 1/4; sigma = sqrt(p q) |log p - log q| = sqrt(3)/4 log 3.
    logits = torch.tensor([[math.log(3.0), 0.0]], dtype=torch.float64)
    logp, mu, sigma, hit = token_statistics(logits, torch.tensor([1]))
    assert logp.item() == pytest.approx(math.log(0.25))
    assert mu.item() == pytest.approx(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert sigma.item() == pytest.approx(math.sqrt(3) / 4 * math.log(3))
    assert not hit.item()


def test_a_token_of_probability_zero_makes_no_nan():
    logits = torch.tensor([[0.0, 0.0, -math.inf], [0.0, -1e4, -1e4]])
    _, mu, sigma, _ = token_statistics(logits, torch.tensor([0, 0]))
    assert mu.tolist() == pytest.approx([-math.log(2), 0])
    assert sigma.tolist() == pytest.approx([0, 0], abs=1e-6)


@pytest.mark.parametrize("lengths", [[3, 1, 2], [CHUNK, 5, CHUNK + 1]])
def test_rows_get_their_own_tokens_in_order(lengths):
    generator = torch.Generator().manual_seed(1)
    n = sum(lengths)
    logits = torch.randn(n, 11, generator=generator)
    targets = torch.randint(11, (n,), generator=generator)
    rows = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    scores = answer_scores(LabelLogits(logits, targets, rows), len(lengths))
    expected = logits.log_softmax(-1)[torch.arange(n), targets].tolist()
    assert [len(s["logp"]) for s in scores] == lengths
    assert [x for s in scores for x in s["logp"]] == pytest.approx(expected, rel=1e-6)
    assert {x for s in scores for x in s["hit"]} <= {0, 1}


def test_numbers_have_seven_significant_digits():
    logits = torch.tensor([[0.1234567890123, 0.9]], dtype=torch.float64)
    (score,) = answer_scores(LabelLogits(logits, torch.tensor([0]), torch.tensor([0])), 1)
    (logp,) = score["logp"]
    assert logp == float(f"{logits.log_softmax(-1)[0, 0].item():.7g}")
    assert len(str(abs(logp)).replace(".", "").lstrip("0")) <= 7
