"""Run folders and checkpoints from outside: what a fit leaves, and that it stands alone."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from pytorch_lightning import Trainer

from lightning_nlp.cli import main
from lightning_nlp.word_vectors import SkipGram, SkipGramConfig, SkipGramData
from tests.cli_runs import FIT, QUIET, ROOT, SAMPLE, same_weights


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
    """Five lines of Python, with an optimizer that can be pickled but has no plain form."""
    from lightning_nlp.training import callbacks, new_run

    run = new_run(tmp_path)
    module = SkipGram(SkipGramConfig(dim=6), optimizer=torch.optim.SGD)
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
