"""4-bit weights under adapters (QLoRA, Dettmers et al. 2023, arXiv:2305.14314): NF4 with double quantisation.

A weight W is stored as 4-bit codes of the NormalFloat values nearest to W / s, with s the largest |W| of 64 values in a
row; the s are stored in 8 bits themselves. A forward computes W' x with the decoded W' in the precision that W had, so
7 billion weights take 3.6 GB (4.127 bits each) instead of 14 GB.
"""

import torch
from torch import nn

from unlearn.config.schema import Component
from unlearn.errors import UserError
from unlearn.models.components import component_of

BLOCK = 64
"""Weights in a row that share a scale."""


def quantize(model: nn.Module) -> None:
    """Replace the linear layers of the language model by frozen 4-bit ones, in place.

    Embeddings, output layer, projector and vision tower stay as they are: they are small, and an error in a picture's
    tokens is carried through every layer. The codes are computed on the current CUDA device where there is one.

    It works on weights in memory, not while they are read: the adapters of earlier runs have to be merged into the
    16-bit weights first, since merged into 4-bit ones they would mostly be rounded away. Raises UserError for a layer
    whose rows do not end with a block.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for name, module in list(model.named_modules()):
        if type(module) is nn.Linear and component_of(name) is Component.language_model:
            # The CPU kernel of bitsandbytes 0.50 takes the wrong scales where a row ends inside a block.
            if module.in_features % BLOCK:
                raise UserError(
                    f"LoRA.load_in_4bit needs layers with a multiple of {BLOCK} inputs, and {name} has "
                    f"{module.in_features}; set LoRA.load_in_4bit=false."
                )
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, _in_4_bit(module, device))
    # By this flag peft takes the adapter class that decodes the base.
    model.is_loaded_in_4bit = True


def _in_4_bit(layer: nn.Linear, device: torch.device) -> nn.Linear:
    from bitsandbytes.nn import Linear4bit, Params4bit

    options = {"compress_statistics": True, "quant_type": "nf4"}
    new = Linear4bit(
        layer.in_features, layer.out_features, layer.bias is not None, compute_dtype=layer.weight.dtype,
        device="meta", **options,
    )  # fmt: skip
    new.weight = Params4bit(layer.weight.detach(), requires_grad=False, blocksize=BLOCK, module=new, **options)
    new.bias = layer.bias
    # On some CPUs an evaluation would repack the codes for a kernel that has no backward: the teacher runs that way.
    new.support_avx512bf16_for_cpu = False
    return new.to(device)
