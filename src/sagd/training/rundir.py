"""The directory of a run: who may write in it, and what is written besides checkpoints.

config.yaml, versions.json    what was asked for, every default spelt out, and with which libraries
metrics.jsonl                 one line per `training.log_every` steps
samples/step-000500.png       grids of samples
checkpoints/, model/          see `checkpoint` and `model`
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from sagd.config import RunConfig, dump_yaml
from sagd.errors import CheckpointError, InputError
from sagd.nn import UNREADABLE
from sagd.training.model import versions
from sagd.training.storage import reading, to_json, write_file, writing

LOCK, CONFIG = ".lock", "config.yaml"


def require_run(out: Path) -> None:
    """Refuse to resume where no run was started; one that was stopped early may have written nothing yet.

    Raises:
        CheckpointError: If `out` is missing, or holds something else.
    """
    if not out.is_dir() or (any(entry.name != LOCK for entry in out.iterdir()) and not (out / CONFIG).exists()):
        raise CheckpointError(f"nothing to resume in {str(out)!r}; start a run there without --resume")


@contextlib.contextmanager
def claim(out: Path, resume: bool) -> Iterator[None]:
    """Hold the run directory `out`, made if missing, for this process alone.

    The lock is the operating system's, so that it ends with the process that holds it.

    Raises:
        InputError: If another run holds it, it cannot be written, or it is not empty and `resume` is false.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not resume and any(entry.name != LOCK for entry in out.iterdir()):
            raise InputError(f"{str(out)!r} is not empty; continue that run with --resume, or choose another --out")
        with tempfile.TemporaryFile(dir=out) as probe:
            probe.write(b"probe")
        lock = (out / LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write in {str(out)!r}: {error.strerror}; choose another --out") from None
    with lock:
        _lock(lock, out)
        yield


def _lock(lock: TextIO, out: Path) -> None:
    import fcntl

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        raise InputError(
            f"another run (process {lock.read().strip()}) is writing in {str(out)!r}; wait, or choose another --out"
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()


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
