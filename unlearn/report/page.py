"""The page of a report: one HTML file that needs nothing beside it, no network and no script."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unlearn.config.schema import Metrics
from unlearn.metrics.manifest import Manifest, Role
from unlearn.metrics.table import Row
from unlearn.report.people import Person, Said
from unlearn.report.pictures import png_uri, thumbnail_uri
from unlearn.report.runs import Model
from unlearn.report.sweep import Sweep
from unlearn.report.tables import Table, pairs

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

TEMPLATE, SECTION_TEMPLATE = "page.html.jinja", "section.html.jinja"
FEW = 8
"""Models up to which all questions are unfolded; with more, the first of each person."""

HEADINGS = {
    Role.forget: "To be forgotten",
    Role.retain: "To be kept",
    Role.real: "Never to be touched",
}


@dataclass(frozen=True)
class Match:
    """How far an answer agrees with the truth, by the ROUGE-L recall from which on it applies."""

    least: float
    mark: str
    words: str
    style: str


MATCHES = (
    Match(0.99, "✓", "all", "whole"),
    Match(0.5, "◐", "at least half", "part"),
    Match(0.0, "✗", "less", "other"),
)


@dataclass(frozen=True)
class Picture:
    """A figure in both modes, as PNG files, called `name`; `alt` says in words what is drawn."""

    name: str
    title: str
    caption: str
    alt: str
    light: bytes
    dark: bytes
    folded: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page after the figures, with files of its own: <key>.csv, <key>.md and its figures.

    reading  how to read the table, a sentence or two each
    table    a line per model; printed with a line per column, of which there may be many
    rows     all numbers behind it
    heading  what the table's columns are
    """

    key: str
    title: str
    reading: Sequence[str]
    table: Table
    rows: Sequence[Row]
    figures: Sequence[Picture]
    heading: str = "Task"


@dataclass(frozen=True)
class Page:
    """Everything that the page shows.

    metrics  whose definitions the numbers have
    band     whether it is known how far golds are from each other
    sweep    what chose the settings; None where they are not tuned
    columns  all columns of every model
    models   whose provenance is told
    undrawn  a sentence for every figure that there is nothing for
    """

    title: str
    metrics: Metrics
    manifest: Manifest
    band: bool
    sweep: Sweep | None
    table: Table
    columns: Table
    figures: Sequence[Picture]
    sections: Sequence[Section]
    people: Sequence[Person]
    models: Sequence[Model]
    undrawn: Sequence[str]


def to_html(page: Page) -> str:
    """Return the page. Whatever comes from users, data and models is escaped by the template engine."""
    roles = [(HEADINGS[role], role.value, [p for p in page.people if p.role is role]) for role in HEADINGS]
    return _template(TEMPLATE).render(page=page, matches=MATCHES, few=FEW, roles=[role for role in roles if role[2]])


def section_html(section: Section, title: str) -> str:
    """Return a page of one section alone."""
    return _template(SECTION_TEMPLATE).render(section=section, title=title)


def _template(name: str) -> "Template":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"png": png_uri, "thumbnail": thumbnail_uri, "match": match}
    environment.filters |= {"breakable": breakable, "pairs": pairs}
    return environment.get_template(name)


def breakable(name: str) -> "Markup":
    """Return an escaped name that may be broken after each underscore."""
    from markupsafe import Markup, escape

    return Markup("_<wbr>").join(escape(part) for part in name.split("_"))


def match(said: Said) -> Match:
    """Return how far an answer agrees with the truth."""
    return next(kind for kind in MATCHES if said.recall >= kind.least)
