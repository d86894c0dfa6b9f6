"""Trained classifiers on disk: each a safetensors file, and a JSON file with its checksum."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import nn

from sagd.errors import InputError
from sagd.networks.weights import UNREADABLE, check_layout, check_numbers
from sagd.paths import read_bytes


def default_cache() -> Path:
    """`$SAGD_CACHE`, else `$XDG_CACHE_HOME/sagd`, else `~/.cache/sagd`.

    Raises:
        InputError: If neither is set, and nobody has a home here.
    """
    if chosen := os.environ.get("SAGD_CACHE"):
        return Path(chosen)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "sagd"
    try:
        return Path.home() / ".cache" / "sagd"
    except RuntimeError:  # without HOME, of a user whom the system does not know
        raise InputError("no home folder to keep the feature classifier in; set SAGD_CACHE to a folder") from None


@dataclass(frozen=True)
class Stored:
    """What an entry says of its weights: their checksum, and how good they were on images held out of training."""

    sha256: str
    accuracy: float
    held_out: int


class ClassifierCache:
    """One entry: `classifier-KEY.json` names its weights file, whose own name holds the weights' checksum.

    The JSON is renamed into place after the weights are, so an entry is there whole or not at all, whoever else
    writes it.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self.index = folder / f"classifier-{key[:16]}.json"

    def read(self, network: nn.Module) -> Stored | None:
        """The entry, its weights loaded into `network`; None, after a warning, if it is damaged or of another kind."""
        if not self.index.exists():
            return None
        try:
            return self._read(network)
        except UNREADABLE:
            warnings.warn(f"cached classifier {str(self.index)!r} is damaged; training it again", stacklevel=3)
            return None

    def _read(self, network: nn.Module) -> Stored:
        details = json.loads(read_bytes(self.index))
        content = read_bytes(self._weights(details["sha256"]))
        stored = Stored(details["sha256"], details["accuracy"], details["held_out"])
        sound = details["key"] == self.key and _sha256(content) == stored.sha256
        sound = sound and type(stored.accuracy) is float and 0 <= stored.accuracy <= 1
        if not (sound and type(stored.held_out) is int and stored.held_out > 0):
            raise InputError("the entry is another")
        tensors = safetensors.torch.load(content)
        check_layout(tensors, network.state_dict())
        check_numbers(tensors)
        network.load_state_dict(tensors)
        return stored

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
        index = {"key": self.key, "sha256": sha256, **details}
        try:
            _write(self._weights(sha256), weights)
            _write(self.index, (json.dumps(index, indent=2) + "\n").encode())
        except OSError as error:
            raise self._unwritable(error) from None
        return Stored(sha256, details["accuracy"], details["held_out"])

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
