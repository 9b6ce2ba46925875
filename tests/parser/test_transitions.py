import itertools

import pytest
import torch

from lightning_nlp.parser.oracle import Oracle, replay
from lightning_nlp.parser.projectivity import crossed, is_projective, projective, projective_order
from lightning_nlp.parser.transitions import LEFT, RIGHT, SHIFT, STAY, SWAP, apply, initial, legal


def is_tree(heads: tuple[int, ...]) -> bool:
    """One root, and every word below it: by walking up."""
    for word in range(1, len(heads) + 1):
        for _ in heads:
            word = heads[word - 1] if word else 0
        if word:
            return False
    return heads.count(0) == 1


def all_trees(length: int) -> torch.Tensor:
    return torch.tensor([heads for heads in itertools.product(range(length + 1), repeat=length) if is_tree(heads)])


def has_crossing(heads: list[int]) -> bool:
    """Two arcs of which one begins or ends strictly within the other, the root's among them."""
    arcs = [sorted((head, word)) for word, head in enumerate(heads, start=1)]
    return any(a < c < b < d for (a, b), (c, d) in itertools.permutations(arcs, 2))


def everywhere(heads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((len(heads),), heads.shape[1]), torch.ones_like(heads, dtype=torch.bool)


def rebuilt(heads: torch.Tensor, labels: torch.Tensor, lengths: torch.Tensor, swap: bool):
    """Replays the oracle and checks on the way that it keeps to the rules."""
    for step in replay(heads, labels, lengths, swap):
        is_active = step.transition != STAY
        allowed = legal(step.state, swap)
        assert allowed[is_active].gather(1, step.transition[is_active][:, None]).all()
        assert not allowed[~is_active].any()
    return apply(step.state, step.transition, step.label)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("swap", [False, True])
def test_every_tree_is_rebuilt(length, swap):
    """All single-rooted trees of up to six words: with SWAP each, without it each projective one."""
    trees = all_trees(length)
    if not swap:
        trees = trees[is_projective(trees, everywhere(trees)[1])]
    labels = torch.arange(trees.numel()).view_as(trees) % 7
    final = rebuilt(trees, labels, everywhere(trees)[0], swap)
    assert final.is_final().all()
    assert not legal(final, swap).any()
    assert final.heads(length).equal(trees)
    assert final.labels(length).equal(labels)


def test_projective_trees_are_those_without_crossing_arcs():
    for length, count in zip(range(1, 7), (1, 2, 7, 30, 143, 728)):  # Catalan-like: A006013
        trees = all_trees(length)
        found = is_projective(trees, everywhere(trees)[1])
        assert found.tolist() == [not has_crossing(heads) for heads in trees.tolist()]
        assert found.sum() == count


def test_lifting_makes_trees_projective_and_keeps_projective_ones():
    trees = all_trees(5)
    _, is_word = everywhere(trees)
    lifted, before = projective(trees, is_word), is_projective(trees, is_word)
    assert is_projective(lifted, is_word).all()
    assert lifted[before].equal(trees[before])
    assert all(map(is_tree, map(tuple, lifted.tolist())))
    assert (lifted != trees).sum(1)[~before].min() == 1


def test_lifting_by_hand():
    """ "A hearing is scheduled on the issue today": 'on' hangs from 'hearing' across 'is scheduled'."""
    heads = torch.tensor([[2, 4, 4, 0, 2, 7, 5, 4]])
    is_word = torch.ones_like(heads, dtype=torch.bool)
    assert crossed(heads, is_word).nonzero().tolist() == [[0, 4]]
    assert projective(heads, is_word).tolist() == [[2, 4, 4, 0, 4, 7, 5, 4]]


def test_projective_order_by_hand():
    """The same sentence reads "A hearing on the issue is scheduled today" (Nivre 2009, figure 1)."""
    heads = torch.tensor([[2, 4, 4, 0, 2, 7, 5, 4]])
    order = projective_order(heads, torch.ones_like(heads, dtype=torch.bool))
    # The root, a, hearing, is, scheduled, on, the, issue, today.
    assert order.tolist() == [[0, 1, 2, 6, 7, 3, 4, 5, 8]]


def test_words_in_projective_order_have_no_crossing_arcs():
    trees = all_trees(5)
    order = projective_order(trees, everywhere(trees)[1])
    for heads, places in zip(trees.tolist(), order.tolist()):
        assert sorted(places) == list(range(6))
        moved = [0] * 5
        for word, head in enumerate(heads, start=1):
            moved[places[word] - 1] = places[head]
        assert not has_crossing(moved)


def test_sizes_of_long_sentences_are_exact_in_training_with_bfloat16():
    """Which holds whole numbers up to 256 alone; a wrong order is a tree that can never be finished."""
    length, noise = 400, torch.Generator().manual_seed(0)
    heads = (torch.rand(1, length, generator=noise) * torch.arange(1, length + 1)).long()  # below an earlier word
    is_word = torch.ones(1, length, dtype=torch.bool)
    with torch.autocast("cpu", torch.bfloat16):
        found, lifted, oracle = (
            projective_order(heads, is_word),
            projective(heads, is_word),
            Oracle.of(heads, torch.tensor([length]), swap=True),
        )
    assert sorted(found[0].tolist()) == list(range(length + 1))
    assert torch.equal(found, projective_order(heads, is_word))
    assert torch.equal(lifted, projective(heads, is_word))
    assert torch.equal(oracle.order[:, : length + 1], found)


def test_swapping_no_sooner_than_needed():
    """What stands together in the tree is put together first, and moved as one (Nivre, Kuhlmann & Hall 2009)."""
    heads = torch.tensor([[2, 4, 4, 0, 2, 7, 5, 4]])
    steps = list(replay(heads, torch.zeros_like(heads), torch.tensor([8]), swap=True))
    done = [int(step.transition) for step in steps]
    assert done.count(SWAP) == 1  # on-the-issue as one passes is-scheduled as one; word by word it would take six
    assert done.count(SHIFT) == 9
    assert done.count(LEFT) + done.count(RIGHT) == 8


@pytest.mark.parametrize("swap", [False, True])
def test_any_legal_way_ends_in_a_tree(swap):
    """Whatever a parser prefers, it ends, in one well-formed tree; shorter and empty sentences wait."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor([0, 1, 2, 3, 5, 8, 12] * 20)
    state = initial(lengths, 12)
    for _ in range(2 * 12 + 12 * 12):
        allowed = legal(state, swap)
        assert allowed.any(1).equal(~state.is_final())
        noise = torch.rand(allowed.shape, generator=generator) * allowed
        transition = torch.where(allowed.any(1), noise.argmax(1), STAY)
        state = apply(state, transition, torch.ones_like(transition))
    assert state.is_final().all()
    for length, heads in zip(lengths.tolist(), state.heads(12).tolist()):
        assert length == 0 or is_tree(tuple(heads[:length]))
        assert heads[length:] == [state.nothing] * (12 - length)


def test_a_batch_does_what_each_sentence_does_alone():
    long, short = torch.tensor([[2, 4, 4, 0, 2, 7, 5, 4]]), torch.tensor([[2, 0, 2]])
    both = torch.stack([long[0], torch.cat([short[0], torch.tensor([9, 9, 9, 9, 9])])])
    together = [step.transition.tolist() for step in replay(both, both * 0, torch.tensor([8, 3]), swap=True)]
    for place, (heads, length) in enumerate([(long, 8), (short, 3)]):
        alone = [int(step.transition) for step in replay(heads, heads * 0, torch.tensor([length]), swap=True)]
        ways = [step[place] for step in together]
        assert ways[: len(alone)] == alone
        assert set(ways[len(alone) :]) <= {STAY}
