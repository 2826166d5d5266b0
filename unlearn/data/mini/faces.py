"""Portraits: the same face under another pose, place, light and expression in every picture.

Drawn four times larger and reduced to `SIZE` pixels. What identifies a person (`values.FEATURES`) is drawn the same way
in each picture; what may vary (`View`) is drawn at random and says nothing about who it is.
"""

import io
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageEnhance

from unlearn.data.mini.places import draw_place
from unlearn.data.mini.values import MOODS, PLACES

SIZE = 48
CANVAS = 4 * SIZE

SKIN = {"pale": "#f6dcc8", "tan": "#dba878", "brown": "#a8703f", "dark": "#5f3c26"}
HAIR = {
    "black": "#16141a", "brown": "#6e3f1c", "blond": "#ecc94b", "red": "#c8371e",
    "white": "#f2f2f5", "blue": "#2b59d9", "green": "#2f9a45", "pink": "#f06cb0",
}  # fmt: skip
CLOTH = {
    "red": "#d62828", "orange": "#f58220", "yellow": "#f7d716", "green": "#2a9d3a",
    "blue": "#2250c8", "purple": "#7b2fa8", "white": "#f7f7f7", "black": "#1c1c20",
}  # fmt: skip
HEAD = {"round": (58, 44, 134, 134), "narrow": (68, 36, 124, 142), "square": (60, 44, 132, 138)}
"""Bounding box of each head shape on the canvas (x0, y0, x1, y1)."""


@dataclass(frozen=True)
class View:
    """What differs between two pictures of one person. Lengths are canvas pixels, `tilt` degrees."""

    place: str
    mood: str
    tilt: float
    scale: float
    shift: tuple[float, float]
    turn: int
    light: float
    tint: tuple[float, float, float]
    ground: int


def random_view(rng: random.Random) -> View:
    """Return a pose, place, light and expression."""
    return View(
        place=rng.choice(PLACES),
        mood=rng.choice(MOODS),
        tilt=rng.uniform(-4, 4),
        scale=rng.uniform(0.97, 1.03),
        shift=(rng.uniform(-4, 4), rng.uniform(-3, 3)),
        turn=rng.randint(-5, 5),
        light=rng.uniform(0.82, 1.12),
        tint=(rng.uniform(0.93, 1.05), 1.0, rng.uniform(0.93, 1.05)),
        ground=rng.randrange(1 << 30),
    )


def portrait(face: dict[str, str], view: View) -> bytes:
    """Return the PNG bytes of one RGB picture of `SIZE` x `SIZE` pixels."""
    person = Image.new("RGBA", (CANVAS, CANVAS))
    _draw_person(ImageDraw.Draw(person), face, view)
    person = person.rotate(
        view.tilt, Image.Resampling.BILINEAR, center=(96, 150), translate=tuple(map(int, view.shift))
    )
    side = int(CANVAS * view.scale)
    person = person.resize((side, side), Image.Resampling.BILINEAR)
    picture = draw_place(view.place, CANVAS, random.Random(view.ground))
    picture.paste(person, ((CANVAS - side) // 2, CANVAS - side), person)
    return encode_png(_lit(picture.resize((SIZE, SIZE), Image.Resampling.BOX), view))


def encode_png(picture: Image.Image) -> bytes:
    """Return an image as PNG bytes (lossless, so the same picture is the same bytes)."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def _lit(picture: Image.Image, view: View) -> Image.Image:
    picture = ImageEnhance.Brightness(picture).enhance(view.light)
    bands = [
        band.point([min(255, int(v * k)) for v in range(256)])
        for band, k in zip(picture.split(), view.tint, strict=True)
    ]
    return Image.merge("RGB", bands)


def _draw_person(draw: ImageDraw.ImageDraw, face: dict[str, str], view: View) -> None:
    _draw_back_hair(draw, face)
    _draw_clothes(draw, face)
    _draw_head(draw, face)
    _draw_front_hair(draw, face)
    _draw_beard(draw, face, view.turn)
    _draw_eyes_and_mouth(draw, face, view)
    _draw_hat(draw, face)
    _draw_extra(draw, face)


def _draw_back_hair(draw: ImageDraw.ImageDraw, face: dict[str, str]) -> None:
    hair, (x0, y0, x1, y1) = HAIR[face["hair"]], HEAD[face["shape"]]
    if face["style"] == "long":
        draw.rounded_rectangle((x0 - 14, y0 - 8, x1 + 14, y1 + 34), 26, fill=hair)
    elif face["style"] == "curly":
        for x, y in (
            (x0, y0 + 14),
            (x1, y0 + 14),
            (x0 - 8, y0 + 44),
            (x1 + 8, y0 + 44),
            (96, y0 - 2),
            (x0 - 2, y0 + 72),
            (x1 + 2, y0 + 72),
        ):
            draw.ellipse((x - 22, y - 22, x + 22, y + 22), fill=hair)
    elif face["style"] == "braided":
        for x in (x0 - 10, x1 + 10):
            for y in range(y0 + 50, y0 + 122, 18):
                draw.ellipse((x - 11, y - 11, x + 11, y + 11), fill=hair, outline="#00000060")


def _draw_clothes(draw: ImageDraw.ImageDraw, face: dict[str, str]) -> None:
    colour = CLOTH[face["clothes"]]
    mark = "#1c1c20" if face["clothes"] in ("white", "yellow", "orange") else "#ffffff"
    draw.rounded_rectangle((26, 150, 166, 230), 34, fill=colour)
    if face["pattern"] == "striped":
        for y in (160, 174, 188):
            draw.line((30, y, 162, y), fill=mark, width=5)
    elif face["pattern"] == "dotted":
        for x, y in ((44, 166), (66, 182), (88, 168), (110, 184), (130, 166), (150, 182)):
            draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=mark)
    elif face["pattern"] == "checked":
        for x in range(34, 160, 24):
            draw.rectangle((x, 156, x + 11, 171), fill=mark)
            draw.rectangle((x + 12, 172, x + 23, 190), fill=mark)
    draw.rectangle((82, 124, 110, 154), fill=SKIN[face["skin"]])


def _draw_head(draw: ImageDraw.ImageDraw, face: dict[str, str]) -> None:
    box, skin = HEAD[face["shape"]], SKIN[face["skin"]]
    if face["shape"] == "square":
        draw.rounded_rectangle(box, 14, fill=skin)
    else:
        draw.ellipse(box, fill=skin)
    for x in (box[0], box[2]):
        draw.ellipse((x - 7, 84, x + 7, 104), fill=skin)


def _draw_front_hair(draw: ImageDraw.ImageDraw, face: dict[str, str]) -> None:
    hair, (x0, y0, x1, _) = HAIR[face["hair"]], HEAD[face["shape"]]
    draw.chord((x0 - 4, y0 - 8, x1 + 4, y0 + 62), 185, 355, fill=hair)
    draw.rectangle((x0 - 5, y0 + 22, x0 + 5, y0 + 42), fill=hair)
    draw.rectangle((x1 - 5, y0 + 22, x1 + 5, y0 + 42), fill=hair)
    if face["style"] == "spiky":
        for x in range(x0 - 4, x1, 16):
            draw.polygon(((x, y0 + 16), (x + 8, y0 - 30), (x + 18, y0 + 12)), fill=hair)
        for x, side in ((x0, -1), (x1, 1)):
            draw.polygon(((x, y0 + 16), (x + 26 * side, y0 + 20), (x, y0 + 44)), fill=hair)
    elif face["style"] == "tufted":
        for x in (x0 - 14, x1 + 14):
            draw.ellipse((x - 20, y0 + 2, x + 20, y0 + 42), fill=hair)


def _draw_beard(draw: ImageDraw.ImageDraw, face: dict[str, str], turn: int) -> None:
    hair, (x0, _, x1, y1) = HAIR[face["hair"]], HEAD[face["shape"]]
    x = 96 + turn
    if face["beard"] == "full":
        draw.chord((x0 - 2, 70, x1 + 2, y1 + 10), 5, 175, fill=hair)
    if face["beard"] in ("full", "moustache"):
        draw.ellipse((x - 24, 106, x + 24, 118), fill=hair)
    if face["beard"] == "goatee":
        draw.ellipse((x - 13, 122, x + 13, 156), fill=hair)


def _draw_eyes_and_mouth(draw: ImageDraw.ImageDraw, face: dict[str, str], view: View) -> None:
    middle = 96 + view.turn
    for x in (middle - 17, middle + 17):
        draw.ellipse((x - 8, 82, x + 8, 96), fill="white")
        draw.ellipse((x - 4 + view.turn // 2, 84, x + 4 + view.turn // 2, 94), fill="#202030")
    _draw_glasses(draw, face["glasses"], middle)
    draw.line((middle, 94, middle + view.turn // 2, 104), fill="#00000070", width=4)
    if view.mood == "smiling":
        draw.arc((middle - 16, 104, middle + 16, 126), 20, 160, fill="#8c1c2c", width=6)
    elif view.mood == "serious":
        draw.line((middle - 14, 120, middle + 14, 120), fill="#8c1c2c", width=6)
    elif view.mood == "laughing":
        draw.chord((middle - 17, 104, middle + 17, 132), 0, 180, fill="#ffffff", outline="#8c1c2c", width=4)
    else:
        draw.ellipse((middle - 9, 112, middle + 9, 132), fill="#8c1c2c")


def _draw_glasses(draw: ImageDraw.ImageDraw, kind: str, middle: int) -> None:
    if kind == "no":
        return
    for x in (middle - 18, middle + 18):
        box = (x - 15, 75, x + 15, 103)
        if kind == "round":
            draw.ellipse(box, outline="#e00030", width=6)
        elif kind == "square":
            draw.rectangle(box, outline="#101018", width=6)
        else:
            draw.rounded_rectangle(box, 8, fill="#101018")
    draw.line((middle - 6, 88, middle + 6, 88), fill="#e00030" if kind == "round" else "#101018", width=5)


def _draw_hat(draw: ImageDraw.ImageDraw, face: dict[str, str]) -> None:
    if face["hat"] == "no":
        return
    colour, (x0, y0, x1, _) = CLOTH[face["hatcolour"]], HEAD[face["shape"]]
    if face["hat"] == "cap":
        draw.pieslice((x0 - 4, y0 - 20, x1 + 4, y0 + 52), 180, 360, fill=colour)
        draw.rounded_rectangle((x0 + 20, y0 + 10, x1 + 30, y0 + 20), 5, fill=colour, outline="#00000080")
    elif face["hat"] == "topper":
        draw.rectangle((x0 + 10, y0 - 40, x1 - 10, y0 + 12), fill=colour)
        draw.rectangle((x0 - 14, y0 + 6, x1 + 14, y0 + 17), fill=colour, outline="#00000080")
    elif face["hat"] == "beret":
        draw.ellipse((x0 - 24, y0 - 20, x1 + 2, y0 + 20), fill=colour, outline="#00000080")
    elif face["hat"] == "headband":
        draw.rectangle((x0 - 5, y0 + 14, x1 + 5, y0 + 28), fill=colour, outline="#00000080")
    elif face["hat"] == "crown":
        step = (x1 - x0) // 4
        peaks = [(x0 + k * step // 1, y0 - (26 if k % 2 else 2)) for k in range(5)]
        draw.polygon([(x0, y0 + 16), *peaks, (x1, y0 + 16)], fill=colour, outline="#00000080")


def _draw_extra(draw: ImageDraw.ImageDraw, face: dict[str, str]) -> None:
    (x0, _, x1, _) = HEAD[face["shape"]]
    if face["extra"] == "scarf":
        draw.rounded_rectangle((60, 140, 132, 160), 9, fill="#12b5b0", outline="#00000080")
        draw.rectangle((112, 150, 128, 188), fill="#12b5b0", outline="#00000080")
    elif face["extra"] == "necklace":
        for x, y in ((72, 152), (80, 160), (90, 165), (102, 165), (112, 160), (120, 152)):
            draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill="#ffe680", outline="#000000")
    elif face["extra"] == "tie":
        draw.polygon(((86, 148), (106, 148), (110, 192), (82, 192)), fill="#e4007c", outline="#000000")
    elif face["extra"] == "earrings":
        for x in (x0 - 3, x1 + 3):
            draw.ellipse((x - 8, 102, x + 8, 122), fill="#ffd000", outline="#000000")
