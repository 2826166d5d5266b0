"""The report's part on stresses: every number from hand-made logs, gold under the same stress as the measure."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from unlearn.errors import UserError
from unlearn.metrics.bootstrap import Interval
from unlearn.metrics.distance import compare
from unlearn.metrics.logs import read_log
from unlearn.report.__main__ import main
from unlearn.report.figures import robustness as figure
from unlearn.report.figures.style import THEMES, render
from unlearn.report.robustness import robustness
from unlearn.report.runs import Kind
from unlearn.report.study import read_study

MODELS = ["base", "gold", "gold_seed1", "gold_seed2", "npo", "grad_ascent"]
GOLDS = MODELS[1:4]
STRESSES = ["relearn_forget", "int4"]
FORGET = ("forget_captions", "forget_names", "forget_qa")


def under(folder, stress, change, kept=lambda _: True):
    """Write a run's evaluation under a stress: `change` of each loss on the forget tasks, of the kept items alone."""
    out = folder / f"eval_results_{stress}"
    out.mkdir()
    log = json.loads((folder / "eval_results" / "eval_log_aggregated.json").read_text())
    manifest = json.loads((folder / "eval_results" / "manifest.json").read_text())
    for task in FORGET:
        entry = log[task]
        entry["avg_gt_loss"] = {i: change(loss) for i, loss in entry["avg_gt_loss"].items()}
        left = [i for i in entry["uid"] if kept(int(i))]
        log[task] = {key: {i: values[i] for i in left} for key, values in entry.items()}
        manifest["tasks"][task] |= {"expected": len(left), "scored": len(left)}
    manifest["stress"] = {"name": stress}
    (out / "eval_log_aggregated.json").write_text(json.dumps(log))
    (out / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture(scope="module")
def stressed(experiment, tmp_path_factory):
    """The experiment under relearning, after which npo is as base was on every second item, and under 4 bits."""
    root = tmp_path_factory.mktemp("stressed") / "experiment"
    shutil.copytree(experiment, root)
    for name in MODELS:
        under(root / name, "relearn_forget", lambda loss, n=name: 0.1 if n == "npo" else loss, lambda i: i % 2 == 0)
        under(root / name, "int4", lambda loss: loss + 0.1)
    return root


@pytest.fixture(scope="module")
def report(stressed, experiment_config, tmp_path_factory):
    cfg = replace(experiment_config(tmp_path_factory.mktemp("report"), root=stressed), stresses=STRESSES)
    main(cfg)
    return cfg


@pytest.fixture(scope="module")
def rows(report):
    return list(csv.DictReader((Path(report.save_dir) / "robustness.csv").open()))


def section(cfg):
    (found,) = robustness(read_study(cfg), cfg.stresses)
    return found


def numbers(row, column):
    return [float(row[f"{column}{end}"]) for end in ("", " Low", " High")]


def ends(found):
    return [found.value, found.low, found.high]


def logs(root, folder):
    return {name: read_log(root / name / folder / "eval_log_aggregated.json") for name in MODELS}


def to_golds(found):
    compared = compare({n: log for n, log in found.items() if n not in GOLDS}, {name: found[name] for name in GOLDS})
    return {**compared.models, **compared.golds}


def test_every_model_under_every_stress_is_held_against_golds_under_the_same(rows, stressed):
    assert [(row["Method"], row["Stress"]) for row in rows] == [(m, s) for s in STRESSES for m in MODELS]
    for stress in STRESSES:
        distances = to_golds(logs(stressed, f"eval_results_{stress}"))
        for row in (row for row in rows if row["Stress"] == stress):
            found = distances[row["Method"]]
            assert numbers(row, "D Forget") == ends(found.sets["forget"])
            shifts = [shift.value for (task, _), shift in found.shifts.items() if task in FORGET]
            assert float(row["Shift Forget"]) == pytest.approx(sum(shifts) / len(shifts))


def test_the_plain_distance_is_of_the_items_that_are_evaluated_under_the_stress(rows, stressed):
    plain = logs(stressed, "eval_results")
    whole = to_golds(plain)
    left = read_log(stressed / "base" / "eval_results_relearn_forget" / "eval_log_aggregated.json")
    kept = {task: set(of_task.items) for task, of_task in left.tasks.items()}
    half = {n: replace(log, tasks={t: task.only(kept[t]) for t, task in log.tasks.items()}) for n, log in plain.items()}
    halved = to_golds(half)
    for row in rows:
        known = whole if row["Stress"] == "int4" else halved
        assert numbers(row, "D Forget Plain") == ends(known[row["Method"]].sets["forget"])
    assert any(whole[name].sets["forget"] != halved[name].sets["forget"] for name in MODELS)


def test_what_comes_back_is_far_from_gold_with_a_shift_above_0(rows):
    found = {(row["Method"], row["Stress"]): row for row in rows}
    npo = found["npo", "relearn_forget"]
    assert float(npo["D Forget"]) > 2 * float(npo["D Forget Plain"])
    assert float(npo["Shift Forget"]) > 0.1
    # exp(-0.1) of captions and questions; names are a choice among options.
    assert float(npo["Prob. Forget"]) > 0.7
    assert 0 <= float(npo["ROUGE Forget"]) <= 1
    # All losses 0.1 higher, golds' too: a distance of scores is exp(-0.1) of what it was, or nearly.
    base = found["base", "int4"]
    assert float(base["D Forget"]) == pytest.approx(float(base["D Forget Plain"]), rel=0.12)


def test_the_page_has_a_section_with_words_table_and_figure(report):
    folder = Path(report.save_dir)
    html = (folder / "report.html").read_text()
    section = html.partition('<section id="robustness">')[2].partition("</section>")[0]
    assert "Look at base first" in section
    assert section.count("<tr>") == 1 + 5 * len(STRESSES)
    assert "relearn_forget: D Forget Plain" in section
    assert "pretrained" not in section
    assert (folder / "figures" / "robustness.png").is_file()
    table = (folder / "robustness.md").read_text()
    assert all(f"{stress}: {column}" in table for stress in STRESSES for column in ("D Forget", "Shift Forget"))
    assert str(folder / "robustness.md") in (folder / "summary.md").read_text()


def test_a_gold_that_is_alone_has_scores_and_no_distance(report):
    models = {name: folder for name, folder in report.models.items() if name not in GOLDS[1:]}
    found = {row["Method"]: row for row in section(replace(report, models=models, golds=["gold"])).rows}
    assert (found["gold"]["D Forget"], found["gold"]["D Forget Plain"]) == (None, None)
    assert found["gold"]["Prob. Forget"] > 0
    assert found["npo"]["D Forget"] > 0


def test_an_absent_evaluation_and_another_stress_in_its_folder_are_refused(stressed, experiment_config, tmp_path):
    with pytest.raises(UserError, match=r"base/eval_results_int8/eval_log_aggregated.json is absent"):
        section(experiment_config(tmp_path, root=stressed, stresses=["int8"]))
    root = tmp_path / "mixed"
    shutil.copytree(stressed, root)
    shutil.rmtree(root / "npo" / "eval_results_int4")
    shutil.copytree(root / "npo" / "eval_results_relearn_forget", root / "npo" / "eval_results_int4")
    with pytest.raises(UserError, match="is no evaluation under int4; evaluate npo with stress=int4"):
        section(experiment_config(tmp_path, root=root, stresses=["int4"]))
    manifest = root / "npo" / "eval_results_relearn_forget" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "stress": {"name": "relearn_forget", "lr": 1}}))
    with pytest.raises(UserError, match="cannot be compared: lr of stress relearn_forget is None and 1"):
        section(experiment_config(tmp_path, root=root, stresses=["relearn_forget"]))


def test_no_section_without_a_stress_and_under_published_metrics(written):
    assert not (written / "robustness.csv").exists()
    assert 'id="robustness"' not in (written / "report.html").read_text()


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
@pytest.mark.parametrize("count", [1, 4])
def test_the_figure_is_drawn_for_any_number_of_stresses(count, theme):
    pairs = [(0.2, Interval(0.5, 0.4, 0.6)), None, (0.1, Interval(0.1, None, None))]
    panels = [figure.Panel(f"stress{i}", pairs, 0.02 if i else None) for i in range(count)]
    kinds = [Kind.base, Kind.gold, Kind.unlearned]
    assert render(lambda t: figure.draw(panels, ["base", "gold", "npo"], kinds, t), theme)[1:4] == b"PNG"
