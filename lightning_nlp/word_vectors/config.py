"""The numbers of a skip-gram model."""

from typing import Any

from transformers import PreTrainedConfig


class SkipGramConfig(PreTrainedConfig):
    """Skip-gram with negative sampling (Mikolov et al. 2013, "Distributed Representations…", sections 2.2 and 2.3).

    Args:
        vocab_size: number of words; null takes it from the data.
        dim: numbers in a word vector.
        window: largest distance of a context word; each centre draws its own from 1 to this.
        negatives: noise words drawn for each pair of centre and context.
        noise_exponent: power of the word counts that noise words are drawn by.
        sparse: gradients of the rows in a batch alone; for SGD, Adagrad and SparseAdam.
    """

    model_type = "lightning-nlp-skip-gram"

    vocab_size: int | None = None
    dim: int = 100
    window: int = 5
    negatives: int = 5
    noise_exponent: float = 0.75
    sparse: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        """Refuses numbers that no model can have."""
        super().__post_init__(**kwargs)
        for name in ("dim", "window", "negatives"):
            if getattr(self, name) < 1:
                raise ValueError(f"config.{name} is {getattr(self, name)}, expected at least 1.")
