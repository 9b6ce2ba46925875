"""Two processes on the CPU: one run folder, one tracker run, one preparation, every input answered once."""

import json
from pathlib import Path

import torch

from lightning_nlp.cli import main
from tests.wandb_file import offline_runs

SAMPLE = ["-c", "configs/word_vectors/sample.yaml"]
TWO = [*SAMPLE, "-c", "configs/trainer/ddp_cpu.yaml", "--trainer.enable_progress_bar=false"]


def test_two_processes_make_one_run(repository, run_python):
    cli = str(repository / "cli.py")
    run_python(cli, "fit", *TWO, "--trainer.max_epochs=2", "--trainer.num_sanity_val_steps=0")
    root = Path("runs/word_vectors/sample")
    (run,) = [path for path in root.iterdir() if not path.is_symlink()]
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["devices"] == 2
    (tracked,) = offline_runs(run)
    assert tracked.id == run.name
    assert len(tracked.values("val/loss")) == 2

    # The work of both ranks counts, and the loss is that of all the held-out text: the same as one process finds.
    corpus = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["vocabulary"]["counts"]
    work = metrics["throughput/train"] * metrics["seconds/fit"]
    assert abs(work - 2 * sum(corpus)) < 0.01 * work
    one = ["--trainer.devices=1", "--trainer.strategy=auto", "--trainer.logger=false"]
    alone = main(["validate", "-c", str(run / "config.yaml"), "--ckpt_path=best", *one])
    assert abs(float(alone.trainer.callback_metrics["val/loss"]) - metrics["val/loss"]) < 0.05

    words = ["the", "a", "of", "nowhere", "from", "to", "and"]
    Path("words.txt").write_text("\n".join(words) + "\n")
    arguments = ["--ckpt_path=best", "--data.predict_file=words.txt", "--model.neighbours=1"]
    run_python(cli, "predict", "-c", str(run / "config.yaml"), *arguments)
    rows = (run / "predictions/words.tsv").read_text().splitlines()
    assert [row.split("\t")[0] for row in rows] == words
