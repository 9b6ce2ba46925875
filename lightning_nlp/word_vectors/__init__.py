"""Word vectors: skip-gram with negative sampling."""

from typing import TYPE_CHECKING

from lightning_nlp.lazy import imported_on_use

if TYPE_CHECKING:
    from lightning_nlp.word_vectors.config import SkipGramConfig
    from lightning_nlp.word_vectors.data import SkipGramData
    from lightning_nlp.word_vectors.model import SkipGramModel
    from lightning_nlp.word_vectors.module import SkipGram

__all__ = ["SkipGram", "SkipGramConfig", "SkipGramData", "SkipGramModel"]

__getattr__ = imported_on_use(
    __name__, {"SkipGramConfig": "config", "SkipGramData": "data", "SkipGramModel": "model", "SkipGram": "module"}
)
