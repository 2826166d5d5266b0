"""Every configuration composes; presets spell out the paper's values; mistakes are told together and in words."""

import ast
import dataclasses
import itertools
from operator import attrgetter
from pathlib import Path

import pytest
import yaml

from unlearn.config.scripts import EvalConfig, FinetuneConfig, ForgetConfig
from unlearn.entry import load
from unlearn.errors import UserError
from unlearn.evaluation.tasks import load_tasks
from unlearn.metrics.aggregate import AggregateConfig

PROJECT = Path(__file__).parents[2]
CONFIG = PROJECT / "config"
SCHEMAS = {"finetune": FinetuneConfig, "forget": ForgetConfig, "eval": EvalConfig}
FAMILIES = ("llava-1.5-7b", "qwen2-vl-2b")


def stems(group):
    return sorted(path.stem for path in (CONFIG / group).glob("*.yaml"))


OF_FACES = {"scrub_bio", "twins"}
"""Methods of cv's scripts alone, whose files tests/unit/faces/test_face_config.py composes."""


def losses():
    return [name for name in stems("forget_loss") if name not in OF_FACES]


def given(loss):
    """What a method without a default for all of its parameters is asked with."""
    return {"pdu": ["forget_loss.eps=1.5", "num_epochs=6"], "eco": ["forget_modality=text"]}.get(loss, [])


def config(script, *overrides, track="mm"):
    return load(f"{track}/{script}", list(overrides), SCHEMAS[script])


def of_texts(override):
    """Whether a choice is one of language models, to be made in the scripts that see no pictures."""
    group, _, name = override.partition("=")
    if group == "preset":
        name = next((d for d in (CONFIG / "preset" / f"{name}.yaml").read_text().split() if d in text_families()), "")
    return name in text_families() or (group == "data" and "path: null" in (CONFIG / f"data/{name}.yaml").read_text())


def text_families():
    return [n for n in stems("model_family") if "vision: false" in (CONFIG / f"model_family/{n}.yaml").read_text()]


def choices():
    groups = {
        "model_family": SCHEMAS, "data": SCHEMAS, "preset": SCHEMAS, "forget_loss": ["forget"], "stress": ["eval"],
    }  # fmt: skip
    for group, scripts in groups.items():
        names = losses() if group == "forget_loss" else stems(group)
        yield from ((script, f"{group}={name}") for script in scripts for name in names)


NEEDED = {"stress=base_projector": ["stress.source=runs/full"]}
"""Keys without which a file is refused."""


def test_nothing_is_left_out():
    """Folders and files of config/: a new one must be composed by a test."""
    here = {str(path.relative_to(CONFIG)) for path in CONFIG.rglob("*.yaml")}
    groups = (
        "model_family",
        "data",
        "preset",
        "forget_loss",
        "task",
        "stress",
        "eval",
        "mm",
        "nlp",
        "cv",
        "face_model",
        "face_preset",
        "face_data",
        "experiment",
        "accelerate",
    )
    single = {"aggregate_eval_stat", "report", "leaderboard", "leakage", "select", "tofu_small"}
    assert here - {name for name in here if name.split("/")[0] in groups} == {f"{name}.yaml" for name in single}
    assert set(stems("mm")) == set(stems("nlp")) == set(SCHEMAS)
    for script in SCHEMAS:
        assert stems(f"preset/{script}") == stems("preset")


@pytest.mark.parametrize(("script", "override"), [*((s, None) for s in SCHEMAS), *choices()])
def test_everything_composes(script, override):
    track = "nlp" if override and of_texts(override) else "mm"
    needed = [*given(override.removeprefix("forget_loss=")), *NEEDED.get(override, [])] if override else []
    cfg = config(script, *([override] if override else []), *needed, track=track)
    assert type(cfg) is SCHEMAS[script]
    if override and not override.startswith("preset"):
        group, _, name = override.partition("=")
        assert getattr(cfg, group).name == name


WEIGHTS_ALONE = ("eco", "kvw", "manu", "mmunlearner", "salun")
"""Methods that do not go with adapters, which the preset of LLaVA has."""


@pytest.mark.parametrize(
    ("script", "preset", "loss"),
    list(itertools.product(["forget"], ["clear_llava", "clear_qwen2_vl"], losses())),
)
def test_presets_go_with_every_method(script, preset, loss):
    full = ["LoRA.r=0"] if loss in WEIGHTS_ALONE else []
    assert config(script, f"preset={preset}", f"forget_loss={loss}", *given(loss), *full).forget_loss.name == loss


def test_every_task_composes():
    assert [task.name for task in load_tasks(stems("task"))] == stems("task")


def test_the_file_of_a_group_has_its_name_inside():
    for family in stems("model_family"):
        track = "nlp" if family in text_families() else "mm"
        assert config("eval", f"model_family={family}", track=track).model_family.name == family


def test_texts_alone_compose_with_every_method_that_makes_sense_of_them():
    for loss in set(losses()) - {"mmunlearner"}:
        assert config("forget", f"forget_loss={loss}", *given(loss), track="nlp").forget_loss.name == loss


@pytest.mark.parametrize("loss", sorted(OF_FACES))
def test_methods_of_faces_are_refused_with_the_reason(loss):
    for track in ("mm", "nlp"):
        with pytest.raises(UserError, match=rf"forget_loss={loss} makes no sense for models that answer questions: it"):
            config("forget", f"forget_loss={loss}", track=track)


def test_pictures_are_refused_for_a_model_that_sees_none():
    for script in SCHEMAS:
        with pytest.raises(UserError, match=r"data=mini has pictures and model_family=pythia-1\.4b sees none"):
            config(script, "model_family=pythia-1.4b")
    with pytest.raises(UserError, match=r"LoRA\.components has projector, which model_family=mini_llama lacks"):
        config("finetune", "LoRA.r=2", "LoRA.components=[projector]", track="nlp")


PAPER = {"lr": 1e-5, "weight_decay": 0.01, "max_length": 1024, "warmup_ratio": 0.0}
FINETUNE = {"num_epochs": 3, "batch_size": 12, "gradient_accumulation_steps": 1}
FORGET = {"num_epochs": 5, "batch_size": 1, "gradient_accumulation_steps": 2}


@pytest.mark.parametrize(
    ("script", "preset", "expected", "lora", "family"),
    [
        ("finetune", "clear_llava", FINETUNE, (8, 32, 0.0), "llava-1.5-7b"),
        ("finetune", "clear_qwen2_vl", FINETUNE, (0, 32, 0.0), "qwen2-vl-2b"),
        ("forget", "clear_llava", FORGET, (8, 32, 0.0), "llava-1.5-7b"),
        ("forget", "clear_qwen2_vl", FORGET, (0, 32, 0.0), "qwen2-vl-2b"),
    ],
)
def test_presets_are_the_papers_values(script, preset, expected, lora, family):
    cfg = config(script, f"preset={preset}")
    assert {key: getattr(cfg, key) for key in PAPER | expected} == PAPER | expected
    assert (cfg.LoRA.r, cfg.LoRA.alpha, cfg.LoRA.dropout) == lora
    assert (cfg.model_family.name, cfg.data.name) == (family, "clear")
    assert (cfg.data.path, cfg.data.text_path) == ("therem/CLEAR", "locuslab/TOFU")
    assert cfg.freeze_vision_module
    assert cfg.lr_scheduler.name == "linear"
    if script == "forget":
        assert (cfg.forget_split, cfg.retain_split) == ("forget10", "retain90")


@pytest.mark.parametrize("preset", ["clear_llava", "clear_qwen2_vl"])
def test_the_command_line_wins_over_a_preset(preset):
    for given in ((f"preset={preset}", "lr=2e-4", "LoRA.r=3"), ("lr=2e-4", "LoRA.r=3", f"preset={preset}")):
        cfg = config("forget", *given, "model_family=mini_llava")
        assert (cfg.lr, cfg.LoRA.r, cfg.num_epochs, cfg.model_family.name) == (2e-4, 3, 5, "mini_llava")


TOFU = {"lr": 1e-5, "num_epochs": 5, "batch_size": 16, "gradient_accumulation_steps": 2, "warmup_ratio": 0.2}
PLAIN = {"lr": 1e-5, "num_epochs": 5, "batch_size": 4, "gradient_accumulation_steps": 1, "warmup_ratio": 0.0}


@pytest.mark.parametrize("script", ["finetune", "forget"])
@pytest.mark.parametrize(
    ("preset", "expected", "family"),
    [
        ("tofu_llama2", TOFU, "llama-2-7b-chat"),
        ("tofu_phi", TOFU | {"lr": 2e-5}, "phi-1.5"),
        ("clear_mistral", PLAIN, "mistral-7b"),
    ],
)
def test_presets_of_texts_are_the_papers_values(script, preset, expected, family):
    """TOFU: batches of 32, five epochs of which the first warms up."""
    cfg = config(script, f"preset={preset}", track="nlp")
    assert {key: getattr(cfg, key) for key in expected} == expected
    assert (cfg.model_family.name, cfg.data.path, cfg.data.text_path) == (family, None, "locuslab/TOFU")
    assert (cfg.weight_decay, cfg.lr_scheduler.name, cfg.LoRA.r) == (0.01, "linear", 0)


CLEAR_KEYS = {
    "finetune": "model_family model_path split LoRA lr batch_size gradient_accumulation_steps num_epochs max_length "
    "weight_decay seed freeze_vision_module save_dir overwrite_dir",
    "forget": "model_family model_path forget_split retain_split forget_data_path retain_data_path forget_loss "
    "loss_beta LoRA lr batch_size gradient_accumulation_steps num_epochs max_length weight_decay seed "
    "freeze_vision_module save_dir overwrite_dir",
    "eval": "model_family model_path forget_split retain_split batch_size max_length save_dir",
}


@pytest.mark.parametrize("script", SCHEMAS)
def test_keys_that_clears_users_know(script):
    assert set(CLEAR_KEYS[script].split()) <= {key.name for key in dataclasses.fields(SCHEMAS[script])}
    assert {"r", "alpha", "dropout"} <= {key.name for key in dataclasses.fields(config("forget").LoRA)}
    aggregate = {key.name for key in dataclasses.fields(AggregateConfig)}
    assert {"retain_result", "ckpt_result", "method_name", "submitted_by", "save_file"} <= aggregate


def test_every_key_has_a_sentence_for_help():
    for schema in (*SCHEMAS.values(), AggregateConfig):
        assert [key.name for key in dataclasses.fields(schema) if not key.metadata.get("help")] == []


def test_default_paths_fit_each_other():
    base, gold, forget, score = (
        config("finetune"),
        config("finetune", "split=retain90"),
        config("forget"),
        config("eval"),
    )
    row = load("aggregate_eval_stat", [], AggregateConfig)
    log = "{}/eval_results/eval_log_aggregated.json"
    assert forget.model_path == base.save_dir
    assert score.model_path == forget.save_dir
    assert score.save_dir is None  # <model_path>/eval_results
    assert row.ckpt_result == log.format(forget.save_dir)
    assert row.retain_result == log.format(gold.save_dir)
    assert row.method_name == forget.forget_loss.name
    assert {c.model_family.name for c in (base, gold, forget, score)} == {"mini_llava"}
    assert {c.data.name for c in (base, gold, forget, score)} == {"mini"}
    assert len({base.save_dir, gold.save_dir, forget.save_dir}) == 3
    assert config("forget", "forget_loss=grad_ascent").save_dir != forget.save_dir


CLEAR_SPELLINGS = (
    "KL", "LLMU", "RMU", "SKU", "SCRUB", "NPO", "Npo", "DPO", "IDK",
    "grad_diff_forget_KL_retain_CE", "grad_diff_forget_KL_retain_KL", "grad_diff_forget_ce_retain_KL",
    "grad_diff_forget_entropy_retain_KL", "GRAD_DIFF_forget_ce_retain_CE",
)  # fmt: skip


@pytest.mark.parametrize("spelling", CLEAR_SPELLINGS)
def test_methods_in_any_case(spelling):
    method = config("forget", f"forget_loss={spelling}").forget_loss
    assert method.name == spelling.lower()
    # A published code looked for "KL" in a lower-cased name, found none, and had no teacher.
    if "kl" in spelling.lower():
        assert method.needs_reference()


def test_loss_beta_is_the_methods_forget_weight():
    assert config("forget", "loss_beta=0.25").method().forget_weight == 0.25
    assert config("forget").method().forget_weight == 1.0
    assert config("forget", "forget_loss.forget_weight=3").method().forget_weight == 3.0
    with pytest.raises(UserError, match=r"loss_beta is 2.0 but forget_loss=grad_ascent has no weight"):
        config("forget", "forget_loss=grad_ascent", "loss_beta=2")
    with pytest.raises(UserError, match=r"loss_beta is -1.0; allowed is above 0"):
        config("forget", "loss_beta=-1")


def test_several_mistakes_are_told_at_once():
    given = ("lr=-1", "batch_size=0", "LoRA.dropout=1.5", "forget_loss.beta=0", "max_grad_norm=0", "warmup_ratio=2")
    with pytest.raises(UserError) as error:
        config("forget", *given)
    for part in ("lr is -1", "batch_size is 0", "LoRA.dropout is 1.5", "forget_loss.beta is 0", "max_grad_norm is 0",
                 "warmup_ratio is 2"):  # fmt: skip
        assert part in str(error.value)


def test_the_harness_is_asked_by_name_and_about_language_models():
    assert config("eval").eval.tasks == []
    with pytest.raises(UserError, match=r"eval=lm_eval evaluates language models, and .*mini_llava sees pictures"):
        config("eval", "eval=lm_eval")
    with pytest.raises(UserError, match=r'Unknown eval "lm_evil"; allowed are: lm_eval, none\. Did you mean "lm_eval"'):
        config("eval", "eval=lm_evil")
    with pytest.raises(UserError) as error:
        config("eval", "eval.tasks=[mmlu]", "eval.limit=0", "eval.num_fewshot=-1", "eval.batch_size=0")
    for part in ("eval is none; set eval=lm_eval", "eval.limit is 0", "num_fewshot is -1", "eval.batch_size is 0"):
        assert part in str(error.value)
    with pytest.raises(UserError, match=r"eval\.tasks is empty; name tasks of lm-eval, or set eval=none"):
        config("eval", "eval=lm_eval", "eval.tasks=[]")


def test_several_unknown_keys_are_told_at_once():
    with pytest.raises(UserError) as error:
        config("forget", "+typo=1", "+LoRA.ranc=2", "+forget_loss.betta=3", "+data.pth=x")
    for part in ('"typo"', 'Did you mean "LoRA.r', 'Did you mean "forget_loss.beta"', 'Did you mean "data.path"'):
        assert part in str(error.value)


TRUE, FALSE = ("true", "True", "'true'", "yes", "on", "1"), ("false", "False", "'False'", "no", "off", "0")
LOADED = {
    **{
        f"mm/{script}": (schema, ["data.path=null", *(["LoRA.r=2", "l1_lambda=1e-4"] if script != "eval" else [])])
        for script, schema in SCHEMAS.items()
    },
    "aggregate_eval_stat": (AggregateConfig, []),
}
"""What a script needs beside: merge_adapter=true is refused without adapters, l1_decay=true without a penalty, a model
without vision with pictures."""


def booleans(schema, prefix=""):
    """The boolean keys of a schema and of its sections, as on the command line."""
    for key in dataclasses.fields(schema):
        if key.type is bool or isinstance(key.default, bool):
            yield prefix + key.name
        elif dataclasses.is_dataclass(key.type):
            yield from booleans(key.type, f"{prefix}{key.name}.")


@pytest.mark.parametrize("spelling", TRUE + FALSE)
@pytest.mark.parametrize("name", LOADED)
def test_a_boolean_is_what_is_written_however_it_is_spelt(name, spelling):
    """To Python every text but the empty one is true, "False" too: so is argparse's type=bool."""
    schema, beside = LOADED[name]
    every = list(booleans(schema))
    assert every
    # merge_adapter and 4-bit weights are refused together.
    alone = [key for key in every if key == "LoRA.load_in_4bit"]
    for keys in filter(None, ([key for key in every if key not in alone], alone)):
        cfg = load(name, [f"{key}={spelling}" for key in keys] + beside, schema)
        assert {key: attrgetter(key)(cfg) for key in keys} == dict.fromkeys(keys, spelling in TRUE)
        assert {type(attrgetter(key)(cfg)) for key in keys} == {bool}


def test_no_file_writes_a_boolean_as_text():
    def texts(node):
        if isinstance(node, dict | list):
            for value in node.values() if isinstance(node, dict) else node:
                yield from texts(value)
        elif isinstance(node, str):
            yield node.lower()

    written = {path.name: set(texts(yaml.safe_load(path.read_text()))) for path in CONFIG.rglob("*.yaml")}
    assert {name: found for name, found in written.items() if found & {"true", "false"}} == {}


def test_no_code_takes_a_boolean_for_a_text():
    """`true == "true"` is false: a switch that is set has no effect."""
    found = []
    for path in [*PROJECT.glob("unlearn/**/*.py"), *PROJECT.glob("mm/*.py"), *PROJECT.glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            texts = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
            if isinstance(node, ast.Compare) and {text.lower() for text in texts} & {"true", "false"}:
                found.append(f"{path.name}:{node.lineno} compares with a text")
            if isinstance(node, ast.keyword) and node.arg == "type" and ast.unparse(node.value) == "bool":
                found.append(f"{path.name}:{node.lineno} has type=bool")
    assert found == []
