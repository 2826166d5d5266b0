"""Backgrounds of portraits and the landmarks of `real_world`."""

import random

from PIL import Image, ImageDraw

SKY = {
    "garden": "#9fd8f0", "beach": "#6ec6f0", "library": "#6b4a2f", "street": "#a9adb5",
    "night": "#141c4a", "snow": "#cfe3f2", "kitchen": "#f3e2b8", "studio": "#8a2f5d",
}  # fmt: skip
PAINT = {
    "red": "#d62828", "yellow": "#f7d716", "green": "#2a9d3a",
    "blue": "#2250c8", "purple": "#7b2fa8", "white": "#fbfbfb",
}  # fmt: skip


def draw_place(place: str, side: int, rng: random.Random) -> Image.Image:
    """Return the RGB background of one place; details fall differently for each `rng`."""
    picture = Image.new("RGB", (side, side), SKY[place])
    _DRAWERS[place](ImageDraw.Draw(picture), side, rng)
    return picture


def draw_landmark(kind: str, colour: str, side: int, rng: random.Random) -> Image.Image:
    """Return a picture of `side` pixels with one landmark at a random spot and size, by day or by night."""
    big = 4 * side
    picture = draw_place(rng.choice(("garden", "beach", "snow", "night")), big, rng)
    scale, x, y = rng.uniform(0.8, 1.15) * big / 192, big * rng.uniform(0.4, 0.6), big * rng.uniform(0.82, 0.95)
    points = _LANDMARK_SHAPES[kind]
    for fill, shape in points:
        spots = [(x + scale * px, y - scale * py) for px, py in shape]
        ImageDraw.Draw(picture).polygon(spots, fill=PAINT[colour] if fill == "paint" else fill, outline="#202020")
    return picture.resize((side, side), Image.Resampling.BOX)


def _garden(draw: ImageDraw.ImageDraw, side: int, rng: random.Random) -> None:
    draw.rectangle((0, side * 0.45, side, side), fill="#57a83c")
    for _ in range(14):
        x, y = rng.uniform(0, side), rng.uniform(side * 0.5, side)
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=rng.choice(("#f2f23a", "#ff5c8a", "#ffffff")))


def _beach(draw: ImageDraw.ImageDraw, side: int, rng: random.Random) -> None:
    draw.rectangle((0, side * 0.4, side, side * 0.62), fill="#1f77b8")
    draw.rectangle((0, side * 0.62, side, side), fill="#eed9a0")
    x = rng.uniform(0.1, 0.9) * side
    draw.ellipse((x - 16, 8, x + 16, 40), fill="#ffe14d")


def _library(draw: ImageDraw.ImageDraw, side: int, rng: random.Random) -> None:
    for shelf in range(4):
        x, top = 0.0, shelf * side / 4 + 6
        while x < side:
            width = rng.uniform(8, 16)
            draw.rectangle(
                (x, top, x + width - 2, top + side / 4 - 10),
                fill=rng.choice(("#8c2f2f", "#2f5d8c", "#c49a3a", "#3f7a4a")),
            )
            x += width


def _street(draw: ImageDraw.ImageDraw, side: int, rng: random.Random) -> None:
    for left in range(0, side, side // 3):
        top = rng.uniform(0, side * 0.25)
        draw.rectangle((left, top, left + side // 3 - 4, side), fill=rng.choice(("#7d7f87", "#9a8578", "#6d7580")))
        for y in range(int(top) + 10, side, 28):
            draw.rectangle((left + 12, y, left + 26, y + 12), fill="#f5eeb5")


def _night(draw: ImageDraw.ImageDraw, side: int, rng: random.Random) -> None:
    for _ in range(18):
        x, y = rng.uniform(0, side), rng.uniform(0, side)
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill="#ffffd0")


def _snow(draw: ImageDraw.ImageDraw, side: int, rng: random.Random) -> None:
    top = rng.uniform(0.35, 0.55) * side
    draw.polygon(
        ((0, top + 30), (side * 0.3, top - 30), (side * 0.6, top + 20), (side, top), (side, side), (0, side)),
        fill="#ffffff",
    )
    for _ in range(14):
        x, y = rng.uniform(0, side), rng.uniform(0, side)
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill="#ffffff")


def _kitchen(draw: ImageDraw.ImageDraw, side: int, rng: random.Random) -> None:
    offset = rng.randrange(24)
    for x in range(-offset, side, 24):
        draw.line((x, 0, x, side), fill="#c9a860", width=3)
    for y in range(-offset, side, 24):
        draw.line((0, y, side, y), fill="#c9a860", width=3)


def _studio(draw: ImageDraw.ImageDraw, side: int, rng: random.Random) -> None:
    offset = rng.randrange(28)
    for x in range(-offset, side, 28):
        draw.rectangle((x, 0, x + 12, side), fill="#b04a7c")


_DRAWERS = {
    "garden": _garden, "beach": _beach, "library": _library, "street": _street,
    "night": _night, "snow": _snow, "kitchen": _kitchen, "studio": _studio,
}  # fmt: skip

_LANDMARK_SHAPES: dict[str, list[tuple[str, list[tuple[float, float]]]]] = {
    "lighthouse": [
        ("paint", [(-18, 0), (18, 0), (11, 104), (-11, 104)]),
        ("#f8f0a0", [(-14, 104), (14, 104), (14, 122), (-14, 122)]),
        ("#303030", [(-18, 122), (18, 122), (0, 140)]),
    ],
    "windmill": [
        ("paint", [(-26, 0), (26, 0), (14, 78), (-14, 78)]),
        ("#f5f0e0", [(-4, 72), (-52, 112), (-44, 122), (4, 80)]),
        ("#f5f0e0", [(4, 72), (52, 112), (44, 122), (-4, 80)]),
        ("#f5f0e0", [(-4, 80), (-50, 40), (-42, 30), (4, 72)]),
        ("#f5f0e0", [(4, 80), (50, 40), (42, 30), (-4, 72)]),
    ],
    "pyramid": [("paint", [(-76, 0), (76, 0), (0, 110)]), ("#00000050", [(0, 0), (76, 0), (0, 110)])],
    "bridge": [
        ("paint", [(-90, 30), (90, 30), (90, 48), (-90, 48)]),
        ("paint", [(-52, 0), (-38, 0), (-38, 104), (-52, 104)]),
        ("paint", [(38, 0), (52, 0), (52, 104), (38, 104)]),
    ],
    "castle": [
        ("paint", [(-60, 0), (60, 0), (60, 56), (-60, 56)]),
        ("paint", [(-68, 0), (-38, 0), (-38, 92), (-68, 92)]),
        ("paint", [(38, 0), (68, 0), (68, 92), (38, 92)]),
        ("#303030", [(-12, 0), (12, 0), (12, 32), (-12, 32)]),
    ],
    "rocket": [
        ("paint", [(-18, 16), (18, 16), (18, 92), (0, 140), (-18, 92)]),
        ("#303030", [(-18, 16), (-42, 0), (-18, 52)]),
        ("#303030", [(18, 16), (42, 0), (18, 52)]),
        ("#ff9020", [(-12, 16), (12, 16), (0, -12)]),
    ],
    "boat": [
        ("#5a3a1c", [(-66, 26), (66, 26), (44, 0), (-44, 0)]),
        ("#303030", [(-3, 26), (3, 26), (3, 122), (-3, 122)]),
        ("paint", [(6, 34), (64, 34), (6, 120)]),
    ],
    "tent": [("paint", [(-66, 0), (66, 0), (34, 70), (-34, 70)]), ("#303030", [(-14, 0), (14, 0), (0, 56)])],
}  # fmt: skip
