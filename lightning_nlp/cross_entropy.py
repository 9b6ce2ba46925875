"""Cross entropy of many classes; on the CPU it is compiled, and so is its gradient, `cross_entropy.cpp`.

torch goes over the logits a dozen times: to float32 and back, log-softmax and its gradient, the mean of smoothing.
With some thousand classes that takes as long as the product that made them. The compiled loops read each row once
forward and once backward, where the gradient takes the place of the logits: nothing of their size is kept beside them.
"""

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lightning_nlp.native import call, load_library, typed

SOURCE = Path(__file__).with_name("cross_entropy.cpp")


def summed_cross_entropy(
    logits: Float[Tensor, "tokens classes"], targets: Int[Tensor, "tokens"], smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Returns the sum of cross entropies, as torch's with `reduction="sum"`.

    Args:
        logits: scores of the classes; they must not be used after the backward pass, which overwrites them.
        targets: the right class of each.
        smoothing: share of the probability that is spread over all classes (Szegedy et al. 2016, section 7).

    Raises:
        IndexError: a target is no class.
    """
    library = load_loop() if logits.device.type == "cpu" and logits.numel() else None
    if library is None or not hasattr(library, typed("forward", logits.dtype)):
        return torch.nn.functional.cross_entropy(logits.float(), targets, label_smoothing=smoothing, reduction="sum")
    least, most = (int(end) for end in targets.aminmax())
    if least < 0 or most >= logits.shape[1]:
        raise IndexError(f"targets are {least} to {most}, expected classes 0 to {logits.shape[1] - 1}.")
    return SummedCrossEntropy.apply(logits, targets, smoothing)


class SummedCrossEntropy(torch.autograd.Function):
    """The compiled loops."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """Returns the sum."""
        logits, targets = logits.contiguous(), targets.contiguous()
        losses, log_totals = torch.empty(2, len(logits), dtype=torch.float32)
        given = (logits, targets, losses, log_totals)
        call(load_loop(), typed("forward", logits.dtype), given, logits.shape, [smoothing])
        ctx.given, ctx.smoothing = (logits, targets, log_totals), smoothing
        return losses.sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Returns the gradient, in the place of the logits."""
        given, ctx.given = ctx.given, None
        logits = given[0]
        call(load_loop(), typed("backward", logits.dtype), given, logits.shape, [ctx.smoothing, float(grad)])
        return logits, None, None


@cache
def load_loop() -> ctypes.CDLL | None:
    """Returns the compiled loops; None, with a warning, where they cannot be compiled."""
    return load_library(SOURCE, {}, "The loop of cross entropy is not compiled")
