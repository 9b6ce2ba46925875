"""What a parser decided, whichever way it went."""

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor


class Decisions(NamedTuple):
    """Trees of a batch.

    Attributes:
        heads: of each word, 0 for the root.
        labels: of the arcs; -1 from a parser that has none.
        scores: logarithm of the probability that the arc had when it was chosen.
    """

    heads: Int[Tensor, "batch length"]
    labels: Int[Tensor, "batch length"]
    scores: Float[Tensor, "batch length"]
