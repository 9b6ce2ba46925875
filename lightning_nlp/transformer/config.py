"""The numbers of a transformer."""

from typing import Any, ClassVar, Literal

from transformers import PreTrainedConfig


class TransformerConfig(PreTrainedConfig):
    """A decoder of blocks of attention and feed-forward networks (Vaswani et al. 2017), norms first.

    Args:
        dim: numbers of a token's state.
        layers: blocks; a perceiver's first and last are those that project down and up.
        heads: parts of attention that look on their own.
        hidden_dim: of the feed-forward networks; null for four times `dim`.
        context: tokens that can be looked at; the length of a training row at most.
        attention: causal (queries meet keys), synthesizer (weights from the token alone, Tay et al. 2020, "dense"),
            or perceiver (causal over a few latent states, Jaegle et al. 2021).
        latents: states between a perceiver's first and last block.
        positions: learned vectors (Radford et al. 2019), or rope: rotated queries and keys (Su et al. 2021); null is
            rope where there are such, with causal attention, else learned.
        rope_base: longest wavelength of the rotation over 2 pi, in tokens.
        norm: layer (Ba et al. 2016) or rms (Zhang & Sennrich 2019).
        qk_norm: whether queries and keys are normalised (Henry et al. 2020).
        activation: gelu (as in GPT-2), relu2 (So et al. 2021) or swiglu (Shazeer 2020; two thirds of the width).
        bias: whether linear maps add one.
        tied: whether output weights are the token vectors (Press & Wolf 2017).
        zero_init: whether blocks begin as the identity, by last projections of zero (Zhang et al. 2019).
        dropout: share of states left out in training.
        attention_dropout: share of the weights of attention left out in training; drawing which ones makes a step on
            the CPU half as long again.
        vocab_size: number of tokens; null takes it, and the ids that follow, from the data.
        pad_token_id: of what fills a row.
        bos_token_id: of the beginning of a text.
        eos_token_id: of the end of a text, where generation stops.
        mask_token_id: of what stands for left-out text, and between a question and its answer; null for none.
        use_cache: whether generation keeps keys and values; a perceiver has none.
        questions_held_back: share of the questions that training has not seen, for what is finetuned later; null where
            it has seen none.
    """

    model_type = "lightning-nlp-transformer"
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "dim",
        "num_hidden_layers": "layers",
        "num_attention_heads": "heads",
        "max_position_embeddings": "context",
    }

    dim: int = 256
    layers: int = 4
    heads: int = 4
    hidden_dim: int | None = None
    context: int = 128
    attention: Literal["causal", "synthesizer", "perceiver"] = "causal"
    latents: int = 32
    positions: Literal["learned", "rope"] | None = None
    rope_base: float = 10_000.0
    norm: Literal["layer", "rms"] = "rms"
    qk_norm: bool = True
    activation: Literal["gelu", "relu2", "swiglu"] = "relu2"
    bias: bool = False
    tied: bool = True
    zero_init: bool = True
    dropout: float = 0.0
    attention_dropout: float = 0.0
    vocab_size: int | None = None
    pad_token_id: int | None = 0
    bos_token_id: int | None = 2
    eos_token_id: int | None = 3
    mask_token_id: int | None = None
    use_cache: bool = True
    questions_held_back: float | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        """Refuses numbers that no model can have."""
        super().__post_init__(**kwargs)
        self.tie_word_embeddings = self.tied
        self.positions = self.positions or ("rope" if self.attention == "causal" else "learned")
        choices = {
            "attention": ("causal", "synthesizer", "perceiver"),
            "positions": ("learned", "rope"),
            "norm": ("layer", "rms"),
            "activation": ("gelu", "relu2", "swiglu"),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(f"config.{name} is {getattr(self, name)!r}, expected one of {', '.join(known)}.")
        for name in ("dim", "layers", "heads", "context", "latents"):
            if getattr(self, name) < 1:
                raise ValueError(f"config.{name} is {getattr(self, name)}, expected 1 or more.")
        if self.dim % self.heads or (self.positions == "rope" and self.head_dim % 2):
            raise ValueError(
                f"config.dim is {self.dim} and config.heads {self.heads}: each head takes an equal share, with rope an "
                "even one. Choose a dim that divides so."
            )
        if self.positions == "rope" and self.attention != "causal":
            raise ValueError(f"config.positions is rope, but {self.attention} has none to rotate: expected learned.")
        for name in ("dropout", "attention_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"config.{name} is {getattr(self, name)}, expected a share in [0, 1).")
        if self.attention == "perceiver":
            self._check_perceiver()

    def _check_perceiver(self) -> None:
        if self.layers < 2:
            raise ValueError("config.layers is 1, but a perceiver needs a first and a last: expected 2 or more.")
        self.use_cache = False

    @property
    def head_dim(self) -> int:
        """Numbers of a head."""
        return self.dim // self.heads

    @property
    def feed_forward_dim(self) -> int:
        """Width of the feed-forward networks, a gate counted as half of it."""
        if self.hidden_dim:
            return self.hidden_dim
        return 4 * self.dim if self.activation != "swiglu" else (8 * self.dim // 3 + 15) // 16 * 16


def known(size: int | None) -> int:
    """Returns a size that the data or a checkpoint must have brought by now.

    Raises:
        ValueError: it has not.
    """
    if size is None:
        raise ValueError("config.vocab_size is not known yet. Fit with a data module, or give it.")
    return size
