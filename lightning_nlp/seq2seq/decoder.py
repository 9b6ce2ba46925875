"""The decoder: LSTM layers that look back at the encoder's states (Luong et al. 2015).

The first state is made of the encoder's last (as in the course): h = W [h→; h←], c = V [c→; c←]. At each step
attention compares the top layer's state with the encoder's, and the attentional state h̃ = tanh(W [context; h])
(equation 5) predicts the next token. With input feeding (section 3.3) h̃ is also read at the next step, so training goes
step by step; all that needs no earlier step is computed for all steps at once.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear

from lightning_nlp.dropout import dropout
from lightning_nlp.lstm import LSTM
from lightning_nlp.lstm import State as LSTMState
from lightning_nlp.native import compiled_type
from lightning_nlp.seq2seq.attention import Attention
from lightning_nlp.seq2seq.config import Seq2SeqConfig
from lightning_nlp.seq2seq.kernel import FeedingLoop, load_loop


class Memory(NamedTuple):
    """What was read: the keys it is found by, encoder states, and which of them are no padding."""

    keys: Float[Tensor, "batch source key_dim"]
    values: Float[Tensor, "batch source value_dim"]
    mask: Bool[Tensor, "batch source"]


class DecoderState(NamedTuple):
    """Where the decoder is, for a batch of sentences and the hypotheses of each."""

    memory: Memory
    hidden: Float[Tensor, "batch beam layers hidden_dim"]
    cell: Float[Tensor, "batch beam layers hidden_dim"]
    fed: Float[Tensor, "batch beam output_dim"]

    def of_sentences(self, rows: Int[Tensor, "kept"]) -> "DecoderState":
        """Returns the state of some sentences."""
        return DecoderState(Memory(*(part[rows] for part in self.memory)), *(part[rows] for part in self[1:]))

    def of_hypotheses(self, parents: Int[Tensor, "batch beam"]) -> "DecoderState":
        """Returns the state whose hypotheses continue these."""
        sentence = torch.arange(len(parents), device=parents.device)[:, None]
        return DecoderState(self.memory, *(part[sentence, parents] for part in self[1:]))


class Decoder(nn.Module):
    """Writes a translation.

    Args:
        config: the numbers.
    """

    layers: list[LSTM]

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        self.config = config
        self.dropout = config.dropout
        fed = config.output_dim if config.input_feeding else 0
        sizes = [config.dim + fed] + [config.decoder_dim] * (config.decoder_layers - 1)
        self.layers = nn.ModuleList(LSTM(size, config.decoder_dim) for size in sizes)  # type: ignore[assignment]
        self.attention = Attention(config.attention, config.decoder_dim, config.value_dim)
        self.combine = nn.Linear(config.value_dim + config.decoder_dim, config.output_dim, bias=False)
        size = config.decoder_layers * config.decoder_dim
        self.first_hidden = nn.Linear(config.value_dim, size, bias=False)
        self.first_cell = nn.Linear(config.value_dim, size, bias=False)

    def start(
        self, states: Float[Tensor, "batch source value_dim"], last: LSTMState, lengths: Int[Tensor, "batch"]
    ) -> DecoderState:
        """Returns the state before the first step, with one hypothesis a sentence.

        Args:
            states: of the encoder.
            last: its h and c at both ends [batch, value_dim].
            lengths: of the source.
        """
        mask = torch.arange(states.shape[1], device=lengths.device) < lengths[:, None]
        shape = (len(states), 1, len(self.layers), self.config.decoder_dim)
        hidden, cell = (part.to(states) for part in last)  # a compiled LSTM remembers in float32
        hidden, cell = self.first_hidden(hidden).view(shape), self.first_cell(cell).view(shape)
        memory = Memory(self.attention.keys(states), states, mask)
        return DecoderState(memory, hidden, cell, hidden.new_zeros(len(states), 1, self.config.output_dim))

    def forward(
        self, embedded: Float[Tensor, "batch target dim"], state: DecoderState
    ) -> tuple[Float[Tensor, "batch target output_dim"], Float[Tensor, "batch target source"]]:
        """Returns the attentional states after all tokens of a translation, and the weights of attention.

        Args:
            embedded: vectors of the tokens read.
            state: as from `start`.
        """
        embedded = dropout(embedded, self.dropout, self.training)
        if self.config.input_feeding:
            number_type = self._compiled_type(embedded)
            return self._compiled(embedded, state, number_type) if number_type else self._step_by_step(embedded, state)
        lengths = torch.full((len(embedded),), embedded.shape[1], device=embedded.device)
        states = embedded
        for number, layer in enumerate(self.layers):
            first = tuple(part[:, 0, number][None] for part in (state.hidden, state.cell))
            states, _ = layer(self._between(states, number), lengths, first)
        return self._look_back(states, state.memory)

    def step(
        self, embedded: Float[Tensor, "batch beam dim"], state: DecoderState
    ) -> tuple[Float[Tensor, "batch beam output_dim"], DecoderState]:
        """Returns the attentional states after one token of each hypothesis."""
        states, hidden, cell = embedded, [], []
        if self.config.input_feeding:
            states = torch.cat([embedded, state.fed], dim=2)
        for number, layer in enumerate(self.layers):
            gates = linear(states, layer.weight_ih_l0, layer.bias_ih_l0 + layer.bias_hh_l0)
            gates = gates + linear(state.hidden[:, :, number], layer.weight_hh_l0)
            states, memorised = _activated(gates, state.cell[:, :, number])
            hidden.append(states)
            cell.append(memorised)
        fed, _ = self._look_back(states, state.memory)
        return fed, DecoderState(state.memory, torch.stack(hidden, 2), torch.stack(cell, 2), fed)

    def _look_back(self, states: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        context, weights = self.attention(states, *memory)
        seen = self.combine(torch.cat([context, states], dim=2)).tanh()
        return dropout(seen, self.dropout, self.training), weights

    def _between(self, states: Tensor, layer: int) -> Tensor:
        return dropout(states, self.dropout, self.training) if layer else states

    def _compiled_type(self, embedded: Tensor) -> torch.dtype | None:
        """The type of numbers for the compiled loop; None where it cannot run."""
        if len(self.layers) > 1 or self.config.attention not in ("general", "dot"):
            return None
        sizes = (self.config.decoder_dim, self.config.value_dim, self.config.output_dim)
        return compiled_type(embedded, load_loop, "forward", sizes)

    def _compiled(self, embedded: Tensor, state: DecoderState, number_type: torch.dtype) -> tuple[Tensor, Tensor]:
        layer, dim = self.layers[0], self.config.dim
        bias = layer.bias_ih_l0 + layer.bias_hh_l0
        ahead = linear(embedded.transpose(0, 1), layer.weight_ih_l0[:, :dim], bias)
        given = (ahead, layer.weight_ih_l0[:, dim:], layer.weight_hh_l0, self.combine.weight, *state.memory[:2])
        kept = dropout(ahead.new_ones(*ahead.shape[:2], self.config.output_dim), self.dropout, self.training)
        first = (part[:, 0, 0].float() for part in (state.hidden, state.cell))
        lengths = state.memory.mask.sum(1)
        fed, weights = FeedingLoop.apply(
            *(part.to(number_type) for part in given), *first, kept.to(number_type), lengths
        )
        return fed.transpose(0, 1), weights.transpose(0, 1)

    def _step_by_step(self, embedded: Tensor, state: DecoderState) -> tuple[Tensor, Tensor]:
        first, dim = self.layers[0], self.config.dim
        ahead = linear(embedded, first.weight_ih_l0[:, :dim], first.bias_ih_l0 + first.bias_hh_l0)
        # One product a layer and step: what is fed or comes from below, and the layer's own state, side by side.
        below = [first.weight_ih_l0[:, dim:], *(layer.weight_ih_l0 for layer in self.layers[1:])]
        weights = [torch.cat([part, layer.weight_hh_l0], dim=1) for part, layer in zip(below, self.layers)]
        hidden, cell = (list(part[:, 0].unbind(1)) for part in (state.hidden, state.cell))
        fed, found, looked = state.fed[:, 0], [], []
        for gates_ahead in ahead.unbind(1):
            states = fed
            for number, weight in enumerate(weights):
                gates = linear(torch.cat([self._between(states, number), hidden[number]], dim=1), weight)
                if number == 0:
                    gates = gates + gates_ahead
                else:
                    gates = gates + self.layers[number].bias_ih_l0 + self.layers[number].bias_hh_l0
                hidden[number], cell[number] = _activated(gates, cell[number])
                states = hidden[number]
            seen, of_step = self._look_back(states[:, None], state.memory)
            fed = seen[:, 0]
            found.append(seen)
            looked.append(of_step)
        return torch.cat(found, dim=1), torch.cat(looked, dim=1)


def _activated(gates: Float[Tensor, "... gates"], cell: Float[Tensor, "... hidden_dim"]) -> tuple[Tensor, Tensor]:
    """Returns h and c after a step (torch.nn.LSTM's equations and order of gates)."""
    read, forget, new, write = gates.chunk(4, dim=-1)
    cell = forget.sigmoid() * cell + read.sigmoid() * new.tanh()
    return write.sigmoid() * cell.tanh(), cell
