"""Word vectors as a `PreTrainedModel`: tables of vectors, and the words they belong to."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.modeling_outputs import BaseModelOutput

from lightning_nlp.vocabulary_model import VocabularyModel
from lightning_nlp.word_vectors.blocks import Blocks, blocks_of
from lightning_nlp.word_vectors.config import CooccurrenceConfig, SkipGramConfig
from lightning_nlp.word_vectors.loss import NegativeSamplingLoss, softmax_loss
from lightning_nlp.word_vectors.sampling import (
    draw_noise,
    draw_reach,
    draw_shared_noise,
    noise_distribution,
    search_guide,
)
from lightning_nlp.word_vectors.similarity import neighbours
from lightning_nlp.word_vectors.vocabulary import Vocabulary

PAIRS_AT_ONCE = 1 << 15  # of a loss without gradients


class WordVectorModel(VocabularyModel[Vocabulary]):
    """A vector for each word of a vocabulary, whatever it was trained by.

    Args:
        config: its numbers, `vocab_size` and `dim` among them.
    """

    vocabulary_class = Vocabulary

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config)
        assert config.vocab_size is not None
        self.centre = nn.Embedding(config.vocab_size, config.dim, sparse=getattr(config, "sparse", False))

    def use_vocabulary(self, vocabulary: Vocabulary) -> None:
        """Takes what training needs of the words' counts."""
        self.use_counts(torch.tensor(vocabulary.counts))

    def use_counts(self, counts: Int[Tensor, "vocab"]) -> None:
        """Takes what training needs of the words' counts; here nothing."""

    def forward(self, input_ids: Int[Tensor, "..."], **unused: Any) -> BaseModelOutput:
        """Looks word vectors up: `last_hidden_state` has the shape of `input_ids` and one dimension more."""
        return BaseModelOutput(last_hidden_state=self.centre(input_ids))

    @torch.no_grad()
    def neighbours(self, words: Sequence[str], count: int = 10) -> list[list[tuple[str, float]]]:
        """Returns for each word the words nearest to it by cosine, nearest first; none for an unknown word."""
        return neighbours(self.centre.weight.float(), self.vocabulary, words, count)


class SkipGramModel(WordVectorModel):
    """Vectors of words as centres, which are the result, and as contexts, which training needs beside them.

    Args:
        config: its numbers, `vocab_size` among them.
    """

    config_class = SkipGramConfig

    def __init__(self, config: SkipGramConfig) -> None:
        super().__init__(config)
        self.context = nn.Embedding(self.centre.num_embeddings, config.dim, sparse=config.sparse)
        self.pair_loss = NegativeSamplingLoss()
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Centres uniform within 0.5 / dim, contexts zero, as the C implementation begins."""
        if module is self.centre:
            nn.init.uniform_(self.centre.weight, -0.5 / self.config.dim, 0.5 / self.config.dim)
        elif module is self.context:
            nn.init.zeros_(self.context.weight)

    def use_counts(self, counts: Int[Tensor, "vocab"]) -> None:
        """Derives what noise is drawn by."""
        noise = noise_distribution(counts, self.config.noise_exponent).to(self.device)
        self.register_buffer("noise", noise, persistent=False)
        self.register_buffer("noise_guide", search_guide(noise), persistent=False)

    def loss(self, centres: Int[Tensor, "pairs"], contexts: Int[Tensor, "pairs"]) -> Float[Tensor, "pairs"]:
        """Returns the loss of each pair of word ids, with noise drawn where the objective has it."""
        if not torch.is_grad_enabled() and len(centres) > PAIRS_AT_ONCE:
            parts = zip(centres.split(PAIRS_AT_ONCE), contexts.split(PAIRS_AT_ONCE))
            return torch.cat([self.loss(*part) for part in parts])
        if self.config.loss == "softmax":
            return softmax_loss(self.centre(centres), contexts, self.context.weight)
        noise = draw_noise(self.noise, len(contexts), self.config.negatives)
        is_context = noise == contexts[:, None]
        return self.pair_loss(self.centre(centres), self.context(contexts), self.context(noise), is_context)

    def draw_blocks(self, tokens: Int[Tensor, "tokens"], sentence: Int[Tensor, "tokens"], noise: int) -> Blocks:
        """Draws windows and noise for running text.

        Args:
            tokens: word ids after subsampling.
            sentence: number of the sentence of each.
            noise: noise words of a block.
        """
        reach = draw_reach(len(tokens), self.config.window, tokens.device)
        shared = draw_shared_noise(self.noise, self.noise_guide, blocks_of(len(tokens)), noise)
        return Blocks(tokens, sentence, reach, shared)


class CooccurrenceModel(WordVectorModel):
    """Vectors of words from counts of what stands near them.

    Args:
        config: its numbers, `vocab_size` among them.
    """

    config_class = CooccurrenceConfig

    def __init__(self, config: CooccurrenceConfig) -> None:
        super().__init__(config)
        self.post_init()
