"""Arrays of numpy, alone and in archives. What they mean, they do not say."""

from __future__ import annotations

import math
import mmap
import zipfile
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar

import numpy as np

from sagd.data.formats.base import Contents, Format, Region
from sagd.data.formats.checks import full_scale, holds_bytes, holds_packed, is_numeric, numeric
from sagd.data.formats.handles import opened
from sagd.errors import InputError


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def contents(self, path: Path, name: str, kept: dict[str, object]) -> Contents:
        order = {"dtype": self.dtype.str, "fortran": self.fortran}
        limits = full_scale(self.dtype) if is_numeric(self.dtype) else None
        return Contents(
            path, name, self.shape, "?" * len(self.shape), self.dtype.name, limits, kept=kept | {"npy": order}
        )


@dataclass(frozen=True)
class Npy(Format, kind="npy"):
    """One array of numpy."""

    endings: ClassVar[tuple[str, ...]] = (".npy",)
    streams: ClassVar[bool] = True

    def look(self, path: Path) -> Sequence[Contents]:  # noqa: D102
        with path.open("rb") as file:
            header = _header(file)
            numeric(header.dtype)
            holds_bytes(path.stat().st_size - file.tell(), header.size)
        if not header.shape:
            raise InputError("holds a single number, no array")
        return [header.contents(path, "", {})]

    def load(self, contents: Contents, region: Region) -> np.ndarray:  # noqa: D102
        def opening() -> nullcontext[np.ndarray]:
            return nullcontext(np.load(contents.path, mmap_mode="r", allow_pickle=False))

        with opened(contents.path, opening) as values:
            part = np.array(values[region])
            _let_go(values)
            return part

    def save(self, path: Path, values: np.ndarray, like: Contents) -> None:  # noqa: D102
        with path.open("wb") as file:
            np.lib.format.write_array(file, _ordered(values, like), allow_pickle=False)


@dataclass(frozen=True)
class Npz(Format, kind="npz"):
    """Arrays of numpy in an archive; those of other types than real numbers are left out."""

    endings: ClassVar[tuple[str, ...]] = (".npz",)

    def look(self, path: Path) -> Sequence[Contents]:  # noqa: D102
        found, left_out = [], []
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.filename.endswith(".npy"):
                    header = _member(archive, member)
                    fits = bool(header.shape) and header.size > 0 and is_numeric(header.dtype)
                    name = member.filename.removesuffix(".npy")
                    deflated = member.compress_type != zipfile.ZIP_STORED
                    if fits:
                        found.append(header.contents(path, name, {self.kind: {"deflated": deflated}}))
                    else:
                        left_out.append(f"{name!r} ({header.dtype}, {header.shape})")
        names = Counter(array.name for array in found)
        if twice := next((name for name, times in names.items() if times > 1), None):
            raise InputError(f"holds two arrays {twice!r}; save each under a name of its own")
        if not found:
            raise InputError(f"holds no array of real numbers; found: {', '.join(left_out) or 'nothing'}")
        return found

    def load(self, contents: Contents, region: Region) -> np.ndarray:  # noqa: D102
        with zipfile.ZipFile(contents.path) as archive:
            member = archive.getinfo(f"{contents.name}.npy")
            _member(archive, member)
            with archive.open(member) as file:
                values = np.lib.format.read_array(file, allow_pickle=False)
                if file.read(1):
                    raise InputError(f"{contents.name!r} has more bytes than its header says")
        return values[region]

    def save(self, path: Path, values: np.ndarray, like: Contents) -> None:  # noqa: D102
        deflated = like.kept.get(self.kind, {}).get("deflated", False)
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED) as archive,
            archive.open(f"{like.name or 'arr_0'}.npy", "w", force_zip64=True) as file,
        ):
            np.lib.format.write_array(file, _ordered(values, like), allow_pickle=False)


def _header(file: IO[bytes]) -> _Header:
    """The header at the place of a file, which is then at its values."""
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise InputError(f"is of version {version[0]}.{version[1]}, which is for tables; save plain arrays")
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise InputError("holds pickled objects, which are never read; save an array of numbers")
    return _Header(shape, dtype, fortran)


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> _Header:
    """The header of an array of an archive, which promises no more than the archive has."""
    with archive.open(member) as file:
        header = _header(file)
        holds_bytes(member.file_size - file.tell(), header.size)
        holds_packed(member.compress_size, header.size)
    return header


def _let_go(values: np.ndarray) -> None:
    """Take the pages that were read out of this process, which would grow by the whole of a file that stays open; they
    stay in the system's cache.
    """
    if isinstance(values.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
        values.base.madvise(mmap.MADV_DONTNEED)


def _ordered(values: np.ndarray, like: Contents) -> np.ndarray:
    """Values in the order of bytes and of axes that the file had."""
    kept = like.kept.get(Npy.kind, {"dtype": values.dtype.str, "fortran": False})
    dtype = np.dtype(kept["dtype"])
    dtype = dtype if dtype.name == values.dtype.name else values.dtype
    return np.asarray(values, dtype, order="F" if kept["fortran"] else "C")
