"""Agreement with people's judgement: against its definition and gensim."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from lightning_nlp.word_vectors.metrics import MeanLoss
from lightning_nlp.word_vectors.vocabulary import Vocabulary
from lightning_nlp.word_vectors.word_pairs import WordPairs, word_pair_correlation

WORDS = [f"w{place}" for place in range(30)]
VOCABULARY = Vocabulary(WORDS, [1] * 30)
VECTORS = torch.from_numpy(np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32))


def random_pairs(count: int = 40, seed: int = 0) -> WordPairs:
    """Pairs of known words with scores in steps, so that many are equal."""
    rng = np.random.default_rng(seed)
    pairs = [tuple(rng.choice(WORDS, 2, replace=False).tolist()) for _ in range(count)]
    return WordPairs(pairs, rng.integers(0, 10, count).astype(float).tolist())


def by_definition(gold: WordPairs) -> float:
    """Pearson's correlation of ranks, where equal values share their mean rank."""
    rows = [VECTORS[[VOCABULARY.ids[left], VOCABULARY.ids[right]]].double().numpy() for left, right in gold.pairs]
    cosines = [left @ right / np.linalg.norm(left) / np.linalg.norm(right) for left, right in rows]
    return float(np.corrcoef(rankdata(cosines), rankdata(gold.scores))[0, 1])


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_correlation_of_ranks(seed):
    gold = random_pairs(seed=seed)
    correlation, coverage = word_pair_correlation(VECTORS, VOCABULARY, gold)
    assert correlation == pytest.approx(by_definition(gold), abs=1e-6)
    assert coverage == 100


def test_it_is_the_figure_of_gensim(tmp_path):
    gensim = pytest.importorskip("gensim.models")
    known = random_pairs()
    gold = WordPairs([*known.pairs, ("w1", "unheard"), ("un", "heard")], [*known.scores, 9.0, 1.0])
    rows = [f"{left}\t{right}\t{score}" for (left, right), score in zip(gold.pairs, gold.scores)]
    (tmp_path / "pairs.tsv").write_text("\n".join(rows) + "\n")
    theirs = gensim.KeyedVectors(6)
    theirs.add_vectors(WORDS, VECTORS.numpy())
    _, spearman, unknown = theirs.evaluate_word_pairs(str(tmp_path / "pairs.tsv"))
    correlation, coverage = word_pair_correlation(VECTORS, VOCABULARY, gold)
    assert correlation == pytest.approx(spearman.statistic, abs=1e-6)
    assert coverage == pytest.approx(100 - unknown)


def test_ranks_alone_count():
    gold = random_pairs()
    stretched = WordPairs(gold.pairs, [math.exp(score) for score in gold.scores])
    turned = WordPairs(gold.pairs, [-score for score in gold.scores])
    correlation, _ = word_pair_correlation(VECTORS, VOCABULARY, gold)
    assert word_pair_correlation(3 * VECTORS, VOCABULARY, stretched)[0] == pytest.approx(correlation, abs=1e-6)
    assert word_pair_correlation(VECTORS, VOCABULARY, turned)[0] == pytest.approx(-correlation, abs=1e-6)


def test_unknown_pairs_lower_the_coverage_alone():
    known = random_pairs(30)
    unknown = [("w1", "unheard"), ("unheard", "w1"), ("un", "heard")]
    gold = WordPairs(
        [*known.pairs[:10], *unknown, *known.pairs[10:]], [*known.scores[:10], *[9.0] * 3, *known.scores[10:]]
    )
    correlation, coverage = word_pair_correlation(VECTORS, VOCABULARY, gold)
    assert correlation == word_pair_correlation(VECTORS, VOCABULARY, known)[0]
    assert coverage == pytest.approx(100 * 30 / 33)


def test_words_in_another_case_are_known():
    gold = random_pairs()
    shouted = WordPairs([(left.upper(), right) for left, right in gold.pairs], gold.scores)
    assert word_pair_correlation(VECTORS, VOCABULARY, shouted) == word_pair_correlation(VECTORS, VOCABULARY, gold)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_than_three_pairs_have_no_correlation(count):
    gold = WordPairs([*random_pairs(count).pairs, ("un", "heard")], [2.0, 3.0, 4.0][: count + 1])
    correlation, coverage = word_pair_correlation(VECTORS, VOCABULARY, gold)
    assert math.isnan(correlation)
    assert coverage == pytest.approx(100 * count / (count + 1))
    assert word_pair_correlation(VECTORS, VOCABULARY, WordPairs([], []))[1] == 0


def test_the_mean_loss_is_that_of_all_pairs_however_they_come():
    losses = torch.rand(17)
    metric = MeanLoss()
    for part in losses.split([5, 0, 1, 11]):
        metric.update(part)
    torch.testing.assert_close(metric.compute(), losses.double().mean())
    metric.update(torch.tensor([float("nan")]))
    spoilt = metric.compute()
    assert spoilt is not None
    assert spoilt.isnan()  # a loss gone wrong is not passed over


def test_without_pairs_there_is_no_mean_loss():
    metric = MeanLoss()
    metric.update(torch.empty(0))
    assert metric.compute() is None
