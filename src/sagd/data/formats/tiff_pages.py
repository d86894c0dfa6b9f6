"""Parts of a series of TIFF pages: mapped where values lie in one piece, else strip by strip and tile by tile."""

from __future__ import annotations

import itertools
import logging
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from sagd.data.formats.base import Region
from sagd.data.formats.checks import first_of
from sagd.errors import InputError, one_line
from sagd.optional import need

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffPageSeries

_SEPARATE = 2


class _Complaints(logging.Filter):
    """What tifffile says in this thread of pages that it looked for in vain, which is kept and not printed."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep it."""
        said = record.getMessage()
        if record.thread != self._thread or not ("TiffPages" in said or "failed to reshape" in said):
            return True
        if "TiffPages" in said and record.levelno >= logging.ERROR:
            self.found.append(said)
        return False


@contextmanager
def whole_chain() -> Iterator[None]:
    """Refuse files whose pages point to others that are not there; tifffile only logs it.

    Raises:
        InputError: If there are some.
    """
    need("tifffile")
    import tifffile

    complaints = _Complaints()
    tifffile.logger().addFilter(complaints)
    try:
        yield
    finally:
        tifffile.logger().removeFilter(complaints)
    if complaints.found:
        raise InputError(f"pages of it are missing; it is cut short ({one_line(complaints.found[0])})")


def ends(file: TiffFile) -> int:
    """The last byte that the pages of a file speak of.

    Raises:
        InputError: If there are no pages, or a picture of bytes that are nowhere.
    """
    if not file.series:
        raise InputError("holds no picture")
    last = 0
    for series in file.series:
        if series.dataoffset is not None:
            last = max(last, series.dataoffset + math.prod(series.shape) * np.dtype(series.dtype).itemsize)
        for page in series.pages:
            if page is not None and page.dataoffsets:
                last = max(last, *(i + n for i, n in zip(page.dataoffsets, page.databytecounts, strict=False)))
    return last


def part_of_series(file: TiffFile, series: TiffPageSeries, region: Region) -> np.ndarray:
    """Values of a region of a series, which is not read whole unless its pages are laid out in some uncommon way."""
    path, page = file.filehandle.path, series.keyframe
    if series.dataoffset is not None:
        dtype = np.dtype(series.dtype).newbyteorder(file.byteorder)
        return np.memmap(path, dtype, "r", series.dataoffset, tuple(series.shape))[region]
    depth = len(series.shape) - len(page.shape)
    outer = series.shape[:depth]
    if tuple(series.shape[depth:]) != tuple(page.shape) or len(series.pages) != math.prod(outer):
        return series.asarray()[region]
    chosen = list(itertools.product(*(range(s.start, s.stop, s.step) for s in region[:depth])))
    numbers = [int(np.ravel_multi_index(index, outer)) if depth else 0 for index in chosen]
    parts = [_part_of_page(file, series.pages[i], page, region[depth:]) for i in numbers]
    lengths = [len(range(s.start, s.stop, s.step)) for s in region[:depth]]
    return np.stack(parts).reshape(*lengths, *parts[0].shape)


def _part_of_page(file: TiffFile, page: TiffPage | None, keyframe: TiffPage, region: Region) -> np.ndarray:
    """Values of a region of a page, of whose strips or tiles only those are read that it touches."""
    places = [_place(letter, keyframe) for letter in keyframe.axes]
    taken = [slice(0, 1)] * 5
    rest = region
    for axis, place in enumerate(places):
        taken[place], rest = first_of(rest, axis)
    box = np.full([s.stop - s.start for s in taken], keyframe.nodata, keyframe.dtype)
    if page is not None:
        for index in range(len(page.dataoffsets)):
            _paste(file, page, keyframe, index, taken, box)
    order = sorted(range(len(places)), key=places.__getitem__)
    return box.reshape([box.shape[places[i]] for i in order]).transpose(np.argsort(order))[rest]


def _place(letter: str, keyframe: TiffPage) -> int:
    """Which of separate samples, depth, length, width and contiguous samples an axis is."""
    if letter == "S":
        return 0 if keyframe.planarconfig == _SEPARATE else 4
    place = "?ZYX".find(letter)
    if place < 1:
        raise InputError(f"has a page of axes {keyframe.axes!r}, which is not supported")
    return place


def _paste(file: TiffFile, page: TiffPage, keyframe: TiffPage, index: int, taken: list[slice], box: np.ndarray) -> None:
    """Decode a strip or tile into `box`, which is the part `taken` of the page, if they overlap."""
    _, start, shape = keyframe.decode(None, index)
    extent = (1, *shape)
    low = [max(s.start, i) for s, i in zip(taken, start, strict=True)]
    high = [min(s.stop, i + n) for s, i, n in zip(taken, start, extent, strict=True)]
    count = page.databytecounts[index]
    if count == 0 or any(a >= b for a, b in zip(low, high, strict=True)):
        return
    file.filehandle.seek(page.dataoffsets[index])
    data = file.filehandle.read(count)
    if len(data) < count:
        raise InputError(f"part {index} of a page is cut short: {len(data)} of {count} bytes are there")
    segment, start, _ = keyframe.decode(data, index, jpegtables=keyframe.jpegtables)
    inner = tuple(slice(a - i, b - i) for a, b, i in zip(low, high, start, strict=True))
    outer = tuple(slice(a - s.start, b - s.start) for a, b, s in zip(low, high, taken, strict=True))
    box[outer] = segment[None][inner]
