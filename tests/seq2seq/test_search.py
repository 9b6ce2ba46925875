"""Search against hand-worked steps and against all sequences there are."""

from itertools import product
from typing import NamedTuple

import pytest
import torch

from lightning_nlp.seq2seq.search import Ends, Search, beam_search, greedy_search

BOS, EOS = 2, 3
ENDS = Ends(BOS, EOS, never=(0, 1))
VOCAB = 7  # four special ids, and a, b, c


class History(NamedTuple):
    """The state of a toy model: a number that stands for all tokens so far, for each hypothesis of each sentence."""

    sentence: torch.Tensor
    seen: torch.Tensor

    def of_sentences(self, rows):
        return History(self.sentence[rows], self.seen[rows])

    def of_hypotheses(self, parents):
        return History(self.sentence, self.seen.gather(1, parents))


def toy_step(tokens, state):
    """Log-probabilities that depend on sentence and history in an irregular way."""
    seen = state.seen * VOCAB + tokens
    rows = [
        [torch.randn(VOCAB, generator=torch.Generator().manual_seed(1000 * int(s) + int(h))) for h in of_sentence]
        for s, of_sentence in zip(state.sentence, seen)
    ]
    logits = torch.stack([torch.stack(row) for row in rows])
    return (1.5 * logits).log_softmax(2), History(state.sentence, seen)


def start(*sentences):
    return History(torch.tensor(sentences), torch.zeros(len(sentences), 1, dtype=torch.long))


def score_of(sentence, tokens, longest):
    """The sum of log-probabilities of a sequence, by walking through it."""
    state, total, last = start(sentence), 0.0, BOS
    for place, token in enumerate([*tokens, EOS]):
        log_probs, state = toy_step(torch.tensor([[last]]), state)
        total += float(log_probs[0, 0, token])
        last = token
        assert place <= longest
    return total


def every_sequence(longest, shortest=1):
    return [s for length in range(shortest, longest + 1) for s in product(range(4, VOCAB), repeat=length)]


@pytest.mark.parametrize("settings", [{}, {"length_penalty": 0.0}, {"average": True}, {"length_penalty": 2.5}])
@pytest.mark.parametrize("sentence", [1, 2, 3])
def test_a_wide_beam_finds_the_best_of_all_sequences(sentence, settings):
    longest, search = 3, Search(beam=200, **settings)
    found = beam_search(toy_step, start(sentence), torch.tensor([longest]), ENDS, search, n_best=5)[0]
    ranked = sorted(
        every_sequence(longest),
        key=lambda s: -float(search.normalised(torch.tensor(score_of(sentence, s, longest)), len(s) + 1)),
    )
    assert [tuple(one.tokens) for one in found] == ranked[:5]
    for one in found:
        assert one.score == pytest.approx(score_of(sentence, one.tokens, longest), abs=1e-4)


@pytest.mark.parametrize("beam", [1, 2, 4])
def test_a_sentence_does_not_depend_on_its_batch(beam):
    longest, search, sentences = torch.tensor([3, 8, 5, 8, 1]), Search(beam=beam, min_length=1), (1, 2, 3, 4, 5)
    together = beam_search(toy_step, start(*sentences), longest, ENDS, search, n_best=beam)
    for place, sentence in enumerate(sentences):
        alone = beam_search(toy_step, start(sentence), longest[place : place + 1], ENDS, search, n_best=beam)[0]
        assert [one.tokens for one in together[place]] == [one.tokens for one in alone]
        for one, other in zip(together[place], alone):
            assert one.score == pytest.approx(other.score, abs=1e-5)
            assert 1 <= len(one.tokens) <= longest[place]


def test_a_beam_of_one_is_greedy():
    longest = torch.tensor([9] * 20)
    greedy = greedy_search(toy_step, start(*range(20)), longest, ENDS)
    beam = beam_search(toy_step, start(*range(20)), longest, ENDS, Search(beam=1))
    assert [one.tokens for one in greedy] == [ones[0].tokens for ones in beam]
    assert [one.score for one in greedy] == pytest.approx([ones[0].score for ones in beam], abs=1e-5)
    assert [one.normalised for one in greedy] == pytest.approx([ones[0].normalised for ones in beam], abs=1e-5)


def table_step(table):
    """A step function whose probabilities are given for each history, written as letters."""
    letters = {4: "a", 5: "b", BOS: "", EOS: "$"}

    class Letters(NamedTuple):
        histories: list

        def of_sentences(self, rows):
            return Letters([self.histories[row] for row in rows])

        def of_hypotheses(self, parents):
            return Letters([[of[p] for p in row] for of, row in zip(self.histories, parents.tolist())])

    def step(tokens, state):
        histories = [
            [history + letters[int(token)] for history, token in zip(*pair)] for pair in zip(state.histories, tokens)
        ]
        probabilities = torch.full((len(tokens), tokens.shape[1], VOCAB), 1e-9)
        for b, of_sentence in enumerate(histories):
            for k, history in enumerate(of_sentence):
                for token, p in zip((4, 5, EOS), table[history]):
                    probabilities[b, k, token] = p
        return probabilities.log(), Letters(histories)

    return step, Letters([[""]])


def test_worked_by_hand():
    """A beam of two keeps b, which greedy search leaves for a, and finds bb, which is likelier than all after a.

    Step 1: a .6, b .4. Step 2: a a .6 * .4 = .24, a b .6 * .3, a $ .6 * .3, b b .4 * .9 = .36 and no other of b; kept
    are b b and a a. Step 3: b b $ .36 * .9 = .324 ends, a a $ .24 * .5 = .12 ends.
    """
    table = {
        "": (0.6, 0.4, 0),
        "a": (0.4, 0.3, 0.3),
        "b": (0.05, 0.9, 0.05),
        "bb": (0.05, 0.05, 0.9),
        "aa": (0.2, 0.3, 0.5),
    }
    table |= {"ab": (0, 0, 1), "ba": (0, 0, 1)}
    plain = {"length_penalty": 0.0}
    step, state = table_step(table)
    greedy = greedy_search(step, state, torch.tensor([2]), ENDS, Search(beam=1, **plain))[0]
    assert greedy.tokens == [4, 4]
    found = beam_search(step, state, torch.tensor([2]), ENDS, Search(beam=2, **plain), n_best=2)[0]
    assert [one.tokens for one in found] == [[5, 5], [4, 4]]
    assert [one.score for one in found] == pytest.approx(torch.tensor([0.324, 0.12]).log().tolist(), abs=1e-5)


def test_lengths_are_kept():
    found = beam_search(toy_step, start(1, 2), torch.tensor([6, 6]), ENDS, Search(beam=3, min_length=4), n_best=3)
    lengths = [len(one.tokens) for ones in found for one in ones]
    assert min(lengths) >= 4
    assert max(lengths) <= 6
    assert not any(token in (0, 1, BOS, EOS) for ones in found for one in ones for token in one.tokens)


def test_length_normalisation_is_that_of_the_paper():
    """Wu et al. 2016, equation 14: ((5 + |Y|) / 6) ** alpha."""
    assert float(Search(length_penalty=0.6).normalised(torch.tensor(-3.0), 7)) == pytest.approx(-3 / (12 / 6) ** 0.6)
    assert float(Search(average=True).normalised(torch.tensor(-3.0), 6)) == pytest.approx(-0.5)


def test_what_cannot_be_found_is_refused():
    with pytest.raises(ValueError, match=r"search.beam is 2: set it to 3"):
        beam_search(toy_step, start(1), torch.tensor([3]), ENDS, Search(beam=2), n_best=3)
    with pytest.raises(ValueError, match="expected 1 or more"):
        Search(beam=0)
