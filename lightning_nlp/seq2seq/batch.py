"""Pairs of sentences as tensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

PAD, UNK, BOS, EOS = range(4)  # special ids of all tokenizers of this project


class Batch(NamedTuple):
    """Sentences and their translations, padded to the longest.

    Attributes:
        source: ids of the source.
        source_lengths: tokens of each source.
        read: ids that the decoder reads: the beginning, then the translation.
        written: ids that it is to write: the translation, then the end.
    """

    source: Int[Tensor, "batch source"]
    source_lengths: Int[Tensor, "batch"]
    read: Int[Tensor, "batch target"]
    written: Int[Tensor, "batch target"]

    def is_token(self) -> Bool[Tensor, "batch target"]:
        """Tells what is written from padding."""
        return self.written != PAD


@dataclass(frozen=True)
class Side:
    """One side of a bitext: sentence after sentence in a flat array; `bounds` tells where each begins and ends."""

    tokens: NDArray[np.int32]
    bounds: NDArray[np.int64]

    @classmethod
    def of(cls, sentences: Sequence[Sequence[int]]) -> "Side":
        """Puts sentences one after the other."""
        bounds = np.cumsum([0, *map(len, sentences)])
        flat = np.fromiter((token for sentence in sentences for token in sentence), np.int32, int(bounds[-1]))
        return cls(flat, bounds)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sentence."""
        return np.diff(self.bounds)

    def chosen(self, sentences: NDArray[np.int64]) -> "Side":
        """Returns some of the sentences."""
        lengths = self.lengths[sentences]
        bounds = np.cumsum([0, *lengths])
        places = np.repeat(self.bounds[sentences] - bounds[:-1], lengths) + np.arange(bounds[-1])
        return Side(self.tokens[places], bounds)

    def padded(self, sentences: Sequence[int]) -> tuple[Int[Tensor, "batch length"], Int[Tensor, "batch"]]:
        """Returns sentences filled up with padding, and their lengths; a place at least, even if all are empty."""
        numbers = np.asarray(sentences, np.int64)
        lengths = self.lengths[numbers]
        offset = np.arange(max(1, lengths.max(initial=1)))
        is_token = offset < lengths[:, None]
        out = np.full(is_token.shape, PAD, np.int64)
        out[is_token] = self.tokens[(self.bounds[numbers][:, None] + offset)[is_token]]
        return torch.from_numpy(out), torch.from_numpy(lengths)


@dataclass(frozen=True)
class Bitext:
    """Sentences and their translations."""

    source: Side
    target: Side

    def __len__(self) -> int:
        return len(self.source.lengths)

    def __getitems__(self, sentences: list[int]) -> tuple[Batch, Int[Tensor, "batch"]]:
        """Puts pairs together to a batch, with their numbers."""
        source, lengths = self.source.padded(sentences)
        return pair_up(source, lengths, *self.target.padded(sentences)), torch.tensor(sentences)


def pair_up(
    source: Int[Tensor, "batch source"],
    source_lengths: Int[Tensor, "batch"],
    target: Int[Tensor, "batch length"],
    target_lengths: Int[Tensor, "batch"],
) -> Batch:
    """Puts the beginning before what is read and the end after what is written."""
    target = target[:, : max(1, int(target_lengths.max()))]
    room = target.new_full((len(target), 1), PAD)
    read = torch.cat([torch.full_like(room, BOS), target], dim=1)
    written = torch.cat([target, room], dim=1).scatter(1, target_lengths[:, None], EOS)
    longest = int(target_lengths.max()) + 1
    return Batch(source, source_lengths, read[:, :longest], written[:, :longest])
