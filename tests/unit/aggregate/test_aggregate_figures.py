"""aggregate_eval_stat reproduces the figures that TOFU's own script gives for published logs."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from unlearn.config.schema import Metrics
from unlearn.errors import UserError
from unlearn.metrics.aggregate import AggregateConfig, aggregate
from unlearn.metrics.logs import read_log
from unlearn.metrics.membership import Sample, auc

PROJECT = Path(__file__).parents[3]
SHARED = Path(os.environ.get("UNLEARN_SHARED_DATA", PROJECT.parent / "shared" / "data")) / "tofu_eval_logs"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the real TOFU logs are not here (UNLEARN_SHARED_DATA)")


def figures():
    return json.loads((SHARED / "expected.json").read_text())


def row_of(ckpt, retain):
    return aggregate(AggregateConfig(str(SHARED / retain), str(SHARED / ckpt), "m", "who", "row.csv"))


def test_figures_of_real_logs_per_model():
    compared = 0
    for name, columns in figures()["models"].items():
        row = row_of(name, name)
        for column, expected in columns.items():
            assert row[column] == pytest.approx(expected, abs=1e-6), (name, column)
            compared += 1
    assert compared == 52


def test_figures_of_real_logs_per_pair():
    pairs = figures()["pairs"]
    for pair in pairs:
        row = row_of(pair["ckpt_result"], pair["retain_result"])
        assert row["Model Utility"] == pytest.approx(pair["Model Utility"], abs=1e-6)
        assert row["KS Test Forget"] == pytest.approx(pair["KS statistic"], abs=1e-6)
        for column in ("Forget Quality", "KS Test PVal Forget"):
            assert row[column] == pytest.approx(pair["Forget Quality"], rel=1e-6, abs=0)
        assert row["KS Test log10 PVal Forget"] == pytest.approx(math.log10(pair["Forget Quality"]), abs=1e-6)
        assert row["Foreign"] == "retain_result ckpt_result"
    assert len(pairs) == 3


def test_distances_of_real_logs():
    """A second gold (without weight decay) is fifty times nearer to gold than the model that knows the authors."""
    gold = "llama2-7b_retain90_wd0.01.json"
    base, second = row_of("llama2-7b_full_wd0.01.json", gold), row_of("llama2-7b_retain90_wd0.json", gold)
    assert 0.45 < base["D Forget Low"] < base["D Forget"] < base["D Forget High"] < 0.55
    assert second["D Forget"] < base["D Forget"] / 50
    assert max(row[f"D {kept}"] for row in (base, second) for kept in ("Retain", "Real")) < 0.02
    # It still knows, and says so: the mean probability of the true answer is higher by what TOFU's column tells.
    shift = (
        figures()["models"]["llama2-7b_full_wd0.01.json"]["Prob. Forget"] - figures()["models"][gold]["Prob. Forget"]
    )
    assert base["Shift Prob. Forget"] == pytest.approx(shift, abs=1e-6)
    assert base["d Prob. Forget"] == pytest.approx(shift, abs=1e-3)


def test_published_forget_quality_of_real_logs_hardly_tells_base_from_gold():
    """Base's p-value is 2e-21, another gold's 1.0; CLEAR's published number is 0.77 and 0.97."""
    gold = SHARED / "llama2-7b_retain90_wd0.01.json"
    found = []
    for name in ("llama2-7b_full_wd0.01.json", "llama2-7b_retain90_wd0.json"):
        cfg = AggregateConfig(str(gold), str(SHARED / name), "m", "who", "row.csv", metrics=Metrics.released)
        found.append(aggregate(cfg)["Forget Quality"])
    assert found == pytest.approx([0.773, 0.975], abs=1e-3)


def test_an_attack_by_the_loss_tells_who_was_trained_on_the_authors_in_real_logs():
    """The same answers under two models: base knows them, and a second gold is as strange to them as the first."""
    names = ("llama2-7b_full_wd0.01.json", "llama2-7b_retain90_wd0.01.json", "llama2-7b_retain90_wd0.json")
    base, gold, second = (read_log(SHARED / name).tasks["eval_log_forget.json"].loss for name in names)
    for members, (least, most) in ((base, (0.99, 1)), (second, (0.45, 0.55))):
        sides = [Sample(losses, np.ones((len(losses), 1))) for losses in (members, gold)]
        (area,) = auc(*sides)
        assert least < area <= most
        assert area == pytest.approx(mannwhitneyu(gold, members).statistic / (len(gold) * len(members)))


def test_real_logs_have_no_columns_that_need_what_they_lack():
    gold = "llama2-7b_retain90_wd0.01.json"
    row = row_of("llama2-7b_full_wd0.01.json", gold)
    assert not [column for column in row if column.startswith(("AUC", "TPR", "PrivLeak", "Exact", "Extr."))]
    # Base knows the forgotten authors in other words too.
    assert row["Prob. Paraphrase Forget"] > 1.5 * row_of(gold, gold)["Prob. Paraphrase Forget"]
    assert "Prob. Paraphrase Real Authors" not in row


def test_real_logs_of_different_forget_sets_are_refused():
    with pytest.raises(UserError, match=r"task eval_log_forget.json has 300 and 200 items"):
        row_of("llama2-7b_full_wd0.01.json", "llama2-7b_retain95_wd0.01.json")
