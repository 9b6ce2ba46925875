"""`export/`: the trained model as a folder that needs no training code."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_warn

from lightning_nlp.training.run_folder import BEST, LAST, run_folder


@runtime_checkable
class Exportable(Protocol):
    """A module that can write itself for others."""

    def export(self, folder: Path) -> None:
        """Writes what a user takes away: weights, vocabulary or tokenizer, interchange formats."""


class ExportBest(Callback):
    """After a fit, writes the weights of `best.ckpt` to `export/`, with a model card.

    The module holds the best weights from then on, as in the folder.

    Args:
        command: the command line of this run, for the model card.
    """

    def __init__(self, command: str = "") -> None:
        self.command = command

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Loads the best weights on every rank; rank 0 writes them."""
        if not (run_folder(trainer) / BEST).exists():
            rank_zero_warn("Nothing was trained, so nothing is exported: trainer.max_epochs or max_steps is 0.")
            return
        file = run_folder(trainer) / BEST
        best = torch.load(file, weights_only=True, map_location=pl_module.device, mmap=True)
        if not file.samefile(run_folder(trainer) / LAST):  # else the module holds these weights already
            pl_module.load_state_dict(best["state_dict"])
        if trainer.is_global_zero and isinstance(pl_module, Exportable):
            folder = run_folder(trainer) / "export"
            temporary = folder.with_name("export.tmp")
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            pl_module.export(temporary)
            card = model_card(pl_module, trainer, best["metrics"], self.command)
            (temporary / "README.md").write_text(card, encoding="utf8")
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
        trainer.strategy.barrier("export")


def model_card(module: LightningModule, trainer: Trainer, metrics: Mapping[str, float], command: str) -> str:
    """Describes an exported model: what it is, on which data it was trained, what it reached, and how to repeat it."""
    summary = (type(module).__doc__ or type(module).__name__).strip().splitlines()[0]
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in sorted(metrics.items()))
    return f"""---
library_name: lightning-nlp
---
# {type(module).__name__}

{summary}

Data: {describe_data(trainer)}

| score | value |
|---|---|
{rows}

```
{command}
```
"""


def describe_data(trainer: Trainer) -> str:
    """Names the data of a training: its source, and its files or else its name."""
    data = getattr(trainer, "datamodule", None)
    files = getattr(data, "data_files", None)
    parts = (getattr(data, "path", None), files or getattr(data, "name", None))
    return " ".join(str(part) for part in parts if part) or "given as loaders"
