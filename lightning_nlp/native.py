"""C++ that is compiled by the machine's own compiler when first needed, and kept; without one, torch does the work."""

import ctypes
import platform
import shutil
import subprocess
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lightning_nlp.data.preparation import cache_root, file_digest, prepare_once

POINTER, LONG, FLOAT = ctypes.c_void_p, ctypes.c_long, ctypes.c_float
LANES = 16  # numbers of a vector register: loops over numbers take as many at a time
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
    threads = _threads_of_torch(compiler)
    key = {"command": [compiler, *options, *threads], "sources": sources, "processor": _processor()}
    command = [compiler, *options, f"-I{HEADER.parent}", str(source), *threads]
    try:
        folder = prepare_once(cache_root() / "kernels", key, lambda folder: _compile(command, folder))
    except subprocess.CalledProcessError as error:
        _warn(purpose, f"{compiler} failed: {(error.stderr.strip() or 'no message').splitlines()[0]}")
        return None
    except OSError as error:  # a cache that cannot be written
        _warn(purpose, str(error))
        return None
    try:
        return ctypes.CDLL(str(folder / LIBRARY))
    except OSError as error:  # a cache that runs no programs, or another machine's libraries
        _warn(purpose, str(error))
        return None


def compiled_type(
    inputs: Tensor, load: Callable[[], ctypes.CDLL | None], name: str, sizes: Sequence[int]
) -> torch.dtype | None:
    """Returns the type of numbers that a compiled loop would use for these inputs; None where it cannot run.

    Args:
        inputs: what it would be given, float32 or bfloat16, or whatever autocast makes of them.
        load: the library, where there is one.
        name: of its functions, which begin with the name of the type.
        sizes: what it takes some `LANES` of at a time.
    """
    if inputs.device.type != "cpu" or any(size % LANES for size in sizes) or not inputs.numel():
        return None
    wanted = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else inputs.dtype
    if wanted not in (torch.float32, torch.bfloat16) or (library := load()) is None:
        return None
    return wanted if hasattr(library, typed(name, wanted)) else torch.float32  # bfloat16 is not in every processor


def typed(name: str, number_type: torch.dtype) -> str:
    """Returns the name of a function for a type of numbers, such as `float32_forward`."""
    return f"{str(number_type).removeprefix('torch.')}_{name}"


def call(
    library: ctypes.CDLL | None,
    name: str,
    tensors: Sequence[Tensor | None],
    sizes: Sequence[int],
    factors: Sequence[float] = (),
) -> None:
    """Runs a compiled function: contiguous tensors as pointers, sizes, factors, and last the number of threads."""
    function = getattr(library, name)
    function.argtypes = [*([POINTER] * len(tensors)), *([LONG] * len(sizes)), *([FLOAT] * len(factors)), LONG]
    function.restype = None
    pointers = (None if tensor is None else tensor.data_ptr() for tensor in tensors)
    function(*pointers, *sizes, *factors, torch.get_num_threads())


def _threads_of_torch(compiler: str) -> list[str]:
    """Returns options for the OpenMP library that torch brings and has loaded; nothing where that is another's.

    A second one would have threads of its own, and those of torch wait so eagerly for their next work that they leave
    no processor to others.
    """
    found = sorted(Path(torch.__file__).with_name("lib").glob("libgomp*.so*"))
    return ["-fopenmp", "-Wl,--as-needed", str(found[0])] if found and Path(compiler).name == "g++" else []


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
