import platform

import pytest

# What a training step does: two tensors of 64 MB, of which one outlives the other; prints page faults of ten steps.
STEPS = """
import resource, sys, torch
from lightning_nlp.training import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def step():
    kept, freed = torch.ones(2**24), torch.ones(2**24)
    del freed
    return kept[0] + torch.ones(2**24)[0]
for _ in range(5):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators are left as they are")
def test_freed_memory_is_used_again(run_python):
    faults = {how: int(run_python("-c", STEPS, how)) for how in ("given back", "kept")}
    assert faults["given back"] > 10_000  # else the test tells nothing
    assert faults["kept"] < faults["given back"] / 10
