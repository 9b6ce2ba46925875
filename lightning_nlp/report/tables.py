"""Tables: kept in the run folder, shown by the tracker, and printed in the terminal."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytorch_lightning.utilities import rank_zero_only
from rich.cells import cell_len

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger

Cell = str | int | float | None


@rank_zero_only
def save_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    name: str,
    folder: Path,
    loggers: Sequence[Logger] = (),
) -> Path:
    """Writes `folder/tables/<name>.csv`, and shows it as `tables/<name>` in every tracker that takes tables.

    Args:
        columns: names, the first line of the file.
        rows: a cell for each column; None is an empty one.
        name: without suffix; may contain `/`.
        folder: the run folder.
        loggers: `trainer.loggers`; those without `log_table` are passed over.

    Returns:
        The file. Other ranks than zero write nothing and get None.

    Raises:
        ValueError: a row with more or fewer cells than columns.
    """
    check_width(columns, rows)
    file = folder / "tables" / f"{name}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([columns, *rows])
    for logger in loggers:
        if hasattr(logger, "log_table"):
            logger.log_table(f"tables/{name}", columns=list(columns), data=[list(row) for row in rows])
    return file


def format_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Aligns a table for the terminal: text to the left, numbers to the right with three decimals.

    Args:
        columns: names.
        rows: a cell for each column; None is an empty one.

    Raises:
        ValueError: a row with more or fewer cells than columns.
    """
    check_width(columns, rows)
    lines = [list(columns), *([shown(cell) for cell in row] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines)]
    numeric = [all(isinstance(cell, int | float | None) for cell in column) for column in zip(*rows)]
    numeric = numeric or [False] * len(columns)
    return "\n".join(
        "  ".join(aligned(*cell) for cell in zip(line, widths, numeric)).rstrip()
        for line in [*lines[:1], ["-" * width for width in widths], *lines[1:]]
    )


def check_width(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Refuses a table that is not rectangular.

    Raises:
        ValueError: naming the row.
    """
    for number, row in enumerate(rows, start=1):
        if len(row) != len(columns):
            raise ValueError(f"table row {number}: found {len(row)} cells, expected {len(columns)}: {list(columns)}.")


def shown(cell: Cell) -> str:
    """Returns a cell as printed; what would move the cursor is spelt out."""
    text = "" if cell is None else f"{cell:.3f}" if isinstance(cell, float) else str(cell)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def aligned(text: str, width: int, to_right: bool) -> str:
    """Fills a cell to its width on the screen, where a Chinese character takes two places and an accent none."""
    space = " " * (width - cell_len(text))
    return space + text if to_right else text + space
