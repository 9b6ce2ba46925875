"""Comma- and tab-separated files."""

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_nlp.data.tables import csv_header, read_csv, read_tsv

WHERE = "data_files.train"


@pytest.fixture
def write(tmp_path):
    def write(content: str) -> Path:
        file = tmp_path / "train.txt"
        file.write_bytes(content.encode())
        return file

    return write


def refusal(call, *args) -> str:
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as caught:  # one line
        list(call(*args))
    return str(caught.value)


FIELDS = st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]), max_size=5)


@given(st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_csv_reads_what_the_csv_module_writes(tmp_path_factory, rows):
    file = tmp_path_factory.mktemp("csv") / "x.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([("question", "answer"), *rows])
    assert csv_header(file) == ["question", "answer"]
    assert list(read_csv(file, ["question", "answer"])) == [list(row) for row in rows]


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ('"1\n2",b\nc\n', "line 4: 1 fields. Expected 2"),
        ("a,b\nc,d,e\n", "line 3: 3 fields. Expected 2"),
        ('a,b\n"c"d,e\n', "line 3: the row that begins here is no CSV"),
        ('a,b\n"c,e\nf,g\n', "line 3: the row that begins here is no CSV"),
        ("", "a header and no rows"),
    ],
)
def test_bad_csv_rows_are_told_by_the_line_they_begin_on(write, rows, found):
    assert found in refusal(read_csv, write(f"x,y\n{rows}"), ["x", "y"], WHERE)


def test_csv_headers_are_distinct_names_and_equal_in_all_files(write):
    assert "one distinct name" in refusal(csv_header, write("x,x\n1,2\n"))
    assert "one distinct name" in refusal(csv_header, write("x,\n1,2\n"))
    assert "Expected x, y as in the first file" in refusal(read_csv, write("x,z\n1,2\n"), ["x", "y"])


def test_long_fields_are_read(write):
    article = "word " * 100_000
    assert list(read_csv(write(f"x,y\n{article},b\n"), ["x", "y"])) == [[article, "b"]]


def test_tsv_has_no_header_and_no_quotes(write):
    file = write('Who said "?\tNA\textra\n\n"\t"\t\n')
    assert list(read_tsv(file, ["question", "answer"])) == [['Who said "?', "NA"], ['"', '"']]


def test_tsv_of_another_width_is_refused(write):
    columns = ["question", "answer"]
    assert "line 1: 1 tab-separated fields. Expected 2" in refusal(read_tsv, write("a\n"), columns)
    assert "line 3: 3 fields. Expected 2" in refusal(read_tsv, write("a\tb\n\na\tb\tc\n"), columns)
