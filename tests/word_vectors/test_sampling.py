"""What skip-gram draws: against the formulas of word2vec.c, gensim and all pairs looked at one by one."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_nlp.word_vectors.sampling import (
    draw_noise,
    draw_reach,
    draw_shared_noise,
    keep_probability,
    noise_distribution,
    search_guide,
    subsample,
    window_pairs,
)

COUNTS = [5000, 1200, 400, 90, 90, 7, 1]


def test_frequent_words_stay_as_in_word2vec_c():
    """`(sqrt(cn / (sample * train_words)) + 1) * (sample * train_words) / cn`, compared with a draw below 1."""
    for threshold in (1e-4, 1e-3, 0.05, 1.0):
        allowed = threshold * sum(COUNTS)
        expected = [min(1.0, (math.sqrt(count / allowed) + 1) * allowed / count) for count in COUNTS]
        assert keep_probability(torch.tensor(COUNTS), threshold).tolist() == pytest.approx(expected, rel=1e-6)


def test_frequent_words_stay_as_in_gensim():
    gensim = pytest.importorskip("gensim.models")
    words = [f"w{place}" for place in range(len(COUNTS))]
    for threshold in (1e-3, 0.02):
        theirs = gensim.Word2Vec(min_count=1, sample=threshold)
        theirs.build_vocab_from_freq(dict(zip(words, COUNTS)))
        sample_int = [theirs.wv.get_vecattr(word, "sample_int") / 2**32 for word in words]
        assert keep_probability(torch.tensor(COUNTS), threshold).tolist() == pytest.approx(sample_int, rel=1e-6)


def test_threshold_zero_keeps_every_word():
    assert keep_probability(torch.tensor(COUNTS), 0.0).tolist() == [1.0] * len(COUNTS)


def test_tokens_stay_as_often_as_they_should():
    torch.manual_seed(0)
    keep = torch.tensor([0.0, 0.03, 0.5, 0.97, 1.0])
    draws = 20_000
    stayed = subsample(keep.repeat(draws)).view(draws, -1).float().mean(0)
    tolerance = 4 * (keep * (1 - keep) / draws).sqrt()  # four standard errors; none where there is no doubt
    assert ((stayed - keep).abs() <= tolerance).all()


@given(
    lengths=st.lists(st.integers(1, 9), max_size=6),
    window=st.integers(1, 7),
    seed=st.integers(0, 999),
)
@settings(max_examples=100, deadline=None)
def test_each_centre_sees_all_words_within_one_reach(lengths, window, seed):
    """Every place of its sentence within it once, and no other."""
    sentence = [number for number, length in enumerate(lengths) for _ in range(length)]
    torch.manual_seed(seed)
    reach = draw_reach(len(sentence), window)
    centres, contexts = window_pairs(torch.tensor(sentence, dtype=torch.int32), reach)
    seen = Counter(zip(centres.tolist(), contexts.tolist()))
    expected = [(place, c) for place, far in enumerate(reach.tolist()) for c in brute_force(sentence, place, far)]
    assert seen == Counter(expected)
    assert all(1 <= far <= window for far in reach.tolist())


def brute_force(sentence: list[int], centre: int, reach: int) -> list[int]:
    """All places that a centre sees, by the definition."""
    near = range(centre - reach, centre + reach + 1)
    return [c for c in near if c != centre and 0 <= c < len(sentence) and sentence[c] == sentence[centre]]


def test_near_words_count_more():
    """A reach drawn evenly from 1 to n is at least d in n - d + 1 of n cases."""
    torch.manual_seed(0)
    window, places = 5, 20_000
    centres, contexts = window_pairs(torch.zeros(places, dtype=torch.int32), draw_reach(places, window))
    distance = Counter((contexts - centres).tolist())
    for away in range(1, window + 1):
        chance = (window - away + 1) / window
        tolerance = 4 * math.sqrt(places * chance * (1 - chance)) + window
        assert distance[away] == pytest.approx(places * chance, abs=tolerance)
        assert distance[-away] == pytest.approx(places * chance, abs=tolerance)
    assert set(map(abs, distance)) == set(range(1, window + 1))


def test_places_draw_their_reach_apart_and_both_sides_share_it():
    torch.manual_seed(0)
    centres, contexts = window_pairs(torch.zeros(1000, dtype=torch.int32), draw_reach(1000, 2))
    right, left = (set(centres[contexts - centres == step].tolist()) for step in (2, -2))
    inner = set(range(2, 998))
    assert right & inner == left & inner
    assert 0 < len(right & inner) < len(inner)


@pytest.mark.parametrize("exponent", [0.0, 0.75, 1.0])
def test_noise_follows_counts_to_a_power(exponent):
    torch.manual_seed(0)
    weights = np.array(COUNTS, dtype=np.float64) ** exponent
    chances = weights / weights.sum()
    cumulative = noise_distribution(torch.tensor(COUNTS), exponent)
    np.testing.assert_allclose(np.diff(cumulative.numpy(), prepend=0), chances, rtol=1e-9)

    draws = 200_000
    drawn = np.bincount(draw_noise(cumulative, draws // 5, 5).flatten().numpy(), minlength=len(COUNTS))
    chi_square = ((drawn - draws * chances) ** 2 / (draws * chances)).sum()
    assert chi_square < 30  # six degrees of freedom: beyond it in four of 100,000 cases


def test_noise_is_a_word_whatever_is_drawn(monkeypatch):
    cumulative = noise_distribution(torch.tensor(COUNTS), 0.75)
    for draw in (0.0, np.nextafter(1.0, 0.0), 1.0):
        monkeypatch.setattr(torch, "rand", lambda *size, draw=draw, **_: torch.full(size, draw, dtype=torch.double))
        assert draw_noise(cumulative, 1, 1).item() == (0 if draw == 0 else len(COUNTS) - 1)


def test_rare_words_keep_their_share_in_a_large_vocabulary():
    """In single precision a million chances would not add up."""
    counts = torch.ones(1_000_000, dtype=torch.long)
    steps = noise_distribution(counts, 0.75).diff()
    torch.testing.assert_close(steps, torch.full_like(steps, 1e-6), rtol=1e-6, atol=0)


def test_without_pairs_there_is_no_noise():
    assert draw_noise(noise_distribution(torch.tensor(COUNTS), 0.75), 0, 5).shape == (0, 5)


# -- noise that blocks share ----------------------------------------------------------------------------------------


@given(
    counts=st.lists(st.integers(0, 50), min_size=1, max_size=40).filter(any),
    seed=st.integers(0, 99),
    count=st.sampled_from([1, 3, 16]),
)
@settings(max_examples=100, deadline=None)
def test_shared_noise_is_the_inverse_of_the_distribution(counts, seed, count):
    """The guided search finds what a binary search finds, one word in each equal part of the distribution."""
    cumulative = noise_distribution(torch.tensor(counts), 0.75)
    torch.manual_seed(seed)
    drawn = draw_shared_noise(cumulative, search_guide(cumulative), 5, count)
    torch.manual_seed(seed)
    draws = (torch.rand(count, 5, dtype=torch.double) + torch.arange(count)[:, None]) / count
    torch.testing.assert_close(drawn, torch.searchsorted(cumulative, draws.T.contiguous(), out_int32=True))


def test_shared_noise_follows_the_distribution_and_varies_less():
    cumulative = noise_distribution(torch.tensor(COUNTS), 0.75)
    chances = cumulative.diff(prepend=torch.zeros(1)).numpy()
    torch.manual_seed(0)
    shared = draw_shared_noise(cumulative, search_guide(cumulative), 5000, 16)
    apart = draw_noise(cumulative, 5000, 16)
    np.testing.assert_allclose(np.bincount(shared.flatten(), minlength=7) / 80_000, chances, atol=0.006)
    of_most_frequent = [(noise == 0).sum(1).double().std() for noise in (shared, apart)]
    assert of_most_frequent[0] < 0.5 * of_most_frequent[1]


def test_shared_noise_is_a_word_whatever_is_drawn(monkeypatch):
    cumulative = noise_distribution(torch.tensor(COUNTS), 0.75)
    for draw in (0.0, 1 - 2**-53, 1.0):
        monkeypatch.setattr(torch, "rand", lambda *size, draw=draw, **_: torch.full(size, draw, dtype=torch.double))
        noise = draw_shared_noise(cumulative, search_guide(cumulative), 2, 32)
        assert noise.shape == (2, 32)
        assert noise.max() < len(COUNTS)


def test_a_window_beyond_a_byte_is_refused():
    with pytest.raises(ValueError, match=r"config\.window is 256, expected at most 255"):
        draw_reach(3, 256)
