"""The parser beside UDPipe 1 and spaCy on UD English-EWT, in the same run; rows append to results/parser.json.

    python benchmarks/parser.py --parts udpipe spacy              trains and parses: 70 minutes
    python benchmarks/parser.py --parts udpipe --keep runs/peers  keeps what was trained there, or uses what is there
                                                                  and only parses: a minute
    python benchmarks/parser.py --parts ewt_ffn ewt ewt_notags ewt_biaffine --keep runs/peers
                                                                  the configurations of EWT: two hours and a half
    python benchmarks/parser.py --parts speed --keep runs/peers   ewt_ffn beside UDPipe, in turns
    python benchmarks/parser.py --parts vectors                   ewt_ffn begun from our own word vectors
    python benchmarks/parser.py --parts treebanks                 Hungarian, where arcs cross, and French, where one
                                                                  token is several words
The peers come with the extra `bench`, which resolves with the project's pins; the scorer with `dev`:

    .venv/bin/pip install --constraint constraints.txt --editable ".[dev,bench]"

Every system runs in a process of its own, on one thread, one after the other; ours trains on all cores and parses on
one thread. All read gold words in gold sentences.
UDPipe also reads gold UPOS, as ours does; spaCy's parser reads words alone, as its own configuration has it. What they
parse has no HEAD, DEPREL and DEPS. Both learn and write relations with subtypes. Scores are those of the official
scorer (`udtools`): all words count, punctuation too, and subtypes of relations do not. Speed is words parsed per
second of wall time from opening the input to closing the output, model loaded, the median of several passes over test.
`seconds/fit` is wall time: ours without its checks on dev, the peers' with theirs, spaCy's with start and reading too;
`seconds/cpu` is what the training took of a processor, which is the fairer figure on a machine shared with others.
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
from harness import DATA, ROOT, versions

TREEBANKS = {"english_ewt": "en_ewt", "hungarian_szeged": "hu_szeged", "french_sequoia": "fr_sequoia"}
INSTALL = '.venv/bin/pip install --constraint constraints.txt --editable ".[dev,bench]"'
PASSES = 5  # over the test file when speed is measured
ROUNDS = 5  # of two systems in turns

# Straka et al. (2015, "Parsing Universal Dependency Treebanks…"): the swap system with its static lazy oracle. Of the
# columns it reads FORM and UPOS alone; what is not named here are UDPipe's defaults. Its authors' model, begun from
# vectors made beforehand and given all gold morphology, has 88.1/86.2 on test of UD 2.5 (UDPipe's manual).
UDPIPE_OPTIONS = {
    **{"transition_system": "swap", "transition_oracle": "static_lazy", "structured_interval": 10, "single_root": 1},
    **{"iterations": 10, "hidden_layer": 200, "learning_rate": 0.02, "learning_rate_final": 0.001, "l2": 0.5},
    **{"embedding_form": 50, "embedding_upostag": 20, "embedding_deprel": 20},
    **{"embedding_feats": 0, "embedding_xpostag": 0, "use_gold_tags": 1},
}

UDPIPE_FIT = """
import json, sys, time
from ufal.udpipe import InputFormat, ProcessingError, Sentence, Sentences, Trainer
def read(path):
    sentences, sentence, error = Sentences(), Sentence(), ProcessingError()
    reader = InputFormat.newInputFormat("conllu")
    reader.setText(open(path, encoding="utf-8").read())
    while reader.nextSentence(sentence, error):
        sentences.append(sentence)
        sentence = Sentence()
    if error.occurred():
        sys.exit(path + ": " + error.message)
    return sentences
train, dev, error = read(sys.argv[1]), read(sys.argv[2]), ProcessingError()
began = time.perf_counter()
model = Trainer.train("morphodita_parsito", train, dev, Trainer.NONE, Trainer.NONE, sys.argv[3], error)
fit = time.perf_counter() - began
if error.occurred():
    sys.exit(error.message)
with open(sys.argv[4], "wb") as stream:
    stream.write(model)
print(json.dumps({"seconds/fit": fit}))
"""

UDPIPE_PARSE = """
import json, sys, time
from ufal.udpipe import Model, Pipeline, ProcessingError
file, source, out, passes, options = *sys.argv[1:4], int(sys.argv[4]), sys.argv[5]
model = Model.load(file)  # the pipeline does not keep it alive
pipeline = Pipeline(model, "conllu", Pipeline.NONE, options, "conllu")
seconds = []
for _ in range(passes):
    error, began = ProcessingError(), time.perf_counter()
    with open(source, encoding="utf-8") as stream:
        parsed = pipeline.process(stream.read(), error)
    with open(out, "w", encoding="utf-8") as stream:
        stream.write(parsed)
    seconds.append(time.perf_counter() - began)
    if error.occurred():
        sys.exit(error.message)
print(json.dumps({"seconds": seconds}))
"""

# The batch is that of the model's own configuration. A break inside a gold sentence is forbidden beforehand.
SPACY_PARSE = """
import json, sys, time
import spacy
from spacy.tokens import Doc
model, source, out, passes = *sys.argv[1:4], int(sys.argv[4])
nlp = spacy.load(model)
def sentences(stream):
    lines = []
    for line in stream:
        if line != "\\n":
            lines.append(line)
        elif lines:
            yield lines
            lines = []
    if lines:
        yield lines
def unparsed(lines):
    words = [line.split("\\t", 2)[1] for line in lines if line.split("\\t", 1)[0].isdigit()]
    return Doc(nlp.vocab, words=words, sent_starts=[place == 0 for place in range(len(words))]), lines
def written(doc, lines):
    tokens = iter(doc)
    for line in lines:
        columns = line.split("\\t")
        if columns[0].isdigit():
            token = next(tokens)
            root = token.head.i == token.i
            columns[6], columns[7] = ("0", "root") if root else (str(token.head.i + 1), token.dep_)
        yield "\\t".join(columns)
    yield "\\n"
seconds = []
for _ in range(passes):
    began = time.perf_counter()
    with open(source, encoding="utf-8") as stream, open(out, "w", encoding="utf-8") as target:
        for doc, lines in nlp.pipe(map(unparsed, sentences(stream)), as_tuples=True):
            target.writelines(written(doc, lines))
    seconds.append(time.perf_counter() - began)
print(json.dumps({"seconds": seconds}))
"""

# What `cli.py predict --trainer.precision bf16-true` does between reading and writing.
OURS_PARSE = """
import gc, json, sys, time
from itertools import islice
import torch
from lightning_nlp.data.text_files import read_text
from lightning_nlp.parser import ParserModel
from lightning_nlp.parser.data import PREDICTED_TOGETHER, sentence_blocks, sentence_of
from lightning_nlp.training import keep_freed_memory
model, source, out, passes = *sys.argv[1:4], int(sys.argv[4])
parser = ParserModel.from_pretrained(model, dtype=torch.bfloat16).eval()
keep_freed_memory()
gc.freeze()
gc.set_threshold(100_000)
seconds = []
for _ in range(passes):
    began = time.perf_counter()
    with open(out, "w", encoding="utf-8") as target:
        blocks = sentence_blocks(read_text(source), source)
        while some := list(islice(blocks, PREDICTED_TOGETHER)):
            for block, found in zip(some, parser.parse([sentence_of(block) for block in some])):
                target.write(block.with_columns(found.heads, found.labels, found.upos) + "\\n\\n")
    seconds.append(time.perf_counter() - began)
print(json.dumps({"seconds": seconds}))
"""

# Gold words instead of spaCy's own; of the 20000 steps of its configuration those that take 21 minutes on one core.
SPACY_OPTIONS = {
    "corpora.train.gold_preproc": "true",
    "corpora.dev.gold_preproc": "true",
    "training.max_steps": "4200",
}


def gold(split: str, treebank: str = "english_ewt") -> Path:
    """A file of a treebank."""
    return DATA / f"ud_{treebank}" / f"{TREEBANKS[treebank]}-ud-{split}.conllu"


def run(command: list[str], log: Path | None = None) -> str:
    """Runs a system on one thread, see `harness.run`."""
    return harness.run(command, log, OMP_NUM_THREADS="1")


def need(*packages: str) -> None:
    for package in packages:
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            sys.exit(f"{package} is not installed in {sys.prefix}; this part was not measured. Install it:\n{INSTALL}")


def blind(source: Path, folder: Path) -> tuple[Path, int]:
    """Writes a gold file without its trees, and counts its words."""
    file, words = folder / f"{source.stem}.blind.conllu", 0
    with source.open(encoding="utf-8") as lines, file.open("w", encoding="utf-8") as stream:
        for line in lines:
            columns = line.split("\t")
            if columns[0].isdigit():
                columns[6:9] = "_", "_", "_"
                words += 1
            stream.write("\t".join(columns))
    return file, words


def parse(
    program: str, model: Path, folder: Path, *options: str, treebank: str = "english_ewt", tags: bool = False
) -> dict[str, float]:
    """Parses dev and test with a system's program; returns its scores and its speed on test."""
    found: dict[str, float] = {}
    for split, passes in (("dev", 1), ("test", PASSES)):
        out = folder / f"{model.name}.{split}.conllu"
        rate = words_per_second(program, model, gold(split, treebank), out, passes, *options)
        found |= {f"{split}_{name}": value for name, value in scores(gold(split, treebank), out, tags).items()}
    return {**found, "words_per_second": rate}


def words_per_second(program: str, model: Path, source: Path, out: Path, passes: int, *options: str) -> int:
    """Parses a file some times in one process; returns the median speed."""
    unparsed, words = blind(source, out.parent)
    printed = run([sys.executable, "-c", program, str(model), str(unparsed), str(out), str(passes), *options])
    return round(words / statistics.median(json.loads(printed.splitlines()[-1])["seconds"]))


def scores(truth: Path, parsed: Path, tags: bool = False) -> dict[str, float]:
    """Attachment scores as `udeval --multiple-roots-okay GOLD PARSED` has them: spaCy can leave two roots."""
    from udtools.udeval import evaluate, load_conllu_file  # type: ignore[import-untyped]

    roots = {"multiple_roots_okay": True}
    found = evaluate(load_conllu_file(str(truth), roots), load_conllu_file(str(parsed), roots))
    return {name: round(100 * found[name.upper()].f1, 2) for name in ("uas", "las", *["upos"][: int(tags)])}


def trained(model: Path, fit: Callable[[], dict]) -> dict:
    """Trains a peer unless it is in the folder already; returns what that cost, as the file beside it has it."""
    cost = model.with_name(f"{model.name}.json")
    if not cost.exists():  # written last: an interrupted training begins again
        before, found, after = os.times(), fit(), os.times()
        cpu = sum(getattr(after, key) - getattr(before, key) for key in ("children_user", "children_system"))
        cost.write_text(json.dumps({**found, "seconds/cpu": cpu}))
    return json.loads(cost.read_text())


def report(what: str, cost: dict, found: dict, **about: object) -> dict:
    return harness.report("parser", what, cost | found, **about)


def fit_udpipe(model: Path) -> dict:
    options = ";".join(f"{key}={value}" for key, value in UDPIPE_OPTIONS.items())
    files = [str(gold("train")), str(gold("dev")), options, str(model)]
    printed = run([sys.executable, "-c", UDPIPE_FIT, *files], model.with_name("udpipe.log"))
    return json.loads(printed.splitlines()[-1])


def udpipe(folder: Path) -> None:
    """One model, searched with its default beam of 5 and greedily."""
    need("ufal.udpipe", "udtools")
    model = folder / "udpipe.model"
    cost = trained(model, lambda: fit_udpipe(model))
    for beam, search in ((5, "beam 5 (its default)"), (1, "greedy")):
        found = parse(UDPIPE_PARSE, model, folder, f"beam_search={beam}")
        report(f"UDPipe 1, swap, gold UPOS, {search}", cost, found, versions=versions("ufal.udpipe", "udtools"))


def fit_spacy(model: Path) -> dict:
    """The configuration that `spacy init config` writes for the processor, with gold words; model is `model-best`."""
    spacy_cli, folder = [sys.executable, "-m", "spacy"], model.parent
    folder.mkdir(exist_ok=True)
    for split in ("train", "dev"):
        run([*spacy_cli, "convert", str(gold(split)), str(folder), "--converter", "conllu"])
    config = folder / "config.cfg"
    run([*spacy_cli, *("init", "config", str(config), "--lang", "en", "--pipeline", "parser", "--force")])
    files = {f"paths.{split}": str(folder / f"{gold(split).stem}.spacy") for split in ("train", "dev")}
    options = [text for key, value in (files | SPACY_OPTIONS).items() for text in (f"--{key}", value)]
    began = time.perf_counter()
    run([*spacy_cli, "train", str(config), "--output", str(folder), *options], folder / "train.log")
    return {"seconds/fit": time.perf_counter() - began}


def spacy(folder: Path) -> None:
    need("spacy", "udtools")
    model = folder / "spacy/model-best"
    cost = trained(model, lambda: fit_spacy(model))
    what = "spaCy, parser with tok2vec, efficiency, words alone"
    report(what, cost, parse(SPACY_PARSE, model, folder), versions=versions("spacy", "thinc", "udtools"))


def fit_ours(model: Path, config: str, treebank: str, *options: str) -> dict:
    """The command of the README; `model` becomes its export folder."""
    files = {split: str(gold(name, treebank)) for split, name in (("train", "train"), ("validation", "dev"))}
    command = [sys.executable, str(ROOT / "cli.py"), "fit", "-c", str(ROOT / f"configs/parser/{config}.yaml")]
    runs = model.with_name(f"{model.name}.runs")
    quiet = ["--trainer.logger", "false", "--trainer.enable_progress_bar", "false"]
    where = ["--data.data_files", json.dumps(files), "--trainer.default_root_dir", str(runs)]
    harness.run([*command, *where, *quiet, *options], model.with_name(f"{model.name}.log"))
    shutil.move((runs / "latest").resolve() / "export", model)
    measured = json.loads((runs / "latest/metrics.json").read_text())
    return {name: measured[name] for name in ("seconds/setup", "seconds/fit", "throughput/train", "parameters")}


def ours(folder: Path, *, treebank: str = "english_ewt", **variants: tuple[str, ...]) -> None:
    """Named variants of configurations: the name of one, then options."""
    need("udtools")
    for name, (config, *options) in variants.items():
        model = folder / f"ours_{name}"
        cost = trained(model, lambda: fit_ours(model, config, treebank, *options))  # noqa: B023 - called at once
        tags = json.loads((model / "config.json").read_text())["predict_upos"]
        found = parse(OURS_PARSE, model, folder, treebank=treebank, tags=tags)
        given = " ".join(options).replace(f"{folder}/", "")
        report(f"ours, {name}", cost, found, treebank=treebank, options=given, versions=versions("torch"))


def seeds(folder: Path) -> None:
    """ewt_ffn with other seeds."""
    ours(folder, **{f"ewt_ffn_seed_{seed}": ("ewt_ffn", "--seed_everything", str(seed)) for seed in (1, 2)})


def vectors(folder: Path) -> None:
    """ewt_ffn begun from word vectors that are trained here, on Wikipedia."""
    file = folder / "vectors.bin"
    if not file.exists():
        text, runs = folder / "corpus.txt", folder / "vectors.runs"
        with gzip.open(DATA / "english_corpus/wikipedia.tok.txt.gz") as packed, text.open("wb") as stream:
            shutil.copyfileobj(packed, stream)
        command = [sys.executable, str(ROOT / "cli.py"), "fit", "-c", str(ROOT / "configs/word_vectors/wikipedia.yaml")]
        source = ["--data.path", "text", "--data.data_files.train", str(text), "--data.validation_fraction", "0"]
        harness.run([*command, *source, "--trainer.logger", "false", "--trainer.default_root_dir", str(runs)])
        shutil.copy((runs / "latest").resolve() / "export/vectors.bin", file)
    ours(folder, ewt_ffn_vectors=("ewt_ffn", "--data.vectors", str(file)))


def treebanks(folder: Path) -> None:
    """The transition systems where arcs cross; and French, whose tokens of several words must come back as they are."""
    small = ("--data.batch_tokens", "500", "--trainer.max_epochs", "40")  # a tenth of the words of EWT, half the steps
    systems = {
        f"hungarian_{system}{name}": ("ewt_ffn", "--model.config.system", system, *small, *options)
        for system in ("swap", "arc-standard")
        for name, options in (("", ()), ("_oracle_alone", ("--model.config.exploration", "0")))
    }
    ours(folder, treebank="hungarian_szeged", **systems)
    ours(folder, treebank="french_sequoia", french=("ewt_ffn",), french_words_alone=("any_treebank",))
    kept = [
        [line for line in file.read_text(encoding="utf-8").splitlines() if not re.match(r"\d+\t", line)]
        for file in (gold("test", "french_sequoia"), folder / "ours_french.test.conllu")
    ]
    if kept[0] != kept[1]:
        sys.exit("French: comments or tokens of several words have changed.")


def speed(folder: Path) -> None:
    """ewt_ffn and UDPipe parse test in turns, a thread each; both must be trained."""
    programs = {"ours_ewt_ffn": (OURS_PARSE,), "udpipe.model": (UDPIPE_PARSE, "beam_search=5")}
    rates: dict[str, list[int]] = {name: [] for name in programs}
    for name in programs:
        if not (folder / name).exists():
            sys.exit(f"No {folder / name}: run --parts udpipe ewt_ffn with the same --keep first.")
    for _ in range(ROUNDS):
        for name, (program, *options) in programs.items():
            out = folder / f"{name}.speed.conllu"
            rates[name].append(words_per_second(program, folder / name, gold("test"), out, PASSES, *options))
    ratios = [ours / udpipe for ours, udpipe in zip(*rates.values())]
    found = {f"words_per_second {name}": statistics.median(values) for name, values in rates.items()}
    report("speed of ewt_ffn beside UDPipe's beam of 5", {}, {**found, "ratio": round(statistics.median(ratios), 2)})


PARTS: dict[str, Callable[[Path], None]] = {
    **{"udpipe": udpipe, "spacy": spacy},
    **{name: partial(ours, **{name: (name,)}) for name in ("ewt_ffn", "ewt", "ewt_notags", "ewt_biaffine")},
    **{"speed": speed, "seeds": seeds, "vectors": vectors, "treebanks": treebanks},
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="of trained peers: used when there, else trained")
    given = parser.parse_args()
    if not gold("train").exists():
        sys.exit(f"No {gold('train')}: the benchmark reads its treebank there; nothing was measured.")
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for part in given.parts:
            PARTS[part]((given.keep or Path(scratch)).resolve())
