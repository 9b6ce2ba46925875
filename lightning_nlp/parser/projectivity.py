"""Which arcs of a tree cross others, and two ways to a tree without such: other heads, or another order of words."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def below(
    heads: Int[Tensor, "batch length"], is_word: Bool[Tensor, "batch length"]
) -> Float[Tensor, "batch words words"]:
    """Returns 1 where the second word is the first or a descendant of it; the root is word 0.

    Args:
        heads: of each word, 0 for the root.
        is_word: what of `heads` is not padding; padding is below itself alone.
    """
    batch, length = heads.shape
    # Counts are exact in float32, whatever the type of training.
    reach = torch.eye(length + 1, dtype=torch.float32, device=heads.device).repeat(batch, 1, 1)
    reach[:, :, 1:].scatter_add_(1, heads[:, None], is_word[:, None].float())
    for _ in range(length.bit_length()):  # paths of twice the length each time
        reach = (reach @ reach > 0).float()
    return reach


def crossed(heads: Int[Tensor, "batch length"], is_word: Bool[Tensor, "batch length"]) -> Bool[Tensor, "batch length"]:
    """Tells of the arc to each word whether some word between is no descendant of the head (not projective)."""
    inside = below(heads, is_word).cumsum(2)  # descendants of each word up to each place
    place = torch.arange(1, heads.shape[1] + 1, device=heads.device).expand_as(heads)
    first, last = torch.minimum(heads, place), torch.maximum(heads, place)
    of_head = inside.gather(1, heads[:, :, None].expand(-1, -1, inside.shape[2]))
    between = of_head.gather(2, last[:, :, None] - 1) - of_head.gather(2, first[:, :, None])
    return is_word & (between[:, :, 0] < last - first - 1)


def is_projective(heads: Int[Tensor, "batch length"], is_word: Bool[Tensor, "batch length"]) -> Bool[Tensor, "batch"]:
    """Tells which trees have no crossing arcs, those of the root included."""
    return ~crossed(heads, is_word).any(1)


def projective(
    heads: Int[Tensor, "batch length"], is_word: Bool[Tensor, "batch length"]
) -> Int[Tensor, "batch length"]:
    """Lifts arcs, the shortest first, to the head of their head until the tree is projective.

    Nivre & Nilsson 2005, "Pseudo-Projective Dependency Parsing", section 2, without the marks that would undo it.
    """
    place = torch.arange(1, heads.shape[1] + 1, device=heads.device)
    rest = heads.new_zeros(len(heads), 1)
    while (bad := crossed(heads, is_word)).any():
        length = torch.where(bad, (heads - place).abs(), heads.shape[1] + 1)
        shortest = torch.nn.functional.one_hot(length.argmin(1), heads.shape[1]).bool() & bad
        heads = torch.where(shortest, torch.cat([rest, heads], dim=1).gather(1, heads), heads)
    return heads


def projective_order(
    heads: Int[Tensor, "batch length"], is_word: Bool[Tensor, "batch length"]
) -> Int[Tensor, "batch words"]:
    """Returns the place of each word, the root first, when each subtree is written as one piece around its head.

    The words of a subtree stand together, dependents in their order on the side of their head where they were: the
    inorder traversal of Nivre 2009, section 3.
    """
    reach = below(heads, is_word)
    size = reach.sum(2)
    word = torch.arange(heads.shape[1] + 1, device=heads.device)
    head = torch.cat([torch.full_like(heads[:, :1], -1), torch.where(is_word, heads, -1)], dim=1)
    sibling_before = (head[:, :, None] == head[:, None, :]) & (word < word[:, None])  # [word, its sibling]
    start = (sibling_before * size[:, None]).sum(2) + (word > head)  # within the head's piece
    child_before = (head[:, None, :] == word[:, None]) & (word < word[:, None])  # [word, its child]
    own = (child_before * size[:, None]).sum(2)
    start = torch.where(head >= 0, start, 0.0)
    return ((reach * start[:, :, None]).sum(1) + own).long()
