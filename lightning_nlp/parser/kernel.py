"""The compiled loop of greedy parsing, `kernel.cpp`: it does what `TransitionScorer.decide` does, in less time."""

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from lightning_nlp.native import load_library
from lightning_nlp.parser.decisions import Decisions

SOURCE = Path(__file__).with_name("kernel.cpp")
LANES = 16  # classes are filled up to a multiple of a vector register
POINTER, LONG, INT = ctypes.c_void_p, ctypes.c_long, ctypes.c_int

Kernel = Callable[..., None]


@cache
def load_kernel(places: int, children: int, hidden: int, labels: int, swap: bool) -> Kernel | None:
    """Returns the compiled loop for these numbers; None, with a warning, where it cannot be compiled."""
    numbers = {"PLACES": places, "CHILDREN": children, "HIDDEN": hidden, "LABELS": labels, "SWAP": int(swap)}
    library = load_library(SOURCE, numbers, "The loop of greedy parsing is not compiled")
    if library is None:
        return None
    function = library.parse
    function.argtypes = [POINTER] * 6 + [LONG, LONG, INT] + [POINTER] * 3
    function.restype = None
    return function


def kernel_decisions(
    kernel: Kernel,
    words: Float[Tensor, "rows hidden"],
    labels: Float[Tensor, "entries hidden"] | None,
    out: torch.nn.Linear,
    allowed: Bool[Tensor, "two labels"],
    lengths: Int[Tensor, "batch"],
    width: int,
) -> Decisions:
    """Parses a batch.

    Args:
        kernel: as from `load_kernel`.
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
    kernel(
        *(tensor.data_ptr() for tensor in given),
        *(batch, width, torch.get_num_threads()),
        *(tensor.data_ptr() for tensor in results),
    )
    return Decisions(*(result[:, 1 : width - 1] for result in results))
