"""Pairs of words with people's scores of their likeness."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_nlp.data.sample_world import sample_rows
from lightning_nlp.data.text_files import read_tsv


@dataclass(frozen=True)
class WordPairs:
    """Pairs of words with a score of their likeness.

    Args:
        pairs: two words each.
        scores: one for each pair, in any unit: ranks alone count.
    """

    pairs: Sequence[tuple[str, str]]
    scores: Sequence[float]


def read_word_pairs(file: Path, where: str) -> WordPairs:
    """Reads lines of word, word, score between tabs.

    Args:
        file: the file.
        where: the option that names it, for errors.

    Raises:
        ValueError: a line without two words and a number, naming file and line.
    """
    pairs, scores = [], []
    for number, row in enumerate(read_tsv(file, ["word", "word", "score"], where), 1):
        try:
            scores.append(float(row[2]))
        except ValueError:
            raise ValueError(
                f"{where}: {file}, line {number}: score is {row[2]!r}, expected a number after two words, "
                "with tabs between. Mend the line."
            ) from None
        pairs.append((row[0], row[1]))
    return WordPairs(pairs, scores)


def sample_word_pairs(split: str) -> WordPairs:
    """Returns the word pairs of the sample world."""
    rows = sample_rows("word_pairs", split)
    pairs = [(str(row["word1"]), str(row["word2"])) for row in rows]
    return WordPairs(pairs, [float(row["score"]) for row in rows])
