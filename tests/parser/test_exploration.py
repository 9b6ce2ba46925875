"""A parser that makes mistakes on the way: what it is told to do after them, against all that could still be done."""

import itertools
from functools import cache

import pytest
import torch

from lightning_nlp.parser.kernel import Explorer, can_parse, kernel_examples, load_kernel
from lightning_nlp.parser.oracle import Oracle, by_word
from lightning_nlp.parser.projectivity import is_projective
from lightning_nlp.parser.transition_scorer import FEATURE_SETS
from lightning_nlp.parser.transitions import LEFT, RIGHT, SHIFT, SWAP
from tests.parser.test_transitions import all_trees, everywhere, is_tree

HIDDEN, LABELS = 16, 3


def explored(trees, chance, seed, number_type=torch.float32, swap=False):
    """Follows the oracle with scores that are drawn; returns examples and the trees that came of it."""
    torch.manual_seed(seed)
    length = trees.shape[1]
    _, places, children = FEATURE_SETS["full"]
    library = load_kernel(places, children, HIDDEN, LABELS, True, swap)
    if library is None or not can_parse(library, number_type):
        pytest.skip("needs a C++ compiler, and for bfloat16 a processor that multiplies it")
    labels = torch.randint(1, LABELS + 1, trees.shape)
    out = torch.nn.Linear(HIDDEN, 2 + 2 * LABELS)
    table = torch.randn(len(trees) * (length + 2) * places, HIDDEN).to(number_type)
    added = torch.randn((LABELS + 1) * children, HIDDEN).to(number_type)
    explorer = Explorer(table, added, torch.randn(HIDDEN), out, chance)
    lengths, allowed = everywhere(trees)[0], torch.ones(2, LABELS, dtype=torch.bool)
    oracle = Oracle.of(trees, lengths, swap)
    examples, heads = kernel_examples(library, oracle, by_word(labels), allowed, lengths, places, children, explorer)
    return examples, heads[:, 1 : length + 1]


def projective_trees(length):
    trees = all_trees(length)
    return trees[is_projective(trees, everywhere(trees)[1])]


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


@pytest.mark.parametrize("length", [3, 4, 5])
def test_crossing_trees_are_explored_too(length):
    """With SWAP: other trees come of some, all ways end, and none is longer than the oracle's."""
    trees = all_trees(length)
    same = explored(trees, 0.0, 0, swap=True)
    assert same[1].equal(trees)
    changed, steps = torch.zeros(len(trees), dtype=torch.bool), []
    for seed, chance in itertools.product(range(20), (0.2, 0.6, 1.0)):
        examples, heads = explored(trees, chance, seed, swap=True)
        assert all(map(is_tree, map(tuple, heads.tolist())))
        assert examples.legal.gather(1, examples.classes[:, None]).all()
        changed |= (heads != trees).any(1)
        steps.append(len(examples.classes))
    assert changed.all()
    assert max(steps) <= len(same[0].classes) == 2 * trees.numel() + 2 * (same[0].classes == SWAP).sum()
    assert 2 * trees.numel() <= min(steps) < max(steps)


def legal_moves(stack, buffer):
    if len(stack) >= 3:
        return [SHIFT, LEFT, RIGHT] if buffer else [LEFT, RIGHT]
    return [SHIFT] if buffer else [RIGHT] * (len(stack) == 2)


def moved(stack, buffer, move):
    """Returns stack and buffer after a transition, and its arc (child, head)."""
    if move == SHIFT:
        return (*stack, buffer[0]), buffer[1:], None
    *rest, second, first = stack
    return ((*rest, first), buffer, (second, first)) if move == LEFT else ((*rest, second), buffer, (first, second))


@cache
def most_right(stack, buffer, heads):
    """Arcs of a tree that can still be built at most: by trying everything."""
    ways = [moved(stack, buffer, move) for move in legal_moves(stack, buffer)]
    return max((is_right(arc, heads) + most_right(*rest, heads) for *rest, arc in ways), default=0)


def is_right(arc, heads):
    return arc is not None and heads[arc[0] - 1] == arc[1]


def test_advice_after_a_mistake_is_nearly_always_the_best():
    """All trees of four words: what the oracle says after mistakes, against the best of all that can follow."""
    trees, length = projective_trees(4), 4
    cost, mistakes = [], 0
    for seed, chance in enumerate((0.15, 0.3, 0.6)):
        examples, _ = explored(trees, chance, seed)
        tops = examples.words[:, [0, 1, 3]] // FEATURE_SETS["full"].places % (length + 2)
        for heads, seen, classes in zip(
            map(tuple, trees.tolist()), tops.view(len(trees), -1, 3).tolist(), examples.classes.view(len(trees), -1)
        ):
            stack, buffer = (0,), tuple(range(1, length + 1))
            for step, number in enumerate(classes.tolist()):
                advice = number if number < 2 else 2 + number % 2
                *after, arc = moved(stack, buffer, advice)
                lost = most_right(stack, buffer, heads) - most_right(*after, heads) - is_right(arc, heads)
                cost.append(lost)
                if step + 1 < len(seen):  # what was done instead is told by the words on top afterwards
                    ways = {move: moved(stack, buffer, move) for move in legal_moves(stack, buffer)}
                    done = next(move for move, way in ways.items() if top_words(*way[:2], length) == seen[step + 1])
                    mistakes += done != advice
                    stack, buffer, _ = ways[done]
    assert mistakes > 50
    assert max(cost) <= 1
    assert sum(cost) < 0.02 * len(cost)


def top_words(stack, buffer, length):
    padded = [*stack[::-1], length + 1]
    return [padded[0], padded[1], (*buffer, length + 1)[0]]
