"""What a training may begin with: an export folder, or a checkpoint."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedTokenizerFast

from lightning_nlp.data.tokenizers import tokenizer_from_json
from lightning_nlp.transformer.config import TransformerConfig
from lightning_nlp.transformer.model import TransformerModel


class Pretrained(NamedTuple):
    """A model's numbers, weights and tokenizer."""

    config: TransformerConfig
    weights: dict[str, Any]
    tokenizer: PreTrainedTokenizerFast


def read_pretrained(path: str) -> Pretrained:
    """Reads an export folder or a `.ckpt` file.

    Raises:
        ValueError: there is none.
    """
    place = Path(path)
    if place.is_dir():
        check_export(place)
        model = TransformerModel.from_pretrained(place)
        tokenizer = tokenizer_from_json((place / "tokenizer.json").read_text(encoding="utf-8"))
        return Pretrained(model.config, model.state_dict(), tokenizer)
    if not place.is_file():
        raise ValueError(
            f"model.pretrained: there is no {path}. Give the export folder or a checkpoint of a pretraining: "
            "runs/transformer/<config>/latest/export."
        )
    checkpoint = torch.load(place, weights_only=True, map_location="cpu", mmap=True)
    config = TransformerConfig(**checkpoint["hyper_parameters"]["config"])
    weights = {name.removeprefix("model."): weight for name, weight in checkpoint["state_dict"].items()}
    return Pretrained(config, weights, tokenizer_from_json(checkpoint["tokenizer"]))


def check_export(folder: Path) -> None:
    """Refuses a folder of another model: transformers would load nothing of it, and begin at random.

    Raises:
        ValueError: saying what is missing, or whose it is.
    """
    missing = [name for name in ("config.json", "tokenizer.json") if not (folder / name).exists()]
    if missing:
        raise ValueError(f"model.pretrained: {folder} has no {missing[0]}. Give the export folder of a pretraining.")
    kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    if kind != TransformerConfig.model_type:
        raise ValueError(
            f"model.pretrained: {folder} holds a model of type {kind}, expected {TransformerConfig.model_type}. Give "
            "the export folder itself; what lies in its gpt2/ is for transformers."
        )
