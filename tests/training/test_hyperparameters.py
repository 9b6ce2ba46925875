"""What goes into checkpoints is plain."""

import torch

from lightning_nlp.training.hyperparameters import is_plain, make_plain
from lightning_nlp.word_vectors import SkipGramConfig


def test_configs_become_numbers_and_callables_are_left_out():
    hparams = {"config": SkipGramConfig(dim=7), "optimizer": torch.optim.SGD, "beam": 5, "files": {"a": ["b", None]}}
    make_plain(hparams)
    assert is_plain(hparams)
    assert "optimizer" not in hparams
    assert hparams["config"] == {
        "vocab_size": None,
        "dim": 7,
        "window": 5,
        "negatives": 5,
        "noise_exponent": 0.75,
        "loss": "negative_sampling",
        "sparse": True,
    }
    assert hparams["beam"] == 5
    assert hparams["files"] == {"a": ["b", None]}
