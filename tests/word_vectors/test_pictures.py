"""The map against scikit-learn, and the words chosen for it."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize

from lightning_nlp.word_vectors.pictures import map_words, neighbour_rows, plane, probe_words
from lightning_nlp.word_vectors.vocabulary import Vocabulary
from tests.word_vectors.test_model import WORDS, random_model

LARGE = Vocabulary([f"w{place}" for place in range(1000)], range(2000, 1000, -1))


def test_the_map_is_that_of_principal_components():
    """Up to the sign of each axis, which is nobody's to know; of directions, so lengths count nothing."""
    torch.manual_seed(0)
    vectors = torch.randn(40, 7) * torch.linspace(1, 3, 7) + 1
    ours = plane(vectors)
    theirs = PCA(2).fit_transform(normalize(vectors.numpy()))
    signs = np.sign((ours * theirs).sum(0))
    np.testing.assert_allclose(ours, signs * theirs, atol=1e-5)
    np.testing.assert_allclose(plane(vectors * torch.rand(40, 1).add(0.1)), ours, atol=1e-5)


def test_the_map_keeps_its_signs():
    """Solvers turn axes over as they like; the same vectors shall lie the same way round in every run."""
    torch.manual_seed(0)
    vectors = torch.randn(30, 4)
    np.testing.assert_allclose(plane(vectors.flip(0))[::-1], plane(vectors), atol=1e-5)


@pytest.mark.parametrize("shape", [(5, 1), (1, 4), (2, 3), (1, 1)])
def test_a_map_always_has_two_axes(shape):
    points = plane(torch.randn(*shape))
    assert points.shape == (shape[0], 2)
    assert np.isfinite(points).all()


def test_wanted_words_are_looked_at_if_they_are_known():
    assert probe_words(LARGE, ["w7", "unheard", "W9"]) == ["w7", "W9"]
    assert probe_words(LARGE, []) == []


def test_else_words_of_falling_frequency_without_the_most_frequent():
    words = probe_words(LARGE, None, count=12)
    places = [LARGE.ids[word] for word in words]
    assert places == sorted(set(places))
    assert 10 <= len(places) <= 12
    assert (places[0], places[-1]) == (10, 333)


@pytest.mark.parametrize("size", [1, 2, 3, 10])
def test_few_words_are_no_obstacle(size):
    words = [f"w{place}" for place in range(size)]
    found = probe_words(Vocabulary(words, [1] * size), None)
    assert found
    assert set(found) <= set(words)
    assert len(set(found)) == len(found)


def test_rows_and_map_hold_the_probes_and_their_neighbours():
    model = random_model()
    near = model.neighbours(["cat", "Paris"], 5)
    rows = neighbour_rows(model, ["cat", "Paris"])
    assert [row[0] for row in rows] == ["cat", "Paris"]
    assert rows[0][1].split(", ")[4] == f"{near[0][4][0]} {near[0][4][1]:.2f}"
    words = map_words(model, ["cat", "Paris"], near=2)
    assert words[0] == "cat"
    assert set(words) == {"cat", "Paris", *(word for row in near for word, _ in row[:2])} <= set(WORDS)
    assert len(set(words)) == len(words)
    assert map_words(model, []) == []
