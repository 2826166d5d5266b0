"""Launch files, the engine that a launch has, and what does not go together with it."""

import re
from types import SimpleNamespace

import pytest
from accelerate.utils import DistributedType

from unlearn import processes
from unlearn.config.scripts import FinetuneConfig, ForgetConfig
from unlearn.entry import load
from unlearn.errors import UserError
from unlearn.experiment.base import ACCELERATE
from unlearn.limits import CANNOT, check_limits
from unlearn.methods.base import Demand, Method
from unlearn.processes import Engine, engine_of, process_state

FACTS = {
    "single": ("NO", 1, {}, {}),
    "ddp": ("MULTI_GPU", 2, {}, {}),
    "fsdp2": ("FSDP", 2, {"fsdp_version": 2, "fsdp_cpu_ram_efficient_loading": False}, {}),
    "zero2": ("DEEPSPEED", 2, {}, {"zero_stage": 2, "zero3_init_flag": False, "offload_optimizer_device": "none"}),
    "zero3": ("DEEPSPEED", 2, {}, {"zero_stage": 3, "zero3_init_flag": False, "zero3_save_16bit_model": True}),
}
VARIABLES = ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP", "WORLD_SIZE")


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def state_of(kind, number=1, fsdp_version=2, stage=None, config=None, early=False):
    """What an Accelerator would say."""
    deepspeed = config or {"zero_optimization": {"stage": stage}}
    plugin = SimpleNamespace(deepspeed_config=deepspeed, zero_stage=stage, zero3_init_flag=early)
    return SimpleNamespace(
        distributed_type=kind,
        num_processes=number,
        fsdp_plugin=SimpleNamespace(fsdp_version=fsdp_version),
        deepspeed_plugin=plugin if kind is DistributedType.DEEPSPEED else None,
    )


def deepspeed_of(stage=3, **options):
    return state_of(DistributedType.DEEPSPEED, stage=stage, **options)


def test_every_engine_has_a_launch_file_and_limits():
    assert {path.stem for path in ACCELERATE.glob("*.yaml")} == {engine.name for engine in Engine} == set(FACTS)
    assert set(CANNOT) == set(Engine)


@pytest.mark.parametrize("name", FACTS)
def test_accelerate_reads_the_launch_files(name):
    from accelerate.commands.config.config_args import load_config_from_file

    kind, number, fsdp, deepspeed = FACTS[name]
    config = load_config_from_file(str(ACCELERATE / f"{name}.yaml"))
    assert (config.distributed_type.value, config.num_processes) == (kind, number)
    assert fsdp.items() <= config.fsdp_config.items()
    assert deepspeed.items() <= config.deepspeed_config.items()
    # Precision follows from model_family.dtype, in whatever way a run is launched.
    assert config.mixed_precision == "no"


@pytest.mark.parametrize(
    ("state", "engine"),
    [
        (state_of(DistributedType.NO), Engine.single),
        (state_of(DistributedType.MULTI_CPU), Engine.ddp),
        (state_of(DistributedType.MULTI_GPU), Engine.ddp),
        (state_of(DistributedType.FSDP), Engine.fsdp2),
        (deepspeed_of(2), Engine.zero2),
        (deepspeed_of(3), Engine.zero3),
    ],
)
def test_the_engine_is_known(state, engine):
    assert engine_of(state) is engine


@pytest.mark.parametrize(
    ("variables", "state", "words"),
    [
        ({"ACCELERATE_USE_FSDP": "true"}, state_of(DistributedType.MULTI_CPU), "asks for FSDP, .*zero3.yaml"),
        ({"ACCELERATE_USE_FSDP": "true"}, state_of(DistributedType.NO), "asks for FSDP, .*zero3.yaml"),
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, state_of(DistributedType.MULTI_CPU), "DeepSpeed, .*ACCELERATE_USE_CPU"),
        ({"WORLD_SIZE": "2"}, state_of(DistributedType.NO), "2 processes were launched, but .*the only one"),
        ({}, state_of(DistributedType.FSDP, fsdp_version=1), "FSDP 1; set fsdp_version: 2"),
        ({}, state_of(DistributedType.MEGATRON_LM), "MEGATRON_LM; allowed are one process, DDP, FSDP 2, DeepSpeed"),
        ({}, deepspeed_of(1), "ZeRO stage 1; allowed are 2 and 3"),
        ({}, deepspeed_of(3, early=True), "zero3_init_flag: true, .*set it to false"),
        (
            {},
            deepspeed_of(3, config={"optimizer": {}, "bf16": {"enabled": True}}),
            "sets optimizer, bf16, which is dec",
        ),
    ],
)
def test_a_launch_that_would_silently_be_another_is_refused(variables, state, words, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=words):
        engine_of(state)


def test_evaluation_by_processes_that_do_not_know_each_other_is_refused(monkeypatch):
    monkeypatch.setattr(processes, "PartialState", lambda **_: SimpleNamespace(num_processes=1))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="2 processes were launched"):
        process_state()


def test_an_l1_penalty_is_refused_where_weights_are_divided():
    cfg = load("mm/forget", ["l1_lambda=0.1"], ForgetConfig)
    for engine in Engine:
        if engine.shards:
            with pytest.raises(
                UserError, match=rf"^l1_lambda needs every trained weight whole .*{engine.value} does not"
            ):
                check_limits(deepspeed_of(), engine, cfg, cfg.method())
        else:
            check_limits(deepspeed_of(2), engine, cfg, cfg.method())


@pytest.mark.parametrize("offloaded", [False, True])
def test_8_bit_states_are_refused_where_they_do_not_lie_on_the_device(offloaded):
    cfg = load("mm/finetune", ["optimizer=adamw_8bit"], FinetuneConfig)
    device = {"zero_optimization": {"offload_optimizer": {"device": "cpu" if offloaded else "none"}}}
    with pytest.raises(UserError, match=r"optimizer=adamw_8bit needs .* launch with single.yaml or .* or zero3.yaml"):
        check_limits(state_of(DistributedType.FSDP), Engine.fsdp2, cfg, Method())
    state = deepspeed_of(2, config=device)
    if offloaded:
        with pytest.raises(UserError, match="adamw_8bit needs optimiser states that lie whole on the device"):
            check_limits(state, Engine.zero2, cfg, Method())
    else:
        check_limits(state, Engine.zero2, cfg, Method())


def test_a_method_declares_what_it_demands():
    class Masked(Method):
        def demands(self):
            return frozenset({Demand.gradients, Demand.whole_weights})

    cfg = load("mm/finetune", [], FinetuneConfig)
    with pytest.raises(UserError) as refusal:
        check_limits(deepspeed_of(), Engine.zero3, cfg, Masked(name="masked"))
    words = str(refusal.value)
    assert words.count("forget_loss=masked needs") == 2
    assert (
        "step, which DeepSpeed ZeRO-3 does not give; launch with single.yaml or ddp.yaml of config/accelerate." in words
    )
    check_limits(state_of(DistributedType.MULTI_GPU), Engine.ddp, cfg, Masked(name="masked"))


@pytest.mark.parametrize(
    ("given", "name", "lacking"),
    [
        (["forget_loss=salun"], "salun", Demand.gradients),
        (["forget_loss.saliency=0.5"], "npo", Demand.gradients),
        (["forget_loss=mmunlearner"], "mmunlearner", Demand.gradients),
        (["forget_loss=kvw"], "kvw", Demand.edits),
        (["forget_loss=manu"], "manu", Demand.edits),
    ],
)
def test_masks_and_edits_are_refused_where_the_engine_steps_by_itself_or_divides_weights(given, name, lacking):
    cfg = load("mm/forget", given, ForgetConfig)
    for engine in Engine:
        state = deepspeed_of() if engine.is_deepspeed else state_of(DistributedType.NO)
        if engine.is_deepspeed or engine.shards:
            words = f"forget_loss={name} needs {lacking.value}, which {engine.value} does not give; launch with single"
            with pytest.raises(UserError, match=re.escape(words)):
                check_limits(state, engine, cfg, cfg.method())
        else:
            check_limits(state, engine, cfg, cfg.method())
