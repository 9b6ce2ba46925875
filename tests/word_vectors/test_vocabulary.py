"""Words and ids: against `str.split`, `collections.Counter` and gensim, on strings nobody would write."""

import sys
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_nlp.word_vectors.vocabulary import Vocabulary, count_words, cut_long, split_words

# What some take for white space and others do not: separators, next line, no-break, zero width, byte order mark.
SPACES = "".join(filter(str.isspace, map(chr, range(sys.maxunicode + 1)))) + "\u180e\u200b\u200c\u2060\ufeff\0"
NASTY = st.lists(st.text(st.one_of(st.sampled_from(SPACES + "ab"), st.characters(codec="utf-8"))), max_size=8)
ARROW_STRINGS = [pa.string(), pa.large_string()]


def words_of(lines: list[str]) -> list[str]:
    return [word for line in lines for word in line.split()]


@given(lines=NASTY)
@settings(max_examples=100, deadline=None)
def test_words_are_those_of_str_split(lines):
    found = split_words(pa.array(lines, pa.string())).to_pylist()
    assert [[word for word in words if word] for words in found] == [line.split() for line in lines]
    assert count_words([pa.array(lines, pa.string())]) == Counter(words_of(lines))


def test_every_white_space_of_python_splits_and_nothing_else_does():
    """gensim's corpora are `str.split` too, so that the same file gives the same words."""
    lines = [f"a{space}b" for space in SPACES]
    assert split_words(pa.array(lines)).to_pylist() == [line.split() for line in lines]
    assert len(SPACES) > 30


@given(lines=NASTY, cut=st.integers(0, 8), kind=st.sampled_from(ARROW_STRINGS))
@settings(max_examples=100, deadline=None)
def test_ids_stand_for_the_known_words_of_each_sentence(lines, cut, kind):
    """Whatever part of a larger array the lines are, and in either of Arrow's kinds of string."""
    counts = Counter(words_of(lines))
    if max(counts.values(), default=0) < 2:
        counts["known"] += 2
    vocabulary = Vocabulary.from_counts(counts, min_count=2)
    tokens, lengths = vocabulary.encode(pa.array(["known", *lines, "known"], kind).slice(cut, 4))
    sentences = [[word for word in line.split() if word in vocabulary.ids] for line in ["known", *lines, "known"]]
    expected = [words for words in sentences[cut : cut + 4] if words]
    assert [vocabulary.words[token] for token in tokens] == [word for words in expected for word in words]
    assert lengths.tolist() == [len(words) for words in expected]
    assert (tokens.dtype, lengths.dtype) == (np.int32, np.int64)


def test_sentences_without_known_words_vanish_and_others_shrink():
    vocabulary = Vocabulary(["cat", "dog"], [3, 2])
    lines = ["the cat", "unheard words", "", " \t ", "dog", "dog the dog", None]
    tokens, lengths = vocabulary.encode(pa.array(lines))
    assert tokens.tolist() == [0, 1, 1, 1]
    assert lengths.tolist() == [1, 1, 2]


@pytest.mark.parametrize("kind", ARROW_STRINGS)
def test_nothing_is_encoded_as_nothing(kind):
    for lines in ([], [""], [None]):
        tokens, lengths = Vocabulary(["cat"], [1]).encode(pa.array(lines, kind))
        assert (tokens.tolist(), lengths.tolist()) == ([], [])
        assert count_words([pa.array(lines, kind)]) == {}


def test_counts_add_up_over_batches():
    batches = [pa.array(["a b", "a"]), pa.array(["b a"], pa.large_string()), pa.array([], pa.string())]
    assert count_words(batches) == {"a": 3, "b": 2}


def test_frequent_words_come_first_and_equals_by_the_alphabet():
    vocabulary = Vocabulary.from_counts({"c": 2, "z": 5, "a": 2, "é": 2, "B": 2, "rare": 1}, min_count=2)
    assert list(vocabulary.words) == ["z", "B", "a", "c", "é"]
    assert list(vocabulary.counts) == [5, 2, 2, 2, 2]
    assert [vocabulary.ids[word] for word in vocabulary.words] == [0, 1, 2, 3, 4]


@given(counts=st.dictionaries(st.text("abcde", min_size=1, max_size=3), st.integers(1, 9), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_order_does_not_depend_on_the_order_of_the_text(counts):
    backwards = dict(reversed(counts.items()))
    assert Vocabulary.from_counts(counts) == Vocabulary.from_counts(backwards)


def test_the_most_frequent_words_are_kept():
    counts = {"a": 1, "b": 3, "c": 2, "d": 9}
    assert list(Vocabulary.from_counts(counts, max_size=2).words) == ["d", "b"]
    assert list(Vocabulary.from_counts(counts, max_size=99).words) == ["d", "b", "c", "a"]
    assert list(Vocabulary.from_counts(counts, min_count=3, max_size=99).words) == ["d", "b"]


def test_a_min_count_that_leaves_nothing_is_refused_in_one_line():
    with pytest.raises(
        ValueError, match=r"data\.min_count: no word occurs 5 times among 2 .* 4 times\. Lower"
    ) as caught:
        Vocabulary.from_counts({"a": 4, "b": 1}, min_count=5)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="among 0 different ones"):
        Vocabulary.from_counts({})


def test_words_are_found_as_written_or_in_lower_case():
    vocabulary = Vocabulary(["apple", "Apple", "May"], [3, 2, 1])
    assert [vocabulary.find(word) for word in ("apple", "Apple", "APPLE", "May", "may", "pear")] == [
        *(0, 1, 0, 2, None, None)
    ]


@given(lengths=st.lists(st.integers(0, 40), max_size=8), longest=st.integers(1, 9))
@settings(max_examples=100, deadline=None)
def test_long_sentences_are_cut(lengths, longest):
    expected = [min(longest, length - start) for length in lengths for start in range(0, length, longest)]
    assert cut_long(np.array(lengths, dtype=np.int64), longest).tolist() == expected


def test_a_line_without_end_is_cut_as_gensim_does():
    word2vec = pytest.importorskip("gensim.models.word2vec")
    line = ["a"] * 25_000
    tokens, lengths = Vocabulary(["a"], [25_000]).encode(pa.array([" ".join(line)]))
    assert lengths.tolist() == [10_000, 10_000, 5_000]
    assert len(tokens) == 25_000
    assert max(lengths) == word2vec.MAX_WORDS_IN_BATCH


def test_plain_values_make_the_same_vocabulary():
    vocabulary = Vocabulary(("a", "b"), (2, 1))
    assert vocabulary.plain() == {"words": ["a", "b"], "counts": [2, 1]}
    assert Vocabulary(**vocabulary.plain()).ids == vocabulary.ids
