"""A `PreTrainedModel` that knows its rows by name: a vocabulary goes with its weights wherever they go."""

import json
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from transformers import PreTrainedModel
from transformers.utils import cached_file

from lightning_nlp.loading import hub_options, load_whole

VOCABULARY_FILE = "vocabulary.json"


class Plain(Protocol):
    """What is rebuilt from its own plain values."""

    def plain(self) -> dict[str, Any]:
        """Returns its fields as plain values."""


Names = TypeVar("Names", bound=Plain)


class VocabularyModel(PreTrainedModel, Generic[Names]):
    """A model with a vocabulary, which the data, a checkpoint or a folder brings."""

    vocabulary_class: ClassVar[type]
    _vocabulary: Names | None = None

    @property
    def vocabulary(self) -> Names:
        """The names of its rows.

        Raises:
            ValueError: they are not known yet.
        """
        if self._vocabulary is None:
            raise ValueError(
                "This model knows no words yet. Fit it with the sizes of its config left to the data, or load it from "
                "a checkpoint or an export folder."
            )
        return self._vocabulary

    @vocabulary.setter
    def vocabulary(self, vocabulary: Names) -> None:
        self._vocabulary = vocabulary
        self.use_vocabulary(vocabulary)

    def use_vocabulary(self, vocabulary: Names) -> None:
        """Takes what the model needs of a new vocabulary; here nothing."""

    def save_pretrained(self, save_directory: str | PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Writes config, weights and vocabulary; the options are those of transformers."""
        super().save_pretrained(save_directory, *args, **kwargs)
        names = json.dumps(self.vocabulary.plain(), ensure_ascii=False)
        Path(save_directory, VOCABULARY_FILE).write_text(names, encoding="utf-8")

    @classmethod
    def from_pretrained(cls, name: str | PathLike[str], *args: Any, **kwargs: Any) -> Any:
        """Loads what `save_pretrained` wrote, from a folder or the Hub; the options are those of transformers."""
        model, info = load_whole(super().from_pretrained, name, *args, **kwargs)
        file = cached_file(name, VOCABULARY_FILE, **hub_options(kwargs))
        model.vocabulary = cls.vocabulary_class(**json.loads(Path(file).read_text(encoding="utf-8")))
        return (model, info) if info else model
