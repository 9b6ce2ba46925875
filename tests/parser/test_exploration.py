"""A parser that makes mistakes on the way: what it is told to do after them, against all that could still be done."""

import itertools

import pytest
import torch

from lightning_nlp.parser.kernel import Explorer, kernel_examples, load_kernel
from lightning_nlp.parser.oracle import Oracle, by_word
from lightning_nlp.parser.projectivity import is_projective
from lightning_nlp.parser.transition_scorer import FEATURE_SETS
from tests.parser.test_transitions import all_trees, everywhere, is_tree

HIDDEN, LABELS = 16, 3


def explored(trees, chance, seed, number_type=torch.float32):
    """Follows the oracle with scores that are drawn; returns examples and the trees that came of it."""
    torch.manual_seed(seed)
    length = trees.shape[1]
    _, places, children = FEATURE_SETS["full"]
    library = load_kernel(places, children, HIDDEN, LABELS, True, False)
    labels = torch.randint(1, LABELS + 1, trees.shape)
    out = torch.nn.Linear(HIDDEN, 2 + 2 * LABELS)
    table = torch.randn(len(trees) * (length + 2) * places, HIDDEN).to(number_type)
    added = torch.randn((LABELS + 1) * children, HIDDEN).to(number_type)
    explorer = Explorer(table, added, out, chance)
    lengths, allowed = everywhere(trees)[0], torch.ones(2, LABELS, dtype=torch.bool)
    oracle = Oracle.of(trees, lengths, swap=False)
    examples, heads = kernel_examples(library, oracle, by_word(labels), allowed, lengths, places, children, explorer)
    return examples, heads[:, 1 : length + 1]


def projective_trees(length):
    trees = all_trees(length)
    return trees[is_projective(trees, everywhere(trees)[1])]


@pytest.mark.skipif(load_kernel(4, 0, 16, 3, True, False) is None, reason="the loops need a C++ compiler")
@pytest.mark.parametrize("number_type", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 6])
def test_whatever_is_done_a_tree_comes_of_it(length, number_type):
    """Without chances for mistakes the tree itself; with them other trees, and always something legal to do."""
    trees = projective_trees(length)
    same, differs = explored(trees, 0.0, 0, number_type), False
    assert same[1].equal(trees)
    for seed, chance in itertools.product(range(5), (0.2, 0.6, 1.0)):
        examples, heads = explored(trees, chance, seed, number_type)
        assert all(map(is_tree, map(tuple, heads.tolist())))
        assert len(examples.classes) == 2 * trees.numel()
        assert examples.legal.gather(1, examples.classes[:, None]).all()
        differs |= not heads.equal(trees)
    assert differs == (length > 1)
