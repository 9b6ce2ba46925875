"""The blocks: attention, then a feed-forward network, each behind a norm and beside a residual connection."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import gelu, silu
from transformers.cache_utils import Cache

from lightning_nlp.transformer.attention import Attention, CrossAttention, Found, Places, Synthesizer
from lightning_nlp.transformer.config import TransformerConfig


def new_norm(config: TransformerConfig) -> nn.Module:
    """Returns a norm over the numbers of a state."""
    if config.norm == "layer":
        return nn.LayerNorm(config.dim, bias=config.bias)
    return nn.RMSNorm(config.dim, eps=1e-6)


class FeedForward(nn.Module):
    """Two linear maps and what lies between them, for each token on its own (Vaswani et al. 2017, eq. 2).

    Args:
        config: the model's numbers.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.activation = config.activation
        width = config.feed_forward_dim
        self.project_in = nn.Linear(config.dim, 2 * width if config.activation == "swiglu" else width, config.bias)
        self.project_out = nn.Linear(width, config.dim, config.bias)

    def forward(self, states: Float[Tensor, "batch length dim"]) -> Float[Tensor, "batch length dim"]:
        """Returns what is added to the states."""
        hidden = self.project_in(states)
        if self.activation == "swiglu":
            hidden, gate = hidden.chunk(2, dim=-1)
            hidden = hidden * silu(gate)
        elif self.activation == "relu2":
            hidden = hidden.relu().square()
        else:
            hidden = gelu(hidden, approximate="tanh")
        return self.project_out(hidden)


class Block(nn.Module):
    """Attention and a feed-forward network.

    Args:
        config: the model's numbers.
        layer: its number among the blocks.
    """

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = new_norm(config)
        kind = Synthesizer if config.attention == "synthesizer" else Attention
        self.attention = kind(config, layer)
        self.feed_forward_norm = new_norm(config)
        self.feed_forward = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        states: Float[Tensor, "batch length dim"],
        places: Places,
        cache: Cache | None = None,
        with_weights: bool = False,
    ) -> Found:
        """Returns the new states, and where attention looked if that is wanted."""
        found, weights = self.attention(self.attention_norm(states), places, cache, with_weights)
        states = states + self.dropout(found)
        return states + self.dropout(self.feed_forward(self.feed_forward_norm(states))), weights


class CrossBlock(nn.Module):
    """A block whose attention looks at other states.

    Args:
        config: the model's numbers.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.attention_norm = new_norm(config)
        self.others_norm = new_norm(config)
        self.attention = CrossAttention(config)
        self.feed_forward_norm = new_norm(config)
        self.feed_forward = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        states: Float[Tensor, "batch length dim"],
        others: Float[Tensor, "batch keys dim"],
        allowed: Bool[Tensor, "batch 1 length keys"],
        with_weights: bool = False,
    ) -> Found:
        """Returns the new states, and where attention looked if that is wanted."""
        found, weights = self.attention(self.attention_norm(states), self.others_norm(others), allowed, with_weights)
        states = states + self.dropout(found)
        return states + self.dropout(self.feed_forward(self.feed_forward_norm(states))), weights


class Perceiver(nn.Module):
    """A few latent states read a text, think, and are read by its tokens (Jaegle et al. 2021).

    So that no token sees a later one, the n-th latent state looks at the first n tokens, and a token at the latent
    states of those before it: what stands after them in a text is read on the way up alone (Stanford CS224N,
    assignment 5, 2023).

    Args:
        config: the model's numbers.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.empty(config.latents, config.dim))
        self.down = CrossBlock(config)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers - 2))
        self.up = CrossBlock(config)

    def forward(
        self, states: Float[Tensor, "batch length dim"], places: Places, with_weights: bool = False
    ) -> tuple[Float[Tensor, "batch length dim"], list[Tensor | None]]:
        """Returns the new states, and where each block looked if that is wanted.

        Args:
            states: of the tokens; each row is one document, which padding may precede or follow.
            places: of the tokens.
            with_weights: whether weights are wanted.
        """
        number = torch.arange(len(self.latents), device=states.device)
        read_before = places.keys[:, None, :] <= number[:, None]
        down = (read_before & places.is_token[:, None, :])[:, None]
        latents = self.latents.expand(len(states), -1, -1)
        latents, weights = self.down(latents, states, down, with_weights)
        found = [weights]
        among = (number[:, None] >= number).expand(len(states), 1, -1, -1)
        own = Places(among, number.expand(len(states), -1), torch.ones_like(among[:, 0, 0]), None)
        for block in self.blocks:
            latents, weights = block(latents, own, None, with_weights)
            found.append(weights)
        up = (number <= places.keys[:, :, None])[:, None]
        states, weights = self.up(states, latents, up, with_weights)
        return states, [*found, weights]
