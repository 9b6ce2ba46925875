"""How C++ is compiled and loaded."""

import shutil
import sys

import pytest

LOADED = """
import torch
from lightning_nlp.lstm import load_lstm
library = load_lstm()
assert b"GOMP_parallel" in open(library._name, "rb").read()
torch.randn(500, 500) @ torch.randn(500, 500)
paths = {line.split()[-1] for line in open("/proc/self/maps") if "gomp" in line or "libomp" in line}
print(len(paths), *paths)
"""


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("g++") is None, reason="g++ links what torch has loaded")
def test_compiled_loops_and_torch_share_their_threads(run_python):
    """With two OpenMP libraries the waiting threads of one take the processor from those of the other."""
    found = run_python("-c", LOADED)
    assert found.split()[0] == "1", found
