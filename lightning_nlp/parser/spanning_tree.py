"""The best tree over scored arcs, with exactly one root.

The search of Chu & Liu 1965 and Edmonds 1967, brought to parsing by McDonald et al. 2005 ("Non-projective Dependency
Parsing using Spanning Tree Algorithms", section 2.2). Cycles are contracted along a path that grows (Gabow et al. 1986,
"Efficient Algorithms for Finding Minimum Spanning Trees in Undirected and Directed Graphs"), O(n²) for n words. That
a dependency tree has one root is the demand of Zmigrod, Vieira & Cotterell 2020 ("Please Mind the Root"); it is met as
by Stanojević & Cohen 2021 ("A Root of a Problem"): best heads first ("ArcMax"), then arcs from the root come last.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad


def is_tree(heads: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]) -> Bool[Tensor, "batch"]:
    """Tells which sentences have one root and reach it from every word. No word is a tree too.

    Each round doubles the arcs that all words have climbed, so log2(length) rounds bring them to the root, or never.

    Args:
        heads: of each word, 0 for the root; one out of the sentence makes no tree, those of padding do not matter.
        mask: what of `heads` is not padding.
    """
    length = heads.shape[1]
    place = torch.arange(1, length + 1, device=heads.device)
    inside = mask & (heads >= 0) & (heads <= length)
    above = pad(torch.where(inside, heads, place), (1, 0))  # the root and padding stay where they are
    for _ in range((length - 1).bit_length()):
        above = above.gather(1, above)
    arrives = (above[:, 1:] == 0) | ~mask
    roots = (mask & (heads == 0)).sum(1)
    return arrives.all(1) & (roots == mask.any(1))


@torch.no_grad()
def maximum_spanning_tree(
    scores: Float[Tensor, "batch length length+1"], mask: Bool[Tensor, "batch length"]
) -> Int[Tensor, "batch length"]:
    """Returns the heads of the tree with the highest sum of scores among those with exactly one root.

    The best head of each word is taken for all sentences at once; only where these are no tree does a sentence go
    through `chu_liu_edmonds`. Of trees that are equally good any may be returned, on one machine always the same.

    Args:
        scores: `scores[b, d - 1, h]` of head h, 0 for the root, for word d; of any scale, -inf for a forbidden head.
            Those of padding, and of a word as its own head, do not matter.
        mask: what of `scores` are words.

    Returns:
        Heads, 0 for the root and for padding.

    Raises:
        ValueError: a score is NaN or inf, or what is not forbidden holds no tree with one root.
    """
    scores = _of_possible_arcs(scores, mask)
    best, heads = scores.max(2)
    heads = heads.where(mask, 0)
    wrong = (~is_tree(heads, mask) | (mask & (best == -torch.inf)).any(1)).nonzero()[:, 0]
    tables, masks = scores[wrong].cpu().double().numpy(), mask[wrong].cpu().numpy()
    for sentence, table, is_word in zip(wrong.tolist(), tables, masks):
        places = np.flatnonzero(np.append(True, is_word))
        found = chu_liu_edmonds(table[is_word][:, places])
        if found is None:
            raise ValueError(f"scores: no tree with one root for sentence {sentence} of the batch; too many are -inf.")
        heads[sentence, mask[sentence]] = torch.from_numpy(places[found]).to(heads.device)
    return heads


def _of_possible_arcs(
    scores: Float[Tensor, "batch length length+1"], mask: Bool[Tensor, "batch length"]
) -> Float[Tensor, "batch length length+1"]:
    """Forbids padding, as head and as dependent, and words as their own head."""
    itself = torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    possible = mask[:, :, None] & pad(mask[:, None] & ~itself, (1, 0), value=True)
    scores = scores.masked_fill(~possible, -torch.inf)
    bad = ~(scores < torch.inf).flatten(1).all(1)
    if bad.any():
        sentence = int(bad.nonzero()[0])
        raise ValueError(f"scores: NaN or inf in sentence {sentence} of the batch; expected numbers or -inf.")
    return scores


def chu_liu_edmonds(scores: Float[np.ndarray, "length length+1"]) -> Int[np.ndarray, "length"] | None:
    """Returns the heads of the best tree with one root, or None where there is none.

    Every node takes its best head, and nodes in a cycle become one node, until no cycle is left. A node takes an arc
    from the root only when no word can enter it: mostly the one that all words have become. This is the reweighting of
    Stanojević & Cohen 2021, which makes such arcs cost more than all others together, without a number for the cost:
    adding one would round away small differences where others are large.

    Args:
        scores: as of `maximum_spanning_tree`, for one sentence without padding; float64, so that sums are exact enough.
    """
    nodes = _Nodes(scores)
    finished = np.arange(len(scores) + 1) == 0  # by place: it hangs on the root, or is part of a node elsewhere
    for start in range(1, len(finished)):
        path = [] if finished[start] else [start]
        while path:
            head = nodes.take_best_head(path[-1])
            if finished[head]:
                finished[path] = True
                path = []
            elif head in path:
                cycle = path[path.index(head) :]
                nodes.contract(cycle)
                finished[cycle[1:]] = True
                del path[1 - len(cycle) :]
            else:
                path.append(head)
    heads = nodes.expand()
    is_allowed = (np.take_along_axis(scores, heads[:, None], 1) > -np.inf).all()
    return heads if is_allowed and (heads == 0).sum() == min(1, len(heads)) else None


class _Nodes:
    """A graph whose nodes are words and cycles that became nodes; a cycle lives at the place of one of its words.

    Attributes:
        scores: [places, places] of the best arc into the first node from the second, less what it throws out there.
        arcs: that arc, as number of its word times places, plus number of its head.
        node: at each place; words have their own number, cycles the following.
        parent: the cycle that each node is in.
        taken: the arc by which each node is entered.
    """

    def __init__(self, scores: Float[np.ndarray, "length length+1"]) -> None:
        places = len(scores) + 1
        self.scores = np.full((places, places), -np.inf)
        self.scores[1:] = scores
        np.fill_diagonal(self.scores, -np.inf)
        self.arcs = np.arange(places**2).reshape(places, places)
        self.node, self.parent, self.taken = list(range(places)), [0] * places, [0] * places

    def take_best_head(self, place: int) -> int:
        """Enters a node by its best arc, from the root only when there is no other; returns the place of the head."""
        head = 1 + int(self.scores[place, 1:].argmax())
        head = head if self.scores[place, head] > -np.inf else 0
        self.taken[self.node[place]] = int(self.arcs[place, head])
        return head

    def contract(self, cycle: list[int]) -> None:
        """Makes a cycle one node, at its first place; each place is followed by its head, the last by the first."""
        first, every = cycle[0], np.arange(len(self.scores))
        gain = self.scores[cycle] - self.scores[cycle, cycle[1:] + cycle[:1]][:, None]
        into, out = gain.argmax(0), self.scores[:, cycle].argmax(1)
        into_arcs = self.arcs[np.take(cycle, into), every]
        self.scores[:, first], self.arcs[:, first] = (x[every, np.take(cycle, out)] for x in (self.scores, self.arcs))
        self.scores[first], self.arcs[first] = gain[into, every], into_arcs
        self.scores[:, cycle[1:]] = self.scores[first, cycle] = -np.inf
        for place in cycle:
            self.parent[self.node[place]] = len(self.parent)
        self.node[first] = len(self.parent)
        self.parent.append(0)
        self.taken.append(0)

    def expand(self) -> Int[np.ndarray, "length"]:
        """Opens cycles, the last made first: the arc that enters one replaces those of the nodes around its word."""
        places = len(self.scores)
        heads, replaced = np.zeros(places, np.int64), [False] * len(self.parent)
        for node in range(len(self.parent) - 1, 0, -1):
            if not replaced[node]:
                inner, head = divmod(self.taken[node], places)
                heads[inner] = head
                while inner != node:
                    replaced[inner] = True
                    inner = self.parent[inner]
        return heads[1:]
