"""AM-softmax in one log-sum-exp against its naive twin, a loop over samples as published code has it.

    python benchmarks/am_softmax.py

Forward and backward at the size of the face study (batch 256, 512-d embeddings, 100 people), in turns in one run.
Writes the ratio of the medians to benchmarks/results/am_softmax.json.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from unlearn.faces.margin import am_softmax, cosine_logits
from unlearn.files import write_json
from unlearn.provenance import environment

BATCH, DIMENSION, PEOPLE = 256, 512, 100
SCALE, MARGIN = 30.0, 0.4
ROUNDS = 30
WANTED = 8.0
"""How much faster the fused loss is to be, at least."""
RESULT = Path(__file__).parent / "results" / "am_softmax.json"


def fused(features: Tensor, classes: Tensor, targets: Tensor) -> Tensor:
    """The suite's loss."""
    return am_softmax(cosine_logits(features, classes, SCALE), targets, MARGIN, SCALE).mean()


def naive(features: Tensor, classes: Tensor, targets: Tensor) -> Tensor:
    """The same, sample by sample: the true class apart from the others, as the formula is written."""
    logits = cosine_logits(features, classes, SCALE)
    losses = []
    for i, target in enumerate(targets.tolist()):
        true = torch.exp(logits[i, target] - SCALE * MARGIN)
        others = torch.cat([logits[i, :target], logits[i, target + 1 :]])
        losses.append(-torch.log(true / (true + torch.exp(others).sum())))
    return torch.stack(losses).mean()


def seconds(loss: Callable[..., Tensor], features: Tensor, classes: Tensor, targets: Tensor) -> float:
    """Return the time of one forward and backward."""
    start = time.perf_counter()
    loss(features, classes, targets).backward()
    if features.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> int:
    """Time both in turns and write the ratio; return 1 where it is less than wanted or the two disagree."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(BATCH, DIMENSION, generator=generator).to(device).requires_grad_()
    classes = torch.randn(PEOPLE, DIMENSION, generator=generator).to(device).requires_grad_()
    targets = torch.randint(PEOPLE, (BATCH,), generator=generator).to(device)
    with torch.no_grad():
        difference = float((fused(features, classes, targets) - naive(features, classes, targets)).abs())
    times: dict[str, list[float]] = {"fused": [], "naive": []}
    for _ in range(ROUNDS):
        for name, loss in (("fused", fused), ("naive", naive)):
            times[name].append(seconds(loss, features, classes, targets))
    medians = {name: statistics.median(found) for name, found in times.items()}
    ratio = medians["naive"] / medians["fused"]
    sizes = {"batch": BATCH, "dimension": DIMENSION, "people": PEOPLE, "rounds": ROUNDS}
    facts = {"ratio": round(ratio, 2), "median_seconds": medians, "difference": difference, **sizes}
    write_json(RESULT, {**facts, "environment": environment()})
    print(f"fused {1e3 * medians['fused']:.2f} ms, naive {1e3 * medians['naive']:.2f} ms: {ratio:.1f} times faster")
    return int(ratio < WANTED or difference > 1e-5)


if __name__ == "__main__":
    sys.exit(main())
