"""What one looks at to judge a transformer: answers, right and wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_nlp.report.tables import save_table
from lightning_nlp.transformer.metrics import Answered

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger

SHOWN = 100
ANSWER_COLUMNS = ("question", "answer", "found", "right")
CONFUSION_COLUMNS = ("answer", "found", "times")


def show_answers(name: str, answered: Sequence[Answered], folder: Path, loggers: Sequence[Logger]) -> None:
    """Writes tables of answers and of the most frequent errors to the run folder and the tracker.

    Args:
        name: of the set.
        answered: its questions.
        folder: the run folder.
        loggers: `trainer.loggers`.
    """
    rows = [(*one, "yes" if one.answer == one.found else "no") for one in answered[:SHOWN]]
    save_table(ANSWER_COLUMNS, rows, f"{name}/answers", folder, loggers)
    wrong = Counter((one.answer, one.found) for one in answered if one.answer != one.found)
    rows_wrong = [(answer, found, times) for (answer, found), times in wrong.most_common(SHOWN)]
    save_table(CONFUSION_COLUMNS, rows_wrong, f"{name}/confusions", folder, loggers)
