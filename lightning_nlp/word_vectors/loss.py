"""The objective of skip-gram with negative sampling (Mikolov et al. 2013, equation 4)."""

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import logsigmoid


def negative_sampling_loss(
    centre: Float[Tensor, "pairs dim"],
    context: Float[Tensor, "pairs dim"],
    noise: Float[Tensor, "pairs negatives dim"],
    is_context: Bool[Tensor, "pairs negatives"],
) -> Float[Tensor, "pairs"]:
    """Returns -log s(u·v) - sum of log s(-n·v) for each pair, s the logistic function.

    Args:
        centre: vectors v of the centre words.
        context: vectors u of the words seen near them.
        noise: vectors n of words drawn at random.
        is_context: noise that happens to be the context itself; it counts nothing, as in the C implementation.
    """
    positive = logsigmoid((centre * context).sum(-1))
    negative = logsigmoid(-(noise * centre[:, None]).sum(-1))
    return -positive - negative.masked_fill(is_context, 0.0).sum(-1)


class NegativeSamplingLoss(nn.Module):
    """The same as a module, so that it can be compiled in place."""

    def forward(
        self,
        centre: Float[Tensor, "pairs dim"],
        context: Float[Tensor, "pairs dim"],
        noise: Float[Tensor, "pairs negatives dim"],
        is_context: Bool[Tensor, "pairs negatives"],
    ) -> Float[Tensor, "pairs"]:
        """Calls `negative_sampling_loss`."""
        return negative_sampling_loss(centre, context, noise, is_context)
