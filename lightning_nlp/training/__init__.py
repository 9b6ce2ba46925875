"""What every training shares, whatever the family: run folder, checkpoints, measures, schedules, tracker, export."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule

from lightning_nlp.training.checkpoints import BestCheckpoint, LastCheckpoint, StreamedCheckpoints
from lightning_nlp.training.curves import LearningCurves
from lightning_nlp.training.determinism import ReseedEachBatch
from lightning_nlp.training.export import ExportBest
from lightning_nlp.training.fused import ClipFused
from lightning_nlp.training.hyperparameters import make_plain
from lightning_nlp.training.measure import Measure
from lightning_nlp.training.memory import keep_freed_memory
from lightning_nlp.training.per_token import PerToken
from lightning_nlp.training.predictions import PredictionWriter
from lightning_nlp.training.progress import Progress
from lightning_nlp.training.run_folder import RunFolder, new_run, run_folder
from lightning_nlp.training.schedules import (
    Constant,
    Cosine,
    Cyclical,
    Exponential,
    Halving,
    InverseSquareRoot,
    Linear,
    Plateau,
    Schedule,
)

__all__ = [
    "FINISHING",
    "BestCheckpoint",
    "ClipFused",
    "Constant",
    "Cosine",
    "Cyclical",
    "Exponential",
    "ExportBest",
    "Halving",
    "InverseSquareRoot",
    "LastCheckpoint",
    "LearningCurves",
    "Linear",
    "Measure",
    "PerToken",
    "Plateau",
    "PredictionWriter",
    "Progress",
    "ReseedEachBatch",
    "RunFolder",
    "Schedule",
    "StreamedCheckpoints",
    "callbacks",
    "keep_freed_memory",
    "make_plain",
    "new_run",
    "run_folder",
]

# What has nothing to do after a trial of a few batches, which writes no checkpoint.
FINISHING = (BestCheckpoint, LastCheckpoint, LearningCurves, ExportBest, Measure)


def callbacks(
    module: LightningModule, run: str | Path, config: Mapping[str, Any] | None = None, command: str = ""
) -> list[Callback]:
    """Returns what a run needs beside Lightning's own: `Trainer(callbacks=callbacks(module, new_run("runs/mine")))`.

    Args:
        module: names the score that chooses `best.ckpt` by its attributes `monitor` and `monitor_mode`.
        run: the run folder.
        config: the resolved configuration, for `config.yaml` and the tracker.
        command: the command line, for the model card.
    """
    monitor = getattr(module, "monitor", "val/loss")
    best = BestCheckpoint(monitor, getattr(module, "monitor_mode", "min"))
    return [
        RunFolder(run, config),
        ReseedEachBatch(),
        ClipFused(),
        PredictionWriter(),
        best,
        LastCheckpoint(),
        LearningCurves(monitor),
        ExportBest(command),
        Measure(),
    ]
