"""U-LIRA, U-MIA and what is reported of them: Bayes' numbers, chance, loops, and no optimism."""

import math
from functools import partial

import numpy as np
import pytest
from scipy.stats import norm

from unlearn.errors import UserError
from unlearn.metrics.faces.accuracy import pairs
from unlearn.metrics.faces.attack import Verdicts, attacked, roc
from unlearn.metrics.faces.lira import confidence_logit, pooled, released
from unlearn.metrics.faces.mia import fit, regressed


def gaussians(models, people, pictures, separation, seed=0):
    """(logits [M, S], in, out, person, fold): a normal distribution a picture, moved by `separation` where it is in."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(2 * people), pictures)
    inside = (np.arange(models) < models // 2)[:, None] == (person < people)
    logits = rng.normal(size=(models, len(person))) + separation * inside + 2 * rng.normal(size=len(person))
    return logits, inside, ~inside, person, pairs(models)


def holds(interval, value):
    return interval.low <= value <= interval.high


def test_known_gaussians_give_bayes_numbers():
    found = attacked(pooled(*gaussians(128, 10, 6, 1.0)))
    # Phi(1/2) = 0.691 and Phi(1/sqrt 2) = 0.760; at 1% false ones Phi(1 - 2.326) = 0.092.
    assert holds(found.accuracy, norm.cdf(0.5))
    assert holds(found.auc, norm.cdf(1 / math.sqrt(2)))
    assert holds(found.tpr["1%"], norm.cdf(1 - norm.isf(0.01)))
    assert found.auc.high - found.auc.low < 0.04
    assert holds(attacked(regressed(known_gaussians(), *gaussians(64, 10, 6, 1.0)[1:])).auc, norm.cdf(1 / math.sqrt(2)))


def known_gaussians():
    """One feature whose distribution all samples share, so that one attack for all is Bayes' rule."""
    logits, inside, *_ = gaussians(64, 10, 6, 1.0)
    return (np.random.default_rng(5).normal(size=logits.shape) + inside)[..., None]


def test_medians_of_few_shadows_lose_against_bayes():
    setting = gaussians(128, 10, 6, 0.5)
    few, many = (attacked(released(*setting, shadows=n)).accuracy for n in (4, 32))
    bayes = norm.cdf(0.25)
    assert few.value < many.value < bayes
    assert holds(many, 0.572)
    assert not holds(many, bayes)
    assert attacked(pooled(*setting)).accuracy.value > many.high


ATTACKS = {
    "pooled": pooled,
    "released": partial(released, shadows=20),
    "regressed": lambda logits, *cells: regressed(logits[..., None], *cells),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_equal_models_are_at_chance(attack):
    setting = gaussians(80, 8, 4, 0.0, seed=2)
    found = attacked(attack(*setting))
    assert holds(found.auc, 0.5)
    assert holds(found.accuracy, 0.5)
    assert found.auc.high - found.auc.low < 0.1


def in_sample(logits, inside, outside, person, fold):
    """The attack with every model among its own shadows."""
    means = [np.array([logits[mask[:, s], s].mean() for s in range(len(person))]) for mask in (inside, outside)]
    ratio = (means[0] - means[1]) * (logits - (means[0] + means[1]) / 2)
    return Verdicts(ratio, inside, outside, person, fold)


def test_leaving_models_out_leaves_no_optimism():
    """Random labels: Gaussians tested on the models that they were fitted to would seem to tell them."""
    setting = gaussians(16, 8, 6, 0.0, seed=3)
    assert attacked(in_sample(*setting)).auc.low > 0.55
    assert attacked(in_sample(*setting)).accuracy.low > 0.55
    assert holds(attacked(pooled(*setting)).auc, 0.5)
    assert holds(attacked(released(*setting, shadows=3)).accuracy, 0.5)


def test_gaussians_of_hits_and_misses_tell_nothing_once_their_models_are_left_out():
    """The trap: hits (0 or 1) in place of logits, shadows attacked themselves."""
    logits, *cells = gaussians(16, 8, 6, 0.0, seed=4)
    hits = (logits > np.median(logits, axis=0)).astype(float)
    assert attacked(in_sample(hits, *cells)).accuracy.low > 0.52
    assert holds(attacked(pooled(hits, *cells)).auc, 0.5)


def naive_pooled(logits, inside, outside, fold):
    ratio = np.empty_like(logits)
    for m in range(len(logits)):
        for s in range(logits.shape[1]):
            ins, outs = (
                [logits[k, s] for k in range(len(logits)) if mask[k, s] and fold[k] != fold[m]]
                for mask in (inside, outside)
            )
            m_in, m_out = sum(ins) / len(ins), sum(outs) / len(outs)
            squares = sum((x - m_in) ** 2 for x in ins) + sum((x - m_out) ** 2 for x in outs)
            sigma = math.sqrt(squares / (len(ins) + len(outs) - 2))
            ratio[m, s] = norm.logpdf(logits[m, s], m_in, sigma) - norm.logpdf(logits[m, s], m_out, sigma)
    return ratio


@pytest.mark.parametrize("fold", [np.arange(10), pairs(10)], ids=["one", "pairs"])
def test_pooled_against_a_double_loop(fold):
    rng = np.random.default_rng(5)
    logits = rng.normal(5, 2, size=(10, 7))
    label = rng.permuted(np.repeat([0, 1, 2], [3, 5, 2])[:, None].repeat(7, axis=1), axis=0)
    # Each sample has five models in, three out, and two of neither side.
    cells = (label == 1, label == 0)
    found = pooled(logits, *cells, np.arange(7), fold)
    assert found.ratio == pytest.approx(naive_pooled(logits, *cells, fold))


def test_released_against_a_double_loop():
    rng = np.random.default_rng(6)
    logits, inside = rng.normal(5, 2, size=(12, 5)), rng.permuted(np.tile([0, 1], (5, 6)).T, axis=0) == 1
    found = released(logits, inside, ~inside, np.arange(5), pairs(12), shadows=3)
    for s in range(5):
        sides = [np.flatnonzero(mask[:, s]) for mask in (inside, ~inside)]
        for m in range(12):
            logs = []
            for side in sides:
                x = sorted(logits[k, s] for k in side[:3])
                sigma = sorted(abs(v - x[1]) for v in x)[1] / 0.6745
                logs.append(norm.logpdf(logits[m, s], x[1], sigma))
            assert found.ratio[m, s] == pytest.approx(logs[0] - logs[1])
        assert np.flatnonzero(found.inside[:, s]).tolist() == sides[0][3:].tolist()
        assert np.flatnonzero(found.outside[:, s]).tolist() == sides[1][3:].tolist()


def test_the_statistic_by_hand():
    assert confidence_logit([0.5, 0.75]) == pytest.approx([0, math.log(3)])
    end = math.log(0.999 / 0.001)
    assert confidence_logit([-0.3, 0, 1, 1.0001]) == pytest.approx([-end, -end, end, end])


def test_models_that_agree_on_everything_have_finite_ratios():
    logits, *cells = gaussians(16, 4, 2, 0.0)
    for attack in (pooled, partial(released, shadows=4)):
        same = attack(np.zeros_like(logits), *cells)
        assert (same.ratio == 0).all()
        # A ratio of 0 is half right.
        assert attacked(same).accuracy.value == attacked(same).auc.value == 0.5
        apart = attack(1.0 * cells[0], *cells)
        assert np.isfinite(apart.ratio).all()
        assert attacked(apart).accuracy.value == attacked(apart).auc.value == 1


def test_the_report_against_loops_over_cells():
    rng = np.random.default_rng(7)
    inside = rng.random((10, 9)) < 0.4
    verdicts = Verdicts(
        rng.normal(size=(10, 9)).round(1),
        inside,
        ~inside & (rng.random((10, 9)) < 0.7),
        np.arange(9) // 3,
        np.arange(10),
    )
    ins, outs = verdicts.ratio[verdicts.inside], verdicts.ratio[verdicts.outside]
    found = attacked(verdicts)
    right = [np.mean([(x > 0) + 0.5 * (x == 0) for x in side]) for side in (ins, -outs)]
    assert found.accuracy.value == pytest.approx(np.mean(right))
    assert found.auc.value == pytest.approx(np.mean([(a > b) + 0.5 * (a == b) for a in ins for b in outs]))
    # Three people are too few for an interval, fewer than 100 out cells too few for 1% of them.
    assert found.auc.low is found.auc.high is None
    assert found.tpr == {"1%": None, "0.1%": None}
    false, true = roc(verdicts)
    for f, t, threshold in zip(false[1:], true[1:], sorted({*ins, *outs}, reverse=True), strict=True):
        assert (f, t) == pytest.approx((np.mean(outs >= threshold), np.mean(ins >= threshold)))
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(true, false) == pytest.approx(found.auc.value)


def test_true_positives_are_steps_and_never_between():
    ratio = np.concatenate([np.arange(100.0, 200), [50, 198.5, 199.5, 250]])[:, None].repeat(1, axis=1)
    inside = (np.arange(104) >= 100)[:, None]
    found = attacked(Verdicts(ratio, inside, ~inside, np.zeros(1, dtype=int), np.arange(104)))
    # One of 100 out cells, 199, may be wrong: what is above 198.
    assert found.tpr["1%"].value == 0.75
    assert found.tpr["0.1%"] is None


def test_an_interval_draws_folds_and_people_whole():
    """Of cells that repeat one person's luck there are no more than of people."""
    rng = np.random.default_rng(8)
    person = np.repeat(np.arange(12), 20)
    inside = (np.arange(20) < 10)[:, None] == (person < 6)
    by_person = np.where(inside, 1, -1) * rng.normal(0.5, 1, size=12)[person]
    by_fold = np.where(inside, 1, -1) * rng.normal(0.5, 1, size=10)[pairs(20)][:, None]
    by_cell = np.where(inside, 1, -1) * rng.normal(0.5, 1, size=inside.shape)
    width = []
    for ratio in (by_person, by_fold, by_cell):
        found = attacked(Verdicts(ratio, inside, ~inside, person, pairs(20))).accuracy
        assert found == attacked(Verdicts(ratio, inside, ~inside, person, pairs(20))).accuracy
        width.append(found.high - found.low)
    assert min(width[:2]) > 3 * width[2]


def test_a_regression_is_at_its_least_loss_and_counts_sides_alike():
    rng = np.random.default_rng(9)
    members, others = rng.normal(0.5, 1, size=(40, 2)), rng.normal(0, 1, size=(400, 2))
    found = fit(members, others)

    def loss(weights):
        logs = [np.mean([math.log1p(math.exp(-s * (x @ weights[:2] + weights[2]))) for x in side])
                for s, side in ((1, members), (-1, others))]  # fmt: skip
        return sum(logs) / 2 + 0.0005 * (weights[:2] @ weights[:2])

    for index in range(3):
        for step in (-1e-3, 1e-3):
            assert loss(found + step * np.eye(3)[index]) > loss(found)
    assert fit(members, np.repeat(others, 2, axis=0)) == pytest.approx(found, abs=1e-4)
    # Two points at 1 and -1 can be separated by any weight; the ridge makes it finite: sigma(-w) = 0.001 w.
    (weight, bias) = fit(np.array([[1.0]]), np.array([[-1.0]]))
    assert 1 / (1 + math.exp(weight)) == pytest.approx(0.001 * weight, rel=1e-3)
    assert bias == pytest.approx(0, abs=1e-6)


def test_a_regression_is_fitted_without_the_models_that_it_attacks():
    """Of as many features as there are cells, a fit to all cells tells them by heart."""
    _, inside, outside, person, fold = gaussians(16, 3, 1, 0.0)
    values = np.random.default_rng(10).normal(size=(*inside.shape, 60))
    found = regressed(values, inside, outside, person, fold)
    heart = fit(values[inside], values[outside])
    by_heart = Verdicts(values @ heart[:-1] + heart[-1], inside, outside, person, fold)
    assert attacked(by_heart).auc.low > 0.9
    assert holds(attacked(found).auc, 0.5)
    out = fold == 3
    members, others = values[~out][inside[~out]], values[~out][outside[~out]]
    both = np.concatenate([members, others])
    middle, spread = both.mean(axis=0), both.std(axis=0)
    weights = fit((members - middle) / spread, (others - middle) / spread)
    assert found.ratio[out] == pytest.approx((values[out] - middle) / spread @ weights[:-1] + weights[-1])


def test_too_few_models_are_refused():
    setting = gaussians(4, 2, 2, 0.0)
    with pytest.raises(UserError, match="too few models to fit"):
        pooled(*setting)
    with pytest.raises(UserError, match="has 2 models on a side, and U-LIRA `released` takes 2"):
        released(*setting, shadows=2)
