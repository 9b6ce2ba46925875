"""Training by counting, from end to end."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, Trainer
from transformers import AutoModel

from lightning_nlp import training
from lightning_nlp.cli import main
from lightning_nlp.word_vectors import CooccurrenceConfig, CooccurrenceVectors, SkipGramData, WordVectors
from lightning_nlp.word_vectors.counts import CooccurrenceCounts, factorise, ppmi

SAMPLE = ["-c", "configs/word_vectors/svd_sample.yaml"]
QUIET = ["--trainer.logger=false", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The run folder of the sample config, as it is shipped."""
    folder = tmp_path_factory.mktemp("sample")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("LIGHTNING_NLP_CACHE", str(folder / "cache"))
        return folder / main(["fit", *SAMPLE, *QUIET]).run


def test_sample_world_is_learnt(trained):
    found = json.loads((trained / "metrics.json").read_text())
    assert found["val/pairs"] > 0.7
    assert found["throughput/train"] > 0


def test_one_step_is_counted(trained):
    last = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == 1


def test_the_vectors_are_those_of_the_counts():
    """The module adds nothing to what the functions do with the whole text at once."""
    Path("t.txt").write_text("a b c d\nb c a\nd e a b\ne e c\n" * 5)
    data = SkipGramData(min_count=1, subsample=0.0, batch_tokens=512, path="text", data_files={"train": "t.txt"})
    module = CooccurrenceVectors(CooccurrenceConfig(dim=2, window=2))
    trainer = Trainer(accelerator="cpu", max_epochs=1, logger=False, enable_progress_bar=False,
                      use_distributed_sampler=False, callbacks=training.callbacks(module, "runs/mine"))  # fmt: skip
    trainer.fit(module, data)
    counts = CooccurrenceCounts(5, 2, "linear")
    for batch in data.train_dataloader():
        counts.add(batch.tokens, batch.sentence)
    expected = factorise(ppmi(counts.matrix(), 1.0), 2, 0.5)
    np.testing.assert_allclose(np.abs(module.model.centre.weight.detach()), np.abs(expected), atol=1e-4)


def test_the_folder_is_that_of_skip_gram(trained):
    names = {file.name for file in (trained / "export").iterdir()}
    assert names == {"README.md", "config.json", "model.safetensors", "vectors.bin", "vectors.txt", "vocabulary.json"}
    model = AutoModel.from_pretrained(trained / "export")
    assert type(model).__name__ == "CooccurrenceModel"
    vectors = WordVectors.load(trained / "export")
    torch.testing.assert_close(vectors.vectors, model.centre.weight.detach())
    near = model.neighbours(["whaler"], 3)[0]
    assert [word for word, _ in near] == [word for word, _ in vectors.most_similar("whaler", count=3)]


def test_other_commands_use_the_checkpoint(trained):
    config = ["-c", str(trained / "config.yaml"), "--ckpt_path=best"]
    before = json.loads((trained / "metrics.json").read_text())
    main(["test", *config, "--trainer.logger=false"])
    main(["validate", *config, "--trainer.logger=false"])
    found = json.loads((trained / "metrics.json").read_text())
    assert found["test/pairs"] > 0.7
    assert found["val/pairs"] == pytest.approx(before["val/pairs"])
    Path("words.txt").write_text("whaler\n")
    main(["predict", *config, "--data.predict_file=words.txt"])
    assert len((trained / "predictions/words.tsv").read_text().splitlines()) == 10


class SaveWithin(Callback):
    """Writes a checkpoint within the epoch."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if batch_idx == 2:
            trainer.save_checkpoint("within.ckpt")


def test_a_fit_stopped_within_its_epoch_is_not_continued(monkeypatch):
    callbacks, small = training.callbacks, "--data.batch_tokens=512"
    with monkeypatch.context() as patch:
        patch.setattr(training, "callbacks", lambda *given: [*callbacks(*given), SaveWithin()])
        main(["fit", *SAMPLE, *QUIET, small])
    with pytest.raises(ValueError, match="Counts are not kept in checkpoints: start the fit anew"):
        main(["fit", *SAMPLE, *QUIET, small, "--ckpt_path=within.ckpt"])


@pytest.mark.parametrize("number", ["dim", "window", "shift"])
def test_numbers_that_no_model_can_have_are_refused(number):
    with pytest.raises(ValueError, match=rf"config\.{number} is 0"):
        CooccurrenceConfig(**{number: 0})


@pytest.mark.parametrize("option", ["weighting", "transform"])
def test_words_that_mean_nothing_are_refused(option):
    with pytest.raises(ValueError, match=rf"config\.{option} is 'square', expected one of"):
        CooccurrenceConfig(**{option: "square"})


def test_more_dimensions_than_words_are_refused():
    with pytest.raises(ValueError, match="dim is 400 for a vocabulary of"):
        main(["fit", *SAMPLE, *QUIET, "--model.config.dim=400"])
