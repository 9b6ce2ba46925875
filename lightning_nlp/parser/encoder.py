"""From words to vectors: what is known of each word alone, and a BiLSTM that reads the sentence."""

import ctypes
from collections.abc import Mapping
from functools import cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, linear, pad

from lightning_nlp.dropout import dropout
from lightning_nlp.lstm import LSTM
from lightning_nlp.native import call, compiled_type, load_library, typed
from lightning_nlp.parser.batch import Batch
from lightning_nlp.parser.config import ParserConfig, known
from lightning_nlp.parser.vocabulary import NOTHING, UNKNOWN

CHARACTER_DIM = 50
CHARACTER_WIDTH = 5  # characters that a convolution sees at once: an ending and the end mark


class Encoded(NamedTuple):
    """What a sentence becomes: states of the root, place 0, and of its words; scores of each word's tags by kind."""

    states: Float[Tensor, "batch words dim"]
    tags: Mapping[str, Float[Tensor, "batch length tags"]]


class CharacterEncoder(nn.Module):
    """Reads a spelling by a convolution and keeps the largest value of each filter (dos Santos & Zadrozny 2014).

    There are few characters, so what each adds to each filter at each place is computed once for all spellings.

    Args:
        count: number of characters that have a vector.
        dim: number of filters.
    """

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(count, CHARACTER_DIM, padding_idx=NOTHING)
        self.filters = nn.Conv1d(CHARACTER_DIM, dim, CHARACTER_WIDTH, padding=CHARACTER_WIDTH // 2)

    def forward(self, spelling: Int[Tensor, "types characters"]) -> Float[Tensor, "types dim"]:
        """Returns a vector for each word; padding does not count, and costs nothing."""
        place = torch.arange(CHARACTER_WIDTH, device=spelling.device)
        vectors = self.embed(torch.arange(self.embed.num_embeddings, device=spelling.device))
        by_place = self.filters.weight.permute(2, 0, 1).flatten(0, 1)
        table = linear(vectors, by_place).view(len(vectors) * CHARACTER_WIDTH, -1)
        side, is_there = CHARACTER_WIDTH // 2, spelling != NOTHING
        windows = pad(spelling, (side, side), value=NOTHING).unfold(1, CHARACTER_WIDTH, 1)
        seen = embedding_bag(windows[is_there] * CHARACTER_WIDTH + place, table, mode="sum")
        seen = seen + self.filters.bias  # type: ignore[operator]
        word = is_there.nonzero()[:, :1].expand_as(seen)
        return seen.new_zeros(len(spelling), seen.shape[1]).scatter_reduce(0, word, seen, "amax")  # and rectified


class WordEncoder(nn.Module):
    """Sets vectors of form, spelling and tags side by side; a pretrained vector adds to the form's.

    Args:
        config: which inputs there are, and their sizes.
    """

    rarity: Tensor  # chance of each form to be unknown in training

    def __init__(self, config: ParserConfig) -> None:
        super().__init__()
        self.config = config
        self.dims = [config.form_dim, config.character_dim, config.upos_dim, config.xpos_dim]
        if config.form_dim:
            self.form = nn.Embedding(known(config.form_count), config.form_dim, padding_idx=NOTHING)
            self.register_buffer("rarity", torch.zeros(known(config.form_count)))
        if config.form_dim and config.vector_count:
            self.vectors = nn.Embedding(config.vector_count + 1, known(config.vector_dim), padding_idx=NOTHING)
            self.vectors.weight.requires_grad = False
            self.project = nn.Linear(known(config.vector_dim), config.form_dim, bias=False)
        if config.character_dim:
            self.spelling = CharacterEncoder(known(config.character_count), config.character_dim)
        if config.upos_dim:
            self.upos = nn.Embedding(known(config.upos_count), config.upos_dim, padding_idx=NOTHING)
        if config.xpos_dim:
            self.xpos = nn.Embedding(known(config.xpos_count), config.xpos_dim, padding_idx=NOTHING)

    @property
    def dim(self) -> int:
        """Numbers of a word."""
        return sum(self.dims)

    def forward(self, batch: Batch) -> Float[Tensor, "batch length dim"]:
        """Returns the inputs of each word, some left out in training."""
        kinds = []
        if self.config.form_dim:
            kinds.append(self._form(batch))
        if self.config.character_dim:
            kinds.append(self.spelling(batch.characters)[batch.types])
        if self.config.upos_dim:
            kinds.append(self.upos(batch.upos))
        if self.config.xpos_dim:
            kinds.append(self.xpos(batch.xpos))
        return torch.cat(self._thinned(kinds), dim=2)

    def _form(self, batch: Batch) -> Float[Tensor, "batch length dim"]:
        forms = batch.forms[batch.types]
        if self.training and self.config.word_dropout:
            unknown = torch.rand(forms.shape, device=forms.device) < self.rarity[forms]
            forms = forms.masked_fill(unknown, UNKNOWN)
        own = self.form(forms)
        return own + self.project(self.vectors(batch.vectors))[batch.types] if self.config.vector_count else own

    def _thinned(self, kinds: list[Tensor]) -> list[Tensor]:
        """Leaves out inputs of a word and makes the others larger instead (Dozat & Manning 2017, section 4.1)."""
        if not self.training or not self.config.input_dropout:
            return kinds
        shape = (*kinds[0].shape[:2], len(kinds))
        kept = (torch.rand(shape, device=kinds[0].device) >= self.config.input_dropout).to(kinds[0])
        scale = kept * len(kinds) / kept.sum(2, keepdim=True).clamp(min=1)
        return [kind * scale[:, :, place : place + 1] for place, kind in enumerate(kinds)]

    def use_counts(self, counts: Int[Tensor, "known"]) -> None:
        """Derives each form's chance to be unknown in training from its count.

        Characters and tags are always known in training: unknown ones shall be nothing instead of a random vector.
        """
        tables = [getattr(self, name) for name in ("upos", "xpos") if hasattr(self, name)]
        for table in [*tables, self.spelling.embed] if self.config.character_dim else tables:
            table.weight.data[UNKNOWN] = 0
        if self.config.form_dim and self.config.word_dropout:
            alpha = self.config.word_dropout
            self.rarity[2:] = alpha / (alpha + counts.to(self.rarity))


class WindowEncoder(nn.Module):
    """Lets each word see others: layers that look at one word on either side, each added to what was there.

    The first layer looks at the next words, the second two words away, the third four: three layers see seven words on
    either side (dilated convolutions, Strubell et al. 2017). Without layers a word is what is known of it alone, as
    Chen & Manning 2014 have it.

    Args:
        config: the numbers.
        dim: numbers of a word.
    """

    inward: nn.Linear  # where there are layers
    layers: list[nn.Linear]
    norms: list[nn.LayerNorm]

    def __init__(self, config: ParserConfig, dim: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.dim = config.hidden_dim if config.layers else dim
        self.root = nn.Parameter(torch.zeros(self.dim))
        self.inward = nn.Linear(dim, self.dim) if config.layers else nn.Identity()  # type: ignore[assignment]
        self.layers = nn.ModuleList(  # type: ignore[assignment]
            nn.Linear(3 * self.dim, self.dim) for _ in range(config.layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(self.dim) for _ in range(config.layers))  # type: ignore[assignment]

    def forward(self, words: Float[Tensor, "batch length dim"], lengths: Int[Tensor, "batch"]) -> Encoded:
        """Returns states of the root and the words."""
        if not torch.is_grad_enabled() and not self.training and self.layers:
            number_type = compiled_type(words, load_window, "window", [self.dim])
            if number_type is not None:
                return Encoded(self._compiled(words, lengths, number_type), {})
        states = torch.cat([self.root.expand(len(words), 1, -1), self.inward(words)], dim=1)
        is_there = (torch.arange(states.shape[1], device=lengths.device) <= lengths[:, None])[:, :, None]
        for number, (layer, norm) in enumerate(zip(self.layers, self.norms)):
            seen, distance = norm(states) * is_there, 2**number
            before, here, after = layer.weight.chunk(3, dim=1)
            hidden = linear(seen, here, layer.bias)
            hidden[:, distance:] += linear(seen, before)[:, :-distance]
            hidden[:, :-distance] += linear(seen, after)[:, distance:]
            states = states + dropout(hidden.relu(), self.dropout, self.training)
        return Encoded(states, {})

    def _compiled(
        self, words: Float[Tensor, "batch length inputs"], lengths: Int[Tensor, "batch"], number_type: torch.dtype
    ) -> Float[Tensor, "batch words dim"]:
        inward = self.inward.weight
        if words.shape[2] % 2:  # bfloat16 is multiplied in pairs
            words, inward = pad(words, (0, 1)), pad(inward, (0, 1))
        batch, length, depth = words.shape
        weights = torch.stack([layer.weight for layer in self.layers])
        parts = [(layer.bias, norm.weight, norm.bias) for layer, norm in zip(self.layers, self.norms)]
        floats = torch.stack([self.root, self.inward.bias, *chain.from_iterable(parts)]).float()
        given = (part.to(number_type).contiguous() for part in (words, inward, weights))
        states = torch.zeros(batch, length + 1, self.dim, dtype=number_type)
        sizes = (batch, length, depth, self.dim, len(self.layers))
        call(load_window(), typed("window", number_type), (*given, floats, lengths.contiguous(), states), sizes)
        return states


@cache
def load_window() -> ctypes.CDLL | None:
    """Returns the compiled layers of `WindowEncoder`; None, with a warning, where they cannot be compiled."""
    return load_library(Path(__file__).with_name("window.cpp"), {}, "The window over words is not compiled")


class SentenceEncoder(nn.Module):
    """Reads a sentence with a BiLSTM, the root before its first word; predicts tags from the first layer, if wanted.

    The layers above read what tags the first one expects, the mean of their vectors (Hashimoto et al. 2017, "A Joint
    Many-Task Model", section 2.1).

    Args:
        config: the numbers.
        dim: numbers of a word.
    """

    def __init__(self, config: ParserConfig, dim: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.root = nn.Parameter(torch.zeros(dim))
        self.dim = 2 * config.hidden_dim
        sizes = [dim] + [self.dim] * (config.layers - 1)
        self.layers = nn.ModuleList(LSTM(size, config.hidden_dim, bidirectional=True) for size in sizes)
        counts = {tag: known(getattr(config, f"{tag}_count")) for tag in config.predicted_tags}
        self.tags = nn.ModuleDict({tag: nn.Linear(self.dim, count) for tag, count in counts.items()})
        self.tag_vectors = nn.ModuleDict({tag: nn.Linear(count, self.dim, bias=False) for tag, count in counts.items()})

    def forward(self, words: Float[Tensor, "batch length dim"], lengths: Int[Tensor, "batch"]) -> Encoded:
        """Returns states of the root and the words, and scores of the words' tags."""
        root = self.root.expand(len(words), 1, -1)
        states, tags = torch.cat([root, words], dim=1), {}
        for number, layer in enumerate(self.layers):
            states, _ = layer(self.shared_dropout(states), lengths + 1)
            if number == 0 and self.tags:
                seen = dropout(states, self.dropout, self.training)
                for kind, classify in self.tags.items():
                    scores = classify(seen)
                    states = states + self.tag_vectors[kind](scores.softmax(2))
                    tags[kind] = scores[:, 1:]
        return Encoded(self.shared_dropout(states), tags)

    def shared_dropout(self, states: Float[Tensor, "batch words dim"]) -> Float[Tensor, "batch words dim"]:
        """Leaves out the same units for all words of a sentence (Gal & Ghahramani 2016, section 4)."""
        mask = dropout(torch.ones_like(states[:, :1]), self.dropout, self.training)
        return states * mask


class Reader(nn.Module):
    """Makes states of a sentence's words: each word alone first, then among the others.

    Args:
        config: the numbers.
    """

    def __init__(self, config: ParserConfig) -> None:
        super().__init__()
        self.word = WordEncoder(config)
        self.sentence = (WindowEncoder if config.architecture == "ffn" else SentenceEncoder)(config, self.word.dim)

    def forward(self, batch: Batch) -> Encoded:
        """Returns states of the root and the words, and scores of the words' tags."""
        return self.sentence(self.word(batch), batch.lengths)
