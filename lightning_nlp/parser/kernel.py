"""The compiled loops of parsing and of the oracle, `kernel.cpp`: as `TransitionScorer` in torch, in less time."""

import ctypes
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from lightning_nlp.native import load_library
from lightning_nlp.parser.decisions import Decisions
from lightning_nlp.parser.oracle import Oracle

SOURCE = Path(__file__).with_name("kernel.cpp")
LANES = 16  # classes are filled up to a multiple of a vector register
POINTER, LONG, INT = ctypes.c_void_p, ctypes.c_long, ctypes.c_int


@cache
def load_kernel(places: int, children: int, hidden: int, labels: int, labelled: bool, swap: bool) -> ctypes.CDLL | None:
    """Returns the compiled loops for these numbers; None, with a warning, where they cannot be compiled."""
    sizes = {"PLACES": places, "CHILDREN": children, "HIDDEN": hidden, "LABELS": labels}
    numbers = {**sizes, "LABELLED": int(labelled), "SWAP": int(swap)}
    library = load_library(SOURCE, numbers, "The loops of parsing are not compiled")
    if library is not None:
        library.parse.argtypes = [POINTER] * 6 + [LONG, LONG, INT] + [POINTER] * 3
        library.follow.argtypes = [POINTER] * 6 + [LONG, LONG, INT] + [POINTER] * 5
        library.parse.restype = library.follow.restype = None
    return library


def kernel_decisions(
    library: ctypes.CDLL,
    words: Float[Tensor, "rows hidden"],
    labels: Float[Tensor, "entries hidden"] | None,
    out: torch.nn.Linear,
    allowed: Bool[Tensor, "two labels"],
    lengths: Int[Tensor, "batch"],
    width: int,
) -> Decisions:
    """Parses a batch.

    Args:
        library: as from `load_kernel`.
        words: what each word adds to the hidden layer at each place, sentence by sentence.
        labels: likewise what the labels of children add; None where they are not looked at.
        out: the layer from hidden units to classes.
        allowed: labels of arcs from a word, and from the root.
        lengths: words of each sentence.
        width: rows of a sentence: root, words, and nothing.

    Returns:
        Decisions; labels from 1, 0 where there is none.
    """
    batch, classes = len(lengths), out.out_features
    spare = -classes % LANES
    given = (
        words.contiguous(),
        words.new_zeros(1) if labels is None else labels.contiguous(),
        pad(out.weight.T, (0, spare)).contiguous(),
        pad(out.bias, (0, spare)).contiguous(),
        allowed.contiguous(),
        lengths.contiguous(),
    )
    heads = torch.full((batch, width), width - 1)
    found, scores = torch.zeros_like(heads), words.new_zeros(batch, width)
    results = (heads, found, scores)
    library.parse(
        *(tensor.data_ptr() for tensor in given),
        *(batch, width, torch.get_num_threads()),
        *(tensor.data_ptr() for tensor in results),
    )
    return Decisions(*(result[:, 1 : width - 1] for result in results))


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
