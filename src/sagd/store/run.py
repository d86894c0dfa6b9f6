"""The directory of a run, and what is written into it.

config.yaml, versions.json    what was asked for, every default spelt out, and with which libraries
metrics.jsonl                 one line per `training.log_every` steps
samples/step-000500.png       grids of samples
checkpoints/, model/          see `sagd.store.checkpoint` and `sagd.store.model`
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import torch

from sagd.build.text import to_yaml
from sagd.errors import CheckpointError, InputError, argument, one_line
from sagd.networks.weights import UNREADABLE
from sagd.paths import read_text
from sagd.store.checkpoint import list_checkpoints
from sagd.store.files import PARTIAL, entries, reading, to_json, write_file, writing
from sagd.store.folder import LOCK
from sagd.store.model import LAPS, versions
from sagd.training.fit import Callback, Fit, Step

CONFIG = "config.yaml"

_TICK = 1e-9
"""Seconds that are the least a step takes, whatever a clock says that stands still."""
_LARGEST = torch.finfo(torch.float32).max
"""The largest loss that a step can have had."""


def advice() -> str:
    """What to do about a directory that is not empty."""
    return f"continue that run with {argument('resume=True')}, or choose another {argument('out')}"


def settings_of(out: Path) -> Path | None:
    """The file in which a run keeps its settings, or a training in laps those of all; None if there is none yet."""
    return next((out / name for name in (LAPS, CONFIG) if (out / name).is_file()), None)


def require_run(out: Path) -> None:
    """Refuse to resume where no run was started; one that was stopped early may have written nothing yet.

    A run is known by its settings or, since these are written anew, by its checkpoints, which hold them too.

    Raises:
        CheckpointError: If `out` is missing, holds something else, or cannot be listed.
    """
    found = {entry.name for entry in entries(out)}
    nothing_yet = found <= {LOCK, f"{CONFIG}{PARTIAL}"} and out.is_dir()
    if not nothing_yet and CONFIG not in found and not list_checkpoints(out):
        cure = f"choose another {argument('out')}" if found else f"start a run there without {argument('resume=True')}"
        if LAPS in found:
            raise CheckpointError(
                f"{str(out)!r} holds a training in laps, and this is a single one; say how many laps"
                f" ({argument('process.omission.laps=3')}), or choose another {argument('out')}"
            )
        raise CheckpointError(f"nothing to resume in {str(out)!r}; {cure}")


def describe(out: Path, settings: Mapping[str, Any]) -> None:
    """Write the resolved settings and the versions."""
    write_file(out / CONFIG, to_yaml(settings))
    write_file(out / "versions.json", to_json(versions()))


@final
class Metrics(Callback):
    """`metrics.jsonl`, a line per so many steps.

    It is cut back on opening, so that a resumed run writes what the uninterrupted one would. `waited` is the share of
    the time that the first process waited for its data.

    Args:
        out: Run directory.
        every: Steps between lines.
    """

    def __init__(self, out: Path, every: int) -> None:
        self._path, self._every = out / "metrics.jsonl", every
        self._losses: list[float] = []
        self._items, self._seconds, self._waited = 0, 0.0, 0.0

    def start(self, fit: Fit) -> None:
        """Open the file."""
        self._clock = time.perf_counter() - self._seconds
        fit.runtime.on_first(lambda: self._cut(fit.step))

    def after(self, fit: Fit, step: Step) -> None:
        """A line on the steps since the last one, if it is time."""
        self._losses.append(step.loss)
        self._items += step.items
        self._waited += step.waited
        if step.last or step.number % self._every == 0:
            now = time.perf_counter()
            seconds, self._clock = now - self._clock, now
            line = {
                "step": step.number,
                "loss": math.fsum(self._losses) / len(self._losses),
                "lr": step.lr,
                "grad_norm": step.grad_norm if math.isfinite(step.grad_norm) else None,
                "items_per_second": self._items / max(seconds, _TICK),
                "seconds": seconds,
                "waited": self._waited / max(seconds, _TICK),
            }
            self._losses, self._items, self._waited = [], 0, 0.0
            fit.runtime.on_first(lambda: self._write(line))

    def snapshot(self) -> dict[str, Any]:
        """Losses, items and times since the last line."""
        seconds = time.perf_counter() - self._clock
        return {"losses": self._losses, "items": self._items, "seconds": seconds, "waited": self._waited}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take them back."""
        losses, items, seconds = state.get("losses", []), state.get("items", 0), state.get("seconds", 0.0)
        if not isinstance(losses, list) or not all(type(loss) is float and abs(loss) <= _LARGEST for loss in losses):
            raise InputError(f"losses must be numbers, got {one_line(losses)}")
        if type(items) is not int or items < 0:
            raise InputError(f"items must be a whole number, got {one_line(items)}")
        waited = state.get("waited", 0.0)
        for name, value in (("seconds", seconds), ("waited", waited)):
            if not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise InputError(f"{name} must be a time, got {one_line(value)}")
        self._losses, self._items, self._seconds, self._waited = list(losses), items, float(seconds), float(waited)

    def _write(self, values: dict[str, Any]) -> None:
        with writing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values, allow_nan=False) + "\n")

    def _cut(self, step: int) -> None:
        kept = [line for line in self._lines() if _step(line) <= step]
        write_file(self._path, "".join(kept).encode())

    def _lines(self) -> list[str]:
        if not self._path.exists():
            return []
        with reading(self._path):
            return read_text(self._path, errors="replace").splitlines(keepends=True)


def _step(line: str) -> float:
    """The step of a line; a line that a kill cut short, or that is none of ours, comes after every step."""
    try:
        return float(json.loads(line)["step"])
    except UNREADABLE:
        return math.inf
