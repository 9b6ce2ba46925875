"""Text in files: what is written comes back, in whatever pieces it is written and read."""

import tempfile

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_nlp.word_vectors.text import READ_TOGETHER, EncodedText, Text, empty_text, write_text
from lightning_nlp.word_vectors.vocabulary import Vocabulary

WORDS = ["a", "b", "c", "d"]
VOCABULARY = Vocabulary(WORDS, [9, 9, 9, 9])
KEEP = torch.tensor([0.1, 0.2, 0.3, 1.0])


def encoded(sentences: list[list[str]], together: int) -> EncodedText:
    """The sentences after a way through a file, given to the writer so many at a time."""
    lines = [" ".join(words) for words in sentences]
    chunks = [pa.array(lines[start : start + together], pa.string()) for start in range(0, len(lines), together)]
    stream = tempfile.TemporaryFile()  # noqa: SIM115
    bounds = write_text(chunks, VOCABULARY, stream)
    stream.flush()
    return EncodedText(stream, bounds, KEEP)


def sentences_of(batch: Text) -> list[list[str]]:
    counts = torch.bincount(batch.sentence).tolist() if len(batch.sentence) else []
    return [[WORDS[i] for i in part.tolist()] for part in batch.tokens.split(counts)]


@given(
    sentences=st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12), min_size=1, max_size=200),
    together=st.integers(1, 50),
    batch=st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_sentences_come_back_once_whole_and_in_order(sentences, together, batch):
    text = encoded(sentences, together)
    batches = [[*range(len(text))][start : start + batch] for start in range(0, len(text), batch)]
    texts = [text.__getitems__(blocks) for blocks in batches]
    assert [sentence for part in texts for sentence in sentences_of(part)] == sentences
    for part in texts:
        torch.testing.assert_close(part.keep, KEEP[part.tokens])
        assert part.tokens.dtype == part.sentence.dtype == torch.int32


@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=60),
    together=st.integers(1, 50),
)
@settings(max_examples=40, deadline=None)
def test_blocks_have_their_size_and_do_not_depend_on_how_the_text_came(lengths, together):
    """Give or take a sentence; the last has what is left."""
    text = encoded([["a"] * length for length in lengths], together)
    sizes = np.diff(text.bounds)
    assert sizes.sum() == sum(lengths)
    assert all(abs(size - READ_TOGETHER) < max(lengths) for size in sizes[:-1])
    np.testing.assert_array_equal(text.bounds, encoded([["a"] * length for length in lengths], 1).bounds)


def test_blocks_may_come_in_any_order():
    text = encoded([[word] * 300 for word in WORDS], 2)
    assert len(text) == 2
    assert sentences_of(text.__getitems__([1, 0])) == [[word] * 300 for word in "cdab"]


def test_text_without_a_known_word_has_no_block():
    text = encoded([["x", "y"], ["z"]], 1)
    assert len(text) == 0
    assert text.bounds.tolist() == [0]
    assert [len(part) for part in empty_text()] == [0, 0, 0]


def test_memory_does_not_hold_the_text():
    """The writer keeps where blocks begin, some bytes of two thousand."""
    line = pa.array(["a b c d " * 16] * 400, pa.string())
    with tempfile.TemporaryFile() as stream:
        bounds = write_text((line for _ in range(20)), VOCABULARY, stream)
    assert bounds[-1] == 20 * 400 * 64
    assert bounds.nbytes < bounds[-1] * 4 / 200


@pytest.mark.parametrize("length", [9_999, 10_000, 25_000])
def test_endless_lines_are_cut_as_gensim_cuts_them(length):
    text = encoded([["a"] * length, ["b"]], 2)
    batch = text.__getitems__([*range(len(text))])
    sizes = torch.bincount(batch.sentence).tolist()
    assert sizes == [10_000] * (length // 10_000) + ([length % 10_000] if length % 10_000 else []) + [1]
