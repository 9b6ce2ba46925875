"""Count-based vectors: against double loops, PMI by its definition and numpy's full SVD."""

import itertools
import math
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from lightning_nlp.word_vectors import counts as module
from lightning_nlp.word_vectors.counts import CooccurrenceCounts, distance_weights, factorise, ppmi, transformed

WEIGHTS = {
    "flat": lambda distance, window: 1.0,
    "linear": lambda distance, window: (window - distance + 1) / window,
    "harmonic": lambda distance, window: 1 / distance,
}
VOCAB = 6
SENTENCES = st.lists(st.lists(st.integers(0, VOCAB - 1), max_size=9), max_size=8)
PLANTED = np.array([40.0, 30, 22, 15, 9, 5])  # singular values well above the rest


def text(sentences: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Word ids and sentence numbers, empty sentences passed over in the numbers too."""
    tokens = [word for sentence in sentences for word in sentence]
    numbers = [number for number, sentence in enumerate(sentences) for _ in sentence]
    return torch.tensor(tokens, dtype=torch.long), torch.tensor(numbers, dtype=torch.long)


def counted(batches: list[list[list[int]]], window: int = 3, weighting="harmonic") -> CooccurrenceCounts:
    counts = CooccurrenceCounts(VOCAB, window, weighting)
    for batch in batches:
        counts.add(*text(batch))
    return counts


def brute_force(sentences: list[list[int]], window: int, weighting: str) -> np.ndarray:
    """Each word with each other within the window of its sentence."""
    matrix = np.zeros((VOCAB, VOCAB))
    for sentence in sentences:
        for place, word in enumerate(sentence):
            for other, context in enumerate(sentence):
                if 1 <= abs(place - other) <= window:
                    matrix[word, context] += WEIGHTS[weighting](abs(place - other), window)
    return matrix


def assert_identical(left: csr_array, right: csr_array) -> None:
    """To the last bit, places of the entries too."""
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))


def random_counts(words: int = 12, seed: int = 0) -> csr_array:
    """Symmetric, half of it zeros; the last word has no neighbour."""
    draw = np.random.default_rng(seed).poisson(0.8, (words, words)) * 3.0
    draw += draw.T
    draw[-1] = draw[:, -1] = 0
    return csr_array(draw.astype(np.float32))


def planted_matrix(words: int = 50, seed: int = 0) -> np.ndarray:
    """Known singular values, the first six far above noise."""
    draw = np.random.default_rng(seed)
    left, right = (np.linalg.qr(draw.normal(size=(words, words)))[0] for _ in range(2))
    singular = np.append(PLANTED, draw.uniform(0, 0.5, words - len(PLANTED)))
    return (left * singular) @ right.T


# -- counting ---------------------------------------------------------------------------------------------------------


def test_weights_by_distance():
    assert distance_weights(4, "flat").tolist() == [1, 1, 1, 1]
    assert distance_weights(4, "linear").tolist() == [1, 0.75, 0.5, 0.25]
    np.testing.assert_allclose(distance_weights(3, "harmonic"), [1, 1 / 2, 1 / 3], rtol=1e-5)


def test_linear_weights_are_the_mean_of_windows_drawn_evenly():
    drawn = np.mean([[reach >= distance for distance in range(1, 8)] for reach in range(1, 8)], axis=0)
    np.testing.assert_allclose(distance_weights(7, "linear"), drawn, rtol=1e-5)


@pytest.mark.parametrize(("window", "weighting", "told"), [(0, "flat", "window is 0"), (5, "square", "'square'")])
def test_other_weights_are_refused(window, weighting, told):
    with pytest.raises(ValueError, match=told):
        distance_weights(window, weighting)


@given(sentences=SENTENCES, window=st.integers(1, 10), weighting=st.sampled_from(sorted(WEIGHTS)))
@settings(max_examples=60, deadline=None)
def test_counts_are_those_of_a_double_loop(sentences, window, weighting):
    matrix = counted([sentences], window, weighting).matrix()
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(matrix.toarray(), brute_force(sentences, window, weighting), rtol=1e-5)
    np.testing.assert_array_equal(matrix.toarray(), matrix.toarray().T)


def test_no_pair_crosses_a_sentence():
    apart, together = counted([[[0, 1], [2, 3]]], window=5).matrix(), counted([[[0, 1, 2, 3]]], window=5).matrix()
    assert apart[1, 2] == 0
    assert together[1, 2] == 1


def test_sentences_of_different_batches_stay_apart():
    """Each batch numbers its sentences anew."""
    assert counted([[[0, 1]], [[2, 3]]]).matrix()[1, 2] == 0


@given(sentences=SENTENCES, cuts=st.sets(st.integers(0, 8)), gathered=st.sampled_from([1, 7, 1000]))
@settings(max_examples=60, deadline=None)
def test_batches_may_be_cut_anywhere_between_sentences(sentences, cuts, gathered):
    bounds = [0, *sorted(cuts), len(sentences)]
    batches = [sentences[begin:end] for begin, end in itertools.pairwise(bounds)]
    whole = counted([sentences], window=5).triangle()
    with mock.patch.object(module, "PAIRS_AT_ONCE", gathered):
        assert_identical(counted(batches, window=5).triangle(), whole)
        assert_identical(counted(batches[::-1], window=5).triangle(), whole)


@given(first=SENTENCES, second=SENTENCES)
@settings(max_examples=30, deadline=None)
def test_counts_of_two_processes_add_up(first, second):
    total, other = counted([first]), counted([second])
    before = other.triangle().toarray()
    total.add_triangle(other.triangle())
    assert_identical(total.matrix(), counted([first, second]).matrix())
    np.testing.assert_array_equal(other.triangle().toarray(), before)


def test_counting_goes_on_after_a_look():
    counts = counted([[[0, 1, 2]]])
    counts.matrix()
    counts.add(*text([[2, 3, 4]]))
    assert_identical(counts.matrix(), counted([[[0, 1, 2], [2, 3, 4]]]).matrix())


def test_sums_are_exact_where_float32_is_not():
    """Beyond 2**24, one more is nothing to float32."""
    counts = counted([[[1, 0]] * 3])
    counts.add_triangle(csr_array(([2.0**30], ([1], [0])), shape=(VOCAB, VOCAB)))
    assert counts.triangle()[1, 0] == 2**30 + 3


def test_many_batches_are_held_as_few_matrices():
    draw = np.random.default_rng(0)
    counts, added = CooccurrenceCounts(1000, window=2), []
    with (
        mock.patch.object(module, "PAIRS_AT_ONCE", 1),
        mock.patch.object(csr_array, "__add__", autospec=True, side_effect=csr_array.__add__) as addition,
    ):
        for _ in range(128):
            counts.add(torch.from_numpy(draw.integers(0, 1000, 200)), torch.zeros(200, dtype=torch.long))
            assert len(counts._sorted) <= 8
        added = [call.args[0].nnz + call.args[1].nnz for call in addition.call_args_list]
    entries = 128 * 400
    assert sum(added) <= entries * math.log2(128)  # one by one they were 64 times the entries
    assert 2 * counts.triangle().nnz == pytest.approx(counts.matrix().nnz, rel=0.01)


# -- weighting --------------------------------------------------------------------------------------------------------


def ppmi_by_definition(counts: np.ndarray, smoothing: float, shift: float) -> np.ndarray:
    """Looks at the words one by one."""
    total, result = counts.sum(), np.zeros(counts.shape)
    power = counts.sum(0) ** smoothing
    for word, context in zip(*counts.nonzero()):
        joint, word_share = counts[word, context] / total, counts[word].sum() / total
        pmi = math.log(joint / (word_share * power[context] / power.sum()))
        result[word, context] = max(0.0, pmi - math.log(shift))
    return result


@pytest.mark.parametrize("smoothing", [0.75, 1.0])
@pytest.mark.parametrize("shift", [1.0, 2.0, 5.0])
def test_ppmi_is_its_definition(smoothing, shift):
    counts = random_counts()
    expected = ppmi_by_definition(counts.toarray().astype(np.float64), smoothing, shift)
    found = ppmi(counts, smoothing, shift)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.toarray(), expected, atol=1e-5)
    assert (found.data > 0).all()


def test_without_smoothing_ppmi_is_symmetric_and_knows_no_unit():
    once, tripled = ppmi(random_counts(), 1.0), ppmi(3 * random_counts(), 1.0)
    np.testing.assert_allclose(once.toarray(), once.toarray().T, atol=1e-5)
    np.testing.assert_allclose(once.toarray(), tripled.toarray(), atol=1e-5)


def test_independent_words_have_no_ppmi():
    """Counts that are a product of shares, as many as chance brings."""
    shares = np.array([8.0, 4, 2, 1])
    assert ppmi(csr_array(np.outer(shares, shares)), smoothing=1.0).toarray() == pytest.approx(0, abs=1e-12)


@pytest.mark.filterwarnings("error")
def test_a_word_without_neighbours_has_a_row_of_zeros():
    assert not ppmi(random_counts()).toarray()[-1].any()


def test_ppmi_works_in_the_memory_of_the_counts():
    counts = random_counts()
    assert ppmi(counts) is counts


def test_transforms():
    dense = random_counts().toarray()
    np.testing.assert_array_equal(transformed(random_counts(), "counts").toarray(), dense)
    np.testing.assert_allclose(transformed(random_counts(), "log").toarray(), np.log1p(dense), rtol=1e-6)
    assert_identical(transformed(random_counts(), "ppmi", 1.0, 2.0), ppmi(random_counts(), 1.0, 2.0))
    with pytest.raises(ValueError, match=r"'sqrt', expected counts, log or ppmi\."):
        transformed(random_counts(), "sqrt")


# -- factorisation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("eigenvalue_weight", [0.0, 0.25, 0.5, 1.0])
def test_vectors_are_those_of_a_full_svd(eigenvalue_weight):
    """All that turning and mirroring leave alone: products of the rows; then the columns, up to their signs."""
    dense, dim = planted_matrix(), len(PLANTED)
    left, singular, _ = np.linalg.svd(dense)
    expected = left[:, :dim] * singular[:dim] ** eigenvalue_weight
    found = factorise(csr_array(dense), dim, eigenvalue_weight)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-4)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found, axis=0), PLANTED**eigenvalue_weight, rtol=1e-5)


def test_signs_follow_from_the_matrix_not_from_the_start():
    """A start drawn otherwise finds the same vectors, or their negatives; the rule for signs takes one of the two."""
    matrix = csr_array(planted_matrix())
    first = factorise(matrix, 6, seed=0)
    for seed in range(1, 8):
        np.testing.assert_allclose(factorise(matrix, 6, seed=seed), first, atol=1e-3)


def test_the_same_seed_gives_the_same_vectors():
    """Also where the method is far from exact, and whatever else draws random numbers."""
    matrix = csr_array(np.random.default_rng(0).normal(size=(80, 80)).astype(np.float32))
    np.random.seed(1)
    first = factorise(matrix, 10, iterations=0)
    np.random.seed(2)
    np.testing.assert_array_equal(factorise(matrix, 10, iterations=0), first)
    assert np.abs(factorise(matrix, 10, iterations=0, seed=1) - first).max() > 0.01


def test_more_iterations_come_nearer():
    matrix = np.random.default_rng(0).normal(size=(200, 200))
    exact = np.linalg.svd(matrix, compute_uv=False)[:10].sum()
    found = [factorise(csr_array(matrix), 10, 1.0, iterations=i) for i in (0, 2, 8)]
    errors = [exact - np.linalg.norm(vectors, axis=0).sum() for vectors in found]
    assert errors[0] > errors[1] > errors[2]


def test_one_large_direction_does_not_drown_the_others():
    """Raw counts have such a one; without normalisation its powers fill all of float32."""
    draw, singular = np.random.default_rng(0), np.array([1e4, 300, 100, 30, 10])
    left, right = (np.linalg.qr(draw.normal(size=(60, 5)))[0] for _ in range(2))
    found = factorise(csr_array(((left * singular) @ right.T).astype(np.float32)), 5, 1.0, iterations=2)
    np.testing.assert_allclose(np.linalg.norm(found, axis=0), singular, rtol=1e-2)


@pytest.mark.parametrize("eigenvalue_weight", [0.0, 0.5])
def test_dimensions_beyond_the_rank_are_zeros(eigenvalue_weight):
    """Else noise divided by a singular value near 0 would drown the rest."""
    rank_two = np.random.default_rng(0).normal(size=(2, 30))
    found = factorise(csr_array((rank_two.T @ rank_two).astype(np.float32)), 5, eigenvalue_weight)
    assert np.linalg.norm(found, axis=0) == pytest.approx([*np.linalg.norm(found[:, :2], axis=0), 0, 0, 0])
    assert (np.linalg.norm(found[:, :2], axis=0) > 0.9).all()


def test_words_in_the_same_contexts_get_the_same_vector():
    draw = np.random.default_rng(0)
    sentences = draw.integers(1, VOCAB, (60, 7))
    twins = [np.where(sentences == 1, 0, sentences), sentences]  # word 0 stands wherever 1 does
    dense = counted([part.tolist() for part in twins], weighting="linear").matrix().toarray()
    dense[:2, :2] = 0  # apart from each other and themselves
    vectors = factorise(ppmi(csr_array(dense)), 3)
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)
    assert np.abs(vectors[1] - vectors[2]).max() > 0.01


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("eigenvalue_weight", [0.0, 0.5])
def test_a_singular_value_of_exactly_zero_divides_nothing(eigenvalue_weight):
    found = factorise(csr_array(np.diag([4.0, 0, 0, 0])), 2, eigenvalue_weight)
    np.testing.assert_allclose(np.abs(found), [[4**eigenvalue_weight, 0], [0, 0], [0, 0], [0, 0]], atol=1e-6)


@pytest.mark.parametrize("dim", [0, 3, 100])
def test_a_vocabulary_too_small_is_refused(dim):
    with pytest.raises(ValueError, match=rf"dim is {dim} for a vocabulary of 3 words\. Expected from 1 to 2"):
        factorise(csr_array(np.ones((3, 3))), dim)


def test_three_words_have_two_dimensions():
    assert np.isfinite(factorise(csr_array(np.diag([3.0, 2, 1])), 2)).all()


@pytest.mark.filterwarnings("error")
def test_a_text_without_pairs_is_refused():
    matrix = counted([[[0], [1]], []]).matrix()
    assert matrix.shape == (VOCAB, VOCAB)
    with pytest.raises(ValueError, match="only zeros"):
        factorise(ppmi(matrix), 2)
