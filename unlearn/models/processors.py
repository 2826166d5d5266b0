"""The processor of a model: tokenizer, chat template and what turns a picture into tensors and image tokens."""

import inspect
import math
from typing import TYPE_CHECKING, Any

from unlearn.config.schema import ModelFamily
from unlearn.errors import UserError

if TYPE_CHECKING:
    from transformers import ProcessorMixin


def load_processor(source: str, root: str, family: ModelFamily) -> "ProcessorMixin":
    """Return the processor whose files lie in `source`, for the model in `root` (folder or Hub id).

    A class that wants a video processor is taken without it. Raises what the library raises for files that are absent
    or do not fit (OSError, ValueError, ImportError), and UserError for pixel limits that the family does not take.
    """
    from transformers import AutoConfig, AutoProcessor
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    kind = type(AutoConfig.from_pretrained(root, trust_remote_code=family.trust_remote_code))
    library = PROCESSOR_MAPPING.get(kind, None)
    has_video = library is not None and "video_processor" in inspect.signature(library).parameters
    loader = without_video(library) if has_video else AutoProcessor
    processor = loader.from_pretrained(source, trust_remote_code=family.trust_remote_code)
    # Of a class that it does not know, AutoProcessor returns the tokenizer alone.
    if not hasattr(processor, "image_processor"):
        raise UserError(f'"{source}" has a tokenizer but no image processor; {family.name} needs both.')
    _limit_pixels(processor, family)
    return processor


def without_video(library: type["ProcessorMixin"]) -> type["ProcessorMixin"]:
    """Return a processor class of transformers without its video part.

    Qwen-VL's processors demand a video processor, and that one demands torchvision; videos are not used here. The
    class keeps its name, since that name is what a saved processor is found by.
    """

    class WithoutVideo(library):
        # The library reads a processor's parts from this signature: with two of them the third argument is passed over.
        def __init__(
            self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None, **kwargs: Any
        ) -> None:
            super().__init__(image_processor, tokenizer, None, chat_template=chat_template, **kwargs)

    WithoutVideo.__name__ = library.__name__
    return WithoutVideo


def _limit_pixels(processor: "ProcessorMixin", family: ModelFamily) -> None:
    """Set the areas between which the family scales a picture."""
    given = {"shortest_edge": family.min_pixels, "longest_edge": family.max_pixels}
    given = {key: value for key, value in given.items() if value is not None}
    if not given:
        return
    size = dict(processor.image_processor.size)
    # Beside a longest edge a shortest one is an area; alone it is a length (LLaVA), and an area would be taken for it.
    known = set(size) if "longest_edge" in size else set()
    if not set(given) <= known:
        keys = " and ".join(("min_pixels", "max_pixels")[key == "longest_edge"] for key in given if key not in known)
        raise UserError(f"{family.name} has no such limit for its pictures; leave {keys} out.")
    if "shortest_edge" not in size:
        # Qwen-VL's two edges are areas in spite of their names; a longest edge alone is one (Idefics 3).
        given["longest_edge"] = math.isqrt(given["longest_edge"])
    processor.image_processor.size = {**size, **given}
