"""The numbers of an attentional encoder and decoder."""

from typing import Any, Literal

from transformers import PreTrainedConfig


class Seq2SeqConfig(PreTrainedConfig):
    """An LSTM that reads the source and an LSTM that writes the target, looking back at what was read.

    Args:
        dim: numbers of a token's vector.
        encoder_dim: numbers of an encoder state in one direction.
        encoder_layers: of the encoder.
        bidirectional: whether the encoder reads from the end too.
        decoder_dim: numbers of a decoder state.
        decoder_layers: of the decoder.
        attention: how decoder states are compared with encoder states: general (Luong et al. 2015, and the course's),
            dot, additive (Bahdanau et al. 2015), or none for comparison.
        input_feeding: whether the decoder also reads what attention found the step before (Luong et al. 2015, section
            3.3). Without it a translation is trained in one call of the LSTM, and each word depends on less.
        tied: whether output weights are the target vectors, and with one tokenizer for both languages the source
            vectors too (Press & Wolf 2017).
        dropout: share of vectors and states left out in training.
        word_dropout: share of tokens whose whole vector is left out in training, on both sides, which helps where text
            is scarce (Gal & Ghahramani 2016; Sennrich & Zhang 2019, section 3.4).
        source_vocab: number of source tokens; null takes it, and what follows, from the data.
        target_vocab: number of target tokens.
        joint: whether both languages have one tokenizer.
    """

    model_type = "lightning-nlp-seq2seq"

    dim: int = 256
    encoder_dim: int = 256
    encoder_layers: int = 1
    bidirectional: bool = True
    decoder_dim: int = 512
    decoder_layers: int = 1
    attention: Literal["general", "dot", "additive", "none"] = "general"
    input_feeding: bool = True
    tied: bool = True
    dropout: float = 0.3
    word_dropout: float = 0.0
    source_vocab: int | None = None
    target_vocab: int | None = None
    joint: bool | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        """Refuses numbers that no model can have."""
        super().__post_init__(**kwargs)
        kinds = ("general", "dot", "additive", "none")
        if self.attention not in kinds:
            raise ValueError(f"config.attention is {self.attention!r}, expected one of {', '.join(kinds)}.")
        for name in ("dim", "encoder_dim", "encoder_layers", "decoder_dim", "decoder_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"config.{name} is {getattr(self, name)}, expected 1 or more.")
        for name in ("dropout", "word_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"config.{name} is {getattr(self, name)}, expected a share in [0, 1).")

    @property
    def value_dim(self) -> int:
        """Numbers of an encoder state, both directions together."""
        return self.encoder_dim * (2 if self.bidirectional else 1)

    @property
    def output_dim(self) -> int:
        """Numbers of an attentional state: with tied weights it is compared with the vectors of tokens."""
        return self.dim if self.tied else self.decoder_dim


def known(size: int | None) -> int:
    """Returns a size that the data or a checkpoint must have brought by now.

    Raises:
        ValueError: it has not.
    """
    if size is None:
        raise ValueError(
            "config: sizes are not known yet. Fit with a data module, or give source_vocab and target_vocab."
        )
    return size
