"""The command line from outside: run folders, checkpoints, resuming, predicting, errors."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback

from lightning_nlp.cli import NLPCLI, main
from lightning_nlp.word_vectors import SkipGram, SkipGramConfig, SkipGramData

SAMPLE = ["-c", "configs/word_vectors/sample.yaml"]
QUIET = [
    "--trainer.logger=false",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.max_epochs=2",
]
FIT = ["fit", *SAMPLE, *QUIET]
ROOT = Path("runs/word_vectors/sample")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A finished run on local text, as it lies on disk."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("LIGHTNING_NLP_CACHE", str(folder / "cache"))
        Path("train.txt").write_text("the cat sat on the mat\na dog sat on a log\n" * 200)
        files = ["--data.path=text", "--data.data_files.train=train.txt", "--data.validation_fraction=0.1"]
        cli = main([*FIT, *files])
    return folder / cli.run


@pytest.fixture
def run(trained, tmp_path) -> Path:
    """A copy of the finished run, moved to another folder, its data and preparation far away."""
    return Path(shutil.copytree(trained, tmp_path / "moved" / trained.name, symlinks=True))


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return torch.load(checkpoint, weights_only=True)["state_dict"]


def same_weights(left: Path, right: Path) -> bool:
    ours, theirs = weights(left), weights(right)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


class Crash(Callback):
    """Stops the power after some training batches."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def on_train_batch_start(self, *_):
        self.left -= 1
        if self.left < 0:
            raise OSError("power failure")


def fit_until_crash(batches: int) -> Path:
    """Fits and loses power after some batches; returns the run folder."""
    from lightning_nlp import training

    callbacks = training.callbacks
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "callbacks", lambda *given: [*callbacks(*given), Crash(batches)])
        with pytest.raises(OSError, match="power failure"):
            main(FIT)
    return (ROOT / "latest").resolve()


# -- run folders ----------------------------------------------------------------------------------------------------


def test_run_folder_holds_what_design_says(trained):
    assert {"config.yaml", "metrics.json", "checkpoints", "export", "figures", "tables"} <= {
        path.name for path in trained.iterdir()
    }
    metrics = json.loads((trained / "metrics.json").read_text())
    expected = {"setup", "fit", "validation", "total"}
    assert {f"seconds/{part}" for part in expected} | {
        "val/loss",
        "throughput/train",
        "throughput/unit",
        "parameters",
        "devices",
        "peak_memory_mb",
        "version",
    } <= metrics.keys()
    assert metrics["throughput/unit"] == "words/s"
    assert 0 < metrics["seconds/fit"] < metrics["seconds/total"]
    assert (trained.parent / "latest").resolve() == trained.resolve()
    assert not any(trained.rglob("*.tmp"))


def test_two_fits_in_one_folder_keep_apart():
    first, second = main(FIT).run, main(FIT).run
    assert first != second
    assert (ROOT / "latest").resolve() == second.resolve()
    assert (first / "config.yaml").exists()
    assert (second / "config.yaml").exists()
    assert [path.name for path in Path().iterdir()] == ["runs"]  # nothing in the folder one stands in


def test_saved_config_repeats_the_run():
    first = main(FIT).run
    saved = yaml.safe_load((first / "config.yaml").read_text())
    assert not {"ckpt_path", "resume", "config", "weights_only"} & saved.keys()
    assert str(first) not in (first / "config.yaml").read_text()
    second = main(["fit", "-c", str(first / "config.yaml")]).run
    assert same_weights(first / "checkpoints/last.ckpt", second / "checkpoints/last.ckpt")
    assert yaml.safe_load((second / "config.yaml").read_text()) == saved


def test_only_fit_makes_a_run_folder(run):
    main(["test", "-c", str(run / "config.yaml"), "--ckpt_path=best", "--data.path=sample", "--data.data_files=null"])
    assert not Path("runs").exists()


def test_without_validation_best_is_last():
    cli = main([*FIT, "--trainer.limit_val_batches=0"])
    best, last = cli.run / "checkpoints/best.ckpt", cli.run / "checkpoints/last.ckpt"
    assert best.samefile(last)


def test_metrics_and_export_are_those_of_the_best_checkpoint(trained):
    from transformers import AutoModel

    best = torch.load(trained / "checkpoints/best.ckpt", weights_only=True)
    metrics = json.loads((trained / "metrics.json").read_text())
    assert best["metrics"]["val/loss"] == metrics["val/loss"]
    exported = AutoModel.from_pretrained(trained / "export").centre.weight
    torch.testing.assert_close(exported, best["state_dict"]["model.centre.weight"])


def test_model_card_names_data_scores_and_command(trained):
    card = (trained / "export/README.md").read_text()
    assert "train.txt" in card
    assert "val/loss" in card
    assert "python cli.py fit -c configs/word_vectors/sample.yaml" in card


# -- a checkpoint stands alone --------------------------------------------------------------------------------------


def test_test_and_predict_need_the_checkpoint_alone(run):
    """From another folder, after the run was moved and the training text and its preparation were deleted."""
    before = json.loads((run / "metrics.json").read_text())
    Path("held_out.txt").write_text("the dog sat on the mat\n" * 50)
    files = "--data.data_files={test: held_out.txt, test_other: held_out.txt}"
    main(["test", "-c", str(run / "config.yaml"), "--ckpt_path=best", files])
    after = json.loads((run / "metrics.json").read_text())
    assert before.items() <= after.items()
    assert after["test/loss"] == after["test_other/loss"] > 0

    Path("words.list.txt").write_text("cat\nunheard\ndog\n")
    main(["predict", "-c", str(run / "config.yaml"), "--ckpt_path=last", "--data.predict_file=words.list.txt"])
    rows = (run / "predictions/words.list.tsv").read_text().splitlines()
    assert [row.split("\t")[0] for row in rows] == ["cat"] * 7 + ["unheard"] + ["dog"] * 7
    assert [path.name for path in (run / "predictions").iterdir()] == ["words.list.tsv"]


@pytest.mark.slow
def test_predict_in_a_process_of_its_own_reads_standard_input(run, repository, run_python):
    command = [str(repository / "cli.py"), "predict", "-c", str(run / "config.yaml"), "--ckpt_path", "best"]
    printed = run_python(*command, "--data.predict_file", "-", input="cat\nunheard\n")
    assert printed.splitlines()[0].startswith("cat\t")
    assert printed.splitlines()[-1] == "unheard\t\t"


def test_checkpoints_hold_plain_values(trained):
    for name in ("best", "last"):
        checkpoint = torch.load(trained / f"checkpoints/{name}.ckpt", weights_only=True)
        assert checkpoint["hyper_parameters"]["config"]["vocab_size"] == 8
    model = SkipGram.load_from_checkpoint(trained / "checkpoints/best.ckpt", weights_only=True)
    assert model.model.vocabulary.words[:2] == ["the", "on"]


def test_model_built_in_python_saves_plain_values_too(tmp_path):
    """Five lines of Python, with an optimizer that has no plain form."""
    from lightning_nlp.training import callbacks, new_run

    run = new_run(tmp_path)
    module = SkipGram(SkipGramConfig(dim=6), optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1))
    trainer = Trainer(max_epochs=1, logger=False, enable_progress_bar=False, callbacks=callbacks(module, run))
    trainer.fit(module, SkipGramData(min_count=1))
    loaded = SkipGram.load_from_checkpoint(run / "checkpoints/best.ckpt", weights_only=True)
    assert loaded.config.dim == 6
    assert (run / "export/vectors.bin").exists()
    assert json.loads((run / "metrics.json").read_text())["parameters"] > 0


# -- words for checkpoints ------------------------------------------------------------------------------------------


def test_words_without_a_run_name_latest():
    first = main([*FIT, "--trainer.max_epochs=1"]).run
    second = main([*FIT, "--trainer.max_epochs=1"]).run
    main(["test", *SAMPLE, *QUIET, "--ckpt_path=best"])
    assert "test/loss" not in (first / "metrics.json").read_text()
    assert "test/loss" in (second / "metrics.json").read_text()
    main(["test", "-c", str(first / "config.yaml"), "--ckpt_path=last"])
    main(["test", *SAMPLE, *QUIET, f"--ckpt_path={first}/checkpoints/best.ckpt"])
    assert "test/loss" in (first / "metrics.json").read_text()


def test_scores_of_another_checkpoint_do_not_pass_for_those_of_the_export(run):
    best, last = run / "checkpoints/best.ckpt", run / "checkpoints/last.ckpt"
    best.unlink()
    shutil.copy(last, best)  # two files now, as after a training whose last epoch was not its best
    files = ["--data.path=sample", "--data.data_files=null"]
    main(["test", "-c", str(run / "config.yaml"), "--ckpt_path=last", *files])
    assert "test/loss" not in (run / "metrics.json").read_text()


def test_commands_that_need_weights_ask_for_them():
    for command in ("validate", "test", "predict"):
        with pytest.raises(ValueError, match=f"{command} needs trained weights"):
            main([command, *SAMPLE, *QUIET])


def test_missing_checkpoint_is_told_in_one_line():
    with pytest.raises(ValueError, match="Run fit first"):
        main(["test", *SAMPLE, *QUIET, "--ckpt_path=best"])
    with pytest.raises(ValueError, match=r"nowhere\.ckpt: no such file"):
        main(["predict", *SAMPLE, *QUIET, "--ckpt_path=nowhere.ckpt"])
    assert not Path("runs").exists()


def test_checkpoint_supplies_the_model_and_the_command_line_its_settings(run):
    predict = ["predict", "-c", str(run / "config.yaml"), "--ckpt_path=best", "--data.predict_file=words"]
    Path("words").write_text("cat\n")
    cli = main([*predict, "--model.neighbours=2"])
    assert cli.model.neighbours == 2
    assert cli.model.config.vocab_size == 8
    assert len((run / "predictions/words.tsv").read_text().splitlines()) == 2
    with pytest.raises(ValueError, match=r"model\.config\.dim is 9, but the checkpoint was trained with 24"):
        main([*predict, "--model.config.dim=9"])
    with pytest.raises(ValueError, match=r"model\.config\.dim is 9"):
        main([*predict, "--model.init_args.config.init_args.dim", "9"])


# -- resuming -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batches", [30, 25, 7], ids=["in an epoch", "between epochs", "in the first epoch"])
def test_crashed_run_goes_on_to_the_same_weights(monkeypatch, batches):
    """Last checkpoint after every batch; the crash loses the batch it falls in and nothing else."""
    monkeypatch.setattr("lightning_nlp.training.checkpoints.LastCheckpoint.__init__.__defaults__", (0.0,))
    straight = main(FIT).run
    crashed = fit_until_crash(batches)
    assert not (crashed / "metrics.json").exists()
    resumed = main([*FIT, "--resume=auto"]).run
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
    main(["test", *SAMPLE, *QUIET, "--ckpt_path=last"])
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
    with pytest.raises(ValueError, match=r"pairs\.mine|sparse|max_epochs"):
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
    main([*FIT, "--resume=auto", "--model.optimizer.lr=0.05"])
    assert built["optimizer"]([torch.nn.Parameter(torch.ones(1))]).defaults["lr"] == 0.05


def test_tracker_run_is_continued(monkeypatch):
    """A crashed and resumed fit is one run of the tracker, and its steps go on."""
    from tests.wandb_file import offline_runs

    monkeypatch.setattr("tests.test_cli.FIT", ["fit", *SAMPLE, *QUIET[1:], "--trainer.log_every_n_steps=5"])
    crashed = fit_until_crash(30)
    main([*FIT, "--resume=auto"])
    before, after = offline_runs(crashed)
    assert before.id == after.id == crashed.name
    assert after.values("trainer/global_step")[0] >= 24  # from the checkpoint at the end of the first epoch
    assert after.values("trainer/global_step")[-1] == 49


# -- settings -------------------------------------------------------------------------------------------------------


def test_seed_is_set_without_being_asked_for():
    config = yaml.safe_load(Path(__file__).parents[1].joinpath("configs/word_vectors/sample.yaml").read_text())
    del config["seed_everything"]
    Path("unseeded.yaml").write_text(yaml.safe_dump(config))
    cli = main(["fit", "-c", "unseeded.yaml", *QUIET, "--trainer.max_epochs=1"])
    assert yaml.safe_load((cli.run / "config.yaml").read_text())["seed_everything"] == 42


def test_later_configs_add_callbacks():
    for name, key in (("one", "callbacks"), ("two", "callbacks+")):
        entry = [{"class_path": "ModelSummary"}] if name == "one" else {"class_path": "LambdaCallback"}
        Path(f"{name}.yaml").write_text(yaml.safe_dump({"trainer": {key: entry}}))
    cli = main(["fit", *SAMPLE, "-c", "one.yaml", "-c", "two.yaml", *QUIET, "--trainer.fast_dev_run=true"])
    names = [type(callback).__name__ for callback in cli.trainer.callbacks]
    assert {"ModelSummary", "LambdaCallback"} <= set(names)


def test_schedule_of_the_command_line_steps_by_the_batch():
    schedule = ["--model.scheduler=lightning_nlp.training.Linear", "--model.scheduler.final=0.5"]
    cli = main([*FIT, *schedule])
    assert cli.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.05, rel=1e-3)
    saved = yaml.safe_load((cli.run / "config.yaml").read_text())["model"]["init_args"]["scheduler"]
    assert saved == {"class_path": "lightning_nlp.training.Linear", "init_args": {"warmup": 0.0, "final": 0.5}}


OPTIMIZERS = {
    "SGD": ["--model.optimizer.lr=0.1"],
    "Adagrad": ["--model.optimizer.lr=0.1"],
    "SparseAdam": ["--model.optimizer.lr=0.01"],
    "RMSprop": ["--model.optimizer.lr=0.01", "--model.config.sparse=false"],
    "AdamW": ["--model.optimizer.lr=0.01", "--model.config.sparse=false"],
    "Muon": ["--model.optimizer.lr=0.01", "--model.config.sparse=false"],
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_by_name(name):
    cli = main([*FIT, f"--model.optimizer=torch.optim.{name}", *OPTIMIZERS[name], "--trainer.max_steps=5"])
    assert type(cli.trainer.optimizers[0]).__name__ == name
    assert cli.trainer.global_step == 5


def test_tokenizers_do_not_fork_threads_unless_asked(monkeypatch):
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    main([*FIT, "--trainer.fast_dev_run=true"])
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    main([*FIT, "--trainer.fast_dev_run=true"])
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"


def test_misspelt_option_is_refused_in_a_few_lines(capsys):
    with pytest.raises(SystemExit) as stop:
        main([*FIT, "--model.config.dimm=9"])
    assert stop.value.code == 2
    errors = capsys.readouterr().err
    assert errors.splitlines()[0] == "error: model.config: Option 'dimm' is not accepted"
    assert len(errors.splitlines()) == 2


def test_debug_overlay_trains_on_one_batch_and_nothing_else():
    cli = main(["fit", *SAMPLE, "-c", "configs/trainer/debug.yaml", *QUIET[:-1], "--trainer.max_epochs=20"])
    assert cli.trainer.global_step == 20
    metrics = json.loads((cli.run / "metrics.json").read_text())
    assert metrics["seconds/validation"] == 0
    assert "val/loss" not in metrics
    best, last = cli.run / "checkpoints/best.ckpt", cli.run / "checkpoints/last.ckpt"
    assert best.samefile(last)


def test_what_lightning_writes_itself_lies_in_the_run_folder():
    cli = main([*FIT, "--trainer.callbacks+=ModelCheckpoint", "--trainer.max_epochs=1"])
    assert sorted(path.name for path in ROOT.iterdir()) == sorted([cli.run.name, "latest"])
    assert len(list((cli.run / "checkpoints").glob("epoch=*.ckpt"))) == 1


def test_score_that_chooses_the_best_is_an_option():
    monitor = ["--model.monitor=val/pairs", "--model.monitor_mode=max"]
    cli = main([*FIT, *monitor])
    best = torch.load(cli.run / "checkpoints/best.ckpt", weights_only=True)["metrics"]["val/pairs"]
    last = torch.load(cli.run / "checkpoints/last.ckpt", weights_only=True)["metrics"]["val/pairs"]
    assert best >= last
    assert cli.trainer.checkpoint_callback.monitor == "val/pairs"


def test_fast_dev_run_leaves_nothing():
    main([*FIT, "--trainer.fast_dev_run=true"])
    assert not Path("runs").exists()


def test_printed_config_reads_well(capsys):
    with pytest.raises(SystemExit):
        main([*FIT, "--print_config"])
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["model"]["init_args"]["config"] == {
        "vocab_size": None,
        "dim": 24,
        "window": 5,
        "negatives": 5,
        "noise_exponent": 0.75,
        "sparse": True,
    }


@pytest.mark.parametrize("option", ["--model.help=SkipGram", "--data.help=SkipGramData"])
def test_help_explains_every_option_of_ours(option, capsys):
    with pytest.raises(SystemExit):
        main(["fit", option.replace("=", "=lightning_nlp.word_vectors.")])
    printed = capsys.readouterr().out
    for name in ("neighbours", "scheduler") if "model" in option else ("min_count", "data_files", "predict_file"):
        explanation = printed.split(f".{name} ")[-1][:400]
        assert len(explanation.split("(type:")[0].split()) > 4, name


# -- errors of users ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "train.txt"),
        (b"", "empty"),
        (b"good\n\xff\xfe bad\n", "line 2"),
        (b"rare words only\n", "min_count"),
    ],
    ids=["missing", "empty", "not UTF-8", "nothing reaches min_count"],
)
def test_bad_text_is_one_line_and_leaves_no_run(content, message, tmp_path):
    if content is not None:
        Path("train.txt").write_bytes(content)
    files = ["--data.path=text", "--data.data_files.train=train.txt", "--data.min_count=2"]
    with pytest.raises(ValueError, match=message) as failure:
        main([*FIT, *files, f"--data.cache_dir={tmp_path}/cache"])
    assert "\n" not in str(failure.value).strip()
    assert not Path("runs").exists()
    assert not [path for path in (tmp_path / "cache").glob("*") if path.is_dir()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data.data_files.dev=file"], "data_files has a split 'dev'"),
        (["--data.validation_fraction=1.5"], "validation_fraction is 1.5"),
        (["--data.columns.txet=sentence"], "data.columns names txet"),
        (["--data.batch_tokens=0"], "data.batch_tokens is 0"),
        (["--data.subsample=-1"], "data.subsample is -1"),
        (["--model.config.window=0"], "config.window is 0"),
    ],
)
def test_impossible_setting_is_one_line(options, message):
    with pytest.raises(ValueError) as failure:  # noqa: PT011  the message is compared below
        main([*FIT, *options])
    assert str(failure.value).startswith(message)
    assert "\n" not in str(failure.value)


@pytest.mark.slow
def test_error_from_the_shell_is_one_line(repository):
    import subprocess
    import sys

    command = [sys.executable, str(repository / "cli.py"), *FIT, "--data.path=text", "--data.data_files.train=no.txt"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")


# -- costs ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_help_comes_as_fast_as_lightnings_own(repository, run_python):
    """At most half a second above a bare LightningCLI; the faster of five runs each, in turn."""
    import time

    Path("bare.py").write_text(
        "from pytorch_lightning import LightningDataModule, LightningModule\n"
        "from pytorch_lightning.cli import LightningCLI\n"
        "LightningCLI(LightningModule, LightningDataModule, subclass_mode_model=True, subclass_mode_data=True)\n"
    )
    seconds = {"bare.py": [], str(repository / "cli.py"): []}
    for _ in range(5):
        for script, times in seconds.items():
            began = time.perf_counter()
            run_python(script, "fit", "--help")
            times.append(time.perf_counter() - began)
    bare, ours = (min(times) for times in seconds.values())
    assert ours < bare + 0.5


@pytest.mark.slow
def test_compiled_loss_leaves_names_as_they_are(repository, run_python):
    compiled = [*FIT, "--model.compile=true", "--trainer.max_epochs=1"]
    run_python(str(repository / "cli.py"), *compiled, env={"JAXTYPING_DISABLE": "1"})
    run = (ROOT / "latest").resolve()
    assert set(weights(run / "checkpoints/last.ckpt")) == {"model.centre.weight", "model.context.weight"}
    main(["test", "-c", str(run / "config.yaml"), "--ckpt_path=best", "--model.compile=false"])


def test_without_a_compiler_one_warning_and_no_compilation(monkeypatch):
    from lightning_nlp.training.compilation import can_compile

    monkeypatch.setenv("PATH", "")
    can_compile.cache_clear()
    with pytest.warns(UserWarning, match="no C\\+\\+ compiler"):
        cli = main([*FIT, "--model.compile=true", "--trainer.max_steps=2"])
    assert cli.trainer.global_step == 2
    can_compile.cache_clear()
