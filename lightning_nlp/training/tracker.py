"""Weights & Biases without surprises: offline where nobody logged in, one run per run folder."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from pytorch_lightning.loggers import Logger, WandbLogger


class WandbTracker(WandbLogger):
    """Lightning's `WandbLogger` with the settings that runs of this project need, offline where nobody logged in.

    Args:
        project: the W&B project.
        name: of the run; null is the path of its run folder.
        group: of runs that belong together.
        tags: to find runs by.
        offline: keep the run on disk; also where there is no API key and no `WANDB_MODE`.
        log_model: upload checkpoints.
        save_dir: where its files lie; the command line says the run folder.
        id: of a run to continue; the command line says the name of the run folder.
    """

    def __init__(
        self,
        project: str = "lightning-nlp",
        name: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
        offline: bool = False,
        log_model: bool = False,
        save_dir: str = ".",
        id: str | None = None,
    ) -> None:
        mode = "offline" if offline or must_be_offline() else None
        super().__init__(name, save_dir, id=id, project=project, log_model=log_model, group=group, tags=tags, mode=mode)


def must_be_offline() -> bool:
    """Tells whether a run would wait for a login: no mode was chosen and no API key is known."""
    if os.environ.get("WANDB_MODE") or os.environ.get("WANDB_API_KEY"):
        return False
    from wandb.sdk.lib.wbauth import read_netrc_auth

    return not read_netrc_auth(host=os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))


def sync_hint(loggers: Iterable[Logger]) -> str | None:
    """Says where an offline run lies and how to send it."""
    for logger in loggers:
        if isinstance(logger, WandbLogger) and getattr(logger.experiment, "offline", False):
            folder = Path(logger.experiment.dir).parent
            return f"W&B run kept offline. Send it with: wandb sync {folder}"
    return None


def finish(exit_code: int = 0) -> None:
    """Closes the tracker's run, if one is open, so that the next command in this process begins its own.

    Args:
        exit_code: other than 0 where the command failed, so that the tracker shows it as failed.
    """
    if (wandb := sys.modules.get("wandb")) is not None and wandb.run is not None:
        wandb.finish(exit_code=exit_code)
        wandb.teardown(exit_code=exit_code)  # it would keep the settings of its first run for all later ones
