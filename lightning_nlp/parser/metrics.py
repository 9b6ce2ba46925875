"""Attachment scores of trees (Buchholz & Marsi 2006; Zeman et al. 2018), and where their errors lie.

The errors are counted by what McDonald & Nivre (2007, "Characterizing the Errors…") look at: relation, length of the
arc, length of the sentence. Everything is a sum of whole numbers, so that neither batches nor processes change a score.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torchmetrics import Metric

Row = list[str | int | float]

SCORES = ("uas", "las", "ucm", "lcm")

# The last place of each bin but the last, which is open. An arc from the root has length 0.
ARC_ENDS, ARC_BINS = (0, 1, 2, 4, 8, 16), ("root", "1", "2", "3-4", "5-8", "9-16", "17+")
SENTENCE_ENDS = (5, 10, 20, 30, 40, 60)
SENTENCE_BINS = ("1-5", "6-10", "11-20", "21-30", "31-40", "41-60", "61+")

RELATION_COLUMNS = ("relation", "words", "uas", "las", "precision", "recall", "f1")
ARC_COLUMNS = ("arc length", "words", "uas", "las")
SENTENCE_COLUMNS = ("sentence length", "sentences", "words", "uas", "las", "ucm", "lcm")
CONFUSION_COLUMNS = ("gold", "predicted", "words", "share", "wrong heads")
HEAD_ERROR_COLUMNS = ("relation", "words", "wrong heads", "share")

UNKNOWN = "(unknown)"


class TreeScores(Metric):
    """Unlabelled and labelled attachment, whole trees that are right, and tables of the errors.

    All scores are percentages, each word (or sentence) counting the same, on all ranks together. A share of nothing is
    0. The tables have a row for what occurred alone, their names of columns are beside this class; like `compute` they
    are asked for on every rank, or on none.

    Args:
        relations: names of the relations, in the order of their ids. Two words have the same relation when they have
            the same id: universal relations make the official score, which ignores subtypes.
    """

    sentence_counts: Tensor  # bin, (all words, no punctuation), (sentences, unlabelled, labelled, words, heads, both)
    arc_counts: Tensor  # bin, (words, heads, both)
    relation_counts: Tensor  # gold, predicted, (words, heads); the last id is unknown

    def __init__(self, relations: Sequence[str]) -> None:
        super().__init__()
        self.relations = (*relations, UNKNOWN)
        for name, shape in {
            "sentence_counts": (len(SENTENCE_BINS), 2, 6),
            "arc_counts": (len(ARC_BINS), 3),
            "relation_counts": (len(self.relations), len(self.relations), 2),
        }.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.long), dist_reduce_fx="sum")

    def update(
        self,
        heads: Int[Tensor, "batch length"],
        relations: Int[Tensor, "batch length"],
        gold_heads: Int[Tensor, "batch length"],
        gold_relations: Int[Tensor, "batch length"],
        mask: Bool[Tensor, "batch length"],
        punctuation: Bool[Tensor, "batch length"],
    ) -> None:
        """Adds a batch of trees. Heads are numbers of words, from 1, and 0 for the root.

        Args:
            heads: predicted heads.
            relations: ids of the predicted relations.
            gold_heads: heads of the treebank.
            gold_relations: relations of the treebank; -1 is one that has no id, and never right.
            mask: true on words. A sentence without any is none.
            punctuation: true on words that the treebank tags as punctuation.
        """
        right = heads == gold_heads
        both = right & (relations == gold_relations) & (gold_relations >= 0)
        lengths = torch.bucketize(mask.sum(-1), _tensor(SENTENCE_ENDS, mask))
        for part, counted in enumerate((mask, mask & ~punctuation)):
            _add(self.sentence_counts[:, part], (lengths,), *_sentence_columns(right, both, counted))

        right, both, words = right[mask], both[mask], mask[mask]
        arcs = torch.bucketize(_arc_lengths(gold_heads)[mask], _tensor(ARC_ENDS, mask))
        _add(self.arc_counts, (arcs,), words, right, both)
        _add(self.relation_counts, (gold_relations[mask].long(), relations[mask].long()), words, right)

    def compute(self) -> dict[str, float]:
        """Returns `uas`, `las`, `ucm` and `lcm`, and each of them as `…_no_punct` for all words but punctuation.

        `ucm` and `lcm` are the sentences whose tree is wholly right, without and with its relations. A sentence that
        is nothing but punctuation is none of the sentences without.
        """
        parts = zip(("", "_no_punct"), self.sentence_counts.sum(0).tolist())
        return {name + suffix: share for suffix, counts in parts for name, share in zip(SCORES, _shares(*counts))}

    def by_relation(self) -> list[Row]:
        """Returns the scores of each relation, frequent ones first (`RELATION_COLUMNS`).

        `uas` and `las` are of the words that have the relation in the treebank. Precision, recall and F1 are of
        labelled arcs: `precision` of the words that were given the relation, `recall` the same as `las`.
        """
        with self._all_ranks():
            counts = self.relation_counts.cpu()
        both = counts[..., 1].diagonal().clone()
        both[-1] = 0
        columns = counts[..., 0].sum(1), counts[..., 0].sum(0), counts[..., 1].sum(1), both
        rows = sorted(zip(self.relations, *(column.tolist() for column in columns)), key=lambda row: -row[1])
        return [_relation_row(*row) for row in rows if row[1] or row[2]]

    def by_arc_length(self) -> list[Row]:
        """Returns the scores by distance from a word to its head in the treebank (`ARC_COLUMNS`)."""
        with self._all_ranks():
            counts = self.arc_counts.tolist()
        return [
            [name, words, _rounded(heads, words), _rounded(both, words)]
            for name, (words, heads, both) in zip(ARC_BINS, counts)
            if words
        ]

    def by_sentence_length(self) -> list[Row]:
        """Returns the scores by words of the sentence, punctuation among them (`SENTENCE_COLUMNS`)."""
        with self._all_ranks():
            counts = self.sentence_counts[:, 0].tolist()
        return [
            [name, sentences, row[2], *(round(share, 2) for share in _shares(sentences, *row))]
            for name, (sentences, *row) in zip(SENTENCE_BINS, counts)
            if sentences
        ]

    def confusions(self, count: int) -> list[Row]:
        """Returns the most frequent errors of relations (`CONFUSION_COLUMNS`).

        Args:
            count: rows at most. `share` is of all wrong relations; `wrong heads` of the words have a wrong head too.
        """
        with self._all_ranks():
            counts = self.relation_counts.cpu().clone()
        counts[:-1, :-1].diagonal().zero_()
        words, heads = counts.flatten(0, 1).unbind(-1)
        total, names = int(words.sum()), self.relations
        return [
            [*(names[place] for place in divmod(pair, len(names))), number, _rounded(number, total), number - right]
            for pair, number, right in _largest(count, words, heads)
        ]

    def head_errors(self, count: int) -> list[Row]:
        """Returns the relations, of the treebank, with the most wrong heads (`HEAD_ERROR_COLUMNS`).

        Args:
            count: rows at most. `share` is of all wrong heads.
        """
        with self._all_ranks():
            words, heads = self.relation_counts.sum(1).cpu().unbind(-1)
        wrong = words - heads
        total = int(wrong.sum())
        return [
            [self.relations[relation], number, errors, _rounded(errors, total)]
            for relation, errors, number in _largest(count, wrong, words)
        ]

    @contextmanager
    def _all_ranks(self) -> Iterator[None]:
        """The sums of all ranks, as `compute` sees them."""
        outermost = not self._is_synced
        with self.sync_context(self.dist_sync_fn, should_sync=outermost, should_unsync=outermost):
            yield


class Accuracy(Metric):
    """Percentage of words with the right label, on all ranks together; 0 where there was no word."""

    right: Tensor
    words: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("right", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("words", torch.tensor(0), dist_reduce_fx="sum")

    def update(
        self,
        labels: Int[Tensor, "batch length"],
        gold_labels: Int[Tensor, "batch length"],
        mask: Bool[Tensor, "batch length"],
    ) -> None:
        """Adds a batch.

        Args:
            labels: predicted ids.
            gold_labels: true ids; -1 is one that has no id, and never right.
            mask: true on words.
        """
        self.right += (mask & (labels == gold_labels) & (gold_labels >= 0)).sum()
        self.words += mask.sum()

    def compute(self) -> float:
        """Returns the percentage so far."""
        return _percent(int(self.right), int(self.words))


def _sentence_columns(
    right: Bool[Tensor, "batch length"], both: Bool[Tensor, "batch length"], counted: Bool[Tensor, "batch length"]
) -> list[Int[Tensor, "batch"]]:
    """For each sentence: is it one, is it right without and with relations, its words, right heads, right words."""
    some = counted.any(-1)
    whole = [some & (are_right | ~counted).all(-1) for are_right in (right, both)]
    sums = [(are_right & counted).sum(-1) for are_right in (counted, right, both)]
    return [*(flag.long() for flag in (some, *whole)), *sums]


def _arc_lengths(heads: Int[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
    """Words from each word to its head, 0 for the root."""
    numbers = torch.arange(1, heads.shape[-1] + 1, device=heads.device)
    return (heads - numbers).abs().masked_fill(heads == 0, 0)


def _add(counts: Tensor, place: tuple[Int[Tensor, "rows"], ...], *columns: Tensor) -> None:
    """Adds to the counts at the place of each row its number in every column; place -1 is the last."""
    counts.index_put_(place, torch.stack(columns, -1).to(counts.dtype), accumulate=True)


def _tensor(numbers: Sequence[int], like: Tensor) -> Int[Tensor, "numbers"]:
    return torch.tensor(numbers, device=like.device)


def _largest(count: int, *columns: Int[Tensor, "rows"]) -> list[tuple[int, ...]]:
    """The rows with the largest numbers above 0 in the first column: place, and the number in each column."""
    places = columns[0].argsort(descending=True, stable=True)[:count]
    rows = zip(places.tolist(), *(column[places].tolist() for column in columns))
    return [row for row in rows if row[1]]


def _shares(sentences: int, unlabelled: int, labelled: int, words: int, heads: int, both: int) -> list[float]:
    """The scores, in the order of `SCORES`."""
    pairs = (heads, words), (both, words), (unlabelled, sentences), (labelled, sentences)
    return [_percent(*pair) for pair in pairs]


def _relation_row(name: str, gold: int, predicted: int, heads: int, both: int) -> Row:
    recall, f1 = _rounded(both, gold), _rounded(2 * both, gold + predicted)
    return [name, gold, _rounded(heads, gold), recall, _rounded(both, predicted), recall, f1]


def _rounded(part: int, whole: int) -> float:
    return round(_percent(part, whole), 2)


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0
