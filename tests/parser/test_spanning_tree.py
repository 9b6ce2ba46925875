"""The best tree, against all trees of short sentences, networkx, and long sentences whose tree is known."""

import time
from functools import cache
from itertools import product

import networkx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_nlp.parser import spanning_tree
from lightning_nlp.parser.spanning_tree import is_tree, maximum_spanning_tree

INF = torch.inf


def words(*lengths: int, padded_to: int = 0) -> torch.Tensor:
    return torch.arange(max(*lengths, padded_to, 0)) < torch.tensor(lengths)[:, None]


def climbs(heads: tuple[int, ...]) -> bool:
    """Whether each word comes to the root in as many steps as there are words, and one word hangs on it."""

    def arrives(word: int) -> bool:
        for _ in heads:
            word = heads[word - 1] if word else 0
        return word == 0

    return heads.count(0) == 1 and all(map(arrives, range(1, len(heads) + 1)))


@cache
def all_trees(length: int) -> torch.Tensor:
    return torch.tensor([heads for heads in product(range(length + 1), repeat=length) if climbs(heads)])


def total(scores: torch.Tensor, heads: torch.Tensor) -> torch.Tensor:
    """Sums of the scores of some trees of one sentence."""
    return scores.double().expand(len(heads), -1, -1).gather(2, heads[:, :, None]).sum((1, 2))


def to_the_next(length: int) -> torch.Tensor:
    """Arcs that make one cycle of all words."""
    cycle = torch.zeros(length, length + 1)
    cycle[range(length), [*range(2, length + 1), 1]] = 1
    return cycle


def few_forbidden_by_a_number(noise: torch.Tensor) -> torch.Tensor:
    return torch.where(noise > 0.8, -1e9, noise * 1e-4)


# What makes a search stumble: from normal noise [length, length + 1] to scores.
KINDS = {
    "noise": lambda noise: noise,
    "thousands": lambda noise: noise * 1e4,
    "tiny": lambda noise: noise * 1e-4,
    "huge": lambda noise: noise * 1e30,
    "vanishing": lambda noise: noise * 1e-30,
    "a common offset": lambda noise: noise + 1e4,
    "ties": lambda noise: noise.round(),
    "all the same": lambda noise: noise * 0,
    "one large cycle": lambda noise: noise + 10 * to_the_next(len(noise)),
    "equal but a cycle": lambda noise: to_the_next(len(noise)),
    "many roots": lambda noise: noise + 5 * (torch.arange(len(noise) + 1) == 0),
    "no roots": lambda noise: noise - 1e4 * (torch.arange(len(noise) + 1) == 0),
    "forbidden by a number": few_forbidden_by_a_number,
    "forbidden": lambda noise: noise.masked_fill(noise > 0.5, -INF),
    "mostly forbidden": lambda noise: noise.masked_fill(noise > -0.2, -INF),
}


def scores_of(kind: str, length: int, seed: int) -> torch.Tensor:
    return KINDS[kind](torch.randn(length, length + 1, generator=torch.Generator().manual_seed(seed)))


def batch_of(sentences: list[torch.Tensor], length: int, filling: float = 50.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Sentences padded by scores that would be chosen, and which of it are words."""
    scores = torch.full((len(sentences), length, length + 1), filling)
    for row, sentence in zip(scores, sentences):
        row[: len(sentence), : len(sentence) + 1] = sentence
    return scores, words(*map(len, sentences), padded_to=length)


def tree_of(scores: torch.Tensor) -> torch.Tensor:
    return maximum_spanning_tree(scores[None], words(len(scores)))[0]


@pytest.fixture
def slow_path(monkeypatch):
    """The sentences that went through Chu-Liu/Edmonds, by their length."""
    lengths, original = [], spanning_tree.chu_liu_edmonds

    def counted(scores):
        lengths.append(len(scores))
        return original(scores)

    monkeypatch.setattr(spanning_tree, "chu_liu_edmonds", counted)
    return lengths


@pytest.mark.parametrize("length", range(1, 6))
def test_a_tree_is_what_climbs_to_one_root(length):
    heads = list(product(range(length + 1), repeat=length))
    found = is_tree(torch.tensor(heads), torch.ones(len(heads), length, dtype=torch.bool))
    assert found.tolist() == [climbs(some) for some in heads]
    assert found.sum() == length ** (length - 1)  # Cayley's number of rooted trees


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 8, 9, 63, 64, 65, 257])
def test_the_deepest_tree_is_one_until_its_end_is_tied_to_a_cycle(length):
    heads = torch.arange(length)[None].repeat(length + 1, 1)
    heads[range(length), range(length)] = length  # the last row stays a chain
    assert is_tree(heads, torch.ones_like(heads, dtype=torch.bool)).tolist() == [False] * length + [True]


def test_heads_of_padding_do_not_matter_and_words_hang_on_no_padding():
    heads = torch.tensor([[2, 0, 9, -7], [2, 0, 0, 2], [3, 0, 2, 0], [5, 0, 2, 2], [-1, 0, 2, 2]])
    assert is_tree(heads, words(2, 2, 2, 4, 4)).tolist() == [True, True, False, False, False]


def test_an_empty_sentence_is_a_tree_and_no_batch_is_too_small():
    assert is_tree(torch.tensor([[0, 1], [1, 2]]), words(0, 0, padded_to=2)).tolist() == [True, True]
    for batch, length in ((0, 0), (0, 3), (3, 0)):
        mask = torch.ones(batch, length, dtype=torch.bool)
        heads = maximum_spanning_tree(torch.randn(batch, length, length + 1), mask)
        assert heads.shape == (batch, length)
        assert is_tree(heads, mask).tolist() == [True] * batch


@pytest.mark.parametrize("kind", KINDS)
@given(length=st.integers(1, 5), seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_no_tree_is_better(kind, length, seed):
    check_against_all_trees(scores_of(kind, length, seed))


@pytest.mark.parametrize("kind", KINDS)
def test_no_tree_of_six_words_is_better(kind):
    for seed in range(20):
        check_against_all_trees(scores_of(kind, 6, seed))


def check_against_all_trees(scores: torch.Tensor) -> None:
    best = total(scores, all_trees(len(scores))).max()
    if best == -INF:
        with pytest.raises(ValueError, match="no tree with one root for sentence 0"):
            tree_of(scores)
        return
    heads = tree_of(scores)
    rounding = 1e-14 * float(scores[scores > -INF].abs().max())
    assert climbs(tuple(heads.tolist()))
    assert float(total(scores, heads[None])) == pytest.approx(float(best), rel=0, abs=rounding)


def test_differences_that_double_precision_alone_can_tell_count():
    for seed in range(20):
        check_against_all_trees(1 + 1e-10 * scores_of("one large cycle", 5, seed).double())


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_no_tree_is_better_where_scores_are_few_integers(data):
    length = data.draw(st.integers(1, 5))
    row = st.lists(st.sampled_from([-INF, 0.0, 1.0, 2.0]), min_size=length + 1, max_size=length + 1)
    check_against_all_trees(torch.tensor(data.draw(st.lists(row, min_size=length, max_size=length))))


@pytest.mark.parametrize("kind", ["noise", "one large cycle", "many roots", "no roots", "ties"])
@pytest.mark.parametrize("length", [9, 16])
def test_networkx_finds_nothing_better(kind, length):
    scores = scores_of(kind, length, seed=length)
    best = max(best_from_one_root(scores, root) for root in range(length))
    assert float(total(scores, tree_of(scores)[None])) == pytest.approx(best, abs=1e-6)


def best_from_one_root(scores: torch.Tensor, root: int) -> float:
    graph = networkx.DiGraph()
    for dependent, row in enumerate(scores.tolist()):
        if dependent != root:
            graph.add_weighted_edges_from((head, dependent, row[head + 1]) for head in range(len(row) - 1))
    tree = networkx.maximum_spanning_arborescence(graph)
    return float(scores[root, 0]) + sum(weight for *_, weight in tree.edges.data("weight"))


def test_only_sentences_whose_best_heads_are_no_tree_take_the_slow_path(slow_path):
    sentences = [scores_of("noise", length, seed) for length in range(7) for seed in range(40)]
    scores, mask = batch_of(sentences, length=8)
    found = maximum_spanning_tree(scores, mask)
    greedy = [best_heads(sentence) for sentence in sentences]
    assert slow_path == [len(heads) for heads in greedy if heads and not climbs(heads)]
    assert 50 < len(slow_path) < 200
    for row, heads in zip(found.tolist(), greedy):
        if climbs(heads):
            assert row[: len(heads)] == list(heads)


def best_heads(scores: torch.Tensor) -> tuple[int, ...]:
    """The best head of each word that is not itself."""
    rows = enumerate(scores.tolist(), start=1)
    return tuple(max((score, head) for head, score in enumerate(row) if head != word)[1] for word, row in rows)


@pytest.mark.parametrize("filling", [50.0, -50.0, -INF, INF, torch.nan])
def test_padding_and_neighbours_change_nothing(filling):
    sentences = [scores_of(kind, length, seed=length) for kind in ("noise", "no roots") for length in (5, 0, 1, 9, 3)]
    scores, mask = batch_of(sentences, length=12, filling=filling)
    found = maximum_spanning_tree(scores, mask)
    for row, sentence in zip(found, sentences):
        assert row.tolist() == tree_of(sentence).tolist() + [0] * (12 - len(sentence))


def test_what_is_no_word_may_stand_anywhere():
    scores = scores_of("one large cycle", 5, seed=3)
    places = torch.tensor([0, 2, 3, 6, 7, 8])  # of the root and the words
    spread = torch.full((8, 9), 50.0)
    spread[(places[1:] - 1)[:, None], places] = scores
    mask = torch.isin(torch.arange(1, 9), places)
    heads = maximum_spanning_tree(spread[None], mask[None])[0]
    assert heads[mask].tolist() == places[tree_of(scores)].tolist()
    assert heads[~mask].tolist() == [0, 0, 0]


def test_a_word_is_never_its_own_head():
    scores = scores_of("noise", 6, seed=0)
    scores[range(6), range(1, 7)] = torch.tensor([1e9, INF, torch.nan, -INF, 0.0, 1e38])
    heads = tree_of(scores)
    scores[range(6), range(1, 7)] = -INF
    assert heads.tolist() == tree_of(scores).tolist()


def test_one_word_hangs_on_the_root():
    assert tree_of(torch.tensor([[-1e30, 1e30]])).tolist() == [0]


def test_what_a_row_of_scores_has_in_common_changes_nothing():
    scores = scores_of("no roots", 30, seed=1)
    assert tree_of(scores).tolist() == tree_of(scores.log_softmax(1)).tolist()


def test_scores_are_left_as_they_were_and_may_be_of_any_precision():
    scores = scores_of("no roots", 9, seed=2).round().requires_grad_()
    before = scores.detach().clone()
    heads = tree_of(scores)
    assert scores.equal(before)
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        assert tree_of(scores.to(dtype).float()).tolist() == tree_of(scores.to(dtype)).tolist()
    assert heads.dtype == torch.long


@pytest.mark.parametrize("bad", [torch.nan, INF])
def test_scores_that_are_no_numbers_are_refused(bad):
    scores = torch.randn(3, 4, 5)
    scores[1, 2, 1] = bad
    with pytest.raises(ValueError, match="NaN or inf in sentence 1"):
        maximum_spanning_tree(scores, words(4, 4, 4))


def test_a_sentence_without_a_tree_is_named():
    scores = torch.randn(4, 3, 4)
    scores[2, 1] = -INF  # the second word may have no head
    with pytest.raises(ValueError, match="sentence 2"):
        maximum_spanning_tree(scores, words(3, 3, 3, 3))
    scores[2, :2] = torch.tensor([0.0, -INF, -INF, -INF])  # two words may only hang on the root
    with pytest.raises(ValueError, match="sentence 2"):
        maximum_spanning_tree(scores, words(3, 3, 3, 3))


def nested_cycles(length: int) -> torch.Tensor:
    """Scores whose best tree is a chain, found only after the first two words, then each further one, were one node."""
    scores = torch.full((length, length + 1), -10_000.0)
    word = torch.arange(length)
    scores[:, 0] = -200
    scores[0, 0] = -100
    scores[word[1:], word[1:]] = 0  # each word on the one before
    scores[word[:-1], word[:-1] + 2] = 0.01  # and a little better on the one after: 20 at most for all
    return scores


@pytest.mark.parametrize("order", ["rising", "falling", "shuffled"])
def test_two_thousand_words(order):
    length = 2000
    rising = torch.arange(length)
    shuffled = torch.randperm(length, generator=torch.Generator().manual_seed(0))
    place = {"rising": rising, "falling": rising.flip(0), "shuffled": shuffled}[order]
    name = torch.cat([torch.tensor([0]), 1 + place])
    scores = torch.empty(length, length + 1)
    scores[place[:, None], name] = nested_cycles(length)
    assert timed_tree_of(scores)[place].tolist() == name[:-1].tolist()


def test_two_thousand_words_of_noise():
    scores = scores_of("no roots", 2000, seed=0).double()
    heads = timed_tree_of(scores)[None]
    best = scores[:, 1:].fill_diagonal_(-INF).max(1).values
    bound = best.sum() + (scores[:, 0] - best).max()  # one word on the root and the others where they like, in cycles
    assert is_tree(heads, words(2000)).all()
    assert bound - 5 < total(scores, heads) <= bound  # some ln(2000) / 2 cycles, opened for a few tenths each


def timed_tree_of(scores: torch.Tensor) -> torch.Tensor:
    begin = time.process_time()
    heads = tree_of(scores)
    assert time.process_time() - begin < 10
    return heads
