"""An LSTM layer (Hochreiter & Schmidhuber 1997) over padded batches; on the CPU its recurrence is compiled, `lstm.cpp`.

The inputs' share of all gates is one matrix product, and so are the gradients of both weights. Only the product of
states and weights has to wait for the step before: there torch starts a dozen small operations a step, and the
compiled loop none. It computes what `torch.nn.LSTM` does, in float32 or in bfloat16 with sums in float32, and leaves
the rest to it: other devices, other types of numbers, machines without a compiler.
"""

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from lightning_nlp.native import call, compiled_type, load_library, typed

SOURCE = Path(__file__).with_name("lstm.cpp")

State = tuple[Tensor, Tensor]


class LSTM(nn.LSTM):
    """One layer, whose parameters are those of `torch.nn.LSTM`.

    Args:
        input_size: numbers of an input.
        hidden_size: numbers of a state in one direction.
        bidirectional: whether a second LSTM reads from the end.
    """

    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor
    bias_hh_l0: Tensor

    def __init__(self, input_size: int, hidden_size: int, bidirectional: bool = False) -> None:
        super().__init__(input_size, hidden_size, batch_first=True, bidirectional=bidirectional)

    def forward(  # type: ignore[override]
        self, inputs: Float[Tensor, "batch time dim"], lengths: Int[Tensor, "batch"], state: State | None = None
    ) -> tuple[Float[Tensor, "batch time states"], State]:
        """Reads sequences of different lengths.

        Args:
            inputs: padded to the longest sequence.
            lengths: of each sequence.
            state: h and c before the first step [directions, batch, hidden]; None for zeros.

        Returns:
            The states of all steps, both directions side by side, 0 at padding; h and c after each sequence's end.
        """
        if state is None:
            zeros = inputs.new_zeros(2 if self.bidirectional else 1, len(inputs), self.hidden_size)
            state = zeros, zeros
        number_type = compiled_type(inputs, load_lstm, "forward", [self.hidden_size])
        if number_type is None:
            return self._by_torch(inputs, lengths, state)
        suffixes = ("", "_reverse") if self.bidirectional else ("",)
        weights = [getattr(self, f"weight_hh_l0{suffix}") for suffix in suffixes]
        bias = [getattr(self, f"bias_ih_l0{suffix}") + getattr(self, f"bias_hh_l0{suffix}") for suffix in suffixes]
        reading = torch.cat([getattr(self, f"weight_ih_l0{suffix}") for suffix in suffixes])
        gates = linear(inputs.transpose(0, 1), reading, torch.cat(bias)).to(number_type)
        states, *last = Recurrence.apply(
            gates, torch.stack(weights).to(number_type), *(part.float() for part in state), lengths
        )
        return states.transpose(0, 1), (last[0], last[1])

    def _by_torch(self, inputs: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        at_least_one = lengths.cpu().clamp(min=1)  # empty sequences cannot be packed: what is read of them is undone
        packed = pack_padded_sequence(inputs, at_least_one, batch_first=True, enforce_sorted=False)
        first = tuple(part.to(inputs.dtype) for part in state)
        found, last = super().forward(packed, first)  # type: ignore[arg-type]
        outputs, _ = pad_packed_sequence(found, batch_first=True, total_length=inputs.shape[1])
        is_empty = (lengths == 0)[:, None]
        h, c = (torch.where(is_empty, before, after) for before, after in zip(first, last))
        return outputs.masked_fill(is_empty[:, :, None], 0), (h, c)


class Recurrence(torch.autograd.Function):
    """The compiled loop: gates before the states' share in, states out. Gradients flow to all but the lengths."""

    @staticmethod
    def forward(
        ctx: Any,
        gates: Float[Tensor, "time batch all_gates"],
        weights: Float[Tensor, "directions gates hidden"],
        first_state: Float[Tensor, "directions batch hidden"],
        first_cell: Float[Tensor, "directions batch hidden"],
        lengths: Int[Tensor, "batch"],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the states of all steps, and h and c after the last."""
        gates, weights, lengths = gates.contiguous(), weights.contiguous(), lengths.contiguous()
        (directions, _, hidden), (time, batch, _) = weights.shape, gates.shape
        states = gates.new_empty(directions, time + 1, batch, hidden)
        cells = torch.empty_like(states, dtype=torch.float32)
        for filled, first in ((states, first_state), (cells, first_cell)):
            for direction in range(directions):
                filled[direction, -1 if direction else 0] = first[direction]
        activated = torch.empty_like(gates) if any(ctx.needs_input_grad) else None
        given = (gates, weights, states, cells, activated, lengths)
        call(load_lstm(), typed("forward", weights.dtype), given, (time, batch, hidden, directions))
        ctx.save_for_backward(weights, states, cells, activated, lengths)
        outputs = torch.cat([states[0, 1:], *states[1:, :-1]], dim=2)
        is_padding = torch.arange(time)[:, None] >= lengths
        outputs = outputs.masked_fill_(is_padding[:, :, None], 0)
        last = [0 if direction else -1 for direction in range(directions)]
        order = torch.arange(directions)
        return outputs, states[order, last], cells[order, last]

    @staticmethod
    def backward(ctx: Any, d_outputs: Tensor, d_last_state: Tensor, d_last_cell: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients; those of the weights are one product a direction."""
        weights, states, cells, activated, lengths = ctx.saved_tensors
        directions, time, batch, hidden = states[:, 1:].shape
        d_gates = torch.empty_like(activated)
        d_state = d_last_state.float().clone(memory_format=torch.contiguous_format)
        d_cell = d_last_cell.float().clone(memory_format=torch.contiguous_format)
        given = (weights, cells, activated, d_outputs.contiguous(), d_state, d_cell, d_gates, lengths)
        call(load_lstm(), typed("backward", weights.dtype), given, (time, batch, hidden, directions))
        by_direction = d_gates.view(time * batch, directions, 4 * hidden)
        d_weights = torch.stack(
            [
                by_direction[:, direction].T
                @ (states[direction, 1:] if direction else states[direction, :-1]).flatten(0, 1)
                for direction in range(directions)
            ]
        )
        return d_gates, d_weights, d_state, d_cell, None


@cache
def load_lstm() -> ctypes.CDLL | None:
    """Returns the compiled loop; None, with a warning, where it cannot be compiled."""
    return load_library(SOURCE, {}, "The LSTM's loop is not compiled")
