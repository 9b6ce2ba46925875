"""Pairs of words with people's scores of their likeness (Finkelstein et al. 2002, and since)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn.functional import cosine_similarity

from lightning_nlp.data.sample_world import sample_rows
from lightning_nlp.data.tables import read_tsv
from lightning_nlp.word_vectors.vocabulary import Vocabulary


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


def word_pair_correlation(
    vectors: Float[Tensor, "vocab dim"], vocabulary: Vocabulary, gold: WordPairs
) -> tuple[float, float]:
    """Compares cosines with given scores.

    Args:
        vectors: of the vocabulary's words.
        vocabulary: finds words as written or in lower case.
        gold: the pairs and their scores.

    Returns:
        Spearman's rank correlation over the pairs whose words are both known (nan for fewer than three), from -1 to 1,
        and the share of such pairs in percent.
    """
    ids = [(vocabulary.find(left), vocabulary.find(right)) for left, right in gold.pairs]
    known = [place for place, pair in enumerate(ids) if None not in pair]
    coverage = 100 * len(known) / max(1, len(ids))
    if len(known) < 3:
        return float("nan"), coverage
    left, right = torch.tensor([ids[place] for place in known], device=vectors.device).T
    cosines = cosine_similarity(vectors[left], vectors[right]).tolist()
    return float(spearmanr(cosines, [gold.scores[place] for place in known]).statistic), coverage
