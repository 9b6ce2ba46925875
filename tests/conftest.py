"""What all tests share: shapes checked at run time, no network, no tracker, nothing written outside `tmp_path`."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook

WORD_VECTORS = (
    *("analogies", "blocks", "counts", "data", "kernel", "loss", "metrics", "model", "optimizer", "pictures"),
    *("sampling", "similarity", "text", "vectors", "word_pairs"),
)
PARSER = (
    *("baselines", "batch", "biaffine_scorer", "data", "decisions", "encoder", "kernel", "metrics", "model", "oracle"),
    *("pictures", "projectivity", "scoring", "spanning_tree", "transition_scorer", "transitions", "vocabulary"),
)
SEQ2SEQ = (*("attention", "batch", "data", "decoder", "encoder", "kernel", "metrics", "model", "pictures", "search"),)
TRANSFORMER = ("attention", "block", "data", "documents", "gpt2", "metrics", "model", "objectives", "packing")
FAMILIES = {"word_vectors": WORD_VECTORS, "parser": PARSER, "seq2seq": SEQ2SEQ, "transformer": TRANSFORMER}
for family, files in FAMILIES.items():
    install_import_hook([f"lightning_nlp.{family}.{name}" for name in files], "beartype.beartype")
install_import_hook(["lightning_nlp.lstm", "lightning_nlp.cross_entropy"], "beartype.beartype")

os.environ["HF_DATASETS_CACHE"] = tempfile.mkdtemp(prefix="datasets-")  # read once, when datasets is imported
torch.set_num_threads(1)  # for models this small one thread is faster, and it waits for no busy neighbour

REPOSITORY = Path(__file__).parents[1]
SHARED = REPOSITORY.parent / "shared" / "data"


def pytest_collection_modifyitems(items):
    """Skips what needs the shared data sets where they are not."""
    if not SHARED.exists():
        for item in items:
            if "shared" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs ../shared/data"))


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory, monkeypatch):
    """Runs each test in an empty folder, with a cache of its own and a tracker that stays off unless asked for."""
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))
    monkeypatch.setenv("LIGHTNING_NLP_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)


@pytest.fixture
def shared():
    """The folder of the shared data sets."""
    return SHARED


@pytest.fixture(scope="session")
def repository():
    """The checkout."""
    return REPOSITORY


@pytest.fixture
def run_python():
    """Runs Python in a process of its own and returns what it printed; fails with its errors."""

    def run(*arguments: str, **settings) -> str:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **settings.pop("env", {})}
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, env=environment, timeout=300, **settings
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
