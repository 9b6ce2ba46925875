"""What a transformer is trained to predict: pure functions from token ids to examples."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

MASK = "⁇"  # stands for left-out text, and between a question and its answer, as in the course
EOS_ID, MASK_ID = 3, 4  # as in every tokenizer of this project that knows the mask
IGNORED = -100  # the target of a token after which nothing is to be predicted, as torch's cross entropy has it

Ids = NDArray[np.int32]
PUNCTUATION = ".,;:!?()[]\"'“”‘’-–"
YEAR = re.compile(r"\d{3,4}$")
NO_SPANS = np.zeros((0, 2), np.int32)


class Example(NamedTuple):
    """Tokens of one document.

    Attributes:
        tokens: what is read, [length].
        targets: what follows each token; `IGNORED` where that is not to be predicted.
    """

    tokens: Ids
    targets: Ids


def as_document(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """Encodes a text; a space before it makes its first word what it is elsewhere."""
    return tokenizer.backend_tokenizer.encode(f" {text}", add_special_tokens=False).ids


def as_question(tokenizer: PreTrainedTokenizerFast, question: str) -> list[int]:
    """Encodes a question as what an answer follows."""
    return [*as_document(tokenizer, question), MASK_ID]


def predict_all(tokens: Ids) -> Example:
    """Each token from those before it."""
    return Example(tokens[:-1], tokens[1:])


def predict_from(tokens: Ids, start: int) -> Example:
    """Each token from `start` on from those before it."""
    targets = tokens[1:].copy()
    targets[: start - 1] = IGNORED
    return Example(tokens[:-1], targets)


def causal(tokens: Ids) -> Example:
    """A text and its end, token by token (Bengio et al. 2003)."""
    return predict_all(np.append(tokens, np.int32(EOS_ID)))


def answer_pair(question: Ids, answer: Ids) -> Example:
    """A question, the mask, and the answer that is to be predicted.

    Args:
        question: ids of a question, the mask its last.
        answer: ids of its answer.
    """
    tokens = np.concatenate((question, answer, [EOS_ID])).astype(np.int32)
    return predict_from(tokens, len(question))


def corrupt(tokens: Ids, start: int, stop: int, all_of_it: bool = True) -> Example:
    """Moves a span to the end: prefix, mask, suffix, mask, span (the course's form of Raffel et al. 2020, section 3.1).

    Args:
        tokens: of a document.
        start: where the span begins.
        stop: where it ends.
        all_of_it: whether prefix and suffix are to be predicted as well as the span.
    """
    masked = tokens[start:stop]
    parts = (tokens[:start], [MASK_ID], tokens[stop:], [MASK_ID], masked, [EOS_ID])
    moved = np.concatenate(parts).astype(np.int32)
    return predict_all(moved) if all_of_it else predict_from(moved, len(moved) - len(masked) - 1)


class Objective(ABC):
    """Makes an example of a document."""

    @property
    def wants_salient(self) -> bool:
        """Whether it looks at salient spans: finding them takes most of the time of preparing a text."""
        return False

    @abstractmethod
    def __call__(self, tokens: Ids, spans: Ids, limit: int, generator: np.random.Generator) -> Example:
        """Returns an example of at most `limit` tokens.

        Args:
            tokens: of the document.
            spans: where its salient spans begin and end, [spans, 2].
            limit: of the example's length.
            generator: of whatever is drawn.
        """


class Causal(Objective):
    """Language modelling; of a text that is too long some window."""

    def __call__(self, tokens: Ids, spans: Ids, limit: int, generator: np.random.Generator) -> Example:
        """Returns the text and its end."""
        start = int(generator.integers(max(1, len(tokens) + 1 - limit)))
        window = tokens[start : start + limit + 1]
        return predict_all(window if len(window) > limit else np.append(window, np.int32(EOS_ID)))


class SpanCorruption(Objective):
    """Leaves out a span of a window and lets it be told at the end (Raffel et al. 2020; Stanford CS224N, assignment 5).

    Args:
        shortest_window: tokens of a window at least; null takes whole documents. The course cuts windows of 4 tokens to
            seven eighths of the context off the beginnings of documents.
        from_start: whether windows begin where documents do, as the course's, if these fit in the context; else
            anywhere.
        span: mean share of a window that is left out, drawn evenly from nearly none to twice as much.
        salient: share of the examples whose span is a name or a number (Guu et al. 2020, section 3.4).
        last: share of the examples whose window ends with the span, so that it is told from what comes before alone.
        gap: share of the examples that lose a stretch of the text before the span, so that it is told from what is far.
        heading: tokens at the beginning of a window that are never lost: they say what a document is about.
        all_of_it: whether the whole example is to be predicted; else the span alone.
    """

    def __init__(
        self,
        shortest_window: int | None = None,
        from_start: bool = True,
        span: float = 0.25,
        salient: float = 0.0,
        last: float = 0.0,
        gap: float = 0.0,
        heading: int = 8,
        all_of_it: bool = True,
    ) -> None:
        if not 0 < span <= 0.5:
            raise ValueError(f"objective.span is {span}, expected a share in (0, 0.5].")
        for name, value in (("salient", salient), ("last", last), ("gap", gap)):
            if not 0 <= value <= 1:
                raise ValueError(f"objective.{name} is {value}, expected a share in [0, 1].")
        self.shortest_window, self.span, self.salient = shortest_window, span, salient
        self.from_start, self.last, self.all_of_it = from_start, last, all_of_it
        self.gap, self.heading = gap, heading

    @property
    def wants_salient(self) -> bool:
        """Whether some of its examples leave out a salient span."""
        return self.salient > 0

    def __call__(self, tokens: Ids, spans: Ids, limit: int, generator: np.random.Generator) -> Example:
        """Returns prefix, mask, suffix, mask, span."""
        longest = min(len(tokens), limit - 2)
        if self.shortest_window is not None and longest > self.shortest_window:
            longest = int(generator.integers(self.shortest_window, longest + 1))
        from_start = self.from_start and len(tokens) <= limit - 2
        begin = 0 if from_start else int(generator.integers(len(tokens) - longest + 1))
        tokens = tokens[begin : begin + longest]
        within = spans[(spans[:, 0] >= begin) & (spans[:, 1] <= begin + longest)] - begin
        if len(within) and generator.random() < self.salient:
            start, stop = within[generator.integers(len(within))].tolist()
        else:
            length = 1 + int(generator.random() * 2 * self.span * longest)
            length = min(length, longest)
            start = int(generator.integers(longest - length + 1))
            stop = start + length
        if generator.random() < self.last:
            tokens = tokens[:stop]
        if generator.random() < self.gap:
            first = int(generator.integers(min(self.heading, start), start + 1))
            end = int(generator.integers(first, start + 1))
            tokens = np.concatenate((tokens[:first], tokens[end:]))
            start, stop = start - (end - first), stop - (end - first)
        return corrupt(tokens, start, stop, self.all_of_it)


class Mixture(Objective):
    """Draws one of several objectives for each example (Tay et al. 2022).

    Args:
        objectives: what is drawn from.
        shares: of each, in any unit; null for equal ones.
    """

    def __init__(self, objectives: list[Objective], shares: list[float] | None = None) -> None:
        shares = shares or [1.0] * len(objectives)
        if not objectives or len(shares) != len(objectives) or min(shares) < 0 or not sum(shares):
            raise ValueError(
                f"objective.shares has {len(shares)} numbers for {len(objectives)} objectives, expected one for each, "
                "none below 0 and one above."
            )
        self.objectives = objectives
        self.shares = np.array(shares) / sum(shares)

    @property
    def wants_salient(self) -> bool:
        """Whether one of them does."""
        return any(objective.wants_salient for objective in self.objectives)

    def __call__(self, tokens: Ids, spans: Ids, limit: int, generator: np.random.Generator) -> Example:
        """Returns an example of one of them."""
        drawn = self.objectives[int(generator.choice(len(self.objectives), p=self.shares))]
        return drawn(tokens, spans, limit, generator)


def salient_spans(text: str, offsets: Sequence[tuple[int, int]]) -> Ids:
    """Finds names and numbers: runs of words that begin with a capital letter or a digit (after Guu et al. 2020, 3.4).

    Those with a word that the text has had before are passed over, as copying teaches nothing about the world, and so
    is the name that a text begins with, which is what it is about, and words that later sentences begin with, which
    always have a capital.

    Args:
        text: of a document.
        offsets: where each of its tokens begins and ends in it.

    Returns:
        First token and the token after the last of each span, [spans, 2].
    """
    runs: list[list[int]] = []
    known: list[bool] = []  # whether a run has a word that stood before, or is the text's subject
    met: set[str] = set()
    previous = ""
    for begin, piece in placed_words(text):
        word = piece.strip(PUNCTUATION)
        is_known = not previous or word in met  # the first word, or one that stood before
        begins_sentence, previous = previous.endswith("."), piece or previous
        met.add(word)
        if not word or begins_sentence or not (word[0].isupper() or word[0].isdigit()):
            continue
        begin += piece.index(word)
        before = text[runs[-1][0] : runs[-1][1]] if runs else ""
        if before and begin == runs[-1][1] + 1 and not YEAR.search(before):  # what follows a year is another name
            runs[-1][1], known[-1] = begin + len(word), known[-1] or is_known
        else:
            runs.append([begin, begin + len(word)])
            known.append(is_known)
    runs = [run for run, is_known in zip(runs, known) if not is_known]
    if not runs or not offsets:
        return NO_SPANS
    begins, ends = np.array(offsets).T
    first = [int(np.searchsorted(ends, begin, side="right")) for begin, _ in runs]
    last = [int(np.searchsorted(begins, end, side="left")) for _, end in runs]
    return np.array([pair for pair in zip(first, last) if pair[1] > pair[0]], np.int32).reshape(-1, 2)


def placed_words(text: str) -> Iterator[tuple[int, str]]:
    """Yields words between spaces, and where each begins."""
    place = 0
    for word in text.split(" "):
        yield place, word
        place += len(word) + 1
