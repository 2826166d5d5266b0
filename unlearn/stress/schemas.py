"""The kinds of stresses by the name of their schema, which a file of config/stress names as its parent."""

from unlearn.stress.base import NoStress, Stress
from unlearn.stress.projector import BaseProjector
from unlearn.stress.quantization import Quantization
from unlearn.stress.relearning import Relearning

STRESSES: dict[str, type[Stress]] = {
    "none": NoStress,
    "relearn": Relearning,
    "quantization": Quantization,
    "base_projector": BaseProjector,
}
