"""What the tests of the command line share: a quiet fit on the sample world, and a way to break it off."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from pytorch_lightning.callbacks import Callback

from lightning_nlp.cli import main

SAMPLE = ["-c", "configs/word_vectors/sample.yaml"]
QUIET = [
    "--trainer.logger=false",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.max_epochs=2",
]
FIT = ["fit", *SAMPLE, *QUIET]
ROOT = Path("runs/word_vectors/sample")


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return torch.load(checkpoint, weights_only=True)["state_dict"]


def same_weights(left: Path, right: Path) -> bool:
    ours, theirs = weights(left), weights(right)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


class Crash(Callback):
    """Stops the power after some training batches."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def on_train_batch_start(self, *_):
        self.left -= 1
        if self.left < 0:
            raise OSError("power failure")


def fit_until_crash(batches: int, fit: Sequence[str] = (), root: Path = ROOT) -> Path:
    """Fits and loses power after some batches; returns the run folder.

    Args:
        batches: of training before the crash.
        fit: arguments of the command line; none are `FIT`.
        root: where the run folder is made.
    """
    from lightning_nlp import training

    callbacks = training.callbacks
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "callbacks", lambda *given: [*callbacks(*given), Crash(batches)])
        with pytest.raises(OSError, match="power failure"):
            main(list(fit) or FIT)
    return (root / "latest").resolve()
