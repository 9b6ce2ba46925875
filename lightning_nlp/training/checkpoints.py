"""`best.ckpt` by the module's own score and `last.ckpt` for going on after a stop."""

import os
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.exceptions import SIGTERMException

from lightning_nlp.data.preparation import renamed_when_whole
from lightning_nlp.data.samplers import load_again, settle_epoch
from lightning_nlp.training.measure import Measure
from lightning_nlp.training.run_folder import BEST, LAST, run_folder

STEPS_BETWEEN_QUESTIONS = 50


class StreamedCheckpoints(TorchCheckpointIO):
    """Writes checkpoints straight to their file: Lightning's own way holds all of one in memory a second time."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes a checkpoint, whole or not at all; what is no local file is left to Lightning."""
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
        else:
            with renamed_when_whole(Path(path)) as unfinished:
                torch.save(checkpoint, unfinished)


class BestCheckpoint(ModelCheckpoint):
    """Keeps `checkpoints/best.ckpt`, the weights with the best validation score so far.

    Args:
        monitor: metric that decides, as the module logs it.
        mode: whether the metric should be small or large.
    """

    def __init__(self, monitor: str = "val/loss", mode: str = "min") -> None:
        super().__init__(
            filename=BEST.stem,
            monitor=monitor,
            mode=mode,
            save_on_train_epoch_end=False,  # after each validation, however often that is
            enable_version_counter=False,
        )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Points into the run folder."""
        self.dirpath = str(run_folder(trainer) / BEST.parent)  # a plain value: it goes into checkpoints
        super().setup(trainer, pl_module, stage)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with the best score so far, if its checkpoint lies in this run folder, wherever that was moved."""
        best = Path(str(self.dirpath), BEST.name)
        if state_dict["best_model_path"] and best.exists():
            here = {"dirpath": self.dirpath, "best_model_path": str(best), "kth_best_model_path": str(best)}
            scores = {str(best): score for score in state_dict["best_k_models"].values()}
            super().load_state_dict({**state_dict, **here, "best_k_models": scores, "last_model_path": ""})

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves if the score is the best; a validation without the monitored score decides nothing."""
        if self.monitor in trainer.callback_metrics:
            super().on_validation_end(trainer, pl_module)

    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        with Measure.paused(trainer):
            super()._save_checkpoint(trainer, filepath)


class LastCheckpoint(Checkpoint):
    """Keeps `checkpoints/last.ckpt`: every so many minutes, at the end of each epoch, and on interruption.

    Where no validation chose a `best.ckpt`, the last one is the best one when training ends.

    Args:
        minutes: longest training time that a crash may cost.
    """

    def __init__(self, minutes: float = 10.0) -> None:
        self.seconds = 60 * minutes
        self.saved_at = time.monotonic()
        self.saved_step = -1

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Lets a fit go on at the very batch where the checkpoint was written."""
        if trainer.state.fn == "fit":
            settle_epoch(checkpoint)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock, and the batches where the checkpoint left them."""
        self.saved_at = time.monotonic()
        load_again(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves when the time has come; rank 0's clock decides for all, asked now and then because asking waits.

        Never between accumulated batches, whose gradients are in no checkpoint.
        """
        steps, batches_left = divmod(batch_idx + 1, trainer.accumulate_grad_batches)
        due = not batches_left and time.monotonic() - self.saved_at > self.seconds
        if trainer.world_size > 1:
            due = not batches_left and steps % STEPS_BETWEEN_QUESTIONS == 0 and trainer.strategy.broadcast(due)
        if due:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves at the end of an epoch, after validation; a trial on one batch is not worth going on with."""
        if not trainer.overfit_batches:  # type: ignore[attr-defined]
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Makes `best.ckpt` of `last.ckpt` where nothing else did."""
        if trainer.global_step != self.saved_step:
            self._save(trainer)
        best, last = run_folder(trainer) / BEST, run_folder(trainer) / LAST
        if trainer.is_global_zero and not _chosen_by_validation(trainer) and last.exists():
            _link(last, best)
        trainer.strategy.barrier("best_is_last")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Saves when the user or the cluster stops the run, so that `--resume auto` loses nothing."""
        interrupted = isinstance(exception, KeyboardInterrupt | SIGTERMException)
        if interrupted and trainer.training and trainer.world_size == 1:
            self._save(trainer)
            rank_zero_info(f"Stopped at step {trainer.global_step}; go on with: fit … --resume auto")

    def _save(self, trainer: Trainer) -> None:
        with Measure.paused(trainer):
            trainer.save_checkpoint(run_folder(trainer) / LAST, weights_only=False)
        self.saved_at, self.saved_step = time.monotonic(), trainer.global_step


def _chosen_by_validation(trainer: Trainer) -> bool:
    return any(c.best_model_path for c in trainer.checkpoint_callbacks if isinstance(c, BestCheckpoint))


def _link(source: Path, target: Path) -> None:
    """Makes `target` the same file as `source`; a copy where the file system has no hard links."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
