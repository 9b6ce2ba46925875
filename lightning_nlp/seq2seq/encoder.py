"""The encoder: layers of (bidirectional) LSTMs over the vectors of the source."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from lightning_nlp.dropout import dropout
from lightning_nlp.lstm import LSTM, State
from lightning_nlp.seq2seq.config import Seq2SeqConfig


class Encoder(nn.Module):
    """Reads a sentence.

    Args:
        config: the numbers.
    """

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        sizes = [config.dim] + [config.value_dim] * (config.encoder_layers - 1)
        self.layers = nn.ModuleList(LSTM(size, config.encoder_dim, config.bidirectional) for size in sizes)

    def forward(
        self, embedded: Float[Tensor, "batch source dim"], lengths: Int[Tensor, "batch"]
    ) -> tuple[Float[Tensor, "batch source value_dim"], State]:
        """Returns the states of the last layer, 0 at padding, and its h and c at both ends [batch, value_dim]."""
        states = embedded
        for layer in self.layers:
            states, last = layer(dropout(states, self.dropout, self.training), lengths)
        hidden, cell = (part.transpose(0, 1).flatten(1) for part in last)
        return states, (hidden, cell)
