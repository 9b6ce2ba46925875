"""Training from end to end: what it learns, what it leaves behind, and what a broken model could not do."""

import csv
import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, Trainer

from lightning_nlp import training
from lightning_nlp.cli import main
from lightning_nlp.data.sample_world import sample_rows
from lightning_nlp.word_vectors import SkipGram, SkipGramConfig, SkipGramData

pytestmark = pytest.mark.usefixtures("one_thread")
SAMPLE = ["-c", "configs/word_vectors/sample.yaml"]
QUIET = ["--trainer.logger=false", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, one_thread) -> Path:
    """The run folder of the sample config, as it is shipped."""
    folder = tmp_path_factory.mktemp("sample")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("LIGHTNING_NLP_CACHE", str(folder / "cache"))
        return folder / main(["fit", *SAMPLE, *QUIET]).run


def metrics(run: Path) -> dict[str, float]:
    return json.loads((run / "metrics.json").read_text())


def fit(module: SkipGram, text: str, validation: str = "", epochs: int = 2, **options) -> tuple[Trainer, SkipGramData]:
    """Trains on a few lines, in Python, with everything a run does."""
    files = {"train": text, "validation": validation}
    for name, content in files.items():
        Path(f"{name}.txt").write_text(content)
    given = {name: f"{name}.txt" for name, content in files.items() if content}
    data = SkipGramData(**{"min_count": 1, "subsample": 0.0, "path": "text", "data_files": given, **options})
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=training.callbacks(module, training.new_run("runs")),
    )
    trainer.fit(module, data)
    return trainer, data


# -- what it learns -------------------------------------------------------------------------------------------------


def test_sample_world_is_learnt(trained):
    found = metrics(trained)
    assert found["val/pairs"] > 0.5
    assert found["val/pairs_coverage"] == 100
    assert found["val/loss"] < 6 * math.log(2) / 1.5  # where training began, at scores of zero


def test_words_without_their_neighbours_teach_nothing(trained):
    """The same words as often, in sentences as long, but shuffled: a score that does not fall here measures nothing."""
    lines = [str(row["text"]).split() for row in sample_rows("sentences", "train")]
    words = [word for line in lines for word in line]
    random.Random(0).shuffle(words)
    shuffled = iter(words)
    Path("shuffled.txt").write_text("".join(" ".join(next(shuffled) for _ in line) + "\n" for line in lines))
    pairs = sample_rows("word_pairs", "validation")
    Path("pairs.tsv").write_text("".join(f"{row['word1']}\t{row['word2']}\t{row['score']}\n" for row in pairs))
    files = ["--data.path=text", "--data.data_files.train=shuffled.txt", "--data.pairs.pairs=pairs.tsv"]
    found = metrics(main(["fit", *SAMPLE, *QUIET, *files]).run)
    assert found["val/pairs_coverage"] == 100
    assert found["val/pairs"] < 0.25 < 0.5 < metrics(trained)["val/pairs"]


def test_any_optimizer_learns_the_sample_world():
    """The reference path by autograd: another way to the same vectors."""
    adagrad = ["--model.optimizer=torch.optim.Adagrad", "--model.optimizer.lr=0.1", "--model.scheduler=null"]
    found = metrics(main(["fit", *SAMPLE, *QUIET, *adagrad]).run)
    assert found["val/pairs"] > 0.5


class Rates(Callback):
    """Notes the learning rate and the loss of each step."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.shown: list[bool] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        self.shown.append("loss" in outputs)


def test_the_rate_falls_with_the_words_and_steps_are_counted(monkeypatch):
    rates, callbacks = Rates(), training.callbacks
    monkeypatch.setattr(training, "callbacks", lambda *given: [*callbacks(*given), rates])
    trainer = main(["fit", *SAMPLE, *QUIET, "--trainer.max_epochs=2"]).trainer
    steps = len(rates.rates)
    assert trainer.global_step == steps > 10
    expected = [0.05 * (1 + (0.004 - 1) * step / steps) for step in range(1, steps + 1)]
    assert rates.rates == pytest.approx(expected)
    every = trainer.log_every_n_steps
    assert [place for place, shown in enumerate(rates.shown, 1) if shown and place % every == 0]
    assert sum(rates.shown) <= 2 + steps // every  # the loss is not computed where nobody looks


@pytest.mark.parametrize(
    ("options", "settings", "message"),
    [
        ({"config": SkipGramConfig(dim=4, loss="softmax")}, {}, "BlockSGD has no softmax loss"),
        ({}, {"accumulate_grad_batches": 2}, "accumulate_grad_batches have no effect"),
        ({}, {"gradient_clip_val": 1.0}, "gradient_clip_val"),
        ({"scheduler": training.Plateau()}, {}, "take another than Plateau"),
    ],
)
def test_what_block_sgd_cannot_do_is_refused(options, settings, message):
    module = SkipGram(**{"config": SkipGramConfig(dim=4), **options})
    trainer = Trainer(accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, **settings)
    Path("t.txt").write_text("a b c\n")
    with pytest.raises(ValueError, match=message):
        trainer.fit(module, SkipGramData(min_count=1, path="text", data_files={"train": "t.txt"}))


def test_threads_of_hogwild_learn_too():
    found = metrics(main(["fit", *SAMPLE, *QUIET, "--model.optimizer.hogwild_threads=2"]).run)
    assert found["val/pairs"] > 0.5


def test_the_naive_softmax_learns_the_sample_world():
    settings = ["--model.config.loss=softmax", "--model.config.sparse=false", "--data.batch_tokens=1024"]
    adam = ["--model.optimizer=torch.optim.Adam", "--model.optimizer.lr=0.01", "--trainer.max_epochs=4"]
    found = metrics(main(["fit", *SAMPLE, *QUIET, *settings, *adam]).run)
    assert found["val/pairs"] > 0.5


# -- what it leaves behind ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "binary"), [("vectors.bin", True), ("vectors.txt", False)])
def test_vector_files_are_the_model(trained, name, binary):
    gensim = pytest.importorskip("gensim.models")
    best = torch.load(trained / "checkpoints/best.ckpt", weights_only=True)
    theirs = gensim.KeyedVectors.load_word2vec_format(str(trained / "export" / name), binary=binary)
    assert theirs.index_to_key == best["vocabulary"]["words"]
    np.testing.assert_array_equal(theirs.vectors, best["state_dict"]["model.centre.weight"].numpy())


def test_predictions_are_lines_of_word_neighbour_and_cosine(trained):
    asked = ["herring", "unheard", "Barley", "", "plough"]
    Path("asked.words.txt").write_text("\n".join(asked) + "\n")
    predict = ["predict", "-c", str(trained / "config.yaml"), "--ckpt_path=best", "--data.predict_file=asked.words.txt"]
    main([*predict, "--model.neighbours=3"])
    lines = (trained / "predictions/asked.words.tsv").read_text().splitlines()
    rows = [line.split("\t") for line in lines]
    assert [row[0] for row in rows] == ["herring"] * 3 + ["unheard"] + ["Barley"] * 3 + [""] + ["plough"] * 3
    assert rows[3][1:] == rows[7][1:] == ["", ""]
    found = SkipGram.load_from_checkpoint(trained / "checkpoints/best.ckpt", weights_only=True)
    answers = found.model.neighbours(["herring", "barley", "plough"], 3)
    expected = [[near, f"{cosine:.4f}"] for row in answers for near, cosine in row]
    assert [row[1:] for row in rows[:3] + rows[4:7] + rows[8:]] == expected


def test_tables_and_figures_show_the_exported_vectors(trained):
    rows = list(csv.reader((trained / "tables/neighbours.csv").open()))
    assert rows[0] == ["word", "neighbours"]
    best = torch.load(trained / "checkpoints/best.ckpt", weights_only=True)
    table = torch.nn.functional.normalize(best["state_dict"]["model.centre.weight"], dim=-1)
    words = best["vocabulary"]["words"]
    for word, neighbours in rows[1:]:
        nearest = (table @ table[words.index(word)]).topk(2).indices[1]
        assert neighbours.split()[0] == words[nearest]
    assert (trained / "figures/map.png").stat().st_size > 1000


def test_validate_and_test_score_the_checkpoint(trained):
    before = metrics(trained)
    main(["validate", "-c", str(trained / "config.yaml"), "--ckpt_path=best"])
    after = metrics(trained)
    for name in ("val/loss", "val/pairs", "val/pairs_coverage"):
        assert after[name] == pytest.approx(before[name], rel=1e-5)
    main(["test", "-c", str(trained / "config.yaml"), "--ckpt_path=best"])
    tested = metrics(trained)
    assert tested["test/loss"] == pytest.approx(after["val/loss"], rel=0.1)
    assert tested["test/pairs"] > 0.4


# -- data that nobody hopes for -------------------------------------------------------------------------------------

TEXT = "a b c d e\nb c d\n" * 30


def test_validation_without_any_pair_has_no_loss():
    trainer, _ = fit(SkipGram(SkipGramConfig(dim=4)), TEXT, validation="a\nb\n")
    run = training.run_folder(trainer)
    assert "val/loss" not in trainer.callback_metrics
    assert not [value for value in metrics(run).values() if isinstance(value, float) and math.isnan(value)]
    assert (run / "checkpoints/best.ckpt").samefile(run / "checkpoints/last.ckpt")


def test_validation_leaves_out_what_has_no_pair(monkeypatch):
    """Sentences of one word beside others: the loss is that of the others alone, where nothing is left to chance."""
    module = "lightning_nlp.word_vectors.model"
    monkeypatch.setattr(f"{module}.draw_noise", lambda _, *size: torch.zeros(size, dtype=torch.long))
    losses = []
    for validation in ("a b c\n", "d\na b c\ne\n"):
        torch.manual_seed(0)
        trainer, _ = fit(SkipGram(SkipGramConfig(dim=4, window=1)), TEXT, validation)
        losses.append(float(trainer.callback_metrics["val/loss"]))
    assert losses[0] > 0
    assert losses[1] == pytest.approx(losses[0])


def test_a_training_batch_without_any_pair_changes_nothing():
    module = SkipGram(SkipGramConfig(dim=4))
    trainer, _ = fit(module, "a\nb\nc\n")
    assert trainer.global_step == 2
    assert trainer.callback_metrics["train/loss"] == 0
    assert (module.model.context.weight == 0).all()
    assert module.model.centre.weight.isfinite().all()


def test_analogies_are_scored_and_kept_by_section():
    Path("questions.txt").write_text(": first\na b c d\na b d c\n: second\na b c x\n")
    trainer, _ = fit(SkipGram(SkipGramConfig(dim=4)), TEXT, validation=TEXT, analogies="questions.txt")
    run = training.run_folder(trainer)
    found = metrics(run)
    assert found["val/analogy_coverage"] == pytest.approx(100 * 2 / 3)
    assert found["val/analogy_of_all"] == pytest.approx(found["val/analogy"] * 2 / 3)
    rows = list(csv.reader((run / "tables/analogies.csv").open()))
    assert [row[0] for row in rows] == ["section", "first", "second", "all"]
    assert [row[-1] for row in rows[1:]] == ["2", "1", "3"]


@pytest.mark.parametrize(
    ("text", "dim", "probes"), [("the the the\n", 4, None), (TEXT, 1, None), (TEXT, 4, ["unheard"])]
)
def test_one_word_one_dimension_and_unknown_probes_are_trained_to_the_end(text, dim, probes):
    trainer, data = fit(SkipGram(SkipGramConfig(dim=dim)), text, probes=probes)
    vectors = (training.run_folder(trainer) / "export/vectors.txt").read_text().splitlines()
    assert vectors[0] == f"{len(data.vocabulary.words)} {dim}"


def test_a_test_after_the_fit_scores_the_test_set_alone():
    module = SkipGram(SkipGramConfig(dim=4))
    trainer, data = fit(module, TEXT, validation="a b c\n")
    assert "val/loss" in trainer.callback_metrics
    trainer.test(module, data, verbose=False)
    assert not [name for name, value in trainer.callback_metrics.items() if value.isnan()]
    Path("other.txt").write_text("c d e\n")
    data.source = SkipGramData(path="text", data_files={"test_other": "other.txt"}).source
    (scores,) = trainer.test(module, data, verbose=False)
    assert scores.keys() == {"test_other/loss"}


def test_validation_is_the_same_each_time():
    module = SkipGram(SkipGramConfig(dim=4))
    trainer, data = fit(module, TEXT, validation=TEXT)
    losses = [trainer.validate(module, data, verbose=False)[0]["val/loss"] for _ in range(2)]
    assert losses[0] == losses[1] == trainer.callback_metrics["val/loss"]


def test_optimizers_that_take_no_sparse_gradients_are_refused():
    with pytest.raises(ValueError, match=r"Adam takes no sparse gradients: set model\.config\.sparse to false"):
        fit(SkipGram(SkipGramConfig(dim=4), optimizer=torch.optim.Adam), TEXT)
    trainer, _ = fit(SkipGram(SkipGramConfig(dim=4, sparse=False), optimizer=torch.optim.Adam), TEXT)
    assert trainer.global_step == 2


def test_one_config_serves_several_models():
    config = SkipGramConfig(dim=4)
    first, second = SkipGram(config), SkipGram(config)
    fit(first, TEXT)
    fit(second, "x y z\n" * 9)
    assert (first.config.vocab_size, second.config.vocab_size, config.vocab_size) == (5, 3, None)
    assert list(second.model.vocabulary.words) == ["x", "y", "z"]


def test_data_of_other_words_are_refused():
    """Their ids would train the vectors of words that are not there."""
    with pytest.raises(ValueError, match=r"no words yet\. Fit it with the sizes of its config left to the data"):
        fit(SkipGram(SkipGramConfig(dim=4, vocab_size=7)), TEXT)
    module = SkipGram(SkipGramConfig(dim=4))
    fit(module, TEXT)
    with pytest.raises(ValueError, match=r"knows 5 words, and they are not the 5 of the data") as caught:
        fit(module, TEXT.replace("a", "x"))
    assert "\n" not in str(caught.value)
