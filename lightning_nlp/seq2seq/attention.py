"""Attention of a decoder to the states of an encoder, four kinds behind one signature.

Luong et al. 2015, "Effective Approaches to Attention-based Neural Machine Translation", section 3.1 (dot, general);
Bahdanau et al. 2015, "Neural Machine Translation by Jointly Learning to Align and Translate", appendix A.1.2
(additive).
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

Kind = Literal["general", "dot", "additive", "none"]


class Attention(nn.Module):
    """Means of encoder states, weighted by how well they fit a query.

    Args:
        kind: general scores q' W v; dot scores q' v; additive scores u' tanh(W q + V v); none looks at nothing and
            returns zeros, for comparison.
        query_dim: numbers of a decoder state.
        value_dim: numbers of an encoder state.

    Raises:
        ValueError: dot with unequal sizes.
    """

    def __init__(self, kind: Kind, query_dim: int, value_dim: int) -> None:
        super().__init__()
        self.kind = kind
        if kind == "dot" and query_dim != value_dim:
            raise ValueError(
                f"config.attention dot compares states of equal size, but the decoder's have {query_dim} numbers and "
                f"the encoder's {value_dim}. Make them equal, or use general."
            )
        if kind in ("general", "additive"):
            self.key = nn.Linear(value_dim, query_dim, bias=False)
        if kind == "additive":
            self.query = nn.Linear(query_dim, query_dim)
            self.score = nn.Linear(query_dim, 1, bias=False)

    def keys(self, values: Float[Tensor, "batch source value_dim"]) -> Float[Tensor, "batch source key_dim"]:
        """Returns what queries are compared with: once a sentence, not once a step."""
        return self.key(values) if self.kind in ("general", "additive") else values

    def forward(
        self,
        queries: Float[Tensor, "batch target query_dim"],
        keys: Float[Tensor, "batch source key_dim"],
        values: Float[Tensor, "batch source value_dim"],
        mask: Bool[Tensor, "batch source"],
    ) -> tuple[Float[Tensor, "batch target value_dim"], Float[Tensor, "batch target source"]]:
        """Returns the mean for each query, and its weights.

        Args:
            queries: decoder states.
            keys: as from `keys`.
            values: encoder states.
            mask: tells states from padding. A sentence of padding alone has weights of zero.
        """
        if self.kind == "none":
            shape = queries.shape[:2]
            return queries.new_zeros(*shape, values.shape[2]), queries.new_zeros(*shape, values.shape[1])
        mask = mask[:, None]
        scores = self._scores(queries, keys).float().masked_fill(~mask, torch.finfo(torch.float32).min)
        weights = scores.softmax(2) * mask
        return weights.to(values.dtype) @ values, weights

    def _scores(self, queries: Tensor, keys: Tensor) -> Float[Tensor, "batch target source"]:
        if self.kind == "additive":
            return self.score((self.query(queries)[:, :, None] + keys[:, None]).tanh())[..., 0]
        return queries @ keys.mT
