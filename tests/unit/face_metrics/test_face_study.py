"""A made-up study whose answers are known: gold, models that unlearned nothing, and cheats."""

import re
from pathlib import Path

import face_world
import numpy as np
import pytest

from unlearn.errors import UserError
from unlearn.metrics.faces.accuracy import pairs, set_accuracy, sets
from unlearn.metrics.faces.enrolment import Protocol
from unlearn.metrics.faces.reenrolment import identified_from, reenrolment
from unlearn.metrics.faces.study import Study, attacked_pictures, method_row

OF = face_world.study(24)
GOLD = face_world.found(OF, face_world.embeddings(OF, known=1.0, seed=1))


@pytest.fixture(scope="module")
def rows():
    original = face_world.found(OF, face_world.embeddings(OF, known=2.0, seed=2))
    return {"gold": method_row(GOLD, GOLD, OF), "original": method_row(original, GOLD, OF)}


def test_gold_is_at_chance_and_at_no_distance_from_itself(rows):
    row = rows["gold"]
    for attack in ("U-LIRA", "U-LIRA person", "U-MIA"):
        assert row[f"{attack} AUC Low"] <= 0.5 <= row[f"{attack} AUC High"]
    assert row["U-LIRA AUC High"] - row["U-LIRA AUC Low"] < 0.15
    assert row["U-LIRA released Acc. Low"] <= 0.5 <= row["U-LIRA released Acc. High"]
    assert (row["ToW"], row["Gap Forget"], row["KLoM Forget"], row["KLoM Retain P95"]) == (1, 0, 0, 0)
    assert row["KLoM Gold"] > 0


def test_models_that_forgot_nothing_are_found_out(rows):
    row = rows["original"]
    assert row["U-LIRA AUC Low"] > 0.7
    assert row["U-MIA AUC Low"] > 0.7
    # A person's mean over pictures tells more than one picture.
    assert row["U-LIRA person AUC"] > row["U-LIRA AUC"]
    assert row["Gap Forget Low"] > 0.1
    assert row["Gap Retain Low"] <= 0 <= row["Gap Retain High"]
    assert row["ToW High"] < 0.9
    assert row["KLoM Forget"] > 1.2 * row["KLoM Gold"]
    # 24 models x 60 pictures, a half of them out: enough for 1% and too few for 0.1%.
    assert isinstance(row["U-LIRA TPR@1% FPR"], float)
    assert row["U-LIRA TPR@0.1% FPR"] == "n/a"


def constant(values, vector):
    """Every picture of whom a model forgot gets one embedding."""
    cheat = values.copy()
    cheat[OF.sets.forget[:, OF.roster.person]] = vector
    return cheat


def test_one_embedding_for_all_forgotten_people_is_visible(rows):
    cheat = constant(face_world.embeddings(OF, known=2.0, seed=2), np.ones(16))
    row = method_row(face_world.found(OF, cheat), GOLD, OF)
    assert row["Acc. Forget"] < 0.1
    assert row["Gap Forget High"] < 0
    assert row["U-LIRA AUC Low"] > 0.9
    assert row["KLoM Forget"] > 2 * row["KLoM Gold"]


def test_a_margin_held_constant_at_gold_s_mean_hides_from_means_and_not_from_klom():
    """Means alone are what `pooled` compares; such models betray themselves by being too much alike."""
    cells = OF.sets.forget[:, OF.roster.person]
    held = {}
    for name in ("own", "other", "margin", "length"):
        values = getattr(GOLD, name).copy()
        mean = np.where(OF.sets.holdout[:, OF.roster.person], values, np.nan)
        mean = np.nanmean(mean[:, attacked_pictures(OF)], axis=0)
        of_all = np.zeros(values.shape[1])
        of_all[attacked_pictures(OF)] = mean
        values[cells] = np.broadcast_to(of_all, values.shape)[cells]
        held[name] = values
    row = method_row(type(GOLD)(**held), GOLD, OF)
    assert row["U-LIRA AUC"] < 0.6
    assert row["KLoM Forget"] > 1.5 * row["KLoM Gold"]
    assert row["U-LIRA released Acc. Low"] > 0.8


def test_re_enrolment_finds_what_is_left_and_nothing_in_gold():
    curves = {}
    for name, known in (("gold", 1.0), ("original", 2.0)):
        values = face_world.embeddings(OF, known, seed=3, noise=1.5)
        found = face_world.found(OF, values)
        curves[name] = reenrolment(values, OF.roster, found, OF.sets, OF.fold, Protocol.disjoint)
        # From all pictures that enrol it is ordinary identification.
        assert (identified_from(values, OF.roster, found, 3, Protocol.disjoint) == found.identified).mean() > 0.999
    assert [shots.k for shots in curves["gold"]] == [1, 2, 3]
    for gold, original in zip(curves["gold"], curves["original"], strict=True):
        assert original.difference.low > 0.1
        assert gold.difference.low <= 0 <= gold.difference.high
        assert gold.difference.value == pytest.approx(gold.forgotten.value - gold.never.value)
    assert curves["gold"][0].never.value < curves["gold"][2].never.value


def test_re_enrolment_against_a_loop():
    values, person = face_world.embeddings(OF, seed=4)[:4], OF.roster.person
    few = Study(OF.roster, sets(OF.sets.forget[[0, 1, 12, 13]], OF.sets.retain[[0, 1, 12, 13]]), pairs(4))
    found = face_world.found(few, values, Protocol.released)
    hits = identified_from(values, OF.roster, found, 2, Protocol.released)
    for model in range(4):
        for n in range(0, len(person), 7):
            enrolment = {}
            for p in range(face_world.PEOPLE):
                rows = np.flatnonzero(person == p)[: 2 if p == person[n] else face_world.ENROLS]
                mean = values[model, rows].mean(axis=0)
                enrolment[p] = mean @ values[model, n] / np.linalg.norm(mean)
            assert hits[model, n] == (max(enrolment, key=enrolment.get) == person[n])
    shots = reenrolment(values, OF.roster, found, few.sets, few.fold, Protocol.released)[1]
    expected = set_accuracy(hits, OF.roster, few.sets.forget).mean()
    assert shots.forgotten.value == pytest.approx(expected)


def test_a_study_in_which_nobody_is_in_and_out_is_refused():
    half = slice(0, 12)
    one_block = Study(OF.roster, sets(OF.sets.forget[half], OF.sets.retain[half]), pairs(12))
    with pytest.raises(UserError, match="splits of both blocks"):
        attacked_pictures(one_block)


def test_every_documented_column_is_there_and_none_is_left_out(rows):
    text = (Path(__file__).parents[3] / "docs" / "faces.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    named = {name for line in lines for name in re.findall(r"`([^`]+)`", line.split("|")[1])}
    assert named <= set(rows["gold"])

    def kind(column):
        """What a column measures, whichever set, rate or end of an interval it is of."""
        return re.sub(r" (Low|High|Forget|Retain|Holdout|Unseen|P95|AUC|Acc\.|TPR[^ ]*)( .*|$)", "", column)

    assert {kind(column) for column in rows["gold"]} == {kind(column) for column in named}
    assert all(re.search(r"\[(\d{4}\.\d{5})\]\(https://arxiv.org/abs/\1\)", line) for line in lines)
