"""Answers that the start model writes into the run's folder before the first step, for methods that learn from them."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn
from tqdm import tqdm

from unlearn.cost import Cost, Meter
from unlearn.data.questions import stable_integer
from unlearn.data.samples import Sample
from unlearn.errors import UserError
from unlearn.files import write_jsonl
from unlearn.forwards import Reference
from unlearn.generation import draw
from unlearn.methods.base import Written
from unlearn.models.encoder import Encoder
from unlearn.vision import Pictures

log = logging.getLogger(__name__)

QUESTIONS = 8
"""Questions that are answered at once: the same ones however many processes there are, so that the last bits of the
logits, which the size of a batch changes, are the same too. With 5 answers each, 40 rows."""


@dataclass(frozen=True)
class Writer:
    """The start model as it answers questions.

    model       not prepared yet: `reference` gives the start model for it
    max_length  of a training sample, which an answer is to fit into
    """

    accelerator: Accelerator
    model: nn.Module
    reference: Reference
    encoder: Encoder
    max_length: int
    seed: int

    def written(self, wanted: Written, samples: Sequence[Sample], path: Path) -> tuple[list[Sample], Cost]:
        """Return the answers to `samples` that are in `path`, and what they cost; where it is absent it is written.

        All processes share the work and must call this; process 0 writes the file, as a whole. Answer k to a question
        is a function of the start model, the seed, the question's uid and k. Raises UserError, before anything is
        written, for a question to which no answer can be learned.
        """
        cost = Cost()
        if not path.exists():
            with self._start_model() as model, Meter(model) as meter:
                mine = [row for batch in self._batches(samples) for row in self._rows(model, wanted, batch)]
                cost = meter.cost()
            rows = gather_object(mine)
            _check(rows, samples)
            if self.accelerator.is_main_process:
                _write(rows, samples, path)
        self.accelerator.wait_for_everyone()
        return _read(samples, path), cost

    @contextmanager
    def _start_model(self) -> Iterator[nn.Module]:
        with self.reference(self.model) as teacher:
            yield teacher.get_base_model() if hasattr(teacher, "peft_config") else teacher

    def _batches(self, samples: Sequence[Sample]) -> Iterator[list[Sample]]:
        """Yield this process's part, questions of like length together."""
        acc = self.accelerator
        order = sorted(samples, key=lambda s: (s.image is None, len(s.question) + len(s.answer), s.uid))
        batches = [order[i : i + QUESTIONS] for i in range(0, len(order), QUESTIONS)]
        mine = batches[acc.process_index :: acc.num_processes]
        yield from tqdm(mine, desc="write", unit="batch", disable=not acc.is_main_process)

    def _rows(self, model: nn.Module, wanted: Written, samples: Sequence[Sample]) -> list[dict[str, Any]]:
        """Return the rows of the file for some questions; `problem` says why an answer cannot be learned."""
        prompts = [self.encoder.encode_prompt(_asked(sample, wanted.instruction)) for sample in samples]
        pictures = Pictures(model, [prompt.vision for prompt in prompts], next(model.parameters()).device)
        seeds = [[stable_integer("write", self.seed, s.uid, k) for k in range(wanted.draws)] for s in samples]
        answers = draw(model, self.encoder, prompts, pictures, wanted.max_new_tokens, seeds)
        return [
            {"uid": sample.uid, "draw": k, "answer": text, "problem": self._problem(sample, text)}
            for sample, own in zip(samples, answers, strict=True)
            for k, text in enumerate(own)
        ]

    def _problem(self, sample: Sample, answer: str) -> str | None:
        try:
            self.encoder.encode(replace(sample, answer=answer), self.max_length)
        except UserError as error:
            return str(error)
        return None


def _check(rows: Sequence[dict[str, Any]], samples: Sequence[Sample]) -> None:
    usable = {row["uid"] for row in rows if row["problem"] is None}
    lacking = sorted({sample.uid for sample in samples} - usable)
    if lacking:
        problems = [row["problem"] for row in rows if row["uid"] == lacking[0]]
        raise UserError(
            f"The start model wrote no answer that can be learned to {lacking[0]}: {problems[0]} "
            f"Change forget_loss.instruction, or the seed."
        )


def _asked(sample: Sample, instruction: str) -> Sample:
    return replace(sample, question=f"Question: {sample.question}\nAnswer: {sample.answer}\n{instruction}")


def _write(rows: Sequence[dict[str, Any]], samples: Sequence[Sample], path: Path) -> None:
    place = {sample.uid: number for number, sample in enumerate(samples)}
    truth = {sample.uid: sample.answer.strip() for sample in samples}
    log.info(
        "%s: %d answers, of which %d cannot be learned and %d are the true one",
        path.name, len(rows), sum(row["problem"] is not None for row in rows),
        sum(row["answer"] == truth[row["uid"]] for row in rows),
    )  # fmt: skip
    write_jsonl(path, sorted(rows, key=lambda row: (place[row["uid"]], row["draw"])))


def _read(samples: Sequence[Sample], path: Path) -> list[Sample]:
    """Return what can be learned: samples with the questions' uids."""
    asked = {sample.uid: sample for sample in samples}
    # splitlines() would also break at marks that JSON leaves alone inside a text.
    rows = [json.loads(line) for line in path.read_text().rstrip("\n").split("\n")]
    return [replace(asked[row["uid"]], answer=row["answer"]) for row in rows if row["problem"] is None]
