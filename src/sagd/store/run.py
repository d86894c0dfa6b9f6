"""The directory of a run, and what is written into it.

config.yaml, versions.json    what was asked for, every default spelt out, and with which libraries
metrics.jsonl                 one line per `training.log_every` steps
samples/step-000500.png       grids of samples
checkpoints/, model/          see `sagd.store.checkpoint` and `sagd.store.model`
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from sagd.build.schema import RunConfig
from sagd.build.text import dump_yaml
from sagd.errors import CheckpointError
from sagd.networks.weights import UNREADABLE
from sagd.store.files import reading, to_json, write_file, writing
from sagd.store.folder import LOCK
from sagd.store.model import versions

CONFIG = "config.yaml"

ADVICE = "continue that run with --resume, or choose another --out"
"""What to do about a directory that is not empty."""


def require_run(out: Path) -> None:
    """Refuse to resume where no run was started; one that was stopped early may have written nothing yet.

    Raises:
        CheckpointError: If `out` is missing, or holds something else.
    """
    if not out.is_dir() or (any(entry.name != LOCK for entry in out.iterdir()) and not (out / CONFIG).exists()):
        raise CheckpointError(f"nothing to resume in {str(out)!r}; start a run there without --resume")


def describe(out: Path, config: RunConfig) -> None:
    """Write the resolved configuration and the versions."""
    with writing(out / CONFIG):
        dump_yaml(config, out / CONFIG)
    write_file(out / "versions.json", to_json(versions()))


class Metrics:
    """`metrics.jsonl`, cut back to `step` on opening so that a resumed run writes what the uninterrupted one would."""

    def __init__(self, out: Path, step: int) -> None:
        self._path = out / "metrics.jsonl"
        kept = [line for line in self._lines() if _step(line) <= step]
        write_file(self._path, "".join(kept).encode())

    def write(self, values: dict[str, Any]) -> None:
        """Append one line."""
        with writing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values, allow_nan=False) + "\n")

    def _lines(self) -> list[str]:
        if not self._path.exists():
            return []
        with reading(self._path):
            return self._path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)


def _step(line: str) -> float:
    """The step of a line; a line that a kill cut short, or that is none of ours, comes after every step."""
    try:
        return float(json.loads(line)["step"])
    except UNREADABLE:
        return math.inf
