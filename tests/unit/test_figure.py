"""The picture of a table: what is averaged, and that a picture comes out."""

import pytest
from PIL import Image

from unlearn.figure import draw, knowledge

ROW = {
    "Method": "gold",
    "Prob. Forget Captions": 0.2,
    "ROUGE Forget Captions": 0.4,
    "Truth Ratio Forget Captions": 0.9,
    "Prob. Retain QA": 1.0,
    "ROUGE Retain QA": 0.5,
    "Prob. Real Faces": 0.0,
}


def test_knowledge_is_the_mean_of_probability_and_rouge_of_one_role():
    assert knowledge(ROW, "Forget") == pytest.approx(0.3)
    assert knowledge(ROW, "Retain") == pytest.approx(0.75)


def test_the_picture_marks_gold(tmp_path):
    other = {**ROW, "Method": "npo", "Prob. Forget Captions": 1.0, "ROUGE Forget Captions": 1.0}
    draw([ROW, other], "gold", tmp_path / "plot.png")
    picture = Image.open(tmp_path / "plot.png").convert("RGB")
    golden = sum(red > blue + 100 for red, _, blue in picture.get_flattened_data())
    assert golden > 500, "gold's two lines and its point"
    assert [path.name for path in tmp_path.iterdir()] == ["plot.png"]
