"""Whether what was forgotten comes back when the weights are rounded.

Unlearning moves weights little, and rounding may move them back to what they were: Zhang et al. 2024, "Catastrophic
Failure of LLM Unlearning via Quantization" (arXiv:2410.16454).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from unlearn.config.schema import MISSING, option
from unlearn.config.scripts import EvalConfig
from unlearn.errors import UserError
from unlearn.evaluation.stressed import Stressed
from unlearn.models.quantization import nearest_int8, nearest_nf4, quantize, quantize_8bit, round_weights
from unlearn.stress.base import Arranged, Stress

if TYPE_CHECKING:
    from unlearn.models.encoder import Encoder

log = logging.getLogger(__name__)


class Arithmetic(Enum):
    """Whose numbers they are: of bitsandbytes' layers, or of the rounded weights in the model's own precision."""

    bitsandbytes = "bitsandbytes"
    simulated = "simulated"


@dataclass
class Quantization(Stress):
    """The linear layers of the language model in 8 or 4 bits (unlearn/models/quantization.py).

    Simulated, LLM.int8 lacks the rounding of its inputs; of NF4 only the time and the memory differ.
    """

    bits: int = option(MISSING, "8: LLM.int8 | 4: NF4 with double quantisation")
    simulate: bool = option(False, "round the weights and keep the layers; without CUDA it is always so")

    def problems(self) -> list[str]:
        """Return what is wrong with the keys."""
        bad = [] if self.bits in FORMATS else [f"stress.bits is {self.bits}; allowed are 4 and 8; set stress.bits=4."]
        return super().problems() + bad

    def arrange(self, cfg: EvalConfig) -> Arranged:
        """Return the rounding, done by bitsandbytes' layers where there is a CUDA device.

        Raises UserError where gradients are asked for, which codes do not have.
        """
        simulated = self.simulate or not torch.cuda.is_available()
        arithmetic = Arithmetic.simulated if simulated else Arithmetic.bitsandbytes
        if cfg.gradient_norm and not simulated:
            raise UserError(
                f"gradient_norm is true, but the weights of stress={self.name} are codes without a gradient; set "
                f"stress.simulate=true, or leave gradient_norm out."
            )
        facts = {"name": self.name, "bits": self.bits, "arithmetic": arithmetic.value}
        return Arranged(Stressed(facts), partial(_quantized, self.bits, arithmetic))


def _quantized(bits: int, arithmetic: Arithmetic, model: nn.Module, _: "Encoder") -> nn.Module:
    log.info("linear layers of the language model in %d bits: %s", bits, arithmetic.value)
    FORMATS[bits][arithmetic](model)
    return model


FORMATS: dict[int, dict[Arithmetic, Callable[[nn.Module], None]]] = {
    8: {Arithmetic.bitsandbytes: quantize_8bit, Arithmetic.simulated: partial(round_weights, nearest=nearest_int8)},
    4: {Arithmetic.bitsandbytes: quantize, Arithmetic.simulated: partial(round_weights, nearest=nearest_nf4)},
}
