"""What needs no parser: every word hangs on its neighbour, by the commonest relation. Scores mean little below these.

heads = previous_word_heads(mask)
scores.update(heads, plain_relations(heads, root, common), gold_heads, gold_relations, mask, punctuation)
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def previous_word_heads(mask: Bool[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
    """Hangs every word on the word before, and the first on the root.

    Args:
        mask: true on the words of each sentence, which come first.

    Returns:
        The number of the head, from 1; 0 for the root, and for padding.
    """
    return torch.arange(mask.shape[-1], device=mask.device) * mask


def next_word_heads(mask: Bool[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
    """Hangs every word on the word after, and the last on the root.

    Args:
        mask: true on the words of each sentence, which come first.

    Returns:
        The number of the head, from 1; 0 for the root, and for padding.
    """
    after = torch.arange(mask.shape[-1], device=mask.device) + 2
    return after * (mask & (after <= mask.sum(-1, keepdim=True)))


def plain_relations(heads: Int[Tensor, "batch length"], root: int, common: int) -> Int[Tensor, "batch length"]:
    """Gives every word the common relation, and those that hang on the root the relation of the root.

    Args:
        heads: number of the head of each word, 0 for the root.
        root: id of the relation `root`.
        common: id of the relation of all other words.
    """
    return torch.where(heads == 0, root, common)
