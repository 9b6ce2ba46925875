"""Attention: who looks where. Three kinds behind one signature; all look back only, and within their own document."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import dropout, rms_norm, scaled_dot_product_attention
from transformers.cache_utils import Cache

from lightning_nlp.transformer.config import TransformerConfig

Found = tuple[Float[Tensor, "batch length dim"], Float[Tensor, "batch heads length keys"] | None]


class Places(NamedTuple):
    """Where the tokens of a batch stand, computed once for all layers.

    Attributes:
        allowed: whether a token may look at another.
        keys: place of each key in its document.
        is_token: whether each key is no padding.
        rotation: cosines and sines of the tokens' own places, where positions are rotations.
    """

    allowed: Bool[Tensor, "batch 1 length keys"]
    keys: Int[Tensor, "batch keys"]
    is_token: Bool[Tensor, "batch keys"]
    rotation: tuple[Tensor, Tensor] | None


def look_back(documents: Int[Tensor, "batch keys"], length: int) -> Bool[Tensor, "batch 1 length keys"]:
    """Returns whether each of the last tokens may look at another: one of its own document, not after itself.

    Args:
        documents: number of the document of each token; 0 is padding, which sees padding, so that no row is empty.
        length: number of tokens that look, the last ones of `documents`.
    """
    total = documents.shape[1]
    own = documents[:, total - length :, None] == documents[:, None, :]
    place = torch.arange(total, device=documents.device)
    return (own & (place <= place[total - length :, None]))[:, None]


def rotations(places: Int[Tensor, "batch length"], dim: int, base: float) -> tuple[Tensor, Tensor]:
    """Returns cosine and sine of the angle by which each place turns each pair of numbers (Su et al. 2021, eq. 15)."""
    speeds = base ** (-torch.arange(0, dim, 2, dtype=torch.float32, device=places.device) / dim)
    angles = places[:, None, :, None] * speeds
    return angles.cos(), angles.sin()


def rotate(states: Float[Tensor, "batch heads length dim"], rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Turns the pairs (i, i + dim/2) of each state (Su et al. 2021, eq. 34)."""
    cosine, sine = (part.to(states.dtype) for part in rotation)
    one, other = states.chunk(2, dim=-1)
    return torch.cat((one * cosine - other * sine, one * sine + other * cosine), dim=-1)


class Attention(nn.Module):
    """Queries meet keys (Vaswani et al. 2017, eq. 1), in several heads.

    Args:
        config: the model's numbers.
        layer: number of the block, for the cache of keys and values.
    """

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.heads, self.layer = config.heads, layer
        self.qk_norm, self.dropout = config.qk_norm, config.attention_dropout
        self.project_in = nn.Linear(config.dim, 3 * config.dim, bias=config.bias)
        self.project_out = nn.Linear(config.dim, config.dim, bias=config.bias)

    def forward(
        self,
        states: Float[Tensor, "batch length dim"],
        places: Places,
        cache: Cache | None = None,
        with_weights: bool = False,
    ) -> Found:
        """Returns what was found, and with which weights where these are wanted."""
        query, key, value = (split(part, self.heads) for part in self.project_in(states).chunk(3, dim=-1))
        query, key = self._placed(query, places), self._placed(key, places)
        if cache is not None:
            key, value = cache.update(key, value, self.layer)
        found, weights = attend(query, key, value, places.allowed, self.dropout * self.training, with_weights)
        return self.project_out(join(found)), weights

    def _placed(self, states: Tensor, places: Places) -> Tensor:
        if self.qk_norm:
            states = rms_norm(states, states.shape[-1:])
        return rotate(states, places.rotation) if places.rotation else states


class CrossAttention(nn.Module):
    """Some states look at others, as a perceiver does on its way down and up (Jaegle et al. 2021, section 3).

    Args:
        config: the model's numbers.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads, self.dropout = config.heads, config.attention_dropout
        self.query = nn.Linear(config.dim, config.dim, bias=config.bias)
        self.key_value = nn.Linear(config.dim, 2 * config.dim, bias=config.bias)
        self.project_out = nn.Linear(config.dim, config.dim, bias=config.bias)

    def forward(
        self,
        states: Float[Tensor, "batch length dim"],
        others: Float[Tensor, "batch keys dim"],
        allowed: Bool[Tensor, "batch 1 length keys"],
        with_weights: bool = False,
    ) -> Found:
        """Returns what was found in the others, and with which weights where these are wanted."""
        key, value = (split(part, self.heads) for part in self.key_value(others).chunk(2, dim=-1))
        query = split(self.query(states), self.heads)
        found, weights = attend(query, key, value, allowed, self.dropout * self.training, with_weights)
        return self.project_out(join(found)), weights


class Synthesizer(nn.Module):
    """Weights from a feed-forward network of the looking token alone (Tay et al. 2020, section 3.1, "dense").

    Args:
        config: the model's numbers.
        layer: number of the block, for the cache of values.
    """

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.heads, self.layer, self.dropout = config.heads, layer, config.attention_dropout
        self.inner = nn.Linear(config.dim, config.dim, bias=True)
        self.to_places = nn.Parameter(torch.empty(config.heads, config.head_dim, config.context))
        self.places_bias = nn.Parameter(torch.zeros(config.context))
        self.value = nn.Linear(config.dim, config.dim, bias=config.bias)
        self.project_out = nn.Linear(config.dim, config.dim, bias=config.bias)

    def forward(
        self,
        states: Float[Tensor, "batch length dim"],
        places: Places,
        cache: Cache | None = None,
        with_weights: bool = False,
    ) -> Found:
        """Returns what was found, and with which weights where these are wanted."""
        by_place = split(self.inner(states).relu(), self.heads) @ self.to_places + self.places_bias
        value = split(self.value(states), self.heads)
        if cache is not None:
            _, value = cache.update(value[..., :1], value, self.layer)  # keys that stand for the length
        index = places.keys[:, None, None].expand(-1, self.heads, states.shape[1], -1)
        weights = masked_softmax(by_place.gather(3, index), places.allowed)
        found = dropout(weights, self.dropout * self.training) @ value
        return self.project_out(join(found)), weights if with_weights else None


def attend(
    query: Float[Tensor, "batch heads length head_dim"],
    key: Float[Tensor, "batch heads keys head_dim"],
    value: Float[Tensor, "batch heads keys head_dim"],
    allowed: Bool[Tensor, "batch 1 length keys"],
    left_out: float = 0.0,
    with_weights: bool = False,
) -> tuple[Float[Tensor, "batch heads length head_dim"], Float[Tensor, "batch heads length keys"] | None]:
    """Softmax of scaled products (Vaswani et al. 2017, eq. 1).

    Where no weights are wanted torch's kernel does it, but for training on the CPU, where its gradient takes longer
    than that of the three steps themselves.

    Args:
        query: what is looked for.
        key: what it is compared with.
        value: what is found.
        allowed: who may look where.
        left_out: share of the weights that dropout leaves out.
        with_weights: whether they are returned.
    """
    if not with_weights and not (query.requires_grad and query.device.type == "cpu"):
        return scaled_dot_product_attention(query, key, value, allowed, left_out), None
    weights = masked_softmax(query @ key.mT * query.shape[-1] ** -0.5, allowed)
    return dropout(weights, left_out) @ value, weights if with_weights else None


def masked_softmax(scores: Tensor, allowed: Tensor) -> Tensor:
    """Returns weights that are zero where looking is not allowed."""
    return scores.masked_fill(~allowed, float("-inf")).softmax(dim=-1).to(scores.dtype)


def split(states: Float[Tensor, "batch length dim"], heads: int) -> Float[Tensor, "batch heads length head_dim"]:
    """Cuts states into heads."""
    return states.unflatten(2, (heads, -1)).transpose(1, 2)


def join(states: Float[Tensor, "batch heads length head_dim"]) -> Float[Tensor, "batch length dim"]:
    """Puts heads together again."""
    return states.transpose(1, 2).flatten(2)
