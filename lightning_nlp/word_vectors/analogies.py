"""Analogies, "a is to b as c is to d" (Mikolov et al. 2013, "Efficient Estimation…", section 4.1).

The answer is the word nearest to b - a + c, the three themselves aside: 3CosAdd (Levy & Goldberg 2014, "Linguistic
Regularities…", eq. 1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lightning_nlp.data.text_files import name_of, read_lines
from lightning_nlp.word_vectors.similarity import nearest, unit_rows
from lightning_nlp.word_vectors.vocabulary import Vocabulary

Question: TypeAlias = tuple[str, str, str, str]


@dataclass(frozen=True)
class Analogies:
    """Questions of four words, the last of which is the answer.

    Args:
        sections: name of a relation to its questions.
    """

    sections: Mapping[str, Sequence[Question]]


@dataclass(frozen=True)
class AnalogyScore:
    """How many questions were answered.

    Args:
        correct: those answered rightly.
        covered: those whose four words are known.
        total: all.
    """

    correct: int
    covered: int
    total: int

    @property
    def accuracy(self) -> float:
        """Percent of the covered questions answered rightly, as gensim and word2vec.c report; 0 where none is."""
        return 100 * self.correct / max(1, self.covered)

    @property
    def coverage(self) -> float:
        """Percent of the questions whose words are known."""
        return 100 * self.covered / max(1, self.total)

    @property
    def accuracy_of_all(self) -> float:
        """Percent of all questions answered rightly: the figure to compare vocabularies of different size by."""
        return 100 * self.correct / max(1, self.total)


@dataclass(frozen=True)
class AnalogyScores:
    """Scores of all questions.

    Args:
        sections: name of a relation to its score.
    """

    sections: Mapping[str, AnalogyScore]

    @property
    def overall(self) -> AnalogyScore:
        """The score of all sections together, each question counting the same."""
        parts = self.sections.values()
        return AnalogyScore(
            sum(part.correct for part in parts), sum(part.covered for part in parts), sum(part.total for part in parts)
        )


def read_analogies(file: Path | str, where: str = "") -> Analogies:
    """Reads the format of questions-words.txt: `: section` lines, each followed by its questions, four words a line.

    Args:
        file: the file, gzip or plain; blank lines are passed over.
        where: the option that names it, for errors.

    Raises:
        ValueError: a line with another number of words, a question before the first section, or no question at all,
            naming file and line.
    """
    sections: dict[str, list[Question]] = {}
    section = None
    for number, line in enumerate(read_lines(file, where), 1):
        if line.startswith(":"):
            section = sections.setdefault(line[1:].strip(), [])
        elif line.strip():
            place = f"{name_of(file, where)}, line {number}"
            if section is None:
                raise ValueError(
                    f'{place}: {line.strip()!r} stands before any section. Expected a line ": name" first: add one.'
                )
            section.append(_question(line, place))
    if not any(sections.values()):
        raise ValueError(f"{name_of(file, where)} holds no questions. Expected lines of four words: check the path.")
    return Analogies(sections)


@torch.no_grad()
def analogy_scores(
    vectors: Float[Tensor, "vocab dim"], vocabulary: Vocabulary, gold: Analogies, restrict: int = 300_000
) -> AnalogyScores:
    """Answers questions by 3CosAdd and counts the right answers, as gensim's `evaluate_word_analogies` does.

    Words are compared without regard to case: a question takes the most frequent of a word's spellings, and no spelling
    of its own three words is an answer.

    Args:
        vectors: of the vocabulary's words.
        vocabulary: the words, most frequent first.
        gold: the questions.
        restrict: the number of words from the beginning that are known here, in questions and as answers.
    """
    spellings = _spellings(vocabulary.words[:restrict])
    folded = {name: [_folded(question) for question in questions] for name, questions in gold.sections.items()}
    covered = {name: [q for q in questions if spellings.keys() >= set(q)] for name, questions in folded.items()}
    asked = [question for questions in covered.values() for question in questions]
    right = _answered(unit_rows(vectors[:restrict]), spellings, asked)
    parts = right.split([len(questions) for questions in covered.values()])
    return AnalogyScores(
        {
            name: AnalogyScore(int(part.sum()), len(part), len(questions))
            for (name, questions), part in zip(gold.sections.items(), parts)
        }
    )


def _answered(
    table: Float[Tensor, "vocab dim"], spellings: Mapping[str, Sequence[int]], asked: Sequence[Question]
) -> Bool[Tensor, "questions"]:
    """Says for each question whether the nearest word is the right one."""
    if not asked:
        return torch.empty(0, dtype=torch.bool)
    ids = torch.tensor([[spellings[word][0] for word in question] for question in asked], device=table.device)
    a, b, c, answer = ids.T
    own = [[i for word in question[:3] for i in spellings[word]] for question in asked]
    cosines, found = nearest(table, unit_rows(table[b] - table[a] + table[c]), 1, own)
    first_spelling = torch.empty(len(table), dtype=torch.long)
    for same in spellings.values():
        first_spelling[same] = same[0]
    is_right = first_spelling.to(table.device)[found[:, 0]] == answer
    return is_right & (cosines[:, 0] > -torch.inf)  # in a tiny vocabulary all words may be the question's own


def _spellings(words: Sequence[str]) -> dict[str, list[int]]:
    """Ids of the words that are the same in upper case, most frequent first."""
    spellings: dict[str, list[int]] = {}
    for place, word in enumerate(words):
        spellings.setdefault(word.upper(), []).append(place)
    return spellings


def _folded(question: Question) -> Question:
    a, b, c, answer = question
    return a.upper(), b.upper(), c.upper(), answer.upper()


def _question(line: str, place: str) -> Question:
    words = line.split()
    if len(words) != 4:
        raise ValueError(
            f"{place}: {len(words)} words. Expected four, the last as the answer: mend or remove the line."
        )
    return words[0], words[1], words[2], words[3]
