"""Examples of training by hand and by brute force."""

import numpy as np
import pytest

from lightning_nlp.data.tokenizers import EOS_ID
from lightning_nlp.transformer.objectives import (
    IGNORED,
    MASK_ID,
    NO_SPANS,
    Causal,
    Mixture,
    SpanCorruption,
    answer_pair,
    causal,
    corrupt,
    salient_spans,
)

TEXT = np.arange(10, 16, dtype=np.int32)


def predicted(example):
    return example.targets[example.targets != IGNORED].tolist()


def test_causal_predicts_each_token_and_the_end():
    example = causal(TEXT)
    assert example.tokens.tolist() == TEXT.tolist()
    assert example.targets.tolist() == [*TEXT[1:], EOS_ID]


def test_a_span_is_told_at_the_end():
    example = corrupt(TEXT, 2, 4)
    assert example.tokens.tolist() == [10, 11, MASK_ID, 14, 15, MASK_ID, 12, 13]
    assert example.targets.tolist() == [11, MASK_ID, 14, 15, MASK_ID, 12, 13, EOS_ID]
    alone = corrupt(TEXT, 2, 4, all_of_it=False)
    assert alone.tokens.tolist() == example.tokens.tolist()
    assert predicted(alone) == [12, 13, EOS_ID]
    assert alone.targets[5] == 12  # after the second mask


@pytest.mark.parametrize("all_of_it", [True, False])
def test_nothing_is_lost_wherever_the_span_lies(all_of_it):
    for start in range(len(TEXT)):
        for stop in range(start + 1, len(TEXT) + 1):
            tokens = corrupt(TEXT, start, stop, all_of_it).tokens.tolist()
            first = tokens.index(MASK_ID)
            second = tokens.index(MASK_ID, first + 1)
            prefix, suffix, span = tokens[:first], tokens[first + 1 : second], tokens[second + 1 :]
            assert prefix + span + suffix == TEXT.tolist()
            assert span == TEXT[start:stop].tolist()


def test_only_the_answer_is_predicted():
    example = answer_pair(np.array([20, 21, MASK_ID], np.int32), np.array([30, 31], np.int32))
    assert example.tokens.tolist() == [20, 21, MASK_ID, 30, 31]
    assert example.targets.tolist() == [IGNORED, IGNORED, 30, 31, EOS_ID]


@pytest.mark.parametrize("objective", [Causal(), SpanCorruption(), SpanCorruption(shortest_window=4, span=0.5)])
@pytest.mark.parametrize("length", [1, 2, 5, 40, 200])
def test_examples_are_no_longer_than_the_limit(objective, length):
    generator = np.random.default_rng(0)
    for _ in range(200):
        example = objective(np.arange(10, 10 + length, dtype=np.int32), NO_SPANS, 32, generator)
        assert 1 <= len(example.tokens) == len(example.targets) <= 32


def test_spans_have_the_mean_length_asked_for():
    generator, text = np.random.default_rng(0), np.arange(10, 110, dtype=np.int32)
    lengths = []
    for _ in range(2000):
        tokens = SpanCorruption(span=0.2)(text, NO_SPANS, 200, generator).tokens.tolist()
        lengths.append(len(tokens) - 1 - max(place for place, token in enumerate(tokens) if token == MASK_ID))
    assert np.mean(lengths) == pytest.approx(20, abs=1)


def test_salient_spans_are_chosen_as_often_as_asked_for():
    spans, generator = np.array([[3, 5]], np.int32), np.random.default_rng(0)
    text = np.arange(10, 40, dtype=np.int32)
    salient = [
        predicted(SpanCorruption(salient=0.6, all_of_it=False)(text, spans, 64, generator)) == [13, 14, EOS_ID]
        for _ in range(1000)
    ]
    assert np.mean(salient) == pytest.approx(0.6, abs=0.05)


def test_windows_end_with_the_span_as_often_as_asked_for():
    generator, text = np.random.default_rng(0), np.arange(10, 40, dtype=np.int32)
    spans = np.array([[3, 5]], np.int32)
    alone = [
        SpanCorruption(salient=1.0, last=0.7)(text, spans, 64, generator).tokens.tolist()
        == [10, 11, 12, MASK_ID, MASK_ID, 13, 14]
        for _ in range(1000)
    ]
    assert np.mean(alone) == pytest.approx(0.7, abs=0.05)


def test_a_gap_leaves_heading_and_span():
    generator, text = np.random.default_rng(0), np.arange(10, 40, dtype=np.int32)
    objective = SpanCorruption(salient=1.0, last=1.0, gap=0.7, heading=3, all_of_it=False)
    shorter, near = 0, set()
    for _ in range(1000):
        example = objective(text, np.array([[20, 22]], np.int32), 64, generator)
        assert predicted(example) == [30, 31, EOS_ID]
        read = example.tokens.tolist()
        before = read[: read.index(MASK_ID)]
        assert before[:3] == [10, 11, 12]
        assert before == sorted(before)
        assert set(before) <= set(range(10, 30))
        missing = set(range(10, 30)) - set(before)
        assert not missing or len(missing) == max(missing) - min(missing) + 1  # one stretch
        shorter += len(before) < 20
        near.add(before[-1])
    empty = np.mean([1 / (18 - first) for first in range(18)])  # both ends are drawn evenly, of 18 places
    assert shorter / 1000 == pytest.approx(0.7 * (1 - empty), abs=0.05)
    assert {12, 29} < near


def test_a_mixture_draws_by_shares():
    generator = np.random.default_rng(0)
    mixture = Mixture([Causal(), SpanCorruption(all_of_it=False)], [3.0, 1.0])
    causals = [MASK_ID not in mixture(TEXT, NO_SPANS, 64, generator).tokens for _ in range(1000)]
    assert np.mean(causals) == pytest.approx(0.75, abs=0.04)
    for objectives, shares in (([], None), ([Causal()], [1.0, 2.0]), ([Causal()], [-1.0]), ([Causal()], [0.0])):
        with pytest.raises(ValueError, match=r"objective\.shares has"):
            Mixture(objectives, shares)


def test_salient_spans_are_names_and_numbers_that_are_new():
    text = (
        " Susan Krieg. Krieg (born 3 May 1986 Fargo) met the Dutch king in New York, where Krieg lives, not in Fargo."
    )
    letters = [(place, place + 1) for place in range(len(text))]
    found = [text[start:stop] for start, stop in salient_spans(text, letters)]
    assert found == ["3 May 1986", "Fargo", "Dutch", "New York"]


def test_a_text_without_names_has_no_salient_spans():
    assert salient_spans(" nothing here", [(0, 8), (8, 13)]).shape == (0, 2)
    assert salient_spans("", []).shape == (0, 2)
