"""Weights of the language model in 8 or 4 bits, as bitsandbytes' layers or as what its formats can represent.

NF4 with double quantisation (QLoRA, Dettmers et al. 2023, arXiv:2305.14314): a weight W is stored as 4-bit codes of the
NormalFloat values nearest to W / s, with s the largest |W| of 64 values in a row; the s are stored in 8 bits
themselves. A forward computes W' x with the decoded W' in the precision that W had, so 7 billion weights take 3.6 GB
(4.127 bits each) instead of 14 GB. int8 (LLM.int8, Dettmers et al. 2022, arXiv:2208.07339): W / s rounded to a whole
number, with s the largest |W| of an output row / 127; a forward also rounds its inputs so, but for outlying features.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from unlearn.config.schema import Component
from unlearn.errors import UserError
from unlearn.models.components import component_of

BLOCK = 64
"""Weights in a row that share a scale."""
LARGEST = 127
"""The largest 8-bit code; -128 is not used, so that the codes are symmetric."""
OUTLIER = 6.0
"""Magnitude from which on LLM.int8 multiplies a feature in 16 bits (the paper's)."""
NF4 = {"compress_statistics": True, "quant_type": "nf4"}
"""Arguments of bitsandbytes' 4-bit functions and layers."""


def quantize(model: nn.Module) -> None:
    """Replace the linear layers of the language model by frozen 4-bit ones, in place.

    Embeddings, output layer, projector and vision tower stay as they are: they are small, and an error in a picture's
    tokens is carried through every layer. The codes are computed on the current CUDA device where there is one.

    It works on weights in memory, not while they are read: the adapters of earlier runs have to be merged into the
    16-bit weights first, since merged into 4-bit ones they would mostly be rounded away. Raises UserError for a layer
    whose rows do not end with a block.
    """
    for name, layer in _layers(model):
        # The CPU kernel of bitsandbytes 0.50 takes the wrong scales where a row ends inside a block.
        if layer.in_features % BLOCK:
            raise UserError(
                f"4-bit layers need a multiple of {BLOCK} inputs, and {name} has {layer.in_features}; set "
                f"LoRA.load_in_4bit=false, or for stress=int4 set stress.simulate=true."
            )
    _replace(model, _in_4_bit)
    # By this flag peft takes the adapter class that decodes the base.
    model.is_loaded_in_4bit = True


def quantize_8bit(model: nn.Module) -> None:
    """Replace the linear layers of the language model by those of LLM.int8, in place, for evaluation alone."""
    _replace(model, _in_8_bit)


@torch.no_grad()
def round_weights(model: nn.Module, nearest: Callable[[Tensor], Tensor]) -> None:
    """Set each weight of the language model's linear layers to the nearest one that a format can represent, in place.

    nearest  from a weight [out, in] in float32 to one of the same shape
    The result has the precision that the weight had. Layers and the rest of the model stay.
    """
    for _, layer in _layers(model):
        layer.weight.copy_(nearest(layer.weight.float()))


def nearest_int8(weight: Tensor) -> Tensor:
    """Return what is decoded from 8-bit codes of weight [out, in]: at most half a step, max |row| / 254, away."""
    scale = weight.abs().amax(1, keepdim=True) / LARGEST
    # A row of zeros has no scale, and stays.
    return torch.where(scale > 0, (weight / scale).round() * scale, weight)


def nearest_nf4(weight: Tensor) -> Tensor:
    """Return what bitsandbytes decodes from its 4-bit codes of a weight, blocks over all of its rows in order."""
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    # As one row: of several, the CPU kernel takes the wrong scales where a row ends inside a block.
    codes, state = quantize_4bit(weight.reshape(-1), blocksize=BLOCK, **NF4)
    return dequantize_4bit(codes, state).reshape(weight.shape)


def _layers(model: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """Yield the linear layers of the language model with their names."""
    for name, module in list(model.named_modules()):
        if type(module) is nn.Linear and component_of(name) is Component.language_model:
            yield name, module


def _replace(model: nn.Module, quantized: Callable[[nn.Linear, torch.device], nn.Linear]) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for name, layer in _layers(model):
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, quantized(layer, device))


def _in_4_bit(layer: nn.Linear, device: torch.device) -> nn.Linear:
    from bitsandbytes.nn import Linear4bit, Params4bit

    new = Linear4bit(
        layer.in_features, layer.out_features, layer.bias is not None, compute_dtype=layer.weight.dtype,
        device="meta", **NF4,
    )  # fmt: skip
    new.weight = Params4bit(layer.weight.detach(), requires_grad=False, blocksize=BLOCK, module=new, **NF4)
    new.bias = layer.bias
    # On some CPUs an evaluation would repack the codes for a kernel that has no backward: the teacher runs that way.
    new.support_avx512bf16_for_cpu = False
    return new.to(device)


def _in_8_bit(layer: nn.Linear, device: torch.device) -> nn.Linear:
    from bitsandbytes.nn import Int8Params, Linear8bitLt

    bias = layer.bias is not None
    new = Linear8bitLt(
        layer.in_features, layer.out_features, bias, has_fp16_weights=False, threshold=OUTLIER, device="meta"
    )
    # The codes are computed where a weight leaves the CPU.
    new.weight = Int8Params(layer.weight.detach().cpu(), requires_grad=False, has_fp16_weights=False)
    new.bias = layer.bias
    return new.to(device)
