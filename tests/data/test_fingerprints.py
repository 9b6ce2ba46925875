"""Fingerprints of sources: equal where rows are, else different."""

import os
from pathlib import Path

import pytest

from lightning_nlp.data.sources import Source

pytestmark = pytest.mark.usefixtures("arrow_cache")
LINES = [f"line {n}" for n in range(50)]


def test_a_fingerprint_is_of_content_not_of_place_or_time(write, tmp_path):
    file = write(LINES)
    first = Source("text", data_files={"train": file}).fingerprint("train")
    os.utime(file, (1, 1))
    moved = str(Path(file).rename(tmp_path / "moved.txt"))
    assert Source("text", data_files={"train": moved}).fingerprint("train") == first
    write([*LINES[:-1], "line 5x"], "moved.txt")
    assert Source("text", data_files={"train": moved}).fingerprint("train") != first


def test_a_fingerprint_differs_where_rows_differ(write, folder):
    train, other = write(LINES), write(["other"], "other.txt")
    tsv = write("a\tb\n", "x.tsv")
    sources = [
        Source("text", data_files={"train": train}),
        Source("text", data_files={"train": [train, other]}),
        Source("text", data_files={"train": [other, train]}),
        Source("text", data_files={"train": train}, columns={"document": "text"}),
        Source("text", data_files={"train": train}, validation_fraction=0.1),
        Source("text", data_files={"train": train}, validation_fraction=0.2),
        Source("csv", data_files={"train": tsv}, columns={"x": "x", "y": "y"}),
        Source("csv", data_files={"train": tsv}, columns={"y": "y", "x": "x"}),
        Source("sample", "sentences"),
        Source("sample", "biographies"),
        Source(folder),
    ]
    prints = [source.fingerprint("train") for source in sources]
    prints += [Source(folder).fingerprint("test"), sources[5].fingerprint("validation")]
    assert len(set(prints)) == len(prints)
    assert prints[:11] == [source.fingerprint("train") for source in sources]


def test_a_void_name_and_streaming_do_not_change_a_fingerprint(write):
    file = write(LINES)
    plain = Source("text", data_files={"train": file}, columns={"text": "text"}).fingerprint("train")
    assert Source("text", "void", {"train": file}, True, {"text": "text"}).fingerprint("train") == plain
