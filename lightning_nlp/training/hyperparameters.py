"""Hyperparameters in plain values, so that a checkpoint loads with `weights_only=True`."""

from collections.abc import MutableMapping
from dataclasses import asdict, fields, is_dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

PLAIN = (str, int, float, bool, type(None))
# Lightning's own: builds a module from plain values by its type annotations, as the command line does.
INSTANTIATOR = "pytorch_lightning.cli.instantiate_module"


def make_plain(hparams: MutableMapping[str, Any]) -> None:
    """Turns what `save_hyperparameters` collected into plain values, in place.

    A model config or a dataclass becomes the mapping of its numbers. What has no plain form, as an optimizer given as a
    Python callable, is left out: the class's default takes its place on loading, and resuming never asks for it. Under
    the command line everything is plain already.
    """
    for name, value in list(hparams.items()):
        if hasattr(value, "to_dict"):
            hparams[name] = own_fields(value)
        elif is_dataclass(value) and not isinstance(value, type):
            hparams[name] = asdict(value)
        elif not is_plain(value):
            del hparams[name]
    hparams["_instantiator"] = INSTANTIATOR


def is_plain(value: object) -> bool:
    """Tells whether a value consists of text, numbers, lists and mappings alone."""
    if isinstance(value, dict):
        return all(is_plain(item) for item in (*value, *value.values()))
    if isinstance(value, list | tuple):
        return all(is_plain(item) for item in value)
    return isinstance(value, PLAIN)


def own_fields(config: "PreTrainedConfig") -> dict[str, Any]:
    """Returns the numbers that a model family added to the common base of all configs."""
    return {name: getattr(config, name) for name in own_names(type(config))}


def own_names(config_class: "type[PreTrainedConfig]") -> list[str]:
    """Lists the fields that a config class adds to transformers' base."""
    from transformers import PreTrainedConfig  # heavy, and loaded already where there is a config

    common = {field.name for field in fields(PreTrainedConfig)}
    return [field.name for field in fields(config_class) if field.name not in common]
