"""Zarr: every array of numbers of a store, by zarr."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sagd.data.formats.base import Contents, Format, Region, Step
from sagd.data.formats.checks import full_scale, is_numeric
from sagd.data.formats.dimensions import by_channel, letters
from sagd.data.formats.handles import opened
from sagd.errors import InputError
from sagd.optional import need

if TYPE_CHECKING:
    import zarr


@dataclass(frozen=True)
class Zarr(Format, kind="zarr"):
    """Zarr folders of version 2 and 3: arrays of numbers, axes by OME-Zarr or by the names of dimensions."""

    endings: ClassVar[tuple[str, ...]] = (".zarr",)
    streams: ClassVar[bool] = True
    folders: ClassVar[bool] = True

    def look(self, path: Path) -> Sequence[Contents]:  # noqa: D102
        need("zarr")
        import zarr

        found = [
            _contents(path, array, name, group)
            for name, array, group in _arrays(zarr.open(str(path), mode="r"))
            if array.shape and 0 not in array.shape and is_numeric(array.dtype)
        ]
        if not found:
            raise InputError("holds no array of real numbers")
        return found

    def load(self, contents: Contents, region: Region) -> np.ndarray:  # noqa: D102
        need("zarr")
        import zarr

        with opened(contents.path, lambda: nullcontext(zarr.open(str(contents.path), mode="r"))) as file:
            return np.asarray((file[contents.name] if contents.name else file)[region])

    def save(self, path: Path, values: np.ndarray, like: Contents) -> None:  # noqa: D102
        need("zarr")
        import zarr

        if self.kind not in like.kept:
            arrays = by_channel(values, like)
            if len(arrays) > 1:
                zarr.create_group(str(path))
            for name, array, axes, unit in arrays:
                written = zarr.create_array(
                    str(path),
                    name=name if len(arrays) > 1 else None,
                    shape=array.shape,
                    dtype=array.dtype,
                    attributes={"units": unit} if unit else {},
                    dimension_names=None if "?" in axes else [letter.lower() for letter in axes],
                )
                written[...] = array
            return
        kept = like.kept[self.kind]
        names = kept["names"] or (None if "?" in like.axes else [letter.lower() for letter in like.axes])
        version = kept["version"]
        attributes = dict(kept["attributes"])
        if version == 2 and names is not None:
            attributes.setdefault("_ARRAY_DIMENSIONS", names)
        array = zarr.create_array(
            str(path),
            name=like.name or None,
            shape=values.shape,
            dtype=values.dtype,
            chunks=kept["chunks"] or "auto",
            zarr_format=version,
            attributes=attributes,
            **({"dimension_names": names} if version == 3 and names is not None else {}),
        )
        array[...] = values
        if like.name and kept["group"]:
            place, _, own = like.name.rpartition("/")
            zarr.open_group(str(path), path=place, mode="r+").attrs.update(_of_one(kept["group"], own))


def _arrays(opened: Any) -> Iterator[tuple[str, zarr.Array, Mapping[str, Any]]]:
    """Name, array, and attributes of the group that it is in."""
    if hasattr(opened, "shape"):
        yield "", opened, {}
        return
    groups = {"": dict(opened.attrs)}
    members = sorted(opened.members(max_depth=None))
    groups |= {name: dict(item.attrs) for name, item in members if not hasattr(item, "shape")}
    for name, item in members:
        if hasattr(item, "shape"):
            yield name, item, groups.get(name.rpartition("/")[0], {})


def _contents(path: Path, array: zarr.Array, name: str, group: Mapping[str, Any]) -> Contents:
    attributes = dict(array.attrs)
    names = getattr(array.metadata, "dimension_names", None) or attributes.get("_ARRAY_DIMENSIONS")
    said, steps = _ome(group, name.rpartition("/")[2], array.ndim)
    names = names if isinstance(names, (list, tuple)) and len(names) == array.ndim else None
    axes = letters([str(n) for n in said or names or [""] * array.ndim], "?" if said is names is None else "N")
    units = attributes.get("units", "")
    kept = {
        "version": array.metadata.zarr_format,
        "attributes": attributes,
        "group": dict(group),
        "names": list(names) if names else None,
        "chunks": array.chunks,
    }
    return Contents(
        path,
        name,
        array.shape,
        axes,
        array.dtype.name,
        full_scale(array.dtype),
        {letter: step for letter, step in zip(axes, steps, strict=False) if step is not None and letter not in "N?"},
        units if isinstance(units, str) else "",
        kept={Zarr.kind: kept},
    )


def _of_one(group: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Attributes of a group of which one array is written: OME metadata name that alone."""
    ome = group.get("ome")
    if isinstance(ome, Mapping):
        return {**group, "ome": _of_one(ome, name)}
    images = [
        {**image, "datasets": [level for level in image.get("datasets", []) if level.get("path") == name]}
        for image in group.get("multiscales") or []
    ]
    return {**group, "multiscales": images} if images else dict(group)


def _ome(group: Mapping[str, Any], name: str, rank: int) -> tuple[list[str] | None, list[Step | None]]:
    """Names of axes and distances of neighbours, if the group's OME metadata say them of the array."""
    ome = group.get("ome")
    scales = (ome if isinstance(ome, Mapping) else group).get("multiscales") or []
    for image in scales:
        axes = image.get("axes", [])
        axes = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in axes]
        for level in image.get("datasets", []):
            if level.get("path") == name and len(axes) == rank:
                sizes: Sequence[float] = next(
                    (t["scale"] for t in level.get("coordinateTransformations", []) if t.get("type") == "scale"), []
                )
                steps = [
                    Step(float(size), str(axis.get("unit", ""))) if size > 0 and axis.get("type") != "channel" else None
                    for axis, size in zip(axes, sizes, strict=False)
                ]
                return [str(axis["name"]) for axis in axes], steps
    return None, []
