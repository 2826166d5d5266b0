"""AM-softmax: cross-entropy over cosines with an additive margin (Wang et al. 2018, arXiv:1801.05599, eq. 7).

L_i = -log( exp(s (cos_iy - m)) / (exp(s (cos_iy - m)) + sum_{j != y} exp(s cos_ij)) )
cos_ij = f_i W_j / (|f_i| |W_j|)

s 30 and m 0.4 for faces. Same as the paper: features and class rows are both of length 1.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear, normalize


def cosine_logits(features: Tensor, classes: Tensor, scale: float) -> Tensor:
    """Return [B, C] s cos_ij of features [B, d] and class rows [C, d], of any lengths above 0."""
    return scale * linear(normalize(features, dim=-1), normalize(classes, dim=-1))


def am_softmax(logits: Tensor, targets: Tensor, margin: float, scale: float) -> Tensor:
    """Return [B] losses from s cos_ij [B, C] and the true classes [B]: one log-sum-exp over all classes."""
    shift = torch.zeros_like(logits).scatter_(1, targets[:, None], scale * margin)
    return cross_entropy(logits - shift, targets, reduction="none")
