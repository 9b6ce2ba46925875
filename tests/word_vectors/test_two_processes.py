"""Word vectors from two processes: the counts of both, and tables that are brought together."""

import json
from pathlib import Path

import pytest
import torch

from lightning_nlp.cli import main

TWO = ["-c", "configs/trainer/ddp_cpu.yaml", "--trainer.logger=false", "--trainer.enable_progress_bar=false"]
ONE = ["--trainer.logger=false", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]


def exported(config: str) -> torch.Tensor:
    run = Path("runs/word_vectors", config, "latest")
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]["model.centre.weight"]


@pytest.mark.slow
def test_counts_are_those_of_one_process(repository, run_python):
    """Sums are exact, so that it does not matter who counted what: the vectors are the same to the last bit."""
    config = ["-c", "configs/word_vectors/svd_sample.yaml", "--data.batch_tokens=4096"]
    run_python(str(repository / "cli.py"), "fit", *config, *TWO)
    together = exported("svd_sample")
    main(["fit", *config, *ONE])
    torch.testing.assert_close(together, exported("svd_sample"), rtol=0, atol=0)


@pytest.mark.slow
def test_tables_brought_together_learn(repository, run_python):
    config = ["-c", "configs/word_vectors/sample.yaml", "--trainer.max_epochs=20"]
    run_python(str(repository / "cli.py"), "fit", *config, "--model.merge_words=4096", *TWO)
    found = json.loads(Path("runs/word_vectors/sample/latest/metrics.json").read_text())
    assert found["devices"] == 2
    assert found["val/pairs"] > 0.6
