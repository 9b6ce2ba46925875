"""Weights & Biases without surprises: offline where nobody logged in, one run per run folder."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from pytorch_lightning.loggers import Logger, WandbLogger


def must_be_offline() -> bool:
    """Tells whether a run would wait for a login: no mode was chosen and no API key is known."""
    if os.environ.get("WANDB_MODE") or os.environ.get("WANDB_API_KEY"):
        return False
    from wandb.sdk.lib.wbauth import read_netrc_auth

    return not read_netrc_auth(host=os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))


def run_id(run: Path) -> str:
    """Names the tracker's run after the run folder, so that a resumed fit and a later test continue it."""
    return run.name


def sync_hint(loggers: Iterable[Logger]) -> str | None:
    """Says where an offline run lies and how to send it."""
    for logger in loggers:
        if isinstance(logger, WandbLogger) and getattr(logger.experiment, "offline", False):
            folder = Path(logger.experiment.dir).parent
            return f"W&B run kept offline (no API key). Send it with: wandb sync {folder}"
    return None


def finish() -> None:
    """Closes the tracker's run, if one is open, so that the next command in this process begins its own."""
    if (wandb := sys.modules.get("wandb")) is not None and wandb.run is not None:
        wandb.finish()
