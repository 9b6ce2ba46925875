"""The table of `make demo`: every family stays clear of its simple method."""

import pytest

from lightning_nlp.data.sample_baselines import baseline
from lightning_nlp.demo import FAMILIES, train

LONG = ("parser", "translator", "transformer")  # their own tests train the same configs


def marked(family):
    return pytest.param(family, id=family.name, marks=[pytest.mark.slow] * (family.name in LONG))


@pytest.mark.parametrize("family", [marked(family) for family in FAMILIES])
def test_family_beats_its_baseline(family, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    name, score, reached, simple, seconds, run = train(family)
    assert (name, score) == (family.name, family.score)
    assert reached > baseline(family.view)[1] + 0.3 * (1 if reached <= 1 else 100)
    assert simple.endswith(baseline(family.view)[0])
    assert 0 < seconds < 60
    assert run.startswith("runs/")
