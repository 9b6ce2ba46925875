"""Clipping for fused optimizers, which on the CPU step several times faster than the others."""

from pytorch_lightning import Callback, LightningModule, Trainer


class ClipFused(Callback):
    """Lets Lightning clip gradients for a fused optimizer under mixed precision.

    It refuses to, because such an optimizer can take gradients as a loss scaler has scaled them. Told that this one
    does not, the scaler of float16 restores them before they are clipped, and bfloat16 has no scaler.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Marks the optimizers."""
        for optimizer in trainer.optimizers:
            if getattr(optimizer, "_step_supports_amp_scaling", False):
                optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
