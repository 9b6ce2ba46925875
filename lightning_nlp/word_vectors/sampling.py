"""What skip-gram draws at random: kept words, windows and noise (Mikolov et al. 2013, sections 2.2 and 2.3)."""

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor


def keep_probability(counts: Int[Tensor, "vocab"], threshold: float) -> Float[Tensor, "vocab"]:
    """Returns the chance of each word to stay in the text, by the formula of the C implementation.

    With z the word's share of the text and t the threshold it is (sqrt(z/t) + 1) · t/z, at most 1. (The paper's
    equation 5, 1 - sqrt(t/z) for leaving out, is not what its program does.)

    Args:
        counts: occurrences of each word.
        threshold: share above which words are thinned out; 0 keeps every word.
    """
    if threshold == 0:
        return torch.ones(counts.shape)
    share = counts.double() / counts.sum()
    return ((share / threshold).sqrt().add(1) * threshold / share).clamp(max=1).float()


def subsample(keep: Float[Tensor, "tokens"]) -> Bool[Tensor, "tokens"]:
    """Draws which tokens stay, each by its own chance."""
    return torch.rand(keep.shape, device=keep.device) < keep


def thinned(
    tokens: Int[Tensor, "tokens"], sentence: Int[Tensor, "tokens"], keep: Float[Tensor, "tokens"]
) -> tuple[Int[Tensor, "kept"], Int[Tensor, "kept"]]:
    """Draws which tokens of a text stay, and returns those with the numbers of their sentences."""
    stays = subsample(keep).nonzero().flatten()
    return tokens.index_select(0, stays), sentence.index_select(0, stays)


def draw_reach(tokens: int, window: int, device: torch.device | None = None) -> UInt8[Tensor, "tokens"]:
    """Draws the reduced window of each token, from 1 to `window`, so that near words count more.

    Raises:
        ValueError: a window beyond 255.
    """
    if window > 255:
        raise ValueError(f"config.window is {window}, expected at most 255.")
    return torch.randint(1, window + 1, (tokens,), dtype=torch.uint8, device=device)


def window_pairs(
    sentence: Int[Tensor, "tokens"], reach: UInt8[Tensor, "tokens"]
) -> tuple[Int[Tensor, "pairs"], Int[Tensor, "pairs"]]:
    """Returns the places of all centres and their contexts; no pair crosses a sentence.

    Args:
        sentence: number of the sentence that each token belongs to, in order.
        reach: largest distance of a context from each token.
    """
    place = torch.arange(len(sentence), device=sentence.device)
    centres, contexts = [place[:0]], [place[:0]]
    farthest = int(reach.max()) if len(reach) else 0
    for distance in range(1, min(farthest, len(sentence) - 1) + 1):
        left, right = place[:-distance], place[distance:]
        same = sentence[left] == sentence[right]
        for centre, context in ((left, right), (right, left)):
            inside = same & (reach[centre] >= distance)
            centres.append(centre[inside])
            contexts.append(context[inside])
    return torch.cat(centres), torch.cat(contexts)


def noise_distribution(counts: Int[Tensor, "vocab"], exponent: float) -> Float[Tensor, "vocab"]:
    """Returns the cumulative chances of words to be drawn as noise: counts to a power, 3/4 in the paper."""
    cumulative = counts.double().pow(exponent).cumsum(0)
    return cumulative / cumulative[-1]


def draw_noise(cumulative: Float[Tensor, "vocab"], pairs: int, negatives: int) -> Int[Tensor, "pairs negatives"]:
    """Draws noise words for each pair by inverting the cumulative distribution, whose last entry is exactly 1."""
    draws = torch.rand(pairs, negatives, device=cumulative.device, dtype=cumulative.dtype)
    return torch.searchsorted(cumulative, draws)


def search_guide(cumulative: Float[Tensor, "vocab"]) -> Int[Tensor, "cells"]:
    """Returns where a search begins: the first word whose cumulative chance reaches the beginning of each cell.

    There is about one of equal cells of [0, 1) for each word (Chen & Asau 1974, "On Generating Random Variates from an
    Empirical Distribution"), a power of two, so that a draw finds its cell without rounding.
    """
    cells = 1 << (len(cumulative) - 1).bit_length()
    begins = torch.arange(cells, device=cumulative.device, dtype=cumulative.dtype) / cells
    return torch.searchsorted(cumulative, begins, out_int32=True)


def draw_shared_noise(
    cumulative: Float[Tensor, "vocab"], guide: Int[Tensor, "cells"], blocks: int, count: int
) -> Int[Tensor, "blocks noise"]:
    """Draws noise words for blocks of text, one from each of `count` equal parts of the distribution.

    Each draw follows the distribution as `draw_noise` does, but the words of a block are spread over frequent and rare
    ones in its very proportions (stratified sampling), so that fewer of them do.

    Args:
        cumulative: as from `noise_distribution`.
        guide: as from `search_guide`.
        blocks: number of blocks.
        count: noise words of a block.
    """
    # All blocks' draws from one part before those from the next: their search stays among the same words.
    draws = torch.rand(count, blocks, device=cumulative.device, dtype=cumulative.dtype)
    draws = draws.add_(torch.arange(count, device=draws.device)[:, None]).div_(count).clamp_(max=1 - 2**-53)
    words = guide.index_select(0, (draws * len(guide)).flatten().int()).view(count, blocks)
    while (short := cumulative.index_select(0, words.flatten()).view_as(draws) < draws).any():
        words += short
    return words.T.contiguous()
