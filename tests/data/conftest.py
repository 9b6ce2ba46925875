"""Files and folders that sources of data read."""

import gzip

import pytest


@pytest.fixture
def arrow_cache(tmp_path_factory, monkeypatch):
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", cache)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    return cache


@pytest.fixture
def write(tmp_path):
    def write(content: str | list[str], name: str = "train.txt") -> str:
        text = content if isinstance(content, str) else "".join(f"{line}\n" for line in content)
        file = tmp_path / name
        file.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return str(file)

    return write


@pytest.fixture
def folder(tmp_path):
    """A folder of parquet files, which `datasets` opens as it does a data set on the Hub."""
    from datasets import Dataset

    folder = tmp_path / "hub"
    for split, size in {"train": 10, "test": 3}.items():
        rows = [{"text": f"{split} {n}", "translation": {"en": f"{n}", "de": f"-{n}"}} for n in range(size)]
        Dataset.from_list(rows).to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return str(folder)
