"""The leakage matrix on hand-made logs: every number worked out, leaks and what is kept told apart, refusals."""

import csv
import json
from math import log
from pathlib import Path

import hand_made
import pytest

from unlearn.entry import load
from unlearn.errors import UserError
from unlearn.metrics.manifest import FORMAT, METRICS_VERSION, results_folder
from unlearn.report.figures import leakage as figure
from unlearn.report.figures.style import THEMES, render
from unlearn.report.leakage import LeakageConfig, leakage, main

PEOPLE = 12
TASKS = {"forget_qa": "text", "forget_names": "image", "retain_qa": "text"}
BLANK = "forget_names_blank_picture"
GOLD = 0.2
"""Probability of every true answer under gold where something was to be forgotten; 0.8 where it is known."""
KNOWN = 0.8


def role(task, modality):
    forgotten = task.startswith("forget") and modality in ("both", TASKS.get(task, "image"))
    return "forget" if forgotten else "retain"


def write_log(run, modality, levels, stress=None, people=PEOPLE):
    """Write an evaluation whose true answers have these probabilities by task; ROUGE and R are alike everywhere."""
    folder = run / results_folder(stress)
    folder.mkdir(parents=True)
    content, infos = {}, {}
    for task, level in levels.items():
        ids = [str(i) for i in range(people)]
        content[task] = {
            "avg_gt_loss": dict.fromkeys(ids, -log(level)), "avg_paraphrased_loss": dict.fromkeys(ids, 1.0),
            "average_perturb_loss": {i: [1.0, 1.0] for i in ids}, "rougeL_recall": dict.fromkeys(ids, 0.5),
            "uid": {i: f"{task[:9]}{i}" for i in ids}, "group": {i: f"Person {i}" for i in ids},
        }  # fmt: skip
        infos[task] = {
            "version": 1, "role": role(task, modality), "choice": False, "modality": TASKS.get(task, "image"),
            "label": task.replace("_", " "), "probe_of": "forget_names" if task == BLANK else None,
            "expected": people, "scored": people, "fingerprint": task, "rows": hand_made.rows(task),
        }  # fmt: skip
    splits = {"forget_split": "forget10", "retain_split": "retain90", "forget_modality": modality}
    mode = {"format": FORMAT, "metrics_version": METRICS_VERSION, "metrics": "correct", "seed": 0, "cost": {}}
    mode["provenance"] = hand_made.provenance()
    (folder / "eval_log_aggregated.json").write_text(json.dumps(content))
    (folder / "manifest.json").write_text(json.dumps({**mode, **splits, "tasks": infos}))


def levels(modality, **changes):
    """Gold's probabilities: low on what it never saw, and on names under a grey picture."""
    known = {task: GOLD if role(task, modality) == "forget" else KNOWN for task in TASKS}
    return {**known, BLANK: GOLD, **changes}


def write_experiment(folder, modality, npo, people=PEOPLE):
    everything = {**dict.fromkeys(TASKS, KNOWN), BLANK: GOLD}
    write_log(folder / "gold", modality, levels(modality), people=people)
    write_log(folder / "full", modality, everything, people=people)
    write_log(folder / "npo", modality, levels(modality, **npo), people=people)
    for run, of_names in (("gold", 0.2), ("full", 0.8), ("npo", 0.65)):
        at = levels(modality, forget_names=of_names if modality != "text" else KNOWN)
        write_log(folder / run, modality, at, "base_projector", people)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Config of the matrix of three experiments: npo forgot texts well, and pictures but for grey ones."""
    root = tmp_path_factory.mktemp("leakage")
    write_experiment(root / "text", "text", {"forget_qa": 0.2, "forget_names": 0.5})
    write_experiment(root / "image", "image", {"forget_names": 0.2, BLANK: 0.5})
    write_experiment(root / "both", "both", {"forget_qa": 0.35, "forget_names": 0.05})
    return config(root, {name: str(root / name) for name in ("text", "image", "both")})


def config(root, experiments, **changes):
    keys = {"golds": ["gold"], "methods": ["npo"], "stresses": ["base_projector"], "save_dir": str(root / "out")}
    return LeakageConfig(experiments=experiments, **{**keys, **changes})


WAYS = ("forget qa", "forget names", "forget names blank picture", "forget names, base projector")


def test_the_matrix_by_hand(made):
    """The shift of a task is a third of that of the probability: ROUGE and R are those of gold."""
    section = leakage(made)
    assert section.table.columns == WAYS
    expected = {
        ("base", "text"): [0.6, "kept 0", "kept 0", "kept 0"],
        ("npo", "text"): [0.0, "kept -0.3", "kept 0", "kept 0"],
        ("base", "image"): ["kept 0", 0.6, 0.0, 0.6],
        ("npo", "image"): ["kept 0", 0.0, 0.3, 0.45],
        ("base", "both"): [0.6, 0.6, 0.0, 0.6],
        ("npo", "both"): [0.15, -0.15, 0.0, 0.45],
    }
    rows = {(row["Method"], row["Forgotten"], row["Probe"]): row for row in section.rows}
    assert len(rows) == len(section.rows) == 2 * 3 * 4
    for (model, modality), cells in expected.items():
        for way, cell in zip(WAYS, cells, strict=True):
            row = rows[model, modality, way]
            kept = isinstance(cell, str)
            shift = float(cell.split()[-1]) / 3 if kept else cell / 3
            assert row["Shift"] == pytest.approx(shift, abs=1e-12), (model, modality, way)
            assert row["Shift Low"] == pytest.approx(shift, abs=1e-12)
            assert row["D"] == pytest.approx(abs(shift), abs=1e-12)
            assert row["Leak"] == ("kept" if kept else "yes" if cell > 0 else "no")
            assert row["Role"] == ("retain" if kept else "forget")


def test_what_is_left_of_bases_leak(made):
    rows = {(row["Method"], row["Forgotten"], row["Probe"]): row["Of Base"] for row in leakage(made).rows}
    assert rows["base", "both", "forget qa"] == 1
    assert rows["npo", "both", "forget qa"] == pytest.approx(0.15 / 0.6)
    assert rows["npo", "both", "forget names"] == pytest.approx(-0.15 / 0.6)
    assert rows["npo", "image", "forget names, base projector"] == pytest.approx(0.45 / 0.6)
    # Base does not leak under a grey picture, and nothing can leak of what is kept.
    assert rows["npo", "image", "forget names blank picture"] is None
    assert rows["npo", "text", "forget names"] is None


def test_a_task_that_nobody_was_to_forget_is_no_column(made):
    assert not any("retain" in way for way in leakage(made).table.columns)
    text = leakage(config(made_root(made), {"text": made.experiments["text"]}))
    assert text.table.columns == ("forget qa",)


def made_root(made):
    return Path(made.save_dir).parent


def test_few_people_leak_nothing_for_certain(tmp_path):
    write_experiment(tmp_path / "both", "both", {"forget_qa": 0.8}, people=9)
    section = leakage(config(tmp_path, {"both": str(tmp_path / "both")}))
    assert {row["Leak"] for row in section.rows} == {"n/a"}
    assert section.table.lines[0].cells[0].beside == "[n/a]; D 0.200"


def test_cells_say_what_is_a_leak_and_what_is_kept(made):
    lines = {line.name: [cell.text for cell in line.cells] for line in leakage(made).table.lines}
    assert list(lines) == [f"{m}, {f} forgotten" for m in ("base", "npo") for f in ("text", "image", "both")]
    assert lines["npo, both forgotten"] == ["+0.050 leak", "-0.050", "+0.000", "+0.150 leak"]
    assert lines["npo, text forgotten"][:2] == ["+0.000", "-0.100 kept"]


def test_everything_is_written(made):
    main(made)
    folder = made_root(made) / "out"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {"leakage.csv", "leakage.md", "leakage.json", "leakage.html", "figures/leakage.png"}
    table = list(csv.DictReader((folder / "leakage.csv").open()))
    assert [row["Probe"] for row in table] == [
        row["Probe"] for row in json.loads((folder / "leakage.json").read_text())
    ]
    page = (folder / "leakage.html").read_text()
    assert "+0.150 leak" in page
    assert "nothing is called a leak" in page
    assert page.count("data:image/png;base64") == 2
    assert "| forget qa" in (folder / "leakage.md").read_text()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"experiments": {}}, "experiments is empty; name at least one"),
        (
            {"experiments": {"pictures": "x"}},
            'Unknown modality in experiments: "pictures"; allowed are: both, image, text',
        ),
        ({"golds": []}, "golds is empty"),
        ({"methods": []}, "methods is empty"),
        ({"methods": ["npo", "gold"]}, "gold is named twice; each run is base, a gold or a method"),
        ({"methods": ["base"]}, "base is named twice"),
    ],
)
def test_wrong_keys_are_named(changes, words):
    keys = {"experiments": {"text": "x"}, "golds": ["gold"], "methods": ["npo"], "save_dir": "out", **changes}
    assert words in " ".join(LeakageConfig(**keys).problems())


def test_an_experiment_under_another_modality_is_refused(made):
    with pytest.raises(
        UserError, match=r"is an evaluation where text was to be forgotten, but stands under experiments.image"
    ):
        leakage(config(made_root(made), {"image": made.experiments["text"]}))


def test_an_evaluation_that_is_not_there_is_named(made):
    with pytest.raises(
        UserError, match=r"npo/eval_results_int4/eval_log_aggregated.json is absent|gold/eval_results_int4"
    ):
        leakage(config(made_root(made), made.experiments, stresses=["int4"]))


def test_the_keys_are_those_of_the_command_line():
    given = ["+experiments.text=a", "+experiments.both=b", "golds=[g]", "methods=[m]", "save_dir=o"]
    cfg = load("leakage", given, LeakageConfig)
    assert (cfg.experiments, cfg.golds, cfg.base) == ({"text": "a", "both": "b"}, ["g"], "full")


def test_the_figure_frames_leaks_and_has_every_number_in_its_square():
    square = figure.Square
    rows = [
        [square(0.4, leak=True, kept=False), None],
        [square(-0.2, leak=False, kept=True), square(0.0, False, False)],
    ]
    panels = [figure.Panel("npo", rows)]
    drawn = figure.draw(panels, ["text", "image"], ["Forget QA", "Forget Names, blank picture"], THEMES[0])
    (axes,) = drawn.axes
    texts = {(round(t.get_position()[0]), round(t.get_position()[1])): t for t in axes.texts}
    assert {place: t.get_text() for place, t in texts.items()} == {(0, 0): "+0.40", (0, 1): "-0.20", (1, 1): "+0.00"}
    assert texts[0, 1].get_color() != texts[0, 0].get_color()
    (frame,) = axes.patches
    assert frame.get_x() == pytest.approx(-0.47)
    assert frame.get_y() == pytest.approx(-0.44)
    assert axes.images[0].get_clim() == (-0.4, 0.4)
    for theme in THEMES:
        assert render(lambda t: figure.draw(panels, ["text", "image"], ["a", "b"], t), theme).startswith(b"\x89PNG")
