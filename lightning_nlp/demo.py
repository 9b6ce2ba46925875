"""`make demo`: trains every family on the sample world and prints what each reached beside a simple method."""

import contextlib
import io
import logging
import os
import time
from dataclasses import dataclass

from lightning_nlp.cli import main
from lightning_nlp.data.sample_baselines import baseline
from lightning_nlp.report.tables import format_table
from lightning_nlp.training.measure import read_metrics
from lightning_nlp.training.run_folder import METRICS


@dataclass(frozen=True)
class Family:
    """One family of the demo: its config, the score to show, the view of the sample world that it learns from, and the
    config of a training that comes before it."""

    name: str
    config: str
    score: str
    view: str
    before: str = ""


FAMILIES = [
    Family("skip-gram", "configs/word_vectors/sample.yaml", "test/pairs", "word_pairs"),
    Family("counts + SVD", "configs/word_vectors/svd_sample.yaml", "test/pairs", "word_pairs"),
    Family("parser", "configs/parser/sample.yaml", "test/uas", "trees"),
    Family("translator", "configs/seq2seq/sample.yaml", "test/bleu", "translations"),
    Family(
        "transformer",
        "configs/transformer/finetune_sample.yaml",
        "test/accuracy",
        "questions",
        before="configs/transformer/pretrain_sample.yaml",
    ),
]


def train(family: Family) -> list[str | float]:
    """Fits and tests one family; returns its line of the table."""
    began = time.perf_counter()
    if family.before:
        main(["fit", "-c", family.before])
    run = main(["fit", "-c", family.config]).run
    with contextlib.redirect_stdout(io.StringIO()):  # the table below says it all
        main(["test", "-c", str(run / "config.yaml"), "--ckpt_path", "best", "--trainer.logger", "false"])
    seconds = time.perf_counter() - began
    simple, simple_score = baseline(family.view)
    score = read_metrics(run / METRICS)[family.score]
    return [family.name, family.score, score, f"{simple_score:.3f} {simple}", round(seconds, 1), str(run)]


def run() -> None:
    """Trains all and prints the table."""
    os.environ.setdefault("WANDB_SILENT", "true")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    rows = [train(family) for family in FAMILIES]
    print("\n" + format_table(["family", "score", "reached", "baseline", "seconds", "run folder"], rows))


if __name__ == "__main__":
    run()
