"""The keys of cv's scripts: every file composes, default paths fit each other, mistakes are told in words."""

import re
import shlex
from pathlib import Path

import pytest

from unlearn.config.faces import FaceAttack, FaceEval, FaceFinetune, FaceForget, FaceTraining
from unlearn.entry import load
from unlearn.errors import UserError
from unlearn.methods.base import load_all

CONFIG = Path(__file__).parents[3] / "config"
SCHEMAS = {
    "pretrain": FaceTraining,
    "finetune": FaceFinetune,
    "forget": FaceForget,
    "eval": FaceEval,
    "attack": FaceAttack,
}


def config(script, *given):
    return load(f"cv/{script}", list(given), SCHEMAS[script])


def stems(group):
    return sorted(path.stem for path in (CONFIG / group).glob("*.yaml"))


def test_every_file_composes():
    assert set(stems("cv")) == set(SCHEMAS)
    for script in SCHEMAS:
        for group in ("face_model", "face_data"):
            assert [getattr(config(script, f"{group}={n}"), group).name for n in stems(group)] == stems(group)
    refused = {name for name, method in load_all().items() if method.without_answers}
    for name in set(stems("forget_loss")) - refused - {"pdu"}:
        assert config("forget", f"forget_loss={name}").forget_loss.name == name


def test_the_commands_of_the_readme_make_what_later_ones_read():
    text = (CONFIG.parent / "cv" / "README.md").read_text()
    lines = re.findall(r"^accelerate launch cv/(\w+)\.py(.*)$", text, re.MULTILINE)
    assert {script for script, _ in lines} == set(SCHEMAS)
    made = {None}
    for script, rest in lines:
        given = [word for word in shlex.split(rest, comments=True) if word != "-m"]
        start = [word for word in given if word.startswith("model_path=")]
        for path in start[0].removeprefix("model_path=").split(",") if start else [None]:
            cfg = config(
                script, *(word for word in given if word not in start), *([f"model_path={path}"] if path else [])
            )
            read = cfg.methods if script == "attack" else [getattr(cfg, "model_path", None)]
            assert set(read) <= made
            made.add(getattr(cfg, "save_dir", None))


def test_default_paths_fit_each_other():
    original, gold, forget = config("finetune"), config("finetune", "role=gold"), config("forget")
    assert original.model_path == config("pretrain").save_dir
    assert forget.model_path == original.save_dir
    assert config("eval").model_path == forget.save_dir
    attack = config("attack")
    assert original.splits_path == gold.splits_path == forget.splits_path == attack.splits_path
    assert (attack.original, attack.gold, attack.methods) == (original.save_dir, gold.save_dir, [forget.save_dir])
    assert len({original.save_dir, gold.save_dir, forget.save_dir}) == 3


def test_gold_differs_in_its_data_alone():
    from dataclasses import fields

    original, gold = config("finetune"), config("finetune", "role=gold")
    differing = [f.name for f in fields(original) if getattr(original, f.name) != getattr(gold, f.name)]
    assert sorted(differing) == ["role", "save_dir"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [("all", list(range(16))), ("0-3", [0, 1, 2, 3]), ("3+7+10-12", [3, 7, 10, 11, 12]), ("5+4-5", [4, 5])],
)
def test_ranges(given, expected):
    assert config("eval", f"splits={given}").selected() == expected


@pytest.mark.parametrize(
    ("script", "given", "message"),
    [
        ("finetune", "splits=0-x", 'splits is "0-x"; allowed are all, or numbers and ranges such as 3'),
        ("finetune", "splits=0-16", 'splits is "0-16" but models is 16; allowed are 0 to 15'),
        ("finetune", "splits=3-1", 'splits is "3-1" but models is 16'),
        ("eval", "models=5", "models is 5; allowed is even, >= 2"),
        ("eval", "batch_size=0", "batch_size is 0"),
        ("finetune", "batch_size=1", "batch_size is 1, and batch norm has no statistics of one picture"),
        ("pretrain", "save_state_every=3", "save_state_every is set, but a model here is done in one go"),
        ("pretrain", "face_model.margin=1", "face_model.margin is 1.0; allowed is from 0 to below 1"),
        ("pretrain", "face_model.dimension=0", "face_model.dimension is 0; allowed is above 0"),
        ("pretrain", "face_data.enrolment=0", "face_data.enrolment is 0; allowed is 1 or above"),
        ("forget", "model_path=null", "model_path is null; give the folder that cv/finetune.py made"),
        ("forget", "forget_loss.saliency=0", "forget_loss.saliency is 0.0; allowed is above 0 to 1, or null"),
        ("forget", "l1_decay=true", "l1_decay is true but l1_lambda is 0"),
    ],
)
def test_mistakes(script, given, message):
    with pytest.raises(UserError) as error:
        config(script, given)
    assert message in str(error.value)
    if given == "batch_size=1":
        assert config(script, given, "batch_norm=eval").batch_size == 1


def test_a_preset_has_a_file_for_every_script_and_its_own_for_some_methods():
    names = set(stems("face_preset"))
    assert all(set(stems(f"face_preset/{script}")) == names for script in SCHEMAS)
    methods = {f"{preset}_{method}" for preset in names for method in stems("forget_loss")}
    assert set(stems("face_preset/forget_method")) <= methods
    for preset in names:
        for method in ("retain_ft", "scrub_bio", "twins", "scrub", "llmu", "dpo", "rmu", "grad_ascent", "neggrad_plus"):
            assert config("forget", f"face_preset={preset}", f"forget_loss={method}").forget_loss.name == method


@pytest.mark.parametrize(
    ("method", "epochs", "batch", "lr"),
    [
        ("retain_ft", 5, 256, 0.01), ("grad_ascent", 2, 256, 0.1), ("scrub_bio", 4, 256, 0.2), ("twins", 5, 128, 0.4),
        ("dpo", 4, 256, 0.01), ("llmu", 5, 256, 0.01), ("rmu", 3, 256, 0.2),
    ],
)  # fmt: skip
def test_presets_are_the_published_values(method, epochs, batch, lr):
    for preset in ("released", "correct"):
        cfg = config("forget", f"face_preset={preset}", f"forget_loss={method}")
        assert (cfg.num_epochs, cfg.batch_size, cfg.lr) == (epochs, batch, lr)
        assert (cfg.face_model.name, cfg.face_data.name, cfg.models) == ("resnet18", "clear", 128)
        assert cfg.reserve == (preset == "correct")
        assert cfg.design.name == {"released": "clear", "correct": "balanced"}[preset]
    assert config("forget", "lr=3", f"forget_loss={method}", "face_preset=released").lr == 3


def test_presets_of_training_from_the_start():
    for preset, lr in (("released", 0.015), ("correct", 0.1)):
        cfg = config("finetune", f"face_preset={preset}")
        assert (cfg.num_epochs, cfg.batch_size, cfg.weight_decay, cfg.momentum, cfg.lr) == (20, 256, 5e-5, 0.9, lr)
        first = config("pretrain", f"face_preset={preset}")
        assert (first.num_epochs, first.batch_size, first.weight_decay, first.lr) == (100, 256, 5e-4, 0.1)
    loss = config("forget", "face_preset=released", "forget_loss=llmu").forget_loss
    attacks = [config("attack", f"face_preset={preset}") for preset in ("released", "correct")]
    assert [(a.protocol.name, a.design.name) for a in attacks] == [("released", "clear"), ("disjoint", "balanced")]
    assert (loss.forget_weight, loss.random_weight, loss.retain_weight) == (0.02, 0.01, 1.0)
    assert config("forget", "face_preset=correct", "forget_loss=scrub").forget_loss.temperature == 4
