"""The compiled loop is torch's cross entropy, and its gradient."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from lightning_nlp import cross_entropy as own


def both(classes, smoothing, number_type=torch.float32):
    torch.manual_seed(0)
    features, targets = torch.randn(37, 8) * 2, torch.randint(0, classes, (37,))
    start, found = torch.randn(8, classes), []
    for name in ("torch", "ours"):
        weight = start.clone().requires_grad_()
        logits = (features @ weight).to(number_type)
        if name == "torch":
            loss = cross_entropy(logits.float(), targets, label_smoothing=smoothing, reduction="sum")
        else:
            loss = own.summed_cross_entropy(logits, targets, smoothing)
        (3 * loss).backward()
        found.append((loss.detach(), weight.grad))
    return found


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("classes", [3, 16, 45, 1000])
def test_loss_and_gradient_are_torchs(classes, smoothing):
    if own.load_loop() is None:
        pytest.skip("no C++ compiler")
    (loss, gradient), (found, found_gradient) = both(classes, smoothing)
    torch.testing.assert_close(found, loss, rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(found_gradient, gradient, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("target", [-1, 5])
def test_a_target_that_is_no_class_is_refused(target):
    """The compiled loop would write beside its row."""
    if own.load_loop() is None:
        pytest.skip("no C++ compiler")
    with pytest.raises(IndexError, match=r"expected classes 0 to 4"):
        own.summed_cross_entropy(torch.zeros(2, 5), torch.tensor([0, target]))


def test_bfloat16_is_near():
    (loss, gradient), (found, found_gradient) = both(100, 0.1, torch.bfloat16)
    torch.testing.assert_close(found, loss, rtol=1e-5, atol=1e-3)
    assert (found_gradient - gradient).abs().max() < 0.01 * gradient.abs().max()


def test_without_gradient_logits_stay():
    logits, targets = torch.randn(5, 20), torch.arange(5)
    before = logits.clone()
    with torch.no_grad():
        own.summed_cross_entropy(logits, targets)
    assert torch.equal(logits, before)


def test_without_compiler_torch_computes(monkeypatch):
    monkeypatch.setattr(own, "load_loop", lambda: None)
    (loss, gradient), (found, found_gradient) = both(30, 0.1)
    assert torch.equal(found, loss)
    assert torch.equal(found_gradient, gradient)
