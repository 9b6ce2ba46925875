"""What skip-gram draws at random: kept words, windows and noise (Mikolov et al. 2013, sections 2.2 and 2.3)."""

import torch
from jaxtyping import Bool, Float, Int
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


def window_pairs(sentence: Int[Tensor, "tokens"], window: int) -> tuple[Int[Tensor, "pairs"], Int[Tensor, "pairs"]]:
    """Returns the places of all centres and their contexts within reduced windows.

    Each place draws its own window from 1 to `window`, so that near words count more; no pair crosses a sentence.

    Args:
        sentence: number of the sentence that each token belongs to, in order.
        window: largest distance.
    """
    reach = torch.randint(1, window + 1, sentence.shape, device=sentence.device)
    place = torch.arange(len(sentence), device=sentence.device)
    centres, contexts = [], []
    for distance in range(1, min(window, len(sentence) - 1) + 1):
        left, right = place[:-distance], place[distance:]
        same = sentence[left] == sentence[right]
        for centre, context in ((left, right), (right, left)):
            inside = same & (reach[centre] >= distance)
            centres.append(centre[inside])
            contexts.append(context[inside])
    return torch.cat([place[:0], *centres]), torch.cat([place[:0], *contexts])


def noise_distribution(counts: Int[Tensor, "vocab"], exponent: float) -> Float[Tensor, "vocab"]:
    """Returns the cumulative chances of words to be drawn as noise: counts to a power, 3/4 in the paper."""
    cumulative = counts.double().pow(exponent).cumsum(0)
    return cumulative / cumulative[-1]


def draw_noise(cumulative: Float[Tensor, "vocab"], pairs: int, negatives: int) -> Int[Tensor, "pairs negatives"]:
    """Draws noise words for each pair by inverting the cumulative distribution, whose last entry is exactly 1."""
    draws = torch.rand(pairs, negatives, device=cumulative.device, dtype=cumulative.dtype)
    return torch.searchsorted(cumulative, draws)
