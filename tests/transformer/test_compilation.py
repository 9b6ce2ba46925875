"""Training runs compiled, and scoring, whose shapes change with every token, does not undo it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_nlp.training.compilation import can_compile

SCRIPT = """
import torch
from torch._dynamo.utils import counters
from lightning_nlp.cli import main

main(["fit", "-c", "configs/transformer/pretrain_sample.yaml", "--model.compile=true", "--model.config.dim=32",
      "--trainer.max_steps=4", "--trainer.val_check_interval=2", "--trainer.logger=false",
      "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"])
print("graphs", counters["stats"]["unique_graphs"], "recompiled", len(counters["recompile_limit"]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not can_compile(), reason="needs a C++ compiler")
def test_scoring_does_not_undo_compilation(repository):
    """One graph for all blocks and steps: their shapes are the same."""
    given = {**os.environ, "JAXTYPING_DISABLE": "1", "PYTHONPATH": str(repository), "LIGHTNING_NLP_CACHE": "cache"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=given)
    assert done.returncode == 0, done.stderr
    assert "recompile_limit" not in done.stderr
    assert "graphs 1 recompiled 0" in done.stdout
    assert Path("runs/transformer/pretrain_sample/latest/export").exists()
