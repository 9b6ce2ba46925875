"""Training from end to end: what a parser learns, what it leaves behind, and what it does with text."""

import csv
import io
import json
import re
import sys
from pathlib import Path

import pytest
import torch
from udtools.udeval import evaluate, load_conllu_file

from lightning_nlp.cli import main
from lightning_nlp.data.conllu import DEPREL, HEAD, read_conllu, taken_apart, words
from lightning_nlp.data.sample_world import sample_rows
from lightning_nlp.parser import DependencyParser, ParserConfig, ParserModel
from lightning_nlp.parser.data import sentence_and_tree
from lightning_nlp.parser.vocabulary import Vocabulary

SAMPLE = ["-c", "configs/parser/sample.yaml"]
QUIET = ["--trainer.logger=false", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]

TREE = "1\tBirds\tbird\tNOUN\tNNS\t_\t2\tnsubj\t_\t_\n2\tfly\tfly\tVERB\tVBP\t_\t0\troot\t_\t_"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The run folder of the sample config, as it is shipped."""
    folder = tmp_path_factory.mktemp("sample")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("LIGHTNING_NLP_CACHE", str(folder / "cache"))
        return folder / main(["fit", *SAMPLE, *QUIET]).run


def metrics(run: Path) -> dict[str, float]:
    return json.loads((run / "metrics.json").read_text())


def predict(run: Path, file: Path | str, *options: str) -> str:
    given = ["-c", str(run / "config.yaml"), "--ckpt_path", "best", *QUIET, "--data.predict_file", str(file)]
    main(["predict", *given, *options])
    return (run / "predictions" / f"{Path(file).stem}.conllu").read_text()


def write_gold(file: Path) -> Path:
    file.write_text("".join(row["conllu"] + "\n\n" for row in sample_rows("trees", "test")))
    return file


def test_it_learns_the_sample_world(trained):
    """Neighbours as heads reach a UAS of 38."""
    found = metrics(trained)
    assert found["val/las"] > 85
    assert found["throughput/unit"] == "words/s"
    assert 0 < found["val/loss"] < 1


def test_scores_are_those_of_the_official_scorer(trained, tmp_path):
    gold = write_gold(tmp_path / "gold.conllu")
    main(["test", "-c", str(trained / "config.yaml"), "--ckpt_path", "best", *QUIET])
    (tmp_path / "found.conllu").write_text(predict(trained, gold))
    official = evaluate(*(load_conllu_file(str(file)) for file in (gold, tmp_path / "found.conllu")))
    ours = metrics(trained)
    assert ours["test/uas"] == pytest.approx(100 * official["UAS"].f1, abs=1e-3)
    assert ours["test/las"] == pytest.approx(100 * official["LAS"].f1, abs=1e-3)
    assert ours["test/las"] > 80
    assert 0 < ours["test/uas_previous_word"] < ours["test/uas"]
    assert 0 < ours["test/las_next_word"] < ours["test/las"]


def test_predict_changes_trees_alone(trained, tmp_path):
    """Comments, multiword tokens, empty nodes and MISC come back byte for byte, in the order of the input."""
    rows = ["1-2\tThebaker\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No", "1\tThe\tthe\tDET\tDT\tA=b\t_\t_\t_\tX=1"]
    rows += ["2\tbaker\t_\tNOUN\t_\t_\t9\t?\t2:dep\t_", "2.1\tsold\t_\t_\t_\t_\t_\t_\t1:dep\t_"]
    rows += ["3\tsold\t_\tVERB\t_\t_\t_\t_\t_\tGloss=a b"]
    file = tmp_path / "in.conllu"
    file.write_text("\n".join(["# sent_id = ä", *rows, "", "# two", "1\tBread\t_\t_\t_\t_\t_\t_\t_\t_", "", ""]))
    found = predict(trained, file)
    before, after = (text.split("\n") for text in (file.read_text(), found))
    assert len(before) == len(after)
    for one, other in zip(before, after):
        columns, others = one.split("\t"), other.split("\t")
        if columns[0].isdecimal() and len(columns) == 10:
            assert others[HEAD].isdecimal()
            columns[HEAD], columns[DEPREL] = others[HEAD], others[DEPREL]
        assert columns == others


def test_predict_in_half_precision_finds_nearly_the_same_trees(trained, tmp_path):
    gold = write_gold(tmp_path / "gold.conllu")
    whole, half = (
        predict(trained, gold, f"--trainer.precision={name}").split("\n") for name in ("32-true", "bf16-true")
    )
    assert len(whole) == len(half)
    assert sum(one == other for one, other in zip(whole, half)) > 0.97 * len(whole)


def test_predict_takes_plain_text_from_a_file_and_from_standard_input(trained, tmp_path, monkeypatch, capfd):
    file = tmp_path / "in.txt"
    file.write_text("The baker sold bread .\n\nBread\n")
    found = predict(trained, file)
    assert found.count("\n\n") == 2
    assert [[word[1] for word in words(block)] for block in read_conllu(trained / "predictions/in.conllu")] == [
        ["The", "baker", "sold", "bread", "."],
        ["Bread"],
    ]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    capfd.readouterr()
    main(["predict", "-c", str(trained / "config.yaml"), "--ckpt_path", "best", *QUIET, "--data.predict_file", "-"])
    assert capfd.readouterr().out == found


def test_the_export_parses_without_lightning(trained, run_python):
    code = """
import sys
from lightning_nlp.parser import ParserModel
[parse] = ParserModel.from_pretrained(sys.argv[1]).parse([["The", "baker", "sold", "bread", "."]])
print(parse.heads, parse.labels, "pytorch_lightning" in sys.modules)
"""
    printed = run_python("-c", code, str(trained / "export"))
    [parse] = ParserModel.from_pretrained(trained / "export").parse([["The", "baker", "sold", "bread", "."]])
    assert printed.strip() == f"{parse.heads} {parse.labels} False"


def test_tables_figures_and_trees_are_left_behind(trained):
    assert (trained / "figures/learning_curves.png").exists()
    with (trained / "tables/val/by_relation.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {"nsubj", "root", "punct"} <= {row["relation"] for row in rows}
    for name in ("by_relation", "by_arc_length", "by_sentence_length"):
        assert (trained / f"figures/val/{name}.png").stat().st_size > 5000
    assert (trained / "tables/val/confusions.csv").exists()
    page = (trained / "trees.html").read_text()
    assert "<svg" in page
    assert re.search(r"validation-\d+ · words: \d+ · LAS", page)


def test_a_checkpoint_stands_alone_and_holds_plain_values(trained):
    checkpoint = torch.load(trained / "checkpoints/best.ckpt", weights_only=True)
    assert set(checkpoint["vocabulary"]) >= {"forms", "characters", "labels"}
    assert checkpoint["hyper_parameters"]["config"]["form_count"] == len(checkpoint["vocabulary"]["forms"]) + 2


def test_pretrained_vectors_are_used_and_kept(tmp_path):
    file = tmp_path / "vectors.txt"
    file.write_text("2 4\nthe 1 2 3 4\nbaker 4 5 6 7\n")
    run = main(["fit", *SAMPLE, *QUIET, "--data.vectors", str(file), "--trainer.max_epochs=1"]).run
    model = ParserModel.from_pretrained(run / "export")
    table = torch.tensor([[0.0] * 4, [1, 2, 3, 4], [4, 5, 6, 7]])
    torch.testing.assert_close(
        model.readers[0].word.vectors.weight, table / table[1:].norm(dim=1).mean()
    )  # of length 1
    assert model.vocabulary.vectors == ["the", "baker"]


@pytest.mark.parametrize("architecture", [pytest.param("bilstm", marks=pytest.mark.slow), "biaffine"])
def test_the_others_train_with_joint_tags(architecture, tmp_path):
    config = {"architecture": architecture, "predict_upos": "true", "hidden_dim": 24, "layers": 2, "features": "stack"}
    given = [f"--model.config.{name}={value}" for name, value in config.items()]
    run = main(["fit", *SAMPLE, *QUIET, *given, "--trainer.max_epochs=8"]).run
    found = metrics(run)
    assert found["val/las"] > 75
    assert found["val/upos"] > 90
    file = tmp_path / "in.txt"
    file.write_text("The baker sold bread .\n")
    tags = [word[3] for block in [predict(run, file)] for word in words(block)]
    assert tags[:2] == ["DET", "NOUN"]
    assert tags[-1] == "PUNCT"


def test_an_unlabelled_parser_is_chosen_by_uas():
    unlabelled = ["fit", *SAMPLE, *QUIET, "--model.config.labelled=false", "--trainer.max_epochs=1"]
    with pytest.raises(ValueError, match=r"has no LAS: set model\.monitor to val/uas"):
        main(unlabelled)
    assert metrics(main([*unlabelled, "--model.monitor=val/uas"]).run)["val/uas"] > 0


def test_tags_that_a_treebank_has_not_are_refused_before_training(tmp_path):
    file = tmp_path / "train.conllu"
    lines = [[*line.split("\t")[:4], "_", *line.split("\t")[5:]] for line in TREE.splitlines()]
    file.write_text("\n".join(map("\t".join, lines)) + "\n\n")
    given = ["--data.path=conllu", f"--data.data_files={{train: {file}}}", "--model.config.xpos_dim=8"]
    with pytest.raises(ValueError, match=r"no XPOS: set model\.config\.xpos_dim to 0"):
        main(["fit", *SAMPLE, *QUIET, *given])
    given[-1:] = ["--model.config.architecture=biaffine", "--model.config.predict_xpos=true"]
    with pytest.raises(ValueError, match=r"no XPOS: set model\.config\.predict_xpos to false"):
        main(["fit", *SAMPLE, *QUIET, *given])


def test_going_on_with_another_treebank_is_refused(trained, tmp_path):
    file = tmp_path / "train.conllu"
    file.write_text(TREE + "\n\n")
    given = ["--data.path=conllu", f"--data.data_files={{train: {file}}}", "--ckpt_path"]
    with pytest.raises(ValueError, match="not those of the data"):
        main(["fit", *SAMPLE, *QUIET, *given, str(trained / "checkpoints/last.ckpt")])


@pytest.mark.parametrize("architecture", ["ffn", "biaffine"])
def test_it_trains_in_half_precision(architecture):
    half = ["--trainer.precision=bf16-true", f"--model.config.architecture={architecture}", "--trainer.max_steps=2"]
    left_out = ["--model.config.input_dropout=0.2", "--trainer.num_sanity_val_steps=0"]
    main(["fit", *SAMPLE, *QUIET, *half, *left_out])


def test_two_processes_score_as_one(trained, repository, run_python):
    """Scores are sums over ranks: batches halved between two give the same ones."""
    given = ["-c", str(trained / "config.yaml"), "-c", "configs/trainer/ddp_cpu.yaml", "--ckpt_path", "best", *QUIET]
    before = metrics(trained)
    kept = {name: value for name, value in before.items() if not name.startswith("val/")}
    (trained / "metrics.json").write_text(json.dumps(kept))  # so that they can only come from the two
    run_python(str(repository / "cli.py"), "validate", *given)
    after = metrics(trained)
    assert after["val/las"] == pytest.approx(before["val/las"], abs=1e-6)
    assert after["val/lcm"] == pytest.approx(before["val/lcm"], abs=1e-6)


def test_a_sentence_without_tags_is_named_by_its_place_in_the_input():
    rows = sample_rows("trees", "train")[:9]
    names = Vocabulary.of([sentence_and_tree(row["conllu"]) for row in rows])
    tags = {"form_count": len(names.forms) + 2, "upos_count": len(names.upos) + 2, "xpos_count": len(names.xpos) + 2}
    module = DependencyParser(ParserConfig(form_dim=4, layers=0, **tags, label_count=len(names.labels), vector_count=0))
    module.configure_model()
    module.model.vocabulary = names
    tagged = (1028, taken_apart(rows[0]["conllu"]))
    bare = taken_apart("# sent_id = w-7\n1\tYes\t_\t_\t_\t_\t_\t_\t_\t_")
    with pytest.raises(ValueError, match=r"sentence 1030, sent_id w-7 \(Yes …\) has no UPOS"):
        module.predict_step([tagged, (1029, bare)], 0)
