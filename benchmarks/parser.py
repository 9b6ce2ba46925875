"""The parser beside UDPipe 1 and spaCy on UD English-EWT, in the same run; rows append to results/parser.json.

    python benchmarks/parser.py --parts udpipe spacy                     trains and parses: 70 minutes
    python benchmarks/parser.py --parts udpipe --keep runs/peers         keeps the trained peer there, or uses the one
                                                                         that is there and only parses: a minute
The peers come with the extra `bench`, which resolves with the project's pins; the scorer with `dev`:

    .venv/bin/pip install --constraint constraints.txt --editable ".[dev,bench]"

Every system runs in a process of its own, on one thread, one after the other. All read gold words in gold sentences.
UDPipe also reads gold UPOS, as ours does; spaCy's parser reads words alone, as its own configuration has it. What they
parse has no HEAD, DEPREL and DEPS. Both learn and write relations with subtypes. Scores are those of the official
scorer (`udtools`): all words count, punctuation too, and subtypes of relations do not. Speed is words parsed per
second of wall time from opening the input to closing the output, model loaded, the median of several passes over test.
`seconds/fit` is wall time with the checks on dev that choose the weights, for spaCy with start and reading too;
`seconds/cpu` is what the training took of a processor, which is the fairer figure on a machine shared with others.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/parser.json"
DATA = ROOT.parent / "shared/data/ud_english_ewt"
GOLD = {split: DATA / f"en_ewt-ud-{split}.conllu" for split in ("train", "dev", "test")}
INSTALL = '.venv/bin/pip install --constraint constraints.txt --editable ".[dev,bench]"'
PASSES = 5  # over the test file when speed is measured
# One thread each; and without settings that hold numpy's products back on some processors: peers shall run fast.
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS_")}
ENVIRONMENT |= {"OMP_NUM_THREADS": "1"}

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

# Gold words instead of spaCy's own; of the 20000 steps of its configuration those that take 21 minutes on one core.
SPACY_OPTIONS = {
    "corpora.train.gold_preproc": "true",
    "corpora.dev.gold_preproc": "true",
    "training.max_steps": "4200",
}


def run(command: list[str], log: Path | None = None) -> str:
    """Runs a peer in its own process and returns what it printed; its messages go to a log, when there is one."""
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    if log:
        log.write_text(done.stdout + done.stderr)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)[:500]}\n{done.stdout[-2000:]}\n{done.stderr}")
    return done.stdout


def need(*packages: str) -> None:
    for package in packages:
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            sys.exit(f"{package} is not installed in {sys.prefix}; this part was not measured. Install it:\n{INSTALL}")


def blind(split: str, folder: Path) -> tuple[Path, int]:
    """Writes a gold file without its trees, and counts its words."""
    file, words = folder / f"{split}.blind.conllu", 0
    with GOLD[split].open(encoding="utf-8") as gold, file.open("w", encoding="utf-8") as stream:
        for line in gold:
            columns = line.split("\t")
            if columns[0].isdigit():
                columns[6:9] = "_", "_", "_"
                words += 1
            stream.write("\t".join(columns))
    return file, words


def parse(program: str, model: Path, folder: Path, *options: str) -> dict[str, float]:
    """Parses dev and test with a peer's program; returns its scores and its speed on test."""
    found: dict[str, float] = {}
    for split, passes in (("dev", 1), ("test", PASSES)):
        source, words = blind(split, folder)
        out = folder / f"{model.name}.{split}.conllu"
        printed = run([sys.executable, "-c", program, str(model), str(source), str(out), str(passes), *options])
        seconds = sorted(json.loads(printed.splitlines()[-1])["seconds"])
        found |= scores(split, out)
        if split == "test":
            found["words_per_second"] = round(words / seconds[len(seconds) // 2])
    return found


def scores(split: str, parsed: Path) -> dict[str, float]:
    """Attachment scores as `udeval --multiple-roots-okay GOLD PARSED` has them: spaCy can leave two roots."""
    from udtools.udeval import evaluate, load_conllu_file  # type: ignore[import-untyped]

    roots = {"multiple_roots_okay": True}
    found = evaluate(load_conllu_file(str(GOLD[split]), roots), load_conllu_file(str(parsed), roots))
    return {f"{split}_{name}": round(100 * found[name.upper()].f1, 2) for name in ("uas", "las")}


def trained(model: Path, fit: Callable[[], dict]) -> dict:
    """Trains a peer unless it is in the folder already; returns what that cost, as the file beside it has it."""
    cost = model.with_name(f"{model.name}.json")
    if not cost.exists():  # written last: an interrupted training begins again
        before, found, after = os.times(), fit(), os.times()
        cpu = sum(getattr(after, key) - getattr(before, key) for key in ("children_user", "children_system"))
        cost.write_text(json.dumps({**found, "seconds/cpu": cpu}))
    return json.loads(cost.read_text())


def report(what: str, cost: dict, found: dict, **about: object) -> dict:
    """Appends one measured row, and prints it."""
    row = {
        "date": datetime.date.today().isoformat(),
        "what": what,
        **about,
        **{key: round(value, 2) for key, value in cost.items()},
        **found,
        "machine": f"{os.cpu_count()} cores, {processor()}",
    }
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    RESULTS.write_text(json.dumps([*rows, row], indent=1) + "\n")
    print(json.dumps(row), flush=True)
    return row


def processor() -> str:
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")]
    wide = " with AVX-512" if "avx512f" in info else ""
    return (names[0] if names else platform.processor()) + wide


def versions(*packages: str) -> str:
    return ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)


def fit_udpipe(model: Path) -> dict:
    options = ";".join(f"{key}={value}" for key, value in UDPIPE_OPTIONS.items())
    files = [str(GOLD["train"]), str(GOLD["dev"]), options, str(model)]
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
        run([*spacy_cli, "convert", str(GOLD[split]), str(folder), "--converter", "conllu"])
    config = folder / "config.cfg"
    run([*spacy_cli, *("init", "config", str(config), "--lang", "en", "--pipeline", "parser", "--force")])
    files = {f"paths.{split}": str(folder / f"{GOLD[split].stem}.spacy") for split in ("train", "dev")}
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


PARTS: dict[str, Callable[[Path], None]] = {"udpipe": udpipe, "spacy": spacy}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="of trained peers: used when there, else trained")
    given = parser.parse_args()
    if not DATA.exists():
        sys.exit(f"No {DATA}: the benchmark reads its treebank there; nothing was measured.")
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for part in given.parts:
            PARTS[part]((given.keep or Path(scratch)).resolve())
