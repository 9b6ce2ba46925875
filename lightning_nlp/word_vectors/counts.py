"""Word vectors by counting: co-occurrence, positive PMI, truncated SVD.

After Levy, Goldberg & Dagan 2015, "Improving Distributional Similarity with Lessons Learned from Word Embeddings".
Counts that are factorised as they are, or their logarithms, are the course's (Stanford CS224N, assignment 1).
"""

from typing import Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array, csr_array
from sklearn.decomposition import TruncatedSVD
from sklearn.utils.sparsefuncs import inplace_csr_column_scale, inplace_csr_row_scale
from torch import Tensor

Weighting: TypeAlias = Literal["flat", "linear", "harmonic"]
Transform: TypeAlias = Literal["counts", "log", "ppmi"]

PAIRS_AT_ONCE = 1 << 22  # pairs gathered before they are sorted
STEP = 2.0**-20  # distance weights are multiples of it, so that sums below 2**33 are exact
ROUNDING = 1e-5  # share of the largest singular value below which others are noise of float32

# -- counting -------------------------------------------------------------------------------------------------------


def distance_weights(window: int, weighting: str) -> Float[np.ndarray, "window"]:
    """Returns what a context word counts at the distances 1 to `window` (section 3.1, "dynamic context window").

    Args:
        window: largest distance.
        weighting: `flat` counts each as 1; `linear` as (window - d + 1) / window, the mean over the reduced windows
            that word2vec draws; `harmonic` as 1/d (Pennington et al. 2014, "GloVe", section 3.1).

    Raises:
        ValueError: a window below 1, or another weighting.
    """
    if window < 1:
        raise ValueError(f"window is {window}, expected at least 1.")
    if weighting not in get_args(Weighting):
        raise ValueError(f"weighting is {weighting!r}, expected one of {', '.join(get_args(Weighting))}.")
    distance = np.arange(1, window + 1)
    weights = {"flat": np.ones(window), "linear": (window - distance + 1) / window, "harmonic": 1 / distance}
    return np.round(weights[weighting] / STEP) * STEP


class CooccurrenceCounts:
    """Counts how often words stand near each other, batch after batch.

    A pair is kept once, the higher id first, until the end: the counts are symmetric. Batches become sorted matrices,
    and two of like size are added to one, so that a number is added a logarithmic number of times. The sums are exact:
    neither the order of the batches nor where the text was cut into them changes the result.

    Args:
        vocab_size: number of words.
        window: largest distance of a context word.
        weighting: what a context word counts at its distance, as in `distance_weights`.
    """

    def __init__(self, vocab_size: int, window: int = 5, weighting: str = "linear") -> None:
        self.vocab_size = vocab_size
        self.weights = distance_weights(window, weighting)
        self._waiting: list[tuple[np.ndarray, np.ndarray, float]] = []  # higher ids, lower ids, weight
        self._sorted: list[csr_array] = []  # each more than twice as large as the next

    def add(self, tokens: Int[Tensor, "tokens"], sentence: Int[Tensor, "tokens"]) -> None:
        """Counts the pairs in a batch of whole sentences.

        Args:
            tokens: word ids.
            sentence: number of the sentence that each token belongs to, in order.
        """
        ids, places = tokens.cpu().numpy().astype(np.int32), sentence.cpu().numpy()
        for distance, weight in enumerate(self.weights, 1):
            same = places[distance:] == places[:-distance]
            left, right = ids[:-distance][same], ids[distance:][same]
            self._waiting.append((np.maximum(left, right), np.minimum(left, right), weight))
        if sum(len(rows) for rows, _, _ in self._waiting) >= PAIRS_AT_ONCE:
            self._sort()

    def _sort(self) -> None:
        """Puts the pairs that wait into one sorted matrix, equal pairs added up."""
        if self._waiting:
            rows, columns, weights = zip(*self._waiting)
            self._waiting = []
            each = np.repeat(weights, [len(part) for part in rows])
            pairs = np.concatenate(rows), np.concatenate(columns)
            self.add_triangle(coo_array((each, pairs), shape=(self.vocab_size, self.vocab_size)).tocsr())

    def add_triangle(self, part: csr_array) -> None:
        """Adds the `triangle` of another one: counts of other text, perhaps from another process.

        Args:
            part: from the same vocabulary, window and weighting.
        """
        self._sorted.append(part)
        while len(self._sorted) > 1 and self._sorted[-2].nnz <= 2 * self._sorted[-1].nnz:
            self._sorted[-2:] = [self._sorted[-2] + self._sorted[-1]]

    def triangle(self) -> csr_array:
        """Returns the counts of each pair once, the higher id in the rows: float64 and exact; not to be changed."""
        self._sort()
        while len(self._sorted) > 1:
            self._sorted[-2:] = [self._sorted[-2] + self._sorted[-1]]
        return self._sorted[0] if self._sorted else csr_array((self.vocab_size, self.vocab_size))

    def matrix(self) -> csr_array:
        """Returns the counts, float32 [vocab vocab]: words in the rows, their contexts in the columns."""
        exact = self.triangle()
        half = csr_array((exact.data.astype(np.float32), exact.indices, exact.indptr), shape=exact.shape)
        return half + half.T.tocsr()


# -- weighting ------------------------------------------------------------------------------------------------------


def ppmi(counts: csr_array, smoothing: float = 1.0, shift: float = 1.0) -> csr_array:
    """Turns co-occurrence counts into positive pointwise mutual information, in their own memory.

    With P(c) the smoothed share of a context, its count to the power `smoothing` over the sum of such powers, an entry
    is max(0, log(P(w, c) / (P(w) P(c))) - log(shift)) (sections 2.1 and 3.2: "shifted PMI", "context distribution
    smoothing").

    Args:
        counts: words in the rows, contexts in the columns; overwritten, as a copy would double the memory.
        smoothing: 1 for none; below it, rare contexts gain less.
        shift: above 0; k of skip-gram's negative samples, 1 for none.

    Returns:
        `counts`, its zeros left out.
    """
    words, contexts = counts.sum(1, dtype=np.float64), counts.sum(0, dtype=np.float64) ** smoothing
    inplace_csr_row_scale(counts, _inverse(words).astype(counts.dtype))
    inplace_csr_column_scale(counts, (_inverse(contexts) * contexts.sum() / shift).astype(counts.dtype))
    np.log(counts.data, out=counts.data)
    counts.data.clip(min=0, out=counts.data)
    counts.eliminate_zeros()
    return counts


def _inverse(numbers: Float[np.ndarray, "vocab"]) -> Float[np.ndarray, "vocab"]:
    """Divides 1 by each number; 0, of a word without neighbours, stays."""
    return np.divide(1, numbers, out=np.zeros_like(numbers), where=numbers > 0)


def transformed(counts: csr_array, transform: str, smoothing: float = 1.0, shift: float = 1.0) -> csr_array:
    """Turns co-occurrence counts into the matrix to factorise, in their own memory.

    Args:
        counts: words in the rows, contexts in the columns; overwritten.
        transform: `counts` leaves them; `log` takes log(1 + count); `ppmi` see there.
        smoothing: of `ppmi`.
        shift: of `ppmi`.

    Raises:
        ValueError: another transform.
    """
    if transform == "ppmi":
        return ppmi(counts, smoothing, shift)
    if transform == "log":
        np.log1p(counts.data, out=counts.data)
    elif transform != "counts":
        raise ValueError(f"transform is {transform!r}, expected counts, log or ppmi.")
    return counts


# -- factorisation --------------------------------------------------------------------------------------------------


def factorise(
    matrix: csr_array, dim: int, eigenvalue_weight: float = 0.5, seed: int = 0, iterations: int = 3
) -> Float[np.ndarray, "vocab dim"]:
    """Factorises a matrix by truncated SVD and returns a vector for each row: U · S ** eigenvalue_weight (section 3.3).

    The method is randomised (Halko, Martinsson & Tropp 2011), but the same in every process: its start is drawn from
    `seed`. Of a singular vector and its negative scikit-learn takes the one whose number farthest from 0 is positive
    (on the side of the contexts), so that signs do not hang on the start.

    Args:
        matrix: words in the rows.
        dim: numbers in a vector; where the matrix has a lower rank, the rest are zeros.
        eigenvalue_weight: 0 weighs all directions the same, 1 keeps the products of the rows.
        seed: of the start.
        iterations: rounds over the matrix, two products each.

    Raises:
        ValueError: no fewer words than dimensions, or nothing but zeros.
    """
    words = min(matrix.shape)
    if not 1 <= dim < words:
        raise ValueError(
            f"dim is {dim} for a vocabulary of {words} words. Expected from 1 to {words - 1}: lower dim, or keep more "
            "words (a smaller min_count, more text)."
        )
    if not matrix.count_nonzero():
        raise ValueError(
            "The matrix to factorise holds only zeros: no word has a neighbour, or shift takes all away. Expected "
            "sentences of several words, and a shift near 1."
        )
    svd = TruncatedSVD(dim, n_iter=iterations, power_iteration_normalizer="LU", random_state=seed)
    scaled, singular = svd.fit_transform(matrix), svd.singular_values_
    kept = singular > singular[0] * ROUNDING
    factor = np.where(kept, singular, 1) ** (eigenvalue_weight - 1) * kept
    return (scaled * factor).astype(np.float32)
