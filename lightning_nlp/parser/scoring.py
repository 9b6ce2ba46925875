"""All that is measured of one set of sentences: trees, tags, simple methods beside them, and speed."""

from jaxtyping import Int
from torch import Tensor, nn

from lightning_nlp.parser.baselines import next_word_heads, plain_relations, previous_word_heads
from lightning_nlp.parser.batch import Batch, Gold
from lightning_nlp.parser.decisions import Decisions
from lightning_nlp.parser.metrics import Accuracy, TreeScores
from lightning_nlp.parser.vocabulary import Vocabulary, relation

BASELINES = {"previous_word": previous_word_heads, "next_word": next_word_heads}


class Scoring(nn.Module):
    """Scores of a set, summed over batches and processes.

    Args:
        names: the parser's; relations are compared without subtypes, as the official scorer does.
        predicts_upos: whether tags are scored.
        with_baselines: whether every word's neighbour as its head is scored too.
    """

    relation_of_label: Tensor
    baselines: dict[str, TreeScores]
    tags: Accuracy | None

    def __init__(self, names: Vocabulary, predicts_upos: bool, with_baselines: bool) -> None:
        super().__init__()
        self.trees = TreeScores(names.relations)
        self.tags = Accuracy() if predicts_upos else None
        of_baselines = {name: TreeScores(names.relations) for name in BASELINES if with_baselines}
        self.baselines = nn.ModuleDict(of_baselines)  # type: ignore[assignment]
        self.register_buffer("relation_of_label", names.relation_of_label)
        self.root = names.relation_ids[relation(names.root_labels[0])]
        self.common = names.relation_ids[relation(next(iter(names.word_labels), names.root_labels[0]))]
        self.sentences, self.words, self.seconds = 0, 0, 0.0

    def add(
        self,
        batch: Batch,
        gold: Gold,
        found: Decisions,
        upos: Int[Tensor, "batch length"] | None,
        seconds: float,
    ) -> None:
        """Scores a batch that was parsed in so many seconds."""
        is_word = batch.is_word()
        relations = self.relation_of_label[found.labels].masked_fill(found.labels < 0, -1)
        truth = (gold.heads, gold.relations, is_word, gold.punctuation)
        self.trees.update(found.heads, relations, *truth)
        if self.tags is not None and upos is not None:
            self.tags.update(upos, batch.upos, is_word)
        for name, metric in self.baselines.items():
            heads = BASELINES[name](is_word)
            metric.update(heads, plain_relations(heads, self.root, self.common), *truth)
        self.sentences += len(batch.lengths)
        self.words += int(batch.lengths.sum())
        self.seconds += seconds

    def compute(self) -> dict[str, float]:
        """Returns all scores by name; percentages."""
        scores = self.trees.compute()
        if self.tags is not None:
            scores["upos"] = self.tags.compute()
        for name, metric in self.baselines.items():
            found = metric.compute()
            scores |= {f"{score}_{name}": found[score] for score in ("uas", "las")}
        return scores

    def rates(self) -> dict[str, float]:
        """Returns sentences and words a second of this process, from tensors to trees."""
        seconds = max(self.seconds, 1e-9)
        return {"sentences_per_second": self.sentences / seconds, "words_per_second": self.words / seconds}
