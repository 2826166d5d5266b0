"""What a run costs: seconds, memory, forward passes."""

import resource
import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch
from torch import nn

RESIDENT_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in one unit of getrusage's ru_maxrss: macOS counts bytes, Linux KiB."""


@dataclass(frozen=True)
class Cost:
    """What was spent: wall time, the highest memory, forward passes."""

    wall_seconds: float = 0.0
    peak_memory_bytes: int = 0
    forwards: int = 0


class Meter:
    """Counts the forward passes of models (every step of a generation is one) and the seconds since `start`."""

    def __init__(self, *models: nn.Module) -> None:
        self.models = models
        self.start(Cost())

    def __enter__(self) -> "Meter":
        """Begin to count."""
        self._hooks = [model.register_forward_pre_hook(self._count) for model in self.models]
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the models as they were."""
        for hook in self._hooks:
            hook.remove()

    def start(self, spent: Cost) -> None:
        """Count on from what an earlier start had `spent`; what this one counted so far is dropped."""
        self._spent = spent
        self.forwards = spent.forwards
        self._started = time.perf_counter()

    def cost(self) -> Cost:
        """Return what was spent so far."""
        return Cost(self.seconds(), max(self._spent.peak_memory_bytes, self.peak_memory()), self.forwards)

    def seconds(self) -> float:
        """Return the wall time since `start`, and that of an earlier start."""
        return self._spent.wall_seconds + time.perf_counter() - self._started

    def peak_memory(self) -> int:
        """Return the bytes of the peak so far: of the CUDA allocator, or of the process without a CUDA device."""
        if torch.cuda.is_available():
            return torch.cuda.max_memory_allocated()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RESIDENT_UNIT

    def _count(self, *_: Any) -> None:
        self.forwards += 1
