"""What a run cost and reached: `metrics.json`, one flat object."""

import contextlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

import lightning_nlp
from lightning_nlp.training.run_folder import BEST, METRICS, run_folder


class Measure(Callback):
    """Times a fit, counts its work and writes `metrics.json`.

    A module takes part by returning `units`, the words, sentences or tokens of the batch, from `training_step`
    beside `loss`, and by naming them in its attribute `unit`.

    * `seconds/setup`: from here to the first training batch: data, model, compilation.
    * `seconds/fit`: from the first training batch to the last, without validation and checkpoint writing.
    * `throughput/train`: units of all ranks per second of `seconds/fit`.
    * `flops/second`, `flops/utilisation`: of modules whose `training_step` returns `flops` too, and their share of what
      products of large matrices reach on the same devices at the same precision, measured after the fit.

    A resumed fit counts on from its checkpoint.
    """

    def __init__(self) -> None:
        self.born = time.perf_counter()
        self.born_mb = resident_mb()
        self.setup_seconds = 0.0
        self.fit_seconds = 0.0
        self.validation_seconds = 0.0
        self.earlier_seconds = 0.0  # of the fit before it was stopped and resumed
        self.units = self.flops = 0.0  # of this rank
        self.units_of_all = self.flops_of_all = 0.0
        self._resumed_at: float | None = None  # None while the clock of the fit stands still
        self._validation_at = 0.0

    @classmethod
    @contextlib.contextmanager
    def paused(cls, trainer: Trainer) -> Iterator[None]:
        """Stops the clock of the fit, as for writing a checkpoint."""
        callback = next((c for c in trainer.callbacks if isinstance(c, cls)), None)  # type: ignore[attr-defined]
        running = callback is not None and callback._stop()
        try:
            yield
        finally:
            if callback is not None and running:
                callback._resumed_at = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        running = 0.0 if self._resumed_at is None else time.perf_counter() - self._resumed_at
        return self.fit_seconds + running

    def _stop(self) -> bool:
        running = self._resumed_at is not None
        self.fit_seconds, self._resumed_at = self.seconds, None
        return running

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock."""
        self._resumed_at = time.perf_counter()
        self.setup_seconds = self._resumed_at - self.born

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts the work of this rank."""
        if isinstance(outputs, dict):
            self.units += outputs.get("units", 0)
            self.flops += outputs.get("flops", 0)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops the clock of the fit while validation runs."""
        self._stop()
        self._validation_at = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lets the clock of the fit run on, or notes the scores of the `validate` command."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._resumed_at = time.perf_counter()
            self.validation_seconds += self._resumed_at - self._validation_at
        if trainer.state.fn == "validate":
            self._update(trainer)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes the scores of the `test` command."""
        self._update(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops the clock and adds up the work of all ranks."""
        self._stop()
        work = torch.tensor([self.units, self.flops], dtype=torch.float64, device=trainer.strategy.root_device)
        self.units_of_all, self.flops_of_all = trainer.strategy.reduce(work, reduce_op="sum").tolist()

    def state_dict(self) -> dict[str, float]:
        """Returns what a resumed fit counts on from."""
        total = time.perf_counter() - self.born + self.earlier_seconds
        work = {"units": self.units, "flops": self.flops}
        return {"fit": self.seconds, "validation": self.validation_seconds, "total": total, **work}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Counts on."""
        self.fit_seconds, self.validation_seconds = state_dict["fit"], state_dict["validation"]
        self.earlier_seconds, self.units = state_dict["total"], state_dict["units"]
        self.flops = state_dict["flops"]

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keeps the scores with the weights that reached them."""
        checkpoint["metrics"] = scores(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes `metrics.json`: the scores are those of `best.ckpt`, whose weights are exported."""
        if not trainer.is_global_zero:
            return
        folder = run_folder(trainer)
        if not (folder / BEST).exists():
            return  # nothing was trained
        best = torch.load(folder / BEST, weights_only=True, map_location="cpu", mmap=True)
        write_metrics(folder / METRICS, {**best["metrics"], **self._costs(trainer, pl_module)})

    def _costs(self, trainer: Trainer, module: LightningModule) -> dict[str, Any]:
        return {
            "seconds/setup": round(self.setup_seconds, 3),
            "seconds/fit": round(self.fit_seconds, 3),
            "seconds/validation": round(self.validation_seconds, 3),
            "seconds/total": round(time.perf_counter() - self.born + self.earlier_seconds, 3),
            "throughput/train": round(self.units_of_all / max(self.fit_seconds, 1e-9), 1),
            "throughput/unit": f"{getattr(module, 'unit', 'units')}/s",
            **self._flops(trainer),
            "parameters": sum(p.numel() for p in module.parameters()),
            "devices": trainer.world_size,
            "peak_memory_mb": round(peak_mb() - self.born_mb, 1),
            "version": lightning_nlp.__version__,
            **git_commit(),
        }

    def _flops(self, trainer: Trainer) -> dict[str, float]:
        if not self.flops_of_all:
            return {}
        rate = self.flops_of_all / max(self.fit_seconds, 1e-9)
        number_type = torch.bfloat16 if str(trainer.precision).startswith("bf16") else torch.float32
        best = peak_flops(trainer.strategy.root_device, number_type) * trainer.world_size
        return {"flops/second": round(rate, -6), "flops/utilisation": round(rate / best, 4)}

    def _update(self, trainer: Trainer) -> None:
        """Adds scores to the `metrics.json` of a finished run, if they are those of the exported weights."""
        file, best = run_folder(trainer) / METRICS, run_folder(trainer) / BEST
        exported = trainer.ckpt_path and best.exists() and best.samefile(trainer.ckpt_path)
        if trainer.is_global_zero and exported and file.exists():
            write_metrics(file, {**read_metrics(file), **scores(trainer)})


def peak_flops(device: torch.device, number_type: torch.dtype, size: int = 2048) -> float:
    """Returns operations a second of the fastest of some products of square matrices.

    Args:
        device: that multiplies.
        number_type: of the matrices.
        size: of their sides.
    """
    left, right = torch.randn(2, size, size, device=device, dtype=number_type)
    seconds = []
    for _ in range(6):
        began = time.perf_counter()
        float((left @ right)[0, 0])  # waits for the device
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds)


def scores(trainer: Trainer) -> dict[str, float]:
    """Returns the metrics logged so far under `val/` and `test/`, as plain numbers."""
    metrics = trainer.callback_metrics.items()
    return {name: float(value) for name, value in metrics if name.startswith(("val/", "test/", "test_"))}


def read_metrics(file: Path) -> dict[str, Any]:
    """Reads a `metrics.json`; an absent one is empty."""
    return json.loads(file.read_text()) if file.exists() else {}


def write_metrics(file: Path, metrics: dict[str, Any]) -> None:
    """Writes a `metrics.json` at once, so that nobody reads half of it; what is no number is null."""
    finite = {
        key: None if isinstance(value, float) and not isfinite(value) else value for key, value in metrics.items()
    }
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(finite, indent=2, allow_nan=False) + "\n")
    temporary.replace(file)


def resident_mb() -> float:
    """Resident memory of this process now, in MB; where the system does not tell, its peak so far."""
    status = Path("/proc/self/statm")
    if not status.exists():
        return peak_mb()
    return int(status.read_text().split()[1]) * resource.getpagesize() / 2**20


def peak_mb() -> float:
    """Peak resident memory of this process, in MB; on Linux `ru_maxrss` would begin with the parent's peak."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**10
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def git_commit() -> dict[str, str]:
    """Returns the commit of the checkout this package runs from, if it is one."""
    home = Path(lightning_nlp.__file__).parents[1]
    if not (home / ".git").exists():
        return {}
    try:
        command = ["git", "-C", str(home), "rev-parse", "HEAD"]
        return {"git": subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()}
    except (OSError, subprocess.CalledProcessError):  # no git here, or no commit yet: not known, so not said
        return {}
