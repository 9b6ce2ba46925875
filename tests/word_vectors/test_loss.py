"""The objective: against torch's own cross entropy and finite differences."""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from lightning_nlp.word_vectors.loss import negative_sampling_loss, softmax_loss


def vectors(pairs: int = 7, negatives: int = 4, dim: int = 3, scale: float = 1.0) -> list[torch.Tensor]:
    """Centres, contexts, noise in double precision, and a mask of half of the noise."""
    torch.manual_seed(0)
    shapes = [(pairs, dim), (pairs, dim), (pairs, negatives, dim)]
    tables = [scale * torch.randn(*shape, dtype=torch.double) for shape in shapes]
    return [*tables, torch.rand(pairs, negatives) < 0.5]


def test_it_is_cross_entropy_of_true_against_noise():
    centre, context, noise, is_context = vectors()
    for pair, loss in enumerate(negative_sampling_loss(centre, context, noise, is_context)):
        counted = noise[pair][~is_context[pair]]
        logits = torch.stack([vector @ centre[pair] for vector in (context[pair], *counted)])
        truth = torch.tensor([1.0] + [0.0] * len(counted), dtype=torch.double)
        torch.testing.assert_close(loss, binary_cross_entropy_with_logits(logits, truth, reduction="sum"))


def test_noise_that_is_the_context_counts_nothing():
    """Neither its value nor its gradient; the rest of the noise counts."""
    centre, context, noise, is_context = vectors()
    noise.requires_grad_()
    negative_sampling_loss(centre, context, noise, is_context).sum().backward()
    assert noise.grad is not None
    assert (noise.grad[is_context] == 0).all()
    assert (noise.grad[~is_context] != 0).all()
    other = torch.where(is_context[..., None], noise + 100, noise)
    torch.testing.assert_close(
        negative_sampling_loss(centre, context, other, is_context),
        negative_sampling_loss(centre, context, noise, is_context),
    )


def test_extreme_scores_stay_finite():
    *tables, is_context = vectors(scale=1e4)
    centre, context, noise = tables = [table.float().requires_grad_() for table in tables]
    losses = negative_sampling_loss(centre, context, noise, is_context)
    losses.sum().backward()
    assert losses.max() > 1e7
    assert losses.isfinite().all()
    assert all(table.grad is not None and table.grad.isfinite().all() for table in tables)


def test_gradient_is_that_of_finite_differences():
    *tables, is_context = vectors(pairs=3, negatives=2)
    inputs = [table.requires_grad_() for table in tables]
    assert torch.autograd.gradcheck(lambda v, u, n: negative_sampling_loss(v, u, n, is_context), inputs)


def test_no_pairs_have_no_loss():
    centre, context, noise, is_context = vectors(pairs=0)
    losses = negative_sampling_loss(centre, context, noise, is_context)
    assert losses.shape == (0,)
    assert losses.sum() == 0


def test_a_weight_is_that_of_the_noise_alone():
    centre, context, noise, is_context = vectors()
    positive = negative_sampling_loss(centre, context, noise, torch.ones_like(is_context))
    whole = negative_sampling_loss(centre, context, noise, is_context)
    weighted = negative_sampling_loss(centre, context, noise, is_context, weight=0.25)
    torch.testing.assert_close(weighted, positive + 0.25 * (whole - positive))


def test_softmax_is_its_definition():
    """-log of the context's share of exp(u·v), over all words."""
    torch.manual_seed(0)
    centre, table = torch.randn(6, 3, dtype=torch.double), torch.randn(11, 3, dtype=torch.double)
    context = torch.tensor([0, 10, 3, 3, 7, 1], dtype=torch.int32)
    for pair, loss in enumerate(softmax_loss(centre, context, table)):
        powers = [torch.exp(row @ centre[pair]) for row in table]
        torch.testing.assert_close(loss, -torch.log(powers[int(context[pair])] / sum(powers)))


def test_softmax_gradient_is_prediction_less_truth():
    """The course's own formula: in the centre's vector it is the table's rows by y_hat - y."""
    torch.manual_seed(0)
    centre, table = torch.randn(1, 3, dtype=torch.double, requires_grad=True), torch.randn(5, 3, dtype=torch.double)
    softmax_loss(centre, torch.tensor([2]), table).sum().backward()
    predicted = torch.softmax(centre.detach() @ table.T, -1)
    truth = torch.eye(5, dtype=torch.double)[2]
    torch.testing.assert_close(centre.grad, (predicted - truth) @ table)
