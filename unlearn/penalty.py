"""Sparsity as a term of the loss: L1 norms of what trains (Jia et al. 2023, arXiv:2304.04934, section 4).

L = lambda |theta|_1  or  lambda |theta - theta_0|_1

Same as the paper (from zero; with decay lambda falls linearly, lambda (1 - t / E) in epoch t of E). From the start
weights theta_0 the change is sparse instead, which is CLEAR's `l_norm_from` (Dontsov et al. 2024, arXiv:2410.18057).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from unlearn.config.schema import NormFrom
from unlearn.config.scripts import Training


def l1_norm(weights: Sequence[Tensor], origin: Sequence[Tensor] | None = None) -> Tensor:
    """Return the scalar sum over all entries of |w|, or of |w - o| with tensors of the same shapes for an origin."""
    distances = weights if origin is None else [w - o for w, o in zip(weights, origin, strict=True)]
    return torch.stack([distance.abs().sum() for distance in distances]).sum()


class L1Penalty:
    """The penalty of a run on its trained parameters, which are as they are at the start when this is made."""

    def __init__(self, cfg: Training, parameters: Sequence[Tensor]) -> None:
        self.cfg = cfg
        self.parameters = parameters
        start = cfg.l_norm_from is NormFrom.start
        self.origin = [parameter.detach().clone() for parameter in parameters] if start else None

    def __call__(self, epoch: int) -> Tensor:
        """Return the scalar penalty in `epoch` (from 0), whole: every process has the same."""
        left = 1 - epoch / self.cfg.num_epochs if self.cfg.l1_decay else 1.0
        return self.cfg.l1_lambda * left * l1_norm(self.parameters, self.origin)
