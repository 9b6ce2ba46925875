"""A fused optimizer, mixed precision and clipping together."""

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer

from lightning_nlp.training import ClipFused


class Steep(LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(4))
        self.norms = []

    def training_step(self, batch, batch_idx):
        return 100 * self.weight.sum()

    def on_before_zero_grad(self, optimizer):
        if self.weight.grad is not None:
            self.norms.append(float(self.weight.grad.norm()))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 0.1, fused=True)


def fitted(*callbacks) -> Steep:
    module = Steep()
    off = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    precise = {"precision": "bf16-mixed", "gradient_clip_val": 0.5, "accelerator": "cpu"}
    Trainer(max_steps=3, callbacks=list(callbacks), **precise, **off).fit(module, torch.utils.data.DataLoader(range(9)))
    return module


def test_gradients_are_clipped():
    module = fitted(ClipFused())
    assert module.norms[-1] == pytest.approx(0.5, rel=1e-3)
    torch.testing.assert_close(module.weight.detach(), torch.full((4,), -0.3))


def test_lightning_refuses_without():
    """When it no longer does, the callback can go."""
    with pytest.raises(RuntimeError, match="does not allow for gradient clipping"):
        fitted()
