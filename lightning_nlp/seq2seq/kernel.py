"""The compiled loop of a decoder with input feeding, `decoder.cpp`: as `Decoder` step by step, in less time."""

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lightning_nlp.native import call, load_library, typed

SOURCE = Path(__file__).with_name("decoder.cpp")


class FeedingLoop(torch.autograd.Function):
    """From the gates' known share to attentional states. Gradients flow to all but dropout factors and lengths."""

    @staticmethod
    def forward(
        ctx: Any,
        ahead: Float[Tensor, "time batch gates"],
        feeding: Float[Tensor, "gates output_dim"],
        recurrent: Float[Tensor, "gates hidden_dim"],
        combine: Float[Tensor, "output_dim seen"],
        keys: Float[Tensor, "batch source hidden_dim"],
        values: Float[Tensor, "batch source value_dim"],
        first_state: Float[Tensor, "batch hidden_dim"],
        first_cell: Float[Tensor, "batch hidden_dim"],
        kept: Float[Tensor, "time batch output_dim"],
        lengths: Int[Tensor, "batch"],
    ) -> tuple[Tensor, Tensor]:
        """Returns attentional states [time, batch, output_dim] and weights of attention [time, batch, source].

        Args:
            ctx: autograd's.
            ahead: what the vectors of the tokens give to the gates.
            feeding: weights from what is fed to the gates.
            recurrent: weights from states to the gates.
            combine: weights from context and state, side by side, to attentional states.
            keys: of attention.
            values: of attention.
            first_state: h before the first step.
            first_cell: c before the first step.
            kept: what attentional states are multiplied by, for dropout.
            lengths: of the source.
        """
        given = [part.contiguous() for part in (ahead, feeding, recurrent, combine, keys, values, kept)]
        ahead, feeding, recurrent, combine, keys, values, kept = given
        (time, batch, gates), (_, source, value), output = ahead.shape, values.shape, len(combine)
        hidden = gates // 4
        states = ahead.new_empty(time + 1, batch, hidden)
        cells = torch.empty_like(states, dtype=torch.float32)
        states[0], cells[0] = first_state, first_cell
        trace = (
            *(states, cells, torch.empty_like(ahead), ahead.new_empty(time, batch, value)),
            torch.zeros(time, batch, source, dtype=torch.float32),
            *(ahead.new_empty(time, batch, output), ahead.new_zeros(time + 1, batch, output)),
        )
        ctx.sizes = (time, batch, source, hidden, value, output)
        lengths = lengths.contiguous()
        call(load_loop(), typed("forward", ahead.dtype), (*given, *trace, lengths), ctx.sizes)
        ctx.save_for_backward(feeding, recurrent, combine, keys, values, kept, *trace, lengths)
        weights, fed = trace[4], trace[6]
        ctx.mark_non_differentiable(weights)
        return fed[1:], weights

    @staticmethod
    def backward(ctx: Any, d_outputs: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients; those of weights, keys and values are products over all steps."""
        *given, lengths = ctx.saved_tensors
        states, _, activated, contexts, weights, _, fed = given[6:]
        _, batch, _, hidden, _, _ = ctx.sizes
        d_gates, d_contexts = torch.empty_like(activated), torch.empty_like(contexts)
        d_combined = torch.empty_like(d_outputs, memory_format=torch.contiguous_format)
        d_scores, d_state = torch.zeros_like(weights), torch.zeros(batch, hidden, dtype=torch.float32)
        d_cell = torch.zeros_like(d_state)
        found = (d_outputs.contiguous(), d_gates, d_combined, d_contexts, d_scores, d_state, d_cell)
        call(load_loop(), typed("backward", states.dtype), (*given, *found, lengths), ctx.sizes)
        gates, seen = d_gates.flatten(0, 1).T, torch.cat([contexts, states[1:]], dim=2)
        d_keys = d_scores.to(states.dtype).permute(1, 2, 0) @ states[1:].transpose(0, 1)
        d_values = weights.to(states.dtype).permute(1, 2, 0) @ d_contexts.transpose(0, 1)
        return (
            *(d_gates, gates @ fed[:-1].flatten(0, 1), gates @ states[:-1].flatten(0, 1)),
            d_combined.flatten(0, 1).T @ seen.flatten(0, 1),
            *(d_keys, d_values, d_state, d_cell, None, None),
        )


@cache
def load_loop() -> ctypes.CDLL | None:
    """Returns the compiled loop; None, with a warning, where it cannot be compiled."""
    return load_library(SOURCE, {}, "The decoder's loop is not compiled")
