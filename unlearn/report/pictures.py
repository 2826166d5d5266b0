"""Pictures inside a page: small copies, as data URIs."""

import base64
import io

SIDE = 224
"""Pixels: a page shows pictures at this size or smaller, and one of CLEAR's 1024 x 1024 has 100 KB and more."""
QUALITY = 85


def png_uri(data: bytes) -> str:
    """Return the data URI of a PNG file."""
    return _uri("png", data)


def thumbnail_uri(data: bytes, side: int = SIDE) -> str:
    """Return the data URI of a copy that is at most `side` pixels high and wide; a picture that small stays as it is.

    A large one becomes JPEG. The picture must decode: evaluation checked it.
    """
    from PIL import Image

    picture = Image.open(io.BytesIO(data))
    if max(picture.size) <= side:
        return _uri(str(picture.format).lower(), data)
    copy = picture.convert("RGB")
    copy.thumbnail((side, side))
    file = io.BytesIO()
    copy.save(file, "JPEG", quality=QUALITY)
    return _uri("jpeg", file.getvalue())


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
