"""Prepared data in folders named by content: built once, whole or not at all, by whichever process comes first."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset, IterableDataset


def prepare_once(root: Path, key: Mapping[str, object], build: Callable[[Path], None]) -> Path:
    """Returns the folder that holds what `build` makes of `key`, building it where it is not there yet.

    The folder appears by rename, so it is complete whenever it exists. Processes that ask for the same key wait for
    the one that builds. What a killed process left is removed by the next call under the same `root`.

    Args:
        root: the folder of such folders.
        key: what the content depends on (fingerprint of the data, options), as plain JSON values.
        build: fills the empty folder it is given; what it raises comes out here, and its folder is removed.
    """
    folder = root / digest(key)[:16]
    if folder.is_dir():
        return folder
    root.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(root)
    with FileLock(_lock_file(folder)):
        if not folder.is_dir():
            _build(folder, key, build)
    return folder


def digest(key: Mapping[str, object]) -> str:
    """Returns the SHA-256 of a mapping as canonical JSON: equal for equal content, whatever the order of its keys.

    Args:
        key: plain JSON values.
    """
    return hashlib.sha256(_canonical(key).encode()).hexdigest()


def file_digest(file: Path | str) -> str:
    """Returns the SHA-256 of a file's bytes, read once a process while its size and time stay the same.

    Args:
        file: a file that exists.
    """
    stat = Path(file).stat()
    return _file_digest(str(Path(file).absolute()), stat.st_size, stat.st_mtime_ns)


def stored(key: Mapping[str, object], schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Dataset:
    """Writes batches to the Arrow cache of `datasets`, unless they are there, and maps the file into memory.

    Args:
        key: what the rows depend on, as for `prepare_once`.
        schema: the columns.
        batches: the rows, only asked for where they are not stored yet.
    """
    import pyarrow as pa
    from datasets import Dataset
    from datasets.config import HF_DATASETS_CACHE

    def build(folder: Path) -> None:
        with pa.OSFile(str(folder / "rows.arrow"), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)

    folder = prepare_once(Path(HF_DATASETS_CACHE) / "lightning_nlp", key, build)
    return Dataset.from_file(str(folder / "rows.arrow"))


def in_pieces(rows: Dataset | IterableDataset, size: int) -> Iterator[Dataset | IterableDataset]:
    """Cuts stored rows into pieces that are read one after the other, each through a memory map of its own.

    What has been read through a map counts as this process's memory until the map is gone: in pieces, memory stays
    that of a piece, however many rows there are.

    Args:
        rows: as `datasets` opened them; a stream, which maps nothing, is one piece.
        size: rows of a piece.
    """
    if not hasattr(rows, "__len__"):
        yield rows
        return
    packed = pickle.dumps(rows)  # the name of a mapped file, not its content
    for begin in range(0, len(rows), size):
        yield pickle.loads(packed).select(range(begin, min(begin + size, len(rows))))


def cache_root() -> Path:
    """Returns where prepared data live: `$LIGHTNING_NLP_CACHE`, else `lightning_nlp` in the user's cache folder."""
    if chosen := os.environ.get("LIGHTNING_NLP_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lightning_nlp"


@contextmanager
def renamed_when_whole(file: Path) -> Iterator[Path]:
    """Gives a temporary path beside `file` to write to, renamed to `file` at the end and removed on an error.

    Args:
        file: the file that shall exist whole or not at all; its folder is made.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.tmp-{os.getpid()}")
    try:
        yield unfinished
        os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)


@cache
def _file_digest(file: str, size: int, changed: int) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _build(folder: Path, key: Mapping[str, object], build: Callable[[Path], None]) -> None:
    unfinished = folder.with_name(f"{folder.name}.tmp-{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a killed process with our number: containers reuse them
    unfinished.mkdir()
    try:
        build(unfinished)
        (unfinished / "key.json").write_text(_canonical(key) + "\n", encoding="utf-8")
        os.replace(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _remove_abandoned(root: Path) -> None:
    """Removes temporary folders whose lock is free: the system frees a lock when its process ends, however it ends."""
    for unfinished in root.glob("*.tmp-*"):
        folder = root / unfinished.name.partition(".tmp-")[0]
        try:
            with FileLock(_lock_file(folder), timeout=0):
                shutil.rmtree(unfinished, ignore_errors=True)
        except Timeout:
            continue  # another process is at work there


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _canonical(key: Mapping[str, object]) -> str:
    return json.dumps(key, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
