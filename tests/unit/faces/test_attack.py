"""cv/attack.py from stored embeddings to its files, on hand-made ones whose answers are known; and what it refuses."""

import csv
import json

import numpy as np
import pytest
from faces_data import PEOPLE, write_study
from safetensors.numpy import save_file

from unlearn.errors import UserError
from unlearn.experiment.scripts import script_config, script_main
from unlearn.faces.album import load_album, splits_of
from unlearn.faces.embeddings import FILE, mark

MODELS, SIZE, ENROLS = 10, 8, 2
KNOWN = {"original": 3.0, "gold": 1.0, "half": 1.7}
"""How much of a forgotten person the models of a method know, where 1 is as much as of somebody never seen."""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Overrides of cv/attack.py, and the root of the methods' folders (read only)."""
    root = tmp_path_factory.mktemp("study")
    given = [*write_study(root / "data"), f"models={MODELS}", f"splits_path={root / 'splits.json'}", "draws=60"]
    for name, known in KNOWN.items():
        write_models(root / name, given, known, gold=name == "gold")
    return root, given


def overrides(root, given, out, *more):
    folders = [f"original={root / 'original'}", f"gold={root / 'gold'}", f"methods=[{root / 'half'}]"]
    return [*given, *folders, f"save_dir={out}", "figures=false", *more]


def attack(root, given, out, *more):
    script_main("cv/attack")(script_config("cv/attack", overrides(root, given, out, *more)))
    return json.loads((out / "scores.json").read_text())


def write_models(folder, given, known, gold=False, reserve=True):
    """Write models as cv/finetune.py, cv/forget.py and cv/eval.py leave them behind."""
    cfg = script_config("cv/attack", given)
    album = load_album(cfg.face_data)
    centres = np.random.default_rng(1).normal(size=(len(PEOPLE), SIZE))
    for split in splits_of(cfg, album):
        own = folder / f"{split.index:03d}"
        (own / FILE).parent.mkdir(parents=True)
        people = split.retain if gold else (*split.retain, *split.forget)
        (own / "people.json").write_text(json.dumps(people))
        (own / "config.yaml").write_text(f"reserve: {str(reserve).lower()}\n")
        cost = {"wall_seconds": 2.0 + split.index, "peak_memory_bytes": 2**20, "forwards": 10 * known}
        (own / "done.json").write_text(json.dumps({"cost": cost}))
        save_file({"w": np.full(1, split.index + known)}, own / "model.safetensors")
        knows = {**dict.fromkeys(PEOPLE, 1.0), **dict.fromkeys(split.retain, 3.0), **dict.fromkeys(split.forget, known)}
        rng = np.random.default_rng([split.index, int(10 * known)])
        rows = [knows[name] * centres[PEOPLE.index(name)] + rng.normal(size=SIZE) for name in album.names]
        save_file({"embeddings": np.array(rows, dtype=np.float32)}, own / FILE, {"of": mark(own, album)})
    return folder


def naive_accuracy(folder, of, splits):
    """Share of the scored pictures of the people in `of(split)` that are nearest to their own enrolment vector."""
    from safetensors.numpy import load_file

    shares = []
    for split in splits:
        values = load_file(folder / f"{split['index']:03d}" / FILE)["embeddings"].astype(float)
        values /= np.linalg.norm(values, axis=1, keepdims=True)
        per = len(values) // len(PEOPLE)
        enrolled = {n: values[i * per : i * per + ENROLS].mean(axis=0) for i, n in enumerate(PEOPLE)}
        nearest = []
        for name in of(split):
            for row in range(PEOPLE.index(name) * per + ENROLS, (PEOPLE.index(name) + 1) * per):
                score = {n: values[row] @ v / np.linalg.norm(v) for n, v in enrolled.items()}
                nearest.append(max(score, key=score.get) == name)
        shares.append(np.mean(nearest))
    return np.mean(shares)


def test_from_embeddings_to_every_file(study, tmp_path):
    root, given = study
    found = attack(root, given, tmp_path, "figures=true")
    methods = found["methods"]
    assert list(methods) == ["original", "gold", "half"]
    splits = json.loads((root / "splits.json").read_text())["splits"]
    for name, row in methods.items():
        for part in ("forget", "retain"):
            expected = naive_accuracy(root / name, lambda split, part=part: split[part], splits)
            assert row[f"Acc. {part.capitalize()}"] == pytest.approx(expected)
        assert row["Train Wall Seconds"] == pytest.approx(2 + (MODELS - 1) / 2)
        assert row["Train Forwards"] == pytest.approx(10 * KNOWN[name])
        assert row["Acc. Forget Low"] < row["Acc. Forget"] < row["Acc. Forget High"]
    # Gold saw neither side, the others know more of those whom they forgot, and the more the more they know.
    assert methods["gold"]["U-LIRA AUC Low"] < 0.5 < methods["gold"]["U-LIRA AUC High"]
    assert methods["original"]["U-LIRA AUC Low"] > 0.7
    assert methods["gold"]["U-LIRA AUC"] < methods["half"]["U-LIRA AUC"] < methods["original"]["U-LIRA AUC"]
    assert methods["gold"]["ToW"] == 1
    assert methods["original"]["Re-enrolled Difference k=1 Low"] > 0
    assert found["chance"]["identification"] == pytest.approx(1 / 12)
    assert {"models": MODELS, "people": 12, "pictures": 60, "protocol": "disjoint"}.items() <= found["study"].items()
    rows = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert [float(row["U-LIRA AUC"]) for row in rows] == [row["U-LIRA AUC"] for row in methods.values()]
    summary = (tmp_path / "summary.md").read_text()
    assert all(f"| {name} " in summary for name in methods)
    assert r"TPR@1\% FPR" in (tmp_path / "table.tex").read_text()
    assert "0.083" in (tmp_path / "table.md").read_text()
    page = (tmp_path / "report.html").read_text()
    assert page.count("<figure>") == 4
    assert {file.name for file in (tmp_path / "figures").iterdir()} == {
        f"{name}.png" for name in ("accuracy", "logits", "roc", "re_enrolment")
    }


def test_it_is_a_function_of_the_embeddings_and_the_seed(study, tmp_path):
    root, given = study
    first, again, other = (
        attack(root, given, tmp_path / str(i), f"seed={seed}")["methods"]["half"] for i, seed in enumerate((0, 0, 1))
    )
    assert first == again
    differing = {key for key in first if first[key] != other[key]}
    assert differing
    assert all(key.startswith("U-") and key.endswith(("Low", "High")) for key in differing)


def test_without_draws_attacks_have_no_interval_and_figures_are_drawn_on_demand(study, tmp_path):
    root, given = study
    row = attack(root, given, tmp_path, "draws=0")["methods"]["half"]
    assert row["U-LIRA AUC Low"] == "n/a"
    assert isinstance(row["Acc. Forget Low"], float)
    assert not list((tmp_path / "figures").iterdir())


def test_the_published_protocol_is_of_models_that_trained_on_the_pictures_that_enrol(study, tmp_path):
    root, given = study
    with pytest.raises(UserError, match=r"did not train on the pictures that enrol.* set protocol=disjoint"):
        attack(root, given, tmp_path, "protocol=released")
    for name, known in KNOWN.items():
        write_models(tmp_path / name, given, known, gold=name == "gold", reserve=False)
    found = attack(tmp_path, given, tmp_path / "out", "protocol=released")
    assert found["methods"]["half"]["Protocol"] == "released"
    with pytest.raises(UserError, match=r"trained on the pictures that enrol.* set protocol=released"):
        attack(tmp_path, given, tmp_path / "out")


def test_models_that_are_missing_are_counted_before_anything_is_read(study, tmp_path):
    root, given = study
    with pytest.raises(UserError, match=r'absent" lacks 10 of 10 models .* \(the first is 000\); train them'):
        attack(root, given, tmp_path, f"methods=[{root / 'absent'}]")
    write_models(tmp_path / "cut", given, 2.0)
    (tmp_path / "cut/007/done.json").unlink()
    with pytest.raises(UserError, match=r"lacks 1 of 10 .* \(the first is 007\)"):
        attack(root, given, tmp_path, f"methods=[{tmp_path / 'cut'}]")
    (tmp_path / "cut/007/done.json").write_text("{}")
    (tmp_path / "cut/007" / FILE).unlink()
    with pytest.raises(UserError, match=r'cut/007" lacks the embeddings of these pictures; run cv/eval.py'):
        attack(root, given, tmp_path, f"methods=[{tmp_path / 'cut'}]")


def test_models_of_other_people_than_the_splits_say_are_refused(study, tmp_path):
    root, given = study
    with pytest.raises(UserError, match=r'original/000" was trained on other people than split 0'):
        attack(root, given, tmp_path, f"gold={root / 'original'}", f"original={root / 'gold'}")
    with pytest.raises(UserError, match=r"was trained on other people than split \d of .*other.json"):
        attack(root, given, tmp_path, f"splits_path={tmp_path / 'other.json'}", "split_seed=43")
    with pytest.raises(UserError, match="holds splits of another dataset"):
        attack(root, given, tmp_path, "split_seed=43")


def test_embeddings_of_other_pictures_are_refused(study, tmp_path):
    root, given = study
    other = write_study(tmp_path / "data", pictures=6)
    more = [*other, f"splits_path={tmp_path / 'splits.json'}"]
    with pytest.raises(UserError, match="lacks the embeddings of these pictures"):
        attack(root, given, tmp_path / "out", *more)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["models=4"], "models is 4; allowed is an even number from 6 on, for an attack"),
        (["models=9"], "models is 9"),
        (["draws=-1"], "draws is -1; allowed is 0 or above"),
        (["methods=[a/npo,b/npo]"], "original, gold and methods have npo twice"),
        (["protocol=disjunct"], "protocol"),
    ],
)
def test_mistakes_are_named_before_anything_is_read(more, words):
    with pytest.raises(UserError) as caught:
        script_config("cv/attack", more)
    assert words in str(caught.value)
