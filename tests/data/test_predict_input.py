"""What predict reads: every item once, in order, by one rank each."""

import gzip
import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_nlp.data.predict_input import PredictInput

LINES = ["cat", "", "New York", " été\u2028漢字 "]


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


def blocks(text: Iterable[str]) -> Iterator[str]:
    """Items of several lines: what stands between empty ones."""
    return iter("".join(text).removesuffix("\n").split("\n\n"))


def test_lines_come_with_their_places(file):
    source = PredictInput(str(file))
    assert list(source) == list(enumerate(LINES))
    assert list(source) == list(enumerate(LINES))  # once more from the beginning


def test_compressed_input_is_the_same(file, tmp_path):
    (tmp_path / "words.gz").write_bytes(gzip.compress(file.read_bytes()))
    assert list(PredictInput(str(tmp_path / "words.gz"))) == list(enumerate(LINES))


def test_a_family_makes_its_own_items_of_lines(file):
    assert list(PredictInput(str(file), items=blocks)) == [(0, "cat"), (1, "New York\n été\u2028漢字 ")]
    assert list(PredictInput(str(file), 1, 2, items=blocks)) == [(1, "New York\n été\u2028漢字 ")]


@given(count=st.integers(1, 20), world_size=st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_ranks_share_the_items_out(tmp_path_factory, count, world_size):
    """Rank r of n has r, r + n, r + 2n and so on: together everything once, and each part in order."""
    path = tmp_path_factory.mktemp("input") / "x"
    path.write_text("".join(f"line {number}\n" for number in range(count)))
    parts = [list(PredictInput(str(path), rank, world_size)) for rank in range(world_size)]
    assert sorted(item for part in parts for item in part) == [(n, f"line {n}") for n in range(count)]
    for rank, part in enumerate(parts):
        assert [place for place, _ in part] == list(range(rank, count, world_size))


def test_standard_input_is_read_as_utf8(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(LINES).encode()), encoding="latin-1"))
    assert list(PredictInput("-")) == list(enumerate(LINES))


def test_standard_input_has_one_reader():
    with pytest.raises(ValueError, match=r"data\.predict_file: standard input has one reader; set trainer\.devices"):
        PredictInput("-", rank=0, world_size=2)


def test_a_missing_file_is_told_before_anything_is_read(tmp_path):
    with pytest.raises(ValueError, match=r"data\.predict_file: .*none\.txt: there is no such file"):
        PredictInput(str(tmp_path / "none.txt"))


def test_text_is_checked_on_the_way(tmp_path, monkeypatch):
    (tmp_path / "bad").write_bytes(b"good\n\xe9t\xe9\n")
    with pytest.raises(ValueError, match=r"data\.predict_file: .*bad, line 2: byte 0xE9"):
        list(PredictInput(str(tmp_path / "bad")))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"good\n\xe9t\xe9\n")))
    with pytest.raises(ValueError, match="standard input, line 2: byte 0xE9"):
        list(PredictInput("-"))
