"""Memory that a step frees and the next one takes again."""

import platform
import subprocess
import sys

import pytest

STEPS = """
import resource, torch
from lightning_nlp.training.memory import keep_freed_memory
{}
def step():
    tensors = [torch.zeros(2**21) for _ in range(12)]  # 8 MB each, all freed together
for number in range(20):
    if number == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc's malloc that gives memory back")
def test_freed_memory_serves_the_next_step():
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", STEPS.format(call)], capture_output=True, check=True).stdout)
        for call in ("keep_freed_memory()", "")
    )
    assert kept < 100 < given_back  # pages that came from the kernel in ten steps
