"""Packed rows: nothing lost, nothing mixed, next to nothing empty, and the same for any number of ranks."""

from functools import partial
from itertools import count, islice

import numpy as np
import torch
from torch.utils.data import DataLoader

from lightning_nlp.transformer.objectives import IGNORED, Example
from lightning_nlp.transformer.packing import PackedBatches, Place, lay_out, pack


def example(length, first=0):
    tokens = np.arange(first, first + length, dtype=np.int32)
    return Example(tokens, tokens + 1)


def endless(epoch=0, longest=40):
    """Documents of all lengths, each of tokens of its own."""
    generator = np.random.default_rng(epoch)
    for number in count(1):
        yield example(int(generator.integers(1, longest)), 1000 * number)


def documents(batch):
    """The first token and length of each document of a batch."""
    found = {}
    for row in range(len(batch.tokens)):
        for number in range(1, int(batch.documents[row].max()) + 1):
            tokens = batch.tokens[row][batch.documents[row] == number]
            assert (tokens.diff() == 1).all()
            assert torch.equal(batch.targets[row][batch.documents[row] == number], tokens + 1)
            found[int(tokens[0])] = len(tokens)
    return found


def test_examples_lie_side_by_side():
    batch = lay_out([[example(2, 10), example(1, 20)], [example(3, 30)]], 4)
    assert batch.tokens.tolist() == [[10, 11, 20, 0], [30, 31, 32, 0]]
    assert batch.targets.tolist() == [[11, 12, 21, IGNORED], [31, 32, 33, IGNORED]]
    assert batch.documents.tolist() == [[1, 1, 2, 0], [1, 1, 1, 0]]


def test_packing_loses_nothing():
    examples = list(islice(endless(), 60))
    rows, left = pack(examples, rows=8, length=64)
    assert all(sum(len(one.tokens) for one in row) <= 64 for row in rows)
    placed = [int(one.tokens[0]) for row in rows for one in row] + [int(one.tokens[0]) for one in left]
    assert sorted(placed) == [int(one.tokens[0]) for one in examples]


def test_all_documents_come_in_time_and_rows_are_full():
    batches = list(islice(PackedBatches(endless, rows=16, length=64), 20))
    found = {}
    for batch in batches:
        of_batch = documents(batch)
        assert not set(found) & set(of_batch)
        found |= of_batch
    expected = {int(one.tokens[0]): len(one.tokens) for one in islice(endless(), len(found) - 60)}
    assert expected.items() <= found.items()
    padding = np.mean([float((batch.documents == 0).float().mean()) for batch in batches])
    assert padding < 0.01


def test_ranks_share_the_batches_and_resuming_goes_on():
    whole = [batch.tokens for batch in islice(PackedBatches(endless, 8, 64), 8)]
    for rank in (0, 1):
        own = islice(PackedBatches(endless, 8, 64, place=partial(Place, rank=rank, world_size=2)), 4)
        assert all(torch.equal(batch.tokens, of_all) for batch, of_all in zip(own, whole[rank::2]))
        later = next(iter(PackedBatches(endless, 8, 64, place=partial(Place, 0, 3, rank, 2))))
        assert torch.equal(later.tokens, whole[6 + rank])


def test_processes_that_load_keep_the_order():
    batches = PackedBatches(endless, 8, 64, place=partial(Place, epoch=1, start_batch=1, rank=1, world_size=2))
    loaded = islice(DataLoader(batches, batch_size=None, num_workers=2), 6)
    for one, other in zip(loaded, islice(batches, 6), strict=True):
        assert torch.equal(one.tokens, other.tokens)


def test_unpacked_rows_hold_one_document():
    batches = list(islice(PackedBatches(endless, 8, 64, pack=False), 10))
    assert all(int(batch.documents.max()) == 1 for batch in batches)
    assert all(batch.tokens.numel() <= 8 * 64 for batch in batches)
    padding = np.mean([float((batch.documents == 0).float().mean()) for batch in batches])
    assert padding < 0.2
