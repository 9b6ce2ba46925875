"""The compiled loops of parsing and of the oracle, `kernel.cpp`: as `TransitionScorer` in torch, in less time."""

import ctypes
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from lightning_nlp.native import LANES, LONG, POINTER, call, load_library, typed
from lightning_nlp.parser.decisions import Decisions
from lightning_nlp.parser.oracle import Oracle

SOURCE = Path(__file__).with_name("kernel.cpp")
INT = ctypes.c_int


@cache
def load_kernel(places: int, children: int, hidden: int, labels: int, labelled: bool, swap: bool) -> ctypes.CDLL | None:
    """Returns the compiled loops for these numbers; None, with a warning, where they cannot be compiled."""
    sizes = {"PLACES": places, "CHILDREN": children, "HIDDEN": hidden, "LABELS": labels}
    numbers = {**sizes, "LABELLED": int(labelled), "SWAP": int(swap)}
    library = load_library(SOURCE, numbers, "The loops of parsing are not compiled")
    if library is not None:
        library.follow.argtypes = [POINTER] * 6 + [LONG, LONG, INT] + [POINTER] * 5
        library.follow.restype = None
    return library


def kernel_decisions(
    library: ctypes.CDLL,
    tables: Iterable[Float[Tensor, "sentences rows hidden"]],
    labels: Float[Tensor, "entries hidden"] | None,
    out: torch.nn.Linear,
    number_type: torch.dtype,
    allowed: Bool[Tensor, "two labels"],
    lengths: Int[Tensor, "batch"],
    width: int,
) -> Decisions:
    """Parses a batch.

    Args:
        library: as from `load_kernel`.
        tables: what each word adds to the hidden layer at each place, of some sentences after the others.
        labels: likewise what the labels of children add; None where they are not looked at.
        out: the layer from hidden units to classes.
        number_type: of tables and labels, one for which `can_parse`.
        allowed: labels of arcs from a word, and from the root.
        lengths: words of each sentence.
        width: rows of a sentence: root, words, and nothing.

    Returns:
        Decisions; labels from 1, 0 where there is none.
    """
    spare = -out.out_features % LANES
    heads = torch.full((len(lengths), width), width - 1)
    results = (heads, torch.zeros_like(heads), torch.zeros(heads.shape, dtype=torch.float32))
    weights = _in_pairs(pad(out.weight.T, (0, spare)).to(number_type))
    bias, allowed, lengths = pad(out.bias, (0, spare)).float(), allowed.contiguous(), lengths.contiguous()
    begin = 0
    for table in tables:
        end = begin + len(table)
        given = (table.contiguous(), labels, weights, bias, allowed, lengths[begin:end])
        found = [result[begin:end] for result in results]
        call(library, typed("parse", table.dtype), (*given, *found), (end - begin, width))
        begin = end
    return Decisions(*(result[:, 1 : width - 1] for result in results))


def can_parse(library: ctypes.CDLL, number_type: torch.dtype) -> bool:
    """Tells whether there is a loop for this type of numbers: bfloat16 takes a processor that multiplies it."""
    return hasattr(library, typed("parse", number_type))


def _in_pairs(weights: Float[Tensor, "units classes"]) -> Tensor:
    """Lays out weights as the loop reads them, in bfloat16 those of two units side by side for each class."""
    pair = 2 if weights.dtype == torch.bfloat16 else 1
    return weights.view(-1, pair, weights.shape[1]).transpose(1, 2).contiguous()


class Examples(NamedTuple):
    """What a scorer learns from: for each state the rows of its tables, its class, and which classes are legal."""

    words: Int[Tensor, "states places"]
    labels: Int[Tensor, "states children"]
    classes: Int[Tensor, "states"]
    legal: Bool[Tensor, "states classes"]


def kernel_examples(
    library: ctypes.CDLL,
    oracle: Oracle,
    labels: Int[Tensor, "batch width"],
    allowed: Bool[Tensor, "two labels"],
    lengths: Int[Tensor, "batch"],
    places: int,
    children: int,
) -> Examples:
    """Follows the oracle, sentence after sentence.

    Args:
        library: as from `load_kernel`.
        oracle: of the trees.
        labels: of all arcs by word, from 1.
        allowed: labels of arcs from a word, and from the root.
        lengths: words of each sentence.
        places: words that a state is seen by.
        children: labels that it is seen by.
    """
    batch, width = labels.shape
    orders = (oracle.order, oracle.component)
    given = [part if part is None else part.contiguous() for part in (oracle.head, labels, *orders, allowed, lengths)]
    pointers = [None if part is None else part.data_ptr() for part in given]
    sizes = (batch, width, torch.get_num_threads())
    steps = torch.zeros(batch + 1, dtype=torch.long)
    library.follow(*pointers, *sizes, steps[1:].data_ptr(), None, None, None, None)
    begins = steps.cumsum(0)
    states = int(begins[-1])
    found = Examples(
        torch.empty(states, places, dtype=torch.long),
        torch.empty(states, children, dtype=torch.long),
        torch.empty(states, dtype=torch.long),
        torch.empty(states, 2 + 2 * allowed.shape[1], dtype=torch.bool),
    )
    library.follow(*pointers, *sizes, begins.data_ptr(), *(part.data_ptr() for part in found))
    return found
