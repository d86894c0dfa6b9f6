"""Checkpoints of a training run: `checkpoints/step-00000500/`, safetensors and JSON, never pickle.

A checkpoint is a `Snapshot`: groups of named tensors, one safetensors file each, and a JSON state. It is written
whole or not at all (see `sagd.store.files`), and older ones are removed only once it is on disk.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import final

from sagd.errors import CheckpointError, argument
from sagd.store.files import (
    PARTIAL,
    REPLACED,
    entries,
    read_json,
    read_manifest,
    read_tensors,
    remove_directory,
    to_json,
    to_safetensors,
    verify_directory,
    write_directory,
)
from sagd.training.fit import Callback, Fit, Snapshot, Step

STATE = "state.json"
_TENSORS = ".safetensors"
_NAME = re.compile(r"step-(\d{8,})")


def checkpoint_path(run: Path, step: int) -> Path:
    """Where a run keeps its checkpoint of a step."""
    return run / "checkpoints" / _name(step)


def save_checkpoint(run: Path, snapshot: Snapshot, keep: int) -> Path:
    """Write a checkpoint of the run directory `run`, then remove all but the newest `keep`.

    Raises:
        CheckpointError: If the disk refuses; checkpoints written before are left as they were.
    """
    path = checkpoint_path(run, snapshot.step)
    _remove_leftovers(run)
    write_directory(path, _files(snapshot))
    prune(run, snapshot.step, keep)
    return path


def prune(run: Path, step: int, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints up to a step, and what a kill left of others.

    Raises:
        CheckpointError: If the folder cannot be listed, or the disk refuses.
    """
    _remove_leftovers(run)
    # Checkpoints of later steps are damaged ones that a resumed run went back behind: they do not count.
    done = [p for p in list_checkpoints(run) if _step(p) <= step]
    for old in done[:-keep]:
        _remove(old)


def _remove_leftovers(run: Path) -> None:
    for leftover in entries(run / "checkpoints"):
        if leftover.suffix in (PARTIAL, REPLACED):
            _remove(leftover)


def load_checkpoint(path: Path) -> Snapshot:
    """Read a checkpoint directory after checking every file.

    Raises:
        CheckpointError: Naming the file that is missing or damaged, or holds something else.
    """
    verify_directory(path, [STATE])
    state = read_json(path / STATE)
    step = state.pop("step", None) if isinstance(state, dict) else None
    if type(step) is not int or path.name != _name(step):
        raise CheckpointError(f"{str(path / STATE)!r} is not the state of {path.name}; use another checkpoint")
    tensors = {}
    for name in read_manifest(path):
        if name.endswith(_TENSORS):
            tensors[name.removesuffix(_TENSORS)], _ = read_tensors(path / name)
        elif name != STATE:
            raise CheckpointError(f"{str(path / name)!r} is no file of a checkpoint; use another checkpoint")
    return Snapshot(step, tensors, state)


def list_checkpoints(run: Path) -> list[Path]:
    """Checkpoint directories of a run, oldest first, damaged ones included.

    Raises:
        CheckpointError: If they cannot be listed.
    """
    return sorted((path for path in entries(run / "checkpoints") if _NAME.fullmatch(path.name)), key=_step)


def latest_checkpoint(run: Path) -> Path | None:
    """The newest undamaged checkpoint of a run, or None if it has none at all; damaged ones are named in a warning.

    Raises:
        CheckpointError: If all checkpoints are damaged, or they cannot be listed.
    """
    found = list_checkpoints(run)
    for path in reversed(found):
        try:
            verify_directory(path, [STATE])
        except CheckpointError as error:
            warnings.warn(f"checkpoint {path.name} is passed over: {error}", stacklevel=2)
        else:
            return path
    if found:
        where = str(run / "checkpoints")
        raise CheckpointError(
            f"all {len(found)} checkpoints in {where!r} are damaged; train again in another {argument('out')}"
        )
    return None


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _files(snapshot: Snapshot) -> Iterator[tuple[str, bytes]]:
    # One file in memory at a time.
    for group, tensors in snapshot.tensors.items():
        yield f"{group}{_TENSORS}", to_safetensors(tensors)
    yield STATE, to_json({"step": snapshot.step, **snapshot.state})


def _remove(path: Path) -> None:
    """By another name first, so that whatever bears its own is whole."""
    try:
        if path.suffix not in (PARTIAL, REPLACED):
            other = path.with_name(path.name + REPLACED)
            remove_directory(other)
            path = path.rename(other)
        remove_directory(path)
    except OSError as error:
        raise CheckpointError(f"cannot remove {str(path)!r}: {error.strerror}; check its permissions") from error


@final
class Checkpoints(Callback):
    """Checkpoints of a run: every so many steps, after the last one, and before a signal stops it.

    Args:
        run: Run directory.
        every: Steps between them.
        keep: How many stay on disk.
        complete: Makes of a fit's snapshot what is written.
    """

    def __init__(
        self, run: Path, every: int, keep: int, complete: Callable[[Snapshot], Snapshot] = lambda snapshot: snapshot
    ) -> None:
        self._run, self._every, self._keep, self._complete = run, every, keep, complete

    def after(self, fit: Fit, step: Step) -> None:
        """Save if it is time."""
        if step.last or step.stop or step.number % self._every == 0:
            snapshot = fit.snapshot()
            fit.runtime.on_first(lambda: save_checkpoint(self._run, self._complete(snapshot), self._keep))
