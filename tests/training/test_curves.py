"""Learning curves: every logged loss and every validation is on them, also after a crash."""

from types import SimpleNamespace

import numpy as np
import pytest

from lightning_nlp.report.curves import learning_curves, moving_mean
from lightning_nlp.training import LearningCurves


def test_moving_mean_is_that_of_the_neighbours():
    values = np.array([1.0, 5.0, 3.0, 7.0, 0.0])
    assert moving_mean(values, 2) == pytest.approx([3, 3, 5, 10 / 3, 3.5])
    assert moving_mean(values, 100) == pytest.approx([3.2] * 5)


def test_curves_are_drawn_as_they_are():
    falling = [(step, 5 / step) for step in range(1, 200)]
    figure = learning_curves({"train/loss": falling, "val/loss": [(100, 2.5), (200, 1.5)]}, {"val/$x": [(100, 20.0)]})
    losses, scores = figure.axes
    assert [text.get_text() for text in losses.get_legend().get_texts()] == ["train/loss 0.02513", "val/loss 1.5"]
    raw, smooth, val = losses.lines
    assert raw.get_xydata() == pytest.approx(np.array(falling))
    assert smooth.get_ydata()[100] == pytest.approx(np.mean([y for _, y in falling[90:111]]))
    assert val.get_xydata().tolist() == [[100, 2.5], [200, 1.5]]
    assert scores.lines[0].get_xydata().tolist() == [[100, 20.0]]
    assert len(learning_curves({"train/loss": falling}, {}).axes) == 1


def test_steps_are_noted_as_often_as_they_are_logged():
    curves = LearningCurves("val/las")
    trainer = SimpleNamespace(
        log_every_n_steps=5, callback_metrics={}, state=SimpleNamespace(fn="fit"), sanity_checking=False
    )
    for step in range(1, 21):
        trainer.global_step = step
        trainer.callback_metrics["train/loss"] = 1 / step
        curves.on_train_batch_end(trainer, None, None, None, 0)
        if step % 10 == 0:
            trainer.callback_metrics["val/las"] = step
            curves.on_validation_end(trainer, None)
    again = LearningCurves("val/las")
    again.load_state_dict(curves.state_dict())
    assert again.curves == {
        "train/loss": [(step, 1 / step) for step in (5, 10, 15, 20)],
        "val/las": [(10, 10.0), (20, 20.0)],
    }
