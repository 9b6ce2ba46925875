"""Training from end to end: what a transformer learns, what it leaves behind, and what it does with text."""

import csv
import json
from pathlib import Path

import pytest
import torch
from torch.optim import AdamW, Muon
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from lightning_nlp.cli import main
from lightning_nlp.data.sample_world import sample_rows
from lightning_nlp.transformer import Transformer, TransformerConfig, TransformerModel
from lightning_nlp.transformer.optimizer import MuonAdamW
from tests.cli_runs import fit_until_crash, same_weights

PRETRAIN = ["-c", "configs/transformer/pretrain_sample.yaml"]
FINETUNE = ["-c", "configs/transformer/finetune_sample.yaml"]
QUIET = ["--trainer.logger=false", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
TINY = ["--model.config.dim=32", "--data.batch_tokens=256", "--trainer.val_check_interval=4"]
TEST = sample_rows("questions", "test")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory) -> Path:
    """The run folder of the sample config, as it is shipped."""
    folder = tmp_path_factory.mktemp("pretrained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("LIGHTNING_NLP_CACHE", str(folder / "cache"))
        return folder / main(["fit", *PRETRAIN, *QUIET]).run


@pytest.fixture(scope="module")
def finetuned(pretrained, tmp_path_factory) -> Path:
    """A run that began with it."""
    folder = tmp_path_factory.mktemp("finetuned")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("LIGHTNING_NLP_CACHE", str(folder / "cache"))
        return folder / main(["fit", *FINETUNE, *QUIET, f"--model.pretrained={pretrained / 'export'}"]).run


def metrics(run: Path) -> dict[str, float]:
    return json.loads((run / "metrics.json").read_text())


def test_it_remembers_what_it_read(finetuned):
    """Nothing but the biographies tells where those were born who are asked for."""
    main(["test", "-c", str(finetuned / "config.yaml"), "--ckpt_path", "best", *QUIET])
    found = metrics(finetuned)
    assert found["test/accuracy"] > 60
    assert found["test/accuracy_baseline"] < 50
    model = AutoModelForCausalLM.from_pretrained(finetuned / "export").eval()
    answers = model.answer([row["question"] for row in TEST])
    right = sum(answer == row["answer"] for answer, row in zip(answers, TEST))
    assert 100 * right / len(TEST) == pytest.approx(found["test/accuracy"])


def test_answers_errors_and_attention_are_left_behind(finetuned):
    with (finetuned / "tables/val/answers.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["right"] for row in rows} <= {"yes", "no"}
    assert all((row["answer"] == row["found"]) == (row["right"] == "yes") for row in rows)
    with (finetuned / "tables/val/confusions.csv").open() as stream:
        assert all(row["answer"] != row["found"] for row in csv.DictReader(stream))
    for name in ("attention_1", "learning_curves"):
        assert (finetuned / f"figures/{name}.png").stat().st_size > 5000


def test_predict_answers_in_order(finetuned, tmp_path):
    file = tmp_path / "asked.tsv"
    file.write_text("".join(f"{row['question']}\tanything\n" for row in TEST[:5]))
    main(
        ["predict", "-c", str(finetuned / "config.yaml"), "--ckpt_path", "best", *QUIET, f"--data.predict_file={file}"]
    )
    lines = (finetuned / "predictions/asked.tsv").read_text().splitlines()
    model = TransformerModel.from_pretrained(finetuned / "export").eval()
    questions = [row["question"] for row in TEST[:5]]
    assert lines == [f"{question}\t{answer}" for question, answer in zip(questions, model.answer(questions))]


def test_predict_goes_on_with_prompts(pretrained, tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("Cleo Holt was born in\nPelmar is where\n")
    main(
        ["predict", "-c", str(pretrained / "config.yaml"), "--ckpt_path", "best", *QUIET, f"--data.predict_file={file}"]
    )
    lines = (pretrained / "predictions/prompts.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["Cleo Holt was born in", "Pelmar is where"]
    assert all(line.split("\t")[1] for line in lines)


def test_finetuning_begins_with_what_was_pretrained(pretrained, tmp_path):
    """From the export folder and from the checkpoint alike; a step of rate 0 changes nothing."""
    still = ["--trainer.max_steps=1", "--model.optimizer.lr=0", "--trainer.limit_val_batches=0"]
    for place in ("export", "checkpoints/best.ckpt"):
        cli = main(["fit", *FINETUNE, *QUIET, *still, f"--model.pretrained={pretrained / place}"])
        own, given = cli.model.model, TransformerModel.from_pretrained(pretrained / "export")
        assert own.config.dim == given.config.dim == 128
        for weight, expected in zip(own.parameters(), given.parameters()):
            assert torch.equal(weight, expected)


def test_what_is_not_there_is_asked_for():
    with pytest.raises(ValueError, match=r"model\.pretrained: there is no nowhere/export"):
        main(["fit", *FINETUNE, *QUIET, "--model.pretrained=nowhere/export"])


def test_what_is_of_another_kind_is_refused(tmp_path):
    """transformers would warn, and begin with random weights."""
    GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=8, n_head=1, vocab_size=20, n_positions=8)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"has no tokenizer\.json"):
        main(["fit", *FINETUNE, *QUIET, f"--model.pretrained={tmp_path}"])
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match=r"holds a model of type gpt2, expected lightning-nlp-transformer"):
        main(["fit", *FINETUNE, *QUIET, f"--model.pretrained={tmp_path}"])


def test_finetuning_may_change_dropout_and_says_what_it_saw(pretrained):
    """But no other number of what was pretrained."""
    asked = [f"--model.pretrained={pretrained / 'export'}", "--data.held_back=0.1", "--trainer.max_steps=1"]
    run = main(["fit", *FINETUNE, *QUIET, *asked, "--model.config.dropout=0.3"]).run
    found = TransformerModel.from_pretrained(run / "export").config
    assert (found.dropout, found.dim, found.questions_held_back) == (0.3, 128, 0.1)
    with pytest.raises(ValueError, match=r"model\.config\.layers is 7, but what was pretrained has"):
        main(["fit", *FINETUNE, *QUIET, *asked, "--model.config.layers=7"])


@pytest.mark.parametrize(("held_back", "warns"), [(0.2, False), (0.3, True)])
def test_questions_that_pretraining_saw_are_no_validation(pretrained, held_back, warns, recwarn):
    asked = [f"--model.pretrained={pretrained / 'export'}", f"--data.held_back={held_back}", "--trainer.max_steps=1"]
    main(["fit", *FINETUNE, *QUIET, *asked])
    assert any("will be too high. It held back 0.2" in str(one.message) for one in recwarn) == warns


def test_from_scratch_the_questions_make_the_tokenizer():
    cli = main(["fit", *FINETUNE, *QUIET, *TINY, "--trainer.max_steps=2", "--model.pretrained=null"])
    assert cli.model.model.answer(["Where was Cleo Holt born?"])


def test_a_gpt2_is_exported_as_one():
    small = ["--model.config.dim=32", "--model.config.layers=2", "--model.config.heads=2", "--data.vocab_size=300"]
    text = ["--data.path=sample", "--data.tokenizer=bpe", "--data.validation_fraction=0", "--trainer.max_steps=2"]
    rows = [
        "--model.config.context=64",
        "--data.context=64",
        "--data.batch_tokens=256",
        "--trainer.val_check_interval=2",
    ]
    steps = [
        "--trainer.accumulate_grad_batches=1",
        "--model.scheduler=null",
        "--model.compile=false",
        "--trainer.limit_val_batches=1",
    ]
    run = main(["fit", "-c", "configs/transformer/gpt2.yaml", *small, *text, *rows, *steps, *QUIET]).run
    theirs = GPT2LMHeadModel.from_pretrained(run / "export/gpt2").eval()
    ours = TransformerModel.from_pretrained(run / "export").eval()
    tokens = AutoTokenizer.from_pretrained(run / "export/gpt2")("a king was born", return_tensors="pt").input_ids
    torch.testing.assert_close(theirs(tokens).logits, ours(tokens).logits, rtol=0, atol=1e-5)


def test_a_perceiver_wants_one_document_a_row():
    asked = ["fit", *PRETRAIN, *QUIET, *TINY, "--trainer.max_steps=2", "--model.config.attention=perceiver"]
    with pytest.raises(ValueError, match=r"set data\.pack to false"):
        main(asked)
    main([*asked, "--data.pack=false"])


@pytest.mark.parametrize("options", [[], ["--trainer.limit_train_batches=2", "--trainer.val_check_interval=2"]])
def test_a_crashed_run_goes_on_to_the_same_weights(options, monkeypatch):
    """Endless batches too go on where they stood, also in the midst of the second of several epochs."""
    monkeypatch.setattr("lightning_nlp.training.checkpoints.LastCheckpoint.__init__.__defaults__", (0.0,))
    fit = ["fit", *PRETRAIN, *QUIET, *TINY, "--trainer.max_steps=7", "--trainer.limit_val_batches=0", *options]
    straight = main(fit).run
    crashed = fit_until_crash(3, fit, Path("runs/transformer/pretrain_sample"))
    resumed = main([*fit, "--resume=auto"]).run
    assert resumed.resolve() == crashed
    assert same_weights(straight / "checkpoints/last.ckpt", resumed / "checkpoints/last.ckpt")


@pytest.mark.parametrize(("overfits", "different"), [(False, 3), (True, 1)])
def test_every_epoch_has_other_batches(overfits, different, monkeypatch):
    """Unless Lightning is asked to overfit a few."""
    first = []
    step = Transformer.training_step
    monkeypatch.setattr(Transformer, "training_step", lambda module, batch, number: _noted(first, step, module, batch))
    limit = "--trainer.overfit_batches=1" if overfits else "--trainer.limit_train_batches=1"
    main(["fit", *PRETRAIN, *QUIET, *TINY, "--trainer.max_steps=3", "--trainer.val_check_interval=1", limit])
    assert len(first) == 3
    assert len({tuple(tokens) for tokens in first}) == different


def _noted(first, step, module, batch):
    first.append(batch.tokens.flatten().tolist())
    return step(module, batch, 0)


def test_averaged_weights_are_what_is_exported():
    """Lightning's own callback averages: the export has moved, but less far than the weights themselves."""
    fit = ["fit", *PRETRAIN, *QUIET, *TINY, "--trainer.max_steps=4"]
    average = ["--trainer.callbacks+=pytorch_lightning.callbacks.EMAWeightAveraging", "--trainer.callbacks.decay=0.9"]
    start, plain, averaged = (
        torch.nn.utils.parameters_to_vector(
            TransformerModel.from_pretrained(main([*fit, *more]).run / "export").parameters()
        )
        for more in (["--model.optimizer.lr=0", "--model.optimizer.adamw_lr=0"], [], average)
    )
    assert 0 < (averaged - start).norm() < 0.7 * (plain - start).norm()


def test_two_processes_score_as_one(pretrained, repository, run_python):
    given = ["-c", str(pretrained / "config.yaml"), "-c", "configs/trainer/ddp_cpu.yaml", *QUIET]
    before = metrics(pretrained)
    kept = {name: value for name, value in before.items() if not name.startswith("val/")}
    (pretrained / "metrics.json").write_text(json.dumps(kept))  # so that they can only come from the two
    run_python(str(repository / "cli.py"), "validate", *given, "--ckpt_path", "best")
    after = metrics(pretrained)
    for score in ("accuracy", "accuracy_baseline", "loss", "bits_per_character"):
        assert after[f"val/{score}"] == pytest.approx(before[f"val/{score}"], abs=1e-4)


@pytest.mark.slow
def test_a_process_without_a_question_comes_to_the_end_too(pretrained, repository, run_python):
    """Of a single one that is held back, for two processes."""
    given = ["-c", str(pretrained / "config.yaml"), "-c", "configs/trainer/ddp_cpu.yaml", *QUIET]
    run_python(str(repository / "cli.py"), "validate", *given, "--ckpt_path", "best", "--data.held_back=0.015")
    assert metrics(pretrained)["val/accuracy"] in (0, 100)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_both_parts_step_as_they_do_alone(name):
    torch.manual_seed(0)
    shapes = {"matrices": [(6, 4), (3, 5)], "vectors": [(7, 4)], "others": [(4,)]}
    start = {kind: [torch.randn(shape) for shape in of_kind] for kind, of_kind in shapes.items()}
    together = {kind: [weight.clone().requires_grad_() for weight in of_kind] for kind, of_kind in start.items()}
    alone = {kind: [weight.clone().requires_grad_() for weight in of_kind] for kind, of_kind in start.items()}
    both = MuonAdamW([{"params": of_kind, "kind": kind} for kind, of_kind in together.items()], 0.02, 0.003)
    kinds = ["matrices"] if name == "muon" else ["vectors", "others"]
    own = [weight for kind in kinds for weight in alone[kind]]
    single = Muon(own, lr=0.02, weight_decay=0.01) if name == "muon" else AdamW(own, 0.003, (0.9, 0.95))
    for step in range(3):
        for weights in (together, alone):
            for weight in (weight for of_kind in weights.values() for weight in of_kind):
                weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(step))
        both.step()
        single.step()
    for kind in kinds:
        for one, other in zip(together[kind], alone[kind]):
            torch.testing.assert_close(one, other)
    copy = MuonAdamW([{"params": of_kind, "kind": kind} for kind, of_kind in together.items()])
    copy.load_state_dict(both.state_dict())
    assert [group["lr"] for group in copy.param_groups] == [0.02, 0.003, 0.003]


def test_groups_of_weights():
    model = TransformerModel(
        TransformerConfig(dim=16, layers=2, heads=2, vocab_size=40, positions="learned", bias=True)
    )
    groups = {group["kind"]: group for group in model.parameter_groups()}
    assert sum(len(group["params"]) for group in groups.values()) == len(list(model.parameters()))
    assert len(groups["matrices"]["params"]) == 2 * 4
    assert len(groups["vectors"]["params"]) == 2
    assert groups["others"]["weight_decay"] == 0.0
