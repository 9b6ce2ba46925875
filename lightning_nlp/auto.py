"""Makes our models known to transformers' Auto classes, no sooner than somebody imports these.

`import lightning_nlp` shall be light, and transformers is not; so registration waits behind its import.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

CONFIGS = "transformers.models.auto.configuration_auto"
MODELS = "transformers.models.auto.modeling_auto"


def register_when_needed() -> None:
    """Registers what belongs to the Auto classes that are imported already, and the rest at the end of their import."""
    waiting = {CONFIGS: register_configs, MODELS: register_models}
    for name in [name for name in waiting if name in sys.modules]:
        waiting.pop(name)()
    if waiting:
        sys.meta_path.insert(0, _Registration(waiting))


def register_configs() -> None:
    """Registers every family's config."""
    from transformers import AutoConfig

    from lightning_nlp.parser.config import ParserConfig
    from lightning_nlp.seq2seq.config import Seq2SeqConfig
    from lightning_nlp.transformer.config import TransformerConfig
    from lightning_nlp.word_vectors.config import CooccurrenceConfig, SkipGramConfig

    for config in (SkipGramConfig, CooccurrenceConfig, ParserConfig, Seq2SeqConfig, TransformerConfig):
        AutoConfig.register(config.model_type, config)


def register_models() -> None:
    """Registers every family's model."""
    from transformers import AutoModel, AutoModelForCausalLM

    from lightning_nlp.parser.model import ParserModel
    from lightning_nlp.seq2seq.model import Seq2SeqModel
    from lightning_nlp.transformer.model import TransformerModel
    from lightning_nlp.word_vectors.model import CooccurrenceModel, SkipGramModel

    for model in (SkipGramModel, CooccurrenceModel, ParserModel, Seq2SeqModel, TransformerModel):
        AutoModel.register(model.config_class, model)
    AutoModelForCausalLM.register(TransformerModel.config_class, TransformerModel)


class _Registration(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the Auto classes as Python would, and registers once they are executed."""

    def __init__(self, waiting: dict[str, Callable[[], None]]) -> None:
        self.waiting = waiting
        self.loaders: dict[str, importlib.abc.Loader] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Takes the modules that are waited for, and leaves the finding itself to the finders that follow."""
        if name not in self.waiting or name in self.loaders:
            return None
        self.loaders[name] = importlib.abc.Loader()  # from here on somebody else is asked
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        self.loaders[name], spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.loaders[spec.name].create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loaders[module.__name__].exec_module(module)
        self.waiting.pop(module.__name__)()
