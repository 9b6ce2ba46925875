"""What one looks at to judge a parser: where its scores fall, and the trees it got wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from pytorch_lightning.utilities import rank_zero_only

from lightning_nlp.parser.metrics import (
    ARC_COLUMNS,
    CONFUSION_COLUMNS,
    HEAD_ERROR_COLUMNS,
    RELATION_COLUMNS,
    SENTENCE_COLUMNS,
    Row,
    TreeScores,
)
from lightning_nlp.report.figures import ACCENT, INK, new_figure, plain, save_figure
from lightning_nlp.report.pages import Section, Svg, write_page
from lightning_nlp.report.tables import save_table
from lightning_nlp.report.trees import draw_tree

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pytorch_lightning.loggers import Logger

PALE = "#a9cbdc"  # of the accent
CONFUSIONS = 30  # the most frequent that are shown
SHORT = 5  # of fewer words a sentence is seldom telling: one error is a fourth of it
LEGEND = (
    "Above the words: what was found. A thick red arc is wrong, and the right one is dashed below the words; a red "
    "label on a thin arc is a wrong relation, found ≠ right."
)


@dataclass(frozen=True)
class ParsedSentence:
    """A sentence with the tree that was found, as plain values, and with the treebank's where there is one.

    Attributes:
        words: in their order.
        heads: number of the head of each word, from 1; 0 for the root.
        relations: of each word to its head.
        gold_heads: heads of the treebank, where known.
        gold_relations: relations of the treebank, where known; named as the parser names them, without subtypes.
        sent_id: name of the sentence.
        tags: part of speech of each word, to be shown.
    """

    words: Sequence[str]
    heads: Sequence[int]
    relations: Sequence[str]
    gold_heads: Sequence[int] | None = None
    gold_relations: Sequence[str] | None = None
    sent_id: str | None = None
    tags: Sequence[str] | None = None

    @property
    def wrong_heads(self) -> int:
        """Words with another head than in the treebank."""
        return sum(head != gold for head, gold in zip(self.heads, self.gold_heads or self.heads))

    @property
    def wrong(self) -> int:
        """Words with another head or another relation than in the treebank."""
        gold = zip(self.gold_heads or self.heads, self.gold_relations or self.relations)
        return sum(found != right for found, right in zip(zip(self.heads, self.relations), gold))

    @property
    def las(self) -> float:
        """Percentage of words with the right head and the right relation."""
        return 100 * (1 - self.wrong / max(1, len(self.words)))


def show_scores(name: str, scores: TreeScores, folder: Path, loggers: Sequence[Logger]) -> None:
    """Writes the tables and figures of a set's scores to the run folder and the tracker; to be called on every rank.

    Args:
        name: of the set.
        scores: of its trees.
        folder: the run folder.
        loggers: `trainer.loggers`.
    """
    relations, arcs, lengths = scores.by_relation(), scores.by_arc_length(), scores.by_sentence_length()
    tables = {
        "by_relation": (RELATION_COLUMNS, relations),
        "by_arc_length": (ARC_COLUMNS, arcs),
        "by_sentence_length": (SENTENCE_COLUMNS, lengths),
        "confusions": (CONFUSION_COLUMNS, scores.confusions(CONFUSIONS)),
        "head_errors": (HEAD_ERROR_COLUMNS, scores.head_errors(CONFUSIONS)),
    }
    for table, (columns, rows) in tables.items():
        save_table(columns, rows, f"{name}/{table}", folder, loggers)
    if getattr(rank_zero_only, "rank", 0) == 0:
        save_figure(relation_figure(relations), f"{name}/by_relation", folder, loggers)
        save_figure(arc_length_figure(arcs), f"{name}/by_arc_length", folder, loggers)
        save_figure(sentence_length_figure(lengths), f"{name}/by_sentence_length", folder, loggers)


def relation_figure(rows: Sequence[Row], most: int = 25) -> Figure:
    """Draws the scores of the most frequent relations.

    Args:
        rows: of `TreeScores.by_relation`.
        most: relations at most.
    """
    frequent = [row for row in rows if row[RELATION_COLUMNS.index("words")]][:most]
    return score_figure("Attachment by relation", RELATION_COLUMNS, frequent)


def arc_length_figure(rows: Sequence[Row]) -> Figure:
    """Draws the scores by distance between a word and its head.

    Args:
        rows: of `TreeScores.by_arc_length`.
    """
    return score_figure("Attachment by distance of the head", ARC_COLUMNS, rows)


def sentence_length_figure(rows: Sequence[Row]) -> Figure:
    """Draws the scores by words of a sentence.

    Args:
        rows: of `TreeScores.by_sentence_length`.
    """
    return score_figure("Attachment by length of the sentence", SENTENCE_COLUMNS, rows)


def score_figure(title: str, columns: Sequence[str], rows: Sequence[Row]) -> Figure:
    """Draws a bar for each row, its UAS behind its LAS, with the words that it is a share of.

    Args:
        title: of the figure.
        columns: names: the first is of what the rows are called by, and `words`, `uas` and `las` are among the others.
        rows: of a table of scores.
    """
    words, uas, las = ([float(row[columns.index(name)]) for row in rows] for name in ("words", "uas", "las"))
    names = [f"{plain(str(row[0]))}  ({count:,.0f})" for row, count in zip(rows, words)]
    figure, axes = new_figure(7, 1.3 + 0.27 * max(1, len(rows)))
    axes.set_title(title, loc="left", color=INK, fontsize=11)
    places = range(len(rows))
    axes.barh(places, uas, color=PALE, label="right head (UAS)")
    axes.barh(places, las, color=ACCENT, label="right head and relation (LAS)")
    for place, head, both in zip(places, uas, las):
        axes.text(head + 0.8, place, f"{head:.1f}", va="center", fontsize=7, color=INK)
        if both >= 10:  # else there is no room in the bar
            axes.text(both - 0.8, place, f"{both:.1f}", va="center", ha="right", fontsize=7, color="white")
    axes.set_yticks(places, names)
    axes.set(xlim=(0, 107), ylim=(len(rows) - 0.4, -0.6), xticks=range(0, 101, 20))
    axes.set_xlabel("percent of the words, whose number is in brackets", fontsize=8, color=INK)
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def tree_page(file: Path, title: str, sentences: Sequence[ParsedSentence], count: int = 10) -> Path:
    """Writes a page of trees: the worst and some typical ones where the treebank's are known, and others.

    The worst have the lowest LAS among sentences of five words or more (then among the others); the typical are nearest
    to the middle in LAS and in length.

    Args:
        file: where to; its folder is made.
        title: of the page.
        sentences: of which some are shown.
        count: trees in each section at most.

    Returns:
        The file.
    """
    judged = [sentence for sentence in sentences if sentence.gold_heads is not None]
    worst = worst_first(judged)[:count]
    parts = {
        "Most errors": worst,
        "Typical": [each for each in typical_first(judged) if all(each is not bad for bad in worst)][:count],
        "Without a tree to compare with": [each for each in sentences if each.gold_heads is None][:count],
    }
    sections = [Section(name, [part for each in some for part in drawn(each)]) for name, some in parts.items() if some]
    return write_page(file, title, [Section("How to read this", [LEGEND])] * bool(judged) + sections)


def worst_first(sentences: Sequence[ParsedSentence]) -> list[ParsedSentence]:
    """Returns the sentences with an error, the lowest LAS first, and more errors first; short sentences come last."""
    wrong = [sentence for sentence in sentences if sentence.wrong]
    return sorted(wrong, key=lambda each: (len(each.words) < SHORT, each.las, -each.wrong))


def typical_first(sentences: Sequence[ParsedSentence]) -> list[ParsedSentence]:
    """Returns the sentences nearest to the median LAS first, and of those nearest to the median length."""
    las = median([each.las for each in sentences] or [0])
    length = median([len(each.words) for each in sentences] or [0])
    return sorted(sentences, key=lambda each: (abs(each.las - las), abs(len(each.words) - length)))


def drawn(sentence: ParsedSentence) -> list[str | Svg]:
    """Returns what stands on the page for a sentence: its name and scores, and the drawing."""
    words, heads, wrong = len(sentence.words), sentence.wrong_heads, sentence.wrong
    facts = [sentence.sent_id, f"words: {words}"]
    if sentence.gold_heads is not None:
        facts += [f"LAS {sentence.las:.1f}", f"UAS {100 * (1 - heads / max(1, words)):.1f}"]
        facts += [f"wrong heads: {heads}", f"right heads with a wrong relation: {wrong - heads}"]
    tree = sentence.heads, sentence.relations, sentence.gold_heads, sentence.gold_relations, sentence.tags
    return [" · ".join(fact for fact in facts if fact), draw_tree(sentence.words, *tree)]
