"""A progress bar in the family's own unit, with the time left of the whole training."""

import time
from datetime import timedelta
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import TQDMProgressBar

from lightning_nlp.training.measure import Measure


class Progress(TQDMProgressBar):
    """Lightning's bar, with units per second and the time left until the last epoch ends."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remembers where this process began, for a resumed run has done part of the work before."""
        super().on_train_start(trainer, pl_module)
        self._began = time.perf_counter()
        self._first_step = trainer.global_step

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Returns what stands behind the bar."""
        items = super().get_metrics(trainer, pl_module)
        items.pop("v_num", None)
        measure = next((c for c in trainer.callbacks if isinstance(c, Measure)), None)  # type: ignore[attr-defined]
        if measure is not None and measure.seconds > 0:
            rate = measure.units * trainer.world_size / measure.seconds
            items[f"{getattr(pl_module, 'unit', 'units')}/s"] = f"{rate:,.0f}"
        if trainer.training and (left := self._seconds_left(trainer)) is not None:
            items["left"] = str(timedelta(seconds=round(left)))
        return items

    def _seconds_left(self, trainer: Trainer) -> float | None:
        done = trainer.global_step - self._first_step
        total = trainer.estimated_stepping_batches
        if done < 1 or total == float("inf"):
            return None
        return (time.perf_counter() - self._began) / done * max(0, total - trainer.global_step)
