"""Stochastic gradient descent on blocks of text, in place: the fast way to train skip-gram."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from lightning_nlp.word_vectors.blocks import Blocks, block_update
from lightning_nlp.word_vectors.kernel import kernel_update, load_kernel


class BlockSGD(Optimizer):
    """SGD that computes gradients and applies them block by block, in one step over a whole batch of text.

    On the CPU it runs compiled, elsewhere and without a C++ compiler in torch.

    Args:
        params: the two tables of a `SkipGramModel`, centres first.
        lr: the learning rate of one pair; the C implementation's is 0.025, falling to nearly 0.
        noise: noise words that a block of 36 centres shares, a multiple of 16; they weigh as the model's `negatives`.
        hogwild_threads: threads that write to the tables without waiting for each other (Niu et al. 2011). Above 1 it
            is faster, and no two runs give the same vectors.

    Raises:
        ValueError: a number that cannot be, or other parameters.
    """

    def __init__(
        self, params: Iterable[Parameter], lr: float = 0.025, noise: int = 32, hogwild_threads: int = 1
    ) -> None:
        if lr <= 0:
            raise ValueError(f"optimizer.lr is {lr}, expected a number above 0.")
        if noise < 16 or noise % 16:
            raise ValueError(f"optimizer.noise is {noise}, expected a multiple of 16.")
        if hogwild_threads < 1:
            raise ValueError(f"optimizer.hogwild_threads is {hogwild_threads}, expected at least 1.")
        super().__init__(params, {"lr": lr})
        self.noise, self.hogwild_threads = noise, hogwild_threads
        tables = self.param_groups[0]["params"]
        if len(tables) != 2 or tables[0].shape != tables[1].shape or tables[0].dim() != 2:
            raise ValueError("BlockSGD trains the two tables of a SkipGramModel, and nothing else.")

    def prepare(self, window: int) -> None:
        """Compiles the kernel before the first step needs it, where it will run."""
        centre = self.param_groups[0]["params"][0]
        if centre.is_cpu:
            load_kernel(centre.shape[1], window, self.noise)

    @torch.no_grad()
    def step(  # type: ignore[override]
        self,
        closure: Callable[[], Any] | None = None,
        *,
        text: Blocks,
        window: int,
        negatives: int,
        with_loss: bool = False,
    ) -> tuple[float, int] | None:
        """Goes over the text once.

        Args:
            closure: not used; torch's schedulers and Lightning hand it through.
            text: the text, with this optimizer's number of noise words a block.
            window: largest distance of a context word.
            negatives: noise words that count for each pair.
            with_loss: whether the loss is wanted; it takes its time.

        Returns:
            The sum of the losses of all pairs, each before its step, and their number; None where nobody asked.
        """
        group = self.param_groups[0]
        centre, context = (table.data for table in group["params"])
        on_cpu = centre.is_cpu and centre.dtype == torch.float32
        if on_cpu and (kernel := load_kernel(centre.shape[1], window, self.noise)):
            threads = self.hogwild_threads
            return kernel_update(kernel, centre, context, text, negatives, group["lr"], threads, with_loss)
        with torch.autocast(centre.device.type, enabled=False):  # the tables are float32, and so are their steps
            return block_update(centre, context, text, window, negatives, group["lr"])


def merge_tables(tables: Iterable[Tensor], before: Iterable[Tensor]) -> None:
    """Brings the tables of all processes together, each having trained on its own text since `before`.

    A row moves by the sum of the moves, divided by the square root of the number of processes that moved it: the mean
    would halve what two of them learnt apart, the sum would go twice where both went (docs/ablations.md). To be called
    in all processes at the same time.

    Args:
        tables: changed in place.
        before: as they were, the same in all processes; changed in place to what `tables` are now.
    """
    for table, old in zip(tables, before):
        moved = table - old
        has_moved = (moved != 0).any(1).float()
        torch.distributed.all_reduce(moved)
        torch.distributed.all_reduce(has_moved)
        old += moved / has_moved.clamp(min=1).sqrt()[:, None]
        table.copy_(old)
