"""What one looks at to judge a translator: where its scores fall, what it wrote, and where it looked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytorch_lightning.utilities import rank_zero_only
from sacrebleu.metrics import CHRF

from lightning_nlp.report.alignments import draw_alignment
from lightning_nlp.report.figures import ACCENT, INK, new_figure, plain, save_figure
from lightning_nlp.report.pages import Section, Svg, write_page
from lightning_nlp.report.tables import save_table
from lightning_nlp.seq2seq.metrics import LENGTH_COLUMNS, Row, Scored, by_length
from lightning_nlp.seq2seq.model import Seq2SeqModel, Translation
from lightning_nlp.seq2seq.search import Search

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pytorch_lightning.loggers import Logger

SHOWN = 20  # translations in a table
SECTION = 8  # translations in a section of the page
MAPS = 4  # attention maps
LONGEST_MAP = 30  # tokens of a sentence that is drawn as a map
LEGEND = (
    "Above what was read, below what was written. A line is the darker the more the decoder looked there while it "
    "wrote; weights below 0.1 are left out."
)
TEXT_COLUMNS = ("source", "reference", "translation")


def show_translations(
    name: str, scored: Scored, folder: Path, loggers: Sequence[Logger], tokenize: str = "13a"
) -> None:
    """Writes tables and figures of a set's translations to the run folder and the tracker; for every rank to call.

    Args:
        name: of the set.
        scored: its translations.
        folder: the run folder.
        loggers: `trainer.loggers`.
        tokenize: how BLEU tells words.
    """
    rows = by_length(scored, tokenize)
    save_table(LENGTH_COLUMNS, rows, f"{name}/by_length", folder, loggers)
    texts = list(zip(scored.sources, scored.references, scored.hypotheses))[:SHOWN]
    save_table(TEXT_COLUMNS, texts, f"{name}/translations", folder, loggers)
    if getattr(rank_zero_only, "rank", 0) == 0:
        save_figure(length_figure(rows), f"{name}/by_length", folder, loggers)


def length_figure(rows: Sequence[Row]) -> Figure:
    """Draws BLEU by length of the source.

    Args:
        rows: of `metrics.by_length`.
    """
    figure, axes = new_figure(7, 3)
    axes.set_title("BLEU by length of the source", loc="left", color=INK, fontsize=11)
    bars = axes.bar([f"{name}\n({count:,})" for name, count, *_ in rows], [bleu for *_, bleu, _ in rows], color=ACCENT)
    axes.bar_label(bars, fmt="%.1f", fontsize=8, color=INK)
    axes.set_xlabel("words of the source, and sentences", fontsize=8, color=INK)
    axes.grid(visible=False, axis="x")
    return figure


def translation_page(
    model: Seq2SeqModel, sources: Sequence[str], references: Sequence[str], search: Search, folder: Path
) -> Path:
    """Writes `translations.html`, translations with lines to where each token looked, and `figures/attention_N.png`.

    Args:
        model: that translates.
        sources: texts of which some are shown.
        references: their translations.
        search: how translations are looked for.
        folder: the run folder.

    Returns:
        The page.
    """
    found = [ones[0] for ones in model.translations(sources, search, attention=True)]
    places = [place for place, one in enumerate(found) if one.tokens]
    scores = {n: CHRF().sentence_score(found[n].text, [references[n]]).score for n in places}
    worst = sorted(places, key=lambda n: scores[n])
    typical = sorted(places, key=lambda n: abs(scores[n] - scores[worst[len(worst) // 2]]))
    parts = {"Least like their references": worst[:SECTION], "Typical": typical[:SECTION]}
    sections = [Section("How to read this", [LEGEND])]
    for title, chosen in parts.items():
        blocks: list[str | Svg] = []
        for n in chosen:
            blocks += [f"{scores[n]:.1f} chrF · reference: {references[n]}", draw_alignment(*looks(model, found[n]))]
        sections.append(Section(title, blocks))
    for number, n in enumerate([n for n in places if len(found[n].source_tokens) <= LONGEST_MAP][:MAPS], start=1):
        save_figure(attention_map(*looks(model, found[n])), f"attention_{number}", folder)
    return write_page(folder / "translations.html", "Translations of the validation set", sections)


def looks(model: Seq2SeqModel, found: Translation) -> tuple[list[str], list[str], list[list[float]]]:
    """Returns what was read and written, without the signs that stand for spaces and bytes, and the attention."""
    decoder = model.tokenizers[1].backend_tokenizer.decoder
    written = [decoder.decode([token]) if decoder else token for token in found.tokens]
    return found.source_tokens, written, found.attention or []


def attention_map(source: Sequence[str], target: Sequence[str], weights: Sequence[Sequence[float]]) -> Figure:
    """Draws the weights of attention as a picture, the source to the right and the target downwards.

    Args:
        source: tokens read.
        target: tokens written.
        weights: of each token written, for each token read.
    """
    figure, axes = new_figure(1.5 + 0.3 * len(source), 1.5 + 0.3 * len(target))
    axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(source)), [plain(token) for token in source], rotation=60, ha="right")
    axes.set_yticks(range(len(target)), [plain(token) for token in target])
    axes.grid(visible=False)
    return figure
