"""Public names that are imported when they are first used (PEP 562)."""

from collections.abc import Callable
from importlib import import_module
from typing import Any


def imported_on_use(package: str, home: dict[str, str]) -> Callable[[str], Any]:
    """Returns a package's `__getattr__`, so that loading a model does not import what trains it.

    Args:
        package: its `__name__`.
        home: public name to the module of the package that defines it.
    """

    def __getattr__(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{home[name]}"), name)

    return __getattr__
