"""The check of the study of faces: all promises kept, then each broken on its own."""

import json

import cv_demo_check
import pytest

from unlearn.errors import UserError

GOLD = {"U-LIRA AUC": 0.48, "U-LIRA AUC Low": 0.43, "U-LIRA AUC High": 0.53}


def broken(original=0.8, **gold):
    """The promises that a study breaks whose gold differs in these ends."""
    ends = {f"U-LIRA AUC {end.capitalize()}": value for end, value in gold.items()}
    methods = {"gold": GOLD | ends, "original": {"U-LIRA AUC": original}}
    return [check.what for check in cv_demo_check.checks("study", {"methods": methods}) if not check.passed()]


def test_each_promise_is_broken_by_what_it_is_about_alone():
    assert broken() == []
    assert broken(low=0.51) == ["study: lower end of gold's U-LIRA AUC"]
    assert broken(high=0.49) == ["study: upper end of gold's U-LIRA AUC"]
    assert broken(high=0.6) == ["study: width of gold's interval"]
    assert broken(original=0.7) == ["study: U-LIRA AUC of the models that did not forget"]


def test_several_studies_are_checked_and_an_absent_one_is_named(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        methods = {"gold": GOLD, "original": {"U-LIRA AUC": 0.8}}
        (tmp_path / name / "scores.json").write_text(json.dumps({"methods": methods}))
    found = cv_demo_check.promised([str(tmp_path / name) for name in ("one", "two")])
    assert [check.passed() for check in found] == [True] * 8
    with pytest.raises(UserError, match=r"three/scores.json is absent; run `make cv-demo`"):
        cv_demo_check.promised([str(tmp_path / "three")])
