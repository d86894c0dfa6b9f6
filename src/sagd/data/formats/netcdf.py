"""NetCDF: every variable, by xarray and netCDF4."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sagd.data.formats.base import Contents, Coordinates, Format, Region, Step
from sagd.data.formats.checks import bytes_of, full_scale, holds_bytes, holds_packed, is_numeric
from sagd.data.formats.dimensions import by_channel, letters, step_of
from sagd.data.formats.handles import opened
from sagd.data.formats.netcdf_classic import classic_end
from sagd.errors import InputError
from sagd.optional import need
from sagd.paths import encodable

if TYPE_CHECKING:
    import xarray

logger = logging.getLogger(__name__)

_STORED = ("zlib", "complevel", "shuffle", "fletcher32", "chunksizes")
_ONE = threading.RLock()
"""The libraries of netCDF and HDF5 know no threads: one at a time opens, reads or closes a file."""
if hasattr(os, "register_at_fork"):  # a child has none of the other threads, which would hold it for good
    os.register_at_fork(before=_ONE.acquire, after_in_parent=_ONE.release, after_in_child=_ONE.release)
_MOST = 2**14
"""Places of an axis whose coordinates are kept, at most."""
_PACKING = ("scale_factor", "add_offset", "_FillValue", "missing_value")


@dataclass(frozen=True)
class NetCdf(Format, kind="netcdf"):
    """NetCDF: variables with at least one axis, their packing undone and missing values NaN; times stay numbers.

    Axes have letters by their names or their attribute `axis`, and steps where their coordinates are evenly spaced.
    Coordinates and attributes of a written variable are those it had, and so is its packing if all values fit in it.
    """

    endings: ClassVar[tuple[str, ...]] = (".nc", ".nc4", ".cdf")
    streams: ClassVar[bool] = True

    def look(self, path: Path) -> Sequence[Contents]:  # noqa: D102
        holds_bytes(path.stat().st_size, classic_end(path))
        with _ONE, _opened(path) as data:
            variables = [data[name] for name in data.data_vars]
            found = [_contents(path, v, data) for v in variables if v.ndim and v.size and is_numeric(v.dtype)]
            names = [str(v.name) for v in variables]
        if not found:
            raise InputError(f"holds no variable of real numbers with an axis; found: {', '.join(names) or 'none'}")
        return found

    def load(self, contents: Contents, region: Region) -> np.ndarray:  # noqa: D102
        with opened(contents.path, lambda: _opened(contents.path)) as data:
            holds_packed(contents.path.stat().st_size, bytes_of(region, contents.dtype))
            with _ONE:
                return np.asarray(data[contents.name][region].values)

    def save(self, path: Path, values: np.ndarray, like: Contents) -> None:  # noqa: D102
        need("xarray", "netCDF4")
        import xarray

        kept = like.kept.get(self.kind)
        if kept is None:
            _save_new(path, values, like)
            return
        name = like.name
        stored, packing = (values, {}) if like.exact else _packed(values, kept["encoding"])
        variable = xarray.DataArray(stored, dims=kept["dims"], attrs=kept["attributes"] | packing)
        coordinates = {n: c for n, c in kept["coordinates"].items() if _fits(c, kept["dims"], values.shape)}
        data = xarray.Dataset({name: variable}, coordinates, kept["of_file"])
        encoding = {name: _stored(kept["encoding"], values.shape)}
        with encodable(path) as file, _ONE:
            data.to_netcdf(file, engine="netcdf4", format=kept["format"], encoding=encoding)


@contextmanager
def _opened(path: Path) -> Iterator[xarray.Dataset]:
    """A file whose values are read when asked for."""
    need("xarray", "netCDF4")
    import xarray

    with encodable(path) as name:
        with _ONE, warnings.catch_warnings():
            # Of fill values that do not fit their type, which are dropped.
            warnings.simplefilter("ignore", xarray.SerializationWarning)
            data = xarray.open_dataset(name, engine="netcdf4", decode_times=False, cache=False)
        try:
            yield data
        finally:
            with _ONE:
                data.close()


def _contents(path: Path, variable: xarray.DataArray, data: xarray.Dataset) -> Contents:
    dims = [str(dim) for dim in variable.dims]
    said = [str(data[dim].attrs.get("axis", "")) if dim in data.coords else "" for dim in dims]
    axes = letters(dims, "N", said)
    coordinates = {str(name): coordinate.load() for name, coordinate in variable.coords.items()}
    steps = {}
    for letter, dim in zip(axes, dims, strict=True):
        size = step_of(coordinates[dim].values) if dim in coordinates and letter != "N" else None
        if size is not None:
            steps[letter] = Step(size, str(coordinates[dim].attrs.get("units", "")))
    packed = variable.encoding.get("scale_factor") is not None or variable.encoding.get("add_offset") is not None
    kept = {
        "dims": dims,
        "attributes": dict(variable.attrs),
        "of_file": dict(data.attrs),
        "coordinates": coordinates,
        "encoding": {n: v for n, v in variable.encoding.items() if n in (*_STORED, *_PACKING, "dtype")},
        "format": _format(path),
    }
    return Contents(
        path,
        str(variable.name),
        variable.shape,
        axes,
        variable.dtype.name,
        None if packed else full_scale(variable.dtype),
        steps,
        str(variable.attrs.get("units", "")),
        coordinates=_places(axes, dims, coordinates),
        kept={NetCdf.kind: kept},
    )


def _places(axes: str, dims: Sequence[str], coordinates: Mapping[str, xarray.DataArray]) -> dict[str, Coordinates]:
    """Where the places of the axes are that have coordinates."""
    found = {}
    for letter, dim in zip(axes, dims, strict=True):
        own = coordinates.get(dim)
        if (
            letter != "N"
            and own is not None
            and own.dtype.kind in "iuf"
            and own.size <= _MOST
            and np.isfinite(own).all()
        ):
            values = tuple(own.values.astype(np.float64).tolist())
            found[letter] = Coordinates(values, str(own.attrs.get("units", "")), dim, own.dtype.name)
    return found


def _format(path: Path) -> str:
    """The kind of NetCDF, as its first bytes say it."""
    with path.open("rb") as file:
        start = file.read(4)
    classic = {b"CDF\x01": "NETCDF3_CLASSIC", b"CDF\x02": "NETCDF3_64BIT"}
    return classic.get(start, "NETCDF4")


def _save_new(path: Path, values: np.ndarray, like: Contents) -> None:
    """Write an array from another format: dimensions by its axes, coordinates by its steps, and a variable for each
    channel that has a name.
    """
    need("xarray")
    import xarray

    usual = {"T": "time", "Z": "z", "Y": "y", "X": "x", "C": "channel"}
    dims, coordinates = {}, {}
    for letter, n in zip(like.axes, values.shape, strict=True):
        if letter == "?":
            continue
        told, step = like.coordinates.get(letter), like.steps.get(letter)
        dims[letter] = (told.name if told is not None else "") or usual.get(letter, f"axis_{letter}")
        if told is not None and len(told.values) == n:
            places, unit = np.array(told.values, told.dtype), told.unit
        elif step is not None:
            places, unit = step.size * np.arange(n), step.unit
        else:
            continue
        attributes = {"units": unit} if unit else {}
        coordinates[dims[letter]] = xarray.DataArray(places, dims=[dims[letter]], attrs=attributes)
    arrays = by_channel(values, like)
    if {name for name, *_ in arrays} & {*dims.values()}:
        arrays = by_channel(values, replace(like, channels=()))
    variables = {
        name: xarray.DataArray(
            array,
            dims=[dims.get(letter, f"axis_{i}") for i, letter in enumerate(axes)],
            attrs={"units": unit} if unit else {},
        )
        for name, array, axes, unit in arrays
    }
    with encodable(path) as file, _ONE:
        xarray.Dataset(variables, coordinates).to_netcdf(file, engine="netcdf4", format="NETCDF4")


def _fits(coordinate: xarray.DataArray, dims: Sequence[str], shape: Sequence[int]) -> bool:
    """Whether a coordinate is one of an array of that shape, which may be a part of the file's."""
    lengths = dict(zip(dims, shape, strict=True))
    return all(lengths.get(str(dim)) == n for dim, n in coordinate.sizes.items())


def _stored(kept: dict[str, Any], shape: Sequence[int]) -> dict[str, Any]:
    """How a variable is stored: compressed and in chunks as it was, if it is not smaller."""
    stored = {name: kept[name] for name in _STORED if kept.get(name) is not None}
    chunks = stored.get("chunksizes")
    if chunks is not None and any(c > n for c, n in zip(chunks, shape, strict=True)):
        del stored["chunksizes"]
    return stored


def _packed(values: np.ndarray, kept: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
    """Values packed as they were, with the attributes that say how; as they are if that cannot hold them all."""
    dtype = np.dtype(kept.get("dtype", values.dtype))
    packing = {name: kept[name] for name in _PACKING if kept.get(name) is not None}
    if dtype.kind in "iu":  # some files name NaN, which whole numbers cannot be
        packing = {name: value for name, value in packing.items() if np.isfinite(value).all()}
    fill = packing.get("_FillValue")
    if values.dtype.kind != "f":
        return values, packing
    if dtype.kind not in "iu":
        return values, {} if fill is None else {"_FillValue": values.dtype.type(fill)}
    scale, offset = float(packing.get("scale_factor", 1)), float(packing.get("add_offset", 0))
    codes = np.rint((values.astype(np.float64) - offset) / scale)
    bounds = np.iinfo(dtype)
    fits = (codes >= bounds.min) & (codes <= bounds.max) & (codes != (np.nan if fill is None else fill))
    missing = np.isnan(codes) if fill is not None else np.zeros(codes.shape, bool)
    if outside := int(np.count_nonzero(~(fits | missing))):
        logger.warning("%d value(s) are outside of the packing as %s; written as they are", outside, dtype.name)
        return values, {"_FillValue": values.dtype.type(np.nan)}
    return np.where(missing, 0 if fill is None else fill, codes).astype(dtype), packing
