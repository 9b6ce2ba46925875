"""A dependency parser as a `PreTrainedModel`: words in, trees out."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers.modeling_outputs import BaseModelOutput

from lightning_nlp.parser.batch import Batch, Gold, encode
from lightning_nlp.parser.biaffine_scorer import Biaffine, BiaffineScorer, mean_of_chances
from lightning_nlp.parser.config import ParserConfig
from lightning_nlp.parser.decisions import Decisions
from lightning_nlp.parser.encoder import Encoded, Reader
from lightning_nlp.parser.transition_scorer import TransitionScorer
from lightning_nlp.parser.vocabulary import Sentence, Vocabulary
from lightning_nlp.vocabulary_model import VocabularyModel

UNLABELLED = ("dep", "root")


class Parse(NamedTuple):
    """The tree of one sentence.

    Attributes:
        heads: the number of each word's head, 0 for the root.
        labels: of the arcs.
        scores: logarithm of each arc's probability.
        upos: universal parts of speech, where the parser predicts them.
    """

    heads: list[int]
    labels: list[str]
    scores: list[float]
    upos: list[str] | None


class ParserModel(VocabularyModel[Vocabulary]):
    """Reads words, and their tags if it was trained with them, and returns trees.

    Args:
        config: its numbers, all sizes among them.
    """

    config_class = ParserConfig
    vocabulary_class = Vocabulary
    readers: list[Reader]
    scorer: TransitionScorer | BiaffineScorer

    def __init__(self, config: ParserConfig) -> None:
        super().__init__(config)
        self.readers = nn.ModuleList(Reader(config) for _ in range(config.members))  # type: ignore[assignment]
        scorer = BiaffineScorer if config.architecture == "biaffine" else TransitionScorer
        self.scorer = scorer(config, self.readers[0].sentence.dim)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Small random vectors for names, orthogonal LSTM weights (Saxe et al. 2014), zeros for biaffine products."""
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
            with torch.no_grad():
                module.weight[0] = 0
        elif isinstance(module, nn.LSTM):
            for name, weight in module.named_parameters():
                nn.init.orthogonal_(weight) if name.startswith("weight") else nn.init.zeros_(weight)
        elif isinstance(module, nn.Linear | nn.Conv1d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, Biaffine):
            nn.init.zeros_(module.weight)

    def use_vocabulary(self, vocabulary: Vocabulary) -> None:
        """Derives how rare each form is, and which labels an arc may have."""
        for reader in self.readers:
            reader.word.use_counts(torch.tensor(vocabulary.counts))
        if self.config.labelled:
            self.scorer.allowed.copy_(vocabulary.is_allowed())

    # -- tensors ----------------------------------------------------------------------------------------------------

    def encode(self, batch: Batch) -> list[Encoded]:
        """Returns what each member makes of the sentences: states of the root and the words, scores of their tags."""
        return [reader(batch) for reader in self.readers]

    def forward(self, batch: Batch, **unused: Any) -> BaseModelOutput:
        """Returns what words are to the scorer: `last_hidden_state` [batch, words, dim], the root first, members
        side by side."""
        return BaseModelOutput(last_hidden_state=joined(self.encode(batch)))

    def loss(self, batch: Batch, gold: Gold, encoded: list[Encoded] | None = None) -> Float[Tensor, ""]:
        """Returns the loss on true trees, with that of the tags where they are predicted.

        Args:
            batch: sentences.
            gold: their trees.
            encoded: what `encode` makes of the batch, if that is known already.
        """
        encoded = encoded or self.encode(batch)
        is_word = batch.is_word()
        loss = self.scorer.loss(joined(encoded), gold, batch.lengths)
        for member in encoded:
            for kind, scores in member.tags.items():
                loss = loss + cross_entropy(scores[is_word], getattr(batch, kind)[is_word]) / len(encoded)
        return loss

    @torch.no_grad()
    def decide(self, batch: Batch, encoded: list[Encoded] | None = None) -> tuple[Decisions, Tensor | None]:
        """Returns the trees of a batch, and parts of speech where they are predicted; `encoded` as in `loss`."""
        encoded, upos = encoded or self.encode(batch), None
        if self.config.predict_upos:
            known = [member.tags["upos"][:, :, 2:] for member in encoded]  # neither padding nor unknown
            upos = mean_of_chances(known).argmax(2) + 2
        return self.scorer.decide(joined(encoded), batch.lengths), upos

    # -- words in, trees out ----------------------------------------------------------------------------------------

    @torch.no_grad()
    def parse(
        self,
        sentences: Sequence[Sequence[str] | Sentence],
        batch_tokens: int = 5000,
        name_of: Callable[[int], str] = "sentence {}".format,
    ) -> list[Parse]:
        """Parses sentences of words; `Sentence` carries their tags.

        Args:
            sentences: in any order and of any length, empty ones too.
            batch_tokens: words that are parsed together, padding among them.
            name_of: what an error calls a sentence, by its number from 1.

        Raises:
            ValueError: a text instead of its words; a sentence without tags, and a parser that reads them; scores that
                are no numbers, as of a training that diverged.
        """
        given = [sentence if isinstance(sentence, Sentence) else Sentence(sentence) for sentence in sentences]
        for number, sentence in enumerate(given, start=1):
            if isinstance(sentence.forms, str):
                raise ValueError(f"{name_of(number)} is the text {sentence.forms!r:.50}, expected a list of words.")
        self._check_tags(given, name_of)
        inputs = {"characters": self.config.character_dim, "upos": self.config.upos_dim, "xpos": self.config.xpos_dim}
        encoded = encode(given, self.vocabulary, [name for name, dim in inputs.items() if dim])
        found: list[Parse | None] = [None] * len(given)
        for numbers in by_length(encoded.lengths, batch_tokens):
            batch = Batch(*(tensor.to(self.device) for tensor in encoded.batch(numbers)))
            decisions, upos = self.decide(batch)
            if not decisions.scores[batch.is_word()].isfinite().all():
                raise ValueError("The parser's scores are no numbers: its training diverged. Lower its learning rate.")
            for number, parse in zip(numbers, self.named(batch, decisions, upos)):
                found[number] = parse
        return found  # type: ignore[return-value]

    def _check_tags(self, sentences: Sequence[Sentence], name_of: Callable[[int], str]) -> None:
        read = [name for name in ("upos", "xpos") if getattr(self.config, f"{name}_dim")]
        known = {name: getattr(self.vocabulary, name) for name in read}
        for number, sentence in enumerate(sentences, start=1) if read else ():
            words = sentence.forms
            for name in read:
                tags: Sequence[str] = getattr(sentence, name) or ()
                if len(tags) == len(words) and (not words or tags[0] != "_"):
                    continue
                place = f"{name_of(number)} ({' '.join(words[:5])} …)"
                if words and set(tags) <= {"_"} and "_" not in known[name]:
                    raise ValueError(
                        f"{place} has no {name.upper()}, which this parser reads. Give tagged CoNLL-U, or train a "
                        f"parser for plain text: {name}_dim 0."
                    )
                if len(tags) not in (0, len(words)):
                    raise ValueError(f"{place} has {len(words)} words and {len(tags)} {name.upper()}.")

    def named(self, batch: Batch, decisions: Decisions, upos: Tensor | None) -> list[Parse]:
        """Replaces ids by names."""
        names, is_word = self.vocabulary, batch.is_word()
        heads, labels, scores = (column[is_word].tolist() for column in decisions)
        named = [names.labels[x] if x >= 0 else UNLABELLED[head == 0] for head, x in zip(heads, labels)]
        tags = None if upos is None else [names.upos[x - 2] for x in upos[is_word].tolist()]
        ends = batch.lengths.cumsum(0).tolist()
        return [
            Parse(heads[begin:end], named[begin:end], scores[begin:end], tags and tags[begin:end])
            for begin, end in zip([0, *ends], ends)
        ]


def joined(encoded: Sequence[Encoded]) -> Float[Tensor, "batch words members_dim"]:
    """Sets the members' states side by side."""
    return torch.cat([member.states for member in encoded], dim=2) if len(encoded) > 1 else encoded[0].states


def by_length(lengths: np.ndarray, batch_tokens: int) -> list[list[int]]:
    """Cuts sentences, the shortest first, into batches that hold so many words when padded to their longest."""
    batches: list[list[int]] = []
    for number in np.argsort(lengths, kind="stable").tolist():
        if not batches or (len(batches[-1]) + 1) * max(1, lengths[number]) > batch_tokens:
            batches.append([])
        batches[-1].append(number)
    return batches
