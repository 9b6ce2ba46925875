"""The numbers of a skip-gram model, and of co-occurrence counts."""

from collections.abc import Sequence
from typing import Any, Literal

from transformers import PreTrainedConfig


class SkipGramConfig(PreTrainedConfig):
    """Skip-gram with negative sampling (Mikolov et al. 2013, "Distributed Representations…", sections 2.2 and 2.3).

    Args:
        vocab_size: number of words; null takes it from the data.
        dim: numbers in a word vector.
        window: largest distance of a context word; each centre draws its own from 1 to this.
        negatives: noise words drawn for each pair of centre and context.
        noise_exponent: power of the word counts that noise words are drawn by.
        loss: negative_sampling, or softmax over the whole vocabulary: the naive objective, for small ones.
        sparse: gradients of the rows in a batch alone; for SGD, Adagrad and SparseAdam. BlockSGD needs no gradients.
    """

    model_type = "lightning-nlp-skip-gram"

    vocab_size: int | None = None
    dim: int = 100
    window: int = 5
    negatives: int = 5
    noise_exponent: float = 0.75
    loss: Literal["negative_sampling", "softmax"] = "negative_sampling"
    sparse: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        """Refuses numbers that no model can have."""
        super().__post_init__(**kwargs)
        at_least_one(self, "dim", "window", "negatives")
        one_of(self, "loss", ("negative_sampling", "softmax"))


class CooccurrenceConfig(PreTrainedConfig):
    """Co-occurrence counts, reweighted and factorised (Levy, Goldberg & Dagan 2015).

    Args:
        vocab_size: number of words; null takes it from the data.
        dim: numbers in a word vector.
        window: largest distance of a context word.
        weighting: what a context counts by its distance d: flat 1, linear (window - d + 1) / window as skip-gram's
            reduced windows in the mean, harmonic 1 / d.
        transform: what the counts become before they are factorised: counts as they are, log of 1 + count, or ppmi,
            the positive pointwise mutual information.
        smoothing: power of the context counts in ppmi, section 3.2; 1 is the plain one (docs/ablations.md).
        shift: ppmi less the logarithm of this, section 3.1: what negative samples are to skip-gram.
        eigenvalue_weight: power of the singular values in the vectors, section 3.3.
    """

    model_type = "lightning-nlp-cooccurrence"

    vocab_size: int | None = None
    dim: int = 100
    window: int = 5
    weighting: Literal["flat", "linear", "harmonic"] = "linear"
    transform: Literal["counts", "log", "ppmi"] = "ppmi"
    smoothing: float = 1.0
    shift: float = 1.0
    eigenvalue_weight: float = 0.5

    def __post_init__(self, **kwargs: Any) -> None:
        """Refuses numbers that no model can have."""
        super().__post_init__(**kwargs)
        at_least_one(self, "dim", "window", "shift")
        one_of(self, "weighting", ("flat", "linear", "harmonic"))
        one_of(self, "transform", ("counts", "log", "ppmi"))


def at_least_one(config: PreTrainedConfig, *names: str) -> None:
    """Raises a `ValueError` for a number below 1."""
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"config.{name} is {getattr(config, name)}, expected at least 1.")


def one_of(config: PreTrainedConfig, name: str, known: Sequence[str]) -> None:
    """Raises a `ValueError` for a word that is not known; transformers does not check them."""
    if getattr(config, name) not in known:
        raise ValueError(f"config.{name} is {getattr(config, name)!r}, expected one of {', '.join(known)}.")
