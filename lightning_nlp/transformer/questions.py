"""Questions and their answers: read, held back for choosing, and mixed into text."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerFast

from lightning_nlp.data.sources import Source
from lightning_nlp.transformer.objectives import Example, Ids, answer_pair, as_document, as_question

COLUMNS = {"question": "question", "answer": "answer"}


class Question(NamedTuple):
    """A question and its answer."""

    question: str
    answer: str


def question_source(file: str) -> Source:
    """Opens a file of pairs, `.tsv` without header or `.csv` with one, or the questions of the sample world."""
    if file == "sample":
        return Source("sample", "questions", columns=COLUMNS)
    return Source("csv", data_files={"train": file}, columns=COLUMNS)


def read_questions(source: Source, split: str) -> list[Question]:
    """Returns the pairs of a split."""
    return [Question(row["question"].strip(), row["answer"].strip()) for row in source.load(split)]


def is_held_back(question: str, share: float) -> bool:
    """Whether a question is kept for choosing: by a hash of its text, so that all data modules keep the same ones."""
    return int.from_bytes(hashlib.sha1(question.encode()).digest()[:4], "big") < share * 2**32


def divided(questions: Sequence[Question], share: float) -> tuple[list[Question], list[Question]]:
    """Returns the questions to train with, and those held back."""
    kept = [one for one in questions if not is_held_back(one.question, share)]
    return kept, [one for one in questions if is_held_back(one.question, share)]


def encode_questions(tokenizer: PreTrainedTokenizerFast, questions: Sequence[Question]) -> list[tuple[Ids, Ids]]:
    """Returns the tokens of questions, each with the mask after it, and those of the answers."""
    return [
        (
            np.array(as_question(tokenizer, one.question), np.int32),
            np.array(as_document(tokenizer, one.answer), np.int32),
        )
        for one in questions
    ]


def question_examples(
    pairs: Sequence[tuple[Ids, Ids]], limit: int, generator: np.random.Generator
) -> Iterator[Example]:
    """Yields pairs without end, all of them before any comes again; a long question loses its beginning.

    Raises:
        ValueError: there is none.
    """
    if not pairs:
        raise ValueError("No question is left to train with: check the file of questions, or lower data.held_back.")
    while True:
        for number in generator.permutation(len(pairs)).tolist():
            question, answer = pairs[number]
            answer = answer[: limit - 1]
            yield answer_pair(question[max(0, len(question) + len(answer) - limit) :], answer)
