"""A model is evaluated as what it was trained as: another gold is no measure."""

import pytest
import yaml

from unlearn.config.scripts import EvalConfig
from unlearn.entry import load
from unlearn.errors import UserError
from unlearn.evaluation.origin import check_origin

FORGET = {"forget_loss": {"name": "npo"}, "forget_split": "forget05", "retain_split": "retain95"}


def asked(folder, *given):
    return load("mm/eval", [f"model_path={folder}", *given], EvalConfig)


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ({"split": "retain95", "forget_modality": "both"}, "retain_split=retain95, not retain_split=retain90"),
        ({"split": "retain90", "forget_modality": "image"}, "forget_modality=image, not forget_modality=both"),
        (
            {**FORGET, "forget_modality": "both"},
            "forget_split=forget05, retain_split=retain95, not forget_split=forget10",
        ),
        (
            {**FORGET, "forget_split": "forget10", "retain_split": "retain90", "forget_modality": "text"},
            "modality=text",
        ),
    ],
)
def test_other_splits_and_modalities_are_refused(run, told, tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(run))
    with pytest.raises(UserError, match=told):
        check_origin(asked(tmp_path))


@pytest.mark.parametrize(
    ("run", "given"),
    [
        ({"split": "full", "forget_modality": "image"}, []),
        ({"split": "retain90", "forget_modality": "both"}, []),
        ({"split": "retain90", "forget_modality": "image"}, ["forget_modality=image"]),
        ({**FORGET, "forget_modality": "both"}, ["forget_split=forget05", "retain_split=retain95"]),
        ({"something": "else"}, []),
    ],
)
def test_what_fits_passes(run, given, tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(run))
    check_origin(asked(tmp_path, *given))


def test_a_model_without_a_run_fits_every_evaluation(tmp_path):
    check_origin(asked(tmp_path))
    check_origin(load("mm/eval", ["model_path=null", f"save_dir={tmp_path}"], EvalConfig))
