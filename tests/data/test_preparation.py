import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from lightning_nlp.data.preparation import (
    cache_root,
    digest,
    file_digest,
    in_pieces,
    prepare_once,
    renamed_when_whole,
    stored,
)

KEY = {"data": "abc", "options": {"b": 2, "a": [1, None]}}

# A build that says it has begun, waits until it may go on, and notes each time it is run.
BUILDER = """
import sys, time
from pathlib import Path
from lightning_nlp.data.preparation import prepare_once

root, desk, key = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

def build(folder):
    (folder / "part").write_text("half")
    with (desk / "builds").open("a") as file:
        file.write(key + "\\n")
    while not (desk / "go").exists():
        time.sleep(0.01)
    (folder / "part").write_text("whole")

print(prepare_once(root, {"key": key}, build))
"""


@pytest.fixture
def desk(tmp_path):
    (tmp_path / "desk").mkdir()
    return tmp_path / "desk"


def begin(root: Path, desk: Path, key: str = "k") -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", BUILDER, root, desk, key], stdout=subprocess.PIPE, text=True)


def wait_for(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def folders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir())


def fill(folder: Path) -> None:
    (folder / "content").write_text("whole")


def refuse(folder: Path) -> None:
    raise AssertionError("built a second time")


def test_a_folder_is_built_once_and_tells_its_key(tmp_path):
    folder = prepare_once(tmp_path / "new" / "root", KEY, fill)
    assert (folder / "content").read_text() == "whole"
    assert json.loads((folder / "key.json").read_text()) == KEY
    assert prepare_once(tmp_path / "new" / "root", dict(reversed(KEY.items())), refuse) == folder


def test_another_key_is_another_folder(tmp_path):
    keys = [KEY, {**KEY, "data": "abd"}, {**KEY, "more": False}, {**KEY, "options": {"a": [None, 1], "b": 2}}]
    assert len({prepare_once(tmp_path, key, fill) for key in keys}) == len(keys)
    assert folders(tmp_path) == sorted(digest(key)[:16] for key in keys)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_build_that_fails_leaves_nothing_and_may_be_tried_again(tmp_path, error):
    def fail(folder: Path) -> None:
        fill(folder)
        raise error("in the middle")

    with pytest.raises(error, match="in the middle"):
        prepare_once(tmp_path, KEY, fail)
    assert folders(tmp_path) == []
    assert (prepare_once(tmp_path, KEY, fill) / "content").exists()


def test_two_processes_build_once_and_get_the_same_folder(tmp_path, desk):
    root = tmp_path / "root"
    processes = [begin(root, desk), begin(root, desk)]
    wait_for(lambda: (desk / "builds").exists())
    time.sleep(0.2)  # the other one now waits, or will come to a finished folder
    (desk / "go").touch()
    answers = {process.communicate(timeout=20)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert (desk / "builds").read_text() == "k\n"
    (folder,) = map(Path, answers)
    assert (folder / "part").read_text() == "whole"
    assert folders(root) == [folder.name]


def test_a_killed_build_is_never_taken_for_a_finished_one(tmp_path, desk):
    root = tmp_path / "root"
    for key in ("mine", "never asked for again"):
        process = begin(root, desk, key)
        wait_for(lambda key=key: (desk / "builds").exists() and key in (desk / "builds").read_text())
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=20)
    assert len([name for name in folders(root) if ".tmp-" in name]) >= 1
    folder = prepare_once(root, {"key": "mine"}, fill)
    assert sorted(path.name for path in folder.iterdir()) == ["content", "key.json"]
    assert folders(root) == [folder.name]


def test_what_another_process_is_building_is_left_to_it(tmp_path, desk):
    root = tmp_path / "root"
    process = begin(root, desk)
    wait_for(lambda: (desk / "builds").exists())
    mine = prepare_once(root, KEY, fill)
    assert len(folders(root)) == 2
    (desk / "go").touch()
    theirs = Path(process.communicate(timeout=20)[0].strip())
    assert (theirs / "part").read_text() == "whole"
    assert folders(root) == sorted([mine.name, theirs.name])


def test_a_leftover_with_our_own_process_number_is_no_obstacle(tmp_path):
    leftover = tmp_path / f"{digest(KEY)[:16]}.tmp-{os.getpid()}"
    leftover.mkdir()
    (leftover / "half").touch()
    folder = prepare_once(tmp_path, KEY, fill)
    assert not (folder / "half").exists()
    assert not leftover.exists()


def test_a_file_is_named_by_its_bytes(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("same")
    two.write_text("same")
    os.utime(two, (1, 1))
    assert file_digest(one) == file_digest(two)
    two.write_text("diff")
    assert file_digest(one) != file_digest(two)


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    file = tmp_path / "new" / "out.txt"
    with renamed_when_whole(file) as unfinished:
        unfinished.write_text("one")
        assert not file.exists()
    assert file.read_text() == "one"

    def fail() -> None:
        with renamed_when_whole(file) as unfinished:
            unfinished.write_text("half")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert file.read_text() == "one"
    assert list(file.parent.iterdir()) == [file]


def test_stored_rows_come_back_and_are_asked_for_once(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    schema = pa.schema([("text", pa.string())])
    batches = iter([pa.RecordBatch.from_pylist([{"text": "a"}, {"text": "b"}], schema=schema)])
    assert stored(KEY, schema, batches)["text"][:] == ["a", "b"]
    assert stored(KEY, schema, iter([]))["text"][:] == ["a", "b"]


def test_the_cache_is_where_the_user_says(monkeypatch):
    monkeypatch.setenv("LIGHTNING_NLP_CACHE", "/chosen")
    assert cache_root() == Path("/chosen")
    monkeypatch.delenv("LIGHTNING_NLP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_root() == Path("/xdg/lightning_nlp")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == Path.home() / ".cache" / "lightning_nlp"


# -- pieces ---------------------------------------------------------------------------------------------------------


def test_pieces_are_the_rows_in_order():
    from datasets import Dataset

    rows = Dataset.from_dict({"n": list(range(10))})
    pieces = [piece["n"] for piece in in_pieces(rows, 4)]
    assert [list(piece) for piece in pieces] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    (stream,) = in_pieces(rows.to_iterable_dataset(), 4)
    assert [row["n"] for row in stream] == list(range(10))


RESIDENT = """
import sys
from pathlib import Path
import pyarrow as pa
from lightning_nlp.data.preparation import in_pieces, stored

def mapped():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssFile")) / 1024

schema = pa.schema([("text", pa.string())])
batches = (pa.record_batch([pa.array(["x" * 1000] * 1000)], schema=schema) for _ in range(100))
rows = stored({"test": sys.argv[1]}, schema, batches).with_format("arrow")
before, most = mapped(), 0.0
for piece in in_pieces(rows, 5000) if sys.argv[1] == "pieces" else [rows]:
    for table in piece.iter(1000):
        table["text"].combine_chunks().to_numpy(zero_copy_only=False)
        most = max(most, mapped() - before)
print(most)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to tell mapped memory")
def test_memory_is_that_of_a_piece(run_python):
    """A hundred megabytes of rows."""
    whole, pieces = (float(run_python("-c", RESIDENT, way)) for way in ("whole", "pieces"))
    assert whole > 80
    assert pieces < 30
