"""Skip-gram and counts beside gensim on the same text, in the same run; rows append to results/word_vectors.json.

    python benchmarks/word_vectors.py                        gensim and ours, three seeds, five epochs: 20 minutes
    python benchmarks/word_vectors.py --parts scale          cost and memory from 1 to 100 million words
    python benchmarks/word_vectors.py --parts processes svd  two processes with tables merged; counts with SVD

Every system runs in a process of its own, one after the other. Speed is words of the vocabulary read per second of
training; peak memory is less that after imports. All vectors are scored by `WordVectors`, whose figures are gensim's.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import harness
from harness import DATA, ROOT, run

PAIRS = {"wordsim353": "wordsim353_all.tsv", "simlex999": "simlex999.tsv", "rare_words": "rare_words.tsv"}

GENSIM = """
import json, resource, sys, time
from gensim.models.word2vec import LineSentence, Word2Vec
text, seed, epochs, workers, out = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5]
statm = open("/proc/self/statm").read().split()
imported = int(statm[1]) * resource.getpagesize() / 2**20
model = Word2Vec(vector_size=100, window=5, negative=5, sample=1e-3, min_count=5, sg=1, workers=workers, seed=seed)
began = time.perf_counter()
model.build_vocab(corpus_file=text)
setup = time.perf_counter() - began
words = sum(model.wv.get_vecattr(word, "count") for word in model.wv.index_to_key)
began = time.perf_counter()
model.train(corpus_file=text, total_words=model.corpus_total_words, total_examples=model.corpus_count, epochs=epochs)
fit = time.perf_counter() - began
status = open("/proc/self/status").read()  # ru_maxrss would begin with the peak of the parent
peak = int(status.split("VmHWM:")[1].split()[0]) / 2**10 - imported
model.wv.save_word2vec_format(out, binary=True)
began = time.perf_counter()
for sentence in LineSentence(text):
    pass
reading = time.perf_counter() - began
print(json.dumps({"seconds/setup": setup, "seconds/reading": reading, "seconds/fit": fit,
                  "throughput/train": words * epochs / fit, "peak_memory_mb": peak, "vocabulary": len(model.wv)}))
"""


def run_gensim(text: Path, seed: int, epochs: int, workers: int, folder: Path) -> tuple[dict, Path]:
    out = folder / "gensim.bin"
    printed = run([sys.executable, "-c", GENSIM, str(text), str(seed), str(epochs), str(workers), str(out)])
    return json.loads(printed.splitlines()[-1]), out


def run_ours(config: str, text: Path, folder: Path, *options: str) -> tuple[dict, Path]:
    """Fits by the command line, in a folder of its own; a cache that exists already saves the preparation."""
    command = [
        *(sys.executable, str(ROOT / "cli.py"), "fit", "-c", f"configs/word_vectors/{config}.yaml"),
        *("--data.path", "text", "--data.data_files.train", str(text), "--data.validation_fraction", "0"),
        *("--trainer.logger", "false", "--trainer.enable_progress_bar", "false", *options),
    ]
    run(command, folder=folder, LIGHTNING_NLP_CACHE=str(folder / "cache"), HF_DATASETS_CACHE=str(folder / "hf"))
    latest = folder / "runs/word_vectors" / config / "latest"
    return json.loads((latest / "metrics.json").read_text()), (latest / "export/vectors.bin").resolve()


def scores(file: Path) -> dict[str, float]:
    from lightning_nlp.word_vectors import WordVectors

    vectors = WordVectors.load(file)
    likeness = DATA / "word_similarity"
    found = {name: round(vectors.evaluate_pairs(likeness / pairs)[0], 4) for name, pairs in PAIRS.items()}
    return {
        **found,
        "analogies": round(vectors.evaluate_analogies(likeness / "google_analogies.txt").overall.accuracy, 2),
    }


def report(what: str, cost: dict, file: Path | None = None, **about: object) -> dict:
    """Appends one measured row, and prints it."""
    kept = ("seconds/setup", "seconds/reading", "seconds/fit", "seconds/total", "throughput/train", "peak_memory_mb")
    found = {key: cost[key] for key in kept if key in cost}
    # Only costs are rounded to two digits: correlations have four.
    return harness.report("word_vectors", what, found, **about, **(scores(file) if file else {}))


def unpacked(folder: Path) -> Path:
    text = folder / "corpus.txt"
    with text.open("wb") as stream:
        packed = DATA / "english_corpus/wikipedia.tok.txt.gz"
        subprocess.run(["gzip", "-dc", str(packed)], check=True, stdout=stream)
    return text


def compare(folder: Path, seeds: int, epochs: int) -> None:
    text, cores = unpacked(folder), os.cpu_count() or 1
    for seed in range(1, seeds + 1):
        about = {"seed": seed, "epochs": epochs}
        cost, file = run_gensim(text, seed, epochs, cores, folder)
        theirs = report(f"gensim corpus_file, {cores} workers", cost, file, **about)
        fit = ["--trainer.max_epochs", str(epochs), "--seed_everything", str(seed)]
        for threads, what in ((1, "ours, deterministic, 1 thread"), (cores, f"ours, hogwild, {cores} threads")):
            cost, file = run_ours("wikipedia", text, folder, *fit, "--model.optimizer.hogwild_threads", str(threads))
            ours = report(what, cost, file, **about)
            print(f"{what}: {ours['throughput/train'] / theirs['throughput/train']:.2f} times gensim", flush=True)


def processes(folder: Path, seeds: int, epochs: int) -> None:
    """Two processes of one thread, each on half of the text."""
    text = unpacked(folder)
    for seed in range(1, seeds + 1):
        fit = [
            "-c",
            "configs/trainer/ddp_cpu.yaml",
            "--trainer.max_epochs",
            str(epochs),
            "--seed_everything",
            str(seed),
        ]
        cost, file = run_ours("wikipedia", text, folder, *fit)
        report("ours, 2 processes, tables merged", cost, file, seed=seed, epochs=epochs)


def svd(folder: Path, seeds: int, epochs: int) -> None:
    cost, file = run_ours("svd_wikipedia", unpacked(folder), folder)
    report("counts, PPMI and SVD", cost, file)


def scale(folder: Path, seeds: int, epochs: int) -> None:
    """The first million words, all, and all six times; one epoch, prepared anew."""
    text = unpacked(folder)
    with text.open("rb") as stream:
        lines = stream.readlines(6_000_000)
    for name, times in (("1 M", 0), ("17 M", 1), ("101 M", 6)):
        file = folder / "scaled.txt"
        with file.open("wb") as stream:
            if times == 0:
                stream.writelines(lines)
            for _ in range(times):
                with text.open("rb") as source:
                    shutil.copyfileobj(source, stream)
        # The same vocabulary, so that memory and cost are those of the text alone.
        options = ["--trainer.max_epochs", "1", "--data.min_count", str(max(1, 5 * times))]
        report(f"ours, {name} words", run_ours("wikipedia", file, folder, *options)[0], epochs=1)


PARTS = {"compare": compare, "processes": processes, "svd": svd, "scale": scale}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["compare", "svd"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    given = parser.parse_args()
    if not DATA.exists():
        sys.exit(f"No {DATA}: the benchmark reads its corpus and word pairs there; nothing was measured.")
    for part in given.parts:
        with tempfile.TemporaryDirectory() as scratch:
            PARTS[part](Path(scratch), given.seeds, given.epochs)
