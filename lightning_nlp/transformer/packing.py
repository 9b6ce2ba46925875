"""Rows of whole documents: next to nothing is computed on padding, and no document sees another."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from lightning_nlp.transformer.objectives import IGNORED, Example


class Batch(NamedTuple):
    """Rows of documents.

    Attributes:
        tokens: what is read; 0 is padding.
        targets: what follows each token; `IGNORED` where that is not to be predicted.
        documents: number of each token's document in its row, from 1; 0 is padding.
    """

    tokens: Int[Tensor, "batch length"]
    targets: Int[Tensor, "batch length"]
    documents: Int[Tensor, "batch length"]


def lay_out(rows: Sequence[Sequence[Example]], length: int) -> Batch:
    """Writes examples side by side.

    Args:
        rows: examples of each row, together no longer than `length`.
        length: of all rows.
    """
    tokens = np.zeros((len(rows), length), np.int64)
    targets = np.full((len(rows), length), IGNORED, np.int64)
    documents = np.zeros((len(rows), length), np.int64)
    for row, examples in enumerate(rows):
        place = 0
        for number, example in enumerate(examples, 1):
            end = place + len(example.tokens)
            tokens[row, place:end], targets[row, place:end] = example
            documents[row, place:end] = number
            place = end
    return Batch(*map(torch.from_numpy, (tokens, targets, documents)))


def pack(
    examples: Sequence[Example], rows: int, length: int, first: int = 0
) -> tuple[list[list[Example]], list[Example]]:
    """Puts examples into rows, the longest first, each where the least room is left (best-fit decreasing).

    Args:
        examples: none longer than `length`.
        rows: number of rows.
        length: tokens of a row.
        first: examples at the beginning that have waited already, and are placed before all others.

    Returns:
        The examples of each row, and those for which no row had room, in their order.
    """
    packed: list[list[Example]] = [[] for _ in range(rows)]
    room = np.full(rows, length)
    left = []
    for number in sorted(range(len(examples)), key=lambda number: (number >= first, -len(examples[number].tokens))):
        needed = len(examples[number].tokens)
        after = np.where(room >= needed, room - needed, length + 1)
        row = int(after.argmin())
        if after[row] > length:
            left.append(number)
        else:
            packed[row].append(examples[number])
            room[row] -= needed
    return packed, [examples[number] for number in sorted(left)]


class Place(NamedTuple):
    """Where a pass over endless batches begins, and which of them a process takes."""

    epoch: int = 0
    start_batch: int = 0  # batches that each rank has done already
    rank: int = 0
    world_size: int = 1


class PackedBatches(IterableDataset[Batch]):
    """Endless batches of rows: a training is as long as its steps say. They are the same for any number of ranks.

    Args:
        examples: endless ones of an epoch.
        rows: of a batch.
        length: tokens of a row.
        pack: whether a row holds several documents; else each is a row, and those of a batch are as long as its
            longest.
        place: asked when a pass begins. Processes that load for a rank share its batches and keep their order.
    """

    def __init__(
        self,
        examples: Callable[[int], Iterator[Example]],
        rows: int,
        length: int,
        pack: bool = True,
        place: Callable[[], Place] = Place,
    ) -> None:
        self.examples, self.rows, self.length, self.pack, self.place = examples, rows, length, pack, place

    def __iter__(self) -> Iterator[Batch]:
        """Yields the batches of this rank: every so many one, from where it stands."""
        epoch, start, rank, ranks = self.place()
        loader = get_worker_info()
        number, loaders = (loader.id, loader.num_workers) if loader else (0, 1)
        coming = self.examples(epoch)
        batches = self._packed(coming) if self.pack else self._single(coming)
        for rows, length in islice(batches, (start + number) * ranks + rank, None, ranks * loaders):
            yield lay_out(rows, length)

    def _packed(self, coming: Iterator[Example]) -> Iterator[tuple[list[list[Example]], int]]:
        """Fills batches; what does not fit begins the next one."""
        waiting: list[Example] = []
        while True:
            tokens, waited = sum(len(example.tokens) for example in waiting), len(waiting)
            while tokens < self.rows * self.length:
                waiting.append(next(coming))
                tokens += len(waiting[-1].tokens)
            packed, waiting = pack(waiting, self.rows, self.length, waited)
            yield packed, self.length

    def _single(self, coming: Iterator[Example]) -> Iterator[tuple[list[list[Example]], int]]:
        """Takes as many as fit when padded to the longest, out of some hundred sorted by length, so that little is."""
        while True:
            waiting = sorted(islice(coming, 32 * self.rows), key=lambda example: len(example.tokens))
            while waiting:
                longest, taken = len(waiting[-1].tokens), 1
                while taken < len(waiting) and (taken + 1) * longest <= self.rows * self.length:
                    taken += 1
                together, waiting = waiting[-taken:], waiting[:-taken]
                yield [[example] for example in together], longest
