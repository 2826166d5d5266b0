"""From a sample to what the model reads: prompt, answer, end token, labels.

The prompt and the answer are tokenized apart and joined, so the label mask is the answer by construction and no
position is searched for. How a question becomes a prompt is what the two kinds of encoders differ in.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from unlearn.config.schema import ModelFamily
from unlearn.data.samples import Encoded, Sample
from unlearn.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, ProcessorMixin

logger = logging.getLogger(__name__)

KEPT_PROMPTS = 16
"""Prompts kept encoded: the answers of an item are scored one after another under one picture."""


class Encoder(ABC):
    """Encodes samples for one model family.

    files      processor or tokenizer, whichever is saved with a checkpoint
    tokenizer  the processor's tokenizer, or `files` itself
    end_ids    ids that end an answer: the one that answers are trained to end with, then the tokenizer's eos
    pad_id     filler of a batch (the eos where a tokenizer has no pad token: masks never come from ids)
    source     folder of the files, which checkpoints carry along; None if there is none
    """

    def __init__(
        self, family: ModelFamily, files: "ProcessorMixin | PreTrainedTokenizerBase", source: str | None = None
    ) -> None:
        self.family = family
        self.files = files
        self.source = source
        self.tokenizer = getattr(files, "tokenizer", files)
        end = _end_id(family, self.tokenizer)
        eos = self.tokenizer.eos_token_id
        self.end_ids = [end] if eos in (None, end) else [end, eos]
        self.pad_id = end if self.tokenizer.pad_token_id is None else self.tokenizer.pad_token_id
        # Tokens that steer the model; in a user's text they would forge a turn, an end or a picture.
        self._control = [t.content for t in self.tokenizer.added_tokens_decoder.values() if t.special]
        self._prompts: dict[tuple[str, bytes | None], Encoded] = {}
        self._warned = False

    def encode(self, sample: Sample, max_length: int, cut_answer: bool = True) -> Encoded:
        """Return prompt + answer + end token with labels on the answer and its end token.

        A sample of more than `max_length` tokens loses the tail of its answer and keeps its end token; with
        `cut_answer=False` (scores of cut answers would be wrong) it is refused. A prompt is never cut.
        Raises UserError with the uid for a picture that does not decode, an answer that is empty or that the tokenizer
        cannot write, control tokens in a text, and a prompt that leaves no room for the answer.
        """
        prompt = self.encode_prompt(sample)
        answer = self._answer_ids(sample)
        answer = self._fitted(sample, len(prompt.input_ids), answer, max_length, cut_answer)
        return joined(prompt, [*answer, self.end_ids[0]])

    def encode_prompt(self, sample: Sample) -> Encoded:
        """Return the prompt alone, for generation: no answer, every label `IGNORE`."""
        key = (sample.question, sample.image)
        if key not in self._prompts:
            if len(self._prompts) >= KEPT_PROMPTS:
                self._prompts.pop(next(iter(self._prompts)))
            self._refuse_control_tokens(sample, "question", sample.question)
            self._prompts[key] = self._ask(sample)
        kept = self._prompts[key]
        return Encoded(sample.uid, kept.input_ids, kept.labels, kept.token_types, kept.vision)

    def blank(self) -> Encoded:
        """Return a sample for rows of weight 0; its end token is a label, so that per-sequence values exist for it."""
        return joined(self._blank_prompt(), [self.end_ids[0]])

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of answer ids, without special tokens and surrounding blanks."""
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False).strip()

    @abstractmethod
    def _ask(self, sample: Sample) -> Encoded:
        """Return the encoded prompt of a sample whose question has no control tokens."""

    @abstractmethod
    def _blank_prompt(self) -> Encoded:
        """Return a prompt that keeps every part of the model in the graph."""

    def _add_special_tokens(self, text: str) -> bool:
        """Some templates write the start token themselves; the tokenizer must not write a second one."""
        bos = self.tokenizer.bos_token
        return not (bos and text.startswith(bos))

    def _answer_ids(self, sample: Sample) -> list[int]:
        answer = sample.answer.strip()
        if not answer:
            raise UserError(f"The answer of {sample.uid} is empty; every sample needs one: correct or drop the row.")
        self._refuse_control_tokens(sample, "answer", answer)
        ids = self.tokenizer(self.family.answer_prefix + answer, add_special_tokens=False)["input_ids"]
        if _words(self.decode(ids)) != _words(answer):
            raise UserError(
                f"The answer of {sample.uid} comes back from the tokenizer of {self.family.name} as "
                f'"{self.decode(ids)}" instead of "{answer}"; correct the row or take a tokenizer that knows its text.'
            )
        return ids

    def _fitted(self, sample: Sample, prompt: int, answer: list[int], max_length: int, cut: bool) -> list[int]:
        """Return the answer ids that fit behind a prompt of `prompt` tokens and before the end token."""
        room, whole = max_length - prompt - 1, prompt + len(answer) + 1
        if whole <= max_length:
            return answer
        if room < 1 or not cut:
            what = "the prompt leaves no room for an answer" if room < 1 else "the answer would be cut"
            raise UserError(f"{sample.uid}: {what} at max_length={max_length}; set max_length={whole} or more.")
        if not self._warned:
            self._warned = True
            logger.warning("max_length=%d cuts answers; the first is %s with %d tokens", max_length, sample.uid, whole)
        return answer[:room]

    def _refuse_control_tokens(self, sample: Sample, part: str, text: str) -> None:
        found = [token for token in self._control if token in text]
        if found:
            raise UserError(
                f'The {part} of {sample.uid} contains "{found[0]}", a control token of {self.family.name}; remove it.'
            )


def joined(prompt: Encoded, answer: list[int]) -> Encoded:
    """Return the prompt followed by the labelled answer ids."""
    types = {key: [*values, *[0] * len(answer)] for key, values in prompt.token_types.items()}
    return Encoded(prompt.uid, prompt.input_ids + answer, prompt.labels + answer, types, prompt.vision)


def _end_id(family: ModelFamily, tokenizer: Any) -> int:
    token = tokenizer.eos_token if family.end_token is None else family.end_token
    if token is None or token not in tokenizer.get_vocab():
        raise UserError(
            f'end_token is {family.end_token} but the tokenizer of "{family.hub_id}" has no token "{token}"; '
            f"set model_family.end_token to the token that ends a turn of its chat template."
        )
    return tokenizer.convert_tokens_to_ids(token)


def _words(text: str) -> list[str]:
    """Blanks are compared as one: SentencePiece and normalizers rewrite them."""
    return text.split()
