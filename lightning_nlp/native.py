"""C++ that is compiled by the machine's own compiler when first needed, and kept; without one, torch does the work."""

import ctypes
import platform
import shutil
import subprocess
import warnings
from collections.abc import Mapping
from pathlib import Path

from lightning_nlp.data.preparation import cache_root, file_digest, prepare_once

LIBRARY, HEADER = "kernel.so", Path(__file__).with_name("native.h")
WIDE = ["-mprefer-vector-width=512"] if platform.machine().lower() in ("x86_64", "amd64") else []
FLAGS = ["-O3", "-march=native", *WIDE, "-fno-math-errno", "-std=gnu++17", "-pthread", "-shared", "-fPIC"]


def load_library(source: Path, numbers: Mapping[str, int], purpose: str) -> ctypes.CDLL | None:
    """Returns a compiled source file as a library; None, with a warning, where it cannot be compiled.

    Args:
        source: C++ with functions declared `extern "C"`; it may include `native.h`.
        numbers: names to values, known to the compiler (`-DNAME=VALUE`).
        purpose: what runs slower without it, for the warning.
    """
    compiler = next(filter(None, map(shutil.which, ("g++", "clang++", "c++"))), None)
    if compiler is None:
        _warn(purpose, "there is no C++ compiler (g++ or clang++)")
        return None
    options = [*FLAGS, *(f"-D{name}={value}" for name, value in numbers.items())]
    sources = [file_digest(file) for file in (source, HEADER)]
    key = {"command": [compiler, *options], "sources": sources, "processor": _processor()}
    command = [compiler, *options, f"-I{HEADER.parent}", str(source)]
    try:
        folder = prepare_once(cache_root() / "kernels", key, lambda folder: _compile(command, folder))
    except subprocess.CalledProcessError as error:
        _warn(purpose, f"{compiler} failed: {(error.stderr.strip() or 'no message').splitlines()[0]}")
        return None
    try:
        return ctypes.CDLL(str(folder / LIBRARY))
    except OSError as error:  # a cache that runs no programs, or another machine's libraries
        _warn(purpose, str(error))
        return None


def _compile(command: list[str], folder: Path) -> None:
    subprocess.run([*command, "-o", str(folder / LIBRARY)], check=True, capture_output=True, text=True)


def _processor() -> str:
    """Names what `-march=native` means here: homes are shared by machines of a cluster, and so is the cache."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    return f"{platform.machine()} {features}"


def _warn(purpose: str, reason: str) -> None:
    warnings.warn(f"{purpose}, because {reason}: running in torch, which is several times slower.", stacklevel=4)
