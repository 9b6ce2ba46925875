"""What `predict` reads: a file or standard input, item by item, shared out among the ranks."""

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from torch.utils.data import IterableDataset

from lightning_nlp.data.text_files import check_file, checked_text, lines_in, read_text

STDIN = "-"
OPTION = "data.predict_file"


class PredictInput(IterableDataset[tuple[int, str]]):
    """Pairs of position and item of the input; rank r of n gets the items r, r + n, r + 2n, …

    Args:
        source: a file, `.gz` too, or `-` for standard input.
        rank: of this process.
        world_size: number of processes.
        items: makes items of the input's text, which comes in pieces of whole lines; by default its lines.

    Raises:
        ValueError: the file is missing or no text, or several processes would share standard input.
    """

    def __init__(
        self,
        source: str,
        rank: int = 0,
        world_size: int = 1,
        items: Callable[[Iterable[str]], Iterable[Any]] = lines_in,
    ) -> None:
        if source == STDIN and world_size > 1:
            raise ValueError(f"{OPTION}: standard input has one reader; set trainer.devices to 1, or give a file.")
        if source != STDIN:
            check_file(source, OPTION)
        self.source, self.rank, self.world_size, self.items = source, rank, world_size, items

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Reads the input once; its text is checked on the way."""
        stdin = self.source == STDIN
        text = checked_text(sys.stdin.buffer, "standard input") if stdin else read_text(self.source, OPTION)
        yield from islice(enumerate(self.items(text)), self.rank, None, self.world_size)
