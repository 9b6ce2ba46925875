"""Dropout (Srivastava et al. 2014); on the CPU a random number decides on four units, which torch's takes four for."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor


def dropout(values: Tensor, share: float, training: bool) -> Tensor:
    """Leaves out a share of units in training, and makes the others larger instead, as `torch.nn.functional.dropout`.

    Args:
        values: of any shape.
        share: chance of each to become 0, in [0, 1), on the CPU as a whole number of 65,536ths.
        training: whether to; else they stay as they are.
    """
    if not training or not share:
        return values
    if not values.is_cpu:
        return torch.nn.functional.dropout(values, share)
    return values * dropout_factors(values.shape, share, values.dtype)


def dropout_factors(shape: Sequence[int], share: float, number_type: torch.dtype) -> Tensor:
    """Returns what dropout on the CPU multiplies by, 0 or 1 / (1 - share)."""
    count = prod(shape)
    numbers = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)  # all 64 bits
    numbers = numbers.view(torch.int16)[:count].view(shape)
    return (numbers >= round(share * 2**16) - 2**15).to(number_type).mul_(1 / (1 - share))
