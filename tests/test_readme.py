"""Every command and every snippet of the README, as it stands there, on small data."""

import re
import shlex
from pathlib import Path

import pytest

from lightning_nlp.cli import main
from lightning_nlp.data.sample_world import sample_rows

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", README, re.DOTALL)
COMMANDS = [shlex.split(line.split("#")[0]) for kind, block in BLOCKS if kind == "bash" for line in block.splitlines()]
SNIPPETS = [block for kind, block in BLOCKS if kind == "python"]
SMALL = ["--trainer.max_epochs=2", "--trainer.logger=false", "--trainer.enable_progress_bar=false"]
SHORT = ["--trainer.max_steps=2", "--trainer.val_check_interval=2", "--model.compile=false"]  # of trainings by steps


def test_make_targets_exist(repository):
    makefile = (repository / "Makefile").read_text()
    targets = [words[1] for words in COMMANDS if words[0] == "make"]
    assert targets == ["demo", "test"]
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_commands_and_snippets_run_in_order(capsys):
    pytest.importorskip("gensim")
    Path("words.txt").write_text("whaler\nharpoon\n")
    Path("my_text.txt").write_text("some words of my own stand here\n" * 300)
    Path("pairs.tsv").write_text("some\twords\t3\nmy\town\t9\nstand\there\t5\n")
    Path("questions.txt").write_text(": words\nsome words my own\n")
    Path("text.txt").write_text("The baker sold bread .\n")
    for split, file in (("train", "train"), ("validation", "dev"), ("test", "test")):
        blocks = [row["conllu"] for row in sample_rows("trees", split)[:100]]
        Path(f"{file}.conllu").write_text("".join(block + "\n\n" for block in blocks))
    for split, file in (("train", "train"), ("validation", "dev"), ("test", "text")):
        rows = sample_rows("translations", split)[:100]
        Path(f"{file}.de").write_text("".join(row["source"] + "\n" for row in rows))
        Path(f"{file}.en").write_text("".join(row["target"] + "\n" for row in rows))
    Path("wiki.txt").write_text("".join(f"{row['text']}\n" for row in sample_rows("biographies", "train")))
    for split, file in (("train", "places_train"), ("test", "dev"), ("validation", "test_inputs")):
        rows = sample_rows("questions", split)
        Path(f"birth_{file}.tsv").write_text("".join(f"{row['question']}\t{row['answer']}\n" for row in rows))
    commands = [words[2:] for words in COMMANDS if words[:2] == ["python", "cli.py"]]
    assert len(commands) >= 8
    for words in commands:
        if "configs/trainer/ddp_cpu.yaml" in words:
            continue  # starts processes of its own: tests/test_distributed.py
        if "--model.help" in words:
            with pytest.raises(SystemExit):
                main(words)
            continue
        by_steps = SHORT if words[0] == "fit" and "configs/transformer" in words[2] else []
        main([*words, *by_steps, *(SMALL if words[0] == "fit" else SMALL[1:])])
    (predicted,) = Path("runs/word_vectors/sample").glob("2*/predictions/words.tsv")
    assert "whaler\t" in predicted.read_text()
    for snippet in SNIPPETS:
        exec(snippet, {})
    assert any(Path("runs/mine").glob("*/export/vectors.bin"))
