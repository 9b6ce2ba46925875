"""Figures: drawn without a display, kept in the run folder and shown by the tracker from one call."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pytorch_lightning.utilities import rank_zero_only

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray
    from pytorch_lightning.loggers import Logger

DOTS_PER_INCH = 160
OTHER_SCRIPTS = ("Noto Sans", "WenQuanYi", "Arial Unicode", "PingFang", "Hiragino Sans", "Microsoft YaHei", "Malgun")
GAP = 4.0  # pixels between a dot and its label
INK, ACCENT, FAINT = "#222222", "#2a6f97", "#d9d9d9"


@rank_zero_only
def save_figure(figure: Figure, name: str, folder: Path, loggers: Sequence[Logger] = ()) -> Path:
    """Writes `folder/figures/<name>.png`, and shows it as `figures/<name>` in every tracker that takes pictures.

    Args:
        figure: stays open.
        name: without suffix; may contain `/`.
        folder: the run folder.
        loggers: `trainer.loggers`; those without `log_image` are passed over.

    Returns:
        The file. Other ranks than zero write nothing and get None.
    """
    file = folder / "figures" / f"{name}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    for text in figure.findobj(lambda artist: hasattr(artist, "set_fontfamily")):
        text.set_fontfamily(font_families())  # type: ignore[attr-defined]
    figure.savefig(file, dpi=DOTS_PER_INCH)
    for logger in loggers:
        if hasattr(logger, "log_image"):
            # No step: the tracker drops what comes with an older step than its own counter.
            logger.log_image(f"figures/{name}", images=[str(file)])
    return file


@cache
def font_families() -> list[str]:
    """Names matplotlib's own font, and those of the machine for what it lacks: Chinese, Cherokee, Hindi …"""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *sorted(name for name in installed if name.startswith(OTHER_SCRIPTS))]


def new_figure(width: float = 7, height: float = 5) -> tuple[Figure, Axes]:
    """Returns an empty figure and its axes in the house style.

    Args:
        width: in inches.
        height: in inches.
    """
    figure = empty_figure(width, height)
    return figure, add_axes(figure)


def empty_figure(width: float, height: float) -> Figure:
    """Returns a figure without axes. Nothing global changes, so nothing is to be closed.

    Args:
        width: in inches.
        height: in inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def add_axes(figure: Figure, panels: int = 1, number: int = 1) -> Axes:
    """Adds axes in the house style.

    Args:
        figure: to add them to.
        panels: that lie one below the other.
        number: which of them, from 1.
    """
    axes = figure.add_subplot(panels, 1, number)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=INK, labelsize=8, length=0)
    axes.grid(color=FAINT, linewidth=0.4)
    axes.set_axisbelow(True)
    return axes


def scatter_labels(points: ArrayLike, labels: Sequence[str], title: str) -> Figure:
    """Draws a map of labelled points; a label moves aside where it would cover another.

    Args:
        points: (labels, 2) coordinates.
        labels: one a point.
        title: of the figure.

    Raises:
        ValueError: not two coordinates for every label.
    """
    points = np.asarray(points, dtype=float)
    if points.shape != (len(labels), 2):
        raise ValueError(f"points: found shape {points.shape}, expected ({len(labels)}, 2), two numbers a label.")
    figure, axes = new_figure(9, 7)
    axes.set_title(plain(title), loc="left", color=INK, fontsize=11)
    axes.scatter(points[:, 0], points[:, 1], s=10, color=ACCENT, linewidths=0)
    axes.margins(0.08)
    figure.draw_without_rendering()  # settles the layout, so that pixels are known
    write_labels(axes, points, [plain(label) for label in labels], figure.dpi)
    return figure


def write_labels(axes: Axes, points: NDArray[np.float64], labels: Sequence[str], dpi: float) -> None:
    """Writes labels beside their points, with a line to the point where one had to move away."""
    dots = axes.transData.transform(points)
    texts = [axes.annotate(label, point, fontsize=8, color=INK) for point, label in zip(points, labels)]
    sizes = np.array([text.get_window_extent().size for text in texts]).reshape(-1, 2)
    for text, offset, size in zip(texts, spread(dots, sizes, np.array(axes.bbox.extents)) - dots, sizes):
        text.remove()
        is_far = bool((np.abs(offset) > size / 2 + 2 * GAP).any())
        axes.annotate(
            text.get_text(),
            text.xy,
            xytext=tuple(offset * 72 / dpi),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=8,
            color=INK,
            arrowprops={"arrowstyle": "-", "color": ACCENT, "linewidth": 0.4, "shrinkA": 0} if is_far else None,
        )


def spread(dots: NDArray[np.float64], sizes: NDArray[np.float64], room: NDArray[np.float64]) -> NDArray[np.float64]:
    """Finds each label in turn the nearest place beside its dot where it covers nothing, or else the least.

    Args:
        dots: (labels, 2) positions, in pixels.
        sizes: (labels, 2) widths and heights of the labels, in pixels.
        room: left, bottom, right and top of the area to stay in.

    Returns:
        (labels, 2) centres of the labels.
    """
    directions, distances = places()
    taken = np.concatenate([dots - GAP / 2, dots + GAP / 2], axis=1)
    centres = np.empty_like(dots)
    for index, (dot, size) in enumerate(zip(dots, sizes)):
        candidates = dot + directions * (size / 2 + distances)
        boxes = np.concatenate([candidates - size / 2, candidates + size / 2], axis=1)
        outside = (boxes[:, :2] < room[:2]).any(axis=1) | (boxes[:, 2:] > room[2:]).any(axis=1)
        covered = overlaps(boxes, taken).sum(axis=1) + len(taken) * outside
        best = covered.argmin()  # the nearest of the least
        centres[index] = candidates[best]
        taken = np.append(taken, boxes[[best]], axis=0)
    return centres


def places() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns (places, 2) directions from a dot and (places, 1) distances, near before far and right before left."""
    angles = np.deg2rad([0, 30, -30, 60, -60, 90, -90, 120, -120, 150, -150, 180])
    distances = np.arange(GAP, 25 * GAP, GAP)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.tile(directions, (len(distances), 1)), np.repeat(distances, len(angles))[:, None]


def overlaps(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tells of (n, 4) and (m, 4) boxes (left, bottom, right, top) which of (n, m) pairs share some area."""
    shares_side = (boxes[:, None, :2] < others[:, 2:]) & (others[:, :2] < boxes[:, None, 2:])
    return np.all(shares_side, axis=2)


def plain(text: str) -> str:
    """Returns text that is drawn as it is: a dollar sign begins no formula, and a control character is no box."""
    return "".join(c if c.isprintable() else " " for c in text).replace("$", r"\$")
