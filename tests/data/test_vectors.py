import gzip
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lightning_nlp.data import vectors as module
from lightning_nlp.data.vectors import read_vectors, write_vectors

WORDS = ["the", "<unk>", "été", "漢字", "no\u00a0break", '"', "3.5", "tab\tbed"]
VECTORS = np.random.default_rng(0).normal(size=(len(WORDS), 7)).astype(np.float32)


def layouts(words, vectors) -> dict[str, bytes]:
    """The formats by their definitions."""
    header = b"%d %d\n" % vectors.shape
    text = [" ".join([word, *(repr(float(x)) for x in row)]).encode() for word, row in zip(words, vectors)]
    raw = [word.encode() + b" " + struct.pack(f"<{len(row)}f", *row) for word, row in zip(words, vectors)]
    return {
        "GloVe": b"".join(line + b"\n" for line in text),
        "text": header + b"\n".join(text),
        "text of word2vec.c": header + b"".join(line + b" \n" for line in text),
        "binary of word2vec.c": header + b"".join(entry + b"\n" for entry in raw),
        "binary of GoogleNews": header + b"".join(raw),
    }


@pytest.mark.parametrize("layout", layouts(WORDS, VECTORS))
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_every_layout_is_recognised(tmp_path, layout, pack):
    file = tmp_path / "vectors"
    file.write_bytes(pack(layouts(WORDS, VECTORS)[layout]))
    for limit in (None, 3, 100):
        words, vectors = read_vectors(file, limit)
        assert words == WORDS[:limit]
        assert vectors.dtype == np.float32
        np.testing.assert_array_equal(vectors, VECTORS[:limit])


@given(
    vectors=arrays.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.floats(width=32)),
    binary=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_every_bit_comes_back(tmp_path_factory, vectors, binary):
    file = tmp_path_factory.mktemp("vectors") / "x"
    words = [f"word{n}" for n in range(len(vectors))]
    write_vectors(file, words, vectors, binary)
    again, read = read_vectors(file)
    assert again == words
    np.testing.assert_array_equal(read, vectors)


def test_the_size_of_blocks_does_not_matter(tmp_path, monkeypatch):
    write_vectors(tmp_path / "x", WORDS, VECTORS, binary=True)
    for block in (20, 30, 50):  # longer than any word, as the real one is
        monkeypatch.setattr(module, "BLOCK", block)
        words, vectors = read_vectors(tmp_path / "x")
        assert words == WORDS
        np.testing.assert_array_equal(vectors, VECTORS)


@pytest.mark.parametrize("binary", [True, False])
def test_gensim_reads_what_is_written(tmp_path, binary):
    gensim = pytest.importorskip("gensim.models")
    write_vectors(tmp_path / "x", WORDS, VECTORS, binary)
    theirs = gensim.KeyedVectors.load_word2vec_format(str(tmp_path / "x"), binary=binary)
    assert theirs.index_to_key == WORDS
    np.testing.assert_array_equal(theirs.vectors, VECTORS)


@pytest.mark.parametrize("binary", [True, False])
def test_what_gensim_writes_is_read(tmp_path, binary):
    gensim = pytest.importorskip("gensim.models")
    theirs = gensim.KeyedVectors(VECTORS.shape[1])
    theirs.add_vectors(WORDS, VECTORS)
    theirs.save_word2vec_format(str(tmp_path / "x"), binary=binary)
    words, vectors = read_vectors(tmp_path / "x")
    assert words == WORDS
    np.testing.assert_array_equal(vectors, VECTORS)


@pytest.mark.parametrize("word", ["New York", "", "line\nend"])
@pytest.mark.parametrize("binary", [True, False])
def test_words_that_the_format_cannot_hold_are_refused(tmp_path, word, binary):
    with pytest.raises(ValueError, match=r"word 2: .* nothing was written"):
        write_vectors(tmp_path / "x", ["the", word], VECTORS[:2], binary)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("vectors", [VECTORS[:3], VECTORS[0], VECTORS[:2, None]])
def test_one_row_a_word(tmp_path, vectors):
    with pytest.raises(ValueError, match="2 words, but the vectors have the shape"):
        write_vectors(tmp_path / "x", ["a", "b"], vectors, binary=True)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "is empty"),
        (b"a 1 2\nb 1\n", "line 2: 1 numbers after the word. Expected 2"),
        (b"a 1 2\nb 0.5 1 2\n", "line 2: 3 numbers after the word. Expected 2"),
        (b"2 2\na 1 2\nb 1 2 3\n", "line 3: 3 numbers after the word. Expected 2"),
        (b"2 2\na 1 2 3\nb 1 2 3\n", "line 2: 3 numbers after the word. Expected 2"),
        (b"2 2\na 1 2x\nb 1 2\n", "line 2: .*2x"),
        (b"a 1 2\nb 1 two\n", "line 2: .*two"),
        (b"3 2\na 1 2\nb 1 2\n", "the header says 3 words but 2 follow"),
        (b"1 2\na 1 2\nb 1 2\n", "the header says 1 words but 2 follow"),
        (b"a 1 2\n\xe9t\xe9 1 2\n", "line 2: .* is not UTF-8"),
        (b"2 1\na \0\0\0\0\nb \0\0", "the file ends within word 2 of 2"),
        (b"word\nother\n", "line 1: 0 numbers"),
        (gzip.compress(b"a 1 2\n" * 1000, mtime=0)[:-12], "gzip file is cut off"),
    ],
)
def test_what_is_no_vector_file_is_refused(tmp_path, content, found):
    file = tmp_path / "vectors.txt"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"vectors.txt.*{found}") as caught:
        read_vectors(file)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        read_vectors(tmp_path / "none.bin")
