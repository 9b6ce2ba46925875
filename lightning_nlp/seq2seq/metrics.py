"""What is measured of translations: BLEU and chrF by sacrebleu, perplexity, and BLEU by length of the source."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import exp
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from sacrebleu.metrics import BLEU, CHRF
from torch import Tensor, nn
from torch.distributed import all_gather_object, all_reduce, get_world_size, is_initialized

Row = tuple[str, int, float, float]
LENGTH_COLUMNS = ("source words", "sentences", "bleu", "length_ratio")
LENGTHS = (5, 10, 15, 20, 30, 50)  # words of the source, where groups end


class Scored(NamedTuple):
    """A set of translations, in the order of its texts."""

    sources: list[str]
    references: list[str]
    hypotheses: list[str]


class TranslationScores(nn.Module):
    """Scores of a set, over all batches and processes.

    Args:
        sources: texts of the set.
        references: their translations.
        tokenize: how sacrebleu tells words.
    """

    sums: Tensor  # loss, tokens, seconds

    def __init__(self, sources: Sequence[str], references: Sequence[str], tokenize: str = "13a") -> None:
        super().__init__()
        self.sources, self.references, self.tokenize = list(sources), list(references), tokenize
        self.hypotheses: dict[int, str] = {}
        self.register_buffer("sums", torch.zeros(3, dtype=torch.float64))

    def add(
        self,
        numbers: Int[Tensor, "batch"],
        hypotheses: Sequence[str],
        loss: Float[Tensor, ""],
        tokens: int,
        seconds: float,
    ) -> None:
        """Takes the translations of a batch.

        Args:
            numbers: which texts of the set they are of.
            hypotheses: the translations.
            loss: cross entropy of the references, summed.
            tokens: of the references, ends counted.
            seconds: that translating took.
        """
        self.hypotheses.update(zip(numbers.tolist(), hypotheses))
        self.sums += torch.tensor([float(loss), tokens, seconds], dtype=torch.float64, device=self.sums.device)

    def compute(self) -> tuple[dict[str, float], Scored]:
        """Returns all scores by name, and the translations; the same on every rank."""
        hypotheses, sums = gathered(self.hypotheses), self.sums.clone()
        if is_initialized():
            all_reduce(sums)
        numbers = sorted(hypotheses)
        scored = Scored(
            [self.sources[number] for number in numbers],
            [self.references[number] for number in numbers],
            [hypotheses[number] for number in numbers],
        )
        loss, tokens, seconds = sums.tolist()
        characters = sum(map(len, scored.references)) + len(numbers)
        processes = get_world_size() if is_initialized() else 1
        scores = {
            "loss": loss / max(1, tokens),
            "perplexity": exp(min(loss / max(1, tokens), 100)),
            "perplexity_character": exp(min(loss / max(1, characters), 100)),
            "sentences_per_second": processes * len(numbers) / max(seconds, 1e-9),
        }
        return scores | text_scores(scored.hypotheses, scored.references, self.tokenize), scored


def gathered(own: Mapping[int, str]) -> dict[int, str]:
    """Returns the entries of all processes."""
    if not is_initialized():
        return dict(own)
    parts: list[dict[int, str] | None] = [None] * get_world_size()
    all_gather_object(parts, dict(own))
    return {number: text for part in parts if part for number, text in part.items()}


def text_scores(hypotheses: Sequence[str], references: Sequence[str], tokenize: str = "13a") -> dict[str, float]:
    """Returns BLEU and chrF, and how long translations are beside their references, in tokens of BLEU."""
    if not references:
        return {"bleu": 0.0, "chrf": 0.0, "length_ratio": 0.0}
    bleu = BLEU(tokenize=tokenize).corpus_score(list(hypotheses), [list(references)])
    chrf = CHRF().corpus_score(list(hypotheses), [list(references)])
    return {"bleu": bleu.score, "chrf": chrf.score, "length_ratio": bleu.sys_len / max(1, bleu.ref_len)}


def signatures(tokenize: str = "13a") -> dict[str, str]:
    """Returns what sacrebleu calls its settings, so that scores can be compared with others'."""
    found = {}
    for name, metric in {"bleu": BLEU(tokenize=tokenize), "chrf": CHRF()}.items():
        metric.corpus_score(["a"], [["a"]])  # the number of references is known only then
        found[name] = str(metric.get_signature())
    return found


def by_length(scored: Scored, tokenize: str = "13a") -> list[Row]:
    """Returns rows of `LENGTH_COLUMNS`: BLEU of sentences whose sources have so many words between white space.

    Where most sources have no white space, as in Chinese, characters are counted instead.
    """
    unspaced = 2 * sum(" " in text.strip() for text in scored.sources) < len(scored.sources)
    lengths = [len(text) if unspaced else len(text.split()) for text in scored.sources]
    rows = []
    bounds = [0, *LENGTHS, max([*lengths, LENGTHS[-1]]) + 1]
    for low, high in pairwise(bounds):
        chosen = [place for place, length in enumerate(lengths) if low < length <= high]
        if chosen:
            hypotheses, references = ([side[n] for n in chosen] for side in (scored.hypotheses, scored.references))
            found = text_scores(hypotheses, references, tokenize)
            name = f"{low + 1}–{high}" if high <= LENGTHS[-1] else f"over {low}"
            rows.append((name, len(chosen), found["bleu"], found["length_ratio"]))
    return rows
