"""The clock of the fit counts training alone, and the units of all batches."""

import json
import time

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer

from lightning_nlp.training import Measure, callbacks
from lightning_nlp.training.measure import peak_flops, write_metrics


class Slow(LightningModule):
    """Trains in no time, validates and saves slowly."""

    unit = "words"

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def training_step(self, batch, batch_idx):
        time.sleep(0.01)
        return {"loss": self.weight.sum(), "units": 7, "flops": 1e9}

    def validation_step(self, batch, batch_idx):
        time.sleep(0.2)
        self.log("val/loss", float(self.current_epoch))  # the first epoch is the best

    def on_save_checkpoint(self, checkpoint):
        time.sleep(0.2)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    run = tmp_path_factory.mktemp("measured") / "run"
    module = Slow()
    loader = torch.utils.data.DataLoader(range(10))
    off = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(max_epochs=2, limit_val_batches=1, accelerator="cpu", callbacks=callbacks(module, run), **off)
    trainer.fit(module, loader, loader)
    return json.loads((run / "metrics.json").read_text())


def test_seconds_of_the_fit_leave_out_validation_and_checkpoints(metrics):
    assert 0.2 <= metrics["seconds/fit"] < 0.4  # 20 batches; 2 validations and 4 checkpoints would add a second
    assert 0.4 <= metrics["seconds/validation"] < 0.6
    assert metrics["seconds/total"] > metrics["seconds/fit"] + metrics["seconds/validation"] + 0.6


def test_throughput_is_units_over_the_seconds_of_the_fit(metrics):
    assert metrics["throughput/train"] * metrics["seconds/fit"] == pytest.approx(2 * 10 * 7, rel=0.01)
    assert metrics["throughput/unit"] == "words/s"


def test_flops_are_compared_with_what_the_processor_reaches(metrics):
    assert metrics["flops/second"] * metrics["seconds/fit"] == pytest.approx(2 * 10 * 1e9, rel=0.01)
    best = metrics["flops/second"] / metrics["flops/utilisation"]
    assert best == pytest.approx(peak_flops(torch.device("cpu"), torch.float32), rel=0.8)  # a shared machine is noisy


def test_scores_are_those_of_the_best_epoch(metrics):
    assert metrics["val/loss"] == 0.0
    assert metrics["parameters"] == 1


def test_what_is_no_number_is_null(tmp_path):
    write_metrics(tmp_path / "metrics.json", {"val/pairs": float("nan"), "seconds/fit": 1.5, "unit": "words/s"})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {
        "val/pairs": None,
        "seconds/fit": 1.5,
        "unit": "words/s",
    }


def test_a_failed_save_does_not_stop_the_clock():
    measure = Measure()
    measure._resumed_at = time.perf_counter()
    trainer = Trainer(callbacks=[measure], logger=False, enable_progress_bar=False)
    with pytest.raises(OSError, match="full"), Measure.paused(trainer):
        raise OSError("disk full")
    before = measure.seconds
    time.sleep(0.01)
    assert measure.seconds > before
