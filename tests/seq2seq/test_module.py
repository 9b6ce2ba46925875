"""Training from end to end: what a translator learns, what it leaves behind, and what it does with text."""

import csv
import io
import json
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from sacrebleu import corpus_bleu

from lightning_nlp.cli import main
from lightning_nlp.data.sample_world import sample_rows
from lightning_nlp.seq2seq import Seq2Seq, Seq2SeqConfig, Seq2SeqModel
from lightning_nlp.seq2seq.batch import EOS
from lightning_nlp.seq2seq.module import one_line
from lightning_nlp.seq2seq.search import Search

SAMPLE = ["-c", "configs/seq2seq/sample.yaml"]
QUIET = ["--trainer.logger=false", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
TEST = sample_rows("translations", "test")
TARGETS = [row["target"] for row in sample_rows("translations", "train")]


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


def predict(run: Path, file: Path | str, *options: str) -> list[str]:
    given = ["-c", str(run / "config.yaml"), "--ckpt_path", "best", *QUIET, "--data.predict_file", str(file)]
    main(["predict", *given, *options])
    return (run / "predictions" / f"{Path(file).stem}.txt").read_text().splitlines()


def test_it_learns_the_sample_world(trained):
    """Copying reaches a BLEU of about 3, and a dictionary word by word 6."""
    main(["test", "-c", str(trained / "config.yaml"), "--ckpt_path", "best", *QUIET])
    found = metrics(trained)
    assert found["test/bleu"] > 60
    assert found["test/bleu_copy"] < found["test/bleu_dictionary"] < 20
    assert found["throughput/unit"] == "target tokens/s"
    texts, references = [row["source"] for row in TEST], [row["target"] for row in TEST]
    model = Seq2SeqModel.from_pretrained(trained / "export").eval()
    assert corpus_bleu(model.translate(texts), [references]).score == pytest.approx(found["test/bleu"], abs=1e-4)


def test_training_begins_with_the_frequencies_of_the_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIGHTNING_NLP_CACHE", str(tmp_path / "cache"))
    options = ["--trainer.max_steps=1", "--model.scheduler=null", "--model.optimizer.lr=0"]
    run = tmp_path / main(["fit", *SAMPLE, *QUIET, *options]).run
    model = Seq2SeqModel.from_pretrained(run / "export")
    written = Counter(tokens for row in model.tokenizers[1](TARGETS).input_ids for tokens in row)
    expected = torch.tensor([max(1, written[number]) for number in range(len(model.output_bias))])
    expected[EOS] = len(TARGETS)
    torch.testing.assert_close(model.output_bias.softmax(0), expected / expected.sum())


def test_going_on_with_another_bitext_is_refused(trained, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text("other words\n" * 20)
    files = f"{{train: {{src: {tmp_path / 'a'}, tgt: {tmp_path / 'b'}}}}}"
    given = ["--data.path=bitext", f"--data.data_files={files}", "--data.vocab_size=30", "--ckpt_path"]
    with pytest.raises(ValueError, match="not those of the data"):
        main(["fit", *SAMPLE, *QUIET, *given, str(trained / "checkpoints/last.ckpt")])


def test_it_reads_the_source(trained):
    """With sources of other sentences a translator that only knows the language well would score the same."""
    texts, references = [row["source"] for row in TEST], [row["target"] for row in TEST]
    model = Seq2SeqModel.from_pretrained(trained / "export").eval()
    shuffled = model.translate([*texts[1:], texts[0]], Search(beam=1))
    assert corpus_bleu(shuffled, [references]).score < 20


def test_predict_keeps_the_order_and_lists_the_best(trained, tmp_path):
    texts = [row["source"] for row in TEST[:7]]
    file = tmp_path / "in.txt"
    file.write_text("\n".join([*texts[:3], "", *texts[3:], "Zebra 日本"]) + "\n")
    found = predict(trained, file, "--data.n_best=3", "--model.search.beam=4")
    assert len(found) == 9
    assert found[3] == ""
    alone = [predict(trained, _file(tmp_path, text), "--model.search.beam=4")[0] for text in texts[:2]]
    assert found[:2] == alone
    listed = [line.split("\t") for line in (trained / "predictions/extra/in.n_best.tsv").read_text().splitlines()]
    first = [fields for fields in listed if fields[0] == "1"]
    assert next(fields[2] for fields in first) == found[0]
    assert len(first) == 3
    scores = (trained / "predictions/extra/in.scores.txt").read_text().splitlines()
    assert scores[0] == first[0][1]
    assert [float(fields[1]) for fields in first] == sorted((float(fields[1]) for fields in first), reverse=True)


def _file(folder: Path, text: str) -> Path:
    (folder / "one.txt").write_text(text + "\n")
    return folder / "one.txt"


def test_line_ends_and_tabs_tear_no_file_of_predictions_apart():
    assert one_line("one\ttext\nof two lines\u2028and more\r\n") == "one text of two lines and more"
    assert one_line(" two  spaces\u00a0stay") == " two  spaces\u00a0stay"


def test_predict_in_half_precision_finds_nearly_the_same_translations(trained, tmp_path):
    file = tmp_path / "in.txt"
    file.write_text("".join(row["source"] + "\n" for row in TEST))
    whole, half = (predict(trained, file, f"--trainer.precision={name}") for name in ("32-true", "bf16-true"))
    assert sum(one == other for one, other in zip(whole, half)) > 0.8 * len(TEST)


def test_predict_reads_standard_input(trained, tmp_path, monkeypatch, capfd):
    file = tmp_path / "in.txt"
    file.write_text("".join(row["source"] + "\n" for row in TEST[:3]))
    found = predict(trained, file)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    capfd.readouterr()
    given = ["-c", str(trained / "config.yaml"), "--ckpt_path", "best", *QUIET, "--data.predict_file", "-"]
    with pytest.warns(UserWarning, match="standard output has no place for lists"):
        main(["predict", *given, "--data.n_best=2"])
    assert capfd.readouterr().out.splitlines() == found


def test_tables_figures_and_translations_are_left_behind(trained):
    with (trained / "tables/val/by_length.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert sum(int(row["sentences"]) for row in rows) == 150
    assert (trained / "figures/val/by_length.png").stat().st_size > 3000
    assert (trained / "figures/attention_1.png").stat().st_size > 3000
    assert (trained / "translations.html").read_text().count("<svg") > 5


def test_a_checkpoint_stands_alone_and_holds_plain_values(trained):
    checkpoint = torch.load(trained / "checkpoints/best.ckpt", weights_only=True)
    assert len(checkpoint["tokenizers"]) == 2
    assert checkpoint["hyper_parameters"]["config"]["source_vocab"] > 4


def test_settings_from_python_are_kept_as_plain_values():
    module = Seq2Seq(Seq2SeqConfig(), search=Search(beam=7))
    assert module.hparams["search"]["beam"] == 7


def weights_after(steps: int, *options: str) -> dict[str, torch.Tensor]:
    given = ["--model.config.dropout=0", "--trainer.max_steps", str(steps), "--model.optimizer=torch.optim.SGD"]
    limits = ["--model.optimizer.lr=0.1", "--model.scheduler=null", "--trainer.limit_val_batches=1"]
    run = main(["fit", *SAMPLE, *QUIET, *given, *limits, *options]).run
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def test_accumulated_batches_equal_one_big_one(tmp_path):
    """Batches with different numbers of tokens: a mean of their means would weigh tokens of the short one more."""
    pairs = [("a b c d e f", "u v w x y z"), ("b a c e d f", "v u w x z y"), ("c", "w"), ("d e", "x y z")]
    for side, place in (("src", 0), ("tgt", 1)):
        (tmp_path / f"a.{side}").write_text("".join(pair[place] + "\n" for pair in pairs))
    files = {"src": str(tmp_path / "a.src"), "tgt": str(tmp_path / "a.tgt")}
    data = ["--data.path=bitext", "--data.data_files", json.dumps({"train": files, "validation": files})]
    together = weights_after(1, *data, "--data.batch_tokens=100")
    apart = weights_after(1, *data, "--data.batch_tokens=7", "--trainer.accumulate_grad_batches=4")
    for name, weight in together.items():
        torch.testing.assert_close(apart[name], weight, rtol=1e-4, atol=1e-6, msg=name)


def test_two_processes_score_as_one(trained, repository, run_python):
    given = ["-c", str(trained / "config.yaml"), "-c", "configs/trainer/ddp_cpu.yaml", "--ckpt_path", "best", *QUIET]
    before = metrics(trained)
    kept = {name: value for name, value in before.items() if not name.startswith("val/")}
    (trained / "metrics.json").write_text(json.dumps(kept))  # so that they can only come from the two
    run_python(str(repository / "cli.py"), "validate", *given)
    after = metrics(trained)
    for score in ("bleu", "chrf", "loss"):
        assert after[f"val/{score}"] == pytest.approx(before[f"val/{score}"], abs=1e-4)
