"""Any number of evaluated runs in one table: which make a row, what its numbers are, and what is not mixed."""

import csv
import json
import math
import os
from copy import deepcopy
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from hand_made import FAMILY, ROOT, base, gold, provenance, unlearned
from PIL import Image

from unlearn.errors import UserError
from unlearn.metrics.distance import compare
from unlearn.metrics.logs import read_log
from unlearn.metrics.manifest import FOREIGN_TASKS
from unlearn.report.leaderboard import LeaderboardConfig, main
from unlearn.report.results import read_results
from unlearn.report.runs import LOG

PROJECT = Path(__file__).parents[3]
TOFU = Path(os.environ.get("UNLEARN_SHARED_DATA", PROJECT.parent / "shared" / "data")) / "tofu_eval_logs"
TASKS = ("forget_qa", "retain_qa", "real_world")
T_OF_THREE = math.sqrt(2 * 0.95**2 / (1 - 0.95**2))
"""Student's t at 0.975 with two degrees of freedom: t / sqrt(2 + t^2) = 0.95."""
LINEAGES = {
    "pretrained": [ROOT],
    "full": base(),
    **{f"gold{seed}": gold(seed) for seed in (0, 1, 2)},
    **{f"npo{seed}": unlearned(seed=seed) for seed in (0, 1, 2)},
    "idk0": unlearned("idk"),
    "npo_high": unlearned(seed=0, lr=1e-3),
}


@pytest.fixture
def write(tmp_path, new_log, new_manifest):
    """Write an evaluated run of a lineage; return its folder."""

    def run(name, lineage, number=None, family=FAMILY, **changes):
        log = new_log(TASKS, seed=len(name) if number is None else number)
        made = {**provenance(lineage), "family": family}
        folder = tmp_path / "runs" / name / "eval_results"
        folder.mkdir(parents=True)
        (folder / "eval_log_aggregated.json").write_text(json.dumps(log))
        (folder / "manifest.json").write_text(json.dumps({**new_manifest(log, provenance=made), **changes}))
        return folder.parent

    return run


@pytest.fixture
def runs(write, tmp_path):
    """Folder of ten evaluated runs."""
    for number, (name, lineage) in enumerate(LINEAGES.items()):
        write(name, lineage, number)
    return tmp_path / "runs"


def rows_of(tmp_path, results, golds=()):
    main(LeaderboardConfig([str(path) for path in results], [str(path) for path in golds], str(tmp_path / "out")))
    with (tmp_path / "out" / "leaderboard.csv").open() as file:
        return list(csv.DictReader(file))


def log_of(folder):
    return read_log(folder / LOG)


def numbers(row, column):
    return [float(row[f"{column}{end}"]) for end in ("", " Low", " High")]


def test_runs_that_differ_in_seeds_alone_make_a_row(runs, tmp_path):
    rows = rows_of(tmp_path, [runs])
    assert [(row["Method"], row["n"], row["Seeds"]) for row in rows[:3]] == [
        ("pretrained", "1", ""), ("base", "1", "0"), ("gold", "3", "0, 1, 2"),
    ]  # fmt: skip
    assert sorted((row["Method"], row["n"], row["Seeds"]) for row in rows[3:]) == [
        ("idk", "1", "0/0"), ("npo", "1", "0/0"), ("npo", "3", "0/0, 1/0, 2/0"),
    ]  # fmt: skip
    assert len({row["Settings"] for row in rows}) == len(rows) == 6
    assert {row["Model Family"] for row in rows} == {"tiny"}
    assert {row["Data"] for row in rows} == {"data: forget10, both"}
    far = [float(row["D Max"]) for row in rows[3:]]
    assert far == sorted(far)


def test_a_row_is_mean_and_interval_of_its_runs_distances(runs, tmp_path):
    """Against distances of one run at a time and Student's formula in plain Python."""
    (row,) = (row for row in rows_of(tmp_path, [runs]) if (row["Method"], row["n"]) == ("npo", "3"))
    golds = {name: log_of(runs / name) for name in ("gold0", "gold1", "gold2")}
    logs = [log_of(runs / name) for name in ("npo0", "npo1", "npo2")]
    for column, key in {"D Max": "max", "D Forget": "forget", "D Real": "real"}.items():
        found = [compare({"m": log}, golds, draws=0).models["m"].sets[key].value for log in logs]
        mean = sum(found) / 3
        spread = math.sqrt(sum((value - mean) ** 2 for value in found) / 2)
        reach = T_OF_THREE * spread / math.sqrt(3)
        assert numbers(row, column) == pytest.approx([mean, mean - reach, mean + reach], rel=1e-12), column
    rouge = [fmean(log.tasks["forget_qa"].rouge) for log in logs]
    assert numbers(row, "ROUGE Forget QA")[0] == pytest.approx(fmean(rouge))


def test_a_gold_is_held_against_the_others(runs, tmp_path):
    (row,) = (row for row in rows_of(tmp_path, [runs]) if row["Method"] == "gold")
    golds = {name: log_of(runs / name) for name in ("gold0", "gold1", "gold2")}
    found = compare({}, golds, draws=0).golds
    assert float(row["D Max"]) == pytest.approx(fmean(one.sets["max"].value for one in found.values()))


def test_one_seed_has_no_interval_and_one_gold_no_distance(write, tmp_path):
    folders = [write("gold0", gold()), write("npo0", unlearned())]
    rows = {row["Method"]: row for row in rows_of(tmp_path, folders)}
    assert float(rows["npo"]["D Max"]) > 0
    assert (rows["npo"]["D Max Low"], rows["npo"]["D Max High"]) == ("n/a", "n/a")
    assert rows["npo"]["Forget Quality"] != ""
    assert rows["gold"]["D Max"] == rows["gold"]["Forget Quality"] == ""
    assert rows["gold"]["ROUGE Forget QA"] != ""


def test_what_is_written(runs, tmp_path):
    rows_of(tmp_path, [runs])
    out = tmp_path / "out"
    table = json.loads((out / "leaderboard.json").read_text())
    assert len(table) == len(list(csv.DictReader((out / "leaderboard.csv").open())))
    text, latex = ((out / f"leaderboard.{ending}").read_text() for ending in ("md", "tex"))
    (npo,) = (row for row in table if (row["Method"], row["n"]) == ("npo", 3))
    assert f"| npo {npo['Settings'][:6]} " in text  # two settings of one method are told apart
    assert "| idk " in text
    assert f"- {npo['Settings']}: name=npo, beta=0.1, forget_split=forget10" in text
    assert "<- name=finetune, split=full" in text
    low, high = npo["D Max Low"], npo["D Max High"]
    assert f"[{low:.3f}, {high:.3f}]" in text
    assert latex.count(r"\midrule") == 2
    assert Image.open(out / "leaderboard.png").size[0] == 1440


@pytest.mark.parametrize(
    "pattern", ["runs", "runs/*", "runs/*/eval_results", "runs/**/eval_log_aggregated.json", "runs/../runs/*0"]
)
def test_folders_files_and_patterns_are_found_once(runs, tmp_path, monkeypatch, pattern):
    monkeypatch.chdir(tmp_path)
    names = {result.log.path.parent.parent.name for result in read_results([pattern, str(runs / "gold0")], [])}
    assert names == (set(LINEAGES) if "0" not in pattern else {"gold0", "npo0", "idk0"})


def test_each_family_has_its_own_golds(write, tmp_path):
    other = {"name": "other", "fingerprint": "f1"}
    folders = [write("gold0", gold(), 1), write("npo0", unlearned(), 2)]
    folders += [write("b_gold0", _renamed(gold()), 3, other), write("b_npo0", _renamed(unlearned()), 2, other)]
    rows = {(row["Model Family"], row["Method"]): row for row in rows_of(tmp_path, folders)}
    logs = [log_of(folder) for folder in folders]
    for family, name, (golds, model) in (("tiny", "npo", logs[:2]), ("other", "npo", logs[2:])):
        found = compare({"m": model}, {"g": golds}, draws=0).models["m"].sets["max"].value
        row = next(row for (of, _), row in rows.items() if of == family and row["Method"].startswith(name))
        assert float(row["D Max"]) == pytest.approx(found)


def _renamed(lineage):
    return [{**link, "fingerprint": f"other {link['fingerprint']}"} for link in lineage]


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("forget_split", "forget05", "forget_split is forget05 and forget10"),
        ("retain_split", "retain95", "retain_split is retain95 and retain90"),
        ("forget_modality", "image", "forget_modality is image and both"),
        ("metrics", "released", "metrics is released and correct"),
        ("seed", 1, "data.question_seed is 1 and 0"),
        ("stress", {"name": "int8"}, "stress is int8 and none"),
    ],
)
def test_what_was_asked_differently_is_refused_by_both_names(write, tmp_path, key, value, says):
    folders = [write("gold0", gold()), write("a", unlearned()), write("b", unlearned(seed=1), **{key: value})]
    with pytest.raises(UserError) as error:
        rows_of(tmp_path, [folders[2], *folders[:2]])
    text = str(error.value)
    assert says in text
    assert [f"runs/{name}/eval_results/eval_log_aggregated.json" in text for name in ("gold0", "b")] == [True, True]
    assert not (tmp_path / "out").exists()


def _task(key, value):
    return lambda manifest: manifest["tasks"]["retain_qa"].update({key: value})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_task("version", 2), "version of task retain_qa is"),
        (_task("modality", "image"), "modality of task retain_qa is"),
        (_task("choice", True), "choice of task retain_qa is"),
        (_task("fingerprint", "x"), "the items of task retain_qa are asked differently"),
        (
            _task("rows", {"path": "b", "config": "c", "fingerprint": "x"}),
            r"the rows of task retain_qa (retain_qa of data and c of b) have different contents",
        ),
    ],
)
def test_other_tasks_are_refused(write, tmp_path, change, says):
    folders = [write("gold0", gold()), write("b", unlearned())]
    file = folders[1] / "eval_results" / "manifest.json"
    manifest = json.loads(file.read_text())
    change(manifest)
    file.write_text(json.dumps(manifest))
    with pytest.raises(UserError) as error:
        rows_of(tmp_path, folders)
    assert says in str(error.value)
    assert "runs/gold0/" in str(error.value)
    assert "runs/b/" in str(error.value)


def test_other_items_are_refused(write, tmp_path):
    folders = [write("gold0", gold()), write("b", unlearned())]
    file = folders[1] / "eval_results" / "eval_log_aggregated.json"
    log = json.loads(file.read_text())
    log["real_world"]["uid"]["2"] = "x"
    file.write_text(json.dumps(log))
    with pytest.raises(UserError, match=r"gold0.* and .*/b/.* cannot be compared: task real_world has 1 items"):
        rows_of(tmp_path, folders)


def test_other_versions_of_the_metrics_are_refused(write, tmp_path):
    folders = [write("gold0", gold()), write("b", unlearned(), metrics_version=0)]
    with pytest.raises(UserError, match=r"runs/b/.* has metrics_version 0 but this version reads 1; evaluate again"):
        rows_of(tmp_path, folders)


def test_one_seed_twice_is_no_second_seed(write, tmp_path):
    twin = deepcopy(unlearned())
    twin[0]["fingerprint"] = "other weights"
    folders = [write("gold0", gold()), write("a", unlearned()), write("b", twin)]
    with pytest.raises(
        UserError, match=r"runs/a/.* and .*runs/b/.* have the same settings and seeds \(0/0\) but other"
    ):
        rows_of(tmp_path, folders)


def test_a_copy_of_a_run_is_counted_once(write, tmp_path):
    folders = [write("gold0", gold()), write("a", unlearned()), write("copy", unlearned())]
    assert [(row["Method"], row["n"]) for row in rows_of(tmp_path, folders)] == [("gold", "1"), ("npo", "1")]


def test_the_same_weights_under_other_prompts_are_another_model(write, tmp_path):
    other = {"name": "other", "fingerprint": "other prompts"}
    folders = [write("gold0", gold()), write("b_gold0", gold(), family=other)]
    rows = rows_of(tmp_path, folders)
    assert {(row["Model Family"], row["n"]) for row in rows} == {("tiny", "1"), ("other", "1")}


def test_a_family_without_gold_is_refused(write, tmp_path):
    folder = write("npo0", unlearned())
    with pytest.raises(UserError, match=r"None of the models of tiny is a gold.*add one to results, or name it"):
        rows_of(tmp_path, [folder])
    # A model that was finetuned on everyone before is none, whatever came after.
    late = write("late", [gold()[0], *base()])
    with pytest.raises(UserError, match="None of the models of tiny is a gold"):
        rows_of(tmp_path, [folder, late])
    rows = rows_of(tmp_path, [folder], [late])
    assert [row["Method"] for row in rows] == ["gold", "npo"]


def test_named_golds_alone_are_golds(runs, tmp_path):
    rows = rows_of(tmp_path, [runs], [runs / "gold1"])
    assert [(row["Method"], row["n"]) for row in rows if "finetune" in row["Method"]] == [("finetune", "2")]
    assert [(row["Seeds"]) for row in rows if row["Method"] == "gold"] == ["1"]


def test_what_is_not_there_is_refused(write, tmp_path):
    folder = write("gold0", gold())
    with pytest.raises(UserError, match=r'results has ".*nothing\*", where no evaluation lies'):
        rows_of(tmp_path, [folder, tmp_path / "nothing*"])
    with pytest.raises(UserError, match=r'golds has ".*absent", where no evaluation lies'):
        rows_of(tmp_path, [folder], [tmp_path / "absent"])
    assert LeaderboardConfig(save_dir="x").problems() == [
        "results is empty; name folders of evaluated runs, e.g. results=[runs/mini]."
    ]


def test_logs_of_other_tools_stand_alone_and_beside_their_like(write, tmp_path, new_log):
    tasks = [name for name in FOREIGN_TASKS if name.startswith("eval_")]
    for number, name in enumerate(("gold", "first", "second")):
        (tmp_path / f"{name}.json").write_text(json.dumps(new_log(tasks, number, uids=False)))
    files = [tmp_path / f"{name}.json" for name in ("first", "second")]
    rows = rows_of(tmp_path, files, [tmp_path / "gold.json"])
    assert sorted((row["Method"], row["n"], row["Settings"]) for row in rows) == [
        ("first", "1", ""), ("gold", "1", ""), ("second", "1", ""),
    ]  # fmt: skip
    with pytest.raises(UserError, match="None of the models of another tool is a gold"):
        rows_of(tmp_path, files)
    own = write("gold0", gold())
    with pytest.raises(UserError, match=r"first.json has no manifest.json beside it and .*runs/gold0/.* has one"):
        rows_of(tmp_path, files, [own])


@pytest.mark.skipif(not TOFU.is_dir(), reason="the real TOFU logs are not here (UNLEARN_SHARED_DATA)")
def test_real_logs_of_tofu(tmp_path):
    expected = json.loads((TOFU / "expected.json").read_text())["models"]
    rows = rows_of(tmp_path, [TOFU / "llama2-7b_full*.json"], [TOFU / "llama2-7b_retain90*.json"])
    assert [row["Method"] for row in rows] == [
        "llama2-7b_retain90_wd0.01", "llama2-7b_retain90_wd0", "llama2-7b_full_wd0.01",
    ]  # fmt: skip
    compared = 0
    for row in rows:
        for column, value in expected[f"{row['Method']}.json"].items():
            assert float(row[column]) == pytest.approx(value, abs=1e-6), (row["Method"], column)
            compared += 1
    assert compared == 39
    far = np.array([float(row["D Forget"]) for row in rows])
    assert far[2] > 50 * far[:2].max()
    with pytest.raises(UserError, match=r"task eval_log_forget.json has .*00 items"):
        rows_of(tmp_path, [TOFU / "llama2-7b_*.json"], [TOFU / "llama2-7b_retain90_wd0.json"])
