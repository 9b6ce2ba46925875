"""The numbers of a skip-gram model."""

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
