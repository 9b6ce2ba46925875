"""The command line from outside: settings, help, and errors that a user can act on."""

import json
import os
from pathlib import Path

import pytest
import torch
import yaml

from lightning_nlp.cli import main
from tests.cli_runs import FIT, QUIET, ROOT, SAMPLE, weights

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
    assert cli.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.025, rel=1e-3)
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
        "loss": "negative_sampling",
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
def test_console_script_succeeds_and_fails_by_its_exit_code():
    """Found beside the interpreter, where the package is installed."""
    import subprocess
    import sys

    script = Path(sys.executable).with_name("lightning-nlp")
    assert subprocess.run([script, *FIT, "--trainer.fast_dev_run=true"], capture_output=True).returncode == 0
    assert subprocess.run([script, *FIT, "--data.subsample=-1"], capture_output=True).returncode == 1


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
    """At most half a second of a processor above a bare LightningCLI; the faster of five runs each, in turn."""

    def seconds_of_children() -> float:
        times = os.times()
        return times.children_user + times.children_system

    Path("bare.py").write_text(
        "from pytorch_lightning import LightningDataModule, LightningModule\n"
        "from pytorch_lightning.cli import LightningCLI\n"
        "LightningCLI(LightningModule, LightningDataModule, subclass_mode_model=True, subclass_mode_data=True)\n"
    )
    seconds = {"bare.py": [], str(repository / "cli.py"): []}
    for _ in range(5):
        for script, times in seconds.items():
            began = seconds_of_children()
            run_python(script, "fit", "--help")
            times.append(seconds_of_children() - began)
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
        cli = main([*FIT, "--model.optimizer=torch.optim.Adagrad", "--model.compile=true", "--trainer.max_steps=2"])
    assert cli.trainer.global_step == 2
    can_compile.cache_clear()
