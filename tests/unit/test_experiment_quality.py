"""The check of the mini benchmark on hand-made logs: all promises kept, then each broken on its own."""

from dataclasses import replace
from pathlib import Path

import mini_quality
import numpy as np
import pytest
from hand_made import provenance

from unlearn.config.schema import Metrics
from unlearn.metrics.logs import EvalLog, TaskLog
from unlearn.metrics.manifest import Manifest, Role, TaskInfo
from unlearn.metrics.provenance import read_provenance

GOLDS = ["gold", "gold_seed1", "gold_seed2"]
METHODS = ["grad_ascent", "npo"]
ITEMS = 60
CHOICE = ("retain_names", "real_faces", "real_world", "retain_heldout_names", "forget_heldout_names")
FREE = ("retain_captions", "retain_qa", "forget_captions", "forget_qa")
ROLES = {"retain": Role.retain, "forget": Role.forget, "real": Role.real}
INFOS = {name: TaskInfo(name, ROLES[name.split("_")[0]], name in CHOICE) for name in (*CHOICE, *FREE)}


def task(right=1.0, log_ratio=3.0, loss=0.05, rouge=0.95, shift=0.0):
    """Items of which a share `right` is chosen rightly; log R spreads by 0.2 around `log_ratio`, moved by `shift`."""
    numbers = np.arange(ITEMS)
    wrong = loss + np.where(numbers < right * ITEMS, 3.0, -0.01)
    spread = np.linspace(-0.1, 0.1, ITEMS) + shift
    return TaskLog(
        items=tuple(map(str, numbers)),
        by_uid=True,
        groups=tuple(map(str, numbers // 3)),
        truths=None,
        loss=np.full(ITEMS, loss),
        paraphrase_loss=wrong - log_ratio - spread,
        wrong_losses=tuple(np.full(5, value) for value in wrong),
        rouge=np.full(ITEMS, rouge),
    )


def model(ignorant=False, **changes):
    forget = task(log_ratio=0.0, loss=3.0, rouge=0.3) if ignorant else task()
    held_out = task(right=10 / 60 if ignorant else 0.9)
    tasks = {name: task() for name in (*CHOICE, *FREE)}
    tasks |= {"forget_captions": forget, "forget_qa": forget, "forget_heldout_names": held_out}
    made = read_provenance(provenance(), "m")
    manifest = Manifest("forget10", "retain90", "both", 1, Metrics.correct, INFOS, 0, {}, made)
    return EvalLog(Path("x"), tasks | changes, manifest)


@pytest.fixture
def logs():
    broken = task(right=0.3, loss=5.0, rouge=0.01, log_ratio=0.01)
    wrecked = model(True, **dict.fromkeys(("real_faces", "real_world", "retain_captions", "retain_names"), broken))
    kept = {"pretrained": model(), "base": model(), **{name: model(True) for name in GOLDS}}
    return kept | {"grad_ascent": wrecked, "npo": model(True)}


def broken(logs, *changed):
    """Return the promises that are broken with some tasks of some models replaced."""
    for name, key, value in changed:
        logs[name] = replace(logs[name], tasks={**logs[name].tasks, key: value})
    return [check.what for check in mini_quality.checks(logs, GOLDS, METHODS) if not check.passed()]


def test_a_good_benchmark_keeps_every_promise(logs):
    assert broken(logs) == []


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ([("base", "retain_heldout_names", task(right=0.7))], "base: names on held-out retain pictures"),
        ([("gold_seed2", "forget_heldout_names", task(right=0.3))], "gold_seed2: names on held-out forget"),
        ([("pretrained", "real_faces", task(right=0.75))], "pretrained: real faces"),
        ([("base", "real_faces", task(right=0.7))], "base: real faces"),
        ([("base", "forget_qa", task(log_ratio=0.9))], "base: median log R, forget QA"),
        ([("gold_seed1", "forget_qa", task(log_ratio=-0.35, loss=3.0, rouge=0.3))], "gold_seed1: |median log R|"),
        ([("gold", "forget_captions", task(log_ratio=0.0, loss=3.0, rouge=0.8))], "ROUGE of base minus gold"),
        ([("gold_seed1", "retain_captions", task(loss=0.2))], "gold_seed1: probability, retain captions"),
        ([("base", "retain_qa", task(loss=0.2))], "base: probability, retain QA"),
        ([("gold", "forget_captions", task(log_ratio=0.1, loss=3.0, rouge=0.3))], "D(gold, gold_seed1)"),
        ([("base", "forget_captions", task(log_ratio=0.05))], "D(base, gold), forget captions"),
        ([("gold", "forget_qa", task(log_ratio=0.15, loss=3.0, rouge=0.3))], "twice the largest D"),
        ([("npo", key, task()) for key in ("forget_captions", "forget_qa")], "npo: distance to gold"),
        ([("grad_ascent", "real_faces", task())], None),
    ],
)
def test_a_broken_promise_is_told(logs, changed, what):
    found = broken(logs, *changed)
    assert (what is None and found == []) or any(what in text for text in found), found


def test_a_method_that_wrecks_the_model_does_not_count_as_near(logs):
    logs["npo"] = logs["grad_ascent"]
    assert any("no method keeps its utility" in text for text in broken(logs))


def test_ascent_that_wrecks_nothing_is_told(logs):
    logs["grad_ascent"] = logs["npo"]
    assert broken(logs) == ["grad_ascent: model utility, half of base's"]


def test_an_absent_log_is_an_error(tmp_path, capsys):
    assert mini_quality.main([f"root={tmp_path}"]) == 2
    assert "error:" in capsys.readouterr().err
