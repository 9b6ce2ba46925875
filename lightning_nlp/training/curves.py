"""The course of a fit as a picture, whichever tracker there is."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from lightning_nlp.training.run_folder import run_folder

LOSSES = ("train/loss", "val/loss")


class LearningCurves(Callback):
    """Notes losses and the score that chooses `best.ckpt`, and draws them as `figures/learning_curves.png`.

    A resumed fit goes on with the curves of its checkpoint.

    Args:
        monitor: that score.
    """

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor
        self.curves: dict[str, list[tuple[int, float]]] = {}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Notes the loss as often as it is logged."""
        if trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self._note(trainer, LOSSES[0])

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes the scores of a validation."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            for name in dict.fromkeys([*LOSSES[1:], self.monitor]):
                self._note(trainer, name)

    def _note(self, trainer: Trainer, name: str) -> None:
        if name in trainer.callback_metrics:
            self.curves.setdefault(name, []).append((trainer.global_step, float(trainer.callback_metrics[name])))

    def state_dict(self) -> dict[str, Any]:
        """Returns what a resumed fit goes on with."""
        return {"curves": self.curves}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on."""
        self.curves = state_dict["curves"]

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws the curves, where there are any."""
        if not (trainer.is_global_zero and self.curves):
            return
        from lightning_nlp.report.curves import learning_curves
        from lightning_nlp.report.figures import save_figure

        losses, scores = (
            {name: curve for name, curve in self.curves.items() if (name in LOSSES) == is_loss}
            for is_loss in (True, False)
        )
        save_figure(learning_curves(losses, scores), "learning_curves", run_folder(trainer), trainer.loggers)
