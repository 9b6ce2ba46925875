"""Batches whose order is a function of seed, epoch, step, rank and world size, so that a resumed run repeats nothing.

A sampler here is a `batch_sampler` of a DataLoader. Everyone cuts the same global list of batches: rank r of n takes
batches r, r + n, r + 2n and so on, and Lightning's own sampler is to be switched off (`use_distributed_sampler=False`).
Where the list does not divide by the number of ranks, its largest batches are halved until it does. So every item is
visited exactly once an epoch, in training and in evaluation, all ranks have equally many batches (else one would wait
for another forever), and no batch is empty.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import Sampler

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pytorch_lightning import Trainer

# Lengths within this factor of each other count as equal: more of it mixes batches better and pads more.
BUCKET_RATIO = 1.08


class EpochBatches(Sampler[list[int]], ABC):
    """What all batch samplers share: the epoch, the place in it, and this rank's part of the batches.

    Args:
        bounds: where batches begin and end in the order of an epoch, from 0 to the number of items that are used. The
            same for every epoch, so that a trainer and a learning rate schedule can count on `len`.
        seed: of the order, the same on all ranks.
        shuffle: False visits items in the same order every epoch.
        epoch: the epoch of the next iteration.
        start_batch: batches of that epoch which this rank has done already.
        rank: of this process.
        world_size: number of processes.

    Raises:
        ValueError: a rank outside the world, or fewer items than ranks.
    """

    def __init__(
        self,
        bounds: NDArray[np.int64],
        *,
        seed: int,
        shuffle: bool,
        epoch: int,
        start_batch: int,
        rank: int,
        world_size: int,
    ) -> None:
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} of {world_size}: expected 0 to {world_size - 1}.")
        self.bounds = split_to_multiple(bounds, world_size)
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = epoch
        self.start_batch = start_batch
        self.rank = rank
        self.world_size = world_size

    @abstractmethod
    def order(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """Returns the items in this epoch's order, to be cut at `bounds`."""

    def __len__(self) -> int:
        """Batches of a whole epoch on this rank, wherever the epoch is entered."""
        return (len(self.bounds) - 1) // self.world_size

    def __iter__(self) -> Iterator[list[int]]:
        """Yields the item numbers of each batch that is left of the epoch."""
        generator = np.random.default_rng([self.seed, self.epoch])
        items = self.order(generator)
        batches = np.arange(len(self.bounds) - 1)
        if self.shuffle:
            generator.shuffle(batches)
        for batch in batches[self.rank :: self.world_size][self.start_batch :]:
            yield items[self.bounds[batch] : self.bounds[batch + 1]].tolist()

    @property
    def sampler(self) -> EpochBatches:
        """Itself: Lightning looks for `set_epoch` on `batch_sampler.sampler` only."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Moves to the beginning of `epoch`; told the epoch it is in, it keeps its place.

        Lightning calls this when workers may have fetched the first batches already, so a sampler must be built with
        the right epoch and place (see `position`).
        """
        if epoch != self.epoch:
            self.epoch, self.start_batch = epoch, 0


class ShuffledBatches(EpochBatches):
    """Batches of a fixed number of items.

    Args:
        size: number of items.
        batch_size: items in a batch, on one rank.
        seed: of the order, the same on all ranks.
        shuffle: False for evaluation: items in their own order.
        epoch: the epoch of the next iteration.
        start_batch: batches of that epoch which this rank has done already.
        rank: of this process.
        world_size: number of processes.
        drop_last: leave out the items that do not fill a batch on every rank, another few every epoch: for compiled
            models that want one shape.

    Raises:
        ValueError: nothing to batch, or an impossible batch size or rank.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        *,
        seed: int,
        shuffle: bool = True,
        epoch: int = 0,
        start_batch: int = 0,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = False,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size: found {batch_size}, expected at least 1.")
        if drop_last and size < batch_size * world_size:
            raise ValueError(
                f"{size} items do not fill one batch of {batch_size} on each of {world_size} ranks: "
                "use a smaller batch_size, fewer devices, or drop_last=False."
            )
        self.size = size
        used = size - size % (batch_size * world_size) if drop_last else size
        bounds = np.append(np.arange(0, used, batch_size), used)
        super().__init__(
            bounds,
            seed=seed,
            shuffle=shuffle,
            epoch=epoch,
            start_batch=start_batch,
            rank=rank,
            world_size=world_size,
        )

    def order(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """Returns a permutation of all items, or the items as they are."""
        return generator.permutation(self.size) if self.shuffle else np.arange(self.size)


class TokenBudgetBatches(EpochBatches):
    """Batches of items of similar length that hold at most `max_tokens` when padded to their longest.

    Lengths fall into narrow buckets; within a bucket every epoch draws its batches anew.

    Args:
        lengths: tokens of each item.
        max_tokens: number of items times longest length in a batch, on one rank. A longer item is a batch by itself.
        seed: of the order, the same on all ranks.
        shuffle: False for evaluation: short items first, the same batches every epoch.
        epoch: the epoch of the next iteration.
        start_batch: batches of that epoch which this rank has done already.
        rank: of this process.
        world_size: number of processes.

    Raises:
        ValueError: nothing to batch, or an impossible budget or rank.
    """

    def __init__(
        self,
        lengths: Sequence[int] | NDArray[np.int64],
        max_tokens: int,
        *,
        seed: int,
        shuffle: bool = True,
        epoch: int = 0,
        start_batch: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if max_tokens < 1:
            raise ValueError(f"max_tokens: found {max_tokens}, expected at least 1.")
        lengths = np.asarray(lengths, dtype=np.int64)
        edges = bucket_edges(int(lengths.max(initial=1)))
        # Sixteen bits, for which numpy's stable sort is a radix sort: ten million items in a second.
        self.buckets = np.searchsorted(edges, lengths).astype(np.uint16)
        super().__init__(
            budget_bounds(np.bincount(self.buckets), edges, max_tokens),
            seed=seed,
            shuffle=shuffle,
            epoch=epoch,
            start_batch=start_batch,
            rank=rank,
            world_size=world_size,
        )

    def order(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """Returns all items sorted by bucket, in random order within a bucket."""
        items = generator.permutation(len(self.buckets)) if self.shuffle else np.arange(len(self.buckets))
        return items[np.argsort(self.buckets[items], kind="stable")]


def bucket_edges(longest: int) -> NDArray[np.int64]:
    """Returns the longest length of each bucket: every length at first, then in steps of `BUCKET_RATIO`."""
    edges = [1]
    while edges[-1] < longest:
        edges.append(max(edges[-1] + 1, int(edges[-1] * BUCKET_RATIO)))
    return np.array(edges)


def budget_bounds(counts: NDArray[np.int64], edges: NDArray[np.int64], max_tokens: int) -> NDArray[np.int64]:
    """Cuts items sorted by bucket into the fewest batches within the budget, each item counted as its bucket's longest.

    Args:
        counts: number of items in each bucket.
        edges: longest length of each bucket, ascending.
        max_tokens: items times longest length in a batch.

    Returns:
        Where batches begin and end: it depends on bucket sizes alone, so an epoch has as many batches as another.
    """
    bounds = [np.zeros(1, dtype=np.int64)]
    stop = 0
    for count, longest in zip(counts, edges):
        start, stop = stop, stop + count
        items = max(1, max_tokens // longest)
        # The batch left open by the bucket before takes items from this one, as many as the greater length allows.
        cuts = np.arange(max(start, bounds[-1][-1] + items), stop, items)
        if len(cuts):
            bounds.append(cuts)
    return np.append(np.concatenate(bounds), stop)


def split_to_multiple(bounds: NDArray[np.int64], world_size: int) -> NDArray[np.int64]:
    """Halves the largest batch until the number of batches divides by `world_size`.

    Where all batches are single items, the first few are joined in pairs instead: a batch over the limit does less harm
    than an item scored twice, or an empty batch that a model must cope with.

    Raises:
        ValueError: fewer items than ranks, or none.
    """
    if bounds[-1] < world_size:
        raise ValueError(
            f"found {bounds[-1]} items for {world_size} ranks, expected an item for each at least: "
            "check that the split is not empty, or use fewer devices."
        )
    while surplus := (len(bounds) - 1) % world_size:
        sizes = np.diff(bounds)
        largest = int(sizes.argmax())
        if sizes[largest] == 1:
            return np.delete(bounds, np.arange(1, 2 * surplus, 2))
        bounds = np.insert(bounds, largest + 1, bounds[largest] + sizes[largest] // 2)
    return bounds


def position(trainer: Trainer | None) -> tuple[int, int]:
    """Tells where training goes on, to build a sampler in `train_dataloader`.

    Lightning restores its counters before it asks for the loader, counts on from there, and skips no data itself.

    Args:
        trainer: the trainer of the data module, None where there is none yet.

    Returns:
        The epoch, and how many of its batches are done: `epoch` and `start_batch` of a sampler.
    """
    if trainer is None:
        return 0, 0
    epoch: Any = trainer.fit_loop.epoch_progress.current
    batch: Any = trainer.fit_loop.epoch_loop.batch_progress
    if epoch.ready == epoch.processed:  # between two epochs: the batches counted are those of the one before
        return epoch.processed, 0
    if batch.is_last_batch and batch.current.processed == batch.current.ready:
        return epoch.processed + 1, 0
    return epoch.processed, batch.current.processed


def load_again(trainer: Trainer) -> None:
    """Lets Lightning ask for the training loader once more, if training goes on somewhere in its middle.

    A schedule that asks for the number of steps makes it ask before it restores its counters, and then the sampler
    began at the beginning. To be called from `on_train_start`.

    Args:
        trainer: whose counters are restored by now.
    """
    if position(trainer) != (0, 0):
        trainer.fit_loop._combined_loader = None


def settle_epoch(checkpoint: dict[str, Any]) -> None:
    """Rewrites the counters of a checkpoint written at the end of an epoch so that Lightning resumes it exactly.

    Under `max_steps`, Lightning 2.6 counts an epoch that ended just before the checkpoint twice, and without validation
    trains on a batch too many; an epoch that `max_steps` cut short it takes for complete. To be called from
    `on_load_checkpoint` of a callback or module. Other checkpoints stay as they are.

    Args:
        checkpoint: as Lightning loaded it; changed in place.
    """
    loops = checkpoint["loops"]["fit_loop"]
    epoch, batch = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
    if epoch["current"]["ready"] != epoch["current"]["processed"]:
        return
    epoch_is_complete = batch["is_last_batch"]
    for counts in (epoch["current"], epoch["total"]):
        counts["processed"] = counts["completed"] = counts["ready"] if epoch_is_complete else counts["ready"] - 1
    if epoch_is_complete:
        batch["current"] = dict.fromkeys(batch["current"], 0)
        batch["is_last_batch"] = False
