"""What a parser should do to build a given tree: the static oracles of arc-standard and of its extension by SWAP.

Both attach a word as soon as it has all its own dependents. With SWAP, words are sorted into the order in which the
tree is projective (Nivre 2009, section 3), and no sooner than needed (Nivre, Kuhlmann & Hall 2009, "An Improved Oracle
for Dependency Parsing with Online Reordering").
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from lightning_nlp.parser.projectivity import is_projective, projective, projective_order
from lightning_nlp.parser.transitions import HEAD, LEFT, RIGHT, SHIFT, STAY, SWAP, State, apply, initial


class Step(NamedTuple):
    """One moment of a replayed tree: states, and what the oracle does there; STAY where a sentence is finished."""

    state: State
    transition: Int[Tensor, "batch"]
    label: Int[Tensor, "batch"]


def replay(
    heads: Int[Tensor, "batch length"], labels: Int[Tensor, "batch length"], lengths: Int[Tensor, "batch"], swap: bool
) -> Iterator[Step]:
    """Yields the way to each tree, step by step, until the longest is built.

    Without SWAP it leads to the tree with its arcs lifted until no two cross (`projective`).

    Args:
        heads: of each word, 0 for the root; anything beyond a sentence's length.
        labels: of the arcs.
        lengths: words of each sentence.
        swap: whether SWAP belongs to the system.
    """
    oracle = Oracle.of(heads, lengths, swap)
    nothing, label_of = heads.shape[1] + 1, by_word(labels)
    state = initial(lengths, heads.shape[1])
    while not state.is_final().all():
        transition = oracle(state)
        top, second = state.stack(2).unbind(1)
        child = torch.where(transition == LEFT, second, torch.where(transition == RIGHT, top, nothing))
        label = label_of.gather(1, child[:, None])[:, 0]
        yield Step(state, transition, label)
        state = apply(state, transition, label)


class Oracle:
    """Tells the next transition towards given trees, from states on the way to them.

    Args:
        heads: of each word; projective trees where there is no SWAP.
        lengths: words of each sentence.
        is_word: what of `heads` is not padding.
        swap: whether SWAP belongs to the system.
    """

    def __init__(
        self,
        heads: Int[Tensor, "batch length"],
        lengths: Int[Tensor, "batch"],
        is_word: Bool[Tensor, "batch length"],
        swap: bool,
    ) -> None:
        batch, length = heads.shape
        nothing = length + 1
        beside = heads.new_full((batch, 1), nothing)
        self.head = torch.cat([beside, torch.where(is_word, heads, nothing), beside], dim=1)  # of root and nothing too
        children = torch.zeros_like(self.head).scatter_add_(1, self.head, torch.ones_like(self.head))
        self.children = children
        self.order: Tensor | None = None
        self.component: Tensor | None = None
        crossing = (~is_projective(heads, is_word)).nonzero()[:, 0] if swap else lengths[:0]
        if len(crossing):
            some = heads[crossing], is_word[crossing]
            self.order = torch.arange(nothing + 1, device=heads.device).repeat(batch, 1)
            self.component = torch.full_like(self.order, -1)
            self.order[crossing, :nothing] = projective_order(*some)
            self.order[crossing, nothing] = 2 * nothing
            self.component[crossing, :nothing] = components(some[0], lengths[crossing], some[1])

    @classmethod
    def of(cls, heads: Int[Tensor, "batch length"], lengths: Int[Tensor, "batch"], swap: bool) -> "Oracle":
        """Returns the oracle of any trees; without SWAP, of the trees with arcs lifted until no two cross."""
        is_word = torch.arange(heads.shape[1], device=heads.device) < lengths[:, None]
        heads = torch.where(is_word, heads, 0)
        return cls(heads if swap else projective(heads, is_word), lengths, is_word, swap)

    def __call__(self, state: State) -> Int[Tensor, "batch"]:
        """Returns the transition of each sentence."""
        top, second = state.stack(2).unbind(1)
        attached = self._attached(state)
        is_whole = attached == self.children
        whole_top, whole_second = (is_whole.gather(1, word[:, None])[:, 0] for word in (top, second))
        head_of_top, head_of_second = (self.head.gather(1, word[:, None])[:, 0] for word in (top, second))
        two = state.depth >= 2
        transition = torch.where(state.left > 0, SHIFT, STAY)
        if self.order is not None:
            transition = torch.where(self._wants_swap(state, top, second), SWAP, transition)
        is_right = two & (head_of_top == second) & whole_top & ((state.depth > 2) | (state.left == 0))
        is_left = two & (head_of_second == top) & whole_second
        return torch.where(is_left, LEFT, torch.where(is_right, RIGHT, transition))

    def _attached(self, state: State) -> Int[Tensor, "batch places"]:
        """Counts the children that each word has got."""
        heads = state.memory[:, HEAD, : self.head.shape[1]].clone()
        return torch.zeros_like(self.head).scatter_add_(1, heads, torch.ones_like(heads))

    def _wants_swap(self, state: State, top: Tensor, second: Tensor) -> Bool[Tensor, "batch"]:
        """Whether the words on top stand in the wrong order, and what comes next will not mend it by itself."""
        assert self.order is not None
        assert self.component is not None
        first = state.buffer(1)
        before = self.order.gather(1, top[:, None])[:, 0] < self.order.gather(1, second[:, None])[:, 0]
        grows = self.component.gather(1, top[:, None]) == self.component.gather(1, first)
        return (state.depth >= 3) & before & (second < top) & ~grows[:, 0]


def by_word(labels: Int[Tensor, "batch length"]) -> Int[Tensor, "batch places"]:
    """Returns the labels with a place for the root before them and for nothing after, 0 both."""
    return torch.nn.functional.pad(labels, (1, 1))


def components(
    heads: Int[Tensor, "batch length"], lengths: Int[Tensor, "batch"], is_word: Bool[Tensor, "batch length"]
) -> Int[Tensor, "batch words"]:
    """Returns for each word, the root first, the top of what arc-standard can build around it without SWAP.

    These are the maximal projective components of Nivre, Kuhlmann & Hall 2009, section 3.
    """
    oracle = Oracle(heads, lengths, is_word, swap=False)
    state = initial(lengths, heads.shape[1])
    while not ((transition := oracle(state)) == STAY).all():
        state = apply(state, transition, torch.zeros_like(transition))
    word = torch.arange(heads.shape[1] + 1, device=heads.device).expand(len(heads), -1)
    found = torch.cat([torch.zeros_like(heads[:, :1]), state.heads(heads.shape[1])], dim=1)
    top = torch.where((found == state.nothing) | (found == 0), word, found)
    for _ in range(heads.shape[1].bit_length()):
        top = top.gather(1, top)
    return top
