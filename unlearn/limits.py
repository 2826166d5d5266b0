"""What a run demands of its engine and what an engine cannot give: compared before any weight is read."""

from collections.abc import Callable, Iterator, Sequence

from accelerate.state import AcceleratorState

from unlearn.config.schema import Optimizer
from unlearn.config.scripts import Training
from unlearn.errors import UserError
from unlearn.methods.base import Demand, Method
from unlearn.processes import Engine

CANNOT: dict[Engine, frozenset[Demand]] = {
    Engine.single: frozenset(),
    Engine.ddp: frozenset(),
    Engine.fsdp2: frozenset({Demand.edits, Demand.gradients, Demand.whole_weights, Demand.plain_states}),
    Engine.zero2: frozenset({Demand.edits, Demand.gradients}),
    Engine.zero3: frozenset({Demand.edits, Demand.gradients, Demand.whole_weights}),
}
"""DeepSpeed steps inside backward, and its own masters of the weights would undo an edit. Of a sharded weight each
process sees a part, or nothing: a sum over it is wrong."""
OFFLOADED = frozenset({Demand.plain_states})
"""What is gone as well when DeepSpeed keeps the optimiser's states in CPU memory or on disk."""
OF_KEYS: Sequence[tuple[Demand, str, Callable[[Training], bool]]] = (
    (Demand.whole_weights, "l1_lambda", lambda cfg: cfg.l1_lambda > 0),
    (Demand.whole_weights, "LoRA.load_in_4bit", lambda cfg: cfg.LoRA.load_in_4bit),
    (Demand.plain_states, "optimizer=adamw_8bit", lambda cfg: cfg.optimizer is Optimizer.adamw_8bit),
)
"""Demands of the keys that every run has: who asks, and when."""


def check_limits(state: AcceleratorState, engine: Engine, cfg: Training, method: Method) -> None:
    """Raise UserError with everything that this run demands and its engine cannot give."""
    lacking = CANNOT[engine] | (OFFLOADED if _offloads(state) else frozenset())
    problems = [
        f"{who} needs {demand.value}, which {engine.value} does not give; launch with {_launchers(demand)}."
        for demand, who in _demands(cfg, method)
        if demand in lacking
    ]
    if problems:
        raise UserError(" ".join(problems))


def _demands(cfg: Training, method: Method) -> Iterator[tuple[Demand, str]]:
    for demand in sorted(method.demands(), key=lambda demand: demand.name):
        yield demand, f"forget_loss={method.name}"
    for demand, who, asks in OF_KEYS:
        if asks(cfg):
            yield demand, who


def _launchers(demand: Demand) -> str:
    """Return the files of config/accelerate that meet a demand (without offloading)."""
    names = [f"{engine.name}.yaml" for engine, lacking in CANNOT.items() if demand not in lacking]
    return f"{' or '.join(names)} of config/accelerate"


def _offloads(state: AcceleratorState) -> bool:
    plugin = state.deepspeed_plugin
    if plugin is None:
        return False
    section = plugin.deepspeed_config["zero_optimization"].get("offload_optimizer", {})
    return section.get("device", "none") != "none"
