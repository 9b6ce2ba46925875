"""Skip-gram over blocks of running text that share their noise words, as an update of the tables in place.

Consecutive centres look at almost the same contexts, so a block of them is a few small matrix products; and its centres
may share noise words (Ji et al. 2016, "Parallelizing Word2Vec in Shared and Distributed Memory", section III).
`kernel.cpp` does the same as `block_update` here, several times faster.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import softplus

TOKENS = 36  # centres of a block; shorter blocks spend more on their edges, longer ones share noise words too widely


class Blocks(NamedTuple):
    """Running text after subsampling, whose block b is the tokens from `TOKENS` · b on.

    Attributes:
        tokens: word ids.
        sentence: number of the sentence that each token belongs to, in order.
        reach: reduced window of each token as centre.
        noise: word ids that the centres of each block share.
    """

    tokens: Int[Tensor, "tokens"]
    sentence: Int[Tensor, "tokens"]
    reach: UInt8[Tensor, "tokens"]
    noise: Int[Tensor, "blocks noise"]


def blocks_of(tokens: int) -> int:
    """Returns the number of blocks of so many tokens."""
    return -(-tokens // TOKENS)


@torch.no_grad()
def block_update(
    centre: Float[Tensor, "vocab dim"],
    context: Float[Tensor, "vocab dim"],
    text: Blocks,
    window: int,
    negatives: int,
    rate: float,
) -> tuple[float, int]:
    """Goes over the text once, block by block, and moves the rows of each against the gradient of its summed loss.

    Args:
        centre: vectors as centres, changed in place.
        context: vectors as contexts, likewise.
        text: the text.
        window: largest reach.
        negatives: noise words that count for each pair; each of the block's weighs negatives / their number.
        rate: the learning rate.

    Returns:
        Sum of the losses of all pairs, each before its step, and the number of pairs.
    """
    loss, pairs = (centre.new_zeros((), dtype=torch.double) for _ in range(2))
    weight = negatives / text.noise.shape[1]
    for block, noise in enumerate(text.noise):
        here = slice(block * TOKENS, (block + 1) * TOKENS)
        around = slice(max(0, here.start - window), here.stop + window)
        own, near = text.tokens[here], text.tokens[around]
        v, u, n = centre[own], context[near], context[noise]
        is_pair = pair_mask(text, here, around)
        # A noise word counts once for each pair of the centre, but not where it is the context itself.
        times = is_pair.sum(1, keepdim=True) - is_pair @ (near[:, None] == noise).float()
        pair, fake = v @ u.T, v @ n.T
        loss += (is_pair * softplus(-pair)).sum() + weight * (times * softplus(fake)).sum()
        pairs += is_pair.sum()
        pair = rate * is_pair * torch.sigmoid(-pair)
        fake = -rate * weight * times * torch.sigmoid(fake)
        centre.index_add_(0, own, pair @ u + fake @ n)
        context.index_add_(0, near, pair.T @ v)
        context.index_add_(0, noise, fake.T @ v)
    return float(loss), int(pairs)


def pair_mask(text: Blocks, here: slice, around: slice) -> Float[Tensor, "centres contexts"]:
    """Returns 1 where a place of `around` is a context of a place of `here`, else 0."""
    centre, context = (
        torch.arange(*part.indices(len(text.tokens)), device=text.tokens.device) for part in (here, around)
    )
    distance = (centre[:, None] - context).abs()
    same = text.sentence[here, None] == text.sentence[around]
    return ((distance > 0) & (distance <= text.reach[here, None]) & same).float()
