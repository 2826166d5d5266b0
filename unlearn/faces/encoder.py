"""Face samples as the trainer's batches: a picture is a sequence of one answer token, its person."""

from collections.abc import Mapping, Sequence

import torch

from unlearn.data.samples import IGNORE, Encoded, Sample


class FaceEncoder:
    """Encodes pictures by their row in the network's own store.

    rows    row of each picture's uid
    people  names in the order of the network's rows of people
    """

    pad_id = 0

    def __init__(self, rows: Mapping[str, int], people: Sequence[str]) -> None:
        self.rows = rows
        self.labels = {name: label for label, name in enumerate(people)}

    def encode(self, sample: Sample, max_length: int) -> Encoded:
        """Return the picture with its person as the one answer token; nothing of it has a length."""
        del max_length
        return self._encoded(sample.uid, self.rows[sample.uid], self.labels[sample.answer])

    def blank(self) -> Encoded:
        """Return a picture for rows of weight 0."""
        return self._encoded("blank", 0, 0)

    def _encoded(self, uid: str, row: int, label: int) -> Encoded:
        return Encoded(uid, [0, label], [IGNORE, label], vision={"rows": torch.tensor([row])})
