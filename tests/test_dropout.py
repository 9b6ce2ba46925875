import pytest
import torch

from lightning_nlp.dropout import dropout


@pytest.mark.parametrize("share", [0.1, 0.33, 0.5, 0.9])
@pytest.mark.parametrize("number_type", [torch.float32, torch.bfloat16])
def test_units_are_left_out_as_often_as_said_and_the_others_made_larger(share, number_type):
    torch.manual_seed(0)
    values = torch.ones(1001, 997, dtype=number_type)
    found = dropout(values, share, training=True)
    assert found.dtype == number_type
    assert found.unique().tolist() == torch.tensor([0, 1 / (1 - share)], dtype=number_type).tolist()
    deviation = (share * (1 - share)) ** 0.5
    assert abs((found == 0).double().mean() - share) < 4 * deviation / 1000
    # Four units come of one number: no unit tells of its neighbours, in its row or in the next.
    left_out = (found == 0).double() - share
    for one, other in (
        (left_out[:, 1:], left_out[:, :-1]),
        (left_out[:, 3:], left_out[:, :-3]),
        left_out.split(500)[:2],
    ):
        assert abs((one * other).mean()) < 4 * deviation**2 / 700


def test_gradients_pass_where_values_do():
    values = torch.randn(7, 5, requires_grad=True)
    found = dropout(values, 0.4, training=True)
    found.sum().backward()
    assert values.grad.allclose((found != 0) / 0.6)


def test_nothing_is_left_out_without_training_and_seeds_repeat():
    values = torch.randn(3, 5)
    assert dropout(values, 0.5, training=False) is values
    assert dropout(values, 0.0, training=True) is values
    assert dropout(values[:0], 0.5, training=True).shape == (0, 5)
    torch.manual_seed(1)
    first = dropout(values, 0.5, training=True)
    torch.manual_seed(1)
    assert dropout(values, 0.5, training=True).equal(first)
