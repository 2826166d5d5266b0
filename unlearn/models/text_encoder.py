"""Prompts of language models: a chat template, or the tags that stand around a question (as TOFU writes them)."""

from typing import TYPE_CHECKING

from unlearn.config.schema import ModelFamily
from unlearn.data.samples import IGNORE, Encoded, Sample
from unlearn.errors import UserError
from unlearn.models.encoder import Encoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class TextEncoder(Encoder):
    """Encodes questions in words.

    With tags a prompt is question_start_tag + question + question_end_tag + answer_tag; the tokenizer writes its start
    token, if it has one, before either kind of prompt.
    """

    def __init__(self, family: ModelFamily, tokenizer: "PreTrainedTokenizerBase", source: str | None = None) -> None:
        super().__init__(family, tokenizer, source)
        self._tags = family.tags()
        if self._tags is None and tokenizer.chat_template is None:
            raise UserError(
                f'The tokenizer of "{family.hub_id}" has no chat template; set question_start_tag, question_end_tag '
                f"and answer_tag of model_family={family.name}."
            )

    def _ask(self, sample: Sample) -> Encoded:
        if sample.image is not None:
            raise UserError(f"{sample.uid} has a picture, which {self.family.name} does not see; take texts alone.")
        text = self._render(sample.question)
        ids = self.tokenizer(text, add_special_tokens=self._add_special_tokens(text))["input_ids"]
        return Encoded(sample.uid, ids, [IGNORE] * len(ids))

    def _render(self, question: str) -> str:
        if self._tags is not None:
            start, end, answer = self._tags
            return f"{start}{question}{end}{answer}"
        turns = [{"role": "user", "content": question}]
        return self.tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, tokenize=False, **self.family.template_arguments
        )

    def _blank_prompt(self) -> Encoded:
        return self.encode_prompt(Sample("blank", "", "", None, "blank"))
