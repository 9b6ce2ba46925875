"""The compiled kernel of skip-gram, `kernel.cpp`: built by the machine's own compiler when first needed, and kept."""

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lightning_nlp.native import load_library
from lightning_nlp.word_vectors.blocks import TOKENS, Blocks

SOURCE = Path(__file__).with_name("kernel.cpp")
POINTER, LONG, INT, FLOAT = ctypes.c_void_p, ctypes.c_long, ctypes.c_int, ctypes.c_float

Kernel = Callable[..., None]


@cache
def load_kernel(dim: int, window: int, noise: int) -> Kernel | None:
    """Returns the compiled kernel for these numbers; None, with a warning, where it cannot be compiled.

    Args:
        dim: numbers in a word vector.
        window: largest distance of a context word.
        noise: noise words of a block.
    """
    numbers = {"DIM": dim, "WINDOW": window, "NOISE": noise, "TOKENS": TOKENS}
    library = load_library(SOURCE, numbers, "Skip-gram's kernel is not compiled")
    if library is None:
        return None
    function = library.skip_gram
    function.argtypes = [POINTER] * 5 + [LONG, POINTER, FLOAT, FLOAT, INT, POINTER]
    function.restype = None
    return function


def kernel_update(
    kernel: Kernel,
    centre: Float[Tensor, "vocab dim"],
    context: Float[Tensor, "vocab dim"],
    text: Blocks,
    negatives: int,
    rate: float,
    threads: int,
    with_loss: bool,
) -> tuple[float, int] | None:
    """Does what `block_update` does.

    Args:
        kernel: as from `load_kernel`.
        centre: vectors as centres, changed in place.
        context: vectors as contexts, likewise.
        text: the text.
        negatives: noise words that count for each pair.
        rate: the learning rate.
        threads: above 1 they write to the tables without waiting for each other.
        with_loss: computing the loss takes about as long as the rest.

    Returns:
        Sum of the losses of all pairs and their number, if asked for.
    """
    kinds = (torch.float32, torch.float32, torch.int32, torch.int32, torch.uint8, torch.int32)
    arrays = (centre, context, text.tokens, text.sentence, text.reach, text.noise)
    assert all(array.dtype == kind and array.is_contiguous() and array.is_cpu for array, kind in zip(arrays, kinds))
    loss = np.zeros(2)
    places = [array.data_ptr() for array in arrays]
    given = loss.ctypes.data if with_loss else None
    kernel(*places[:5], len(text.tokens), places[5], negatives, rate, threads, given)
    return (float(loss[0]), int(loss[1])) if with_loss else None
