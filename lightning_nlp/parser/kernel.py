"""The compiled loops of parsing and of the oracle, `kernel.cpp`: as `TransitionScorer` in torch, in less time."""

import ctypes
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from lightning_nlp.native import LANES, call, load_library, typed
from lightning_nlp.parser.decisions import Decisions
from lightning_nlp.parser.oracle import Oracle

SOURCE = Path(__file__).with_name("kernel.cpp")


@cache
def load_kernel(places: int, children: int, hidden: int, labels: int, labelled: bool, swap: bool) -> ctypes.CDLL | None:
    """Returns the compiled loops for these numbers; None, with a warning, where they cannot be compiled."""
    sizes = {"PLACES": places, "CHILDREN": children, "HIDDEN": hidden, "LABELS": labels}
    numbers = {**sizes, "LABELLED": int(labelled), "SWAP": int(swap)}
    return load_library(SOURCE, numbers, "The loops of parsing are not compiled")


def kernel_decisions(
    library: ctypes.CDLL,
    states: Float[Tensor, "batch words dim"],
    words: Float[Tensor, "places_hidden dim"],
    nothing: Float[Tensor, "dim"],
    labels: Float[Tensor, "entries hidden"] | None,
    bias: Float[Tensor, "hidden"],
    out: torch.nn.Linear,
    number_type: torch.dtype,
    allowed: Bool[Tensor, "two labels"],
    lengths: Int[Tensor, "batch"],
) -> Decisions:
    """Parses a batch.

    Args:
        library: as from `load_kernel`.
        states: of root and words.
        words: weights from a word at each place to the hidden layer.
        nothing: what stands for the state of a word that is not there.
        labels: what the labels of children add to the hidden layer; None where they are not looked at.
        bias: of the hidden layer.
        out: the layer from hidden units to classes.
        number_type: to compute in, one for which `can_parse`.
        allowed: labels of arcs from a word, and from the root.
        lengths: words of each sentence.

    Returns:
        Decisions; labels from 1, 0 where there is none.
    """
    batch, width, dim = states.shape
    tensors = (states, words, nothing, labels)
    given = (None if part is None else part.to(number_type).contiguous() for part in tensors)
    rest = (*_weights(bias, out, number_type), allowed.contiguous(), lengths.contiguous())
    heads = torch.zeros(batch, width + 1, dtype=torch.long)
    found = Decisions(heads, torch.zeros_like(heads), torch.zeros(heads.shape, dtype=torch.float32))
    call(library, typed("parse", number_type), (*given, *rest, *found), (batch, width, dim))
    return Decisions(*(part[:, 1:width] for part in found))


def can_parse(library: ctypes.CDLL, number_type: torch.dtype) -> bool:
    """Tells whether there is a loop for this type of numbers: bfloat16 takes a processor that multiplies it."""
    return hasattr(library, typed("parse", number_type))


def _weights(bias: Tensor, out: torch.nn.Linear, number_type: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Lays out weights and biases as the loop reads them, in bfloat16 the weights of two units side by side."""
    spare, pair = -out.out_features % LANES, 2 if number_type == torch.bfloat16 else 1
    weights = pad(out.weight.detach().T, (0, spare)).to(number_type)
    weights = weights.view(-1, pair, weights.shape[1]).transpose(1, 2).contiguous()
    return bias.detach().float().contiguous(), weights, pad(out.bias.detach(), (0, spare)).float()


class Examples(NamedTuple):
    """What a scorer learns from: for each state the rows of its tables, its class, and which classes are legal.

    The class is -1 where none is right: a label was never seen in training, or a parser that explores left none.
    """

    words: Int[Tensor, "states places"]
    labels: Int[Tensor, "states children"]
    classes: Int[Tensor, "states"]
    legal: Bool[Tensor, "states classes"]


class Explorer(NamedTuple):
    """A parser that makes mistakes of its own while it follows the oracle.

    Attributes:
        table: what each word adds to the hidden layer at each place.
        labels: likewise what the labels of children add; None where they are not looked at.
        bias: of the hidden layer.
        out: the layer from hidden units to classes.
        chance: how often it does what it takes for the best.
    """

    table: Float[Tensor, "rows hidden"]
    labels: Float[Tensor, "entries hidden"] | None
    bias: Float[Tensor, "hidden"]
    out: torch.nn.Linear
    chance: float


def kernel_examples(
    library: ctypes.CDLL,
    oracle: Oracle,
    labels: Int[Tensor, "batch width"],
    allowed: Bool[Tensor, "two labels"],
    lengths: Int[Tensor, "batch"],
    places: int,
    children: int,
    explorer: Explorer | None = None,
) -> tuple[Examples, Int[Tensor, "batch width"]]:
    """Follows the oracle, sentence after sentence.

    Args:
        library: as from `load_kernel`.
        oracle: of the trees.
        labels: of all arcs by word, from 1.
        allowed: labels of arcs from a word, and from the root.
        lengths: words of each sentence.
        places: words that a state is seen by.
        children: labels that it is seen by.
        explorer: leaves the oracle's way, for ways that are no longer than this.

    Returns:
        Examples, and the heads of the trees that were built, by word.
    """
    batch, width = labels.shape
    heads, sizes = oracle.head.clone(), (batch, width)
    parts = (labels, oracle.order, oracle.component, allowed, lengths)
    given = (heads, *(part if part is None else part.contiguous() for part in parts))
    steps = torch.zeros(batch + 1, dtype=torch.long)
    call(library, "follow", (*given, steps[1:], None, None, None, None), sizes)
    begins = steps.cumsum(0)
    states = int(begins[-1])
    found = Examples(
        torch.empty(states, places, dtype=torch.long),
        torch.empty(states, children, dtype=torch.long),
        torch.empty(states, dtype=torch.long),
        torch.zeros(states, 2 + 2 * allowed.shape[1], dtype=torch.bool),
    )
    if explorer is None:
        call(library, "follow", (*given, begins, *found), sizes)
    else:
        table, added, bias, out, chance = explorer
        weights = (table.contiguous(), added, *_weights(bias, out, table.dtype))
        seed = int(torch.randint(2**62, ()))
        call(library, typed("explore", table.dtype), (*given, begins, *found, *weights), (*sizes, seed), [chance])
        if oracle.order is not None:
            was_seen = found.legal.any(1)  # a way without a SWAP of the oracle's has fewer steps
            found = Examples(*(part[was_seen] for part in found))
    return found, heads
