"""NIfTI: volumes of medicine, by nibabel."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sagd.data.formats.base import Contents, Format, Region, Step
from sagd.data.formats.checks import arranged, holds_bytes, holds_packed, numeric
from sagd.errors import InputError
from sagd.optional import need

if TYPE_CHECKING:
    from nibabel import Nifti1Image

logger = logging.getLogger(__name__)

_AXES = "XYZTC"
_TIMES = {"sec": ("s", 1.0), "msec": ("s", 1e-3), "usec": ("s", 1e-6)}
_SPACES = {"mm": "mm", "meter": "m", "micron": "um"}


@dataclass(frozen=True)
class Nifti(Format, kind="nifti"):
    """NIfTI-1 and NIfTI-2 in one file, compressed or not, axes `XYZ`, `XYZT` or `XYZTC`.

    Scaling by slope and intercept is done, and undone when written if all values fit; header and affine are kept.
    """

    endings: ClassVar[tuple[str, ...]] = (".nii", ".nii.gz")
    streams: ClassVar[bool] = True

    def look(self, path: Path) -> Sequence[Contents]:  # noqa: D102
        image = _opened(path)
        stored, slope, inter = np.dtype(image.dataobj.dtype), *_scaling(image)
        numeric(stored)
        if not 1 <= len(image.shape) <= len(_AXES):
            raise InputError(f"has {len(image.shape)} axes; 1 to {len(_AXES)} are supported")
        needed = stored.itemsize * math.prod(int(n) for n in image.shape)
        if path.suffix.lower() == ".gz":
            holds_packed(path.stat().st_size, needed)
        else:
            holds_bytes(path.stat().st_size - image.dataobj.offset, needed)
        scaled = (slope, inter) != (1.0, 0.0)
        axes = _AXES[: len(image.shape)]
        return [
            Contents(
                path,
                "",
                tuple(image.shape),
                axes,
                "float64" if scaled else stored.name,
                None,
                {letter: step for letter, step in _steps(image).items() if letter in axes},
                notes=(f"stored as {stored.name}, times {slope:g}, plus {inter:g}",) if scaled else (),
                kept={self.kind: {"header": image.header.copy(), "affine": image.affine, "scaling": (slope, inter)}},
            )
        ]

    def load(self, contents: Contents, region: Region) -> np.ndarray:  # noqa: D102
        values = np.asanyarray(_opened(contents.path).dataobj[region])
        return values.astype(contents.dtype) if contents.dtype == "float64" else values

    def save(self, path: Path, values: np.ndarray, like: Contents) -> None:  # noqa: D102
        need("nibabel")
        import nibabel

        values, order = arranged(values, like.axes, *(_AXES[:n] for n in range(len(_AXES), 0, -1)))
        kept = like.kept.get(self.kind)
        if kept is None:
            image = nibabel.Nifti1Image(values, None, dtype=values.dtype)
            _set_steps(image, like, order)
            # nibabel's own would run from right to left along X, and mirror what a model drew of volumes that do not.
            zooms = [float(z) for z in image.header.get_zooms()[:3]]
            image.set_sform(np.diag([*zooms, *[1.0] * (4 - len(zooms))]), code="aligned")
        else:
            kind = nibabel.Nifti2Image if kept["header"].sizeof_hdr == 540 else nibabel.Nifti1Image
            codes, scaling = _codes(values, kept)
            image = kind(codes, kept["affine"], kept["header"].copy(), dtype=codes.dtype)
            image.header.set_slope_inter(*scaling)
        nibabel.save(image, path)


def _opened(path: Path) -> Nifti1Image:
    need("nibabel")
    import nibabel

    image = nibabel.load(path)
    if not isinstance(image, nibabel.Nifti1Pair):
        raise InputError(f"is {type(image).__name__}, whatever its ending says")
    return image


def _scaling(image: Nifti1Image) -> tuple[float, float]:
    """Slope and intercept; 1 and 0 where the file says nothing."""
    return float(image.dataobj.slope), float(image.dataobj.inter)


def _steps(image: Nifti1Image) -> dict[str, Step]:
    space, time = image.header.get_xyzt_units()
    zooms = [float(str(zoom)) for zoom in image.header.get_zooms()]  # of float32, the shortest text
    steps = {letter: Step(zoom, _SPACES.get(space, "")) for letter, zoom in zip("XYZ", zooms, strict=False) if zoom > 0}
    if len(zooms) > 3 and zooms[3] > 0:
        unit, factor = _TIMES.get(time, ("", 1.0))
        steps["T"] = Step(zooms[3] * factor, unit)
    return steps


def _set_steps(image: Any, like: Contents, order: str) -> None:
    """Write the steps of contents from another format."""
    units = {unit: name for name, unit in _SPACES.items()} | {"micrometer": "micron", "µm": "micron", "": None}
    for letter, step in like.steps.items():
        if letter in "XYZ" and step.unit not in units:
            raise InputError(f"a step of {step.size:g} {step.unit!r} cannot be written so; it takes mm, m and um")
    image.header.set_zooms([like.steps[letter].size if letter in like.steps else 1.0 for letter in order])
    image.header.set_xyzt_units(
        units[like.steps["X"].unit] if "X" in like.steps else None,
        "sec" if "T" in like.steps and like.steps["T"].unit == "s" else None,
    )


def _codes(values: np.ndarray, kept: dict[str, Any]) -> tuple[np.ndarray, tuple[float, float]]:
    """Values as they were stored, with the scaling that gives them back; floating point where they do not fit."""
    stored = np.dtype(kept["header"].get_data_dtype()).newbyteorder("=")
    slope, inter = kept["scaling"]
    if (slope, inter) == (1.0, 0.0):
        return values, (1.0, 0.0)
    codes = (values.astype(np.float64) - inter) / slope
    if stored.kind == "f":
        return codes.astype(stored), (slope, inter)
    codes = np.rint(codes)
    bounds = np.iinfo(stored)
    if outside := int(np.count_nonzero(~((codes >= bounds.min) & (codes <= bounds.max)))):
        logger.warning("%d value(s) are outside of what %s can hold; written as they are", outside, stored.name)
        return values, (1.0, 0.0)
    return codes.astype(stored), (slope, inter)
