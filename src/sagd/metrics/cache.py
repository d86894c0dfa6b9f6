"""Trained classifiers on disk: each a safetensors file, and a JSON file with its checksum."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagd.errors import InputError


def default_cache() -> Path:
    """`$SAGD_CACHE`, else `$XDG_CACHE_HOME/sagd`, else `~/.cache/sagd`."""
    if chosen := os.environ.get("SAGD_CACHE"):
        return Path(chosen)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "sagd"
    return Path.home() / ".cache" / "sagd"


@dataclass(frozen=True)
class Stored:
    """Content of a safetensors file, its checksum, and what else the entry says (`accuracy`, `held_out`)."""

    weights: bytes
    sha256: str
    details: dict[str, Any]


class ClassifierCache:
    """One entry: `classifier-KEY.json` names its weights file, whose own name holds the weights' checksum.

    The JSON is renamed into place after the weights are, so an entry is there whole or not at all, whoever else
    writes it.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self.index = folder / f"classifier-{key[:16]}.json"

    def read(self) -> Stored | None:
        """The entry; None, after a warning, if it is damaged."""
        if not self.index.exists():
            return None
        try:
            details = json.loads(self.index.read_bytes())
            weights = self._weights(details["sha256"]).read_bytes()
            sound = details["key"] == self.key and _sha256(weights) == details["sha256"]
            sound = sound and 0 <= details["accuracy"] <= 1 and details["held_out"] > 0
        except (OSError, ValueError, KeyError, TypeError):
            sound = False
        if sound:
            return Stored(weights, details["sha256"], details)
        warnings.warn(f"cached classifier {str(self.index)!r} is damaged; training it again", stacklevel=3)
        return None

    def check_writable(self) -> None:
        """Raise `InputError` if the folder cannot be made or written."""
        probe = self.folder / f".{os.getpid()}.probe"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise self._unwritable(error) from None

    def write(self, weights: bytes, details: dict[str, Any]) -> Stored:
        """Store weights and details."""
        sha256 = _sha256(weights)
        details = {"key": self.key, "sha256": sha256, **details}
        try:
            _write(self._weights(sha256), weights)
            _write(self.index, (json.dumps(details, indent=2) + "\n").encode())
        except OSError as error:
            raise self._unwritable(error) from None
        return Stored(weights, sha256, details)

    def _weights(self, sha256: str) -> Path:
        return self.folder / f"classifier-{self.key[:16]}-{sha256[:16]}.safetensors"

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(
            f"cannot write classifiers to {str(self.folder)!r}: {error.strerror}; set SAGD_CACHE to a writable folder"
        )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Write a file that appears whole, under its name, or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
