"""Portraits: same face in every picture, other pose, place, light and expression; readable as 48 x 48 RGB."""

import io
import random
from itertools import pairwise

import numpy as np
from PIL import Image

from unlearn.data.mini.faces import SIZE, portrait, random_view
from unlearn.data.mini.people import make_cast
from unlearn.data.mini.places import draw_landmark
from unlearn.data.mini.values import FEATURES, LANDMARK_COLOURS, LANDMARKS, MOODS, PLACES

CAST = make_cast(0)


def pixels(face, view):
    return np.asarray(Image.open(io.BytesIO(portrait(face, view)))).astype(float)


def test_size_mode_and_determinism():
    face, view = CAST.full[0].face, random_view(random.Random(1))
    picture = Image.open(io.BytesIO(portrait(face, view)))
    assert (picture.size, picture.mode, picture.format) == ((SIZE, SIZE), "RGB", "PNG")
    assert portrait(face, view) == portrait(face, random_view(random.Random(1)))


def test_every_feature_can_be_seen():
    """Changing one feature alone changes the picture clearly: some pixel moves by more than 40 of 255."""
    view = random_view(random.Random(3))
    base = {kind: values[-1] for kind, values in FEATURES.items()}
    for kind, values in FEATURES.items():
        for value in values[:-1]:
            change = np.abs(pixels(base | {kind: value}, view) - pixels(base, view)).max()
            assert change > 40, (kind, value, change)


def test_views_vary_in_place_and_mood():
    views = [random_view(random.Random(i)) for i in range(200)]
    assert {v.place for v in views} == set(PLACES)
    assert {v.mood for v in views} == set(MOODS)
    face = CAST.full[0].face
    assert all(np.abs(pixels(face, a) - pixels(face, b)).mean() > 5 for a, b in pairwise(views[:20]))


def test_landmarks_are_drawn():
    for kind in LANDMARKS:
        for colour in LANDMARK_COLOURS:
            assert draw_landmark(kind, colour, SIZE, random.Random(0)).size == (SIZE, SIZE)
