"""What attention, softmax and cross entropy are, as laws that run (Stanford CS224N, assignments 2, 3 and 5)."""

from math import exp, log

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lightning_nlp.transformer.attention import attend
from lightning_nlp.transformer.metrics import text_scores

DIM, KEYS = 16, 6


def look(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """One head, one query; the usual scale is taken out, for the laws are about plain products."""
    allowed = torch.ones(1, 1, 1, len(keys), dtype=torch.bool)
    found, _ = attend(query[None, None, None] * len(query) ** 0.5, keys[None, None], values[None, None], allowed)
    return found[0, 0, 0]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def orthonormal(count: int) -> Tensor:
    return torch.linalg.qr(torch.randn(DIM, DIM))[0][:count]


def test_a_large_query_copies_the_value_of_its_key():
    keys, values = orthonormal(KEYS), torch.randn(KEYS, DIM)
    torch.testing.assert_close(look(100 * keys[2], keys, values), values[2])


def test_one_head_averages_two_values_when_keys_are_orthonormal():
    keys, values = orthonormal(KEYS), torch.randn(KEYS, DIM)
    torch.testing.assert_close(
        look(100 * (keys[1] + keys[4]), keys, values), (values[1] + values[4]) / 2, atol=1e-4, rtol=1e-3
    )


def test_one_head_fails_when_a_norm_varies_and_two_do_not():
    """With a key of random length one head takes now the one value, now the other; two heads take one each."""
    means, values = orthonormal(2), torch.randn(2, DIM)
    wanted = values.mean(0)
    one, two = [], []
    for _ in range(200):
        keys = torch.stack((means[0] * (1 + 0.5 * torch.randn(()).clamp(-1.5, 1.5)), means[1]))
        one.append(look(100 * (means[0] + means[1]), keys, values))
        two.append((look(100 * means[0], keys, values) + look(100 * means[1], keys, values)) / 2)
    far = (values[0] - values[1]).norm() / 2
    assert (torch.stack(one) - wanted).norm(dim=1).mean() > 0.8 * far
    assert (torch.stack(two) - wanted).norm(dim=1).mean() < 0.1 * far


def test_projections_copy_a_component_where_plain_attention_cannot():
    """x1 = d + b, x2 = a, x3 = c + b: the second token shall find b, the first one b - c."""
    size = 10.0
    a, b, c, d = size * orthonormal(4)
    tokens = torch.stack((d + b, a, c + b))
    plain = look(tokens[1], tokens, tokens)
    torch.testing.assert_close(plain, a)  # it finds itself
    for scale in (0.01, 0.1, 1.0):  # and however large its query is, b comes with as much of the others
        found = look(scale * tokens[1], tokens, tokens)
        parts = torch.stack([found @ part for part in (a, c, d)]) / size**2
        assert parts.sum() >= found @ b / size**2 - 1e-5
    project_value = (torch.outer(b, b) - torch.outer(c, c)) / size**2
    project_query = (torch.outer(d, a) + torch.outer(c, d)) / size**2
    values, queries = tokens @ project_value.T, tokens @ project_query.T
    torch.testing.assert_close(look(queries[1], tokens, values), b, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(look(queries[0], tokens, values), b - c, atol=1e-4, rtol=1e-4)


def test_softmax_ignores_shifts():
    scores = torch.randn(7)
    torch.testing.assert_close((scores + 123).softmax(0), scores.softmax(0))


def test_softmax_of_two_is_the_logistic_function():
    scores = torch.randn(50, 2)
    torch.testing.assert_close(scores.softmax(1)[:, 0], torch.sigmoid(scores[:, 0] - scores[:, 1]))


def test_the_gradient_of_cross_entropy_is_found_minus_true():
    logits = torch.randn(9, requires_grad=True)
    cross_entropy(logits, torch.tensor(4)).backward()
    true = torch.eye(9)[4]
    torch.testing.assert_close(logits.grad, logits.detach().softmax(0) - true)


def test_perplexity_is_the_number_of_equal_choices():
    """Of eight equal choices: three bits, 2.08 nats, a perplexity of eight."""
    choices, tokens = 8, 1000
    loss = float(cross_entropy(torch.zeros(tokens, choices), torch.zeros(tokens, dtype=torch.long), reduction="sum"))
    scores = text_scores(loss, float(tokens), characters=float(tokens))
    assert scores["perplexity"] == pytest.approx(choices, rel=1e-4)
    assert scores["bits_per_character"] == pytest.approx(3.0, rel=1e-4)
    assert scores["loss"] == pytest.approx(3 * log(2), rel=1e-4)
    assert exp(scores["loss"]) == pytest.approx(scores["perplexity"])


def test_xavier_keeps_the_variance():
    """Var(W) = 2 / (in + out) (Glorot & Bengio 2010, eq. 12): of square maps the variance of states stays."""
    weight = torch.nn.init.xavier_normal_(torch.empty(600, 400))
    assert float(weight.var()) == pytest.approx(2 / 1000, rel=0.05)
    square = torch.nn.init.xavier_normal_(torch.empty(500, 500))
    states = torch.randn(200, 500)
    assert float((states @ square.T).var() / states.var()) == pytest.approx(1.0, rel=0.05)
