"""Cross entropy of many classes; on the CPU its gradient is compiled, `cross_entropy.cpp`, and made on the way.

torch goes over the logits a dozen times: to float32 and back, log-softmax and its gradient, the mean of smoothing.
With some thousand classes that takes as long as the product that made them. The compiled loop visits each row once
and leaves the gradient where the logits were, so nothing of their size is kept beside them.
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
NAME = "cross_entropy"


def summed_cross_entropy(
    logits: Float[Tensor, "tokens classes"], targets: Int[Tensor, "tokens"], smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Returns the sum of cross entropies, as torch's with `reduction="sum"`.

    Args:
        logits: scores of the classes; with gradients they must not be used again, as they are overwritten.
        targets: the right class of each.
        smoothing: share of the probability that is spread over all classes (Szegedy et al. 2016, section 7).

    Raises:
        IndexError: a target is no class.
    """
    library = load_loop() if logits.device.type == "cpu" and logits.numel() else None
    if library is None or not hasattr(library, typed(NAME, logits.dtype)):
        return torch.nn.functional.cross_entropy(logits.float(), targets, label_smoothing=smoothing, reduction="sum")
    least, most = (int(end) for end in targets.aminmax())
    if least < 0 or most >= logits.shape[1]:
        raise IndexError(f"targets are {least} to {most}, expected classes 0 to {logits.shape[1] - 1}.")
    return SummedCrossEntropy.apply(logits, targets, smoothing)


class SummedCrossEntropy(torch.autograd.Function):
    """The compiled loop."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """Returns the sum; leaves the gradient in the logits, where one is wanted."""
        wanted = bool(ctx.needs_input_grad[0])
        logits = logits.contiguous()
        losses = torch.empty(len(logits), dtype=torch.float32)
        given = (logits, targets.contiguous(), losses)
        call(load_loop(), typed(NAME, logits.dtype), given, (*logits.shape, int(wanted)), [smoothing])
        ctx.gradient = logits if wanted else None
        return losses.sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Returns the gradient that forward has left."""
        gradient, ctx.gradient = ctx.gradient, None
        return gradient.mul_(grad) if grad != 1 else gradient, None, None


@cache
def load_loop() -> ctypes.CDLL | None:
    """Returns the compiled loop; None, with a warning, where it cannot be compiled."""
    return load_library(SOURCE, {}, "The loop of cross entropy is not compiled")
