"""Probes have distances of their own and no part in any number of a set: to add one changes no headline."""

from dataclasses import replace

import numpy as np
import pytest

from unlearn.errors import UserError
from unlearn.metrics.columns import distance_columns, divergence_columns, released_columns, result_columns
from unlearn.metrics.comparison import comparable, task_infos
from unlearn.metrics.distance import compare
from unlearn.metrics.manifest import FOREIGN_TASKS
from unlearn.metrics.people import Half, half
from unlearn.metrics.released import check_blind
from unlearn.metrics.samples import Score

PROBES = {"forget_names_blank_picture": "forget_names", "retain_captions_prefix": "retain_captions"}


def probed(log, rng):
    """Return a log with two probes of it: the same people asked, other scores."""
    tasks, infos = dict(log.tasks), dict(log.manifest.tasks)
    for name, twin in PROBES.items():
        own = log.tasks[twin]
        tasks[name] = replace(own, loss=own.loss + rng.uniform(0.5, 3), rouge=own.rouge[::-1] / 3)
        infos[name] = replace(infos[twin], label=f"Probe {name}", probe_of=twin)
    return replace(log, tasks=tasks, manifest=replace(log.manifest, tasks=infos))


@pytest.fixture
def logs(new_random):
    """Five models by name, without and with probes."""
    bare = {name: new_random(seed, shift=shift) for name, (seed, shift) in MODELS.items()}
    rng = np.random.default_rng(0)
    return bare, {name: probed(log, rng) for name, log in bare.items()}


MODELS = {"base": (1, 0.4), "npo": (2, 0.1), "gold": (3, 0.0), "gold_1": (4, 0.0), "gold_2": (5, 0.0)}
GOLDS = ("gold", "gold_1", "gold_2")


def compared(logs, **changes):
    golds = {name: logs[name] for name in GOLDS}
    return compare({name: logs[name] for name in ("base", "npo")}, golds, base="base", **{"draws": 200, **changes})


def test_no_distance_of_a_set_changes_with_probes_nor_its_interval(logs):
    bare, with_probes = map(compared, logs)
    assert with_probes.band == bare.band
    for name in ("base", "npo"):
        a, b = bare.models[name], with_probes.models[name]
        assert (b.sets, b.remaining, b.within) == (a.sets, a.remaining, a.within)
        assert {key: b.scores[key] for key in a.scores} == a.scores
        assert {key: b.shifts[key] for key in a.shifts} == a.shifts
        assert {task for task, _ in b.scores} - {task for task, _ in a.scores} == set(PROBES)
    assert {n: gold.sets for n, gold in with_probes.golds.items()} == {n: g.sets for n, g in bare.golds.items()}


def test_no_column_of_a_row_changes_with_probes(logs):
    bare, with_probes = logs
    rows = []
    for given in (bare, with_probes):
        found = compared(given)
        golds = {name: given[name] for name in GOLDS}
        rows.append(
            {
                **distance_columns(found.models["npo"], task_infos(given["npo"]), found.band),
                **result_columns(given["npo"], given["gold"]),
                **divergence_columns(given["npo"], golds),
            }
        )
    assert rows[0] == rows[1]
    assert rows[0]["Forget"] is not None


def test_no_column_of_the_published_metrics_changes_with_probes_and_they_need_no_answer_without_picture(logs):
    bare, with_probes = ({name: answered_blind(given[name]) for name in ("npo", "gold")} for given in logs)
    assert released_columns(with_probes["npo"], with_probes["gold"]) == released_columns(bare["npo"], bare["gold"])
    seen = {"forget_names": replace(with_probes["npo"].tasks["forget_names"], blind_rouge=None)}
    lacking = replace(with_probes["npo"], tasks={**with_probes["npo"].tasks, **seen})
    with pytest.raises(UserError, match="of forget_names, which"):
        check_blind(lacking, task_infos(lacking))


def answered_blind(log):
    tasks = {n: t if n in PROBES else replace(t, blind_rouge=t.rouge / 2) for n, t in log.tasks.items()}
    return replace(log, tasks=tasks)


def test_the_halves_of_the_people_stay_as_they_are(logs):
    bare, with_probes = logs
    for which in Half:
        a, b = half(bare["npo"], which, 4), half(with_probes["npo"], which, 4)
        assert all(b.tasks[name].items == task.items for name, task in a.tasks.items())
        # Who is in a half is in it in the probes too.
        assert all(set(b.tasks[name].groups) == set(b.tasks[twin].groups) for name, twin in PROBES.items())


def test_the_distance_of_a_task_is_the_mean_over_its_scores(new_task, new_eval):
    """Gold 0.1 and 0.3, model 0.6 and 0.9: d and shift .55; ROUGE .5 against .25 .. .75: d .25, shift 0; q alike."""
    gold = new_eval({"forget_captions": new_task([0.1, 0.3], [0.25, 0.75])}, "gold")
    model = new_eval({"forget_captions": new_task([0.6, 0.9], [0.5, 0.5])}, "model")
    found = compare({"model": model}, {"gold": gold}).models["model"]
    d = {score: found.scores["forget_captions", score].value for score in Score}
    assert d == pytest.approx({Score.probability: 0.55, Score.rouge: 0.25, Score.preference: 0})
    assert found.tasks["forget_captions"].value == pytest.approx((0.55 + 0.25) / 3)
    assert found.tendency["forget_captions"].value == pytest.approx(0.55 / 3)
    assert found.tasks["forget_captions"].low is None


def test_the_interval_of_a_task_is_that_of_the_mean_under_the_same_draws(new_random):
    """Of a set of one task, D and its interval are those of the task."""
    model, gold = (new_random(seed, tasks=("forget_captions",)) for seed in (1, 2))
    found = compare({"model": model}, {"gold": gold}, draws=100).models["model"]
    assert found.tasks["forget_captions"] == found.sets["forget"]
    assert found.tasks["forget_captions"].low < found.tasks["forget_captions"].high
    assert found.tendency["forget_captions"].low < found.tendency["forget_captions"].value


def test_a_task_that_is_a_probe_of_one_model_alone_is_not_compared(new_task, new_eval):
    tasks = {"forget_names": new_task([0.1, 0.3])}
    info = replace(FOREIGN_TASKS["forget_names"], probe_of="forget_captions")
    with pytest.raises(UserError, match="probe_of of task forget_names is forget_captions and None"):
        comparable([with_info(new_eval(tasks), info), new_eval(tasks)])


def with_info(log, info):
    return replace(log, manifest=replace(log.manifest, tasks={"forget_names": info}))
