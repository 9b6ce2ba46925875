"""HTML pages that are one file: styles and pictures inside, every text escaped, nothing fetched, no script run."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from lightning_nlp.report.tables import Cell, check_width, shown

STYLE = """
:root { color-scheme: light dark; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; }
h1, h2 { line-height: 1.2; }
h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent);
         text-align: start; vertical-align: top; }
td.number { text-align: end; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; overflow-x: auto; }
img { max-width: 100%; background: white; }
"""

PAGE = """<!doctype html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1 dir="auto">{title}</h1>
{sections}
</body>
</html>
"""


@dataclass(frozen=True)
class Svg:
    """A drawing that goes into the page as it is: whoever makes one escapes the texts in it.

    Attributes:
        markup: an `<svg>` element.
    """

    markup: str


@dataclass(frozen=True)
class Picture:
    """A bitmap, carried inside the page.

    Attributes:
        png: content of a PNG file.
        description: for those who cannot see it.
    """

    png: bytes
    description: str


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        columns: names.
        rows: a cell for each column; None is an empty one.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it.

    Attributes:
        title: the heading.
        blocks: paragraphs (plain strings), tables, pictures and drawings, in order.
    """

    title: str
    blocks: Sequence[str | Table | Picture | Svg]


def write_page(file: Path, title: str, sections: Sequence[Section]) -> Path:
    """Writes a page that can be sent to someone and opened without a network, in light and in dark.

    Args:
        file: where to; its folder is made.
        title: of the page.
        sections: in order.

    Returns:
        The file.

    Raises:
        ValueError: a table row with more or fewer cells than columns.
    """
    page = PAGE.format(title=escape(title), style=STYLE, sections="\n".join(map(render_section, sections)))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page, encoding="utf-8")
    return file


def render_section(section: Section) -> str:
    """Returns the HTML of a section."""
    blocks = "\n".join(map(render_block, section.blocks))
    return f'<section>\n<h2 dir="auto">{escape(section.title)}</h2>\n{blocks}\n</section>'


def render_block(block: str | Table | Picture | Svg) -> str:
    """Returns the HTML of one block. `dir="auto"` sets Hebrew and Arabic from the right."""
    match block:
        case Table(columns, rows):
            return render_table(columns, rows)
        case Picture(png, description):
            source = b64encode(png).decode()
            return f'<figure><img src="data:image/png;base64,{source}" alt="{escape(description)}"></figure>'
        case Svg(markup):
            return f"<figure>{markup}</figure>"
        case _:
            return f'<p dir="auto">{escape(block)}</p>'


def render_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Returns the HTML of a table."""
    check_width(columns, rows)
    head = "".join(f'<th dir="auto">{escape(column)}</th>' for column in columns)
    body = "\n".join(f"<tr>{''.join(map(render_cell, row))}</tr>" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def render_cell(cell: Cell) -> str:
    """Returns the HTML of a cell, numbers to the right."""
    if isinstance(cell, int | float):
        return f'<td class="number">{shown(cell)}</td>'
    return f'<td dir="auto">{escape(cell or "")}</td>'
