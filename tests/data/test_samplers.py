import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from lightning_nlp.data.samplers import (
    EpochBatches,
    ShuffledBatches,
    TokenBudgetBatches,
    bucket_edges,
    position,
    settle_epoch,
    split_to_multiple,
)

SENTENCES = np.random.default_rng(0).lognormal(3.1, 0.6, 10_000).astype(int) + 1


def global_batches(parts: list[list[list[int]]]) -> list[list[int]]:
    """Deals the batches of all ranks back into one list."""
    return [batch for step in zip(*parts, strict=True) for batch in step]


@given(
    size=st.integers(4, 60),
    batch_size=st.integers(1, 9),
    world_size=st.integers(1, 4),
    epoch=st.integers(0, 3),
    shuffle=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_ranks_share_every_item_once_in_equally_many_batches(size, batch_size, world_size, epoch, shuffle):
    samplers = [
        ShuffledBatches(size, batch_size, seed=7, shuffle=shuffle, epoch=epoch, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    batches = global_batches([list(sampler) for sampler in samplers])
    assert {len(sampler) for sampler in samplers} == {len(batches) // world_size}
    assert sorted(item for batch in batches for item in batch) == list(range(size))
    assert all(0 < len(batch) <= max(batch_size, min(2, world_size)) for batch in batches)


@given(
    lengths=st.lists(st.integers(0, 50), min_size=4, max_size=80),
    max_tokens=st.integers(1, 120),
    world_size=st.integers(1, 4),
    epoch=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_token_budget_holds_and_every_item_is_seen_once(lengths, max_tokens, world_size, epoch):
    parts = [
        list(TokenBudgetBatches(lengths, max_tokens, seed=7, epoch=epoch, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    batches = global_batches(parts)
    assert sorted(item for batch in batches for item in batch) == list(range(len(lengths)))
    assert all(batches)
    over = [b for b in batches if len(b) > 1 and len(b) * max(lengths[item] for item in b) > max_tokens]
    assert not over or (len(over) < world_size and max(map(len, batches)) == 2)


def test_drop_last_keeps_full_batches_alone():
    parts = [list(ShuffledBatches(23, 4, seed=1, rank=rank, world_size=2, drop_last=True)) for rank in range(2)]
    batches = global_batches(parts)
    assert [len(batch) for batch in batches] == [4] * 4
    assert max(Counter(item for batch in batches for item in batch).values()) == 1


def test_unshuffled_batches_keep_the_order_of_the_data():
    sampler = ShuffledBatches(7, 3, seed=1, shuffle=False)
    assert list(sampler) == [[0, 1, 2], [3, 4, 5], [6]]


@pytest.mark.parametrize("world_size", [1, 2])
def test_order_depends_on_seed_and_epoch_alone(world_size):
    def batches(seed: int, epoch: int) -> list[list[int]]:
        return list(ShuffledBatches(50, 4, seed=seed, epoch=epoch, world_size=world_size))

    assert batches(1, 0) == batches(1, 0)
    assert batches(1, 0) != batches(2, 0)
    assert batches(1, 0) != batches(1, 1)


def test_ranks_cut_the_order_that_one_process_sees():
    alone = list(ShuffledBatches(48, 4, seed=1))
    assert global_batches([list(ShuffledBatches(48, 4, seed=1, rank=r, world_size=3)) for r in range(3)]) == alone


def test_token_budget_draws_other_batches_every_epoch_but_as_many():
    sampler = TokenBudgetBatches(SENTENCES, 4000, seed=1)
    first = [frozenset(batch) for batch in sampler]
    sampler.set_epoch(1)
    second = [frozenset(batch) for batch in sampler]
    assert len(first) == len(second) == len(sampler)
    assert len(set(first) & set(second)) < 0.1 * len(first)


def test_batch_lengths_come_in_random_order():
    longest = [SENTENCES[batch].max() for batch in TokenBudgetBatches(SENTENCES, 4000, seed=1)]
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.5


def test_token_budget_is_well_used():
    batches = list(TokenBudgetBatches(SENTENCES, 4000, seed=1))
    padded = sum(len(batch) * SENTENCES[batch].max() for batch in batches)
    assert SENTENCES.sum() / padded > 0.93
    assert SENTENCES.sum() / (len(batches) * 4000) > 0.90


def test_buckets_are_narrow():
    edges = bucket_edges(5000)
    assert edges[-1] >= 5000
    assert list(edges[:10]) == list(range(1, 11))
    assert (edges[1:] / edges[:-1] <= 1.08)[edges[:-1] > 13].all()


def test_single_items_are_joined_where_nothing_can_be_halved():
    parts = [list(ShuffledBatches(5, 1, seed=1, shuffle=False, rank=rank, world_size=2)) for rank in range(2)]
    assert parts == [[[0, 1], [3]], [[2], [4]]]


def test_split_halves_the_largest():
    assert split_to_multiple(np.array([0, 2, 8]), 3).tolist() == [0, 2, 5, 8]
    assert split_to_multiple(np.array([0, 5]), 4).tolist() == [0, 1, 2, 3, 5]


@pytest.mark.parametrize("world_size", [1, 2])
def test_start_batch_leaves_out_what_is_done_and_length_stays(world_size):
    whole = TokenBudgetBatches(SENTENCES, 4000, seed=1, epoch=2, world_size=world_size)
    rest = TokenBudgetBatches(SENTENCES, 4000, seed=1, epoch=2, start_batch=5, world_size=world_size)
    assert len(rest) == len(whole)
    assert list(rest) == list(whole)[5:]


def test_set_epoch_keeps_the_place_in_this_epoch_and_drops_it_for_another():
    sampler = ShuffledBatches(20, 2, seed=1, epoch=3, start_batch=4)
    sampler.set_epoch(3)
    assert len(list(sampler)) == 6
    sampler.set_epoch(4)
    assert list(sampler) == list(ShuffledBatches(20, 2, seed=1, epoch=4))


def test_a_large_corpus_is_ordered_fast():
    lengths = np.resize(SENTENCES, 2_000_000)
    start = time.perf_counter()
    next(iter(TokenBudgetBatches(lengths, 8000, seed=1)))
    assert time.perf_counter() - start < 2  # 0.3 s for these two million, 1.3 s for ten


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ShuffledBatches(0, 4, seed=1), "0 items for 1 ranks"),
        (lambda: TokenBudgetBatches([], 10, seed=1), "0 items for 1 ranks"),
        (lambda: ShuffledBatches(3, 4, seed=1, world_size=4), "fewer devices"),
        (lambda: ShuffledBatches(7, 4, seed=1, world_size=2, drop_last=True), "drop_last=False"),
        (lambda: ShuffledBatches(7, 0, seed=1), "batch_size: found 0"),
        (lambda: TokenBudgetBatches([3], 0, seed=1), "max_tokens: found 0"),
        (lambda: ShuffledBatches(7, 1, seed=1, rank=2, world_size=2), "rank 2 of 2"),
    ],
)
def test_impossible_requests_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


class Recorder(pl.LightningModule):
    """Learns nothing and notes which items each step sees."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[list[int]] = []

    def training_step(self, batch, batch_index):
        self.seen.append(batch.tolist())
        return self.weight.sum()

    def validation_step(self, batch, batch_index):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters())

    def on_load_checkpoint(self, checkpoint):
        settle_epoch(checkpoint)


class Items(pl.LightningDataModule):
    """22 items, six batches an epoch."""

    def __init__(self, num_workers: int = 0) -> None:
        super().__init__()
        self.num_workers = num_workers

    def batches(self) -> EpochBatches:
        epoch, start_batch = position(self.trainer)
        return ShuffledBatches(22, 4, seed=1, epoch=epoch, start_batch=start_batch)

    def train_dataloader(self):
        return DataLoader(range(22), batch_sampler=self.batches(), num_workers=self.num_workers)

    def val_dataloader(self):
        return DataLoader(range(2))


class SaveEverywhere(pl.Callback):
    """Writes a checkpoint in every hook where callbacks do, and notes how many batches were done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done: dict[Path, int] = {}

    def save(self, trainer, hook: str) -> None:
        file = self.folder / f"{hook}-{trainer.global_step}.ckpt"
        trainer.save_checkpoint(file)
        self.done[file] = len(trainer.lightning_module.seen)

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step in (1, 6, 8):
            self.save(trainer, "batch")

    def on_validation_end(self, trainer, *_):
        self.save(trainer, "validation")

    def on_train_epoch_end(self, trainer, *_):
        self.save(trainer, "epoch")

    def on_train_end(self, trainer, *_):
        self.save(trainer, "end")


def seen_items(callbacks=(), checkpoint=None, num_workers=0, **options) -> list[list[int]]:
    module = Recorder()
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        callbacks=list(callbacks),
        **options,
    )
    trainer.fit(module, Items(num_workers), ckpt_path=checkpoint, weights_only=True)
    return module.seen


@pytest.mark.filterwarnings("ignore")
def test_trainer_moves_the_epoch_on():
    seen = seen_items(max_epochs=2, limit_val_batches=0)
    expected = [batch for epoch in range(2) for batch in ShuffledBatches(22, 4, seed=1, epoch=epoch)]
    assert seen == expected
    assert seen[:6] != seen[6:]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_resume_sees_exactly_the_remaining_batches(tmp_path, num_workers):
    save = SaveEverywhere(tmp_path)
    straight = seen_items([save], max_epochs=3, limit_val_batches=0)
    for done in (6, 8):  # after the last batch of an epoch, and inside the next
        checkpoint = tmp_path / f"batch-{done}.ckpt"
        rest = seen_items(checkpoint=checkpoint, num_workers=num_workers, max_epochs=3, limit_val_batches=0)
        assert rest == straight[done:]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"max_epochs": 2}, {"max_epochs": 3}),
        ({"max_epochs": 2, "val_check_interval": 2}, {"max_epochs": 3, "val_check_interval": 2}),
        ({"max_epochs": 2, "limit_train_batches": 4}, {"max_epochs": 3, "limit_train_batches": 4}),
        ({"max_steps": 8}, {"max_steps": 14}),
        ({"max_steps": 8, "limit_val_batches": 0}, {"max_steps": 14, "limit_val_batches": 0}),
        ({"max_steps": 8, "limit_val_batches": 0}, {"max_epochs": 3, "limit_val_batches": 0}),
    ],
)
def test_resume_from_any_hook_equals_a_straight_run(tmp_path, first, then):
    save = SaveEverywhere(tmp_path)
    seen_items([save], **first)
    straight = seen_items(**then)
    assert {file.name: seen_items(checkpoint=file, **then) for file in save.done} == {
        file.name: straight[done:] for file, done in save.done.items()
    }


def test_training_without_a_trainer_begins_at_the_beginning():
    assert position(None) == (0, 0)
