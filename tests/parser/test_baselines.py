"""Trees that need no parser are trees nevertheless."""

import pytest
import torch

from lightning_nlp.data.conllu import check
from lightning_nlp.data.sample_baselines import attach_to_next, attach_to_previous
from lightning_nlp.data.sample_world import sample_rows
from lightning_nlp.parser.baselines import next_word_heads, plain_relations, previous_word_heads
from lightning_nlp.parser.metrics import TreeScores

LENGTHS = torch.tensor([1, 2, 5, 9, 0])
MASK = torch.arange(9) < LENGTHS[:, None]


@pytest.mark.parametrize("attach", [previous_word_heads, next_word_heads])
def test_they_are_trees_with_one_root(attach):
    """By the judgement of the reader of treebanks."""
    for length, heads in zip(LENGTHS.tolist(), attach(MASK).tolist()):
        rows = [f"{number}\tw\t_\t_\t_\t_\t{head}\tdep\t_\t_" for number, head in enumerate(heads[:length], start=1)]
        assert heads[length:] == [0] * (9 - length)
        assert heads[:length].count(0) == min(length, 1)
        if length:
            check("\n".join(rows), "baseline")


def test_they_are_what_they_are_called():
    assert previous_word_heads(MASK[2:3]).tolist() == [[0, 1, 2, 3, 4, 0, 0, 0, 0]]
    assert next_word_heads(MASK[2:3]).tolist() == [[2, 3, 4, 5, 0, 0, 0, 0, 0]]


def sample_score(attach):
    """The attachment score on the sample world, and the share of words that are last and hang on the root."""
    trees = [str(row["conllu"]).splitlines() for row in sample_rows("trees", "test")]
    golds = [[int(line.split("\t")[6]) for line in tree if not line.startswith("#")] for tree in trees]
    scores = TreeScores(["dep"])
    for gold in golds:
        mask = torch.ones(1, len(gold), dtype=torch.bool)
        same = torch.zeros(1, len(gold), dtype=torch.long)
        scores.update(attach(mask), same, torch.tensor([gold]), same, mask, ~mask)
    return scores.compute()["uas"], 100 * sum(gold[-1] == 0 for gold in golds) / sum(map(len, golds))


def test_they_score_what_is_counted_on_the_sample_world():
    score, _ = sample_score(previous_word_heads)
    assert score == pytest.approx(attach_to_previous("test")[1])
    score, last_roots = sample_score(next_word_heads)
    assert score == pytest.approx(attach_to_next("test")[1] + last_roots)  # which counts no roots


def test_relations_are_the_common_one_but_for_the_root():
    assert plain_relations(torch.tensor([[2, 0, 2], [0, 0, 0]]), root=7, common=3).tolist() == [[3, 7, 3], [7, 7, 7]]
