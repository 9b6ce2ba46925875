"""`predictions/<input stem>.<suffix>`: one file, in input order, from any number of devices; and what goes with it."""

import heapq
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from pytorch_lightning import Callback, LightningModule, Trainer

from lightning_nlp.data.predict_input import STDIN
from lightning_nlp.training.run_folder import run_folder


class PredictionWriter(Callback):
    """Writes what `predict_step` returns: tuples of input position and text, in any order within reach.

    Further texts in the tuples go to `predictions/extra/<input stem>.<name>`, by the names in the module's attribute
    `prediction_extras`; standard output has no place for them.

    Rank r of n predicts the inputs r, r + n, r + 2n, … (`lightning_nlp.data.predict_input`), so every rank writes a
    part in order and rank 0 takes one text of each part in turn. Memory does not grow with the input.
    """

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Opens this rank's part; standard input is answered on standard output."""
        self.source: str = trainer.datamodule.predict_file  # type: ignore[attr-defined]
        self.folder = run_folder(trainer) / "predictions"
        if self.source == STDIN:
            self.stream: TextIO = sys.stdout
            if isinstance(self.stream, TextIOWrapper):
                self.stream.reconfigure(encoding="utf8")  # as the input is read, whatever the terminal's
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.stream = self._part(trainer.global_rank).open("w", encoding="utf8")
        self.ordered = InOrder(trainer.global_rank, trainer.world_size)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Writes the texts whose turn it is."""
        for texts in self.ordered.push(outputs):
            self.stream.write(texts[0] if self.source == STDIN else json.dumps(texts))
            self.stream.write("\n")
        self.stream.flush()

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Joins the parts into the file, last and by rename.

        Raises:
            RuntimeError: `predict_step` left a position out.
        """
        if self.ordered.early:
            raise RuntimeError(f"predict_step gave no text for input {self.ordered.next}, but for later ones.")
        if self.source == STDIN:
            return
        self.stream.close()
        trainer.strategy.barrier("predictions")
        if trainer.is_global_zero:
            parts = [self._part(rank) for rank in range(trainer.world_size)]
            stem, suffix = input_stem(self.source), getattr(pl_module, "prediction_suffix", "txt")
            self.file = self.folder / f"{stem}.{suffix}"
            extras = [self.folder / "extra" / f"{stem}.{name}" for name in getattr(pl_module, "prediction_extras", ())]
            join_parts(parts, [self.file, *extras])
        trainer.strategy.barrier("predictions_joined")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leaves nothing half-written."""
        if getattr(self, "source", STDIN) != STDIN:
            self.stream.close()
            self._part(trainer.global_rank).unlink(missing_ok=True)

    def _part(self, rank: int) -> Path:
        return self.folder / f".{input_stem(self.source)}.part{rank}"


class InOrder:
    """Hands out texts by position `first`, `first + step`, …, holding back what comes early."""

    def __init__(self, first: int, step: int) -> None:
        self.next, self.step = first, step
        self.early: list[tuple[int, *tuple[str, ...]]] = []

    def push(self, results: Iterable[tuple[int, *tuple[str, ...]]]) -> Iterator[tuple[str, ...]]:
        """Takes (position, text, …) tuples and yields the texts whose turn has come."""
        for result in results:
            heapq.heappush(self.early, result)
        while self.early and self.early[0][0] == self.next:
            yield heapq.heappop(self.early)[1:]
            self.next += self.step


def join_parts(parts: list[Path], targets: list[Path]) -> None:
    """Writes the texts of each part in turn, the first of a record to the first target, and removes the parts."""
    temporaries = [target.with_name(f".{target.name}.tmp") for target in targets]
    targets[-1].parent.mkdir(exist_ok=True)
    with ExitStack() as opened:
        streams = [opened.enter_context(part.open(encoding="utf8")) for part in parts]
        outputs = [opened.enter_context(file.open("w", encoding="utf8")) for file in temporaries]
        turn = 0
        while record := streams[turn].readline():  # the first part to end is the end of the input
            for output, text in zip(outputs, json.loads(record)):
                output.write(text + "\n")
            turn = (turn + 1) % len(streams)
    for part in parts:
        part.unlink()
    for temporary, target in reversed(list(zip(temporaries, targets))):  # the main file last
        temporary.replace(target)


def input_stem(source: str) -> str:
    """Returns a file's name without its last suffix, `.gz` dropped first."""
    path = Path(source)
    return Path(path.stem).stem if path.suffix == ".gz" else path.stem
