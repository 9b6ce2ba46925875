import gzip
import io
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_nlp.data import text_files
from lightning_nlp.data.text_files import (
    check_file,
    check_json,
    check_text,
    checked_text,
    lines_in,
    matching,
    read_bitext,
    read_lines,
)

WHERE = "data_files.train"


@pytest.fixture
def write(tmp_path):
    def write(content: bytes | str, name: str = "train.txt") -> Path:
        file = tmp_path / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    return write


def refusal(call, *args) -> str:
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as caught:  # one line
        list(call(*args) or [])
    return str(caught.value)


@given(st.lists(st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"])), min_size=1))
@settings(max_examples=50, deadline=None)
def test_lines_are_what_stands_between_line_feeds(lines):
    text = "first\n" + "\n".join(lines)
    expected = text.removesuffix("\n").split("\n")
    assert list(lines_in(checked_text(io.BytesIO(text.encode()), "x"))) == expected
    assert list(lines_in(checked_text(io.BytesIO(text.replace("\n", "\r\n").encode()), "x")))[:-1] == expected[:-1]


def test_only_line_feeds_divide_lines(write):
    odd = "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g\rh"
    assert list(read_lines(write(f"{odd}\r\n{odd}\n"))) == [odd, odd]


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64])
def test_the_size_of_blocks_does_not_matter(write, monkeypatch, block):
    monkeypatch.setattr(text_files, "BLOCK", block)
    file = write("\ufeffå\r\n\n漢字 words\r\n\n\nlast")
    assert list(read_lines(file)) == ["å", "", "漢字 words", "", "", "last"]


def test_gzip_is_known_by_content(write):
    assert list(read_lines(write(gzip.compress(b"one\ntwo\n"), "no_suffix"))) == ["one", "two"]


def test_a_byte_order_mark_is_dropped(write):
    assert list(read_lines(write(b"\xef\xbb\xbfone\n"))) == ["one"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (b"\n \t\n\r\n", "only blank lines"),
        (b"one\ntwo\n\0\n", "line 3: a NUL byte"),
        (b"one\ncaf\xe9\n", "line 2: byte 0xE9 is not UTF-8"),
        (b"one\nlast caf\xc3", "line 2: byte 0xC3 is not UTF-8"),
        ("one\n".encode("utf-16"), "UTF-16"),
        (gzip.compress(bytes(range(1, 100)) * 99, mtime=0)[:-20], "gzip file is cut off"),
        (gzip.compress(b"one\n" * 99, mtime=0)[:-8] + bytes(8), "gzip file is damaged"),
    ],
)
def test_what_is_no_text_is_refused_by_name_and_line(write, content, found):
    file = write(content)
    for check in (read_lines, check_text):
        message = refusal(check, file, WHERE)
        assert message.startswith(f"{WHERE}: {file}")
        assert found in message


def test_faults_far_into_a_file_are_told_by_their_line(write):
    lines = [b"some words"] * 300_000
    lines[234_567] = b"caf\xe9"
    assert "line 234568: byte 0xE9" in refusal(check_text, write(b"\n".join(lines)))


def test_a_missing_file_and_a_directory_are_refused(tmp_path):
    assert "no such file" in refusal(check_file, tmp_path / "none.txt", WHERE)
    assert "is a directory" in refusal(check_file, tmp_path, WHERE)


@pytest.mark.parametrize("end", [b"\nthree\n", b"\n", b""])
def test_a_giant_line_is_told_with_its_length(write, monkeypatch, end):
    monkeypatch.setattr(text_files, "MAX_LINE", 100)
    monkeypatch.setattr(text_files, "BLOCK", 16)
    assert "line 2: the line is 1,234 bytes long" in refusal(check_text, write(b"one\n" + b"x" * 1234 + end))
    assert len(list(read_lines(write(b"one\n" + b"x" * 100 + end)))) >= 2


def test_memory_is_bounded_by_a_line_not_the_file(monkeypatch):
    held = []
    monkeypatch.setattr(text_files, "BLOCK", 1000)
    for chunk in text_files.checked_text(io.BytesIO(b"some words\n" * 10_000), "x"):
        held.append(sys.getsizeof(chunk))
    assert max(held) < 2000


def test_json_lines_are_checked_and_one_array_may_be_one_line(write, monkeypatch):
    monkeypatch.setattr(text_files, "MAX_LINE", 20)
    check_json(write('[{"text": "one"}, {"text": "two"}, {"text": "three"}]'))
    assert "bytes long" in refusal(check_json, write('{"text": "one, two, three, four"}'))
    assert "0xE9" in refusal(check_json, write(b'{"t":"\xe9"}'))


def test_bitext_is_read_in_step(write):
    source, target = write("a\n\nc\n", "x.en"), write("A\n\nC", "x.de")
    assert list(read_bitext(source, target)) == [("a", "A"), ("", ""), ("c", "C")]


@pytest.mark.parametrize(("source", "target"), [(3, 5), (5, 3), (1, 2)])
def test_bitext_of_unequal_length_is_refused_with_both_counts(write, source, target):
    files = write("a\n" * source, "x.en"), write("A\n" * target, "x.de")
    message = refusal(read_bitext, *files, WHERE)
    assert f"x.en has {source} lines" in message
    assert f"x.de has {target}" in message


def test_patterns_are_filled_in_and_names_with_brackets_are_files(write, tmp_path):
    files = [str(write("x", name)) for name in ("b.txt", "a.txt", "[odd].txt")]
    assert matching(f"{tmp_path}/?.txt") == sorted(files[:2])
    assert matching(files[2]) == [files[2]]
    assert matching("none.txt") == ["none.txt"]
    assert "no file matches" in refusal(matching, f"{tmp_path}/*.gz", WHERE)
