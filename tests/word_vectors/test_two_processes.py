"""Word vectors from two processes: the counts of both, and tables that are brought together."""

import json
from pathlib import Path

import pytest
import torch

from lightning_nlp.cli import main
from lightning_nlp.word_vectors import CooccurrenceVectors

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


CHECKED = """
import sys
import torch
from lightning_nlp.cli import main
from lightning_nlp.word_vectors import SkipGram

def same_everywhere(self):
    for table in self.model.parameters():
        first = table.detach().clone()
        torch.distributed.broadcast(first, 0)
        assert torch.equal(first, table.detach()), "the tables of the processes differ"

SkipGram.on_train_end = same_everywhere
main(sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.parametrize("merge_words", [4096, 100_000_000])
def test_tables_brought_together_learn(merge_words, run_python, tmp_path):
    """Every so many words, or at the ends of epochs alone: all processes end with the same tables, and good ones."""
    script = tmp_path / "fit.py"
    script.write_text(CHECKED)
    config = ["-c", "configs/word_vectors/sample.yaml", "--trainer.max_epochs=20"]
    run_python(str(script), "fit", *config, f"--model.merge_words={merge_words}", *TWO)
    found = json.loads(Path("runs/word_vectors/sample/latest/metrics.json").read_text())
    assert found["devices"] == 2
    assert found["val/pairs"] > 0.6


def test_counts_of_an_epoch_cut_short_are_refused(monkeypatch):
    counted = CooccurrenceVectors.training_step

    def stop_after(self, batch, batch_idx):
        self.trainer.should_stop = True
        return counted(self, batch, batch_idx)

    monkeypatch.setattr(CooccurrenceVectors, "training_step", stop_after)
    with pytest.raises(ValueError, match="Counts need all of the text"):
        main(["fit", "-c", "configs/word_vectors/svd_sample.yaml", "--data.batch_tokens=4096", *ONE])
