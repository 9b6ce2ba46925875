"""What every data module shares: its source, its preparation, its place in training, its input to predict."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from lightning_nlp.data.predict_input import PredictInput
from lightning_nlp.data.preparation import cache_root, prepare_once
from lightning_nlp.data.samplers import position
from lightning_nlp.data.sources import Source


class SourcedData(LightningDataModule, ABC):
    """A data module over one `Source`, prepared once and read from a folder named by content.

    Args:
        path: what `datasets.load_dataset` takes: a Hub name, or text, csv, json, parquet; or sample for the sample
            world. Some families read more.
        name: configuration of a Hub data set.
        data_files: split to file or files, `.gz` too. Splits are train, validation, test; test_NAME is one more test
            set, scored as test_NAME/….
        streaming: read the data without storing them first.
        columns: what a column means to this project to its name in the data, for tables.
        validation_fraction: share of train held out where there is no validation split; 0 holds out nothing.
        predict_file: input of the predict command, `-` for standard input.
        num_workers: processes that load batches beside the training process.
        cache_dir: where prepared data are kept; null is the user's cache folder.
    """

    def __init__(
        self,
        path: str = "sample",
        name: str | None = None,
        data_files: dict[str, str | list[str] | dict[str, str]] | None = None,
        streaming: bool = False,
        columns: dict[str, str] | None = None,
        validation_fraction: float = 0.0,
        predict_file: str | None = None,
        num_workers: int = 0,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__()
        self.path, self.name, self.data_files = path, name, data_files
        self.source = Source(path, name, data_files, streaming, columns or {}, validation_fraction)
        self.predict_file = predict_file
        self.num_workers = num_workers
        self.cache_dir = Path(cache_dir) if cache_dir else cache_root()

    # -- preparation ------------------------------------------------------------------------------------------------

    @abstractmethod
    def options(self) -> Mapping[str, object]:
        """Returns what the prepared folder depends on beside the data, as plain values."""

    @abstractmethod
    def build(self, folder: Path) -> None:
        """Fills an empty folder with the prepared training and validation data."""

    def prepare_data(self) -> None:
        """Builds the prepared folder in one process, before a fit; the other commands need none."""
        if self._fits():
            self.prepared_folder()

    def prepared_folder(self) -> Path:
        """Returns the folder of the prepared data, building it where it is not there yet."""
        splits = [split for split in self.source.splits() if not split.startswith("test")]
        key = {
            "data": type(self).__name__,
            "splits": {split: self.source.fingerprint(split) for split in splits},
            **self.options(),
        }
        return prepare_once(self.cache_dir, key, self.build)

    def _fits(self) -> bool:
        return self.trainer is None or self.trainer.state.fn in (None, "fit")

    # -- place ------------------------------------------------------------------------------------------------------

    def share(self) -> dict[str, Any]:
        """Returns this process's part of evaluation batches, as arguments of a sampler.

        Raises:
            ValueError: the trainer would divide that part among the processes once more.
        """
        rank, size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        if size > 1 and self.trainer._accelerator_connector.use_distributed_sampler:  # type: ignore[union-attr]
            raise ValueError("Give Trainer use_distributed_sampler=False: data are divided among processes here.")
        return {"seed": global_seed(), "rank": rank, "world_size": size}

    def place(self) -> dict[str, Any]:
        """Returns this process's part of training batches and where it goes on, as arguments of a sampler."""
        epoch, start_batch = position(self.trainer)
        # `overfit_batches` means the same batches every epoch; Lightning cannot tell our samplers so.
        overfits = self.trainer is not None and self.trainer.overfit_batches > 0  # type: ignore[attr-defined]
        return {**self.share(), "epoch": epoch, "start_batch": start_batch, "shuffle": not overfits}

    def test_splits(self) -> list[str]:
        """Lists `test` and the further named test sets."""
        return [split for split in self.source.splits() if split.startswith("test")]

    # -- predict ----------------------------------------------------------------------------------------------------

    def predict_input(self, **options: Any) -> PredictInput:
        """Opens the input of the predict command.

        Raises:
            ValueError: none was given.
        """
        if self.predict_file is None:
            raise ValueError("predict needs an input: give --data.predict_file FILE, or - for standard input.")
        share = self.share()
        return PredictInput(self.predict_file, share["rank"], share["world_size"], **options)

    def predict_dataloader(self) -> DataLoader:
        """Returns lists of (position, line)."""
        return DataLoader(self.predict_input(), batch_size=256, collate_fn=list)


def global_seed() -> int:
    """Returns the seed that `seed_everything` was given; 0 where it was not called."""
    return int(os.environ.get("PL_GLOBAL_SEED", "0"))


def as_is(batch: Any) -> Any:
    """Leaves a batch as the data set made it: a loader's `collate_fn`."""
    return batch
