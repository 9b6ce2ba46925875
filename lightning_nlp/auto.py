"""Makes our models known to transformers' Auto classes, no sooner than somebody imports these.

`import lightning_nlp` shall be light, and transformers is not; so registration waits behind its import.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

AUTO_CLASSES = "transformers.models.auto.modeling_auto"


def register_when_needed() -> None:
    """Registers now if the Auto classes are imported already, else at the end of their import."""
    if AUTO_CLASSES in sys.modules:
        register()
    else:
        sys.meta_path.insert(0, _Registration())


def register() -> None:
    """Registers every family's config and model."""
    from transformers import AutoConfig, AutoModel

    from lightning_nlp.word_vectors.config import SkipGramConfig
    from lightning_nlp.word_vectors.model import SkipGramModel

    AutoConfig.register(SkipGramConfig.model_type, SkipGramConfig)
    AutoModel.register(SkipGramConfig, SkipGramModel)


class _Registration(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the Auto classes as Python would, and registers once they are executed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != AUTO_CLASSES:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        self.inner, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.inner.exec_module(module)
        register()
