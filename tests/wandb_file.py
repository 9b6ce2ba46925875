"""Reads a `.wandb` file of an offline run: wandb's records in LevelDB's log format.

A header of seven bytes, then blocks of 32 KiB; a record is cut into chunks of checksum, length, kind and bytes, where
the kind says whether the chunk is a whole record (1), its first (2), a middle (3) or its last (4) part.
"""

import json
import struct
from pathlib import Path

from wandb.proto.wandb_internal_pb2 import Record

BLOCK = 32 * 1024


def records(file: Path) -> list[Record]:
    data = file.read_bytes()
    assert data[:4] == b":W&B"
    place, parts, found = 7, [], []
    while place < len(data):
        if BLOCK - place % BLOCK < 7:  # too little room for a header: the block ends in zeros
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        parts.append(data[place + 7 : place + 7 + length])
        place += 7 + length
        if kind in (1, 4):
            found.append(Record.FromString(b"".join(parts)))
            parts = []
    return found


class OfflineRun:
    """What arrived in one offline run."""

    def __init__(self, folder: Path) -> None:
        (file,) = folder.glob("*.wandb")
        found = records(file)
        self.files = folder / "files"
        self.id = next(r.run.run_id for r in found if r.WhichOneof("record_type") == "run")
        self.config: dict = {}
        self.history: list[dict] = []
        for record in found:
            for update in [*record.run.config.update, *record.config.update]:
                self.config[update.key or update.nested_key[0]] = json.loads(update.value_json)
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                self.history.append({i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items})

    def values(self, name: str) -> list:
        return [row[name] for row in self.history if name in row]


def offline_runs(run_folder: Path) -> list[OfflineRun]:
    return [OfflineRun(folder) for folder in sorted(run_folder.glob("wandb/offline-run-*"))]
