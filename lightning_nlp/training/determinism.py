"""Randomness that a resumed run repeats: Lightning's checkpoints hold no state of the generators."""

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from lightning_nlp.data.module import global_seed


class ReseedEachBatch(Callback):
    """Makes the randomness of a training batch a function of (seed, epoch, batch, rank) alone."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Seeds torch for this batch."""
        torch.manual_seed(mix(global_seed(), trainer.current_epoch, batch_idx, trainer.global_rank))


def mix(*numbers: int) -> int:
    """Folds whole numbers into one seed of 63 bits; every number and their order count.

    Multiplication by an odd constant and xor with the high bits, as in SplitMix64 (Steele, Lea & Flood 2014).
    """
    state = 0
    for number in numbers:
        state = (state ^ number) * 0x9E3779B97F4A7C15 + 0xD1B54A32D192ED03
        state ^= (state & (1 << 64) - 1) >> 29
        state &= (1 << 64) - 1
    return state >> 1
