"""Files of word vectors: word2vec's text and binary (Mikolov et al. 2013), and GloVe's (Pennington et al. 2014).

word2vec begins with `<words> <dimensions>`; GloVe is word2vec's text without that line. In the binary format a word
ends at a space, its vector is little-endian float32, and a line end may follow (word2vec.c) or not (GoogleNews).
"""

import re
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lightning_nlp.data.preparation import renamed_when_whole
from lightning_nlp.data.text_files import open_bytes

BLOCK = 1 << 22
LONGEST_LINE = 1 << 20  # bytes; what has no line end within it is not text
HEADER = re.compile(rb"(\d+) (\d+)\s*")
NUMBER = re.compile(rb"[-+]?(\d|\.\d|nan|inf)")


def read_vectors(file: Path, limit: int | None = None) -> tuple[list[str], np.ndarray]:
    """Reads word vectors in any of the three formats, gzip or plain, told apart by content.

    Args:
        file: word2vec text, word2vec binary, or GloVe.
        limit: the number of words to read from the beginning, where they are the most frequent; None for all.

    Returns:
        The words, and their vectors as float32 [words, dimensions].

    Raises:
        ValueError: the file is missing, empty, cut off, or a line has another number of columns; text may have spaces
            in its words, if no number follows one.
    """
    with open_bytes(file) as stream:
        first = stream.readline(LONGEST_LINE)
        header = HEADER.fullmatch(first)
        if header is None:
            dim = len(first.split()) - 1
            return _read_text(islice(chain([first], stream), limit), 1, dim, file)
        count, dim = int(header[1]), int(header[2])
        expected = count if limit is None else min(count, limit)
        second = stream.readline(LONGEST_LINE)
        if _is_text(second):
            words, vectors = _read_text(islice(chain([second], stream), limit), 2, dim, file)
        else:
            words, vectors = _read_binary(second, stream, expected, dim, file)
    if len(words) != expected:
        raise ValueError(
            f"{file}, line 1: the header says {count} words but {len(words)} follow. Fetch the file again."
        )
    return words, vectors


def write_vectors(file: Path, words: Sequence[str], vectors: np.ndarray, binary: bool) -> None:
    """Writes word vectors in the word2vec format, whole or not at all.

    Args:
        file: where to.
        words: one a row, none with a space or line end: the format cannot hold them.
        vectors: [words, dimensions]; the text format keeps every bit of float32.
        binary: word2vec's binary format, else its text format.

    Raises:
        ValueError: a word that the format cannot hold, or another number of words than rows.
    """
    vectors = np.asarray(vectors, dtype="<f4")
    if vectors.ndim != 2 or len(words) != len(vectors):
        raise ValueError(
            f"{file}: {len(words)} words, but the vectors have the shape {vectors.shape}. Expected one row each."
        )
    for number, word in enumerate(words, start=1):
        if not word or " " in word or "\n" in word:
            raise ValueError(
                f"{file}, word {number}: {word!r} is empty or holds a space or line end, which the word2vec format "
                "cannot tell from its own. Replace spaces by underscores and write again; nothing was written."
            )
    with renamed_when_whole(file) as unfinished, unfinished.open("wb") as stream:
        stream.write(b"%d %d\n" % vectors.shape)
        stream.writelines(_binary_lines(words, vectors) if binary else _text_lines(words, vectors))


def _binary_lines(words: Sequence[str], vectors: np.ndarray) -> Iterable[bytes]:
    return (word.encode() + b" " + vector.tobytes() + b"\n" for word, vector in zip(words, vectors))


def _text_lines(words: Sequence[str], vectors: np.ndarray) -> Iterable[bytes]:
    layout = " ".join(["%s"] + ["%.9g"] * vectors.shape[1]) + "\n"  # nine digits tell any two float32 apart
    return ((layout % (word, *vector.tolist())).encode() for word, vector in zip(words, vectors))


def _is_text(line: bytes) -> bool:
    """Whether a line is printable after its word, and the first thing there a number."""
    numbers = line.rstrip().partition(b" ")[2]
    return NUMBER.match(numbers) is not None and all(32 <= byte < 127 for byte in numbers)


def _read_text(lines: Iterable[bytes], first_line: int, dim: int, file: Path) -> tuple[list[str], np.ndarray]:
    words: list[str] = []
    values = array("f")
    for number, line in enumerate(lines, start=first_line):
        word, *fields = line.rstrip().rsplit(b" ", dim)  # the words of glove.840B have spaces
        if len(fields) != dim or not dim or NUMBER.match(word.partition(b" ")[2]):
            raise ValueError(
                f"{file}, line {number}: {line.rstrip().count(b' ')} numbers after the word. Expected {dim}: mend or "
                "remove the line, or fetch the file again."
            )
        try:
            values.extend(map(float, fields))
        except ValueError as error:
            raise ValueError(
                f"{file}, line {number}: {error}. Expected {dim} numbers: mend or remove the line."
            ) from None
        words.append(_decoded(word, f"{file}, line {number}"))
    return words, np.frombuffer(values, np.float32).reshape(-1, dim)


def _read_binary(start: bytes, stream: BinaryIO, count: int, dim: int, file: Path) -> tuple[list[str], np.ndarray]:
    words: list[str] = []
    values = bytearray()
    buffer, begin, size = start, 0, 4 * dim
    for number in range(1, count + 1):
        space = buffer.find(b" ", begin)
        if space < 0 or space + 1 + size > len(buffer):
            buffer, begin = buffer[begin:] + stream.read(BLOCK + size), 0
            space = buffer.find(b" ")
        end = space + 1 + size
        if space < 0 or end > len(buffer):
            raise ValueError(f"{file}: the file ends within word {number} of {count}. Fetch it again.")
        words.append(_decoded(buffer[begin:space].lstrip(b"\n"), f"{file}, word {number}"))
        values += buffer[space + 1 : end]
        begin = end
    return words, np.frombuffer(values, "<f4").reshape(-1, dim)


def _decoded(word: bytes, place: str) -> str:
    try:
        return word.decode()
    except UnicodeDecodeError:
        raise ValueError(
            f"{place}: {word!r} is not UTF-8. Expected words in UTF-8: write the file again with them."
        ) from None
