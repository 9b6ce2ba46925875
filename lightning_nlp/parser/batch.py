"""Sentences as tensors: each different word once, and the sentences as places among these."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

from lightning_nlp.parser.vocabulary import NOTHING, UNKNOWN, Sentence, Tree, Vocabulary, normal, relation


class Batch(NamedTuple):
    """Sentences, padded to the longest. Types are the different words of the batch; the first is padding.

    Attributes:
        lengths: words of each sentence.
        types: number of each word among the types.
        forms: id of each type.
        characters: spelling of each type, filled up with 0.
        vectors: id of each type's pretrained vector, 0 for none.
        upos: tag of each word.
        xpos: likewise.
    """

    lengths: Int[Tensor, "batch"]
    types: Int[Tensor, "batch length"]
    forms: Int[Tensor, "types"]
    characters: Int[Tensor, "types characters"]
    vectors: Int[Tensor, "types"]
    upos: Int[Tensor, "batch length"]
    xpos: Int[Tensor, "batch length"]

    def is_word(self) -> Bool[Tensor, "batch length"]:
        """Tells words from padding."""
        return torch.arange(self.types.shape[1], device=self.lengths.device) < self.lengths[:, None]


class Gold(NamedTuple):
    """The trees of a batch. What training never saw has the label -1, and may have the relation -1."""

    heads: Int[Tensor, "batch length"]
    labels: Int[Tensor, "batch length"]
    relations: Int[Tensor, "batch length"]
    punctuation: Bool[Tensor, "batch length"]


@dataclass(frozen=True)
class Encoded:
    """Sentences as flat arrays, sentence after sentence; `bounds` tells where each begins, and where the last ends."""

    bounds: NDArray[np.int64]
    types: NDArray[np.int64]
    forms: NDArray[np.int64]
    characters: NDArray[np.int64]
    vectors: NDArray[np.int64]
    upos: NDArray[np.int64]
    xpos: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Words of each sentence."""
        return np.diff(self.bounds)

    def batch(self, sentences: Sequence[int]) -> Batch:
        """Puts sentences together."""
        numbers = np.asarray(sentences, np.int64)
        lengths = self.lengths[numbers]
        places, is_word = self.places(numbers)
        words, is_used = self.spread(self.types, places, is_word), np.zeros(max(1, len(self.forms)), np.bool_)
        is_used[words[is_word]] = True
        types, numbered = np.flatnonzero(is_used), np.where(is_word, is_used.cumsum()[words], 0)
        spelling = self.characters[types]
        width = int((spelling != NOTHING).sum(1).max(initial=1))
        first = ((1, 0), (0, 0))  # padding is the first type
        arrays = (
            *(lengths, numbered, np.pad(self.forms[types], (1, 0)), np.pad(spelling[:, :width], first)),
            *(np.pad(self.vectors[types], (1, 0)), self.spread(self.upos, places, is_word)),
            self.spread(self.xpos, places, is_word),
        )
        return Batch(*map(torch.from_numpy, arrays))

    def places(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Returns where the words of sentences are in the flat arrays [batch, length], and which of them are words."""
        lengths = self.lengths[numbers]
        offset = np.arange(max(1, lengths.max(initial=1)))
        is_word = offset < lengths[:, None]
        return np.where(is_word, self.bounds[numbers][:, None] + offset, 0), is_word

    @staticmethod
    def spread(flat: NDArray[np.int64], places: NDArray[np.int64], is_word: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Lays out a flat array by places, padding 0."""
        return np.where(is_word, flat[places], 0) if len(flat) else np.zeros(places.shape, np.int64)


@dataclass(frozen=True)
class Treebank:
    """Sentences and their trees, as flat arrays."""

    encoded: Encoded
    heads: NDArray[np.int64]
    labels: NDArray[np.int64]
    relations: NDArray[np.int64]
    punctuation: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.encoded.lengths)

    def __getitems__(self, sentences: list[int]) -> tuple[Batch, Gold]:
        """Puts sentences together to a batch."""
        places, is_word = self.encoded.places(np.asarray(sentences, np.int64))
        flat = (self.heads, self.labels, self.relations, self.punctuation)
        heads, labels, relations, punctuation = (
            torch.from_numpy(Encoded.spread(column, places, is_word)) for column in flat
        )
        return self.encoded.batch(sentences), Gold(heads, labels, relations, punctuation.bool())


def encode(
    sentences: Sequence[Sentence], vocabulary: Vocabulary, inputs: Container[str] = ("characters", "upos", "xpos")
) -> Encoded:
    """Replaces words, characters and tags by their ids.

    Args:
        sentences: with tags or without.
        vocabulary: the ids.
        inputs: which of characters, upos and xpos are wanted; the others are left at nothing.
    """
    words = [form for sentence in sentences for form in sentence.forms]
    numbers = {form: number for number, form in enumerate(dict.fromkeys(words))}
    types = list(map(numbers.__getitem__, words))
    nothing = np.zeros((len(numbers), 1), np.int64)
    tags = {
        name: tag_ids([getattr(sentence, name) for sentence in sentences], sentences, ids)
        if name in inputs
        else np.zeros(len(types), np.int64)
        for name, ids in (("upos", vocabulary.upos_ids), ("xpos", vocabulary.xpos_ids))
    }
    return Encoded(
        bounds=np.cumsum([0, *(len(sentence.forms) for sentence in sentences)]),
        types=np.array(types, np.int64),
        forms=np.array([vocabulary.form_ids.get(normal(form), UNKNOWN) for form in numbers], np.int64),
        characters=vocabulary.spellings(list(numbers)) if "characters" in inputs else nothing,
        vectors=vocabulary.vector_numbers(numbers),
        **tags,
    )


def encode_trees(sentences: Sequence[Sentence], trees: Sequence[Tree], vocabulary: Vocabulary) -> Treebank:
    """Replaces names by ids, in trees too.

    Args:
        sentences: with their UPOS, which tells punctuation.
        trees: one for each.
        vocabulary: the ids.
    """
    labels = [label for tree in trees for label in tree.labels]
    tags = [tag for sentence in sentences for tag in sentence.upos or ()]
    return Treebank(
        encode(sentences, vocabulary),
        heads=np.array([head for tree in trees for head in tree.heads], np.int64),
        labels=np.array([vocabulary.label_ids.get(label, -1) for label in labels], np.int64),
        relations=np.array([vocabulary.relation_ids.get(relation(label), -1) for label in labels], np.int64),
        punctuation=np.array([tag == "PUNCT" for tag in tags], np.int64),
    )


def tag_ids(
    tags: Sequence[Sequence[str] | None], sentences: Sequence[Sentence], ids: Mapping[str, int]
) -> NDArray[np.int64]:
    """Returns the ids of all tags, unknown where a sentence has none."""
    names = chain.from_iterable(given or [""] * len(sentence.forms) for given, sentence in zip(tags, sentences))
    return np.array(list(map(ids.get, names, repeat(UNKNOWN))), np.int64)
