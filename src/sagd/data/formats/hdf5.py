"""HDF5: every data set of numbers, by h5py."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sagd.data.formats.base import Contents, Format, Region
from sagd.data.formats.checks import bytes_of, full_scale, holds_packed, is_numeric
from sagd.data.formats.dimensions import by_channel, letters
from sagd.data.formats.handles import opened
from sagd.errors import InputError, one_line
from sagd.optional import need

if TYPE_CHECKING:
    import h5py


@dataclass(frozen=True)
class Hdf5(Format, kind="hdf5"):
    """HDF5: data sets of numbers with at least one axis, by their path in the file; others are left out.

    Axes have the letters of their labels if they have any. Attributes of a written data set are those it had.
    """

    endings: ClassVar[tuple[str, ...]] = (".h5", ".hdf5", ".hdf", ".he5")
    streams: ClassVar[bool] = True

    def look(self, path: Path) -> Sequence[Contents]:  # noqa: D102
        need("h5py")
        import h5py

        found: list[Contents] = []
        others: list[str] = []

        def visit(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset):
                fits = bool(item.shape) and 0 not in item.shape and is_numeric(item.dtype)
                (found.append(_contents(path, name, item)) if fits else others.append(_said(name, item)))

        with h5py.File(os.fsencode(path), "r") as file:
            file.visititems(visit)
        if not found:
            raise InputError(f"holds no array of real numbers; found: {', '.join(others[:3]) or 'nothing'}")
        return found

    def load(self, contents: Contents, region: Region) -> np.ndarray:  # noqa: D102
        need("h5py")
        import h5py

        with opened(contents.path, lambda: h5py.File(os.fsencode(contents.path), "r")) as file:
            holds_packed(contents.path.stat().st_size, bytes_of(region, contents.dtype))
            return file[contents.name][region]

    def save(self, path: Path, values: np.ndarray, like: Contents) -> None:  # noqa: D102
        need("h5py")
        import h5py

        kept = like.kept.get(self.kind)
        if kept is None:
            with h5py.File(os.fsencode(path), "w") as file:
                for name, array, axes, unit in by_channel(values, like):
                    item = file.create_dataset(name, data=array)
                    for label, dimension in zip(axes.replace("?", ""), item.dims, strict=False):
                        dimension.label = label
                    item.attrs.update({"units": unit} if unit else {})
            return
        dtype = (
            np.dtype(kept["dtype"]) if np.dtype(kept.get("dtype", object)).name == values.dtype.name else values.dtype
        )
        with h5py.File(os.fsencode(path), "w") as file:
            item = file.create_dataset(like.name or "data", data=values, dtype=dtype, **kept.get("options", {}))
            for label, dimension in zip(kept["labels"], item.dims, strict=False):
                dimension.label = label
            item.attrs.update(kept["attributes"])
            file.attrs.update(kept.get("of_file", {}))


def _contents(path: Path, name: str, item: h5py.Dataset) -> Contents:
    labels = [dimension.label for dimension in item.dims]
    attributes = _plain(item.attrs)
    units = attributes.get("units", "")
    options = {"compression": item.compression, "compression_opts": item.compression_opts, "shuffle": item.shuffle}
    whole = item.chunks is None or any(c > n for c, n in zip(item.chunks, item.shape, strict=True))
    kept = {
        "dtype": item.dtype.str,
        "labels": labels,
        "attributes": attributes,
        "of_file": _plain(item.file.attrs),
        "options": {} if whole else options | {"chunks": item.chunks, "fletcher32": item.fletcher32},
    }
    return Contents(
        path,
        name,
        item.shape,
        letters(labels, "?"),
        item.dtype.name,
        full_scale(item.dtype),
        quantity=units if isinstance(units, str) else "",
        kept={Hdf5.kind: kept},
    )


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes that mean something in another file: numbers and texts, no references."""
    found = {}
    for name, value in attributes.items():
        value = value.decode(errors="replace") if isinstance(value, bytes) else value
        if isinstance(value, str) or (isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufcSU"):
            found[name] = value
    return {name: value for name, value in found.items() if name not in ("CLASS", "NAME", "DIMENSION_LABELS")}


def _said(name: str, item: h5py.Dataset) -> str:
    return f"{one_line(name)!r} ({one_line(item.dtype)}, {item.shape})"
