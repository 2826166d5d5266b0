"""The linear layer that closes the MLP of a decoder layer, whatever its family calls it."""

from torch import nn

from unlearn.errors import UserError
from unlearn.models.components import decoder


def closing_layers(model: nn.Module, layers: range) -> list[nn.Linear]:
    """Return the last linear layer of the MLP of each of these decoder layers.

    It leads from the neurons back to the hidden size: down_proj (Llama, Mistral, Qwen, Gemma, Phi-3), dense_4h_to_h
    (GPT-NeoX), fc2 (Phi). Raises UserError where an MLP is not made so (a mixture of experts).
    """
    stack = decoder(model).layers
    return [_closing(stack[layer]) for layer in layers]


def _closing(layer: nn.Module) -> nn.Linear:
    mlp = getattr(layer, "mlp", None)
    linear = [] if mlp is None else [module for module in mlp.children() if isinstance(module, nn.Linear)]
    # Modules stand in the order in which they run: what comes in first is what the last one gives back.
    if len(linear) < 2 or linear[0].in_features != linear[-1].out_features:
        raise UserError(
            f"{type(layer).__name__} has no MLP of two or three linear layers, which this method scales; take another "
            f"method or a model of another family."
        )
    return linear[-1]
