"""What the benchmarks share: systems in processes of their own, and the rows of results."""

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared/data"


def run(command: list[str], log: Path | None = None, folder: Path | None = None, **settings: str) -> str:
    """Runs a system in a process of its own and returns what it printed.

    Args:
        command: the program and its arguments.
        log: file for what it prints and its messages.
        folder: where it runs.
        settings: of its environment, beside those of this process. What holds numpy's products back on some processors
            is left out: peers shall run as fast as they can.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS_")}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=kept | settings)
    if log:
        log.write_text(done.stdout + done.stderr)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)[:500]}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def report(benchmark: str, what: str, found: Mapping[str, Any], packages: Iterable[str] = (), **about: Any) -> dict:
    """Appends one measured row to results/<benchmark>.json, and prints it."""
    row = {
        "date": datetime.date.today().isoformat(),
        "what": what,
        **about,
        **{key: round(value, 2) if isinstance(value, float) else value for key, value in found.items()},
        "machine": f"{os.cpu_count()} cores, {processor()}",
        **({"versions": versions(*packages)} if packages else {}),
    }
    file = ROOT / f"benchmarks/results/{benchmark}.json"
    rows = json.loads(file.read_text()) if file.exists() else []
    file.write_text(json.dumps([*rows, row], indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(row, ensure_ascii=False), flush=True)
    return row


def versions(*packages: str) -> str:
    """Names and versions of installed packages."""
    return ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)


def processor() -> str:
    """Its name, and whether it computes sixteen numbers at once."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")]
    wide = " with AVX-512" if "avx512f" in info else ""
    return (names[0] if names else platform.processor()) + wide
