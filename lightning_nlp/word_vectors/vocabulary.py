"""Words and their counts, most frequent first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

MAX_SENTENCE = 10_000  # words; longer lines are cut, as gensim does


@dataclass(frozen=True)
class Vocabulary:
    """Words in order of falling count; a word's place is its id.

    Args:
        words: all different.
        counts: occurrences of each in the training text.
    """

    words: Sequence[str]
    counts: Sequence[int]

    @cached_property
    def ids(self) -> dict[str, int]:
        """Id of each word."""
        return {word: place for place, word in enumerate(self.words)}

    def find(self, word: str) -> int | None:
        """Returns the id of a word as written or, failing that, in lower case."""
        return self.ids.get(word, self.ids.get(word.lower()))

    def plain(self) -> dict[str, Any]:
        """Returns lists of words and counts, for a checkpoint or JSON."""
        return {"words": list(self.words), "counts": list(self.counts)}

    @classmethod
    def from_counts(cls, counts: Mapping[str, int], min_count: int = 1, max_size: int | None = None) -> "Vocabulary":
        """Keeps the words that occur often enough, the most frequent first, equal counts in alphabetical order.

        Raises:
            ValueError: no word is left.
        """
        kept = [(word, count) for word, count in counts.items() if count >= min_count]
        kept.sort(key=lambda item: (-item[1], item[0]))
        kept = kept[:max_size]
        if not kept:
            most = max(counts.values(), default=0)
            raise ValueError(
                f"data.min_count: no word occurs {min_count} times among {len(counts)} different ones, the most "
                f"frequent {most} times. Lower min_count or give more text; nothing was written."
            )
        return cls([word for word, _ in kept], [count for _, count in kept])

    def encode(self, lines: pa.Array) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Splits lines on white space and replaces words by ids, leaving unknown ones out.

        Args:
            lines: strings, a sentence each.

        Returns:
            Ids of all words, and how many each sentence has: sentences without a known word are left out and long
            ones cut at `MAX_SENTENCE`.
        """
        words = split_words(lines)
        ids = pc.index_in(words.flatten(), value_set=self._arrow_words)
        known = ids.is_valid().to_numpy(zero_copy_only=False)
        tokens = ids.fill_null(0).to_numpy(zero_copy_only=False)[known].astype(np.int32)
        before = np.concatenate([[0], np.cumsum(known)])
        return tokens, cut_long(np.diff(before[words.offsets.to_numpy()]))

    @cached_property
    def _arrow_words(self) -> pa.Array:
        return pa.array(self.words, pa.string())


def split_words(lines: pa.Array) -> pa.ListArray:
    """Splits strings at the white space of `str.split`; where it stands at an end, it leaves an empty word there."""
    return pc.utf8_split_whitespace(lines.cast(pa.string()))


def cut_long(lengths: NDArray[np.int64], longest: int = MAX_SENTENCE) -> NDArray[np.int64]:
    """Cuts sentence lengths into pieces of at most `longest` and drops empty ones."""
    pieces = -(-lengths // longest)
    if pieces.max(initial=0) <= 1:
        return lengths[lengths > 0]
    out = np.repeat(np.minimum(lengths, longest), pieces)
    ends = np.cumsum(pieces)[pieces > 0] - 1
    out[ends] = (lengths - (pieces - 1) * longest)[pieces > 0]
    return out


def count_words(batches: Iterable[pa.Array]) -> dict[str, int]:
    """Counts the words of batches of lines; the memory is that of the different words.

    Args:
        batches: arrays of strings.
    """
    counts: dict[str, int] = {}
    for lines in batches:
        words = split_words(lines).flatten()
        for item in pc.value_counts(words.filter(pc.not_equal(words, ""))).to_pylist():
            counts[item["values"]] = counts.get(item["values"], 0) + item["counts"]
    return counts
