"""Numbers of the table are those of the comparison; with a sweep they are those of the other half of the people."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from unlearn.config.schema import Metrics
from unlearn.errors import UserError
from unlearn.metrics.columns import divergence_columns
from unlearn.metrics.distance import compare
from unlearn.metrics.logs import read_log
from unlearn.metrics.people import Half, half
from unlearn.report.__main__ import main
from unlearn.report.config import ReportConfig
from unlearn.report.runs import LOG
from unlearn.report.study import read_study

SETS = ("forget", "retain", "real", "max")


def table(folder):
    return {row["Method"]: row for row in csv.DictReader((folder / "table.csv").open())}


def expected(cfg, change=lambda log: log):
    logs = {name: change(read_log(f"{folder}/{LOG}")) for name, folder in cfg.models.items()}
    golds = {name: logs.pop(name) for name in cfg.golds}
    return compare(logs, golds, base="base")


def check(rows, comparison):
    for name, distances in {**comparison.models, **comparison.golds}.items():
        for key in SETS:
            found = [float(rows[name][f"D {key.capitalize()}{end}"]) for end in ("", " Low", " High")]
            interval = distances.sets[key]
            assert found == [interval.value, interval.low, interval.high], (name, key)


def test_distances_are_those_of_the_comparison(written, experiment_config):
    rows, comparison = table(written), expected(experiment_config(written))
    check(rows, comparison)
    npo = comparison.models["npo"]
    assert float(rows["npo"]["Remaining"]) == npo.remaining.value
    assert float(rows["npo"]["Remaining High"]) == npo.remaining.high
    assert rows["gold"]["Remaining"] == rows["gold"]["Within Gold's Spread"] == ""
    held = [key.capitalize() for key in SETS if comparison.models["base"].within[key]]
    assert rows["base"]["Within Gold's Spread"] == (", ".join(held) or "none")
    assert rows["grad_ascent"]["Within Gold's Spread"] == "none"
    shifts = [v.value for (task, _), v in npo.shifts.items() if task.startswith("forget")]
    assert float(rows["npo"]["Shift Forget"]) == pytest.approx(np.mean(shifts))
    assert float(rows["grad_ascent"]["Shift Forget"]) < 0 < float(rows["base"]["Shift Forget"])


def test_a_gold_is_held_against_the_others(written, experiment_config):
    cfg = experiment_config(written)
    logs = {name: read_log(f"{cfg.models[name]}/{LOG}") for name in ("npo", *cfg.golds)}
    golds = {name: logs[name] for name in cfg.golds}
    for name, own in (("gold", "gold"), ("gold_seed1", "gold_seed1"), ("npo", None)):
        columns = divergence_columns(logs[name], golds, own)
        assert len(columns) == 6
        for column, value in columns.items():
            assert float(table(written)[name][column]) == value, (name, column)


def test_a_distance_of_one_score_is_that_of_its_definition(written, experiment_config):
    cfg = experiment_config(written)
    p = {name: np.exp(-read_log(f"{folder}/{LOG}").tasks["forget_qa"].loss) for name, folder in cfg.models.items()}
    pool = np.concatenate([p[name] for name in cfg.golds])
    row = table(written)["npo"]
    assert float(row["d Prob. Forget QA"]) == pytest.approx(wasserstein_distance(p["npo"], pool))
    assert float(row["Shift Prob. Forget QA"]) == pytest.approx(p["npo"].mean() - pool.mean())


def test_one_gold_has_no_band_and_the_report_no_such_words(experiment_config, tmp_path):
    cfg = experiment_config(tmp_path, golds=["gold"])
    for name in ("gold_seed1", "gold_seed2"):
        del cfg.models[name]
    main(cfg)
    assert "Within Gold's Spread" not in table(tmp_path)["npo"]
    assert table(tmp_path)["gold"]["D Forget"] == ""
    page = (tmp_path / "report.html").read_text()
    assert "spread" not in page.lower()
    assert "one gold seed is from the others" not in page


def test_without_a_set_its_figure_is_said_to_be_absent(experiment, experiment_config, tmp_path):
    def without_retained(folder):
        for name in ("eval_log_aggregated.json", "manifest.json"):
            file = folder / "eval_results" / name
            content = json.loads(file.read_text())
            tasks = content["tasks"] if name == "manifest.json" else content
            for task in [task for task in tasks if task.startswith("retain")]:
                del tasks[task]
            file.write_text(json.dumps(content))

    models = {}
    for name in ("base", "gold", "npo"):
        models[name] = str(shutil.copytree(experiment / name, tmp_path / name))
        without_retained(tmp_path / name)
    main(ReportConfig(models, people=0, save_dir=str(tmp_path)))
    page = (tmp_path / "report.html").read_text()
    assert "Forgetting against keeping is not drawn: no task of the role retain was evaluated." in page
    assert not (tmp_path / "figures" / "forget_retain.png").exists()
    assert (tmp_path / "figures" / "distances.png").exists()
    assert "nan" not in page.partition("<body>")[2].partition('id="people"')[0].lower().split()


def test_published_metrics_have_neither_distances_nor_their_figures(blind, tmp_path):
    models = {name: str(blind / name) for name in ("base", "gold", "npo")}
    main(ReportConfig(models, metrics=Metrics.released, people=1, save_dir=str(tmp_path)))
    rows = table(tmp_path)
    assert {row["Metrics"] for row in rows.values()} == {"released"}
    assert float(rows["npo"]["ROUGE Forget QA"]) == 0.25
    assert not any(column.startswith(("D ", "d ", "JS", "Shift")) for column in rows["npo"])
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {"training", "cost"}
    page = (tmp_path / "report.html").read_text()
    assert "These numbers follow CLEAR's published code" in page
    assert "<caption>Metrics: released." in page
    assert "Wasserstein" not in page
    for name in ("summary.md", "table.md", "table.tex"):
        assert "Metrics: released." in (tmp_path / name).read_text()


def test_published_metrics_need_answers_without_the_picture(experiment_config, tmp_path):
    cfg = experiment_config(tmp_path, metrics=Metrics.released)
    for name in cfg.models:
        log = tmp_path / name / LOG
        log.parent.mkdir(parents=True)
        entry = json.loads((Path(cfg.models[name]) / LOG).read_text())
        for of_task in entry.values():
            del of_task["rougeL_recall_blind"]
        log.write_text(json.dumps(entry))
        shutil.copy(Path(cfg.models[name]) / LOG.parent / "manifest.json", log.parent)
        cfg.models[name] = str(tmp_path / name)
    with pytest.raises(UserError, match="evaluate again with metrics=released"):
        main(cfg)


def test_a_sweep_adds_its_models_and_reports_on_the_other_half(experiment_config, sweep, tmp_path):
    cfg = experiment_config(tmp_path, sweep=str(sweep))
    whole = dict(cfg.models)
    for name in ("npo", "grad_ascent"):
        del cfg.models[name]
    main(cfg)
    cfg.models = whole
    rows = table(tmp_path)
    assert list(rows) == list(whole)
    check(rows, expected(cfg, lambda log: half(log, Half.report, 3)))
    logs = {name: half(read_log(f"{folder}/{LOG}"), Half.report, 3) for name, folder in whole.items()}
    for column, value in divergence_columns(logs["npo"], {name: logs[name] for name in cfg.golds}).items():
        assert float(rows["npo"][column]) == value
    assert rows["npo"]["D Forget"] != str(expected(cfg).models["npo"].sets["forget"].value)
    assert (tmp_path / "figures" / "trials.png").is_file()
    page = (tmp_path / "report.html").read_text()
    assert "Every method had the same number of trials" in page
    assert "not tuned" not in page
    assert "Distances: the people on whom no setting was chosen" in page
    assert "distances below are those of the other half" in page
    assert "npo: <code>lr=1e-5 num_epochs=5</code>" in page
    for name in ("summary.md", "table.md", "table.tex"):
        text = (tmp_path / name).read_text()
        assert "Distances are those of the people on whom no setting was chosen" in text
        assert "not tuned" not in text


def test_a_method_is_either_given_or_chosen(experiment_config, sweep, tmp_path):
    with pytest.raises(UserError, match="npo is in models and chosen by sweep"):
        read_study(experiment_config(tmp_path, sweep=str(sweep)))


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("trials.csv", "lr,num_epochs", "rate,num_epochs", "no table of trials with the columns"),
        ("trials.csv", ",true,", ",yes,", "no table of trials with the columns"),
        ("trials.csv", "0.15", "near", "no table of trials with the columns"),
        ("selection.json", '"seed"', '"sead"', "no selection of a sweep"),
        ("selection.json", '"folder"', '"place"', "no selection of a sweep"),
        ("selection.json", '"npo"', '"kl"', "selection.json for others"),
    ],
)
def test_a_broken_sweep_is_named(experiment_config, sweep, tmp_path, file, old, new, says):
    path = sweep / file
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=says):
        read_study(experiment_config(tmp_path, sweep=str(sweep)))


def test_a_sweep_that_is_not_there_is_named(experiment_config, sweep, tmp_path):
    (sweep / "trials.csv").unlink()
    with pytest.raises(UserError, match="no table of trials"):
        read_study(experiment_config(tmp_path, sweep=str(sweep)))
    with pytest.raises(UserError, match=r"selection\.json is absent"):
        read_study(experiment_config(tmp_path, sweep=str(tmp_path / "nowhere")))


def test_the_chosen_models_come_from_the_folders_of_the_selection(experiment_config, sweep, tmp_path):
    path = sweep / "selection.json"
    content = json.loads(path.read_text())
    content["methods"]["npo"]["folder"] = str(tmp_path / "gone")
    path.write_text(json.dumps(content))
    cfg = experiment_config(tmp_path, sweep=str(sweep))
    for name in ("npo", "grad_ascent"):
        del cfg.models[name]
    with pytest.raises(UserError, match="gone"):
        read_study(cfg)
