"""A transformer from scratch: pretrained on text, finetuned on questions."""

from typing import TYPE_CHECKING

from lightning_nlp.lazy import imported_on_use

if TYPE_CHECKING:
    from lightning_nlp.transformer.config import TransformerConfig
    from lightning_nlp.transformer.data import FinetuningData, PretrainingData
    from lightning_nlp.transformer.model import TransformerModel
    from lightning_nlp.transformer.module import Transformer

HOME = {
    "FinetuningData": "data",
    "PretrainingData": "data",
    "Transformer": "module",
    "TransformerConfig": "config",
    "TransformerModel": "model",
}

__all__ = ["FinetuningData", "PretrainingData", "Transformer", "TransformerConfig", "TransformerModel"]

__getattr__ = imported_on_use(__name__, HOME)
