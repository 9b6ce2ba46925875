"""Two sentences, one above the other, with a line between words that belong together."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import accumulate

from rich.cells import cell_len

from lightning_nlp.report.pages import Svg

SIZE = 15  # of the letters
ADVANCE = 0.62 * SIZE  # of a letter, about
GAP = 12  # between words
HEIGHT, LINE = 130, 22  # of the drawing, and of a line of words
MARGIN = 8
FAINTEST = 0.1  # weight below which a line is left out


def draw_alignment(above: Sequence[str], below: Sequence[str], weights: Sequence[Sequence[float]]) -> Svg:
    """Draws weights between the words of two sentences as lines, the heavier the darker.

    Args:
        above: words of the upper sentence.
        below: words of the lower sentence.
        weights: of each lower word, for each upper word, between 0 and 1.

    Raises:
        ValueError: not one weight for each pair of words.
    """
    if len(weights) != len(below) or any(len(row) != len(above) for row in weights):
        raise ValueError(f"weights: expected {len(below)} rows of {len(above)}, one for each pair of words.")
    (upper, width), (lower, other) = centres(above), centres(below)
    top, bottom = LINE + 4, HEIGHT - LINE - 4
    lines = [
        f'<line x1="{upper[j]:.1f}" y1="{top}" x2="{lower[i]:.1f}" y2="{bottom}" stroke="currentColor" '
        f'stroke-width="{1 + 2 * weight:.2f}" stroke-opacity="{min(1.0, weight):.2f}"/>'
        for i, row in enumerate(weights)
        for j, weight in enumerate(row)
        if weight >= FAINTEST
    ]
    words = [
        f'<text x="{x:.1f}" y="{y}" text-anchor="middle" fill="currentColor" font-size="{SIZE}">{escape(word)}</text>'
        for places, sentence, y in ((upper, above, LINE - 5), (lower, below, HEIGHT - 7))
        for x, word in zip(places, sentence)
    ]
    size = f'width="{max(width, other):.0f}" height="{HEIGHT}"'
    return Svg(f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">{"".join(lines + words)}</svg>')


def centres(words: Sequence[str]) -> tuple[list[float], float]:
    """Returns the middle of each word in pixels, and the width of them all."""
    widths = [max(1, cell_len(word)) * ADVANCE + GAP for word in words]
    ends = list(accumulate(widths, initial=float(MARGIN)))
    return [end + width / 2 for end, width in zip(ends, widths)], ends[-1] + MARGIN
