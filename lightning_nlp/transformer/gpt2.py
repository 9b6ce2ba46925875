"""GPT-2 in and out (Radford et al. 2019): the same weights under other names, some of them transposed."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from lightning_nlp.transformer.config import TransformerConfig
from lightning_nlp.transformer.model import TransformerModel

NAMES = {
    "wte": "vectors",
    "wpe": "position_vectors",
    "ln_f": "last_norm",
    "ln_1": "attention_norm",
    "ln_2": "feed_forward_norm",
    "attn.c_attn": "attention.project_in",
    "attn.c_proj": "attention.project_out",
    "mlp.c_fc": "feed_forward.project_in",
    "mlp.c_proj": "feed_forward.project_out",
}


def gpt2_config(**numbers: Any) -> TransformerConfig:
    """Returns the numbers of GPT-2 small, or others of the same architecture.

    Args:
        numbers: what differs, as of `TransformerConfig`.
    """
    small: dict[str, Any] = {"dim": 768, "layers": 12, "heads": 12, "context": 1024, "vocab_size": 50257}
    kind: dict[str, Any] = {
        **{"positions": "learned", "norm": "layer", "activation": "gelu", "bias": True, "qk_norm": False},
        **{"zero_init": False, "pad_token_id": 50256, "bos_token_id": 50256, "eos_token_id": 50256},
    }
    return TransformerConfig(**{**small, **kind, **numbers})


def from_gpt2(name: str | PathLike[str]) -> TransformerModel:
    """Opens a GPT-2 of transformers, from a folder or the Hub, with its tokenizer where it has one.

    Raises:
        ValueError: it is not quite a GPT-2, or its weights are not those that this model has.
    """
    theirs = GPT2LMHeadModel.from_pretrained(name)
    config = theirs.config
    asked = {
        **{"activation_function": "gelu_new", "scale_attn_by_inverse_layer_idx": False, "scale_attn_weights": True},
        **{"tie_word_embeddings": True, "layer_norm_epsilon": 1e-5},
    }
    other = {key: getattr(config, key) for key, value in asked.items() if getattr(config, key) != value}
    if other:
        raise ValueError(
            f"{name} is not quite a GPT-2: found {other}, expected { ({key: asked[key] for key in other}) }."
        )
    model = TransformerModel(
        gpt2_config(
            **{"dim": config.n_embd, "layers": config.n_layer, "heads": config.n_head, "hidden_dim": config.n_inner},
            **{"context": config.n_positions, "vocab_size": config.vocab_size, "bos_token_id": config.bos_token_id},
            **{"eos_token_id": config.eos_token_id, "pad_token_id": config.pad_token_id or config.eos_token_id},
        )
    )
    load_gpt2(model, theirs.state_dict())
    if Path(name, "tokenizer.json").exists() or not Path(name).is_dir():
        model.tokenizer = AutoTokenizer.from_pretrained(name)
    return model.eval()


def load_gpt2(model: TransformerModel, weights: Mapping[str, Tensor]) -> None:
    """Takes the weights of a GPT-2 of the same numbers.

    Args:
        model: of `gpt2_config`.
        weights: state dict of a `GPT2LMHeadModel`.

    Raises:
        ValueError: a weight too many, one missing, or one of another shape.
    """
    theirs = {own_name(name): weight for name, weight in weights.items() if _is_weight(name)}
    own = model.state_dict()
    if set(theirs) != set(own):
        raise ValueError(
            f"These are not the weights of such a GPT-2: {len(theirs)} of them, expected {len(own)}; "
            f"different are {', '.join(sorted(set(theirs) ^ set(own))[:5])}."
        )
    turned = {name: weight.T if is_transposed(name) else weight for name, weight in theirs.items()}
    for name, weight in turned.items():
        if weight.shape != own[name].shape:
            raise ValueError(f"{name} is of shape {tuple(weight.shape)}, expected {tuple(own[name].shape)}.")
    model.load_state_dict(turned)


def is_gpt2(config: TransformerConfig) -> bool:
    """Tells whether a model of these numbers is a GPT-2, of whatever size."""
    return kind_of(config) == kind_of(gpt2_config())


def kind_of(config: TransformerConfig) -> dict[str, Any]:
    """Returns what makes the architecture, sizes aside."""
    names = ("attention", "positions", "norm", "activation", "bias", "qk_norm", "tied")
    return {name: getattr(config, name) for name in names}


def to_gpt2(model: TransformerModel) -> GPT2LMHeadModel:
    """Returns the same model as one of transformers' own.

    Raises:
        ValueError: it is of another architecture than GPT-2.
    """
    config = model.config
    if not is_gpt2(config):
        raise ValueError(f"Only a model of GPT-2's kind is one: expected {kind_of(gpt2_config())}.")
    theirs = GPT2LMHeadModel(
        GPT2Config(
            **{"n_embd": config.dim, "n_layer": config.layers, "n_head": config.heads, "n_inner": config.hidden_dim},
            **{"n_positions": config.context, "vocab_size": config.vocab_size, "bos_token_id": config.bos_token_id},
            **{"eos_token_id": config.eos_token_id, "pad_token_id": config.pad_token_id},
        )
    )
    own = model.state_dict()
    names = [name for name in theirs.state_dict() if _is_weight(name)]
    turned = {name: own[own_name(name)].T if is_transposed(own_name(name)) else own[own_name(name)] for name in names}
    theirs.load_state_dict({**turned, "lm_head.weight": own["vectors.weight"]}, strict=True)
    return theirs.eval()


def own_name(name: str) -> str:
    """Returns what a weight of GPT-2 is called here."""
    path = name.removeprefix("transformer.").split(".")
    if path[0] == "h":
        return f"blocks.{path[1]}.{NAMES['.'.join(path[2:-1])]}.{path[-1]}"
    return f"{NAMES['.'.join(path[:-1])]}.{path[-1]}"


def is_transposed(name: str) -> bool:
    """Whether a weight, by its name here, is one of GPT-2's `Conv1D`, which hold the transpose."""
    return "project_" in name and name.endswith("weight")


def _is_weight(name: str) -> bool:
    """The output weights are those of the vectors; masks were stored by old versions."""
    return name != "lm_head.weight" and not name.endswith((".attn.bias", ".attn.masked_bias"))
