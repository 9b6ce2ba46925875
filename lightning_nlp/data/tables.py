"""Rows of comma- and tab-separated files, checked while they are read; every field stays the text it is."""

import csv
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from lightning_nlp.data.text_files import MAX_LINE, name_of, read_lines


def read_csv(file: Path | str, columns: Sequence[str], where: str = "") -> Iterator[list[str]]:
    """Yields the rows of a comma-separated file whose header says `columns`; every field stays the text it is.

    Args:
        file: the file to read; quoted fields may hold commas and line ends.
        columns: the header expected.
        where: the option that named it, to begin error messages with.

    Raises:
        ValueError: another header, no rows, a row with more or fewer fields, a stray quote, or as `read_lines`.
    """
    name = name_of(file, where)
    rows = _csv_rows(file, where)
    _, header = next(rows)
    if header != list(columns):
        raise ValueError(
            f"{name}, line 1: the columns are {', '.join(header)}. Expected {', '.join(columns)} as in the first file: "
            "make the headers equal and run again; nothing was written."
        )
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{name} holds a header and no rows. Expected rows: check the path and run again.")
    for number, row in chain([first], rows):
        yield _of_width(row, len(header), f"{name}, line {number}")


def csv_header(file: Path | str, where: str = "") -> list[str]:
    """Returns the column names in the first row of a comma-separated file.

    Args:
        file: the file to read.
        where: the option that named it, to begin error messages with.

    Raises:
        ValueError: a name is empty or occurs twice, or as `read_lines`.
    """
    _, header = next(_csv_rows(file, where))
    if "" in header or len(set(header)) < len(header):
        raise ValueError(
            f"{name_of(file, where)}, line 1: the header is {', '.join(map(repr, header))}. "
            "Expected one distinct name a column: mend the header and run again; nothing was written."
        )
    return header


def read_tsv(file: Path | str, columns: Sequence[str], where: str = "") -> Iterator[list[str]]:
    """Yields the first `len(columns)` fields of each line of a tab-separated file without header or quoting.

    Args:
        file: the file to read; empty lines are passed over.
        columns: what the fields are, in their order.
        where: the option that named it, to begin error messages with.

    Raises:
        ValueError: fewer fields than columns, lines of different width, or as `read_lines`.
    """
    name = name_of(file, where)
    rows = ((number, line.split("\t")) for number, line in enumerate(read_lines(file, where), start=1) if line)
    number, first = next(rows)
    if len(first) < len(columns):
        raise ValueError(
            f"{name}, line {number}: {len(first)} tab-separated fields. Expected {len(columns)} "
            f"({', '.join(columns)}) and no header: mend the file and run again; nothing was written."
        )
    yield first[: len(columns)]
    for number, row in rows:
        yield _of_width(row, len(first), f"{name}, line {number}")[: len(columns)]


def _csv_rows(file: Path | str, where: str) -> Iterator[tuple[int, list[str]]]:
    """Yields the line each row begins on, and its fields; empty lines are passed over."""
    csv.field_size_limit(MAX_LINE)  # a setting of the whole process; its own 128 KiB is less than an article
    rows = csv.reader((f"{line}\n" for line in read_lines(file, where)), strict=True)
    begin = 1
    try:
        for row in rows:
            if row:
                yield begin, row
            begin = rows.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{name_of(file, where)}, line {begin}: the row that begins here is no CSV ({error}). "
            'Expected quotes around the whole field and doubled inside it ("" for "): '
            "mend the row and run again; nothing was written."
        ) from None


def _of_width(row: list[str], width: int, place: str) -> list[str]:
    if len(row) != width:
        raise ValueError(
            f"{place}: {len(row)} fields. Expected {width} as in the first line: "
            "mend the row and run again; nothing was written."
        )
    return row
