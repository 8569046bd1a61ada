"""What a benchmark leaves behind: where it was measured, in a file named by the device and the date."""

import datetime
import importlib.util
import json
from importlib import metadata
from pathlib import Path

from mlp_jax.bench import record as records
from mlp_jax.machine import environment as machine

RESULTS = Path(__file__).parent / "results"


def environment() -> dict:
    """Return what `devices` knows of this machine, and the contenders' versions."""
    there = {name: importlib.util.find_spec(name) is not None for name in ("torch", "sklearn")}
    versions = {
        "torch": metadata.version("torch") if there["torch"] else None,
        "scikit-learn": metadata.version("scikit-learn") if there["sklearn"] else None,
    }
    return machine.describe() | versions | {"date": datetime.date.today().isoformat()}


def write(name: str, record: dict) -> Path:
    """Write the record of benchmark `name` to a file of its own in benchmarks/results/ and return its path."""
    path = records.free_path(RESULTS, name, record["environment"])
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
