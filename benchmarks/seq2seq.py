"""The translator beside JoeyNMT and a course-style loop on Multi30k; rows append to results/seq2seq.json.

    python benchmarks/seq2seq.py --parts training --keep runs/peers            speed beside JoeyNMT's: 15 minutes
    python benchmarks/seq2seq.py --parts decoding --keep runs/peers            likewise, after it: 5 minutes, and 25
                                                                               for JoeyNMT to train when the folder
                                                                               is new
    python benchmarks/seq2seq.py --parts chr_en tatoeba_zh_en                  shipped configurations, each trained and
                                                                               tested once: half an hour each
    python benchmarks/seq2seq.py --parts ablations                             without attention and the like: three
                                                                               quarters of an hour
Both systems use all cores, one after the other, each at its best precision on the processor (JoeyNMT 2.3 has no lower
one there). Training: the same layers, sizes, vocabulary of words, dropout and batches of 1,024 tokens, padding counted;
target tokens a second, the median of what each logs. Decoding: the whole test set with a beam of 5, wall time from
opening the input to closing the output, model loaded; each decodes with the model it trained. JoeyNMT lives in an
environment of its own, made here: it needs an older protobuf than the project.
"""

import argparse
import gzip
import importlib.metadata
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import harness
from harness import DATA, ROOT, run

JOEY = "2.3.0"
NOT_NAMED = ["importlib_metadata"]  # what JoeyNMT imports, and does not ask for
VOCABULARY = 8000  # words of each language at most
UPDATES = 1200  # of the training of JoeyNMT's model that decodes: 20 minutes on two cores
TIMED_UPDATES = 300  # of its training that is timed, by its logs on the way

JOEY_CONFIG = """
name: multi30k
model_dir: {folder}/{name}
use_cuda: false
joeynmt_version: "2.3.0"
data:
    train: {folder}/train
    dev: {folder}/val
    test: {folder}/test
    dataset_type: plain
    src: &side {{lang: de, max_length: 100, level: word, voc_limit: {vocabulary}, tokenizer_type: none}}
    trg: {{lang: en, max_length: 100, level: word, voc_limit: {vocabulary}, tokenizer_type: none}}
testing: {{beam_size: 5, beam_alpha: 1.0, batch_size: 64, batch_type: sentence, max_output_length: 60,
           eval_metrics: [bleu], sacrebleu_cfg: {{tokenize: 13a}}}}
training: {{random_seed: 42, optimizer: adam, normalization: tokens, learning_rate: 0.002, scheduling: exponential,
            decrease_factor: 0.99, clip_grad_norm: 1.0, label_smoothing: 0.1, loss: crossentropy, batch_size: 1024,
            batch_type: token, epochs: 100, updates: {updates}, max_updates: {updates}, validation_freq: {updates},
            logging_freq: 50, early_stopping_metric: bleu, overwrite: true, shuffle: true, keep_best_ckpts: 1}}
model:
    initializer: xavier_uniform
    embed_initializer: normal
    embed_init_weight: 0.1
    bias_initializer: zeros
    init_rnn_orthogonal: true
    encoder: {{type: recurrent, rnn_type: lstm, embeddings: {{embedding_dim: 256, scale: false}}, hidden_size: 256,
               bidirectional: true, num_layers: 1, dropout: 0.3}}
    decoder: {{type: recurrent, rnn_type: lstm, embeddings: {{embedding_dim: 256, scale: false}}, hidden_size: 512,
               num_layers: 1, dropout: 0.3, hidden_dropout: 0.3, input_feeding: true, init_hidden: bridge,
               attention: luong}}
"""

JOEY_DECODE = """
import json, sys, time
from joeynmt.config import load_config, parse_global_args
from joeynmt.prediction import predict, prepare
config, source, out = sys.argv[1:]
args = parse_global_args(load_config(config), rank=0, mode="translate")
model, _, _, data = prepare(args, rank=0, mode="translate")
began = time.perf_counter()
with open(source, encoding="utf-8") as stream:
    for line in stream:
        data.set_item(line.rstrip())
found = predict(model=model, data=data, compute_loss=False, device=args.device, rank=0, n_gpu=0, normalization="none",
                num_workers=0, args=args.test, autocast=args.autocast)[2]
with open(out, "w", encoding="utf-8") as stream:
    stream.writelines(line + "\\n" for line in found)
print(json.dumps({"seconds": time.perf_counter() - began, "sentences": len(found)}))
"""

OUR_DECODE = """
import json, sys, time
import torch
from lightning_nlp.seq2seq import Seq2SeqModel
from lightning_nlp.seq2seq.search import Search
folder, source, out = sys.argv[1:]
model, search = Seq2SeqModel.from_pretrained(folder, dtype=torch.bfloat16).eval(), Search(beam=5)
began = time.perf_counter()
with open(source, encoding="utf-8") as stream:
    texts = [line.rstrip("\\n") for line in stream]
found = model.translate(texts, search)
with open(out, "w", encoding="utf-8") as stream:
    stream.writelines(line + "\\n" for line in found)
print(json.dumps({"seconds": time.perf_counter() - began, "sentences": len(found)}))
"""

# The model and the loop that the course's assignment asks for: a cell a step, attention a step, words, 32 sentences.
COURSE = """
import json, sys, time
import numpy as np, torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from lightning_nlp.seq2seq.data import load_bitext
class Course(nn.Module):
    def __init__(self, source, target, dim=256, dropout=0.3):
        super().__init__()
        self.source, self.target = nn.Embedding(source, dim, padding_idx=0), nn.Embedding(target, dim, padding_idx=0)
        self.encoder = nn.LSTM(dim, dim, bidirectional=True, batch_first=True)
        self.decoder = nn.LSTMCell(2 * dim, dim)
        self.h, self.c = nn.Linear(2 * dim, dim, bias=False), nn.Linear(2 * dim, dim, bias=False)
        self.key, self.combine = nn.Linear(2 * dim, dim, bias=False), nn.Linear(3 * dim, dim, bias=False)
        self.out, self.dropout, self.dim = nn.Linear(dim, target, bias=False), nn.Dropout(dropout), dim
    def forward(self, batch):
        packed = pack_padded_sequence(self.source(batch.source), batch.source_lengths, True, enforce_sorted=False)
        states, (h, c) = self.encoder(packed)
        states = pad_packed_sequence(states, True)[0]
        state = self.h(torch.cat([h[0], h[1]], 1)), self.c(torch.cat([c[0], c[1]], 1))
        keys, padding = self.key(states), torch.arange(states.shape[1]) >= batch.source_lengths[:, None]
        fed, outputs = torch.zeros(len(states), self.dim), []
        for embedded in self.target(batch.read).split(1, 1):
            state = self.decoder(torch.cat([embedded[:, 0], fed], 1), state)
            scores = (keys @ state[0][:, :, None])[:, :, 0].masked_fill(padding, -float("inf"))
            context = (scores.softmax(1)[:, None] @ states)[:, 0]
            fed = self.dropout(self.combine(torch.cat([state[0], context], 1)).tanh())
            outputs.append(fed)
        scores = self.out(torch.stack(outputs, 1)).log_softmax(2)
        picked = scores.gather(2, batch.written[:, :, None])[:, :, 0]
        return -(picked * batch.is_token()).sum()
torch.manual_seed(0)
bitext = load_bitext(sys.argv[1])
model = Course(int(sys.argv[2]), int(sys.argv[3]))
optimizer, order = torch.optim.Adam(model.parameters(), lr=0.001), np.random.default_rng(0).permutation(len(bitext))
rates = []
for step in range(60):
    batch, _ = bitext.__getitems__(order[32 * step : 32 * step + 32].tolist())
    tokens, began = int(batch.is_token().sum()), time.perf_counter()
    loss = model(batch) / tokens
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimizer.step()
    rates.append(tokens / (time.perf_counter() - began))
print(json.dumps({"rates": rates[10:]}))
"""

# As JoeyNMT's above: words of either language, nothing tied, and an attentional state as large as the decoder's.
SAME_MODEL = {
    **{"config.dim": 256, "config.encoder_dim": 256, "config.encoder_layers": 1, "config.decoder_dim": 512},
    **{"config.decoder_layers": 1, "config.tied": "false", "config.dropout": 0.3, "label_smoothing": 0.1},
}
SAME_DATA = {"tokenizer": "words", "vocab_size": VOCABULARY, "joint": "false", "batch_tokens": 1024}
# As the course's above: its 32 sentences have 450 tokens in the mean.
COURSE_MODEL, COURSE_DATA = SAME_MODEL | {"config.decoder_dim": 256}, SAME_DATA | {"batch_tokens": 450}


def report(what: str, found: dict, **about: object) -> None:
    versions = f"{harness.versions('torch')}, joeynmt {JOEY}"
    harness.report("seq2seq", what, found, **about, versions=versions)


def joey(folder: Path) -> Path:
    """Returns the interpreter of JoeyNMT's environment, made when it is not there."""
    python = folder / "joeynmt/bin/python"
    if not python.exists():
        run([sys.executable, "-m", "venv", str(folder / "joeynmt")])
        torch = f"torch=={importlib.metadata.version('torch').split('+')[0]}"
        run([str(python), "-m", "pip", "install", "--quiet", torch, f"joeynmt=={JOEY}", *NOT_NAMED])
    return python


def unpacked(folder: Path) -> Path:
    """Writes Multi30k as plain files, as JoeyNMT wants them."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {"train": "train", "val": "val", "test": "test_2016_flickr"}
    for name, of in names.items():
        for language in ("de", "en"):
            text = gzip.decompress((DATA / f"multi30k/{of}.{language}.gz").read_bytes())
            (folder / f"{name}.{language}").write_bytes(text)
    return folder


def files(source: str, target: str, folder: str, splits: dict[str, str]) -> str:
    """`data_files` of a data set: split to the stem of its files."""

    def found(stem: str, language: str) -> str:
        return str(next((DATA / folder).glob(f"{stem}.{language}*")))

    return json.dumps({split: {"src": found(of, source), "tgt": found(of, target)} for split, of in splits.items()})


def fit(config: str, data_files: str, model: Path, *options: str) -> dict:
    """The command of the README; `model` becomes its export folder."""
    runs = model.with_name(f"{model.name}.runs")
    command = [sys.executable, str(ROOT / "cli.py"), "fit", "-c", str(ROOT / f"configs/seq2seq/{config}.yaml")]
    quiet = ["--trainer.logger", "false", "--trainer.enable_progress_bar", "false"]
    where = ["--data.path", "bitext", "--data.data_files", data_files, "--trainer.default_root_dir", str(runs)]
    run([*command, *where, *quiet, *options], model.with_name(f"{model.name}.log"))
    last = (runs / "latest").resolve()
    shutil.copytree(last / "export", model, dirs_exist_ok=True)
    return json.loads((last / "metrics.json").read_text())


def options_of(model: dict[str, object], data: dict[str, object]) -> list[str]:
    given = {f"--model.{key}": value for key, value in model.items()}
    given |= {f"--data.{key}": value for key, value in data.items()}
    return [text for key, value in given.items() for text in (key, str(value))]


def joey_model(folder: Path, name: str = "model", updates: int = UPDATES) -> Path:
    """Trains JoeyNMT, unless that is done; returns its folder, in which `name` holds the model and its log."""
    home = unpacked(folder / "joey_multi30k")
    config = home / f"{name}.yaml"
    config.write_text(JOEY_CONFIG.format(folder=home, name=name, vocabulary=VOCABULARY, updates=updates))
    if not (home / f"{name}.done").exists():
        run([str(joey(folder)), "-m", "joeynmt", "train", str(config), "--skip-test"], home / f"{name}.txt")
        (home / f"{name}.done").touch()
    return home


def training(folder: Path) -> None:
    """Target tokens a second of JoeyNMT, of ours with input feeding and without, and of the course's loop."""
    (folder / "joey_multi30k/timed.done").unlink(missing_ok=True)  # in this run, as all the others
    log = (joey_model(folder, "timed", TIMED_UPDATES) / "timed/train.log").read_text()
    joeys = statistics.median([float(rate) for rate in re.findall(r"Tokens per Sec: +(\d+)", log)][1:])
    report("training, JoeyNMT", {"tokens_per_second": joeys})
    data = files("de", "en", "multi30k", {"train": "train", "validation": "val"})
    for name, feeding in (("input feeding", "true"), ("no input feeding", "false")):
        model = folder / f"ours_{name.replace(' ', '_')}"
        rate = training_rate(data, model, {**SAME_MODEL, "config.input_feeding": feeding}, SAME_DATA)
        report(f"training, ours, {name}", {"tokens_per_second": rate, "times_joeynmt": rate / joeys})
    prepared = max(Path(os.environ["LIGHTNING_NLP_CACHE"]).rglob("train.npz"), key=lambda file: file.stat().st_mtime)
    printed = run([sys.executable, "-c", COURSE, str(prepared), str(VOCABULARY), str(VOCABULARY)])
    course = statistics.median(json.loads(printed.splitlines()[-1])["rates"])
    report("training, course-style loop, hidden 256, 32 sentences", {"tokens_per_second": course})
    rate = training_rate(data, folder / "ours_course", COURSE_MODEL, COURSE_DATA)
    report("training, ours, hidden 256, 450 tokens", {"tokens_per_second": rate, "times_course": rate / course})


def training_rate(data_files: str, model: Path, sizes: dict[str, object], data: dict[str, object]) -> float:
    """Trains for two epochs; returns target tokens a second."""
    same = options_of(sizes, data)
    return fit("multi30k_de_en", data_files, model, *same, "--trainer.max_epochs", "2")["throughput/train"]


def decoding(folder: Path) -> None:
    """Sentences a second at a beam of 5 on the test set, in turns."""
    home, model = joey_model(folder), folder / "ours_input_feeding"
    if not model.exists():
        sys.exit(f"No {model}: run --parts training with the same --keep first.")
    commands = {
        "JoeyNMT": [str(joey(folder)), "-c", JOEY_DECODE, str(home / "model.yaml")],
        "ours": [sys.executable, "-c", OUR_DECODE, str(model)],
    }
    rates: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(3):
        for name, command in commands.items():
            out = folder / f"decoded_{name}.txt"
            found = json.loads(run([*command, str(home / "test.de"), str(out)]).splitlines()[-1])
            rates[name].append(found["sentences"] / found["seconds"])
    ratio = statistics.median(ours / joeys for ours, joeys in zip(rates["ours"], rates["JoeyNMT"]))
    report(
        "decoding, beam 5", {name: statistics.median(values) for name, values in rates.items()}, ratio=round(ratio, 2)
    )


QUALITY = {
    "multi30k_de_en": ("de", "en", "multi30k", {"train": "train", "validation": "val", "test": "test_2016_flickr"}),
    "multi30k_en_fr": ("en", "fr", "multi30k", {"train": "train", "validation": "val", "test": "test_2016_flickr"}),
    "chr_en": ("chr", "en", "cs224n_a4_chr_en", {"train": "train", "validation": "dev", "test": "test"}),
    "tatoeba_es_en": ("es", "en", "tatoeba_es_en", {"train": "train", "validation": "dev", "test": "test"}),
    "tatoeba_zh_en": ("zh", "en", "tatoeba_zh_en", {"train": "train", "validation": "dev", "test": "test"}),
}


def quality(folder: Path, name: str) -> None:
    """A shipped configuration: trained, unless that is done, and tested once."""
    runs = folder / f"ours_{name}.runs"
    if not (runs / "latest/metrics.json").exists():
        fit(name, files(*QUALITY[name]), folder / f"ours_{name}")
    last = (runs / "latest").resolve()
    began = time.perf_counter()
    run([sys.executable, str(ROOT / "cli.py"), "test", "-c", str(last / "config.yaml"), "--ckpt_path", "best"])
    found = json.loads((last / "metrics.json").read_text())
    wanted = ("val/bleu", "test/bleu", "test/chrf", "test/bleu_copy", "test/bleu_dictionary", "seconds/fit")
    about = {key: found[key] for key in (*wanted, "throughput/train", "parameters")}
    report(f"quality, {name}", about, seconds_test=round(time.perf_counter() - began, 1))


ABLATIONS: dict[str, dict[str, object]] = {
    **{"all": {}, "no attention": {"attention": "none"}},
    **{"no input feeding": {"input_feeding": "false"}, "one direction": {"bidirectional": "false"}},
}


def ablations(folder: Path) -> None:
    """What parts of the model are worth, in a fifth of the epochs: greedy BLEU on the validation set."""
    for name, without in ABLATIONS.items():
        options = options_of({f"config.{key}": value for key, value in without.items()}, {})
        model = folder / f"ours_ablation_{name.replace(' ', '_')}"
        found = fit("multi30k_de_en", files(*QUALITY["multi30k_de_en"]), model, *options, "--trainer.max_epochs", "6")
        wanted = ("val/bleu", "val/chrf", "val/loss", "seconds/fit", "throughput/train", "parameters")
        report(f"ablation, 6 epochs, {name}", {key: found[key] for key in wanted})


PARTS: dict[str, Callable[[Path], None]] = {
    **{"training": training, "decoding": decoding, "ablations": ablations},
    **{name: partial(quality, name=name) for name in QUALITY},
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="of trained models: used when there, else trained")
    given = parser.parse_args()
    if not (DATA / "multi30k").exists():
        sys.exit(f"No {DATA / 'multi30k'}: the benchmark reads its bitext there; nothing was measured.")
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.setdefault("LIGHTNING_NLP_CACHE", str(Path(scratch) / "cache"))
        for part in given.parts:
            PARTS[part]((given.keep or Path(scratch)).resolve())
