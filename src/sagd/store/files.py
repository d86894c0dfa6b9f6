"""Files and directories that are there whole or not at all; directories carry a checksum for every file.

A directory is written under a temporary name, its files and itself are flushed to disk, and a rename makes it appear: a
kill at any moment leaves at most a `.tmp` directory behind, which the next write removes; a full disk or a signal none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from sagd.errors import CheckpointError, InputError, ProcessMismatchError, one_line
from sagd.networks.weights import UNREADABLE
from sagd.paths import encodable, read_bytes, require_file

MANIFEST = "manifest.json"
PARTIAL, REPLACED = ".tmp", ".old"
_NAME = re.compile(r"[\w.-]{1,200}", re.ASCII)


@contextlib.contextmanager
def reading(path: Path, fault: str = "is damaged") -> Iterator[None]:
    """Context in which content that cannot be used becomes a CheckpointError of one line: `path`, `fault` and why."""
    try:
        yield
    except (CheckpointError, ProcessMismatchError):
        raise
    except UNREADABLE as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else getattr(error, "strerror", None) or error
        # Our own words end with the cure.
        said = str(error) if isinstance(error, InputError) else one_line(reason)
        raise CheckpointError(f"{str(path)!r} {fault}: {said}") from error


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Context in which a refusal of the disk becomes a CheckpointError that names `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise CheckpointError(f"cannot write {str(path)!r}: {reason}; what was saved before is intact") from error


def write_directory(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write `files`, pairs of name and content, as directory `path`; an old one is replaced once the new one is whole.

    Raises:
        CheckpointError: If the disk refuses; what was there before is left as it was.
    """
    partial, replaced = _beside(path, PARTIAL), _beside(path, REPLACED)
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_directory(partial)
            partial.mkdir()
            sums = {name: _write(partial / name, data) for name, data in files}
            _write(partial / MANIFEST, to_json({"format": 1, "sha256": sums}))
            _flush(partial)
            if path.exists():
                remove_directory(replaced)
                path.rename(replaced)
            partial.rename(path)
            _flush(path.parent)
            remove_directory(replaced)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            if replaced.exists() and not path.exists():
                replaced.rename(path)
            raise


def write_file(path: Path, data: bytes) -> None:
    """Write one file; an old one is replaced once the new one is whole.

    Raises:
        CheckpointError: If the disk refuses; what was there before is left as it was.
    """
    partial = _beside(path, PARTIAL)
    with writing(path):
        try:
            partial.unlink(missing_ok=True)
            _write(partial, data)
            partial.replace(path)
            _flush(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise


def entries(folder: Path) -> list[Path]:
    """What a folder holds, in no order; nothing if there is none.

    Raises:
        CheckpointError: If it cannot be listed, which does not mean that it is empty.
    """
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        reason = error.strerror or str(error)
        cure = "remove it" if isinstance(error, NotADirectoryError) else "check its permissions and its disk"
        raise CheckpointError(f"cannot list {str(folder)!r}: {reason}; {cure}") from None


CURE = "use another checkpoint"
"""What to do about a checkpoint or a model that is damaged."""


def read_manifest(path: Path, cure: str = CURE) -> dict[str, str]:
    """Checksums by file name of directory `path`.

    Raises:
        CheckpointError: If there is no readable manifest; it ends with `cure`.
    """
    manifest = read_json(path / MANIFEST, cure)
    sums = manifest.get("sha256") if isinstance(manifest, dict) and manifest.get("format") == 1 else None
    if not isinstance(sums, dict) or not all(_NAME.fullmatch(n) and isinstance(sums[n], str) for n in sums):
        raise CheckpointError(f"{str(path / MANIFEST)!r} is damaged; {cure}")
    return sums


def verify_directory(path: Path, names: Iterable[str], cure: str = CURE) -> None:
    """Check every file of the manifest of `path`, which must list at least `names`.

    Raises:
        CheckpointError: Naming the first file that is missing or altered; it ends with `cure`.
    """
    sums = read_manifest(path, cure)
    for name in {**dict.fromkeys(names), **sums}:
        verify_file(path / name, sums.get(name), cure)


def verify_file(path: Path, expected: str | None, cure: str = CURE) -> None:
    """Check one file against its checksum.

    Raises:
        CheckpointError: If it is missing, unreadable, or altered; it ends with `cure`.
    """
    try:
        require_file(path)
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{str(path)!r} cannot be read: {error.strerror}; {cure}") from None
    if found != expected:
        raise CheckpointError(f"{str(path)!r} is damaged: its sha256 is not the manifest's; {cure}")


def read_json(path: Path, cure: str = "") -> Any:
    """Parsed content of a JSON file.

    Raises:
        CheckpointError: If it is missing or is not JSON; it ends with `cure`.
    """
    advice = f"; {cure}" if cure else ""
    try:
        return json.loads(read_bytes(path))
    except OSError as error:
        raise CheckpointError(f"{str(path)!r} cannot be read: {error.strerror}{advice}") from None
    except (ValueError, RecursionError):
        raise CheckpointError(f"{str(path)!r} is damaged: it is not JSON{advice}") from None


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        CheckpointError: If it is missing or is no such file.
    """
    with reading(path):
        require_file(path)
        with encodable(path) as name, safetensors.safe_open(name, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 - no mapping


def to_json(value: Any) -> bytes:
    """JSON as written to disk; floats survive the round trip bit for bit."""
    return (json.dumps(value, indent=2) + "\n").encode()


def to_safetensors(tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """Tensors as the content of a safetensors file; those that share memory, as tied weights do, are written each."""
    seen: set[int] = set()
    own = {}
    for name, tensor in tensors.items():
        kept = tensor.detach().contiguous()
        storage = kept.untyped_storage().data_ptr()
        own[name] = kept.clone() if storage in seen else kept
        seen.add(storage)
    return safetensors.torch.save(own, metadata)


def remove_directory(path: Path) -> None:
    """Remove a directory if it is there."""
    if path.exists():
        shutil.rmtree(path)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _write(path: Path, data: bytes) -> str:
    """Write and flush a new file; returns its sha256."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(data).hexdigest()


def _flush(directory: Path) -> None:
    """Flush the entries of a directory, without which a rename may not survive a power cut.

    Windows opens no directory, and leaves it to its file systems.
    """
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
