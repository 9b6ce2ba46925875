"""The least loss that skip-gram can reach, and that training comes near it."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pytorch_lightning import Callback
from scipy.special import xlogy

from lightning_nlp import training
from lightning_nlp.cli import main
from lightning_nlp.word_vectors.sampling import draw_reach, subsample, window_pairs
from lightning_nlp.word_vectors.text import Text
from tests.word_vectors.test_module import QUIET, SAMPLE

pytestmark = pytest.mark.usefixtures("one_thread")


class Notes(Callback):
    """Notes the loss of each step, the batch, and at the end the score u·v of every word with every context."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.batch = batch
        self.losses.append(outputs["loss"].item())

    def on_train_end(self, trainer, pl_module):
        model = pl_module.model
        self.scores = (model.centre.weight @ model.context.weight.T).detach().double().numpy()


def test_one_batch_is_learnt_to_the_floor_of_the_objective(monkeypatch):
    """The debug overlay. What is learnt comes near the floor; what is drawn is what the objective says."""
    notes, callbacks = Notes(), training.callbacks
    monkeypatch.setattr(training, "callbacks", lambda *given: [*callbacks(*given), notes])
    overlay = ["-c", "configs/trainer/debug.yaml", "--trainer.max_epochs=100"]
    model = ["--model.config.dim=64", "--model.optimizer=torch.optim.Adagrad", "--model.optimizer.lr=0.3"]
    model += ["--model.scheduler=null"]
    few_words = ["--data.max_size=60", "--data.subsample=0.01"]  # that each pair is seen often enough to be learnt
    module = main(["fit", *SAMPLE, *overlay, *QUIET, *model, *few_words]).model

    config, counts = module.config, module.model.vocabulary.counts
    pairs = expected_pairs(notes.batch, config.window, config.vocab_size)
    noise = expected_noise(pairs, counts, config.negatives, config.noise_exponent)
    floor, learnt, drawn = least_loss(pairs, noise), loss(notes.scores, pairs, noise), np.mean(notes.losses[-20:])
    assert floor < learnt < 1.03 * floor
    assert drawn < 1.04 * floor
    assert drawn == pytest.approx(learnt, rel=0.01)
    assert (notes.batch.keep < 1).any()
    assert len(notes.losses) == 100


def expected_pairs(text: Text, window: int, vocab: int) -> NDArray[np.float64]:
    """Returns how often each word meets each context, the mean over all subsamplings and reduced windows.

    Two words of a sentence that both stay, with k words between them that stay, are a pair in window - k of window
    cases.
    """
    tokens, sentence, keep = (part.tolist() for part in text)
    chance = np.arange(window, 0, -1) / window
    pairs = np.zeros((vocab, vocab))
    for left in range(len(tokens)):
        between = np.eye(window)[0]  # chance of each number of words between that stay
        for right in range(left + 1, len(tokens)):
            if sentence[right] != sentence[left]:
                break
            pairs[tokens[left], tokens[right]] += keep[left] * keep[right] * (between @ chance)
            between = (1 - keep[right]) * between + keep[right] * np.append(0, between[:-1])
    return pairs + pairs.T


def expected_noise(
    pairs: NDArray[np.float64], counts: Sequence[int], negatives: int, exponent: float
) -> NDArray[np.float64]:
    """Returns how often each word is drawn as noise for each word; noise that is the context itself is left out."""
    chance = np.asarray(counts, dtype=float) ** exponent
    return negatives * chance / chance.sum() * (pairs.sum(1, keepdims=True) - pairs)


def loss(scores: NDArray[np.float64], pairs: NDArray[np.float64], noise: NDArray[np.float64]) -> float:
    """Returns the mean loss of a pair, over all that may be drawn."""
    both = pairs * np.logaddexp(0, -scores) + noise * np.logaddexp(0, scores)
    return float(both.sum() / pairs.sum())


def least_loss(pairs: NDArray[np.float64], noise: NDArray[np.float64]) -> float:
    """Returns the loss of the best scores, log(pairs / noise) (Levy & Goldberg 2014, section 3.1)."""
    both = pairs + noise
    return float((xlogy(both, both) - xlogy(pairs, pairs) - xlogy(noise, noise)).sum() / pairs.sum())


def test_expected_pairs_are_the_mean_of_those_drawn():
    """The analysis that the floor rests on, against the code that draws."""
    torch.manual_seed(0)
    tokens, sentence = torch.arange(9), torch.tensor([0] * 6 + [1] * 3)
    keep, times = torch.linspace(0.2, 1, 9), 4000
    stays = subsample(keep.repeat(times))
    sentences = (sentence + 2 * torch.arange(times)[:, None]).flatten()
    places = window_pairs(sentences[stays], draw_reach(int(stays.sum()), 3))
    drawn = np.zeros((9, 9))
    np.add.at(drawn, tuple(tokens.repeat(times)[stays][side].numpy() for side in places), 1)
    expected = expected_pairs(Text(tokens, sentence, keep), 3, 9)
    np.testing.assert_allclose(drawn / times, expected, atol=4 * 0.5 / times**0.5)
    assert ((expected == 0) == (drawn == 0)).all()


def test_no_score_is_below_the_floor():
    rng = np.random.default_rng(0)
    pairs, noise = rng.random((2, 5, 5)) * 9
    best = np.log(pairs / noise)
    assert loss(best, pairs, noise) == pytest.approx(least_loss(pairs, noise))
    assert all(loss(best + rng.normal(size=(5, 5)), pairs, noise) > least_loss(pairs, noise) for _ in range(20))
