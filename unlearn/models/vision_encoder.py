"""Prompts with pictures: chat template, image tokens and vision tensors, as the model's processor makes them.

One class serves every vision-language family, since the processor already knows how a picture becomes tokens.
"""

import io
from typing import TYPE_CHECKING, Any

from unlearn.config.schema import ModelFamily
from unlearn.data.samples import IGNORE, Encoded, Sample
from unlearn.errors import UserError
from unlearn.models.encoder import Encoder

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor
    from transformers import ProcessorMixin

TOKEN_TYPES = ("mm_token_type_ids", "token_type_ids")
"""What marks the image tokens of a sequence, as Qwen-VL's and Gemma's forwards name it."""
NOT_VISION = ("input_ids", "attention_mask", *TOKEN_TYPES)
BLANK_SIDE = 56
"""Pixels of a side of Qwen2-VL's smallest picture (4 tokens); fixed-size families scale it anyway."""


class VisionEncoder(Encoder):
    """Encodes questions with and without a picture.

    image_id   the id that image tokens are made of
    """

    def __init__(self, family: ModelFamily, processor: "ProcessorMixin", source: str | None = None) -> None:
        super().__init__(family, processor, source)
        # Gemma's `image_token_id` is what a picture begins with; these are the tokens that stand for its parts.
        self.image_id: int = processor.image_token_ids[0]

    def _ask(self, sample: Sample) -> Encoded:
        picture = None if sample.image is None else _decode_image(sample)
        text = self._render(sample.question, picture is not None)
        out = self.files(
            text=[text],
            images=None if picture is None else [picture],
            add_special_tokens=self._add_special_tokens(text),
            return_tensors="pt",
        )
        ids = out["input_ids"][0].tolist()
        types = {key: out[key][0].tolist() for key in TOKEN_TYPES if key in out}
        vision: dict[str, Tensor] = {key: value for key, value in out.items() if key not in NOT_VISION}
        if (self.image_id in ids) != (picture is not None):
            raise UserError(
                f'The chat template of "{self.family.hub_id}" does not place the picture of {sample.uid}: its prompt '
                f"has {ids.count(self.image_id)} image tokens; use a model with a multimodal chat template."
            )
        return Encoded(sample.uid, ids, [IGNORE] * len(ids), types, vision)

    def _render(self, question: str, with_picture: bool) -> str:
        content: list[dict[str, Any]] = [{"type": "text", "text": question}]
        if with_picture:
            content.insert(0, {"type": "image"})
        turns = [{"role": "user", "content": content}]
        return self.files.apply_chat_template(
            turns, add_generation_prompt=True, tokenize=False, **self.family.template_arguments
        )

    def _blank_prompt(self) -> Encoded:
        """A blank picture keeps the vision tower and the projector in the graph of a batch of texts."""
        from PIL import Image

        file = io.BytesIO()
        Image.new("RGB", (BLANK_SIDE, BLANK_SIDE)).save(file, "PNG")
        return self.encode_prompt(Sample("blank", "", "", file.getvalue(), "blank"))


def _decode_image(sample: Sample) -> "Image":
    from PIL import Image

    data = sample.image or b""
    try:
        return Image.open(io.BytesIO(data)).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(
            f"The image of {sample.uid} ({len(data)} bytes) does not decode; replace it in the dataset."
        ) from error
