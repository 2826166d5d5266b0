"""The files of a section: <key>.csv, <key>.md and its figures."""

from pathlib import Path

from unlearn.files import write_bytes, write_text
from unlearn.metrics.table import save_rows
from unlearn.report.page import Section
from unlearn.report.tables import to_long_markdown


def write_section(folder: Path, section: Section) -> None:
    """Write all numbers, the table with its words, and the figures into figures/."""
    save_rows(section.rows, folder / f"{section.key}.csv")
    reading = "\n".join(f"* {sentence}" for sentence in section.reading)
    write_text(folder / f"{section.key}.md", f"# {section.title}\n\n{reading}\n\n{to_long_markdown(section.table)}")
    (folder / "figures").mkdir(exist_ok=True)
    for figure in section.figures:
        write_bytes(folder / "figures" / f"{figure.name}.png", figure.light)
