"""Processes from configurations and from their own descriptions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from sagd.band import leave_out, mask
from sagd.basis import Basis, ChannelBasis, build_basis
from sagd.config import OmissionConfig, ProcessConfig
from sagd.covariance import Covariance, SpectralCovariance, build_covariance
from sagd.errors import InputError
from sagd.evolution import Common, Deconvolved, Evolution
from sagd.process import ForwardProcess, Process
from sagd.region import Region
from sagd.schedule import Schedule
from sagd.spectral_process import SpectralProcess
from sagd.spectrum import ClassConditional, Spectrum
from sagd.statistics import DataStatistics


def build_process(
    config: ProcessConfig,
    shape: Sequence[int],
    statistics: DataStatistics | None = None,
    classes: Sequence[str] | None = None,
) -> Process:
    """The process that a configuration describes, for fields `(C, *spatial)`.

    Args:
        config: Description.
        shape: `(C, *spatial)`.
        statistics: Mean and spectrum of the data in the process's basis (`process_basis`), for spectra that are made
            from it.
        classes: Class names in label order, for spectra by class.

    Raises:
        InputError: If a description cannot be read, its weights are refused, or it needs data that was not given.
    """
    basis = _basis(config, shape, statistics)
    spectrum, evolution = Spectrum.parse(config.spectrum), Evolution.parse(config.evolution)
    if statistics is not None and tuple(statistics.mean.shape) == tuple(shape):
        spectrum, evolution = spectrum.resolve(statistics), evolution.resolve(statistics)
    region = None if config.region is None else Region.parse(config.region)
    schedule = Schedule.parse(config.schedule)
    spectrum, evolution, hidden = _omit(config.omission, spectrum, evolution, basis, region)
    if isinstance(evolution, Common):
        covariance = build_covariance(spectrum, shape, config.calibration, basis, region, classes)
        return ForwardProcess(schedule, covariance, hidden)
    if region is not None or isinstance(spectrum, ClassConditional):
        raise InputError(
            f"process.evolution {str(evolution)!r} needs noise with one spectrum everywhere: leave out regions and"
            " spectra by class, or use evolution 'common'"
        )
    return SpectralProcess(schedule, SpectralCovariance(spectrum, shape, basis, config.calibration), evolution, hidden)


def process_from_dict(described: dict[str, Any]) -> Process:
    """The process that `Process.to_dict` describes.

    Raises:
        InputError: If the description cannot be read.
    """
    if not {"schedule", "covariance"} <= set(described) <= {"schedule", "covariance", "evolution", "hidden"}:
        raise InputError(
            "a process is described by its schedule, covariance and perhaps evolution and hidden, got"
            f" {', '.join(described)}"
        )
    schedule = Schedule.from_dict(described["schedule"])
    covariance = Covariance.from_dict(described["covariance"])
    hidden = Spectrum.from_dict(described["hidden"]) if "hidden" in described else None
    if "evolution" not in described:
        return ForwardProcess(schedule, covariance, hidden)
    if not isinstance(covariance, SpectralCovariance):
        raise InputError(f"a schedule per frequency needs a spectral covariance, got {described['covariance']}")
    return SpectralProcess(schedule, covariance, Evolution.from_dict(described["evolution"]), hidden)


def process_basis(config: ProcessConfig, shape: Sequence[int], channel_covariance: Tensor | None = None) -> Basis:
    """The basis in which the noise of a configuration is diagonal, and statistics must be measured.

    Args:
        config: Description.
        shape: `(C, *spatial)`.
        channel_covariance: `(C, C)` of the data, for decorrelated channels.

    Raises:
        InputError: If the basis does not fit the shape, or needs data that was not given.
    """
    basis = build_basis(config.basis, tuple(shape[1:]))
    if config.channels == "as_given":
        return basis
    if shape[0] < 2:
        raise InputError("process.channels 'decorrelated' needs at least two channels; leave it out for grey images")
    if channel_covariance is None:
        raise InputError(
            "process.channels 'decorrelated' is made from the data's channels; give statistics of the data"
        )
    return ChannelBasis.decorrelating(channel_covariance, basis)


def _omit(
    omission: OmissionConfig, spectrum: Spectrum, evolution: Evolution, basis: Basis, region: Region | None
) -> tuple[Spectrum, Evolution, Spectrum | None]:
    """Spectrum, evolution and hidden band of a process that leaves a band out."""
    mode = omission.mode
    if mode == "none":
        return spectrum, evolution, None
    if region is not None:
        raise InputError(f"process.omission {mode!r} needs noise that is alike everywhere; leave process.region out")
    if mode == "deconvolve":
        return spectrum, _deconvolved(omission, evolution), None
    if omission.corruption is not None:
        raise InputError(f"process.omission.corruption is for mode 'deconvolve', got mode {mode!r}; leave it out")
    if omission.band == "auto":
        raise InputError(
            "process.omission.band 'auto' is detected when training; give a band, e.g. 'ring(low=0.1, high=0.2)'"
        )
    band = Spectrum.parse(omission.band)
    mask(band, basis)
    left = leave_out(spectrum, band, hard=mode == "fill")
    return left, evolution, band if mode == "fill" else None


def _deconvolved(omission: OmissionConfig, evolution: Evolution) -> Deconvolved:
    if omission.corruption is None or omission.corruption == "excess":
        raise InputError(
            "process.omission 'deconvolve' needs the damage's standard deviation by frequency: set"
            " process.omission.corruption to a spectrum, e.g. 'band_pass(low=0.1, high=0.2, inside=3)', or to 'excess'"
            " when training, which measures it; mode 'fill' needs the band only"
        )
    if not isinstance(evolution, Common):
        raise InputError(f"process.omission 'deconvolve' needs evolution 'common', got {str(evolution)!r}")
    return Deconvolved(Spectrum.parse(omission.corruption), omission.floor)


def alike(one: Any, other: Any) -> bool:
    """Equal descriptions, but for the rounding of numbers that another machine derived from the same statistics."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9)
    return bool(one == other)


def _basis(config: ProcessConfig, shape: Sequence[int], statistics: DataStatistics | None) -> Basis:
    if statistics is None:
        return process_basis(config, shape)
    basis = statistics.basis
    spatial = basis.inner if isinstance(basis, ChannelBasis) else basis
    wanted = build_basis(config.basis, tuple(shape[1:]))
    if spatial != wanted or isinstance(basis, ChannelBasis) != (config.channels == "decorrelated"):
        raise InputError(
            f"statistics were measured in {basis}, the process is in {config.basis!r} with channels"
            f" {config.channels!r}; measure them with basis=process_basis(config, shape)"
        )
    return basis
