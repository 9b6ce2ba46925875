"""Drawings of trees, read back from their SVG: what stands where, what covers what, and what is marked."""

import random
import re
from collections import Counter
from itertools import combinations
from typing import NamedTuple
from xml.etree import ElementTree

import pytest

from lightning_nlp.report.pages import Section, Svg, write_page
from lightning_nlp.report.trees import LABEL_SIZE, WORD_SIZE, WRONG, draw_tree, text_width

WORDS = ["The", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "."]
HEADS = [4, 4, 4, 5, 0, 9, 9, 9, 5, 5]
LABELS = ["det", "amod", "amod", "nsubj", "root", "case", "det", "amod", "obl", "punct"]
ATTACK = "</svg><script>alert('&\")</script>"
LINE = re.compile(r"M(\S+) (\S+)V(\S+?)(?:Q\S+ (\S+) \S+ \S+H\S+Q(\S+) \S+ \S+ \S+V\S+)?")


class Line(NamedTuple):
    """The line of an arc: from left to right, from the words at `base` to `height`."""

    left: float
    right: float
    base: float
    height: float
    dashed: bool
    red: bool


class Box(NamedTuple):
    """Where a text stands."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    red: bool


class Drawing:
    """A drawing taken apart."""

    def __init__(self, svg: Svg) -> None:
        self.root = ElementTree.fromstring(svg.markup)
        paths = list(self.root.iter("path"))
        self.lines = [line_of(path) for path in paths[0::2]]
        self.tips = [tuple(map(float, re.match(r"M(\S+) (\S+)l", path.attrib["d"]).groups())) for path in paths[1::2]]
        texts = list(self.root.iter("text"))
        self.labels = [box_of(text) for text in texts if "paint-order" in text.attrib]
        self.words = [box_of(text) for text in texts if text.attrib["font-size"] == str(WORD_SIZE)]
        self.tags = [box_of(text) for text in texts if "fill-opacity" in text.attrib]
        self.width, self.height = (float(self.root.attrib[name]) for name in ("width", "height"))
        assert len(self.labels) + len(self.words) + len(self.tags) == len(texts)

    def arcs(self, dashed: bool = False) -> Counter[tuple[int, int, str]]:
        """Head, dependent and label, told from positions alone."""
        found = zip(self.lines, self.tips, self.labels)
        return Counter(
            (0 if line.left == line.right else self.at(other_end(line, tip)), self.at(tip[0]), label.text)
            for line, tip, label in found
            if line.dashed == dashed
        )

    def at(self, x: float) -> int:
        """The number of the word nearest to a place."""
        return 1 + min(range(len(self.words)), key=lambda n: abs((self.words[n].left + self.words[n].right) / 2 - x))


def other_end(line: Line, tip: tuple[float, float]) -> float:
    return line.right if tip[0] == line.left else line.left


def line_of(path: ElementTree.Element) -> Line:
    left, base, shoulder, height, right = LINE.fullmatch(path.attrib["d"]).groups()
    ends = (left, left, base, shoulder) if right is None else (left, right, base, height)
    return Line(*map(float, ends), "stroke-dasharray" in path.attrib, path.attrib["stroke"] == WRONG)


def box_of(text: ElementTree.Element) -> Box:
    x, y, size = (float(text.attrib[name]) for name in ("x", "y", "font-size"))
    half = text_width(text.text or "", size) / 2
    return Box(text.text or "", x - half, y - 0.8 * size, x + half, y + 0.2 * size, text.attrib.get("fill") == WRONG)


def overlap(first: Box, second: Box) -> bool:
    return (
        max(first.left, second.left) < min(first.right, second.right) - 0.2  # which is rounding
        and max(first.top, second.top) < min(first.bottom, second.bottom)
    )


def random_tree(length: int, rng: random.Random) -> list[int]:
    order = rng.sample(range(1, length + 1), length)
    heads = [0] * length
    for place, word in enumerate(order[1:], start=1):
        heads[word - 1] = rng.choice(order[:place])
    return heads


def projective_tree(first: int, last: int, head: int, rng: random.Random, heads: dict[int, int]) -> dict[int, int]:
    """Hangs a word of a stretch on the head, and the two stretches beside it on this word, maybe in pieces."""
    if first <= last:
        top = rng.randint(first, last)
        heads[top] = head
        for start, end in ((first, top - 1), (top + 1, last)):
            cut = rng.randint(start, end) if start <= end and rng.random() < 0.5 else end
            projective_tree(start, cut, top, rng, heads)
            projective_tree(cut + 1, end, top, rng, heads)
    return heads


def random_drawing(seed: int, projective: bool) -> Drawing:
    rng = random.Random(seed)
    length = rng.randint(1, 30)
    letters = rng.choice(["abimW東", "אבגש"])
    words = ["".join(rng.choices(letters, k=rng.randint(1, 9))) for _ in range(length)]
    tree = projective_tree(1, length, 0, rng, {})
    heads = [tree[word] for word in range(1, length + 1)] if projective else random_tree(length, rng)
    gold = heads if projective else random_tree(length, rng)
    labels = [rng.choice(["det", "compound", "nsubj:pass"]) for _ in words]
    golds = [rng.choice([label, "amod"]) for label in labels]
    return Drawing(
        draw_tree(words, heads, labels, gold, golds, tags=["PUNCT"] * length if rng.random() < 0.5 else None)
    )


@pytest.mark.parametrize("seed", range(20))
def test_no_text_covers_another_and_no_arc_lies_on_another(seed):
    for projective in (True, False):
        drawing = random_drawing(seed, projective)
        texts = [*drawing.words, *drawing.tags, *drawing.labels]
        assert not any(overlap(*pair) for pair in combinations(texts, 2))
        assert all(0 <= box.left < box.right <= drawing.width for box in texts)
        assert all(0 <= box.top < box.bottom <= drawing.height for box in texts)
        for one, other in combinations(drawing.lines, 2):
            if one.height == other.height:
                assert one.right < other.left or other.right < one.left
            if one.base == other.base:
                assert len({one.left, one.right, other.left, other.right}) == len({*one[:2]}) + len({*other[:2]})


@pytest.mark.parametrize("seed", range(20))
def test_projective_trees_have_no_crossings(seed):
    """Neither of two arcs, nor of an arc and a label."""
    drawing = random_drawing(seed, projective=True)
    for line in drawing.lines:
        for x in (line.left, line.right):
            for other in drawing.lines:
                assert not (other.left < x < other.right and line.height < other.height < line.base)
            for label in drawing.labels:
                assert not (label.left < x < label.right and line.height < label.bottom - 2)


def test_a_longer_arc_rises_above_those_it_spans():
    lines = Drawing(draw_tree(WORDS, HEADS, LABELS)).lines
    for one in lines:
        for other in lines:
            if one.left < other.left < other.right < one.right:
                assert one.height < other.height
    assert min(line.height for line in lines) == lines[HEADS.index(0)].height


def test_arcs_lead_from_heads_to_dependents():
    drawing = Drawing(draw_tree(WORDS, HEADS, LABELS))
    assert drawing.arcs() == Counter(zip(HEADS, range(1, 11), LABELS))
    assert [word.text for word in drawing.words] == WORDS
    assert all(tip[1] == line.base for tip, line in zip(drawing.tips, drawing.lines))


def test_a_right_tree_has_no_marks():
    drawing = Drawing(draw_tree(WORDS, HEADS, LABELS, HEADS, LABELS))
    assert drawing.arcs() == Drawing(draw_tree(WORDS, HEADS, LABELS)).arcs()
    assert not any(mark.red for mark in [*drawing.lines, *drawing.labels])
    assert not drawing.arcs(dashed=True)


def test_errors_are_marked_and_what_was_missed_is_below():
    gold_heads, gold_labels = [*HEADS[:8], 4, 5], [*LABELS[:8], "nmod", "dep"]
    drawing = Drawing(draw_tree(WORDS, HEADS, LABELS, gold_heads, gold_labels))
    assert drawing.arcs(dashed=True) == Counter([(4, 9, "nmod")])
    assert [label.text for label in drawing.labels if label.red] == ["obl", "punct ≠ dep"]
    assert [line.red for line in drawing.lines] == [place == 8 for place in range(11)]
    below, words = drawing.lines[10], drawing.words[0]
    assert words.bottom < below.base < below.height < drawing.labels[10].top
    assert all(line.height < line.base < words.top for line in drawing.lines[:10])


def test_heads_can_be_judged_without_labels():
    drawing = Drawing(draw_tree(["a", "b"], [0, 1], ["root", "x"], [2, 0]))
    assert drawing.arcs(dashed=True) == Counter([(2, 1, ""), (0, 2, "")])
    assert all(line.red != line.dashed for line in drawing.lines)


def test_tags_stand_below_their_words():
    drawing = Drawing(draw_tree(WORDS, HEADS, LABELS, tags=["X" * n for n in range(1, 11)]))
    for word, tag in zip(drawing.words, drawing.tags):
        assert word.bottom < tag.top
        assert (word.left + word.right) == pytest.approx(tag.left + tag.right)


def test_hebrew_runs_from_right_to_left():
    words = ["אתמול", "הילדה", "אכלה", "תפוח", "."]
    drawing = Drawing(draw_tree(words, [3, 3, 0, 3, 3], ["obl", "nsubj", "root", "obj", "punct"], [2, 3, 0, 3, 3]))
    assert [word.text for word in drawing.words] == words
    places = [word.left for word in drawing.words]
    assert places == sorted(places, reverse=True)
    assert drawing.arcs()[3, 1, "obl"] == drawing.arcs(dashed=True)[2, 1, ""] == 1
    assert "rtl" not in draw_tree(WORDS, HEADS, LABELS).markup


def test_every_text_is_escaped_and_reads_as_it_was(tmp_path):
    svg = draw_tree([ATTACK, "b"], [2, 0], [ATTACK, "root"], [0, 1], [ATTACK, "root"], [ATTACK, "X"])
    drawing = Drawing(svg)
    texts = [box.text for box in (*drawing.words, *drawing.tags, *drawing.labels)]
    assert texts.count(ATTACK) == 4
    assert drawing.root.attrib["aria-label"] == f"{ATTACK} b"
    assert "<script" not in write_page(tmp_path / "page.html", "t", [Section("s", [svg])]).read_text()


def test_characters_that_no_page_may_hold_are_replaced(tmp_path):
    svg = draw_tree(["a\x00\x1b", "\ud800"], [2, 0], ["x\n", "root"])
    assert [word.text for word in Drawing(svg).words] == ["a\ufffd\ufffd", "\ufffd"]
    write_page(tmp_path / "page.html", "t", [Section("s", [svg])])
    persian = "می\u200cروم"  # its joiner is no letter, but part of the word
    assert [word.text for word in Drawing(draw_tree([persian], [0], ["root"])).words] == [persian]


def test_colours_are_those_of_the_page_but_for_errors():
    markup = draw_tree(WORDS, HEADS, LABELS, [2, *HEADS[1:]], LABELS, WORDS).markup
    assert set(re.findall(r'(?:fill|stroke)="([^"]*)"', markup)) == {"none", "currentColor", "Canvas", WRONG}
    assert "://" not in markup


def test_there_is_room_for_letters_of_a_wide_font():
    """DejaVu is one of the widest; its letters are measured by the program that sets them."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(family="DejaVu Sans")
    names = (
        "nsubj:pass advmod compound parataxis obl:tmod ≠ PUNCT PROPN CCONJ SCONJ root www Mmm mammoth @me 100% willow"
    )
    for text in [*WORDS, *names.split(), "Qualitätsmanagement", "Wörter", "http://www.example.com/", "1,234,567"]:
        assert TextPath((0, 0), text, LABEL_SIZE, prop=font).get_extents().width <= text_width(text, LABEL_SIZE)


def test_a_sentence_may_be_short():
    assert Drawing(draw_tree([], [], [])).lines == []
    assert Drawing(draw_tree(["a"], [0], ["root"])).arcs() == Counter([(0, 1, "root")])


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"heads": [2]}, "heads: found 1 for 2 words"),
        ({"labels": []}, "labels: found 0 for 2 words"),
        ({"tags": ["X"] * 3}, "tags: found 3 for 2 words"),
        ({"heads": [3, 0]}, "heads: found 3 for word 1 of 2"),
        ({"heads": [-1, 0]}, "heads: found -1 for word 1"),
        ({"gold_heads": [0, 2]}, "gold_heads: found 2 for word 2"),
        ({"gold_labels": ["a", "b"]}, "gold_labels: found without gold_heads"),
    ],
)
def test_what_is_no_tree_is_refused(columns, fault):
    with pytest.raises(ValueError, match=fault):
        draw_tree(**{"words": ["a", "b"], "heads": [2, 0], "labels": ["x", "root"], **columns})
