"""How long a classic NetCDF file is by its header: where it ends before, the library of NetCDF reads zeros."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from sagd.errors import InputError

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 1, 9: 2, 10: 4, 11: 8, 12: 8}
"""Number of a type of attributes -> its bytes."""
_STREAMING = (2**32 - 1, 2**64 - 1)
_PADDING = 3


def classic_end(path: Path) -> int:
    """The byte at which the last variable ends; 0 of files of another kind.

    Raises:
        InputError: If the header itself is cut short.
    """
    with path.open("rb") as file:
        magic = file.read(4)
        if magic[:3] != b"CDF" or magic[3:] not in (b"\x01", b"\x02", b"\x05"):
            return 0
        return _Header(file, magic[3]).end()


class _Header:
    """A header, read from its beginning; counts have 4 bytes, in version 5 have 8."""

    def __init__(self, file: BinaryIO, version: int) -> None:
        self.file = file
        self.count = 8 if version == 5 else 4
        self.offset = 4 if version == 1 else 8

    def end(self) -> int:
        records = self._number(self.count)
        lengths = [self._dimension() for _ in range(self._items())]
        self._attributes()
        variables = [self._variable(lengths) for _ in range(self._items())]
        step = sum(size for _, size, recorded in variables if recorded)
        last = 0 if records in _STREAMING else max(records - 1, 0)
        ends = [begin + size + step * last * recorded for begin, size, recorded in variables if records or not recorded]
        return max(ends, default=_PADDING) - _PADDING

    def _take(self, size: int) -> bytes:
        taken = self.file.read(size) if size < 2**31 else b""
        if len(taken) < size:
            raise InputError("its header is cut short")
        return taken

    def _number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def _items(self) -> int:
        self._take(4)  # what is listed
        return self._number(self.count)

    def _padded(self, size: int) -> None:
        self._take(-(-size // 4) * 4)

    def _dimension(self) -> int:
        self._padded(self._number(self.count))
        return self._number(self.count)

    def _attributes(self) -> None:
        for _ in range(self._items()):
            self._padded(self._number(self.count))
            size = _SIZES.get(self._number(4), 8)
            self._padded(size * self._number(self.count))

    def _variable(self, lengths: list[int]) -> tuple[int, int, bool]:
        """Where it begins, the bytes of it or of a record of it, and whether it has records."""
        self._padded(self._number(self.count))
        numbers = [self._number(self.count) for _ in range(self._number(self.count))]
        self._attributes()
        self._take(4)  # type
        size = self._number(self.count)
        recorded = bool(numbers) and numbers[0] < len(lengths) and lengths[numbers[0]] == 0
        return self._number(self.offset), size, recorded
