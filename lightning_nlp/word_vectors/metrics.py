"""Agreement of distances between words with people's judgement (Finkelstein et al. 2002, and since), and mean loss."""

import torch
from jaxtyping import Float
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn.functional import cosine_similarity
from torchmetrics import Metric

from lightning_nlp.word_vectors.vocabulary import Vocabulary
from lightning_nlp.word_vectors.word_pairs import WordPairs


class MeanLoss(Metric):
    """Mean loss of all pairs of centre and context, on all ranks together; None where there was no pair."""

    total: Tensor
    pairs: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("pairs", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, losses: Float[Tensor, "pairs"]) -> None:
        """Adds the pairs of a batch, which may have none."""
        self.total += losses.sum()
        self.pairs += len(losses)

    def compute(self) -> Tensor | None:
        """Returns the mean so far."""
        return self.total / self.pairs if self.pairs else None


def word_pair_correlation(
    vectors: Float[Tensor, "vocab dim"], vocabulary: Vocabulary, gold: WordPairs
) -> tuple[float, float]:
    """Compares cosines with given scores.

    Args:
        vectors: of the vocabulary's words.
        vocabulary: finds words as written or in lower case.
        gold: the pairs and their scores.

    Returns:
        Spearman's rank correlation over the pairs whose words are both known (nan for fewer than three), from -1 to 1,
        and the share of such pairs in percent.
    """
    ids = [(vocabulary.find(left), vocabulary.find(right)) for left, right in gold.pairs]
    known = [place for place, pair in enumerate(ids) if None not in pair]
    coverage = 100 * len(known) / max(1, len(ids))
    if len(known) < 3:
        return float("nan"), coverage
    left, right = torch.tensor([ids[place] for place in known], device=vectors.device).T
    cosines = cosine_similarity(vectors[left], vectors[right]).tolist()
    return float(spearmanr(cosines, [gold.scores[place] for place in known]).statistic), coverage
