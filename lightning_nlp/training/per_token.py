"""Losses that are means over tokens, however these are spread over accumulated batches and processes."""

from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor
from torch.optim import Optimizer


class PerToken(LightningModule):
    """A module whose training step returns a sum over tokens.

    The sum is divided by the tokens of all ranks and accumulated batches only when these are known, before the
    optimizer steps: a mean of means would count a token of a short batch more. Where a step has one batch, the loss is
    divided at once, which saves a pass over all gradients.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tokens_seen = 0  # since the last step of the optimizer

    def summed(self, loss: Tensor, predicted: int, units: int) -> dict[str, Any]:
        """Returns what a training step returns.

        Args:
            loss: summed over the predicted tokens of a batch.
            predicted: their number.
            units: what throughput counts.
        """
        mean = loss / max(1, predicted)
        self.log("train/loss", mean.detach(), prog_bar=True, batch_size=max(1, predicted))
        self.tokens_seen += predicted
        return {"loss": mean if self._is_whole else loss * self.trainer.accumulate_grad_batches, "units": units}

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Divides the gradients, which processes have averaged, by the mean number of tokens of a process."""
        if not self._is_whole:
            tokens = torch.tensor(float(self.tokens_seen), device=self.device)
            tokens = self.trainer.strategy.reduce(tokens, reduce_op="mean").clamp(min=1)
            for weight in self.parameters():
                if weight.grad is not None:
                    weight.grad /= tokens
        self.tokens_seen = 0

    @property
    def _is_whole(self) -> bool:
        """Whether one batch is all that a step of the optimizer learns from."""
        return self.trainer.accumulate_grad_batches == 1 and self.trainer.world_size == 1
