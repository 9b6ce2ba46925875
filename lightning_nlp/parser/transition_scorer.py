"""Scores of transitions from the words around stack and buffer, greedy parsing by them, and their loss on a tree.

Chen & Manning 2014, "A Fast and Accurate Dependency Parser using Neural Networks", with the first layer computed ahead
for every word at every place it may take (section 3.2), for the words of the batch instead of the most frequent ones.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding_bag

from lightning_nlp.dropout import dropout
from lightning_nlp.parser.batch import Gold
from lightning_nlp.parser.config import ParserConfig, known
from lightning_nlp.parser.decisions import Decisions
from lightning_nlp.parser.kernel import Examples, Explorer, can_parse, kernel_decisions, kernel_examples, load_kernel
from lightning_nlp.parser.oracle import Oracle, by_word, replay
from lightning_nlp.parser.transitions import (
    LABEL,
    LEFT_CHILD,
    LEFT_CHILD_2,
    RIGHT,
    RIGHT_CHILD,
    RIGHT_CHILD_2,
    STAY,
    State,
    apply,
    initial,
    legal,
)


class Features(NamedTuple):
    """What a state looks like to the scorer: words at its places, and labels of the children among them plus 1."""

    words: Int[Tensor, "batch places"]
    labels: Int[Tensor, "batch children"]


def stack_features(state: State) -> Features:
    """Returns three words of the stack and one of the buffer (Kiperwasser & Goldberg 2016, section 4.1)."""
    words = torch.cat([state.stack(3), state.buffer(1)], dim=1)
    return Features(words, words[:, :0])


def children_features(state: State) -> Features:
    """Returns three words of the stack, one of the buffer, and the last child on either side of the two words on top.

    These are 8 words and 4 labels (as the extended set of Kiperwasser & Goldberg 2016, section 4.1, without the third
    word's children).
    """
    top = state.stack(2)
    children = torch.cat([state.at(LEFT_CHILD, top), state.at(RIGHT_CHILD, top)], dim=1)
    words = torch.cat([state.stack(3), state.buffer(1), children], dim=1)
    return Features(words, state.at(LABEL, children))


def full_features(state: State) -> Features:
    """Returns the 18 words and 12 labels of Chen & Manning 2014, section 3.1.

    Three words of the stack, three of the buffer, and of each of the two words on top: two children on either side,
    and the outermost child of the outermost child on either side.
    """
    top = state.stack(2)
    rows = (LEFT_CHILD, RIGHT_CHILD, LEFT_CHILD_2, RIGHT_CHILD_2)
    left, right, *second = (state.at(row, top) for row in rows)
    children = torch.cat([left, right, *second, state.at(LEFT_CHILD, left), state.at(RIGHT_CHILD, right)], dim=1)
    words = torch.cat([state.stack(3), state.buffer(3), children], dim=1)
    return Features(words, state.at(LABEL, children))


class FeatureSet(NamedTuple):
    """How features are read, and how many words and labels there are."""

    read: Callable[[State], Features]
    places: int
    children: int


FEATURE_SETS = {
    "stack": FeatureSet(stack_features, 4, 0),
    "children": FeatureSet(children_features, 8, 4),
    "full": FeatureSet(full_features, 18, 12),
}


class TransitionScorer(nn.Module):
    """One hidden layer over the words and labels of a state; an arc's transition and label are one class.

    Classes are SHIFT, SWAP, then LEFT and RIGHT for each label.

    Args:
        config: the numbers.
        dim: numbers of a word.
    """

    allowed: Tensor  # labels of arcs from a word, and from the root

    def __init__(self, config: ParserConfig, dim: int) -> None:
        super().__init__()
        self.swap = config.system == "swap"
        self.features, self.places, self.child_places = FEATURE_SETS[config.features]
        self.child_places *= config.labelled
        self.labels = known(config.label_count) if config.labelled else 1
        self.exploration = config.exploration
        self.labelled, self.dropout, self.width = config.labelled, config.dropout, config.scorer_dim
        self.nothing = nn.Parameter(torch.zeros(dim))
        self.words = nn.Linear(dim, self.places * self.width, bias=False)
        self.bias = nn.Parameter(torch.zeros(self.width))
        if self.child_places:
            self.label = nn.Embedding(self.labels + 1, config.label_dim, padding_idx=0)
            self.arcs = nn.Linear(config.label_dim, self.child_places * self.width, bias=False)
        self.out = nn.Linear(self.width, 2 + 2 * self.labels)
        self.register_buffer("allowed", torch.ones(2, self.labels, dtype=torch.bool))

    @property
    def numbers(self) -> tuple[int, int, int, int, bool, bool]:
        """What the compiled loops are made for."""
        return self.places, self.child_places, self.width, self.labels, self.labelled, self.swap

    def can_explore(self, device: torch.device) -> bool:
        """Tells whether training there can leave the oracle's way."""
        return device.type == "cpu" and load_kernel(*self.numbers) is not None

    # -- scores -----------------------------------------------------------------------------------------------------

    def table(self, states: Float[Tensor, "batch words dim"]) -> Float[Tensor, "rows hidden"]:
        """Returns what each word, and nothing after the last, adds to the hidden layer at each place.

        Args:
            states: of root and words.
        """
        nothing = self.nothing.expand(len(states), 1, -1)
        return self.words(torch.cat([states, nothing], dim=1)).view(-1, self.width)

    def rows(self, seen: Features, sentence: Int[Tensor, "batch"], words: int) -> Features:
        """Returns the rows of the tables of words and of labels that features stand for.

        Args:
            seen: of states.
            sentence: which sentence of the table each state is of.
            words: of a sentence in the table: root, words and nothing.
        """
        place = torch.arange(self.places, device=sentence.device)
        rows = (sentence[:, None] * words + seen.words) * self.places + place
        labels = seen.labels[:, : self.child_places]  # an unlabelled parser looks at none
        return Features(rows, labels * self.child_places + place[: self.child_places])

    def scores(self, table: Float[Tensor, "rows hidden"], rows: Features) -> Float[Tensor, "states classes"]:
        """Returns the score of each class in each state."""
        hidden = self.bias + embedding_bag(rows.words, table, mode="sum")
        if self.child_places:
            hidden = hidden + embedding_bag(rows.labels, self.label_table(), mode="sum")
        return self.out(dropout(hidden.relu(), self.dropout, self.training))

    def label_table(self) -> Float[Tensor, "rows hidden"]:
        """Returns what each label, no label first, adds to the hidden layer at each child's place."""
        return self.arcs(self.label.weight).view(-1, self.width)

    def legal(self, state: State) -> Bool[Tensor, "batch classes"]:
        """Tells which classes are allowed: the transition is legal, and the label is one of the root or of a word."""
        may = legal(state, self.swap)
        labels = self.allowed[(state.depth == 2).long()]  # with one word on the stack an arc comes from the root
        arcs = labels[:, :, None] & may[:, None, 2:]
        return torch.cat([may[:, :2], arcs.flatten(1)], dim=1)

    # -- training ---------------------------------------------------------------------------------------------------

    def loss(
        self, states: Float[Tensor, "batch words dim"], gold: Gold, lengths: Int[Tensor, "batch"]
    ) -> Float[Tensor, ""]:
        """Returns the mean cross entropy of the oracle's transitions among the legal ones."""
        table = self.table(states)
        words, labels, classes, legal = self.examples(gold, lengths, states.shape[1] + 1, table)
        scores = self.scores(table, Features(words, labels))
        return cross_entropy(scores.masked_fill(~legal, float("-inf")), classes, ignore_index=-1)

    @torch.no_grad()
    def examples(
        self,
        gold: Gold,
        lengths: Int[Tensor, "batch"],
        words: int,
        table: Float[Tensor, "rows hidden"] | None = None,
    ) -> Examples:
        """Follows the oracle, on the CPU in a compiled loop, which can also leave its way.

        Args:
            gold: the trees.
            lengths: words of each sentence.
            words: of a sentence in the table: root, words and nothing.
            table: as from `table`, to explore with.
        """
        library = load_kernel(*self.numbers) if lengths.is_cpu else None
        if library is None:
            return self.examples_in_torch(gold, lengths, words)
        explorer = None
        if table is not None and self.exploration and self.training:
            table = table if can_parse(library, table.dtype) else table.float()
            labels = self.label_table().to(table) if self.child_places else None
            explorer = Explorer(table, labels, self.bias, self.out, self.exploration)
        oracle, by = Oracle.of(gold.heads, lengths, self.swap), by_word(gold.labels + 1)
        found, _ = kernel_examples(library, oracle, by, self.allowed, lengths, self.places, self.child_places, explorer)
        return found

    @torch.no_grad()
    def examples_in_torch(self, gold: Gold, lengths: Int[Tensor, "batch"], words: int) -> Examples:
        """Follows the oracle, all sentences step by step together."""
        rows, classes, masks, active = [], [], [], []
        sentence = torch.arange(len(lengths), device=lengths.device)
        for step in replay(gold.heads, gold.labels + 1, lengths, self.swap):
            label = step.label - 1 if self.labelled else torch.zeros_like(step.label)
            is_arc = (step.transition >= 2) & (step.transition < STAY)
            rows.append(self.rows(self.features(step.state), sentence, words))
            wanted, may = torch.where(is_arc, step.transition + 2 * label, step.transition), self.legal(step.state)
            is_legal = may.gather(1, wanted.clamp(0, may.shape[1] - 1)[:, None])[:, 0]
            classes.append(wanted.where(~is_arc | (is_legal & (label >= 0)), -1))
            masks.append(may)
            active.append(step.transition != STAY)
        chosen = torch.cat(active)
        seen = Features(*(torch.cat(kind)[chosen] for kind in zip(*rows)))
        return Examples(*seen, torch.cat(classes)[chosen], torch.cat(masks)[chosen])

    # -- parsing ----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def decide(self, states: Float[Tensor, "batch words dim"], lengths: Int[Tensor, "batch"]) -> Decisions:
        """Takes the best legal transition until all trees are complete; on the CPU in a compiled loop."""
        library = load_kernel(*self.numbers) if states.is_cpu else None
        number_type = self.words(states[:0]).dtype  # that of the states, or what autocast makes of it
        if states.shape[2] % 2:  # bfloat16 is multiplied in pairs
            number_type = torch.float32
        if library and can_parse(library, number_type):
            labels = self.label_table() if self.child_places else None
            layers = (self.words.weight, self.nothing, labels, self.bias, self.out)
            found = kernel_decisions(library, states, *layers, number_type, self.allowed, lengths)
        else:
            found = self.decide_in_torch(self.table(states), lengths, states.shape[1] + 1)
        return found._replace(labels=found.labels - 1 if self.labelled else torch.full_like(found.labels, -1))

    @torch.no_grad()
    def decide_in_torch(
        self, table: Float[Tensor, "rows hidden"], lengths: Int[Tensor, "batch"], width: int
    ) -> Decisions:
        """Parses a batch, all sentences step by step together.

        Args:
            table: as from `table`.
            lengths: words of each sentence.
            width: rows of a sentence at each place: root, words and nothing.

        Returns:
            Decisions; labels from 1, 0 where there is none.
        """
        state, sentence = initial(lengths, width - 2), torch.arange(len(lengths), device=lengths.device)
        scores = torch.zeros(len(lengths), width, dtype=torch.float32, device=table.device)
        while not state.is_final().all():
            rows = self.rows(self.features(state), sentence, width)
            logits = self.scores(table, rows).float().masked_fill(~self.legal(state), float("-inf"))
            best, chosen = logits.max(1)
            transition = torch.where(chosen >= 2, 2 + chosen % 2, chosen)
            transition = transition.masked_fill(state.is_final(), STAY)
            top, second = state.stack(2).unbind(1)
            child = torch.where(transition == RIGHT, top, second)
            is_arc = (transition >= 2) & (transition < STAY)
            child = torch.where(is_arc, child, width - 1)
            scores.scatter_(1, child[:, None], (best - logits.logsumexp(1))[:, None])
            state = apply(state, transition, (chosen - 2).clamp(min=0) // 2 + 1)
        length = width - 2
        return Decisions(state.heads(length), state.labels(length), scores[:, 1 : length + 1])
