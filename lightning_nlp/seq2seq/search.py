"""Greedy and beam search over any step function: pure functions that know nothing of the model behind it.

Hypotheses that end leave the beam, which narrows by one for each (Bahdanau et al. 2015's search); sentences that are
done leave the batch. So a beam of 1 is greedy search, and a sentence's result does not depend on its batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Search:
    """How translations are looked for.

    Args:
        beam: hypotheses kept for each sentence; 1 is greedy search.
        length_penalty: alpha of the length normalisation (Wu et al. 2016, equation 14); 0 compares plain sums.
        average: compare mean scores a token instead, whatever `length_penalty` says.
        min_length: tokens of a translation at least, its end not counted.
        max_ratio: tokens of a translation at most for each of the source ...
        max_extra: ... and that many more, ...
        max_length: ... but never more than these.
    """

    beam: int = 5
    length_penalty: float = 1.0
    average: bool = False
    min_length: int = 1
    max_ratio: float = 2.0
    max_extra: int = 10
    max_length: int = 1000

    def __post_init__(self) -> None:
        if self.beam < 1:
            raise ValueError(f"search.beam is {self.beam}, expected 1 or more; 1 is greedy search.")
        if self.max_extra < max(1, self.min_length):
            raise ValueError(f"search.max_extra is {self.max_extra}, expected 1 and search.min_length or more.")
        if self.max_length < max(1, self.min_length):
            raise ValueError(f"search.max_length is {self.max_length}, expected 1 and search.min_length or more.")

    def check_n_best(self, n_best: int) -> None:
        """Refuses to look for more hypotheses than the beam holds.

        Raises:
            ValueError: naming both.
        """
        if n_best > self.beam:
            raise ValueError(f"n_best is {n_best}, but search.beam is {self.beam}: set it to {n_best} or more.")

    def max_lengths(self, source_lengths: Int[Tensor, "batch"]) -> Int[Tensor, "batch"]:
        """Returns how many tokens translations may have, their ends not counted."""
        return ((self.max_ratio * source_lengths).long() + self.max_extra).clamp(max=self.max_length)

    def normalised(self, scores: Tensor, lengths: Tensor | int) -> Tensor:
        """Makes sums of log-probabilities comparable between lengths, ends counted; larger is better."""
        lengths = torch.as_tensor(lengths, dtype=scores.dtype, device=scores.device)
        return scores / (lengths if self.average else ((5 + lengths) / 6) ** self.length_penalty)


BEAM, GREEDY = Search(), Search(beam=1)


@runtime_checkable
class State(Protocol):
    """What a step function carries from step to step, for a batch of sentences and the hypotheses of each."""

    def of_sentences(self, rows: Int[Tensor, "kept"]) -> "State":
        """Returns the state of some sentences."""

    def of_hypotheses(self, parents: Int[Tensor, "batch beam"]) -> "State":
        """Returns the state whose hypotheses continue these."""


Step = Callable[[Int[Tensor, "batch beam"], State], tuple[Float[Tensor, "batch beam vocab"], State]]


class Hypothesis(NamedTuple):
    """A translation that has ended.

    Attributes:
        tokens: without the end.
        score: sum of the log-probabilities of tokens and end.
        normalised: made comparable between lengths.
    """

    tokens: list[int]
    score: float
    normalised: float


class Ends(NamedTuple):
    """Ids that search must know: of beginning and end, and of what is never written."""

    bos: int
    eos: int
    never: tuple[int, ...] = ()


@torch.no_grad()
def greedy_search(
    step: Step, state: State, max_lengths: Int[Tensor, "batch"], ends: Ends, settings: Search = GREEDY
) -> list[Hypothesis]:
    """Follows the likeliest token until the end.

    Args:
        step: log-probabilities of the next token, given the last one.
        state: before the first step, with one hypothesis a sentence.
        max_lengths: tokens at most, as from `Search.max_lengths`.
        ends: special ids.
        settings: length limits and normalisation; the beam has no effect.

    Returns:
        A hypothesis for each sentence.
    """
    rows = torch.arange(len(max_lengths), device=max_lengths.device)  # sentences that are not done
    last = torch.full_like(rows, ends.bos)
    scores = torch.zeros(len(rows), dtype=torch.float32, device=rows.device)
    found: list[Hypothesis | None] = [None] * len(rows)
    written: list[list[int]] = [[] for _ in found]
    for length in range(int(max_lengths.max()) + 1):
        log_probs, state = step(last[:, None], state)
        best, tokens = likeliest(log_probs, 1, length, settings.min_length, max_lengths[rows], ends)
        last, scores = tokens[:, 0, 0], scores + best[:, 0, 0]
        ended = last == ends.eos
        for row, token, score, end in zip(rows.tolist(), last.tolist(), scores.tolist(), ended.tolist()):
            if end:
                rank = float(settings.normalised(torch.tensor(score, dtype=torch.float32), length + 1))
                found[row] = Hypothesis(written[row], score, rank)
            else:
                written[row].append(token)
        if ended.any():
            going = (~ended).nonzero()[:, 0]
            if not len(going):
                break
            rows, last, scores, state = rows[going], last[going], scores[going], state.of_sentences(going)
    return found  # type: ignore[return-value]


def likeliest(
    log_probs: Float[Tensor, "batch beam vocab"],
    count: int,
    length: int,
    min_length: int,
    max_lengths: Int[Tensor, "batch"],
    ends: Ends,
) -> tuple[Float[Tensor, "batch beam count"], Int[Tensor, "batch beam count"]]:
    """Returns the likeliest next tokens of each hypothesis, the best first, and their log-probabilities.

    What may not come next has -inf: what is never written, an end too early, anything else too late. So many more are
    looked at as can be ruled out, which spares a copy of all log-probabilities.
    """
    ruled_out = [ends.bos, *ends.never, *([ends.eos] if length < min_length else [])]
    best, tokens = log_probs.float().topk(min(count + len(ruled_out), log_probs.shape[2]), dim=2)
    best = best.masked_fill(torch.isin(tokens, tokens.new_tensor(ruled_out)), float("-inf"))
    must_end = length >= max_lengths
    if must_end.any():
        best[must_end], tokens[must_end, :, 0] = float("-inf"), ends.eos
        best[must_end, :, 0] = log_probs[must_end, :, ends.eos].float()
    best, order = best.topk(min(count, best.shape[2]), dim=2)
    return best, tokens.gather(2, order)


class Alive(NamedTuple):
    """Hypotheses that have not ended, of the sentences that are not done.

    Attributes:
        rows: which sentence of the batch each is.
        width: hypotheses that each sentence still looks for; those beyond have a score of -inf.
        scores: sums of log-probabilities, the best first.
        tokens: written so far, the beginning first.
    """

    rows: Int[Tensor, "batch"]
    width: Int[Tensor, "batch"]
    scores: Float[Tensor, "batch beam"]
    tokens: Int[Tensor, "batch beam length"]


@torch.no_grad()
def beam_search(
    step: Step,
    state: State,
    max_lengths: Int[Tensor, "batch"],
    ends: Ends,
    settings: Search = BEAM,
    n_best: int = 1,
) -> list[list[Hypothesis]]:
    """Keeps the likeliest hypotheses of each sentence until no other can become one of its best.

    Args:
        step: log-probabilities of the next token for each hypothesis, given the last ones.
        state: before the first step, with one hypothesis a sentence.
        max_lengths: tokens at most, as from `Search.max_lengths`.
        ends: special ids.
        settings: beam, length limits and normalisation.
        n_best: hypotheses wanted for each sentence.

    Returns:
        For each sentence its `n_best` best, the best first.

    Raises:
        ValueError: more hypotheses are wanted than the beam can find.
    """
    settings.check_n_best(n_best)
    device = max_lengths.device
    count = len(max_lengths)
    found: list[list[Hypothesis]] = [[] for _ in range(count)]
    alive = Alive(
        torch.arange(count, device=device),
        torch.full((count,), settings.beam, device=device),
        torch.zeros(count, 1, dtype=torch.float32, device=device),
        torch.full((count, 1, 1), ends.bos, device=device),
    )
    length = 0
    while len(alive.rows):
        log_probs, state = step(alive.tokens[:, :, -1], state)
        limits = (length, settings.min_length, max_lengths[alive.rows], ends)
        parents, tokens, scores = best_continuations(
            alive.scores, *likeliest(log_probs, settings.beam, *limits), settings.beam
        )
        is_kept = (torch.arange(tokens.shape[1], device=device) < alive.width[:, None]) & scores.isfinite()
        ended = is_kept & (tokens == ends.eos)
        length += 1
        collect(found, alive, parents, scores, ended, length, settings)
        alive, parents = surviving(alive, parents, tokens, scores, is_kept & ~ended, ended.sum(1))
        state = state.of_hypotheses(parents)
        going = is_open(found, alive, length, max_lengths, settings, n_best).nonzero()[:, 0]
        if len(going) < len(alive.rows):
            alive, state = Alive(*(part[going] for part in alive)), state.of_sentences(going)
    return [sorted(ones, key=lambda one: -one.normalised)[:n_best] for ones in found]


def best_continuations(
    scores: Float[Tensor, "batch beam"],
    log_probs: Float[Tensor, "batch beam choices"],
    tokens: Int[Tensor, "batch beam choices"],
    count: int,
) -> tuple[Int[Tensor, "batch count"], Int[Tensor, "batch count"], Float[Tensor, "batch count"]]:
    """Returns the best pairs of hypothesis and next token, and their scores, the best first."""
    total = (scores[:, :, None] + log_probs).flatten(1)
    best, pairs = total.topk(min(count, total.shape[1]), dim=1)
    return pairs // tokens.shape[2], tokens.flatten(1).gather(1, pairs), best


def collect(
    found: list[list[Hypothesis]],
    alive: Alive,
    parents: Tensor,
    scores: Tensor,
    ended: Tensor,
    length: int,
    settings: Search,
) -> None:
    """Notes the hypotheses that have just ended, `length` tokens long with their ends."""
    rank = settings.normalised(scores, length)
    for sentence, place in ended.nonzero().tolist():
        tokens = alive.tokens[sentence, parents[sentence, place], 1:].tolist()
        score = float(scores[sentence, place])
        found[int(alive.rows[sentence])].append(Hypothesis(tokens, score, float(rank[sentence, place])))


def surviving(
    alive: Alive, parents: Tensor, tokens: Tensor, scores: Tensor, is_alive: Tensor, ended: Tensor
) -> tuple[Alive, Tensor]:
    """Moves the hypotheses that go on to the front, in as many places as the widest sentence needs."""
    width = alive.width - ended
    places = max(1, int(width.max()))
    order = (~is_alive).to(torch.int8).sort(dim=1, stable=True).indices[:, :places]
    parents, tokens = parents.gather(1, order), tokens.gather(1, order)
    scores = scores.masked_fill(~is_alive, float("-inf")).gather(1, order)
    history = alive.tokens.gather(1, parents[:, :, None].expand(-1, -1, alive.tokens.shape[2]))
    return Alive(alive.rows, width, scores, torch.cat([history, tokens[:, :, None]], dim=2)), parents


def is_open(
    found: list[list[Hypothesis]],
    alive: Alive,
    length: int,
    max_lengths: Int[Tensor, "batch"],
    settings: Search,
    n_best: int,
) -> Tensor:
    """Tells which sentences may still get a better result: an open hypothesis could overtake the last of the best.

    Scores only fall, so at most what a hypothesis has now is left at its end, wherever normalisation favours it most.
    """
    best = alive.scores[:, 0]
    longest = max_lengths[alive.rows] + 1
    reachable = torch.maximum(settings.normalised(best, longest), settings.normalised(best, length + 1))
    ranks = [sorted((one.normalised for one in found[row]), reverse=True) for row in alive.rows.tolist()]
    bar = reachable.new_tensor([ones[n_best - 1] if len(ones) >= n_best else float("-inf") for ones in ranks])
    return (alive.width > 0) & best.isfinite() & (reachable > bar)
