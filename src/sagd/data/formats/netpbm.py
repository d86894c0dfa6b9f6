"""Netpbm pictures. Pillow scales their values to 8 or 16 bits; here they are those of the file."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from sagd.data.formats.base import Contents, Format, Region
from sagd.data.formats.checks import arranged, holds_bytes, typed
from sagd.errors import InputError

_TOKEN = re.compile(rb"(?:\s+|#[^\n]*\n)+([0-9]+)")
_HEAD = 1 << 16


@dataclass(frozen=True)
class _Header:
    magic: int
    width: int
    height: int
    most: int
    offset: int
    """Where the values begin."""

    @property
    def channels(self) -> int:
        return 3 if self.magic in (3, 6) else 1

    @property
    def dtype(self) -> np.dtype:
        """As in the file."""
        if self.magic in (1, 4):
            return np.dtype(bool)
        return np.dtype(np.uint8 if self.most < 256 else ">u2")

    @property
    def size(self) -> int:
        """Bytes of the values, at least."""
        count = self.height * self.width * self.channels
        if self.magic == 4:
            return self.height * math.ceil(self.width / 8)
        return count * self.dtype.itemsize if self.magic > 4 else count


@dataclass(frozen=True)
class Netpbm(Format, kind="netpbm"):
    """PBM, PGM and PPM, of 1 to 16 bits, grey or colour, as text or bytes; written as bytes."""

    called: ClassVar[str] = "a picture"
    endings: ClassVar[tuple[str, ...]] = (".pbm", ".pgm", ".ppm", ".pnm")
    floats: ClassVar[bool] = False
    streams: ClassVar[bool] = True

    def look(self, path: Path) -> Sequence[Contents]:  # noqa: D102
        header = _header(path)
        holds_bytes(path.stat().st_size - header.offset, header.size)
        shape = (header.height, header.width)
        return [
            Contents(
                path,
                "",
                shape if header.channels == 1 else (*shape, 3),
                "YX" if header.channels == 1 else "YXC",
                header.dtype.name,
                (0, header.most),
                notes=("the first of several pictures; the others are left out",) if _goes_on(path, header) else (),
            )
        ]

    def load(self, contents: Contents, region: Region) -> np.ndarray:  # noqa: D102
        header = _header(contents.path)
        values = (_bytes if header.magic > 3 else _text)(contents.path, header, contents.shape)[region]
        if header.dtype.kind != "b" and values.max() > header.most:
            raise InputError(f"has the value {values.max()}, and says that {header.most} is the largest")
        return values

    def save(self, path: Path, values: np.ndarray, like: Contents) -> None:  # noqa: D102
        typed(values, "bool", "uint8", "uint16")
        values, order = arranged(values, like.axes, "YX", "YXC")
        height, width = values.shape[:2]
        if order == "YXC" and (values.shape[2] != 3 or values.dtype == bool):
            raise InputError(
                f"{values.shape[2]} channels of {values.dtype.name} cannot be written so; it takes 3 of uint8"
            )
        if values.dtype == bool:
            path.write_bytes(b"P4\n%d %d\n" % (width, height) + np.packbits(~values, axis=1).tobytes())
            return
        most = _most(values, like)
        magic = 5 if order == "YX" else 6
        data = values.astype(np.uint8 if most < 256 else ">u2").tobytes()
        path.write_bytes(b"P%d\n%d %d\n%d\n" % (magic, width, height, most) + data)


def _most(values: np.ndarray, like: Contents) -> int:
    """The largest value as the header is to say it; it decides how many bytes a value has."""
    full = int(np.iinfo(values.dtype).max)
    most = full if like.limits is None or like.dtype != values.dtype.name else int(like.limits[1])
    if not 1 <= most <= full or (most < 256) != (values.dtype == np.uint8):
        most = full
    if values.max() > most:
        raise InputError(
            f"the value {values.max()} is above {most}, the largest that {like.dtype} stands for in the file"
        )
    return most


def _header(path: Path) -> _Header:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not re.match(rb"P[1-6]\s", head):
        raise InputError("does not begin with P1 to P6, as PBM, PGM and PPM do")
    magic, at = int(head[1:2]), 2
    numbers = []
    for _ in range(2 if magic in (1, 4) else 3):
        found = _TOKEN.match(head, at)
        if found is None:
            raise InputError("its header is no width, height and largest value")
        numbers.append(int(found[1]))
        at = found.end()
    width, height, most = (*numbers, 1)[:3]
    if not 1 <= most <= 65535:
        raise InputError(f"says that {most} is its largest value; 1 to 65535 are possible")
    return _Header(magic, width, height, most, at + 1)


def _goes_on(path: Path, header: _Header) -> bool:
    """Whether another picture follows; only those of bytes may be several."""
    if header.magic <= 3:
        return False
    with path.open("rb") as file:
        file.seek(header.offset + header.size)
        return re.match(rb"\s*P[1-6]\s", file.read(_HEAD)) is not None


def _bytes(path: Path, header: _Header, shape: tuple[int, ...]) -> np.ndarray:
    """Mapped, but for bits."""
    if header.magic == 4:
        rows = np.memmap(path, np.uint8, "r", header.offset, (header.height, math.ceil(header.width / 8)))
        return np.unpackbits(rows, axis=1, count=header.width) == 0  # 1 is black
    return np.memmap(path, header.dtype, "r", header.offset, shape)


def _text(path: Path, header: _Header, shape: tuple[int, ...]) -> np.ndarray:
    text = re.sub(rb"#[^\n]*", b"", path.read_bytes()[header.offset :])
    if header.magic == 1:  # bits may stand without spaces between them
        numbers = [digit == b"0" for digit in re.findall(rb"[01]", text)]
    else:
        numbers = [int(number) for number in text.split()]
    if len(numbers) < math.prod(shape):
        raise InputError(f"its header promises {math.prod(shape)} values, {len(numbers)} are there; it is cut short")
    most = max(numbers)
    if most > header.most:
        raise InputError(f"has the value {most}, and says that {header.most} is the largest")
    return np.array(numbers[: math.prod(shape)], header.dtype).reshape(shape)
