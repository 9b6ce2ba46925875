"""What all data modules do: prepare once, know their place, share out the work."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning import Trainer
from pytorch_lightning.trainer.states import TrainerFn
from torch.utils.data import DataLoader

from lightning_nlp.data.module import SourcedData
from lightning_nlp.data.samplers import ShuffledBatches

ITEMS: Any = range(20)


class Lines(SourcedData):
    """The least that a family adds: it counts lines, and notes how often it was built."""

    built = 0

    def __init__(self, unit: str = "line", **source) -> None:
        super().__init__(path="text", **source)
        self.unit = unit

    def options(self) -> Mapping[str, object]:
        return {"unit": self.unit}

    def build(self, folder: Path) -> None:
        Lines.built += 1
        (folder / "count").write_text(str(len(self.source.load("train"))))

    def train_dataloader(self) -> DataLoader:
        batches = ShuffledBatches(20, 3, **self.place())
        return DataLoader(ITEMS, batch_sampler=batches, collate_fn=list)

    def val_dataloader(self) -> DataLoader:
        batches = ShuffledBatches(20, 3, shuffle=False, **self.share())
        return DataLoader(ITEMS, batch_sampler=batches, collate_fn=list)


class Others(Lines):
    """Another family that is told of the same data by the same options."""


@pytest.fixture(autouse=True)
def files(monkeypatch, tmp_path) -> dict[str, str]:
    """Text for each split, a cache of this test's own, and nothing built yet."""
    monkeypatch.setattr(Lines, "built", 0)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setenv("LIGHTNING_NLP_CACHE", str(tmp_path / "cache"))
    found = {split: f"{split}.txt" for split in ("train", "validation", "test", "test_other")}
    for split, file in found.items():
        Path(file).write_text(f"{split}\n" * 20)
    return found


def trainer(function: TrainerFn | None = TrainerFn.FITTING, rank: int = 0, world_size: int = 1, **flags) -> Any:
    """A trainer about to run a command, as it looks to a data module; ranks beyond one are only said."""
    flags = {"use_distributed_sampler": False, **flags}
    real: Any = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, **flags)
    real.state.fn = function
    real.strategy.world_size = world_size
    real.strategy.global_rank = rank
    return real


def folders(root: Path) -> list[Path]:
    return [path for path in root.glob("*") if path.is_dir()]


# -- preparation ----------------------------------------------------------------------------------------------------


def test_data_are_prepared_once(files):
    first, second = Lines(data_files=files), Lines(data_files=files)
    first.prepare_data()
    second.prepare_data()
    assert Lines.built == 1
    assert first.prepared_folder() == second.prepared_folder()
    assert (first.prepared_folder() / "count").read_text() == "20"
    assert Lines.built == 1


def test_what_is_prepared_is_named_by_data_and_options(files):
    folder = Lines(data_files=files).prepared_folder()
    others = [
        Lines(data_files=files, unit="word").prepared_folder(),
        Lines(data_files={"train": "train.txt"}).prepared_folder(),
        Lines(data_files={"train": "train.txt"}, validation_fraction=0.2).prepared_folder(),
        Others(data_files=files).prepared_folder(),
    ]
    Path("train.txt").write_text("changed\n" * 20)
    others.append(Lines(data_files=files).prepared_folder())
    assert len({folder, *others}) == 6


def test_place_and_time_of_files_and_test_sets_are_no_part_of_the_name(files):
    folder = Lines(data_files=files).prepared_folder()
    Path("moved").mkdir()
    for split in ("train", "validation"):
        Path(files[split]).rename(f"moved/{split}.copy")
    moved = {split: f"moved/{split}.copy" for split in ("train", "validation")}
    assert Lines(data_files=moved, num_workers=2, predict_file="words").prepared_folder() == folder


@pytest.mark.parametrize(
    ("function", "built"),
    [
        (None, 1),
        (TrainerFn.FITTING, 1),
        (TrainerFn.VALIDATING, 0),
        (TrainerFn.TESTING, 0),
        (TrainerFn.PREDICTING, 0),
    ],
)
def test_fit_alone_prepares(files, function, built):
    data = Lines(data_files=files)
    data.trainer = trainer(function)
    data.prepare_data()
    assert Lines.built == built


def test_other_commands_do_without_training_data(files):
    Path("train.txt").unlink()
    data = Lines(data_files={"test": "test.txt"})
    data.trainer = trainer(TrainerFn.TESTING)
    data.prepare_data()
    assert data.test_splits() == ["test"]


def test_the_cache_is_where_the_option_says(files, tmp_path):
    folder = Lines(data_files=files, cache_dir=str(tmp_path / "mine")).prepared_folder()
    assert folder.parent == tmp_path / "mine"
    assert Lines(data_files=files).prepared_folder().parent == tmp_path / "cache"


def test_a_failed_preparation_leaves_nothing(files, tmp_path):
    Path("train.txt").write_bytes(b"good\n\xff\n")
    with pytest.raises(ValueError, match=r"data_files\.train: train\.txt, line 2"):
        Lines(data_files=files).prepare_data()
    assert folders(tmp_path / "cache") == []


def test_test_sets_are_told_by_their_names(files):
    assert Lines(data_files=files).test_splits() == ["test", "test_other"]


# -- place ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loader", ["train_dataloader", "val_dataloader"])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_ranks_get_disjoint_items_and_equally_many_batches(files, loader, world_size):
    shares = []
    for rank in range(world_size):
        data = Lines(data_files=files)
        data.trainer = trainer(rank=rank, world_size=world_size)
        shares.append(list(getattr(data, loader)()))
    assert sorted(item for share in shares for batch in share for item in batch) == list(range(20))
    assert len({len(share) for share in shares}) == 1


def test_a_trainer_that_would_divide_the_shares_again_is_refused(files):
    data = Lines(data_files=files)
    data.trainer = trainer(world_size=2, use_distributed_sampler=True)
    with pytest.raises(ValueError, match="use_distributed_sampler=False"):
        data.train_dataloader()


def test_order_is_that_of_the_seed_and_evaluation_has_none(files, monkeypatch):
    def order(loader: str) -> list[list[int]]:
        return list(getattr(Lines(data_files=files), loader)())

    first = order("train_dataloader")
    assert order("train_dataloader") == first
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    assert order("train_dataloader") != first
    assert [item for batch in order("val_dataloader") for item in batch] == list(range(20))


def test_training_goes_on_where_it_stopped(files):
    data = Lines(data_files=files)
    data.trainer = fitting = trainer()
    whole = list(data.train_dataloader())
    loop = fitting.fit_loop
    loop.epoch_progress.current.ready = 1
    loop.epoch_loop.batch_progress.current.ready = loop.epoch_loop.batch_progress.current.processed = 3
    assert list(data.train_dataloader()) == whole[3:]
    loop.epoch_progress.current.processed = 1
    loop.epoch_loop.batch_progress.current.ready = loop.epoch_loop.batch_progress.current.processed = 0
    next_epoch = list(data.train_dataloader())
    assert len(next_epoch) == len(whole)
    assert next_epoch != whole


def test_overfitting_sees_the_same_batches_every_epoch(files):
    data = Lines(data_files=files)
    data.trainer = trainer(overfit_batches=1)
    loader = data.train_dataloader()
    sampler: Any = loader.batch_sampler
    first = list(loader)
    sampler.set_epoch(1)
    assert list(loader) == first


# -- predict --------------------------------------------------------------------------------------------------------


def test_predict_reads_each_line_with_its_place(files):
    Path("words").write_text("".join(f"w{number}\n" for number in range(300)))
    data = Lines(data_files=files, predict_file="words")
    batches = list(data.predict_dataloader())
    assert [item for batch in batches for item in batch] == [(number, f"w{number}") for number in range(300)]
    assert len(batches) == 2


def test_predict_is_shared_out_among_ranks(files):
    Path("words").write_text("a\nb\nc\n")
    data = Lines(data_files=files, predict_file="words")
    data.trainer = trainer(TrainerFn.PREDICTING, rank=1, world_size=2)
    assert list(data.predict_input()) == [(1, "b")]


def test_predict_without_input_says_which_option(files):
    with pytest.raises(ValueError, match=r"--data\.predict_file FILE, or - for standard input"):
        Lines(data_files=files).predict_dataloader()


def test_a_misspelt_option_of_the_input_is_refused(files):
    Path("words").write_text("a\n")
    with pytest.raises(TypeError, match="itmes"):
        Lines(data_files=files, predict_file="words").predict_input(itmes=iter)
