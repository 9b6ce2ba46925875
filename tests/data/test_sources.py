import json
import logging
from math import floor

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from lightning_nlp.data.sources import Source, held_out

pytestmark = pytest.mark.usefixtures("arrow_cache")
LINES = [f"line {n}" for n in range(50)]
WIKITEXT = {"name": "wikitext-2-raw-v1", "columns": {"text": "sentence"}}  # what a config of a Hub set leaves behind
PAIRS = {"question": "Where?", "answer": "NA"}
TREE = "# sent_id = a\n1\tGo\t_\t_\t_\t_\t0\troot\t_\t_"


def refusal(call, *args, **options) -> str:
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as caught:  # one line
        list(call(*args, **options))
    return str(caught.value)


def rows(source: Source, split: str = "train") -> list[dict]:
    return list(source.load(split))


def texts(source: Source, split: str = "train") -> list[str]:
    return [row["text"] for row in source.load(split)]


streaming = pytest.mark.parametrize("streaming", [False, True])


# Local text


@streaming
def test_text_of_several_files_packed_or_not(write, streaming):
    files = [write(LINES[:20]), write(LINES[20:], "more.txt.gz")]
    source = Source("text", data_files={"train": files}, streaming=streaming)
    assert source.splits() == ["train"]
    assert texts(source) == LINES


def test_patterns_are_filled_in(write, tmp_path):
    write(LINES[:20], "part-0.txt"), write(LINES[20:], "part-1.txt")
    assert texts(Source("text", data_files={"train": f"{tmp_path}/part-*.txt"})) == LINES


@streaming
def test_only_line_feeds_divide_lines(write, streaming):
    lines = ["a\x0bb\x85c\u2028d\re", "", "last"]
    source = Source("text", data_files={"train": write(lines)}, streaming=streaming)
    assert texts(source) == lines


@streaming
def test_local_text_voids_the_name_and_columns_of_a_hub_config(write, streaming):
    file = write(LINES)
    source = Source("text", data_files={"train": file}, streaming=streaming, **WIKITEXT)
    assert rows(source) == [{"text": line} for line in LINES]
    assert rows(Source("text", data_files={"train": file}, columns={"document": "page"}))[0] == {"document": LINES[0]}


def test_rows_are_a_plain_arrow_column_also_of_a_share(write):
    import pyarrow as pa

    source = Source("text", data_files={"train": write(LINES)}, validation_fraction=0.1)
    for split, size in [("train", 45), ("validation", 5)]:
        table = source.load(split).data
        assert (table.num_rows, table.column("text").type) == (size, pa.string())


def test_only_the_files_of_the_split_are_opened(write):
    source = Source("text", data_files={"train": "deleted.txt", "test": write(LINES), "test_hard": write("x", "hard")})
    assert source.splits() == ["train", "test", "test_hard"]
    assert texts(source, "test") == LINES
    assert texts(source, "test_hard") == ["x"]
    assert source.fingerprint("test") != source.fingerprint("test_hard")
    assert "data_files.train: deleted.txt" in refusal(source.load, "train")


def test_nothing_is_stored_of_a_file_with_a_fault(tmp_path, arrow_cache):
    file = tmp_path / "train.txt"
    file.write_bytes(b"fine\n" * 5000 + b"caf\xe9\n")
    message = refusal(Source("text", data_files={"train": str(file)}).load, "train")
    assert message.startswith(f"data_files.train: {file}, line 5001: byte 0xE9")
    assert [path for path in arrow_cache.rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_a_second_load_reads_what_was_stored(write, arrow_cache, monkeypatch):
    source = Source("text", data_files={"train": write(LINES)})
    assert texts(source) == LINES
    monkeypatch.setattr("lightning_nlp.data.text_files.read_lines", lambda *_: pytest.fail("read a second time"))
    assert texts(source) == LINES


def test_a_changed_file_is_read_again(write):
    source = Source("text", data_files={"train": write(LINES)})
    assert texts(source) == LINES
    write([line.upper() for line in LINES])
    assert texts(source) == [line.upper() for line in LINES]


# Validation from train


@given(st.integers(0, 500), st.integers(0, 99))
@example(100, 29)  # 100 * 0.29 is 28.999999999999996
@settings(max_examples=100, deadline=None)
def test_the_share_is_exact_and_even(size, percent):
    chosen = held_out(np.arange(size), percent / 100)
    assert chosen.sum() == size * percent // 100
    assert list(chosen) == [held_out(row, percent / 100) for row in range(size)]
    counts = np.cumsum(chosen)
    assert list(counts) == [(row + 1) * percent // 100 for row in range(size)]


def test_the_share_is_the_rows_that_pass_a_whole_number():
    fraction = 0.125
    assert [held_out(i, fraction) for i in range(99)] == [
        floor((i + 1) * fraction) > floor(i * fraction) for i in range(99)
    ]


@streaming
def test_train_and_validation_share_the_rows_out(write, caplog, streaming):
    files = [write(LINES[:7]), write(LINES[7:], "more.txt")]
    source = Source("text", data_files={"train": files}, streaming=streaming, validation_fraction=0.2)
    assert source.splits() == ["train", "validation"]
    assert texts(source, "validation") == LINES[4::5]
    assert texts(source) == [line for line in LINES if line not in LINES[4::5]]
    assert [record.name for record in caplog.records if "20.00% of train" in record.message] == ["lightning_nlp"]


def test_workers_of_a_stream_do_not_see_validation_rows(write):
    files = [write(LINES[:7]), write(LINES[7:30], "b.txt"), write(LINES[30:], "c.txt")]
    source = Source("text", data_files={"train": files}, streaming=True, validation_fraction=0.2)
    seen = list(DataLoader(source.load("train").shuffle(seed=1), batch_size=None, num_workers=2))
    assert sorted(row["text"] for row in seen) == sorted(set(LINES) - set(LINES[4::5]))


def test_a_given_validation_split_wins(write, caplog):
    files = {"train": write(LINES), "validation": write(["own"], "dev.txt")}
    source = Source("text", data_files=files, validation_fraction=0.5)
    with caplog.at_level(logging.WARNING):
        assert (texts(source), texts(source, "validation")) == (LINES, ["own"])
    assert [record.message for record in caplog.records if "has no effect" in record.message]
    assert source.fingerprint("train") == Source("text", data_files=files).fingerprint("train")


def test_no_fraction_means_no_validation(write):
    source = Source("text", data_files={"train": write(LINES)})
    assert source.splits() == ["train"]
    assert "no split 'validation'" in refusal(source.load, "validation")


@pytest.mark.parametrize("fraction", [-0.1, 1, 1.5, float("nan")])
def test_a_fraction_is_a_share(fraction):
    assert "in [0, 1)" in refusal(Source, "text", data_files={"train": "x"}, validation_fraction=fraction)


def test_a_share_of_no_rows_is_refused(write):
    source = Source("text", data_files={"train": write(LINES)}, validation_fraction=0.001)
    assert "leaves validation without a row" in refusal(source.load, "validation")


# Tables


@streaming
@pytest.mark.parametrize(
    "columns", [{}, {"question": "q", "answer": "a"}, {"question": "question", "answer": "answer"}]
)
def test_csv_by_its_columns_or_by_the_roles(write, streaming, columns):
    file = write('question,id,answer\n"Where?",007,NA\n', "train.csv.gz")
    source = Source("csv", data_files={"train": file}, columns=columns, streaming=streaming)
    assert rows(source) == [PAIRS if columns else {"question": "Where?", "id": "007", "answer": "NA"}]


@streaming
def test_columns_name_what_the_file_calls_otherwise(write, streaming):
    file = write("Q,answer,A\nWhere?,wrong,NA\n", "train.csv")
    columns = {"answer": "A", "question": "Q"}
    assert rows(Source("csv", data_files={"train": file}, columns=columns, streaming=streaming)) == [PAIRS]


def test_missing_columns_are_told_before_anything_is_stored(write, arrow_cache):
    file = write("a,b\n1,2\n", "train.csv")
    message = refusal(Source("csv", data_files={"train": file}, columns={"text": "sentence"}).load, "train")
    assert "no column sentence. Found a, b" in message
    assert list(arrow_cache.iterdir()) == []


@streaming
@pytest.mark.parametrize("name", ["train.tsv", "train.tsv.gz"])
def test_tsv_has_its_columns_in_the_order_of_the_roles(write, streaming, name):
    file = write("Where?\tNA\nWho?\t7\n", name)
    for columns in ({"question": "q", "answer": "a"}, {"question": "answer", "answer": "question"}):
        source = Source("csv", data_files={"train": file}, columns=columns, streaming=streaming)
        assert rows(source) == [PAIRS, {"question": "Who?", "answer": "7"}]
    assert "no header" in refusal(Source("csv", data_files={"train": file}).load, "train")


def test_a_share_of_a_table_keeps_its_own_roles(write):
    file = write("a\tb\n" * 10, "train.tsv")
    for columns in ({"x": "x", "y": "y"}, {"y": "y", "x": "x"}):
        source = Source("csv", data_files={"train": file}, columns=columns, validation_fraction=0.5)
        assert rows(source)[0] == dict(zip(columns, "ab"))


def test_tables_of_two_formats_are_refused(write):
    files = [write("a\tb\n", "x.tsv"), write("a,b\n1,2\n", "x.csv")]
    assert "mixes .tsv" in refusal(Source("csv", data_files={"train": files}, columns={"x": "a"}).load, "train")


@streaming
def test_json_and_parquet(write, tmp_path, streaming):
    from datasets import Dataset

    content = [{"sentence": line, "more": 1} for line in LINES]
    Dataset.from_list(content).to_parquet(tmp_path / "x.parquet")
    files = {"json": write([json.dumps(row) for row in content], "x.jsonl"), "parquet": str(tmp_path / "x.parquet")}
    for path, file in files.items():
        source = Source(path, data_files={"train": file}, columns={"text": "sentence"}, streaming=streaming)
        assert rows(source) == [{"text": line} for line in LINES]


@pytest.mark.parametrize("path", ["json", "parquet"])
def test_what_the_builders_cannot_read_is_told_in_one_line(write, path):
    message = refusal(Source(path, data_files={"train": write('{"text": "a"}\n{"text":\n', "x")}).load, "train")
    assert message.startswith("data_files.train: ")
    assert "cannot be loaded" in message
    assert "An error occurred while generating" not in message


# Pairs of files and trees


@streaming
def test_bitext_is_read_in_step(write, streaming):
    files = {"train": {"src": write(LINES, "x.en.gz"), "tgt": write(LINES[::-1], "x.de")}}
    for columns in ({}, {"source": "en", "target": "de"}):
        source = Source("bitext", data_files=files, streaming=streaming, columns=columns)
        assert rows(source) == [{"source": a, "target": b} for a, b in zip(LINES, LINES[::-1])]
    turned = Source("bitext", data_files=files, columns={"source": "target", "target": "source"})
    assert rows(turned)[0] == {"source": LINES[-1], "target": LINES[0]}


@streaming
def test_bitext_out_of_step_is_refused(write, streaming):
    files = {"train": {"src": write(LINES, "x.en"), "tgt": write(LINES[:-3], "x.de")}}
    message = refusal(lambda: Source("bitext", data_files=files, streaming=streaming).load("train"))
    assert "x.en has 50 lines" in message
    assert "x.de has 47" in message


@streaming
def test_trees_are_blocks_and_checked(write, streaming):
    source = Source("conllu", data_files={"train": write(f"{TREE}\n\n{TREE}\n\n")}, streaming=streaming)
    assert rows(source) == [{"conllu": TREE}] * 2
    wrong = write(f"{TREE}\n\n{TREE}\n\n".replace("\t0\t", "\t2\t"), "wrong.conllu")
    message = refusal(lambda: Source("conllu", data_files={"train": wrong}, streaming=streaming).load("train"))
    assert f"data_files.train: {wrong}, line 2 (sent_id a): HEAD is 2" in message


# The sample world


@streaming
def test_the_sample_world(streaming):
    from lightning_nlp.data.sample_world import VIEWS, sample_rows, sample_splits

    for view in VIEWS:
        source = Source("sample", view, streaming=streaming)
        assert source.splits() == list(sample_splits(view))
        assert rows(source, "test") == sample_rows(view, "test")
    source = Source("sample", "questions", columns={"answer": "a", "question": "q"}, streaming=streaming)
    assert set(rows(source, "test")[0]) == {"question", "answer"}
    assert "Expected a view" in refusal(Source("sample", "wikitext-2-raw-v1").load, "train")


# The Hub


@streaming
def test_a_folder_opens_like_a_hub_name(folder, streaming):
    source = Source(folder, columns={"text": "text"}, streaming=streaming, validation_fraction=0.5)
    assert source.splits() == ["train", "validation", "test"]
    assert texts(source, "validation") == [f"train {n}" for n in range(1, 10, 2)]
    assert texts(source) == [f"train {n}" for n in range(0, 10, 2)]
    assert texts(source, "test") == ["test 0", "test 1", "test 2"]


@streaming
def test_a_column_within_a_column(folder, streaming):
    columns = {"source": "translation.en", "target": "translation.de"}
    source = Source(folder, columns=columns, streaming=streaming)
    assert rows(source, "test") == [{"source": f"{n}", "target": f"-{n}"} for n in range(3)]


def test_hub_columns_must_be_there_and_are_not_void(folder):
    assert "no column sentence. Found text, translation" in refusal(
        Source(folder, columns={"text": "sentence"}).load, "test"
    )


def test_unknown_names_are_told_in_one_line(folder):
    assert "nope" in refusal(Source(folder, "nope").load, "train")
    message = refusal(Source("nobody/nothing").load, "train")
    assert "nobody/nothing" in message
    assert "data_files" in message


# Arguments


@pytest.mark.parametrize(
    ("path", "data_files", "found"),
    [
        ("text", None, "data_files is empty"),
        ("csv", {}, "data_files is empty"),
        ("text", {"dev": "x"}, "has a split 'dev'. Expected train, validation, test"),
        ("text", {"test_": ""}, "data_files.test_ is ''"),
        ("text", {"train": []}, "data_files.train is []"),
        ("text", {"train": {"src": "x", "tgt": "y"}}, "for pairs set path bitext"),
        ("bitext", {"train": "x"}, "Expected {src: FILE, tgt: FILE}"),
        ("bitext", {"train": {"source": "x", "target": "y"}}, "Expected {src: FILE, tgt: FILE}"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(path, data_files, found):
    assert found in refusal(Source, path, data_files=data_files)


def test_two_roles_need_two_columns():
    assert "another column for each role" in refusal(Source, "x", columns={"source": "text", "target": "text"})
