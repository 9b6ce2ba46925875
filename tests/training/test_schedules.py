"""Schedules against their formulas, and at the interval they mean inside a real training."""

import math

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from torch.optim import SGD

from lightning_nlp.training import (
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

STEPS, EPOCHS = 40, 4  # 10 steps an epoch


class Recorder(LightningModule):
    """One weight, trained on nothing, that notes the learning rate of every step."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.schedule, self.rates = schedule, []

    def training_step(self, batch, batch_idx):
        self.rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        return self.weight.sum() * 0

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", 1.0)

    def configure_optimizers(self):
        optimizer = SGD(self.parameters(), lr=2.0)
        return [optimizer], self.schedule.configure(optimizer, self.trainer)


def quiet_trainer(**settings):
    off = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    return Trainer(accelerator="cpu", num_sanity_val_steps=0, **off, **settings)


def rates(schedule: Schedule, **settings) -> list[float]:
    module = Recorder(schedule)
    loader = torch.utils.data.DataLoader(range(STEPS // EPOCHS))
    quiet_trainer(max_epochs=EPOCHS, **settings).fit(module, loader, loader)
    return module.rates


FORMULAS = {
    "constant": (Constant(), lambda t: 1.0),
    "linear": (Linear(final=0.1), lambda t: 1 - 0.9 * t / STEPS),
    "cosine": (Cosine(), lambda t: 0.5 * (1 + math.cos(math.pi * t / STEPS))),
    "inverse square root": (InverseSquareRoot(timescale=5), lambda t: math.sqrt(5 / (5 + t))),
    "exponential": (Exponential(gamma=0.5), lambda t: 0.5 ** (t / 10)),
    "halving every 2 epochs": (Halving(epochs=2), lambda t: 0.5 ** (t // 20)),
    "cyclical": (Cyclical(half_cycle=1, base=0.1), lambda t: 0.1 + 0.9 * (1 - abs(t / 10 % 2 - 1))),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_schedule_follows_its_formula_by_the_step(name):
    schedule, formula = FORMULAS[name]
    assert rates(schedule) == pytest.approx([2 * formula(t) for t in range(STEPS)], rel=1e-4, abs=1e-6)


WARMED = {
    "constant": (Constant(warmup=10), lambda t: 1.0),
    "linear": (Linear(warmup=10), lambda t: 1 - t / 30),
    "cosine, share": (Cosine(warmup=0.25), lambda t: 0.5 * (1 + math.cos(math.pi * t / 30))),
    "inverse square root": (InverseSquareRoot(warmup=10), lambda t: math.sqrt(10 / (10 + t))),
    "halving": (Halving(warmup=10), lambda t: 0.5 ** (t // 10)),
    "exponential": (Exponential(gamma=0.5, warmup=10), lambda t: 0.5 ** (t / 10)),
    "cyclical": (Cyclical(warmup=10, base=0.1), lambda t: 0.1 + 0.9 * (1 - abs(t / 10 % 2 - 1))),
}


@pytest.mark.parametrize("name", WARMED)
def test_warm_up_stands_in_front_of_any_schedule(name):
    schedule, formula = WARMED[name]
    found = rates(schedule)
    assert found[:10] == pytest.approx([2 * (1 + t) / 11 for t in range(10)], rel=1e-4)
    assert found[10:] == pytest.approx([2 * formula(t) for t in range(30)], rel=1e-4, abs=1e-6)


def test_plateau_steps_after_validation_and_warms_up_by_the_step():
    found = rates(Plateau(patience=1, warmup=5))
    assert found[:5] == pytest.approx([2 / 6 * (1 + t) for t in range(5)])
    assert found[5:30] == pytest.approx([2.0] * 25)  # scores of epochs 0, 1 and 2 are equal: two without improvement
    assert found[30:] == pytest.approx([1.0] * 10)


def test_accumulation_counts_optimizer_steps_not_batches():
    found = rates(Linear(), accumulate_grad_batches=5)
    assert found[::5] == pytest.approx([2 * (1 - t / 8) for t in range(8)])


def test_resumed_schedule_goes_on_where_it_stopped(tmp_path):
    loader = torch.utils.data.DataLoader(range(10))
    first = Recorder(InverseSquareRoot(warmup=15))
    trainer = quiet_trainer(max_epochs=4)
    trainer.fit(first, loader, loader)
    half = Recorder(InverseSquareRoot(warmup=15))
    trainer = quiet_trainer(max_epochs=4)
    half.on_train_epoch_end = lambda: setattr(trainer, "should_stop", half.current_epoch == 1)
    trainer.fit(half, loader, loader)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    rest = Recorder(InverseSquareRoot(warmup=15))
    quiet_trainer(max_epochs=4).fit(rest, loader, loader, ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    assert half.rates + rest.rates == pytest.approx(first.rates)


def test_epochs_keep_their_length_when_max_steps_ends_the_training():
    found = rates(Halving(), max_steps=25)
    assert found == pytest.approx([2.0] * 10 + [1.0] * 10 + [0.5] * 5)


def test_plateau_waits_for_epochs_that_validate():
    found = rates(Plateau(patience=0), check_val_every_n_epoch=2)
    assert found == pytest.approx([2.0] * 40)  # the second validation, without improvement, comes after the last step


def test_plateau_without_validation_keeps_the_rate():
    assert rates(Plateau(patience=0), limit_val_batches=0) == pytest.approx([2.0] * 40)


def test_negative_warm_up_is_refused():
    with pytest.raises(ValueError, match="warmup is -1"):
        Linear(warmup=-1)


def test_endless_training_is_refused():
    module = Recorder(Linear())
    with pytest.raises(ValueError, match=r"max_epochs or max_steps"):
        quiet_trainer(max_epochs=-1).fit(module, torch.utils.data.DataLoader(range(2)))
