"""Learning curves: how losses fell and scores rose, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lightning_nlp.report.figures import ACCENT, INK, add_axes, empty_figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curve = Sequence[tuple[int, float]]  # steps and values
SMOOTHED_OVER = 20  # points of a loss on both sides together


def learning_curves(losses: Mapping[str, Curve], scores: Mapping[str, Curve]) -> Figure:
    """Draws losses above scores over the same steps; a long curve is drawn as its moving mean, with itself behind.

    Args:
        losses: by name.
        scores: by name; without any there is but one panel.
    """
    panels = [curves for curves in (losses, scores) if curves]
    figure = empty_figure(7, 0.5 + 2.5 * len(panels))
    for number, curves in enumerate(panels, start=1):
        axes = add_axes(figure, len(panels), number)
        for (name, curve), colour in zip(curves.items(), (ACCENT, INK)):
            draw_curve(axes, name, curve, colour)
        axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    axes.set_xlabel("step", fontsize=8, color=INK)
    return figure


def draw_curve(axes: Axes, name: str, curve: Curve, colour: str) -> None:
    """Draws a curve; the last value stands in the legend."""
    steps, values = np.array(curve, dtype=float).T
    label = f"{plain(name)} {values[-1]:.4g}"
    if len(values) <= 2 * SMOOTHED_OVER:
        axes.plot(steps, values, color=colour, linewidth=1.4, marker=".", markersize=4, label=label)
        return
    axes.plot(steps, values, color=colour, linewidth=0.5, alpha=0.3)
    axes.plot(steps, moving_mean(values, SMOOTHED_OVER), color=colour, linewidth=1.4, label=label)


def moving_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Returns the mean of the values around each, of fewer of them at the ends."""
    sums = np.cumsum([0.0, *values])
    places = np.arange(len(values))
    begin, end = np.maximum(0, places - width // 2), np.minimum(len(values), places + width // 2 + 1)
    return (sums[end] - sums[begin]) / (end - begin)
