"""Fits that stop before their end: what is kept, what goes on, and what is taken back."""

import json

import pytest
import torch

from lightning_nlp.cli import NLPCLI, main
from tests import cli_runs
from tests.cli_runs import FIT, QUIET, ROOT, SAMPLE, fit_until_crash, same_weights
from tests.wandb_file import offline_runs

AUTOGRAD = ["--model.optimizer=torch.optim.Adagrad", "--model.optimizer.lr=0.1"]


@pytest.mark.parametrize(
    ("batches", "options"),
    [(30, []), (25, []), (7, []), (30, AUTOGRAD), (30, [*AUTOGRAD, "--model.scheduler=null"])],
    ids=["in an epoch", "between epochs", "in the first epoch", "automatic optimization", "no schedule"],
)
def test_crashed_run_goes_on_to_the_same_weights(monkeypatch, batches, options):
    """Last checkpoint after every batch; the crash loses the batch it falls in and nothing else."""
    monkeypatch.setattr("lightning_nlp.training.checkpoints.LastCheckpoint.__init__.__defaults__", (0.0,))
    monkeypatch.setattr(cli_runs, "FIT", [*FIT, *options])
    straight = main([*FIT, *options]).run
    crashed = fit_until_crash(batches)
    assert not (crashed / "metrics.json").exists()
    resumed = main([*FIT, *options, "--resume=auto"]).run
    assert resumed.resolve() == crashed
    assert same_weights(straight / "checkpoints/last.ckpt", resumed / "checkpoints/last.ckpt")
    assert (resumed / "metrics.json").exists()


def test_crash_between_epochs_loses_no_more_than_the_epoch_begun():
    straight = main(FIT).run
    fit_until_crash(40)
    resumed = main([*FIT, "--resume=auto"]).run
    assert same_weights(straight / "checkpoints/last.ckpt", resumed / "checkpoints/last.ckpt")


def test_resume_starts_a_run_where_none_is_unfinished():
    first = main([*FIT, "--resume=auto"]).run
    second = main([*FIT, "--resume=auto"]).run
    assert first != second


def test_scoring_a_stopped_run_does_not_finish_it():
    stopped = fit_until_crash(30)
    main(["test", *SAMPLE, *QUIET, "--ckpt_path=best"])
    assert main([*FIT, "--resume=auto"]).run.resolve() == stopped


def test_running_run_is_not_taken_over():
    from filelock import FileLock

    stopped = fit_until_crash(30)
    with FileLock(stopped / ".lock"):  # as a fit holds it
        assert main([*FIT, "--resume=auto"]).run.resolve() != stopped


def test_resumed_run_counts_on(monkeypatch):
    stopped = fit_until_crash(30)
    cli = main([*FIT, "--resume=auto"])
    metrics = json.loads((stopped / "metrics.json").read_text())
    words = 2 * sum(cli.model.model.vocabulary.counts)
    assert metrics["throughput/train"] * metrics["seconds/fit"] == pytest.approx(words, rel=0.01)


def test_resumed_run_keeps_its_architecture():
    fit_until_crash(30)
    with pytest.raises(ValueError, match=r"model\.config\.dim is 9, but the checkpoint was trained with 24"):
        main([*FIT, "--resume=auto", "--model.config.dim=9"])


@pytest.mark.parametrize(
    "options",
    [
        ["--data.pairs.mine=nowhere.tsv"],
        ["--model.optimizer=torch.optim.Adam"],
        ["--trainer.gradient_clip_val=1"],
        [
            "--model.scheduler=lightning_nlp.training.Linear",
            "--trainer.max_epochs=-1",
            "--trainer.max_time=00:00:00:09",
        ],
    ],
    ids=["missing pairs", "dense optimizer", "clipping", "schedule without end"],
)
def test_failed_fit_leaves_latest_alone(options):
    good = main([*FIT, "--trainer.max_epochs=1"]).run.resolve()
    with pytest.raises(ValueError, match=r"pairs\.mine|sparse|gradient_clip_val|max_epochs"):
        main([*FIT, *options])
    assert (ROOT / "latest").resolve() == good
    assert len(list(ROOT.iterdir())) == 2


@pytest.mark.slow
def test_terminated_fit_fails_and_goes_on_from_where_it_was(repository):
    import signal
    import subprocess
    import sys
    import time

    command = [sys.executable, str(repository / "cli.py"), *FIT, "--trainer.max_epochs=200"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not list(ROOT.glob("2*/checkpoints/last.ckpt")):
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert "--resume auto" in process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGTERM
    stopped = (ROOT / "latest").resolve()
    step = torch.load(stopped / "checkpoints/last.ckpt", weights_only=True)["global_step"]
    resumed = main([*FIT, "--resume=auto", f"--trainer.max_epochs={step // 25 + 2}"])
    assert resumed.run.resolve() == stopped


def test_resumed_run_takes_the_new_learning_rate(monkeypatch):
    fit_until_crash(30)
    built = {}
    monkeypatch.setattr(NLPCLI, "before_fit", lambda cli: built.update(optimizer=cli.model.optimizer), raising=False)
    main([*FIT, "--resume=auto", "--model.optimizer.lr=0.04"])
    tables = [torch.nn.Parameter(torch.ones(1, 1)) for _ in range(2)]
    assert built["optimizer"](tables).defaults["lr"] == 0.04


def test_tracker_run_is_continued(monkeypatch):
    """A crashed and resumed fit is one run of the tracker, and its steps go on."""
    tracked = ["fit", *SAMPLE, *QUIET[1:], "--trainer.log_every_n_steps=5"]
    monkeypatch.setattr(cli_runs, "FIT", tracked)
    crashed = fit_until_crash(30)
    main([*tracked, "--resume=auto"])
    before, after = offline_runs(crashed)
    assert before.id == after.id == crashed.name
    assert after.values("trainer/global_step")[0] >= 24  # from the checkpoint at the end of the first epoch
    assert after.values("trainer/global_step")[-1] == 49
