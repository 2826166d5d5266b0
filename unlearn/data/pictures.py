"""Whether every picture of a dataset decodes (asked before any weight is read, not after an hour of training), and
pictures with nothing on them.
"""

import io
from collections.abc import Iterable
from functools import cache

from unlearn.errors import UserError

SMALL = (64, 64)
"""A JPEG is decoded at the smallest scale that is not below this: all its bytes are read, but few pixels made."""
GREY = (128, 128, 128)
"""The middle of the range of a pixel."""


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
            raise _undecodable(owner, error) from error


def blank_like(data: bytes, owner: str) -> bytes:
    """Return the file of a grey picture as large as the one in `data`, whose owner (the uid) a message names.

    Raises UserError where `data` is no picture.
    """
    from PIL import Image

    try:
        return _grey(Image.open(io.BytesIO(data)).size)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _undecodable(owner, error) from error


@cache
def _grey(size: tuple[int, int]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    # Uncompressed: the same bytes, hence the same fingerprint of a task, whatever library compresses elsewhere.
    Image.new("RGB", size, GREY).save(file, "BMP")
    return file.getvalue()


def _undecodable(owner: str, error: Exception) -> UserError:
    return UserError(f"The image of {owner} does not decode ({error}); replace it in the dataset.")
