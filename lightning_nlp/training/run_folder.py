"""The run folder: everything one fit leaves behind, in one place that can be moved.

<default_root_dir>/latest -> 20261123-151233-120034
<default_root_dir>/20261123-151233-120034/
    config.yaml  metrics.json  checkpoints/{best,last}.ckpt  predictions/  export/  figures/  tables/  wandb/
"""

import os
import shutil
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from pytorch_lightning import Callback, LightningModule, Trainer

from lightning_nlp.training import tracker

CONFIG = "config.yaml"
METRICS = "metrics.json"
BEST = Path("checkpoints", "best.ckpt")
LAST = Path("checkpoints", "last.ckpt")
REQUEUED = "hpc_ckpt_*.ckpt"  # what Lightning writes when a cluster takes its machines back
LOCK = ".lock"  # held while a fit runs


def new_run(root: str | Path) -> Path:
    """Names a run below `root` by the time, to the microsecond; creates nothing."""
    return Path(root, datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f"))


def runs(root: str | Path) -> list[Path]:
    """Lists the run folders below `root`, oldest first."""
    return sorted(path.parent for path in Path(root).glob(f"*/{CONFIG}") if not path.parent.is_symlink())


def newest_unfinished(root: str | Path) -> Path | None:
    """Finds the newest run below `root` to go on with: it has a checkpoint, was never finished, and nobody is at it."""
    for run in reversed(runs(root)):
        has_checkpoint = (run / LAST).exists() or any(run.glob(REQUEUED))
        if has_checkpoint and not (run / METRICS).exists() and not in_use(run):
            return run
    return None


def in_use(run: Path) -> bool:
    """Tells whether a fit is running in a folder; the system frees the lock of a process that died."""
    lock = FileLock(run / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def run_of_checkpoint(checkpoint: str | Path) -> Path:
    """Returns the run folder that a checkpoint belongs to; for a file outside any run, the folder it lies in."""
    folder = Path(checkpoint).absolute().parent
    return folder.parent if folder.name == BEST.parent.name else folder


def run_folder(trainer: Trainer) -> Path:
    """Returns the run folder of a trainer; without a `RunFolder` callback, its `default_root_dir`."""
    callback = next((c for c in trainer.callbacks if isinstance(c, RunFolder)), None)  # type: ignore[attr-defined]
    return callback.folder if callback else Path(trainer.default_root_dir)


def point_latest(run: Path) -> None:
    """Moves the `latest` link beside `run` to it, at once for every reader."""
    link = run.parent / "latest"
    temporary = run.parent / f".latest-{os.getpid()}-{time.monotonic_ns()}"
    temporary.symlink_to(run.name, target_is_directory=True)
    temporary.replace(link)


class RunFolder(Callback):
    """Makes the run folder of a fit and tells every rank and logger of it.

    Only `fit` makes the folder, writes `config.yaml` and moves `latest`; the other commands are given the folder
    of the checkpoint they use and write into it.

    Args:
        folder: where the run lies; rank 0's choice becomes everyone's.
        config: the resolved configuration, written as `config.yaml` and sent to the loggers.
    """

    def __init__(self, folder: str | Path, config: Mapping[str, Any] | None = None) -> None:
        self.folder = Path(folder)
        self.config = dict(config or {})
        self.is_new = not self.folder.exists()
        self.lock: FileLock | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Agrees on the folder and, in fit, makes it (after the data are prepared: bad input leaves no folder)."""
        self.folder = Path(trainer.strategy.broadcast(str(self.folder)))
        if stage != "fit":
            return
        if trainer.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.lock = FileLock(self.folder / LOCK)
            self.lock.acquire(timeout=0)
            text = yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True)
            (self.folder / CONFIG).write_text(text, encoding="utf8")
            point_latest(self.folder)
        for logger in trainer.loggers:
            logger.log_hyperparams(self.config)  # nested, and the one copy: the modules send none
        trainer.strategy.barrier("run_folder")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Gives the folder free."""
        self._unlock()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Takes back a run that failed before its first step, so that `latest` still names one that means something."""
        self._unlock()
        if trainer.is_global_zero and trainer.state.fn == "fit" and self.is_new and trainer.global_step == 0:
            tracker.finish(exit_code=1)  # it writes into the folder until then
            shutil.rmtree(self.folder, ignore_errors=True)
            if earlier := runs(self.folder.parent):
                point_latest(earlier[-1])
            else:
                (self.folder.parent / "latest").unlink(missing_ok=True)

    def _unlock(self) -> None:
        if self.lock is not None:
            self.lock.release()
            (self.folder / LOCK).unlink(missing_ok=True)
            self.lock = None
