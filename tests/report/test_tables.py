import csv

import pytest
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.utilities import rank_zero_only

from lightning_nlp.report.tables import format_table, save_table

ROWS = [["plain", 1, 0.5], ['quoted "and", split', -2, None], ["two\nlines\tand a tab", 3, 1e-9], ["שלום", 0, 2.0]]
COLUMNS = ["text", "count", "score"]


class Tracker:
    def __init__(self) -> None:
        self.tables: list[tuple] = []

    def log_table(self, key, columns, data):
        self.tables.append((key, columns, data))


def test_one_call_writes_the_file_and_shows_it(tmp_path):
    tracker = Tracker()
    file = save_table(COLUMNS, ROWS, "examples", tmp_path, [CSVLogger(tmp_path), tracker])
    assert file == tmp_path / "tables" / "examples.csv"
    assert tracker.tables == [("tables/examples", COLUMNS, ROWS)]


def test_file_reads_back_with_any_csv_reader(tmp_path):
    file = save_table(COLUMNS, ROWS, "examples", tmp_path)
    with file.open(encoding="utf-8", newline="") as stream:
        assert list(csv.reader(stream)) == [COLUMNS, *([str(c) if c is not None else "" for c in row] for row in ROWS)]


def test_other_ranks_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert save_table(COLUMNS, ROWS, "examples", tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_terminal_table_is_aligned():
    assert format_table(["word", "cosine"], [["fox", 0.5], ["zoology", -1], ["x", None]]).split("\n") == [
        "word     cosine",
        "-------  ------",
        "fox       0.500",
        "zoology      -1",
        "x",
    ]


def test_wide_characters_and_accents_keep_columns_aligned():
    lines = format_table(["w", "n"], [["東京", 1], ["e\u0301", 2], ["abcd", 3]]).split("\n")
    assert lines[2:] == ["東京  1", "e\u0301     2", "abcd  3"]


def test_a_cell_cannot_move_the_cursor():
    table = format_table(["text"], [["a\nb\t\x1b[2J\u202e"]])
    assert table.split("\n")[2] == r"a\nb\t\x1b[2J\u202e"


def test_a_table_without_rows_is_its_head():
    assert format_table(["a", "bc"], []) == "a  bc\n-  --"


@pytest.mark.parametrize("write", [format_table, lambda columns, rows: save_table(columns, rows, "x", None)])
def test_ragged_rows_are_refused(write):
    with pytest.raises(ValueError, match="table row 2: found 1 cells, expected 2"):
        write(["a", "b"], [[1, 2], [3]])
