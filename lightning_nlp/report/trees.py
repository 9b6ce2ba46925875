"""Dependency trees as drawings: arcs above the words, and below them the arcs that were missed.

An arc rises above all that it spans, so that none lies on another. Words stand so far apart that every label fits
under its arc. All positions are in pixels; a sentence that is read from the right is turned over once it is laid out.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from itertools import accumulate

from rich.cells import cell_len

from lightning_nlp.report.pages import Svg

WORD_SIZE, LABEL_SIZE = 16, 11  # of the letters
GAP = 16  # between words
LEVEL = 21  # from an arc to the next higher one
STEP = 8  # between arcs that end at the same word
CORNER = 9
LINE, TAG_LINE = 26, 16  # room for the words, and for their tags
MARGIN = 8
WRONG = "#e5484d"  # is read on white and on black
HALO = 'paint-order="stroke" stroke="Canvas" stroke-width="4" stroke-linejoin="round"'  # keeps lines off the letters


@dataclass(frozen=True)
class Arc:
    """An arc to draw.

    Attributes:
        head: number of the word it starts from, 0 for the root.
        dependent: number of the word it ends at, from 1.
        label: what stands at it.
        wrong: it is not in the tree that should have been found.
        wrong_label: the arc is right, its label is not.
    """

    head: int
    dependent: int
    label: str
    wrong: bool = False
    wrong_label: bool = False

    @property
    def ends(self) -> tuple[int, int]:
        """The words at its two ends, first in the sentence first; twice the same for the root."""
        head = self.head or self.dependent
        return min(head, self.dependent), max(head, self.dependent)

    @property
    def span(self) -> int:
        """Words from end to end, 0 for the root."""
        return self.ends[1] - self.ends[0]


@dataclass(frozen=True)
class Side:
    """The arcs above the words, or those below.

    Attributes:
        arcs: at most one for each dependent.
        down: 1 below the words, -1 above.
    """

    arcs: Sequence[Arc]
    down: int

    @cached_property
    def levels(self) -> dict[Arc, int]:
        """How high each arc rises, from 1: above every shorter one that it shares some way with. Roots are highest."""
        levels: dict[Arc, int] = {}
        for arc in sorted((arc for arc in self.arcs if arc.span), key=lambda arc: arc.span):
            levels[arc] = 1 + max((levels[other] for other in levels if share_way(arc, other)), default=0)
        top = 1 + max(levels.values(), default=0)
        levels |= {arc: top for arc in self.arcs if not arc.span}
        return levels

    @cached_property
    def offsets(self) -> dict[tuple[Arc, int], float]:
        """How far each end of an arc, given by its word, stands from the middle of the word.

        From the outside of the word to its middle stand ever longer arcs, so that nested ones do not cross.
        """
        ends = defaultdict(list)
        for arc in self.arcs:
            for word in {*arc.ends}:
                side = 0 if not arc.span else -1 if word == arc.ends[1] else 1
                ends[word].append((side, -side * arc.span, arc))
        return {
            (arc, word): STEP * (place - (len(ends[word]) - 1) / 2)
            for word in ends
            for place, (*_, arc) in enumerate(sorted(ends[word], key=lambda end: end[:2]))
        }

    @property
    def height(self) -> float:
        """Room for all arcs and the label of the outermost."""
        return LEVEL * max(self.levels.values()) + LABEL_SIZE + MARGIN if self.arcs else MARGIN


def draw_tree(
    words: Sequence[str],
    heads: Sequence[int],
    labels: Sequence[str],
    gold_heads: Sequence[int] | None = None,
    gold_labels: Sequence[str] | None = None,
    tags: Sequence[str] | None = None,
) -> Svg:
    """Draws a dependency tree, and where it differs from the tree that should have been found.

    A wrong arc is red and thick, and the one that was missed is dashed below the words. A right arc with a wrong label
    has that label in red, as `found ≠ gold`. The drawing is as wide as the sentence; a page scrolls it.

    Args:
        words: of the sentence, in the order of reading. Hebrew or Arabic is drawn from right to left.
        heads: number of the head of each word, from 1; 0 for the root.
        labels: relation of each word to its head.
        gold_heads: the heads that should have been found, where known.
        gold_labels: the relations that should have been found, where known; they need `gold_heads`.
        tags: a second line under the words.

    Raises:
        ValueError: a list of another length than the words, or a head that is neither the root nor another word.
    """
    check_lengths(len(words), heads=heads, labels=labels, gold_heads=gold_heads, gold_labels=gold_labels, tags=tags)
    check_heads(len(words), heads=heads, gold_heads=heads if gold_heads is None else gold_heads)
    above, below = sides_of(heads, labels, gold_heads, gold_labels)
    columns = [[clean(text) for text in texts] for texts in (zip(words) if tags is None else zip(words, tags))]
    centres, width = place_words(columns, [above, below])
    turn = -1 if is_from_right(words) else 1
    if turn == -1:
        centres = [width - centre for centre in centres]
    top = above.height
    bottom = top + (LINE if tags is None else LINE + TAG_LINE)
    drawn = [
        draw_arc(arc, side, [centres[word - 1] + turn * side.offsets[arc, word] for word in arc.ends], base)
        for side, base in ((above, top), (below, bottom))
        for arc in side.arcs
    ]
    parts = [*(line for line, _ in drawn), *draw_words(columns, centres, top, turn), *(label for _, label in drawn)]
    return svg(parts, width, bottom + below.height, " ".join(text for text, *_ in columns))


def check_lengths(count: int, **columns: Sequence[object] | None) -> None:
    """Refuses a column that has not one entry for each word."""
    for name, column in columns.items():
        if column is not None and len(column) != count:
            raise ValueError(f"{name}: found {len(column)} for {count} words, expected one for each word.")
    if columns["gold_labels"] is not None and columns["gold_heads"] is None:
        raise ValueError("gold_labels: found without gold_heads, expected both or gold_heads alone.")


def check_heads(count: int, **columns: Sequence[int]) -> None:
    """Refuses a head that is no word of the sentence, or the word itself."""
    for name, heads in columns.items():
        for word, head in enumerate(heads, start=1):
            if not 0 <= head <= count or head == word:
                raise ValueError(f"{name}: found {head} for word {word} of {count}, expected another word, or 0.")


def sides_of(
    heads: Sequence[int], labels: Sequence[str], gold_heads: Sequence[int] | None, gold_labels: Sequence[str] | None
) -> tuple[Side, Side]:
    """Returns the arcs that were found, above, and those that were missed, below."""
    found, missed = [], []
    gold = heads if gold_heads is None else gold_heads, labels if gold_labels is None else gold_labels
    for word, (head, label, gold_head, gold_label) in enumerate(zip(heads, labels, *gold), start=1):
        wrong = head != gold_head
        differs = not wrong and label != gold_label
        text = f"{label} ≠ {gold_label}" if differs else label
        found.append(Arc(head, word, clean(text), wrong, differs))
        if wrong:
            missed.append(Arc(gold_head, word, "" if gold_labels is None else clean(gold_label)))
    return Side(found, -1), Side(missed, 1)


def share_way(arc: Arc, other: Arc) -> bool:
    """Tells whether some place lies between the ends of both arcs."""
    return max(arc.ends[0], other.ends[0]) < min(arc.ends[1], other.ends[1])


def place_words(columns: Sequence[Sequence[str]], sides: Sequence[Side]) -> tuple[list[float], float]:
    """Returns the middle of every word, and the width of all.

    A word has room for its texts, for the arcs that end at it and for the label of the root; then words move away from
    those before until the label of every arc fits between its ends.
    """
    widths = [max(text_width(text, size) for text, size in zip(texts, (WORD_SIZE, LABEL_SIZE))) for texts in columns]
    for side in sides:
        for (arc, word), offset in side.offsets.items():
            room = 2 * abs(offset) + (STEP if arc.span else text_width(arc.label, LABEL_SIZE))
            widths[word - 1] = max(widths[word - 1], room)
    rights = accumulate((GAP + width for width in widths), initial=MARGIN - GAP)
    centres = [right + GAP + width / 2 for right, width in zip(rights, widths)]
    for side in sides:
        for arc in sorted(side.arcs, key=lambda arc: arc.span):
            first, last = (centres[word - 1] + side.offsets[arc, word] for word in arc.ends)
            lack = text_width(arc.label, LABEL_SIZE) + STEP - (last - first)
            if arc.span and lack > 0:
                centres[arc.ends[1] - 1 :] = [centre + lack for centre in centres[arc.ends[1] - 1 :]]
    return centres, (centres[-1] + widths[-1] / 2 if centres else 0) + MARGIN


def draw_arc(arc: Arc, side: Side, ends: Sequence[float], base: float) -> tuple[str, str]:
    """Returns the line of an arc, with the arrow at its dependent, and its label.

    Args:
        arc: to draw.
        side: of the words on which it is.
        ends: where its two ends stand, in the order of the sentence.
        base: the height at which the words end on this side.
    """
    left, right = sorted(ends)
    tip, height = ends[arc.ends.index(arc.dependent)], base + side.down * side.levels[arc] * LEVEL
    ink = WRONG if arc.wrong else "currentColor"
    stroke = f'stroke="{ink}" stroke-width="{1 + arc.wrong}"' + ' stroke-dasharray="5 3"' * (side.down == 1)
    line = (
        f'<path d="{way(left, right, base, height)}" fill="none" {stroke}/>'
        f'<path d="M{tip:.1f} {base:.1f}l-4 {7 * side.down}h8z" fill="{ink}"/>'
    )
    place = f'x="{(left + right) / 2:.1f}" y="{height + (LABEL_SIZE + 1 if side.down == 1 else -5):.1f}"'
    ink = WRONG if arc.wrong_label else ink
    return line, f'<text {place} font-size="{LABEL_SIZE}" fill="{ink}" {HALO}>{escape(arc.label)}</text>'


def way(left: float, right: float, base: float, height: float) -> str:
    """Returns the path of an arc: away from the words, round the corner, along, and back; for the root only away."""
    if left == right:
        return f"M{left:.1f} {base:.1f}V{height:.1f}"
    corner = min(CORNER, (right - left) / 2)
    shoulder = height + (corner if height < base else -corner)
    return (
        f"M{left:.1f} {base:.1f}V{shoulder:.1f}Q{left:.1f} {height:.1f} {left + corner:.1f} {height:.1f}"
        f"H{right - corner:.1f}Q{right:.1f} {height:.1f} {right:.1f} {shoulder:.1f}V{base:.1f}"
    )


def draw_words(columns: Sequence[Sequence[str]], centres: Sequence[float], top: float, turn: int) -> list[str]:
    """Returns the words, and under each of them its tag where there are tags."""
    direction = ' direction="rtl"' if turn == -1 else ""
    feet = (top + 0.95 * WORD_SIZE + 2, top + LINE + TAG_LINE - 6)
    looks = (f'font-size="{WORD_SIZE}"{direction}', f'font-size="{LABEL_SIZE}" fill-opacity="0.7"')
    return [
        f'<text x="{centre:.1f}" y="{foot:.1f}" {look}>{escape(text)}</text>'
        for texts, centre in zip(columns, centres)
        for text, foot, look in zip(texts, feet, looks)
    ]


def svg(parts: Sequence[str], width: float, height: float, name: str) -> Svg:
    """Returns a drawing of the parts, in the letters and the ink of the page around it."""
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    style = 'font-family="system-ui, sans-serif" text-anchor="middle" fill="currentColor"'
    return Svg("\n".join([f'<svg {size} {style} role="img" aria-label="{escape(name)}">', *parts, "</svg>"]))


def text_width(text: str, size: float) -> float:
    """Returns the room a text takes in most fonts, rather too much than too little."""
    extra = sum(0.36 if character in "mwMW@%≠" else 0.14 * character.isupper() for character in text)
    return size * (0.64 * cell_len(text) + extra)


def is_from_right(words: Sequence[str]) -> bool:
    """Tells whether a sentence is read from the right: whether its first letter is Hebrew, Arabic or the like."""
    directions = (unicodedata.bidirectional(character) for word in words for character in word)
    return next((direction != "L" for direction in directions if direction in ("L", "R", "AL")), False)


def clean(text: str) -> str:
    """Returns a text without characters that no page may hold."""
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cs") else c for c in text)
