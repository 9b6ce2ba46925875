"""What one looks at to judge word vectors: neighbours of probe words, and a map of them."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize, pad

from lightning_nlp.word_vectors.analogies import AnalogyScores
from lightning_nlp.word_vectors.model import WordVectorModel
from lightning_nlp.word_vectors.vocabulary import Vocabulary

NEIGHBOURS = 5


def probe_words(vocabulary: Vocabulary, wanted: Sequence[str] | None, count: int = 12) -> list[str]:
    """Returns the words to look at: the wanted ones that are known, else words of falling frequency.

    The most frequent hundredth is passed over: function words have neighbours, but no telling ones.
    """
    if wanted is not None:
        return [word for word in wanted if vocabulary.find(word) is not None]
    size = len(vocabulary.words)
    places = np.geomspace(max(1, size // 100), max(2, size // 3), count).astype(int)
    return [vocabulary.words[place] for place in np.unique(places.clip(max=size - 1))]


def neighbour_rows(model: WordVectorModel, words: Sequence[str]) -> list[list[str]]:
    """Returns a row for each word: itself and its nearest neighbours with their cosines."""
    found = model.neighbours(words, NEIGHBOURS)
    return [[word, ", ".join(f"{near} {cosine:.2f}" for near, cosine in row)] for word, row in zip(words, found)]


def analogy_rows(scores: AnalogyScores) -> list[list[str | int | float | None]]:
    """Returns a row for each section and one for all: accuracy, coverage, accuracy of all, and questions."""
    parts = {**scores.sections, "all": scores.overall}
    return [
        [name, round(part.accuracy, 2), round(part.coverage, 2), round(part.accuracy_of_all, 2), part.total]
        for name, part in parts.items()
    ]


def map_words(model: WordVectorModel, probes: Sequence[str], near: int = 3) -> list[str]:
    """Returns the words of a map: the probes, each with its nearest neighbours."""
    rows = zip(probes, model.neighbours(probes, near))
    return list(dict.fromkeys(word for probe, row in rows for word in (probe, *(name for name, _ in row))))


def plane(vectors: Float[Tensor, "words dim"]) -> NDArray[np.float32]:
    """Projects directions of word vectors on their two principal axes, signs fixed by the largest entry."""
    directions = normalize(vectors.detach().float().cpu(), dim=-1)
    centred = directions - directions.mean(0)
    _, _, axes = torch.linalg.svd(centred, full_matrices=False)
    axes = pad(axes[:2], (0, 0, 0, max(0, 2 - len(axes))))  # one word or one dimension makes one axis
    largest = axes.abs().argmax(-1, keepdim=True)
    return (centred @ (axes * axes.gather(-1, largest).sign()).T).numpy()
