"""Compilation where it can work: inductor needs a C++ compiler on the CPU."""

import shutil
import warnings
from functools import cache


@cache
def can_compile() -> bool:
    """Tells whether there is a C++ compiler; warns once where there is none, and the model runs as it is.

    Modules are to be compiled in place, by `module.compile()`: `torch.compile(module)` would put `_orig_mod.` before
    the names of the parameters, and no other program could read the checkpoint.
    """
    found = any(shutil.which(name) for name in ("c++", "g++", "clang++"))
    if not found:
        warnings.warn("compile is on, but there is no C++ compiler (g++ or clang++): running uncompiled.", stacklevel=2)
    return found
