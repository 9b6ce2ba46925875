"""The objectives of skip-gram: negative sampling, and the full softmax that it stands for."""

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, logsigmoid


def negative_sampling_loss(
    centre: Float[Tensor, "pairs dim"],
    context: Float[Tensor, "pairs dim"],
    noise: Float[Tensor, "pairs negatives dim"],
    is_context: Bool[Tensor, "pairs negatives"],
    weight: float = 1.0,
) -> Float[Tensor, "pairs"]:
    """Returns -log s(u·v) - sum of log s(-n·v) for each pair, s the logistic function (Mikolov et al. 2013, eq. 4).

    Args:
        centre: vectors v of the centre words.
        context: vectors u of the words seen near them.
        noise: vectors n of words drawn at random.
        is_context: noise that happens to be the context itself; it counts nothing, as in the C implementation.
        weight: what a noise word counts, where more or fewer are drawn than the objective has.
    """
    positive = logsigmoid((centre * context).sum(-1))
    negative = logsigmoid(-(noise * centre[:, None]).sum(-1))
    return -positive - weight * negative.masked_fill(is_context, 0.0).sum(-1)


def softmax_loss(
    centre: Float[Tensor, "pairs dim"], context: Int[Tensor, "pairs"], table: Float[Tensor, "vocab dim"]
) -> Float[Tensor, "pairs"]:
    """Returns -log p(context | centre), p the softmax over all words (Mikolov et al. 2013, eq. 2).

    The naive objective: a pair costs as much as the vocabulary is large.

    Args:
        centre: vectors of the centre words.
        context: ids of the words seen near them.
        table: vectors of all words as contexts.
    """
    return cross_entropy(centre @ table.T, context.long(), reduction="none")


class NegativeSamplingLoss(nn.Module):
    """`negative_sampling_loss` as a module, so that it can be compiled in place."""

    def forward(
        self,
        centre: Float[Tensor, "pairs dim"],
        context: Float[Tensor, "pairs dim"],
        noise: Float[Tensor, "pairs negatives dim"],
        is_context: Bool[Tensor, "pairs negatives"],
    ) -> Float[Tensor, "pairs"]:
        """Calls `negative_sampling_loss`."""
        return negative_sampling_loss(centre, context, noise, is_context)
