"""Processes from their own descriptions."""

from __future__ import annotations

import math
from typing import Any

from sagd.errors import InputError
from sagd.noise.covariance.base import Covariance
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.base import Spectrum
from sagd.process.base import Process
from sagd.process.evolution import Evolution
from sagd.process.restricted import Restricted
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import Schedule
from sagd.process.spectral import SpectralProcess


def process_from_dict(described: dict[str, Any]) -> Process:
    """The process that `Process.to_dict` describes.

    Raises:
        InputError: If the description cannot be read.
    """
    if not {"schedule", "covariance"} <= set(described) <= {"schedule", "covariance", "evolution", "unseen"}:
        raise InputError(
            "a process is described by its schedule, covariance and perhaps evolution and unseen, got"
            f" {', '.join(described)}"
        )
    if "unseen" in described:
        inner = {name: part for name, part in described.items() if name != "unseen"}
        return Restricted(process_from_dict(inner), Spectrum.from_dict(described["unseen"]))
    schedule = Schedule.from_dict(described["schedule"])
    covariance = Covariance.from_dict(described["covariance"])
    if "evolution" not in described:
        return ForwardProcess(schedule, covariance)
    if not isinstance(covariance, SpectralCovariance):
        raise InputError(f"a schedule per frequency needs a spectral covariance, got {described['covariance']}")
    return SpectralProcess(schedule, covariance, Evolution.from_dict(described["evolution"]))


def alike(one: Any, other: Any) -> bool:
    """Equal descriptions, but for the rounding of numbers that another machine derived from the same statistics."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9)
    return bool(one == other)
