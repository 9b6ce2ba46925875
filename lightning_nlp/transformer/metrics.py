"""What is measured: exact match of answers, and how well text is foretold."""

from collections import Counter
from collections.abc import Sequence
from math import exp, log
from typing import NamedTuple

import torch
from torch import nn
from torch.distributed import all_gather_object, all_reduce, get_world_size, is_initialized


class Answered(NamedTuple):
    """A question, its answer, and what the model said."""

    question: str
    answer: str
    found: str


class Scores(nn.Module):
    """Scores of a set, over all batches and processes.

    Args:
        common_answer: the most frequent answer in training, which is what knowing nothing would say.
    """

    sums: torch.Tensor  # loss, tokens, characters

    def __init__(self, common_answer: str) -> None:
        super().__init__()
        self.common_answer = common_answer
        self.answered: list[Answered] = []
        self.seconds = 0.0
        self.register_buffer("sums", torch.zeros(3, dtype=torch.float64))

    def add_text(self, loss: float, tokens: int, characters: int) -> None:
        """Takes a batch of text: its summed cross entropy, its tokens and its characters."""
        self.sums += torch.tensor([loss, tokens, characters], dtype=torch.float64, device=self.sums.device)

    def add_answers(self, answered: Sequence[Answered], seconds: float) -> None:
        """Takes answered questions, and how long answering took."""
        self.answered.extend(answered)
        self.seconds += seconds

    def compute(self) -> tuple[dict[str, float], list[Answered]]:
        """Returns all scores by name, and the answers; the same on every rank."""
        sums, answered = self.sums.clone(), self.answered
        if is_initialized():
            all_reduce(sums)
            parts: list[list[Answered] | None] = [None] * get_world_size()
            all_gather_object(parts, answered)
            answered = [one for part in parts if part for one in part]
        loss, tokens, characters = sums.tolist()
        scores = text_scores(loss, tokens, characters) if tokens else {}
        if answered:
            scores |= {
                "accuracy": 100 * sum(one.found == one.answer for one in answered) / len(answered),
                "answers_per_second": len(answered) / max(self.seconds, 1e-9),
                "accuracy_baseline": 100 * sum(one.answer == self.common_answer for one in answered) / len(answered),
            }
        return scores, answered


def text_scores(loss: float, tokens: float, characters: float) -> dict[str, float]:
    """Returns scores of text: cross entropy in nats a token, its exponential, and bits a character."""
    return {
        "loss": loss / tokens,
        "perplexity": exp(min(loss / tokens, 100)),
        "bits_per_character": loss / log(2) / max(1, characters),
    }


def most_common(answers: Sequence[str]) -> str:
    """Returns the most frequent answer; of equally frequent ones the first."""
    return Counter(answers).most_common(1)[0][0] if answers else ""
