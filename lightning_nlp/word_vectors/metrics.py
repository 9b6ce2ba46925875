"""Mean loss over all that was scored, however it came in batches."""

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric


class MeanLoss(Metric):
    """Mean loss of all pairs of centre and context, on all ranks together; None where there was no pair."""

    total: Tensor
    pairs: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0, dtype=torch.double), dist_reduce_fx="sum")
        self.add_state("pairs", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, losses: Float[Tensor, "pairs"]) -> None:
        """Adds the pairs of a batch, which may have none."""
        self.total += losses.double().sum()
        self.pairs += len(losses)

    def compute(self) -> Tensor | None:
        """Returns the mean so far."""
        return self.total / self.pairs if self.pairs else None
