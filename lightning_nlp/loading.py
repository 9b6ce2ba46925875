"""Model folders as transformers loads them, but whole: a weight that is missing or left over is an error."""

from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any

HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")


def load_whole(
    load: Callable[..., Any], name: str | PathLike[str], *args: Any, **options: Any
) -> tuple[Any, dict[str, Any] | None]:
    """Returns a model, and how its loading went where that was asked for.

    Args:
        load: `from_pretrained` of transformers.
        name: folder, or name on the Hub.
        args: for `load`.
        options: likewise; `output_loading_info` among them.

    Raises:
        ValueError: the files do not hold all weights of the model, or others too.
    """
    wants_info = options.pop("output_loading_info", False)
    model, info = load(name, *args, output_loading_info=True, **options)
    for keys, fault in (("missing_keys", "has no weights for"), ("unexpected_keys", "has weights that do not belong:")):
        if names := sorted(info[keys]):
            raise ValueError(
                f"{name} {fault} {', '.join(names[:3])}{', …' if len(names) > 3 else ''}. It was written by another "
                "version, or for another model: export it again, or load it with the version that wrote it."
            )
    return model, info if wants_info else None


def hub_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those options of `from_pretrained` that say where files are."""
    return {option: options[option] for option in HUB_OPTIONS if option in options}
