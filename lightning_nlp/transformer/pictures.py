"""What one looks at to judge a transformer: answers, right and wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from lightning_nlp.report.figures import INK, new_figure, plain, save_figure
from lightning_nlp.report.tables import save_table
from lightning_nlp.transformer.metrics import Answered
from lightning_nlp.transformer.model import TransformerModel
from lightning_nlp.transformer.objectives import as_document

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pytorch_lightning.loggers import Logger

SHOWN = 100
LONGEST_MAP = 40  # tokens of a text that is drawn as a map
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


def show_attention(model: TransformerModel, texts: Sequence[str], folder: Path, loggers: Sequence[Logger]) -> None:
    """Draws where each head looks in some texts: `figures/attention_N.png`.

    Args:
        model: that reads.
        texts: one figure each.
        folder: the run folder.
        loggers: `trainer.loggers`.
    """
    for number, text in enumerate(texts, 1):
        save_figure(attention_maps(model, text), f"attention_{number}", folder, loggers)


@torch.no_grad()
def attention_maps(model: TransformerModel, text: str) -> Figure:
    """Draws the weights of attention: maps of a block side by side, a head each; who looks downwards, at whom across.

    Args:
        model: that reads.
        text: its first tokens are drawn.
    """
    ids = as_document(model.tokenizer, text)[: min(LONGEST_MAP, model.config.context)]
    tokens = [plain(model.tokenizer.decode([one])) for one in ids]
    found = model(torch.tensor([ids], device=model.device), output_attentions=True).attentions
    maps = torch.stack([weights[0].float().cpu() for weights in found]).numpy()
    layers, heads, length, _ = maps.shape
    gap = np.full((layers, heads, length + 1, length + 1), np.nan)
    gap[:, :, :length, :length] = maps
    picture = gap.transpose(0, 2, 1, 3).reshape(layers * (length + 1), heads * (length + 1))
    figure, axes = new_figure(1.5 + 0.13 * picture.shape[1], 1 + 0.13 * picture.shape[0])
    axes.imshow(picture, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    names = [(start * (length + 1) + place, tokens[place]) for start in range(layers) for place in range(length)]
    axes.set_yticks([place for place, _ in names], [name for _, name in names], fontsize=6)
    axes.set_xticks(
        [head * (length + 1) + length / 2 for head in range(heads)], [f"head {n + 1}" for n in range(heads)]
    )
    axes.set_title(plain(text), loc="left", color=INK, fontsize=9)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return figure
