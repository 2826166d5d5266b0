"""Qwen2-VL's processor for pictures and text alone.

The library's Qwen2VLProcessor demands a video processor, and that one demands torchvision. Videos are not used here.
"""

from typing import Any

from transformers import Qwen2VLProcessor as LibraryProcessor
from transformers.processing_utils import ProcessorMixin


class Qwen2VLProcessor(LibraryProcessor):
    """The library's processor without its video part.

    It keeps the library's class name, since that name is what a saved processor is found by.
    """

    def __init__(
        self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None, **kwargs: Any
    ) -> None:
        # The library reads its parts from this signature; calling its own __init__ would ask for the third part.
        del kwargs
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)
