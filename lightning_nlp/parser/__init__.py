"""Dependency parsing: transition-based on a feed-forward network or a BiLSTM, and biaffine."""

from typing import TYPE_CHECKING

from lightning_nlp.lazy import imported_on_use

if TYPE_CHECKING:
    from lightning_nlp.parser.config import ParserConfig
    from lightning_nlp.parser.data import ParserData
    from lightning_nlp.parser.model import ParserModel
    from lightning_nlp.parser.module import DependencyParser

HOME = {
    "DependencyParser": "module",
    "ParserConfig": "config",
    "ParserData": "data",
    "ParserModel": "model",
}

__all__ = ["DependencyParser", "ParserConfig", "ParserData", "ParserModel"]

__getattr__ = imported_on_use(__name__, HOME)
