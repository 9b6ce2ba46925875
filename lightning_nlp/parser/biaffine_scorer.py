"""Scores of all arcs of a sentence against each other: deep biaffine attention (Dozat & Manning 2017)."""

from collections.abc import Sequence
from math import log

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
        return self._left(dependents).transpose(1, 2) @ with_one(heads)[:, None].mT

    def of_pairs(
        self, dependents: Float[Tensor, "batch length dim"], heads: Float[Tensor, "batch length dim"]
    ) -> Float[Tensor, "batch length classes"]:
        """Returns the scores of each dependent with its own head."""
        return (self._left(dependents) @ with_one(heads)[..., None])[..., 0]

    def _left(self, dependents: Float[Tensor, "batch length dim"]) -> Float[Tensor, "batch length classes dim_and_one"]:
        """Returns x' U for each class, by one product for all words."""
        classes, dim, _ = self.weight.shape
        return (with_one(dependents) @ self.weight.transpose(0, 1).reshape(dim, -1)).unflatten(2, (classes, dim))


def with_one(side: Float[Tensor, "batch words dim"]) -> Float[Tensor, "batch words dim_and_one"]:
    """Appends 1 to each vector, so that products have biases too."""
    return torch.nn.functional.pad(side, (0, 1), value=1.0)


class PairScorer(nn.Module):
    """What words are as heads and as dependents, and the scores of their pairs: arcs, and labels of arcs.

    Args:
        config: the numbers.
        dim: numbers of a word.
    """

    def __init__(self, config: ParserConfig, dim: int) -> None:
        super().__init__()
        self.dropout, self.sizes = config.dropout, (config.scorer_dim, config.label_scorer_dim)
        self.as_dependent = nn.Linear(dim, sum(self.sizes))
        self.as_head = nn.Linear(dim, sum(self.sizes))
        self.arc = Biaffine(config.scorer_dim, 1)
        self.label = Biaffine(config.label_scorer_dim, known(config.label_count))

    def sides(self, states: Float[Tensor, "batch words dim"]) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Returns what words are as dependents and as heads, for arcs and for labels each."""
        sides = []
        for layer, words in ((self.as_dependent, states[:, 1:]), (self.as_head, states)):
            hidden = torch.nn.functional.leaky_relu(layer(words), 0.1)
            mask = dropout(torch.ones_like(hidden[:, :1]), self.dropout, self.training)
            sides.append((hidden * mask).split(self.sizes, dim=2))
        return sides[0], sides[1]

    def arcs(
        self,
        dependents: Float[Tensor, "batch length dim"],
        heads: Float[Tensor, "batch words dim"],
        lengths: Int[Tensor, "batch"],
    ) -> Float[Tensor, "batch length words"]:
        """Returns scores of each word's heads, without padding and the word itself."""
        place = torch.arange(heads.shape[1], device=heads.device)
        absent = (place > lengths[:, None])[:, None] | (place == place[1:, None])
        return self.arc(dependents, heads)[:, 0].masked_fill(absent, float("-inf"))

    def labels(
        self,
        dependents: Float[Tensor, "batch length dim"],
        heads: Float[Tensor, "batch words dim"],
        choice: Int[Tensor, "batch length"],
    ) -> Float[Tensor, "batch length labels"]:
        """Returns scores of the labels of each word's arc from the head that was chosen for it."""
        chosen = heads.gather(1, choice[:, :, None].expand(-1, -1, heads.shape[2]))
        return self.label.of_pairs(dependents, chosen)


class BiaffineScorer(nn.Module):
    """Heads by one biaffine product, then labels of the chosen arcs by another; probabilities are the members' mean.

    Args:
        config: the numbers.
        dim: numbers of a word that each member has.
    """

    allowed: Tensor  # labels of arcs from a word, and from the root
    members: list[PairScorer]

    def __init__(self, config: ParserConfig, dim: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(PairScorer(config, dim) for _ in range(config.members))  # type: ignore[assignment]
        self.register_buffer("allowed", torch.ones(2, known(config.label_count), dtype=torch.bool))

    def loss(
        self, states: Float[Tensor, "batch words members_dim"], gold: Gold, lengths: Int[Tensor, "batch"]
    ) -> Float[Tensor, ""]:
        """Returns the mean cross entropy of heads among all words, plus that of labels given the true heads."""
        is_word = _is_word(lengths, states.shape[1] - 1)
        losses = []
        for member, own in zip(self.members, states.chunk(len(self.members), dim=2)):
            dependents, heads = member.sides(own)
            arcs = member.arcs(dependents[0], heads[0], lengths)
            labels = member.labels(dependents[1], heads[1], gold.heads)
            losses.append(cross_entropy(arcs[is_word], gold.heads[is_word]))
            losses.append(cross_entropy(labels[is_word], gold.labels[is_word], ignore_index=-1))
        return torch.stack(losses).sum() / len(self.members)

    @torch.no_grad()
    def decide(self, states: Float[Tensor, "batch words members_dim"], lengths: Int[Tensor, "batch"]) -> Decisions:
        """Returns the best tree of each sentence, and the best label of each of its arcs."""
        own = states.chunk(len(self.members), dim=2)
        sides = [member.sides(part) for member, part in zip(self.members, own)]
        is_word = _is_word(lengths, states.shape[1] - 1)
        arcs = mean_of_chances(
            [member.arcs(words[0], heads[0], lengths) for member, (words, heads) in zip(self.members, sides)]
        )
        best = torch.where(is_word, maximum_spanning_tree(arcs, is_word), 0)
        forbidden = ~self.allowed[(best == 0).long()]
        labels = mean_of_chances(
            [
                member.labels(words[1], heads[1], best).masked_fill(forbidden, float("-inf"))
                for member, (words, heads) in zip(self.members, sides)
            ]
        )
        score, label = labels.max(2)
        return Decisions(best, label, score + arcs.gather(2, best[:, :, None])[:, :, 0])


def mean_of_chances(scores: Sequence[Float[Tensor, "... classes"]]) -> Float[Tensor, "... classes"]:
    """Returns logarithms of the mean of probabilities.

    Args:
        scores: of the classes, before the softmax, by each member.
    """
    return torch.stack([of_member.float().log_softmax(-1) for of_member in scores]).logsumexp(0) - log(len(scores))


def _is_word(lengths: Int[Tensor, "batch"], longest: int) -> Bool[Tensor, "batch length"]:
    return torch.arange(longest, device=lengths.device) < lengths[:, None]
