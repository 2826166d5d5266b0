"""Whether every picture of a dataset decodes: asked before any weight is read, not after an hour of training."""

import io
from collections.abc import Iterable

from unlearn.errors import UserError

SMALL = (64, 64)
"""A JPEG is decoded at the smallest scale that is not below this: all its bytes are read, but few pixels made."""


def check_pictures(pictures: Iterable[tuple[str, bytes | None]]) -> None:
    """Decode every distinct picture once.

    pictures  what a message calls the picture's owner (the uid), and the file's bytes; None for no picture
    Raises UserError for the first that does not decode.
    """
    from PIL import Image

    checked: set[bytes] = set()
    for owner, data in pictures:
        if data is None or data in checked:
            continue
        checked.add(data)
        try:
            picture = Image.open(io.BytesIO(data))
            picture.draft("RGB", SMALL)
            picture.load()
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UserError(f"The image of {owner} does not decode ({error}); replace it in the dataset.") from error
