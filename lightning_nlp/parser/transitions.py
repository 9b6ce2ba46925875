"""Transition systems for dependency trees, a whole batch of sentences at a time, as pure functions on integer tensors.

Arc-standard (Nivre 2004) builds every projective tree with the words of a sentence in their order; its extension by
SWAP (Nivre 2009, "Non-Projective Dependency Parsing in Expected Linear Time") puts two words into another order and
so builds every tree. A state is a stack that begins with the root, a buffer of the words to come, and the arcs so far:

    SHIFT   stack            | first buffer, …   →  stack first     | …
    SWAP    stack second top | …                 →  stack top       | second, …        second before top in the sentence
    LEFT    stack second top | …                 →  stack top       | …                arc top → second
    RIGHT   stack second top | …                 →  stack second    | …                arc second → top
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

SHIFT, SWAP, LEFT, RIGHT, STAY = range(5)
TRANSITIONS = 4  # STAY is what a finished sentence does while others go on

# Rows of a state's memory. Children are those attached last and before last, on either side of their head.
STACK, BUFFER, HEAD, LABEL, LEFT_CHILD, LEFT_CHILD_2, RIGHT_CHILD, RIGHT_CHILD_2 = range(8)
BELOW = 3  # places under the bottom of the stack and of the buffer that hold no word, so that looking deep is safe


class State(NamedTuple):
    """Where the parsers of a batch are. Words are numbered from 1, the root is 0, and `nothing` stands for no word.

    Attributes:
        memory: stack and buffer, bottom first, each above three places of nothing; then for each word its head, the
            label of its arc, and its children. What is not known is nothing, and a label 0.
        depth: words on the stack, the root among them.
        left: words in the buffer.
    """

    memory: Int[Tensor, "batch rows places"]
    depth: Int[Tensor, "batch"]
    left: Int[Tensor, "batch"]

    @property
    def nothing(self) -> int:
        """The number that is no word: one beyond those of the longest sentence."""
        return self.memory.shape[2] - BELOW - 1

    def stack(self, count: int) -> Int[Tensor, "batch count"]:
        """Returns the words on top of the stack, topmost first."""
        return self._top(STACK, self.depth, count)

    def buffer(self, count: int) -> Int[Tensor, "batch count"]:
        """Returns the next words of the buffer, first to come first."""
        return self._top(BUFFER, self.left, count)

    def at(self, row: int, words: Int[Tensor, "batch count"]) -> Int[Tensor, "batch count"]:
        """Returns a row's entries for some words; those of nothing are nothing."""
        return self.memory[:, row].gather(1, words)

    def heads(self, length: int) -> Int[Tensor, "batch length"]:
        """Returns the head of each word; nothing where it has none yet."""
        return self.memory[:, HEAD, 1 : length + 1]

    def labels(self, length: int) -> Int[Tensor, "batch length"]:
        """Returns the label of each word's arc."""
        return self.memory[:, LABEL, 1 : length + 1]

    def is_final(self) -> Bool[Tensor, "batch"]:
        """Tells which sentences are parsed: the root alone is left."""
        return (self.left == 0) & (self.depth == 1)

    def _top(self, row: int, size: Int[Tensor, "batch"], count: int) -> Int[Tensor, "batch count"]:
        places = BELOW - 1 + size[:, None] - torch.arange(count, device=size.device)
        return self.memory[:, row].gather(1, places)


def initial(lengths: Int[Tensor, "batch"], longest: int) -> State:
    """Returns the states before the first transition: the root on the stack, all words in the buffer.

    Args:
        lengths: words of each sentence, 0 is allowed.
        longest: the largest of them.
    """
    device, nothing = lengths.device, longest + 1
    memory = torch.full((len(lengths), 8, nothing + BELOW + 1), nothing, device=device)
    memory[:, LABEL] = 0
    memory[:, STACK, BELOW] = 0
    word = lengths[:, None] - torch.arange(longest, device=device)  # the last word is at the bottom
    memory[:, BUFFER, BELOW : BELOW + longest] = torch.where(word > 0, word, nothing)
    return State(memory, torch.ones_like(lengths), lengths.clone())


def legal(state: State, swap: bool) -> Bool[Tensor, "batch transitions"]:
    """Tells which transitions are allowed; there is one until the tree is complete, and it always gets complete.

    The root takes its one child when no other word is left, so that a tree has exactly one root. SWAP is for words in
    the order of the sentence alone: no two words are swapped twice.

    Args:
        state: of each sentence.
        swap: whether SWAP belongs to the system.
    """
    top, second = state.stack(2).unbind(1)
    two_words = state.depth >= 3
    last = (state.depth == 2) & (state.left == 0)
    can_swap = two_words & (second < top) if swap else torch.zeros_like(two_words)
    return torch.stack([state.left > 0, can_swap, two_words, two_words | last], dim=1)


def apply(state: State, transition: Int[Tensor, "batch"], label: Int[Tensor, "batch"]) -> State:
    """Returns the states after one transition each.

    Args:
        state: of each sentence.
        transition: a legal one for each, STAY for a finished sentence.
        label: of the arc, where there is one.
    """
    memory, depth, left = state
    nothing = state.nothing
    top, second = state.stack(2).unbind(1)
    is_shift, is_swap = transition == SHIFT, transition == SWAP
    is_left, is_right = transition == LEFT, transition == RIGHT
    is_arc = is_left | is_right
    head = torch.where(is_arc, torch.where(is_left, top, second), nothing)
    child = torch.where(is_arc, torch.where(is_left, second, top), nothing)
    children = torch.where(is_right, RIGHT_CHILD, LEFT_CHILD)
    flat, width = memory.flatten(1), memory.shape[2]
    # The stack changes at its second place, but for SHIFT, which writes above it; so does STAY, where nobody reads.
    on_stack = BELOW + depth - 2 * (is_arc | is_swap)
    new_on_stack = torch.where(is_shift, state.buffer(1)[:, 0], torch.where(is_right, second, top))
    writes = {
        STACK * width + on_stack: new_on_stack,
        BUFFER * width + BELOW + left: second,  # above the buffer's end, unless SWAP makes it longer
        HEAD * width + child: head,
        LABEL * width + child: torch.where(is_arc, label, 0),
        (children + 1) * width + head: flat.gather(1, (children * width + head)[:, None])[:, 0],
        children * width + head: child,
    }
    places, values = torch.stack(list(writes), dim=1), torch.stack(list(writes.values()), dim=1)
    grown = is_shift.long() - (is_arc | is_swap).long()
    return State(
        flat.scatter(1, places, values).view_as(memory), depth + grown, left - is_shift.long() + is_swap.long()
    )
