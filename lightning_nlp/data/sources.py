"""Where data come from: the Hub, local files or the sample world, behind the arguments of `datasets.load_dataset`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_nlp.data import tables, text_files
from lightning_nlp.data.conllu import read_trees
from lightning_nlp.data.preparation import digest, file_digest, stored

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset, IterableDataset

log = logging.getLogger("lightning_nlp")

SPLITS = ("train", "validation", "test")
READ_HERE = ("text", "csv", "conllu", "bitext")
LOCAL = (*READ_HERE, "json", "parquet")
ROWS_AT_A_TIME = 10_000

Files = str | list[str] | dict[str, str]


@dataclass(frozen=True)
class Source:
    """One dataset and its splits: train, validation, test, and named test sets `test_<name>`.

    Args:
        path: what `datasets.load_dataset` takes, a Hub name or `text`, `csv`, `json`, `parquet`; or
            `conllu` (lossless trees), `bitext` (two files in step), `sample` (the sample world).
        name: the Hub configuration; for `sample` the view. Void with local files.
        data_files: split -> file, files or pattern, `.gz` too; for `bitext` split -> `{src: FILE, tgt: FILE}`.
            `.tsv` means tab-separated without header.
        streaming: read rows when they are asked for, and never all at once.
        columns: role -> column; the roles are the columns of what is loaded. A column within another is written with
            a dot (`translation.de`). Files without header have their columns in the order of the roles. Where local
            files have none of these columns, those called like the roles are taken. Empty: all columns as they are.
        validation_fraction: the share of train, evenly spread, that is validation where no such split is given.

    Raises:
        ValueError: a split of another name, a fraction outside [0, 1), or no files where `path` needs them.
    """

    path: str
    name: str | None = None
    data_files: Mapping[str, Files] | None = None
    streaming: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    validation_fraction: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(f"validation_fraction is {self.validation_fraction}. Expected a share of train in [0, 1).")
        if len(set(self.columns.values())) < len(self.columns):
            raise ValueError(f"columns is {dict(self.columns)}. Expected another column for each role.")
        if self.path in LOCAL and not self.data_files:
            raise ValueError(f"path {self.path} reads local files but data_files is empty. Give data_files.train FILE.")
        for split, files in (self.data_files or {}).items():
            text_files.check_split(split, files, pair=self.path == "bitext")

    def splits(self) -> list[str]:
        """Lists what `load` takes: the splits given, and validation where a share of train stands for it."""
        given = self._given_splits()
        held_out = ["validation"] if self._held_out() else []
        return [split for split in SPLITS if split in [*given, *held_out]] + [s for s in given if s.startswith("test_")]

    def load(self, split: str) -> Dataset | IterableDataset:
        """Opens one split and no file of another; local text is checked and stored as Arrow the first time.

        Args:
            split: one of `splits()`.

        Raises:
            ValueError: there is no such split, file or column, or a file is not what it should be.
        """
        origin, fraction = self._origin(split)
        rows = self._open(origin)
        if fraction and self.streaming:
            rows = _streamed_share(rows, fraction, split == "validation")
        elif fraction:
            kept = _share(rows, fraction, split == "validation")
            rows = stored({"rows": self.fingerprint(split)}, rows.data.schema, kept)
            if not len(rows):
                raise ValueError(f"validation_fraction {fraction} leaves {split} without a row. Give another fraction.")
        return self._with_roles(rows)

    def fingerprint(self, split: str) -> str:
        """Returns a hash of what `load` gives: of the files' bytes, not their place or time, and of the options.

        Args:
            split: one of `splits()`.

        Raises:
            ValueError: as `load`.
        """
        return digest({"rows": self._identity(split), "columns": list(self.columns.items())})

    def _given_splits(self) -> list[str]:
        if self.path == "sample":
            if self.data_files:
                _say_once(f"data_files has no effect with path sample: {dict(self.data_files)} is not read.")
            return _sample_splits(self.name)
        return list(self.data_files) if self.data_files else _hub_splits(self.path, self.name)

    def _held_out(self) -> float:
        """Returns the share of train that is validation: none where that split is given."""
        if not self.validation_fraction or "train" not in (given := self._given_splits()):
            return 0.0
        where = f"train {self.data_files['train']}" if self.data_files else _hub_name(self.path, self.name)
        if "validation" in given:
            _say_once(f"validation_fraction has no effect: there is a validation split ({where}).")
            return 0.0
        _say_once(
            f"No validation split: {self.validation_fraction:.2%} of train, evenly spread, is held out ({where})."
        )
        return self.validation_fraction

    def _origin(self, split: str) -> tuple[str, float]:
        """Returns the split that holds the rows, and the share of it that is validation."""
        if split not in (known := self.splits()):
            raise ValueError(
                f"path {self.path} has no split {split!r}. Found {', '.join(known) or 'none'}: give data_files.{split}"
                + (", or a validation_fraction." if split == "validation" else ".")
            )
        fraction = self._held_out() if split in ("train", "validation") else 0.0
        return ("train" if fraction else split), fraction

    def _identity(self, split: str) -> list[object]:
        """Returns plain values that differ where the rows differ."""
        origin, fraction = self._origin(split)
        share = [fraction, split] if fraction else []
        if self.path == "sample":
            return [digest({"rows": _sample_rows(self.name, origin)}), share]
        if self.path not in LOCAL:
            data_files = {origin: self.data_files[origin]} if self.data_files else None
            return [_hub_identity(self.path, self.name, data_files, origin), share]
        files = self._files(origin)
        form, _ = self._form(files, f"data_files.{origin}")
        return [form, _digests(files), share]

    def _open(self, split: str) -> Any:
        if self.path == "sample":
            from datasets import Dataset

            rows = Dataset.from_list(_sample_rows(self.name, split))
            return rows.to_iterable_dataset() if self.streaming else rows
        if self.path in READ_HERE:
            return self._read(split)
        if self.path in LOCAL:
            return self._build(split)
        data_files = {split: self.data_files[split]} if self.data_files else None
        return _load_dataset(self.path, self.name, data_files, split, self.streaming)

    def _read(self, split: str) -> Any:
        """Opens text by our own readers: as a stream, or stored as Arrow in a folder named by content."""
        import pyarrow as pa

        files, where = self._files(split), f"data_files.{split}"
        form, columns = self._form(files, where)
        self._chosen(columns)
        if self.streaming:
            return _stream(form, files, tuple(columns), where)
        schema = pa.schema([(column, pa.string()) for column in columns])
        key = {"form": form, "columns": columns, "files": _digests(files)}
        return stored(key, schema, _batches(_rows(form, files, tuple(columns), where), schema))

    def _build(self, split: str) -> Any:
        """Opens what the builders of `datasets` read, with the checks they lack."""
        names, where = [file for (file,) in self._files(split)], f"data_files.{split}"
        for name in names if self.path == "json" and not self.streaming else []:
            text_files.check_json(name, where)
        return _load_dataset(self.path, None, {"train": names}, "train", self.streaming, f"{where}: {', '.join(names)}")

    def _files(self, split: str) -> list[tuple[str, ...]]:
        """Returns the files of a split, patterns filled in: one by one, or for bitext as a pair."""
        given, where = (self.data_files or {})[split], f"data_files.{split}"
        if isinstance(given, dict):
            files: list[tuple[str, ...]] = [(given["src"], given["tgt"])]
        else:
            patterns = [given] if isinstance(given, str) else given
            files = [(file,) for pattern in patterns for file in text_files.matching(pattern, where)]
        for file in chain.from_iterable(files):
            text_files.check_file(file, where)
        return files

    def _form(self, files: list[tuple[str, ...]], where: str) -> tuple[str, list[str]]:
        """Returns how local files are read, and the columns that gives; without a header they are called as wanted."""
        wanted = list(self.columns.values())
        if self.path in ("text", "conllu"):
            return self.path, wanted if len(wanted) == 1 else [self.path]
        if self.path == "bitext":
            return self.path, ["source", "target"]
        if self.path != "csv":
            return self.path, []
        tabs = {name.removesuffix(".gz").endswith(".tsv") for (name,) in files}
        if len(tabs) > 1:
            raise ValueError(f"{where} mixes .tsv with other files. Expected one format a split: {files}.")
        if tabs == {False}:
            return "csv", tables.csv_header(files[0][0], where)
        if not wanted:
            raise ValueError(f"{where}: {files[0][0]} has no header. Expected columns to name its columns in order.")
        return "tsv", wanted

    def _with_roles(self, rows: Any) -> Any:
        """Gives the columns the names of their roles and drops the others."""
        if not self.columns:
            return rows
        columns = self._chosen(_column_names(rows))
        if self.streaming:
            return _streamed_roles(rows, columns)
        flat = rows if set(columns.values()) <= set(rows.column_names) else rows.flatten()
        return flat.select_columns(list(columns.values())).rename_columns(
            {column: role for role, column in columns.items()}
        )

    def _chosen(self, found: Sequence[str]) -> Mapping[str, str]:
        """Returns role -> column among the columns found; local files may have the roles themselves."""
        if set(self.columns.values()) <= set(found):
            return self.columns
        if self.path in (*LOCAL, "sample") and set(self.columns) <= set(found):
            return {role: role for role in self.columns}
        missing = [column for column in self.columns.values() if column not in found]
        raise ValueError(
            f"columns: path {self.path} has no column {', '.join(missing)}. Found {', '.join(found)}: "
            f"set columns to say which of them is {', '.join(self.columns)}."
        )


def held_out(row: Any, fraction: float) -> Any:
    """Whether a row of train belongs to validation: every so many rows one, and of n rows exactly floor(n * fraction).

    Args:
        row: position of a row from 0, or an integer array of them.
        fraction: the share held out, taken as the decimal it is written as.
    """
    part, whole = _ratio(fraction)
    return (row + 1) * part // whole > row * part // whole


@cache
def _ratio(fraction: float) -> tuple[int, int]:
    """Returns the decimal as whole numbers: in floating point 100 * 0.29 falls short of 29."""
    return Fraction(str(fraction)).limit_denominator(1_000_000).as_integer_ratio()


def _share(rows: Dataset, fraction: float, validation: bool) -> Iterator[pa.RecordBatch]:
    import numpy as np
    import pyarrow as pa

    start = 0
    for batch in rows.data.to_batches():
        positions = np.arange(start, start + len(batch))
        yield batch.filter(pa.array(held_out(positions, fraction) == validation))
        start += len(batch)


def _streamed_share(rows: IterableDataset, fraction: float, validation: bool) -> IterableDataset:
    """One shard, since each worker would count the rows of its own shards from 0 and training rows would leak."""
    from datasets import IterableDataset

    kept = {"rows": rows, "fraction": fraction, "validation": validation}
    return IterableDataset.from_generator(_kept_rows, features=rows.features, gen_kwargs=kept)


def _kept_rows(rows: IterableDataset, fraction: float, validation: bool) -> Iterator[dict[str, Any]]:
    """Reads batches, because only `iter` gives all shards in a worker process too."""
    batches = rows.iter(ROWS_AT_A_TIME)
    everything = (dict(zip(batch, fields)) for batch in batches for fields in zip(*batch.values()))
    return (row for number, row in enumerate(everything) if held_out(number, fraction) == validation)


def _rows(form: str, files: list[tuple[str, ...]], columns: tuple[str, ...], where: str) -> Iterator[dict[str, str]]:
    for names in files:
        for fields in _fields(form, names, columns, where):
            yield dict(zip(columns, fields))


def _fields(form: str, names: tuple[str, ...], columns: tuple[str, ...], where: str) -> Iterator[Sequence[str]]:
    if form == "bitext":
        source, target = names
        return text_files.read_bitext(source, target, where)
    (name,) = names
    if form == "csv":
        return tables.read_csv(name, columns, where)
    if form == "tsv":
        return tables.read_tsv(name, columns, where)
    texts = read_trees(name, where) if form == "conllu" else text_files.read_lines(name, where)
    return ((text,) for text in texts)


def _stream(form: str, files: list[tuple[str, ...]], columns: tuple[str, ...], where: str) -> IterableDataset:
    """Files are the shards; `columns` is a tuple because `datasets` shards every list."""
    from datasets import Features, IterableDataset, Value

    features = Features({column: Value("string") for column in columns})
    arguments = {"form": form, "files": files, "columns": columns, "where": where}
    return IterableDataset.from_generator(_rows, features=features, gen_kwargs=arguments)


def _batches(rows: Iterator[dict[str, str]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    while some := list(islice(rows, ROWS_AT_A_TIME)):
        yield pa.RecordBatch.from_pylist(some, schema=schema)


def _sample_splits(view: str | None) -> list[str]:
    from lightning_nlp.data.sample_world import VIEWS, sample_splits

    if view not in VIEWS:
        raise ValueError(f"name is {view!r}. Expected a view of the sample world: {', '.join(VIEWS)}.")
    return list(sample_splits(view))


def _sample_rows(view: str | None, split: str) -> list[dict[str, str | float]]:
    from lightning_nlp.data.sample_world import sample_rows

    assert view is not None, "splits() refuses it"
    return sample_rows(view, split)


def _load_dataset(path: str, name: str | None, data_files: Any, split: str, streaming: bool, where: str = "") -> Any:
    import datasets

    with text_files.builder_faults(where or _hub_name(path, name)):
        return datasets.load_dataset(path, name, data_files=data_files, split=split, streaming=streaming)


@cache
def _hub_splits(path: str, name: str | None) -> list[str]:
    """Asks once a process: it is a request to the Hub."""
    import datasets

    with text_files.builder_faults(_hub_name(path, name)):
        return datasets.get_dataset_split_names(path, name)


def _hub_identity(path: str, name: str | None, data_files: Any, split: str) -> list[object]:
    """Returns the bytes of a folder of files as digests, and for the Hub its name and revision."""
    import datasets

    with text_files.builder_faults(_hub_name(path, name)):
        builder = datasets.load_dataset_builder(path, name, data_files=data_files)
    files = (builder.config.data_files or {}).get(split, [])
    if files and all(Path(file).is_file() for file in files):
        return _digests([(file,) for file in files])
    return [path, name, builder.config_id, builder.hash, split]


def _hub_name(path: str, name: str | None) -> str:
    return f"path {path}" + (f", name {name}" if name else "")


def _digests(files: list[tuple[str, ...]]) -> list[object]:
    return [file_digest(name) for name in chain.from_iterable(files)]


def _column_names(rows: Any) -> list[str]:
    """Returns the columns, and after them those within columns."""
    features = rows.features
    return list({**features, **features.flatten()} if features else _flat(next(iter(rows))))


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    inner = ((name, value) for name, value in row.items() if isinstance(value, Mapping))
    return {**row, **{f"{name}.{key}": field for name, value in inner for key, field in value.items()}}


def _streamed_roles(rows: IterableDataset, columns: Mapping[str, str]) -> IterableDataset:
    """Does what `rename_columns` of a stream refuses: names that change places, or stay."""
    from datasets import Features

    known = {**rows.features, **rows.features.flatten()} if rows.features else {}
    features = Features({role: known[column] for role, column in columns.items()}) if known else None
    replaced = list(rows.features or next(iter(rows)))
    return rows.map(_roles, fn_kwargs={"columns": dict(columns)}, remove_columns=replaced, features=features)


def _roles(row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    flat = _flat(row)
    return {role: flat[column] for role, column in columns.items()}


@cache
def _say_once(message: str) -> None:
    log.warning(message)
