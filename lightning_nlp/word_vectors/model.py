"""Skip-gram as a `PreTrainedModel`: two tables of vectors, and the words they belong to."""

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import cached_file

from lightning_nlp.word_vectors.config import SkipGramConfig
from lightning_nlp.word_vectors.loss import NegativeSamplingLoss
from lightning_nlp.word_vectors.sampling import draw_noise, noise_distribution
from lightning_nlp.word_vectors.vocabulary import Vocabulary

VOCABULARY_FILE = "vocabulary.json"
HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")


class SkipGramModel(PreTrainedModel):
    """Vectors of words as centres, which are the result, and as contexts, which training needs beside them.

    Args:
        config: its numbers, `vocab_size` among them.
    """

    config_class = SkipGramConfig

    def __init__(self, config: SkipGramConfig) -> None:
        super().__init__(config)
        assert config.vocab_size is not None
        self.centre = nn.Embedding(config.vocab_size, config.dim, sparse=config.sparse)
        self.context = nn.Embedding(config.vocab_size, config.dim, sparse=config.sparse)
        self.pair_loss = NegativeSamplingLoss()
        self._vocabulary: Vocabulary | None = None
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Centres uniform within 0.5 / dim, contexts zero, as the C implementation begins."""
        if module is self.centre:
            nn.init.uniform_(self.centre.weight, -0.5 / self.config.dim, 0.5 / self.config.dim)
        elif module is self.context:
            nn.init.zeros_(self.context.weight)

    @property
    def vocabulary(self) -> Vocabulary:
        """The words of the rows.

        Raises:
            ValueError: they are not known yet: the data or a checkpoint brings them.
        """
        if self._vocabulary is None:
            raise ValueError(
                "This model has no words yet. Fit it with config.vocab_size left to the data, or load it from a "
                "checkpoint or an export folder."
            )
        return self._vocabulary

    @vocabulary.setter
    def vocabulary(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        counts = torch.tensor(vocabulary.counts)
        noise = noise_distribution(counts, self.config.noise_exponent)
        self.register_buffer("noise", noise.to(self.device), persistent=False)  # derived, so not stored

    def forward(self, input_ids: Int[Tensor, "..."], **unused: Any) -> BaseModelOutput:
        """Looks word vectors up: `last_hidden_state` has the shape of `input_ids` and one dimension more."""
        return BaseModelOutput(last_hidden_state=self.centre(input_ids))

    def loss(self, centres: Int[Tensor, "pairs"], contexts: Int[Tensor, "pairs"]) -> Float[Tensor, "pairs"]:
        """Draws noise and returns the loss of each pair of word ids."""
        noise = draw_noise(self.noise, len(contexts), self.config.negatives)
        is_context = noise == contexts[:, None]
        return self.pair_loss(self.centre(centres), self.context(contexts), self.context(noise), is_context)

    @torch.no_grad()
    def neighbours(self, words: Sequence[str], count: int = 10) -> list[list[tuple[str, float]]]:
        """Returns for each word the words nearest to it by cosine, nearest first; none for an unknown word."""
        ids = [self.vocabulary.find(word) for word in words]
        known = torch.tensor([i for i in ids if i is not None], dtype=torch.long, device=self.device)
        table = normalize(self.centre.weight, dim=-1)
        cosines = table[known] @ table.T
        cosines[torch.arange(len(known)), known] = -torch.inf  # a word is not its own neighbour
        best = cosines.topk(min(count, len(table) - 1))
        rows = zip(best.values.tolist(), best.indices.tolist())
        found = [[(self.vocabulary.words[i], cosine) for cosine, i in zip(*row)] for row in rows]
        answers = iter(found)
        return [[] if i is None else next(answers) for i in ids]

    def save_pretrained(self, save_directory: str | PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Writes config, weights and vocabulary; the options are those of transformers."""
        super().save_pretrained(save_directory, *args, **kwargs)
        words = json.dumps(self.vocabulary.plain(), ensure_ascii=False)
        Path(save_directory, VOCABULARY_FILE).write_text(words, encoding="utf-8")

    @classmethod
    def from_pretrained(cls, name: str | PathLike[str], *args: Any, **kwargs: Any) -> Any:
        """Loads what `save_pretrained` wrote, from a folder or the Hub; the options are those of transformers."""
        loaded = super().from_pretrained(name, *args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        place = {option: kwargs[option] for option in HUB_OPTIONS if option in kwargs}
        file = cached_file(name, VOCABULARY_FILE, **place)
        model.vocabulary = Vocabulary(**json.loads(Path(file).read_text(encoding="utf-8")))
        return loaded
