"""Weights given as numbers: one per coefficient, or by radius."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import corner_radius
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.checks import in_range


@dataclass(frozen=True)
class Tabulated(Spectrum, kind="tabulated"):
    """One weight per stored coefficient of a basis: any array, e.g. the root of a measured spectrum.

    A table belongs to the basis and the spatial shape that it was made for.

    Args:
        values: `(*coefficients)`, or `(C, *coefficients)` where channels differ; lists, an array or a tensor. Kept as
            nested tuples of floats.
    """

    scalable = False
    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", number_table("tabulated values", self.values))

    def weights(self, frequencies: Tensor) -> Tensor:
        """The table.

        Raises:
            InputError: If its shape is not that of the frequencies.
        """
        table, grid = np.asarray(self.values), tuple(frequencies.shape[1:])
        if table.shape not in (grid, (len(table), *grid)):
            raise InputError(
                f"tabulated values have shape {table.shape}, the basis needs {grid}, with channels in front or not;"
                " a table fits only the basis and spatial shape it was made for"
            )
        return _from_numpy(table, frequencies, self.label)


@dataclass(frozen=True)
class RadialTable(Spectrum, kind="radial_table"):
    """Weights `w` at fractions `rho` of the corner radius, linear in between and constant beyond the ends.

    Args:
        rho: Increasing, in [0, 1].
        w: As many weights.
    """

    measures: ClassVar[Mapping[str, str]] = {"rho": "corner"}
    rho: tuple[float, ...]
    w: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("rho", "w"):
            object.__setattr__(self, name, number_table(f"radial_table {name}", getattr(self, name)))
        rho, w = np.asarray(self.rho), np.asarray(self.w)
        if rho.ndim != 1 or rho.shape != w.shape:
            raise InputError(f"radial_table needs one w for each rho, got shapes {w.shape} and {rho.shape}")
        if not ((np.diff(rho) > 0).all() and rho[-1] <= 1):
            raise InputError(
                "radial_table rho must increase within [0, 1] (fractions of the corner radius),"
                f" got {reprlib.repr(self.rho)}"
            )

    def weights(self, frequencies: Tensor) -> Tensor:
        """`w` interpolated at `rho(f)`."""
        rho = torch.linalg.vector_norm(frequencies, dim=0) / corner_radius(len(frequencies))
        return _from_numpy(np.interp(rho.double().cpu().numpy(), self.rho, self.w), frequencies, self.label)


def _from_numpy(values: np.ndarray[Any, Any], frequencies: Tensor, name: str) -> Tensor:
    """float64 weights in the type and on the device of the frequencies."""
    table = torch.from_numpy(values)
    return in_range(table.to(frequencies), name, (table > 0).to(frequencies.device))


def number_table(name: str, values: Any) -> tuple[Any, ...]:
    """Nested lists, an array or a tensor as nested tuples of floats.

    Raises:
        InputError: If it is no rectangular table of numbers, or one is negative or not finite.
    """
    if isinstance(values, Tensor) and not values.is_complex():
        values = values.detach().cpu().double().numpy()
    try:
        table = np.asarray(values)
    except ValueError:  # rows of different lengths
        table = np.asarray(None)
    if table.dtype.kind not in "iuf" or table.ndim == 0 or table.size == 0:
        shown = " ".join(reprlib.repr(values).split())
        raise InputError(f"{name} must be a table of numbers with rows of one length, got {shown}")
    if not np.isfinite(table).all():
        raise InputError(f"{name} hold NaN or infinity; they must be finite and not negative")
    if table.min() < 0:
        raise InputError(f"{name} reach {table.min():.3g}; they must not be negative")
    # Adding 0.0 turns -0.0 into 0.0: equal tables then have equal text.
    return cast(tuple[Any, ...], _nested_tuple((table.astype(np.float64) + 0.0).tolist()))


def _nested_tuple(values: Any) -> Any:
    return tuple(map(_nested_tuple, values)) if isinstance(values, list) else values
