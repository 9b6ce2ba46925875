"""Figures show the rows they are given, and pages the sentences that are worth looking at."""

import re
from html import unescape

import pytest
import torch

from lightning_nlp.parser.metrics import ARC_BINS, SENTENCE_BINS, TreeScores
from lightning_nlp.parser.pictures import (
    ParsedSentence,
    arc_length_figure,
    relation_figure,
    sentence_length_figure,
    tree_page,
)
from lightning_nlp.report.figures import save_figure
from tests.parser.test_metrics import RELATIONS, random_sentences, scores_of


@pytest.fixture(scope="module")
def scores():
    return scores_of(random_sentences(60))


def bars(figure) -> list[tuple[str, float, float]]:
    """Name, UAS and LAS of each bar from above, as drawn."""
    (axes,) = figure.axes
    uas, las = axes.containers
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert axes.yaxis_inverted()
    return [(name, head.get_width(), both.get_width()) for name, head, both in zip(names, uas, las)]


def test_bars_are_the_rows(scores):
    rows = scores.by_arc_length()
    assert bars(arc_length_figure(rows)) == [(f"{name}  ({words:,})", uas, las) for name, words, uas, las in rows]
    rows = scores.by_sentence_length()
    expected = [(f"{name}  ({words:,})", uas, las) for name, _, words, uas, las, *_ in rows]
    assert bars(sentence_length_figure(rows)) == expected
    rows = scores.by_relation()
    expected = [(f"{name}  ({words:,})", uas, las) for name, words, uas, las, *_ in rows]
    assert bars(relation_figure(rows)) == expected
    assert bars(relation_figure(rows, most=2)) == expected[:2]
    assert [len(ARC_BINS), len(SENTENCE_BINS)] == [len(scores.by_arc_length()), len(scores.by_sentence_length())]


def test_relations_that_were_found_alone_have_no_bar():
    """Their attachment is a share of no word."""
    rows = [["nsubj", 3, 100.0, 66.67, 100.0, 66.67, 80.0], ["$dep", 0, 0.0, 0.0, 0.0, 0.0, 0.0]]
    assert [name for name, *_ in bars(relation_figure(rows))] == ["nsubj  (3)"]


def test_figures_can_be_saved(scores, tmp_path):
    for name, figure in {
        "relations": relation_figure(scores.by_relation()),
        "one": arc_length_figure([["1", 1234567, 8.0, 0.0]]),
        "none": sentence_length_figure([]),
    }.items():
        assert save_figure(figure, name, tmp_path).stat().st_size > 1000
    assert bars(arc_length_figure([["1", 1234567, 8.0, 0.0]]))[0][0] == "1  (1,234,567)"


def sentence(name: str, length: int, wrong_heads: int = 0, wrong_relations: int = 0) -> ParsedSentence:
    """A sentence whose words hang on the first, with so many errors."""
    gold = [0, *[1] * (length - 1)]
    heads = [*gold[: length - wrong_heads], *range(length - wrong_heads, length)]
    assert sum(head != right for head, right in zip(heads, gold)) == wrong_heads
    relations = [*["no"] * wrong_relations, *["dep"] * (length - wrong_relations)]
    return ParsedSentence(["w"] * length, heads, relations, gold, ["dep"] * length, name)


@pytest.mark.parametrize("place", range(10))
def test_a_sentence_scores_what_the_metric_says(place):
    heads, relations, gold_heads, gold_relations, _ = columns = random_sentences(10, unknown=False)[place]
    names = [[RELATIONS[relation] for relation in some] for some in (relations, gold_relations)]
    parsed = ParsedSentence(["w"] * len(heads), heads, names[0], gold_heads, names[1])
    scores = TreeScores(RELATIONS)
    mask = torch.ones(1, len(heads), dtype=torch.bool)
    scores.update(*(torch.tensor([column]) for column in columns[:4]), mask, ~mask)
    found = scores.compute()
    assert parsed.las == pytest.approx(found["las"])
    assert 100 * (1 - parsed.wrong_heads / len(heads)) == pytest.approx(found["uas"])


def sections(file) -> dict[str, list[str]]:
    """The names of the sentences under each heading of a page."""
    parts = re.split(r'<h2 dir="auto">', file.read_text(encoding="utf-8"))[1:]
    return {part.partition("<")[0]: re.findall(r'<p dir="auto">([\w-]+) · words', part) for part in parts}


def test_a_page_shows_the_worst_and_the_typical(tmp_path):
    sentences = [
        sentence("right", 9),
        sentence("tiny", 2, wrong_relations=2),
        sentence("bad", 10, wrong_heads=4, wrong_relations=2),
        sentence("worse-short", 5, wrong_heads=3, wrong_relations=1),
        sentence("worse-long", 10, wrong_heads=5, wrong_relations=3),
        sentence("middle", 10, wrong_heads=1, wrong_relations=1),
        sentence("middle-odd", 40, wrong_heads=4, wrong_relations=4),
    ]
    typical = [sentence(f"filler{place}", 10, wrong_heads=2) for place in range(4)]
    typical.insert(0, sentence("better", 10, wrong_heads=1))  # of the median length, and not of the median score
    page = tree_page(tmp_path / "deep" / "trees.html", "Trees", [*sentences[::-1], *typical], count=3)
    found = sections(page)
    assert found["Most errors"] == ["worse-long", "worse-short", "bad"]
    assert found["Typical"] == ["middle", "filler0", "filler1"]
    assert page.read_text().count("<svg") == 6
    everything = sections(tree_page(tmp_path / "all.html", "Trees", sentences, count=99))
    assert everything["Most errors"][-1] == "tiny"
    assert everything["Typical"] == ["right"]


def test_scores_and_errors_stand_at_each_tree(tmp_path):
    page = tree_page(tmp_path / "trees.html", "Trees", [sentence("weblog-17", 10, wrong_heads=1, wrong_relations=2)])
    text = unescape(page.read_text(encoding="utf-8"))
    facts = "weblog-17 · words: 10 · LAS 70.0 · UAS 90.0 · wrong heads: 1 · right heads with a wrong relation: 2"
    assert facts in text
    assert text.count("no ≠ dep") == 2
    assert text.count("stroke-dasharray") == 1


def test_trees_without_gold_are_shown_as_they_are(tmp_path):
    parsed = ParsedSentence(["<b>", "b"], [0, 1], ["root", "dep"], tags=["X", "Y"])
    page = tree_page(tmp_path / "trees.html", "Trees", [parsed] * 30, count=4)
    text = page.read_text(encoding="utf-8")
    assert list(sections(page)) == ["Without a tree to compare with"]
    assert text.count("<svg") == 4
    assert "LAS" not in text
    assert "<b>" not in text
    assert tree_page(tmp_path / "none.html", "Trees", []).exists()
