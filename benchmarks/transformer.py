"""The transformer on CS224N's assignment 5, and its speed beside others; rows append to results/transformer.json.

    python benchmarks/transformer.py --parts a5 --keep runs/a5       pretrain, finetune, ask: 35 minutes
    python benchmarks/transformer.py --parts table --keep runs/a5    no pretraining, synthesizer, perceiver at a quarter
                                                                     of the steps, and London: an hour
    python benchmarks/transformer.py --parts wikipedia --keep runs/a5
                                                                     pretrain_wikipedia, and HuggingFace's GPT-2 of its
                                                                     size for as many seconds: an hour and a quarter
    python benchmarks/transformer.py --parts speed [--mingpt CODE]   training tokens a second beside HuggingFace's GPT-2
                                                                     and minGPT (checkout of karpathy/minGPT): 5 minutes
Accuracy is exact match on birth_dev, looked at once when all is trained. Speed: the same documents of wiki.txt for all,
at equal sizes and rows of 128 tokens, tokens that are no padding counted; the others as their documentation runs them,
a document a row, float32, uncompiled, and once more compiled under bfloat16; the median of the steps after the first.
"""

import argparse
import gzip
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import harness
from harness import ROOT

DATA = harness.DATA / "cs224n_a5"
ROWS, CONTEXT = 32, 128
SIZES = {"dim": 256, "layers": 4, "heads": 4, "context": CONTEXT}
PRETRAINED_SIZES = "{dim: 256, layers: 3, heads: 4, context: 128, dropout: 0.1}"  # of pretrain_a5
VARIANTS = {
    "pretrained": [],
    "synthesizer": ["--model.config.attention", "synthesizer"],
    "perceiver": ["--model.config.attention", "perceiver", "--model.config.layers", "4", "--data.pack", "false"],
}


def report(what: str, found: dict[str, Any], **about: object) -> None:
    harness.report("transformer", what, found, packages=("torch", "transformers"), **about)


def command(*arguments: str) -> None:
    """Runs the command line in a process of its own."""
    harness.run([sys.executable, str(ROOT / "cli.py"), *arguments], folder=ROOT)


def fit(config: str, folder: Path, *options: str) -> Path:
    """Returns the run folder of a training; one that is there already is not repeated."""
    if not (folder / "latest/metrics.json").exists():
        files = {
            "pretrain_a5": ["--data.data_files.train", f"{DATA}/wiki.txt"],
            "finetune_a5": [
                "--data.data_files",
                f"{{train: {DATA}/birth_places_train.tsv, test: {DATA}/birth_dev.tsv}}",
            ],
        }[config]
        asked = ["--data.questions", f"{DATA}/birth_places_train.tsv"] if config == "pretrain_a5" else []
        given = ["-c", f"configs/transformer/{config}.yaml", "--trainer.default_root_dir", str(folder)]
        command("fit", *given, *files, *asked, "--trainer.logger", "false", *options)
    return (folder / "latest").resolve()


def pretrain_and_finetune(folder: Path, name: str, *options: str) -> tuple[dict[str, Any], float]:
    """Returns the scores of the finetuned model, and the seconds of both trainings."""
    pretrained = fit("pretrain_a5", folder / f"{name}_pretrain", *options)
    pack = [part for pair in zip(options[::2], options[1::2]) if pair[0] == "--data.pack" for part in pair]
    return asked(fit("finetune_a5", folder / name, "--model.pretrained", f"{pretrained}/export", *pack), pretrained)


def asked(run: Path, *earlier: Path) -> tuple[dict[str, Any], float]:
    """Asks the questions of birth_dev."""
    command("test", "-c", str(run / "config.yaml"), "--ckpt_path", "best", "--trainer.logger", "false")
    costs = [json.loads((place / "metrics.json").read_text()) for place in (*earlier, run)]
    wanted = ("test/accuracy", "test/accuracy_baseline", "test/answers_per_second", "val/accuracy", "parameters")
    found = {key: costs[-1][key] for key in wanted}
    before = {"val/accuracy_pretrained": costs[0]["val/accuracy"]} if earlier else {}
    return found | before, sum(cost["seconds/fit"] for cost in costs)


def a5(folder: Path) -> None:
    """The shipped configurations."""
    found, seconds = pretrain_and_finetune(folder, "pretrained")
    report("a5, pretrained and finetuned", found, seconds_fit=round(seconds, 1))


def table(folder: Path) -> None:
    """The course's comparison, each pretraining a quarter as long; without pretraining as long as finetuning helps."""
    scratch = ["--model.pretrained", "null", "--model.config", PRETRAINED_SIZES, "--model.optimizer.lr", "0.001"]
    found, seconds = asked(fit("finetune_a5", folder / "scratch", *scratch, "--trainer.max_steps", "500"))
    report("a5, not pretrained", found, seconds_fit=round(seconds, 1))
    for name, options in VARIANTS.items():
        found, seconds = pretrain_and_finetune(folder, f"quarter_{name}", *options, "--trainer.max_steps", "1000")
        report(f"a5, {name}, a quarter of the steps", found, seconds_fit=round(seconds, 1))


def articles(file: Path) -> Iterator[str]:
    """Yields the articles of a dump: lines from one first heading (` = Title = `) to the next."""
    lines: list[str] = []
    with gzip.open(file, "rt", encoding="utf-8") as stream:
        for line in map(str.strip, stream):
            if line.startswith("= ") and not line.startswith("= =") and lines:
                yield "\n".join(lines)
                lines = []
            if line:
                lines.append(line)
    yield "\n".join(lines)


def write_articles(folder: Path) -> dict[str, str]:
    """Writes Wikipedia as JSON lines, every hundredth article held back for validation, and WikiText-2's for test."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {split: folder / f"{split}.jsonl" for split in ("train", "validation", "test")}
    with files["train"].open("w") as train, files["validation"].open("w") as validation:
        for number, text in enumerate(articles(harness.DATA / "english_corpus/wikipedia.raw.txt.gz")):
            print(json.dumps({"text": text}), file=train if number % 100 else validation)
    with files["test"].open("w") as test:
        for text in articles(harness.DATA / "wikitext2/wiki.valid.tokens.gz"):
            print(json.dumps({"text": text}), file=test)
    return {split: str(file) for split, file in files.items()}


def wikipedia(folder: Path) -> None:
    """Bits a character of held-back articles, ours and those of HuggingFace's GPT-2 after as many seconds."""
    home = folder / "wikipedia"
    files = json.dumps(write_articles(home))
    if not (home / "latest/metrics.json").exists():
        given = ["-c", "configs/transformer/pretrain_wikipedia.yaml", "--data.path", "json", "--data.name", "null"]
        where = ["--data.data_files", files, "--trainer.default_root_dir", str(home), "--trainer.logger", "false"]
        command("fit", *given, *where)
    run = (home / "latest").resolve()
    for step in ("validate", "test"):  # all of the held-back articles, of which training scores some
        whole = ["--trainer.limit_val_batches", "1.0", "--trainer.logger", "false"]
        command(step, "-c", str(run / "config.yaml"), "--ckpt_path", "best", *whole)
    costs = json.loads((run / "metrics.json").read_text())
    scores = {key: costs[key] for key in costs if key.endswith(("bits_per_character", "perplexity"))}
    wanted = ("seconds/fit", "throughput/train", "parameters", "flops/utilisation")
    report("wikipedia, pretrain_wikipedia", scores | {key: costs[key] for key in wanted})
    report("wikipedia, HuggingFace GPT-2", huggingface_on_wikipedia(run, home, costs["seconds/fit"]))


def huggingface_on_wikipedia(run: Path, home: Path, seconds: float) -> dict[str, Any]:
    """Trains GPT-2 of our size on our tokens, text after text in rows that are full, as its documentation has it."""
    import numpy as np
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from lightning_nlp.transformer import TransformerModel
    from lightning_nlp.transformer.data import text_batches
    from lightning_nlp.transformer.metrics import text_scores

    ours = TransformerModel.from_pretrained(run / "export")
    sizes = {"n_embd": ours.config.dim, "n_layer": ours.config.layers, "n_head": ours.config.heads}
    context, eos = ours.config.context, ours.config.eos_token_id
    torch.manual_seed(42)
    model = GPT2LMHeadModel(GPT2Config(**sizes, n_positions=context, vocab_size=ours.config.vocab_size))
    encode = ours.tokenizer.backend_tokenizer.encode_batch_fast
    texts = [json.loads(line)["text"] for line in (home / "train.jsonl").open()]
    parts = (texts[start : start + 1000] for start in range(0, len(texts), 1000))
    encoded = (one.ids for part in parts for one in encode(part, add_special_tokens=False))
    flat = np.fromiter((token for ids in encoded for token in (*ids, eos)), np.int64)
    rows = torch.from_numpy(flat[: len(flat) // context * context].reshape(-1, context))
    optimizer = torch.optim.AdamW(model.parameters(), 6e-4, weight_decay=0.1)
    began, trained = time.perf_counter(), 0
    while (passed := (time.perf_counter() - began) / seconds) < 1:
        optimizer.param_groups[0]["lr"] = 6e-4 * min(1, passed / 0.02, 1.02 - passed)
        batch = rows[torch.randint(len(rows), (ROWS,))]
        model(batch, labels=batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        trained += batch.numel()
    found: dict[str, Any] = {"seconds/fit": seconds, "throughput/train": trained / seconds}
    model.eval()
    for split, name in (("validation", "val"), ("test", "test")):
        texts = (json.loads(line)["text"] for line in (home / f"{split}.jsonl").open())
        sums = np.zeros(3)
        for batch, characters in text_batches(texts, ours.tokenizer, context, context):
            with torch.no_grad():
                logits = model(batch.tokens).logits.flatten(0, 1)
            loss = torch.nn.functional.cross_entropy(logits, batch.targets.flatten(), reduction="sum")
            sums += (float(loss), int((batch.targets != -100).sum()), characters)
        scores = text_scores(*sums.tolist())
        found |= {f"{name}/{key}": scores[key] for key in ("bits_per_character", "perplexity")}
    return found | {"parameters": sum(weight.numel() for weight in model.parameters())}


def rate(batches: Iterator[Any], loss_of: Callable[[Any], Any], optimizer: Any, bf16: bool) -> float:
    """Returns non-padding tokens a second of training steps, the median of those after the first four."""
    import torch

    rates = []
    for batch in islice(batches, 12):
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = loss_of(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
        optimizer.step()
        optimizer.zero_grad()
        rates.append(int((batch.documents > 0).sum()) / (time.perf_counter() - began))
    return statistics.median(rates[4:])


def padded(examples: Iterator[Any]) -> Iterator[Any]:
    """Batches as the peers take them: an example a row."""
    from lightning_nlp.transformer.packing import lay_out

    while True:
        yield lay_out([[one] for one in islice(examples, ROWS)], CONTEXT)


def speed(folder: Path, mingpt: Path | None) -> None:
    """Tokens a second of training."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from lightning_nlp.transformer import PretrainingData, TransformerConfig, TransformerModel
    from lightning_nlp.transformer.optimizer import MuonAdamW
    from lightning_nlp.transformer.packing import PackedBatches

    data = PretrainingData(path="text", data_files={"train": str(DATA / "wiki.txt")}, cache_dir=str(folder / "cache"))
    data.setup("fit")
    vocab = len(data.tokenizer)

    def ours(compiled: bool, bf16: bool) -> float:
        model = TransformerModel(TransformerConfig(**SIZES, vocab_size=vocab)).train()
        for block in model.blocks if compiled else []:
            block.compile(dynamic=False)
        batches = iter(PackedBatches(data.examples, ROWS, CONTEXT))
        return rate(batches, lambda batch: model.summed_loss(*batch), MuonAdamW(model.parameter_groups()), bf16)

    def huggingface(compiled: bool, bf16: bool) -> float:
        sizes = {"n_embd": 256, "n_layer": 4, "n_head": 4, "n_positions": CONTEXT, "vocab_size": vocab}
        model = GPT2LMHeadModel(GPT2Config(**sizes)).train()
        if compiled:
            model.compile()

        def loss_of(batch: Any) -> Any:
            labels = batch.tokens.masked_fill(batch.documents == 0, -100)
            return model(batch.tokens, attention_mask=batch.documents, labels=labels).loss

        return rate(padded(data.examples()), loss_of, torch.optim.AdamW(model.parameters(), 6e-4), bf16)

    def karpathy(compiled: bool, bf16: bool) -> float:
        sys.path.insert(0, str(mingpt))
        from mingpt.model import GPT

        config = GPT.get_default_config()
        config.model_type, config.n_layer, config.n_head, config.n_embd = None, 4, 4, 256
        config.vocab_size, config.block_size = vocab, CONTEXT
        model = GPT(config).train()
        if compiled:
            model.compile()

        def loss_of(batch: Any) -> Any:
            return model(batch.tokens, batch.targets.masked_fill(batch.targets == -100, -1))[1]

        return rate(padded(data.examples()), loss_of, torch.optim.AdamW(model.parameters(), 6e-4), bf16)

    peers: dict[str, Callable[[bool, bool], float]] = {"lightning-nlp": ours, "HuggingFace GPT-2": huggingface}
    if mingpt:
        peers["minGPT"] = karpathy
    found = {
        f"{name}, as documented": of(name == "lightning-nlp", name == "lightning-nlp") for name, of in peers.items()
    }
    found |= {f"{name}, compiled, bf16": of(True, True) for name, of in peers.items() if name != "lightning-nlp"}
    report("speed, training tokens/s", found, sizes=f"4 layers of 256, {ROWS} rows of {CONTEXT}, {vocab} tokens")


PARTS = ("a5", "table", "wikipedia", "speed")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="of trained models: used when there, else trained")
    parser.add_argument("--mingpt", type=Path, metavar="CODE", help="checkout of karpathy/minGPT")
    arguments = parser.parse_args()
    if not DATA.exists():
        sys.exit(f"No {DATA}: the benchmark reads its text and questions there; nothing was measured.")
    with tempfile.TemporaryDirectory() as scratch:
        place = (arguments.keep or Path(scratch)).resolve()
        place.mkdir(parents=True, exist_ok=True)
        run: dict[str, Callable[[Path], None]] = {"a5": a5, "table": table, "wikipedia": wikipedia}
        for part in arguments.parts:
            {**run, "speed": lambda kept: speed(kept, arguments.mingpt)}[part](place)
