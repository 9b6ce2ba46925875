"""Scores of all arcs of a sentence against each other: deep biaffine attention (Dozat & Manning 2017)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lightning_nlp.dropout import dropout
from lightning_nlp.parser.batch import Gold
from lightning_nlp.parser.config import ParserConfig, known
from lightning_nlp.parser.decisions import Decisions
from lightning_nlp.parser.spanning_tree import maximum_spanning_tree


class Biaffine(nn.Module):
    """Scores pairs of vectors, x' U y with a bias on either side (equations 2 and 3).

    Args:
        dim: numbers of a vector.
        classes: scores of a pair.
    """

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(classes, dim + 1, dim + 1))

    def forward(
        self, dependents: Float[Tensor, "batch length dim"], heads: Float[Tensor, "batch words dim"]
    ) -> Float[Tensor, "batch classes length words"]:
        """Returns the scores of all pairs."""
        dependents, heads = (torch.nn.functional.pad(side, (0, 1), value=1.0) for side in (dependents, heads))
        return dependents[:, None] @ self.weight @ heads[:, None].mT

    def of_pairs(
        self, dependents: Float[Tensor, "batch length dim"], heads: Float[Tensor, "batch length dim"]
    ) -> Float[Tensor, "batch length classes"]:
        """Returns the scores of each dependent with its own head."""
        dependents, heads = (torch.nn.functional.pad(side, (0, 1), value=1.0) for side in (dependents, heads))
        classes, dim, _ = self.weight.shape
        left = (dependents @ self.weight.permute(1, 0, 2).reshape(dim, -1)).unflatten(2, (classes, dim))
        return (left @ heads[..., None])[..., 0]


class BiaffineScorer(nn.Module):
    """Heads by one biaffine product, then labels of the chosen arcs by another.

    Args:
        config: the numbers.
        dim: numbers of a word.
    """

    allowed: Tensor  # labels of arcs from a word, and from the root

    def __init__(self, config: ParserConfig, dim: int) -> None:
        super().__init__()
        labels = known(config.label_count)
        self.dropout, self.sizes = config.dropout, (config.scorer_dim, config.label_scorer_dim)
        self.as_dependent = nn.Linear(dim, sum(self.sizes))
        self.as_head = nn.Linear(dim, sum(self.sizes))
        self.arc = Biaffine(config.scorer_dim, 1)
        self.label = Biaffine(config.label_scorer_dim, labels)
        self.register_buffer("allowed", torch.ones(2, labels, dtype=torch.bool))

    def loss(
        self, states: Float[Tensor, "batch words dim"], gold: Gold, lengths: Int[Tensor, "batch"]
    ) -> Float[Tensor, ""]:
        """Returns the mean cross entropy of heads among all words, plus that of labels given the true heads."""
        dependents, heads = self._sides(states)
        is_word = _is_word(lengths, states.shape[1] - 1)
        arcs = self._arcs(dependents[0], heads[0], lengths)
        labels = self.label.of_pairs(dependents[1], _chosen(heads[1], gold.heads))
        arc_loss = cross_entropy(arcs[is_word], gold.heads[is_word])
        return arc_loss + cross_entropy(labels[is_word], gold.labels[is_word], ignore_index=-1)

    @torch.no_grad()
    def decide(self, states: Float[Tensor, "batch words dim"], lengths: Int[Tensor, "batch"]) -> Decisions:
        """Returns the best tree of each sentence, and the best label of each of its arcs."""
        dependents, heads = self._sides(states)
        is_word = _is_word(lengths, states.shape[1] - 1)
        arcs = self._arcs(dependents[0], heads[0], lengths).float().log_softmax(2)
        best = torch.where(is_word, maximum_spanning_tree(arcs, is_word), 0)
        labels = self.label.of_pairs(dependents[1], _chosen(heads[1], best)).float()
        labels = labels.masked_fill(~self.allowed[(best == 0).long()], float("-inf")).log_softmax(2)
        score, label = labels.max(2)
        return Decisions(best, label, score + arcs.gather(2, best[:, :, None])[:, :, 0])

    def _sides(self, states: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Returns what words are as dependents and as heads, for arcs and for labels each."""
        sides = []
        for layer, words in ((self.as_dependent, states[:, 1:]), (self.as_head, states)):
            hidden = torch.nn.functional.leaky_relu(layer(words), 0.1)
            mask = dropout(torch.ones_like(hidden[:, :1]), self.dropout, self.training)
            sides.append((hidden * mask).split(self.sizes, dim=2))
        return sides[0], sides[1]

    def _arcs(self, dependents: Tensor, heads: Tensor, lengths: Tensor) -> Float[Tensor, "batch length words"]:
        place = torch.arange(heads.shape[1], device=heads.device)
        absent = (place > lengths[:, None])[:, None] | (place == place[1:, None])  # padding, and the word itself
        return self.arc(dependents, heads)[:, 0].masked_fill(absent, float("-inf"))


def _is_word(lengths: Int[Tensor, "batch"], longest: int) -> Bool[Tensor, "batch length"]:
    return torch.arange(longest, device=lengths.device) < lengths[:, None]


def _chosen(
    heads: Float[Tensor, "batch words dim"], choice: Int[Tensor, "batch length"]
) -> Float[Tensor, "batch length dim"]:
    return heads.gather(1, choice[:, :, None].expand(-1, -1, heads.shape[2]))
