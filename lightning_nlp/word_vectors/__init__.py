"""Word vectors: skip-gram, and co-occurrence counts with a singular value decomposition."""

from typing import TYPE_CHECKING

from lightning_nlp.lazy import imported_on_use

if TYPE_CHECKING:
    from lightning_nlp.word_vectors.config import CooccurrenceConfig, SkipGramConfig
    from lightning_nlp.word_vectors.cooccurrence import CooccurrenceVectors
    from lightning_nlp.word_vectors.data import SkipGramData
    from lightning_nlp.word_vectors.model import CooccurrenceModel, SkipGramModel
    from lightning_nlp.word_vectors.module import SkipGram
    from lightning_nlp.word_vectors.optimizer import BlockSGD
    from lightning_nlp.word_vectors.vectors import WordVectors

HOME = {
    "BlockSGD": "optimizer",
    "CooccurrenceConfig": "config",
    "CooccurrenceModel": "model",
    "CooccurrenceVectors": "cooccurrence",
    "SkipGram": "module",
    "SkipGramConfig": "config",
    "SkipGramData": "data",
    "SkipGramModel": "model",
    "WordVectors": "vectors",
}

__all__ = [
    "BlockSGD",
    "CooccurrenceConfig",
    "CooccurrenceModel",
    "CooccurrenceVectors",
    "SkipGram",
    "SkipGramConfig",
    "SkipGramData",
    "SkipGramModel",
    "WordVectors",
]

__getattr__ = imported_on_use(__name__, HOME)
