"""Trained word vectors apart from what trained them: files in and out, likeness, evaluation."""

import json
import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import overload

import numpy as np
import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor

from lightning_nlp.data.vectors import read_vectors, write_vectors
from lightning_nlp.word_vectors.analogies import AnalogyScores, analogy_scores, read_analogies
from lightning_nlp.word_vectors.similarity import named, nearest, neighbours, unit_rows
from lightning_nlp.word_vectors.vocabulary import Vocabulary
from lightning_nlp.word_vectors.word_pairs import read_word_pairs, word_pair_correlation

WEIGHTS_FILE, WEIGHTS_NAME, VOCABULARY_FILE = "model.safetensors", "centre.weight", "vocabulary.json"


class WordVectors:
    """Words and their vectors. A word is found as written or, failing that, in lower case.

    Args:
        words: all different, the most frequent first where that is known.
        vectors: one row a word; kept as float32 and not to be changed afterwards.

    Raises:
        ValueError: a word occurs twice, or there is another number of words than rows.
    """

    def __init__(
        self, words: Sequence[str], vectors: Float[Tensor, "vocab dim"] | Float[np.ndarray, "vocab dim"]
    ) -> None:
        self.vectors = torch.as_tensor(vectors, dtype=torch.float32).detach()
        if self.vectors.ndim != 2 or len(words) != len(self.vectors):
            shape = tuple(self.vectors.shape)
            raise ValueError(f"{len(words)} words, but the vectors have the shape {shape}. Expected one row each.")
        self.vocabulary = Vocabulary(words, [0] * len(words))  # vector files tell no counts
        if len(self.vocabulary.ids) < len(words):
            raise ValueError(
                f"{len(words)} words, but only {len(self.vocabulary.ids)} different ones. Keep one row for each word."
            )

    # -- files ------------------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, path: str | PathLike[str], limit: int | None = None) -> "WordVectors":
        """Reads a vector file, or the export folder of a model of this project.

        Args:
            path: word2vec text or binary, GloVe text (told apart by content, gzip too), or a folder. Of a word that
                occurs twice the first vector is taken, with a warning.
            limit: the number of words to read from the beginning, where they are the most frequent; None for all.

        Raises:
            ValueError: nothing is there, or something else.
        """
        if limit is not None and limit < 1:
            raise ValueError(f"limit is {limit}. Expected a number of words, or None for all.")
        if Path(path).is_dir():
            return cls(*_read_export(Path(path), limit))
        words, vectors = read_vectors(Path(path), limit)
        places = _first_places(words, Path(path))
        if len(places) == len(words):
            return cls(words, vectors)
        return cls([words[place] for place in places], vectors[places])

    def save(self, file: str | PathLike[str], binary: bool | None = None) -> None:
        """Writes the word2vec format, which `load` and gensim read.

        Args:
            file: where to.
            binary: its binary layout, else text; None for binary where the name ends in `.bin`.

        Raises:
            ValueError: a word that the format cannot hold, or a name that promises gzip.
        """
        if Path(file).suffix == ".gz":
            raise ValueError(f"{file}: vectors are written without gzip. Leave out .gz, and pack the file afterwards.")
        is_binary = Path(file).suffix == ".bin" if binary is None else binary
        write_vectors(Path(file), self.words, self.vectors.cpu().numpy(), is_binary)

    # -- words ------------------------------------------------------------------------------------------------------

    @property
    def words(self) -> Sequence[str]:
        """The words of the rows."""
        return self.vocabulary.words

    def find(self, word: str) -> int | None:
        """Returns the row of a word as written or, failing that, in lower case; None for an unknown one."""
        return self.vocabulary.find(word)

    def __contains__(self, word: str) -> bool:
        return self.find(word) is not None

    def __len__(self) -> int:
        return len(self.words)

    def __iter__(self) -> Iterator[str]:
        return iter(self.words)

    def __getitem__(self, word: str) -> Float[Tensor, "dim"]:
        place = self.find(word)
        if place is None:
            raise KeyError(f"{word!r} is not among the {len(self)} words of these vectors")
        return self.vectors[place]

    # -- likeness ---------------------------------------------------------------------------------------------------

    @cached_property
    def unit(self) -> Float[Tensor, "vocab dim"]:
        """The vectors at length 1, made when first needed; zeros stay zeros."""
        return unit_rows(self.vectors)

    def neighbours(self, words: Sequence[str], count: int = 10) -> list[list[tuple[str, float]]]:
        """Returns for each word the words nearest to it by cosine, nearest first; none for an unknown word."""
        return neighbours(self.vectors, self.vocabulary, words, count)

    def most_similar(
        self, positive: str | Sequence[str], negative: str | Sequence[str] = (), count: int = 10
    ) -> list[tuple[str, float]]:
        """Finds the words nearest to a sum: `most_similar(["king", "woman"], ["man"])`.

        Args:
            positive: a word or words whose vectors, at length 1, are added.
            negative: those subtracted.
            count: how many to find.

        Returns:
            Words and cosines, nearest first, the given words not among them.

        Raises:
            ValueError: an unknown word, or none.
        """
        return self.most_similar_batch([(positive, negative)], count)[0]

    def most_similar_batch(
        self, queries: Sequence[tuple[str | Sequence[str], str | Sequence[str]]], count: int = 10
    ) -> list[list[tuple[str, float]]]:
        """Answers many questions of `most_similar` together, several times faster than one by one.

        Args:
            queries: pairs of positive and negative, either of which may be empty.
            count: how many to find for each.

        Raises:
            ValueError: an unknown word, or a query without any.
        """
        if not queries:
            return []
        given = [(self._rows(positive), self._rows(negative)) for positive, negative in queries]
        sums = torch.stack([self._sum(positive, negative) for positive, negative in given])
        return named(
            *nearest(self.unit, unit_rows(sums), count, [[*plus, *minus] for plus, minus in given]), self.words
        )

    @overload
    def similarity(self, left: str, right: str) -> float: ...

    @overload
    def similarity(self, left: list[str], right: list[str]) -> list[float]: ...

    def similarity(self, left: str | list[str], right: str | list[str]) -> float | list[float]:
        """Returns the cosine of two words, or of each two words of two lists.

        Raises:
            ValueError: an unknown word, or lists of different length.
        """
        rows, others = self._rows(left), self._rows(right)
        if len(rows) != len(others):
            raise ValueError(f"{len(rows)} words on the left and {len(others)} on the right. Expected as many.")
        cosines = (unit_rows(self.vectors[rows]) * unit_rows(self.vectors[others])).sum(-1).tolist()
        return cosines[0] if isinstance(left, str) else cosines

    def doesnt_match(self, words: Sequence[str]) -> str:
        """Returns the word farthest from the mean of all, each at length 1.

        Raises:
            ValueError: an unknown word, or none.
        """
        if not words:
            raise ValueError("No words to choose from. Give at least one.")
        rows = unit_rows(self.vectors[self._rows(words)])
        return words[int((rows @ rows.mean(0)).argmin())]

    def _rows(self, words: str | Sequence[str]) -> list[int]:
        found = []
        for word in [words] if isinstance(words, str) else words:
            place = self.find(word)
            if place is None:
                raise ValueError(
                    f"{word!r} is not among the {len(self)} words of these vectors, nor is it in lower case. "
                    "Check the spelling, or leave it out: `word in vectors` tells beforehand."
                )
            found.append(place)
        return found

    def _sum(self, positive: list[int], negative: list[int]) -> Float[Tensor, "dim"]:
        if not positive and not negative:
            raise ValueError("most_similar has no word to start from. Give at least one, positive or negative.")
        signs = torch.tensor([1.0] * len(positive) + [-1.0] * len(negative), device=self.unit.device)
        return signs @ self.unit[positive + negative]

    # -- evaluation -------------------------------------------------------------------------------------------------

    def evaluate_pairs(self, file: str | PathLike[str]) -> tuple[float, float]:
        """Compares cosines with people's scores of likeness.

        Args:
            file: lines of word, word, score between tabs.

        Returns:
            Spearman's rank correlation from -1 to 1 (nan for fewer than three known pairs), and the share of pairs
            whose words are known in percent.

        Raises:
            ValueError: as `read_word_pairs`.
        """
        return word_pair_correlation(self.vectors, self.vocabulary, read_word_pairs(Path(file), "evaluate_pairs"))

    def evaluate_analogies(self, file: str | PathLike[str], restrict: int = 300_000) -> AnalogyScores:
        """Answers the analogies of a file and counts the right answers.

        Args:
            file: in the format of questions-words.txt.
            restrict: the number of words from the beginning that are known here, in questions and as answers.

        Raises:
            ValueError: as `read_analogies`.
        """
        gold = read_analogies(Path(file), "evaluate_analogies")
        return analogy_scores(self.vectors, self.vocabulary, gold, restrict)


def _first_places(words: Sequence[str], file: Path) -> list[int]:
    """Returns where each word stands first; warns when some stand again later."""
    first: dict[str, int] = {}
    for place, word in enumerate(words):
        first.setdefault(word, place)
    if len(first) < len(words):
        again = len(words) - len(first)
        warnings.warn(
            f"{file}: {again} of {len(words)} rows repeat a word of an earlier one and are left out.", stacklevel=3
        )
    return list(first.values())


def _read_export(folder: Path, limit: int | None) -> tuple[list[str], Float[Tensor, "vocab dim"]]:
    """Reads what `SkipGramModel.save_pretrained` writes, without transformers."""
    for name in (VOCABULARY_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise ValueError(
                f"{folder} is a folder without {name}. Expected a vector file, or the export folder of a fit of word "
                "vectors: name RUN/export."
            )
    words = json.loads((folder / VOCABULARY_FILE).read_text(encoding="utf-8"))["words"]
    with safe_open(folder / WEIGHTS_FILE, framework="pt") as tensors:
        if WEIGHTS_NAME not in tensors.keys():  # noqa: SIM118 - it is no mapping
            raise ValueError(
                f"{folder / WEIGHTS_FILE} has no tensor {WEIGHTS_NAME}. Expected an export of word vectors."
            )
        rows = tensors.get_slice(WEIGHTS_NAME)
        if rows.get_shape()[0] != len(words):
            raise ValueError(
                f"{folder}: {len(words)} words, but {rows.get_shape()[0]} vectors. Export the model again."
            )
        return words[:limit], rows[:limit]
