"""Every shipped config through the real parser, with its command and its promise in the head."""

import re
from pathlib import Path

import pytest
import yaml

from lightning_nlp.cli import main, shipped

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*/*.yaml"))
EXPERIMENTS = [path for path in CONFIGS if path.parent.name not in ("trainer", "sweep")]
OVERLAYS = [path for path in CONFIGS if path.parent.name == "trainer"]


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def printed(capsys, *arguments: str) -> dict:
    with pytest.raises(SystemExit) as stop:
        main(["fit", *arguments, "--print_config"])
    assert stop.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=name)
def test_experiment_is_complete_and_parses(path, capsys):
    text = path.read_text()
    config = yaml.safe_load(text)
    assert isinstance(config["seed_everything"], int)
    assert config["trainer"]["default_root_dir"] == f"runs/{path.parent.name}/{path.stem}"
    assert f"python cli.py fit -c configs/{name(path)}" in text
    resolved = printed(capsys, "-c", str(path))
    assert resolved["model"]["class_path"] == config["model"]["class_path"]


@pytest.mark.parametrize("path", EXPERIMENTS, ids=name)
def test_first_line_tells_score_time_and_hardware(path):
    first = path.read_text().splitlines()[0]
    assert re.search(r"\d", first), "a score to expect"
    assert re.search(r"second|minute|hour", first), "how long it takes"
    assert re.search(r"core|GPU", first), "on what"


@pytest.mark.parametrize("path", OVERLAYS, ids=name)
def test_overlay_parses_after_an_experiment(path, capsys):
    resolved = printed(capsys, "-c", "configs/word_vectors/sample.yaml", "-c", f"configs/{name(path)}")
    for key, value in yaml.safe_load(path.read_text())["trainer"].items():
        assert resolved["trainer"][key] == value


def test_configs_travel_with_the_package(repository):
    """From any folder; a file of the same name there goes first."""
    assert shipped("configs/trainer/debug.yaml") == repository / "configs/trainer/debug.yaml"
    Path("configs/trainer").mkdir(parents=True)
    Path("configs/trainer/debug.yaml").touch()
    assert shipped("configs/trainer/debug.yaml") == Path("configs/trainer/debug.yaml")


@pytest.mark.parametrize("path", [path for path in CONFIGS if path.parent.name == "sweep"], ids=name)
def test_sweep_gives_options_that_the_command_takes(path, capsys):
    sweep = yaml.safe_load(path.read_text())
    assert sweep["command"][:3] == ["${env}", "python", "cli.py"]
    values = {key: space.get("values", [space.get("min")])[0] for key, space in sweep["parameters"].items()}
    options = [f"--{key}={value}" for key, value in values.items()]
    arguments = [word for word in sweep["command"][4:] if word != "${args}"]
    printed(capsys, *arguments, *options)
