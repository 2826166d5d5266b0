"""The page: whole, self-contained, escaped, readable by people and by machines."""

import base64
import io
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

import unlearn.report
from unlearn.report.page import MATCHES, breakable, match
from unlearn.report.people import Said, people
from unlearn.report.pictures import SIDE, thumbnail_uri
from unlearn.report.runs import Kind, dataset_of, read_model
from unlearn.report.tables import pairs

VOID = {"meta", "img", "source", "wbr", "br"}
LIMIT = 6 * 2**20
"""Bytes of a page, people and figures included."""


class Reader(HTMLParser):
    """Checks that every element is closed in order, and keeps tags, attributes and the text of the page."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data):
        self.text.append(data)

    def all(self, *names):
        return [attributes for tag, attributes in self.tags if tag in names]


@pytest.fixture(scope="module")
def html(written):
    return (written / "report.html").read_text()


@pytest.fixture(scope="module")
def page(html):
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def test_it_needs_nothing_beside_it(page, html):
    links = [a.get("href", "") for a in page.all("a")]
    assert [link for link in links if not link.startswith(("#", "https://arxiv.org/abs/"))] == []
    sources = [a.get("src") or a.get("srcset") for a in page.all("img", "source", "script", "iframe", "video", "audio")]
    assert sources
    assert [s[:60] for s in sources if not s.startswith("data:image/")] == []
    assert page.all("link", "base", "object", "embed") == []
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert len(html.encode()) < LIMIT


def test_it_works_without_scripts_and_runs_none(page, html):
    assert page.all("script") == []
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    # A person is called <script>, a submitter <b>: they are shown as text, wherever they stand.
    assert "<script" not in html
    assert "<b>me" not in html
    text = "".join(page.text)
    assert "<script>alert('&')</script>" in text
    assert "so <script>alert('&')</script> says" in text


def test_it_can_be_read_without_seeing_it(page):
    assert [a for a in page.all("img") if not a.get("alt")] == []
    assert [a for a in page.all("th") if a.get("scope") not in ("col", "row")] == []
    assert page.all("html")[0]["lang"] == "en"
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    focusable = [a for a in page.all("div") if a.get("class") == "scroll"]
    assert focusable
    assert all(a.get("tabindex") == "0" and a.get("aria-label") for a in focusable)


def test_every_anchor_leads_somewhere(page):
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {a["href"][1:] for a in page.all("a") if a["href"].startswith("#")} == ids


def test_it_says_what_the_figures_cannot(page):
    text = " ".join("".join(page.text).split())
    assert "The settings are not tuned, so this table ranks nothing" in text
    assert "Tiny models do not predict those of seven billion parameters" in text
    assert "one that knows less than gold has damaged itself" in text


def test_every_person_has_a_picture_and_every_models_words(page, experiment):
    shown = [read_model(name, Kind.base, experiment / name) for name in ("pretrained", "base", "gold", "npo")]
    chosen = people(shown, shown[1].log.manifest, dataset_of(experiment / "base"), 2)
    text, sources = "".join(page.text), [a["src"] for a in page.all("img")]
    assert len(chosen) == 6
    for person in chosen:
        assert person.name in text
        for scene in person.scenes:
            assert scene.image is None or thumbnail_uri(scene.image) in sources
            for question in scene.questions:
                assert question.text in text
                assert question.answer in text
                assert all(said.text in text and f"{said.probability:.2f}" in text for said in question.said)


def test_it_says_what_every_model_was_made_from(page, experiment):
    text = " ".join("".join(page.text).split())
    for name in ("base", "gold", "npo"):
        told = json.loads((experiment / name / "eval_results" / "manifest.json").read_text())["provenance"]
        for link in told["lineage"]:
            assert f"{link['path']}{link['fingerprint']}" in text
    assert "name=npo, beta=0.1" in text
    assert "forget_split=forget10, retain_split=retain90, forget_modality=both; 4 train d0" in text
    assert "no run of this suite" in text
    assert "rows forget_qa" in text


def test_settings_are_told_as_on_a_command_line():
    assert pairs({"lr": 1e-4, "LoRA": {"r": 4, "components": ["a"]}}) == "lr=0.0001, LoRA.r=4, LoRA.components=['a']"


def test_only_the_first_gold_speaks(page):
    rows = [a["class"] for tag, a in page.tags if tag == "tr" and a.get("role") == "row" and "class" in a]
    assert rows.count("gold") == rows.count("base") == rows.count("pretrained") > 0


@pytest.mark.parametrize(("recall", "mark"), [(1.0, "✓"), (0.98, "◐"), (0.5, "◐"), (0.49, "✗"), (0.0, "✗")])
def test_an_answer_is_marked_by_its_recall(recall, mark):
    assert match(Said(None, "x", 0.5, recall)).mark == mark
    assert [kind.least for kind in MATCHES][-1] == 0


def test_names_break_after_underscores_and_are_escaped():
    assert breakable("a_b_<i>") == "a_<wbr>b_<wbr>&lt;i&gt;"


def test_pictures_shrink_and_small_ones_stay():
    large, small = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (1024, 512), "red").save(large, "JPEG")
    Image.new("RGB", (48, 48), "red").save(small, "PNG")
    kind, _, content = thumbnail_uri(large.getvalue()).partition(";base64,")
    assert kind == "data:image/jpeg"
    assert Image.open(io.BytesIO(base64.b64decode(content))).size == (SIDE, SIDE // 2)
    kind, _, content = thumbnail_uri(small.getvalue()).partition(";base64,")
    assert (kind, base64.b64decode(content)) == ("data:image/png", small.getvalue())


@pytest.mark.parametrize("mode", [0, 1])
def test_colours_have_contrast_in_both_modes(mode):
    """At least 4.5 : 1 (WCAG 2, level AA) for every colour of text on every paper that it stands on."""
    style = (Path(unlearn.report.__file__).parent / "page.css").read_text()
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", style.split("prefers-color-scheme: dark")[mode]))
    assert len(colours) >= 14
    pairs = [
        (ink, paper) for ink in ("ink", "muted", "method", "whole", "part", "other") for paper in ("paper", "raised")
    ]
    pairs += [("gold", "goldwash"), ("gold", "raised"), ("ink", "goldwash"), ("muted", "goldwash"), ("ink", "warn")]
    low = {pair: round(contrast(*(colours[name] for name in pair)), 2) for pair in pairs}
    assert {pair: value for pair, value in low.items() if value < 4.5} == {}


def contrast(a, b):
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
