"""Text as word ids in a file, read in blocks of whole sentences from where they lie: memory does not grow with it."""

import os
from collections.abc import Iterable
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from lightning_nlp.word_vectors.vocabulary import Vocabulary

READ_TOGETHER = 512  # words that are read in a row, give or take a sentence: shuffling stays fine, and reading cheap


class Text(NamedTuple):
    """A batch of running text.

    Attributes:
        tokens: word ids.
        sentence: number of the sentence that each token belongs to, in order.
        keep: chance of each token to stay, below 1 for frequent words.
    """

    tokens: Int[Tensor, "tokens"]
    sentence: Int[Tensor, "tokens"]
    keep: Float[Tensor, "tokens"]


def empty_text() -> Text:
    """Returns a batch without a word."""
    return Text(torch.empty(0, dtype=torch.int32), torch.empty(0, dtype=torch.int32), torch.empty(0))


def write_text(lines: Iterable[pa.Array], vocabulary: Vocabulary, stream: BinaryIO) -> NDArray[np.int64]:
    """Writes the known words of sentences as int32 ids; the last one of a sentence is written as -1 - id.

    Args:
        lines: arrays of sentences, words between white space.
        vocabulary: the known words.
        stream: where to.

    Returns:
        Where blocks of about `READ_TOGETHER` words begin, and where the last one ends, in words.
    """
    bounds, written = [np.zeros(1, np.int64)], 0
    for some in lines:
        tokens, lengths = vocabulary.encode(some)
        ends = np.cumsum(lengths)
        tokens[ends - 1] = ~tokens[ends - 1]
        stream.write(tokens.astype("<i4", copy=False).data)
        ends += written
        bounds.append(ends[np.diff(ends // READ_TOGETHER, prepend=written // READ_TOGETHER) > 0])
        written += len(tokens)
    return np.unique(np.append(np.concatenate(bounds), written))


class EncodedText(Dataset[Text]):
    """What `write_text` wrote, block by block.

    Args:
        stream: the file, open for reading.
        bounds: as from `write_text`.
        keep: chance of each word to stay.
    """

    def __init__(self, stream: BinaryIO, bounds: NDArray[np.int64], keep: Float[Tensor, "vocab"]) -> None:
        self.stream, self.bounds, self.keep = stream, bounds, keep.numpy()

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitems__(self, blocks: list[int]) -> Text:
        """Puts blocks together to a batch."""
        # Not mapped into memory: pages once read would count as this process's own.
        raw = np.concatenate([self._read(block) for block in blocks])
        is_last = raw < 0
        tokens = np.where(is_last, ~raw, raw)
        sentence = is_last.cumsum(dtype=np.int32) - is_last
        return Text(*map(torch.from_numpy, (tokens, sentence, self.keep[tokens])))

    def _read(self, block: int) -> NDArray[np.int32]:
        begin, end = self.bounds[block : block + 2].tolist()
        return np.frombuffer(os.pread(self.stream.fileno(), 4 * (end - begin), 4 * begin), "<i4")
