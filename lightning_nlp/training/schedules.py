"""Learning-rate schedules by name, stepped at the interval they mean, with a warm-up in front of any.

The curves are torch's own where torch has them; what is added here is what a YAML cannot know: the number of steps
of a training and of an epoch.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import ceil, cos, pi
from typing import Any

from pytorch_lightning import Trainer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)


@dataclass(frozen=True)
class Span:
    """Optimizer steps of a training: of the warm-up, of all that follows it, and of one epoch."""

    warmup: int
    steps: int
    epoch: int


class Schedule(ABC):
    """A curve of the learning rate over training, in optimizer steps.

    Args:
        warmup: length of the linear rise to the optimizer's learning rate: steps from 1 on, below 1 a share of all.
    """

    def __init__(self, warmup: float = 0.0) -> None:
        if warmup < 0:
            raise ValueError(f"warmup is {warmup}, expected a number of steps or a share of them below 1.")
        self.warmup = warmup

    @abstractmethod
    def curve(self, optimizer: Optimizer, span: Span) -> LRScheduler | ReduceLROnPlateau:
        """Returns the torch scheduler that follows the warm-up."""

    def warmup_steps(self, steps: int) -> int:
        """Returns the length of the warm-up in a training of so many steps."""
        return round(self.warmup if self.warmup >= 1 else self.warmup * steps)

    def configure(self, optimizer: Optimizer, trainer: Trainer) -> list[dict[str, Any]]:
        """Returns what `configure_optimizers` wants: schedulers with the interval at which each steps."""
        total = trainer.estimated_stepping_batches
        if total == float("inf"):
            raise ValueError("A schedule needs the length of the training: set trainer.max_epochs or max_steps.")
        warmup = self.warmup_steps(int(total))
        epoch = ceil(min(total, trainer.num_training_batches / trainer.accumulate_grad_batches))
        span = Span(warmup, steps=max(1, int(total) - warmup), epoch=max(1, epoch))
        return self.schedulers(optimizer, span, trainer.check_val_every_n_epoch or 1)

    def schedulers(self, optimizer: Optimizer, span: Span, validates_every: int) -> list[dict[str, Any]]:
        """Puts the warm-up in front of the curve; `validates_every` is in epochs."""
        if span.warmup == 0:
            return [{"scheduler": self.curve(optimizer, span), "interval": "step"}]
        rise = warm_up(optimizer, span.warmup)
        curve = self.curve(optimizer, span)
        assert isinstance(curve, LRScheduler)
        return [{"scheduler": SequentialLR(optimizer, [rise, curve], milestones=[span.warmup]), "interval": "step"}]


def warm_up(optimizer: Optimizer, steps: int) -> LinearLR:
    """Rises from 1/(steps+1) of the learning rate to all of it, so that no step is taken with a rate of zero."""
    return LinearLR(optimizer, start_factor=1 / (steps + 1), total_iters=steps)


class Constant(Schedule):
    """The optimizer's own learning rate, after the warm-up."""

    def curve(self, optimizer: Optimizer, span: Span) -> LRScheduler:
        """One throughout."""
        return LambdaLR(optimizer, lambda step: 1.0)


class Linear(Schedule):
    """Falls in a straight line to `final` times the learning rate at the last step."""

    def __init__(self, warmup: float = 0.0, final: float = 0.0) -> None:
        super().__init__(warmup)
        self.final = final

    def curve(self, optimizer: Optimizer, span: Span) -> LRScheduler:
        """From 1 to `final`."""
        return LinearLR(optimizer, start_factor=1.0, end_factor=self.final, total_iters=span.steps)


class Cosine(Schedule):
    """Falls along half a cosine to `final` times the learning rate (Loshchilov & Hutter 2017, eq. 5, one period)."""

    def __init__(self, warmup: float = 0.0, final: float = 0.0) -> None:
        super().__init__(warmup)
        self.final = final

    def curve(self, optimizer: Optimizer, span: Span) -> LRScheduler:
        """From 1 to `final`."""

        def share(step: int) -> float:
            return self.final + (1 - self.final) * (1 + cos(pi * min(1.0, step / span.steps))) / 2

        return LambdaLR(optimizer, share)


class InverseSquareRoot(Schedule):
    """Falls with the inverse square root of the step (Vaswani et al. 2017, section 5.3).

    Args:
        warmup: length of the rise, as everywhere.
        timescale: steps over which the rate stays near its height; null is the length of the warm-up.
    """

    def __init__(self, warmup: float = 0.0, timescale: int | None = None) -> None:
        super().__init__(warmup)
        self.timescale = timescale

    def curve(self, optimizer: Optimizer, span: Span) -> LRScheduler:
        """The square root of scale / (scale + step)."""
        scale = max(1, self.timescale or span.warmup)
        return LambdaLR(optimizer, lambda step: (scale / (scale + step)) ** 0.5)


class Exponential(Schedule):
    """Multiplies the learning rate by `gamma` each epoch, a little at every step."""

    def __init__(self, gamma: float, warmup: float = 0.0) -> None:
        super().__init__(warmup)
        self.gamma = gamma

    def curve(self, optimizer: Optimizer, span: Span) -> LRScheduler:
        """Gamma to the number of epochs passed."""
        return ExponentialLR(optimizer, gamma=self.gamma ** (1 / span.epoch))


class Halving(Schedule):
    """Halves the learning rate every so many epochs."""

    def __init__(self, epochs: int = 1, warmup: float = 0.0) -> None:
        super().__init__(warmup)
        self.epochs = epochs

    def curve(self, optimizer: Optimizer, span: Span) -> LRScheduler:
        """A staircase."""
        return StepLR(optimizer, step_size=self.epochs * span.epoch, gamma=0.5)


class Cyclical(Schedule):
    """Swings between `base` times the learning rate and all of it (Smith 2017, the triangular policy).

    Args:
        half_cycle: epochs from the low to the high point.
        base: lowest share of the learning rate.
        warmup: as everywhere.
    """

    def __init__(self, half_cycle: float = 1.0, base: float = 0.1, warmup: float = 0.0) -> None:
        super().__init__(warmup)
        self.half_cycle, self.base = half_cycle, base

    def curve(self, optimizer: Optimizer, span: Span) -> LRScheduler:
        """A triangle wave that begins at its low point."""
        rates = [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]
        low = [self.base * rate for rate in rates]
        half = max(1, round(self.half_cycle * span.epoch))
        return CyclicLR(optimizer, low, rates, step_size_up=half, cycle_momentum=False)


class Plateau(Schedule):
    """Lowers the learning rate when a validation score stops improving; steps at the end of epochs that validate.

    Args:
        monitor: the score, as the module logs it.
        mode: whether it should be small or large.
        factor: what the rate is multiplied by.
        patience: such epochs without improvement that are waited for.
        warmup: as everywhere.
    """

    def __init__(
        self, monitor: str = "val/loss", mode: str = "min", factor: float = 0.5, patience: int = 2, warmup: float = 0.0
    ) -> None:
        super().__init__(warmup)
        self.monitor, self.mode, self.factor, self.patience = monitor, mode, factor, patience

    def curve(self, optimizer: Optimizer, span: Span) -> ReduceLROnPlateau:
        """Torch's own."""
        return ReduceLROnPlateau(optimizer, mode=self.mode, factor=self.factor, patience=self.patience)  # type: ignore[arg-type]

    def schedulers(self, optimizer: Optimizer, span: Span, validates_every: int) -> list[dict[str, Any]]:
        """Runs beside the warm-up, which steps at another interval and changes nothing once it is over."""
        plateau = {
            "scheduler": self.curve(optimizer, span),
            "interval": "epoch",
            "frequency": validates_every,
            "monitor": self.monitor,
            "strict": False,  # where nothing is validated, Lightning warns and the rate stays
        }
        rise = [{"scheduler": warm_up(optimizer, span.warmup), "interval": "step"}] if span.warmup else []
        return [*rise, plateau]
