"""Memory that a step frees and the next one takes again."""

import platform

import pytest

# malloc is told first to keep its first thresholds, 128 KB: how far it raises them by itself is a matter of chance.
STEPS = """
import ctypes, resource, torch
from lightning_nlp.training.memory import M_TRIM_THRESHOLD, keep_freed_memory
ctypes.CDLL(None).mallopt(M_TRIM_THRESHOLD, 2**17)
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
def test_freed_memory_serves_the_next_step(run_python):
    kept, given_back = (int(run_python("-c", STEPS.format(call))) for call in ("keep_freed_memory()", ""))
    assert kept < 100 < given_back  # pages that came from the kernel in ten steps
