"""TIFF: pictures, stacks and hyperstacks, by tifffile."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sagd.data.formats.base import Contents, Format, Region, Step
from sagd.data.formats.checks import full_scale, holds_bytes, numeric
from sagd.data.formats.handles import opened
from sagd.data.formats.tiff_pages import ends, part_of_series, whole_chain
from sagd.errors import InputError
from sagd.optional import need

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

_MIN_IS_WHITE, _RGB, _PALETTE, _YCBCR = 0, 2, 3, 6
_SEPARATE = 2
_CENTIMETRE = 3
_MILLIMETRES = {2: 25.4, _CENTIMETRE: 10.0}
"""ResolutionUnit -> its length."""
_LENGTHS = {"m": 1000.0, "cm": 10.0, "mm": 1.0, "um": 1e-3, "µm": 1e-3, "micron": 1e-3, "nm": 1e-6, "inch": 25.4}
"""Unit -> millimetres."""
_IMAGEJ_TYPES = ("uint8", "uint16", "float32")
_IMAGEJ_COUNTS = ("ImageJ", "images", "channels", "slices", "frames", "hyperstack")
"""What tifffile writes itself."""


@dataclass(frozen=True)
class Tiff(Format, kind="tiff"):
    """TIFF, BigTIFF, ImageJ and OME-TIFF: pages, stacks and hyperstacks of any type of numbers, in strips or tiles.

    Each series of pages is an array. Where white is the least value (MinIsWhite), whole numbers are turned round;
    colours of a palette are looked up; transparency stays the last channel. Compressions other than Deflate need the
    package imagecodecs, and are written as Deflate.
    """

    endings: ClassVar[tuple[str, ...]] = (".tif", ".tiff", ".ome.tif", ".ome.tiff", ".btf", ".tf8")
    streams: ClassVar[bool] = True

    def look(self, path: Path) -> Sequence[Contents]:  # noqa: D102
        need("tifffile")
        from tifffile import TiffFile

        with whole_chain(), TiffFile(path) as file:
            holds_bytes(path.stat().st_size, ends(file))
            several = len(file.series) > 1
            return [_contents(path, file, i, str(i) if several else "") for i in range(len(file.series))]

    def load(self, contents: Contents, region: Region) -> np.ndarray:  # noqa: D102
        need("tifffile")
        from tifffile import TiffFile

        with opened(contents.path, lambda: TiffFile(contents.path)) as file:
            series = file.series[int(contents.name or 0)]
            page = series.keyframe
            if page.photometric == _PALETTE:
                return _colours(page)[part_of_series(file, series, region[:-1])][..., region[-1]]
            values = part_of_series(file, series, region)
            return _turned(values, page.bitspersample) if _is_turned(page) else values

    def save(self, path: Path, values: np.ndarray, like: Contents) -> None:  # noqa: D102
        need("tifffile")
        import tifffile

        kept = like.kept.get(self.kind, {})
        data, letters = _laid_out(values, like)
        if path.name.lower().endswith((".ome.tif", ".ome.tiff")) or "ome" in kept:
            options: dict[str, Any] = {"ome": True, "metadata": _ome_metadata(letters, like)}
        elif "imagej" in kept and data.dtype.name in _IMAGEJ_TYPES and set(letters) <= set("TZCYXS"):
            options = {"imagej": True, "metadata": kept["imagej"] | {"axes": letters}}
        elif kept.get("description"):
            options = {"description": kept["description"], "metadata": None}
        elif not kept and _beyond_tags(like) and set(letters) <= set("TZCYXS"):
            options = {"ome": True, "metadata": _ome_metadata(letters, like)}
        else:
            options = {"metadata": {"axes": letters}}
        big = {"bigtiff": True} if kept.get("bigtiff") else {}
        tifffile.imwrite(path, **_pixels(data, letters, like), **_resolution(like), **options, **big)


def _contents(path: Path, file: TiffFile, index: int, name: str) -> Contents:
    series = file.series[index]
    page, letters, shape = series.keyframe, str(series.axes), tuple(series.shape)
    numeric(np.dtype(series.dtype))
    dtype, bits = np.dtype(series.dtype), page.bitspersample
    if page.photometric == _PALETTE:
        letters, shape, dtype = f"{letters}S", (*shape, 3), _colours(page).dtype
        bits = 8 * dtype.itemsize
    limits = full_scale(dtype)
    return Contents(
        path,
        name,
        shape,
        _axes(letters),
        dtype.name,
        (0, 2**bits - 1) if limits is not None and isinstance(bits, int) else limits,
        {letter: step for letter, step in _steps(file, index).items() if letter in _axes(letters)},
        notes=tuple(_notes(page, letters)),
        kept={Tiff.kind: _kept(file, index, letters)},
    )


def _axes(letters: str) -> str:
    """Letters of tifffile as ours: samples are channels, and pages that nobody said more of are `N`."""
    if "S" in letters:
        letters = letters.replace("C", "N").replace("S", "C")
    return "".join(letter if letter in "TZCYX" else "N" for letter in letters)


def _notes(page: TiffPage, letters: str) -> list[str]:
    notes = []
    if page.photometric == _MIN_IS_WHITE:
        turned = "whole numbers are turned round" if _is_turned(page) else "floating point is left as it is"
        notes.append(f"the file says that its least value is white (MinIsWhite): {turned}")
    if page.photometric == _PALETTE:
        notes.append("colours of its palette are looked up; it is written as RGB")
    elif page.photometric not in (0, 1, _RGB, _YCBCR):
        notes.append(f"its channels are {page.photometric.name}, and left as they are")
    if page.extrasamples and page.photometric == _RGB:
        notes.append("the last channel is transparency, which is not applied")
    if page.compression not in (1, 8, 32946):
        notes.append(f"its compression {page.compression.name} is written as Deflate")
    if "S" in letters and "C" in letters:
        notes.append("it has channels of colours; colours are C, channels N")
    if 34675 in page.tags:
        notes.append("its colour profile is kept and not applied")
    return notes


def _is_turned(page: TiffPage) -> bool:
    return page.photometric == _MIN_IS_WHITE and page.dtype is not None and page.dtype.kind in "biu"


def _turned(values: np.ndarray, bits: int) -> np.ndarray:
    """Black for white and white for black: `2^bits - 1 - v`, and `-1 - v` with a sign."""
    return np.asarray((2**bits - 1) - values if values.dtype.kind == "u" else ~values, values.dtype)


def _colours(page: TiffPage) -> np.ndarray:
    """The palette `(colours, 3)`: 8 bits where its 16 say no more."""
    colours = np.asarray(page.colormap).T
    if not (colours % 257).any():
        return (colours // 257).astype(np.uint8)
    return (colours // 256).astype(np.uint8) if not (colours % 256).any() else colours.astype(np.uint16)


def _steps(file: TiffFile, index: int) -> dict[str, Step]:
    """Distances of neighbours from OME, ImageJ or the tags of resolution."""
    series, page = file.series[index], file.series[index].keyframe
    if series.kind == "ome":
        pixels = _ome_image(file, index).get("Pixels", {})
        sizes = {letter: (pixels.get(f"PhysicalSize{letter}"), f"PhysicalSize{letter}Unit", "µm") for letter in "ZYX"}
        sizes["T"] = pixels.get("TimeIncrement"), "TimeIncrementUnit", "s"
        return {
            at: Step(float(size), str(pixels.get(unit, usual))) for at, (size, unit, usual) in sizes.items() if size
        }
    if series.kind == "imagej":
        return _imagej_steps(file.imagej_metadata or {}, page)
    resolution = _resolution_of(page)
    millimetres = None if resolution is None else _MILLIMETRES.get(resolution[1])
    if millimetres is None:
        return {}
    return {letter: Step(millimetres / n, "mm") for letter, n in zip("XY", page.resolution, strict=True) if n > 0}


def _resolution_of(page: TiffPage) -> tuple[tuple[float, float], int] | None:
    """Resolution along X and Y and its unit; None if nobody said it, for which the reader gives 1 per inch."""
    found = page.resolution, int(page.resolutionunit)
    return found if 282 in page.tags and 283 in page.tags and found != ((1.0, 1.0), 1) else None


def _imagej_steps(metadata: Mapping[str, Any], page: TiffPage) -> dict[str, Step]:
    unit = str(metadata.get("unit", "")).replace("\\u00B5", "µ")
    steps = {}
    if unit not in ("", "pixel", "pixels"):
        steps = {letter: Step(1 / n, unit) for letter, n in zip("XY", page.resolution, strict=True) if n > 0}
        if metadata.get("spacing"):
            steps["Z"] = Step(abs(float(metadata["spacing"])), unit)
    if metadata.get("finterval"):
        steps["T"] = Step(float(metadata["finterval"]), "s")
    return steps


def _ome_image(file: TiffFile, index: int) -> dict[str, Any]:
    """What OME says of an image."""
    need("tifffile")
    from tifffile import xml2dict

    images = xml2dict(file.ome_metadata or "").get("OME", {}).get("Image", {})
    images = images if isinstance(images, list) else [images]
    return images[index] if index < len(images) else {}


def _kept(file: TiffFile, index: int, letters: str) -> dict[str, Any]:
    """What is needed to write an array as its series was."""
    series, page = file.series[index], file.series[index].keyframe
    kept: dict[str, Any] = {
        "axes": letters,
        "photometric": int(page.photometric),
        "planar": int(page.planarconfig),
        "extrasamples": [int(extra) for extra in page.extrasamples],
        "compressed": page.compression != 1,
        "predictor": page.predictor == 2,
        "tile": page.tile if page.is_tiled and not page.tiledepth > 1 else None,
        "resolution": _resolution_of(page),
        "bigtiff": file.is_bigtiff,
        "icc": bytes(page.tags[34675].value) if 34675 in page.tags else None,
        "datetime": page.tags[306].value if 306 in page.tags else None,
    }
    if series.kind == "ome":
        image = _ome_image(file, index)
        pixels = image.get("Pixels", {})
        channels = pixels.get("Channel", [])
        names = [channel.get("Name") for channel in (channels if isinstance(channels, list) else [channels])]
        kept["ome"] = {name: value for name, value in pixels.items() if name.startswith(("Physical", "TimeInc"))}
        kept["ome"] |= {"Name": image["Name"]} if "Name" in image else {}
        kept["ome"] |= {"Channel": {"Name": names}} if all(names) and names else {}
    elif series.kind == "imagej":
        metadata = file.imagej_metadata or {}
        kept["imagej"] = {name: value for name, value in metadata.items() if name not in _IMAGEJ_COUNTS}
    elif series.kind != "shaped":
        kept["description"] = page.description
    return kept


def _laid_out(values: np.ndarray, like: Contents) -> tuple[np.ndarray, str]:
    """Values as tifffile writes them, and its letters: pages of `Y` and `X`, and colours beside them.

    Raises:
        InputError: If there is no `Y` and `X`.
    """
    kept = like.kept.get(Tiff.kind, {}).get("axes", "")
    if _axes(kept) == like.axes:
        return values, kept
    letters = like.axes.replace("?", "Q").replace("N", "Q")
    if "Y" not in letters or "X" not in letters:
        raise InputError(f"axes {like.axes!r} cannot be written so; pictures have Y and X")
    n = values.shape[letters.index("C")] if "C" in letters else 0
    colours = n in (3, 4) and values.dtype.name in ("uint8", "uint16")
    order = sorted(range(values.ndim), key=lambda i: "YXS".find("S" if colours and letters[i] == "C" else letters[i]))
    letters = "".join(letters[i] for i in order)
    return values.transpose(order), letters.replace("C", "S") if colours else letters


def _pixels(data: np.ndarray, letters: str, like: Contents) -> dict[str, Any]:
    """Arguments of tifffile that say how values are stored."""
    kept = like.kept.get(Tiff.kind, {})
    compressed = {"compression": "zlib", "predictor": bool(kept.get("predictor")) and data.dtype.kind in "iu"}
    options: dict[str, Any] = compressed if kept.get("compressed") else {}
    options |= {name: kept[key] for key, name in (("icc", "iccprofile"), ("datetime", "datetime")) if kept.get(key)}
    if kept.get("tile"):
        options["tile"] = kept["tile"]
    photometric = kept.get("photometric", 1)
    if "S" not in letters:
        photometric = photometric if photometric in (_MIN_IS_WHITE, 1) else 1
        bits = 8 * data.itemsize if like.limits is None else int(like.limits[1]).bit_length()
        turned = photometric == _MIN_IS_WHITE and data.dtype.kind in "biu"
        return options | {"data": _turned(data, bits) if turned else data, "photometric": photometric}
    samples = data.shape[letters.index("S")]
    if photometric in (_PALETTE, _YCBCR) or not kept:
        photometric = _RGB
    if photometric == _MIN_IS_WHITE:
        data = _turned(data, 8 * data.itemsize) if data.dtype.kind in "biu" else data
    extra = kept.get("extrasamples") or ([2] if photometric == _RGB and samples == 4 else None)
    planar = "separate" if not letters.endswith("S") else "contig"
    return options | {"data": data, "photometric": photometric, "planarconfig": planar, "extrasamples": extra}


def _resolution(like: Contents) -> dict[str, Any]:
    """Tags of resolution: those of the file, or the steps where they are lengths."""
    kept = like.kept.get(Tiff.kind)
    if kept is not None:
        if kept["resolution"] is None:
            return {}
        return {"resolution": kept["resolution"][0], "resolutionunit": kept["resolution"][1]}
    lengths = [like.steps[at].size * _LENGTHS.get(like.steps[at].unit, math.nan) for at in "XY" if at in like.steps]
    if len(lengths) < 2 or not all(0 < length < math.inf for length in lengths):
        return {}
    return {"resolution": tuple(10 / length for length in lengths), "resolutionunit": _CENTIMETRE}


def _beyond_tags(like: Contents) -> bool:
    """Whether a new file has steps that the tags of resolution, lengths along X and Y, cannot say."""
    return any(letter not in "XY" or step.unit not in _LENGTHS for letter, step in like.steps.items())


def _ome_metadata(letters: str, like: Contents) -> dict[str, Any]:
    """What OME says of an image, from what the file said or from the steps."""
    kept = like.kept.get(Tiff.kind, {}).get("ome")
    if kept is None:
        kept = {}
        for letter, step in like.steps.items():
            name = "TimeIncrement" if letter == "T" else f"PhysicalSize{letter}"
            if letter in "TZYX":
                kept |= {name: step.size} | ({f"{name}Unit": step.unit} if step.unit else {})
    return {"axes": letters, **kept}
