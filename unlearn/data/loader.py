"""Micro-batches of the plan as encoded batches, with any number of workers and the same result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader, Dataset

from unlearn.data.answers import Answers
from unlearn.data.collate import Collator
from unlearn.data.plan import MicroBatch
from unlearn.data.samples import Batch, Encoded, Sample
from unlearn.models.encoder import Encoder


@dataclass
class MicroBatches(Dataset):
    """Item i is micro-batch i: for each view a Batch.

    sets          the samples of every set
    answers       the views that have other answers than their set; every other view is a set by its name
    seed          of those answers
    pad_pictures  add a blank picture of weight 0 to a batch of texts, so that vision tower and projector take part in
                  every backward: under DDP a parameter without gradient is an error, and one without gradient on one
                  process alone would be stepped differently
    """

    plan: Sequence[MicroBatch]
    sets: Mapping[str, Sequence[Sample]]
    answers: Mapping[str, Answers]
    seed: int
    encoder: Encoder
    max_length: int
    pad_pictures: bool

    def __len__(self) -> int:
        """Return the number of micro-batches."""
        return len(self.plan)

    def __getitem__(self, index: int) -> dict[str, Batch]:
        """Encode and collate one micro-batch."""
        part = self.plan[index]
        return {view: self._batch(view, ids, part.epoch) for view, ids in part.ids.items()}

    def _batch(self, view: str, ids: Sequence[int], epoch: int) -> Batch:
        rows = [self.encoder.encode(self._sample(view, i, epoch), self.max_length) for i in ids]
        return Collator(self.encoder.pad_id)(rows, self._dummies(rows))

    def _sample(self, view: str, index: int, epoch: int) -> Sample:
        if view not in self.answers:
            return self.sets[view][index]
        other = self.answers[view]
        return other.apply(self.sets[other.of][index], self.sets[other.source], self.seed, epoch)

    def _dummies(self, rows: list[Encoded]) -> list[Encoded]:
        """An empty micro-batch still runs a forward: the other processes wait for its part of the gradient."""
        lacks_picture = self.pad_pictures and not any(row.vision for row in rows)
        return [self.encoder.blank()] if lacks_picture or not rows else []


def loader(batches: MicroBatches, workers: int) -> DataLoader:
    """Return the micro-batches in order."""
    # Its own generator: beginning to iterate draws a number, and the global one must be where the state left it.
    return DataLoader(batches, None, shuffle=False, num_workers=workers, generator=torch.Generator())
