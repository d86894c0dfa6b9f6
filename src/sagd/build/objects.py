"""The process, its basis, and the loss that a configuration describes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

from sagd.build.schema import (
    AUTO_BASIS,
    AUTO_SPECTRUM,
    NO_OMISSION,
    OF_DATA,
    DenoiserConfig,
    OmissionConfig,
    ProcessConfig,
)
from sagd.errors import InputError
from sagd.noise.basis.base import Basis, build_basis
from sagd.noise.basis.channels import ChannelBasis
from sagd.noise.covariance.build import build_covariance
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.grid import Grid, GridLike
from sagd.noise.regions import Region
from sagd.noise.spectra.base import Spectrum
from sagd.noise.statistics import DataStatistics
from sagd.omission.modes import Mode
from sagd.optional import need
from sagd.process.base import Process
from sagd.process.evolution import Common, Evolution
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import Schedule
from sagd.process.spectral import SpectralProcess
from sagd.resampling.bands import BandLaw
from sagd.resampling.objective import BandLoss
from sagd.training.coupling import CoupledLoss
from sagd.training.objective import DenoisingLoss
from sagd.training.times import TimeLaw
from sagd.training.weighting import Weighting


def build_process(
    config: ProcessConfig,
    shape: Sequence[int],
    statistics: DataStatistics | None = None,
    classes: Sequence[str] | None = None,
    grid: GridLike = None,
) -> Process:
    """The process that a configuration describes, for fields `(C, *spatial)`.

    Args:
        config: Description.
        shape: `(C, *spatial)`.
        statistics: Mean and spectrum of the data in the process's basis (`process_basis`), for spectra that are made
            from it.
        classes: Class names in label order, for spectra by class.
        grid: How far apart samples are along each spatial axis, for frequencies with units: e.g. '8 kHz' or
            ['0.5 mm', '0.5 mm', '2 mm']; see `Grid.parse`. Numbers without units do not depend on it.

    Raises:
        InputError: If a description cannot be read, its weights are refused, or it needs data that was not given.
    """
    grid = checked_grid(grid, len(shape) - 1)
    basis = _basis(config, shape, statistics)
    if config.spectrum == AUTO_SPECTRUM:
        raise InputError(
            "process.spectrum is 'auto', which only a training chooses, at its start; see what it would choose with"
            " sagd design, or name a spectrum"
        )
    spectrum, evolution = Spectrum.parse(config.spectrum).on(grid), Evolution.parse(config.evolution).on(grid)
    if statistics is not None and tuple(statistics.mean.shape) == tuple(shape):
        spectrum, evolution = spectrum.resolve(statistics), evolution.resolve(statistics)
    region = None if config.region is None else Region.parse(config.region)
    schedule = Schedule.parse(config.schedule)
    mode = omission_mode(config.omission, grid)
    if mode is not None:
        if region is not None and not mode.cleans:
            raise InputError(
                f"process.omission {mode.kind!r} needs noise that is alike everywhere; leave process.region out"
            )
        spectrum, evolution = mode.noise(spectrum, evolution, basis)
    process = _noised(config, schedule, spectrum, evolution, shape, basis, region, classes)
    return process if mode is None else mode.process(process)


def _noised(
    config: ProcessConfig,
    schedule: Schedule,
    spectrum: Spectrum,
    evolution: Evolution,
    shape: Sequence[int],
    basis: Basis,
    region: Region | None,
    classes: Sequence[str] | None,
) -> Process:
    """The process of its parts; with one schedule for all frequencies, or one for each."""
    if isinstance(evolution, Common):
        if spectrum.depends_on_class and not classes:
            raise InputError(
                f"{spectrum.label} depends on the class: give the names of the classes; to train with it, set"
                " network.conditional"
            )
        covariance = build_covariance(spectrum, shape, config.calibration, basis, region, classes)
        return ForwardProcess(schedule, covariance)
    if region is not None or spectrum.depends_on_class:
        raise InputError(
            f"process.evolution {str(evolution)!r} needs noise with one spectrum everywhere: leave out regions and"
            " spectra by class, or use evolution 'common'"
        )
    return SpectralProcess(schedule, SpectralCovariance(spectrum, shape, basis, config.calibration), evolution)


def omission_mode(config: OmissionConfig, grid: Grid | None = None) -> Mode | None:
    """The mode of omission that a configuration describes, or None: `mode` is a kind, whose parameters are options.

    Args:
        config: Description.
        grid: How far apart samples are, for bands with units.

    Raises:
        InputError: If it cannot be read, or an option is given that the mode does not take.
    """
    own = {f.name: f.default for f in dataclasses.fields(config) if f.name not in ("mode", *OF_DATA)}
    if config.mode == NO_OMISSION:
        if given := [name for name, usual in own.items() if getattr(config, name) != usual]:
            name = given[0]
            raise InputError(
                f"process.omission.{name} is {str(getattr(config, name))!r}, and process.omission.mode is 'none', which"
                f" leaves nothing out; name a mode, e.g. cleaned or fill, or leave {name} out"
            )
        return None
    mode = Mode.from_section(config.mode, "process.omission", {name: getattr(config, name) for name in own}, own)
    return mode.on(grid)


def build_loss(
    config: DenoiserConfig,
    process: Process,
    statistics: DataStatistics,
    grid: GridLike = None,
    weight_field: Tensor | None = None,
) -> DenoisingLoss | BandLoss | CoupledLoss:
    """The loss that a configuration describes, for a process and data.

    Args:
        config: Description.
        process: Forward process.
        statistics: Mean and spectrum of the data, which matched times need, in the basis of the bands.
        grid: How far apart samples are, for bands with units, as in `build_process`.
        weight_field: How much each place counts, as in `DenoisingLoss`.

    Raises:
        InputError: If a description cannot be read.
    """
    grid = checked_grid(grid, statistics.basis.rank)
    weighting = Weighting.parse(config.weighting).on(grid)
    loss = DenoisingLoss(TimeLaw.parse(config.time), weighting, config.condition_dropout, weight_field)
    loss = loss.resolve(process, statistics)
    if config.coupling == "optimal":
        _check_coupling(config, process)
        return CoupledLoss(loss)
    if config.bands == "none":
        return loss
    one = Spectrum.parse(config.bands).on(grid) if config.bands != "random" else None
    return BandLoss(loss, BandLaw(config.bands if one is None else str(one), statistics.basis))


def _check_coupling(config: DenoiserConfig, process: Process) -> None:
    """Raise `InputError` if noise cannot be paired with images across a batch."""
    need("scipy")
    if config.bands != "none":
        raise InputError(f"denoiser.coupling is optimal, which models of bands ({config.bands}) do not take")
    if process.covariance.depends_on_class:
        raise InputError("denoiser.coupling is optimal, which needs noise of one law; leave by_class out")


def checked_grid(grid: GridLike, rank: int) -> Grid | None:
    """The grid of data of `rank` spatial axes, if it is known.

    Raises:
        InputError: If it cannot be read, or is of another number of axes.
    """
    known = Grid.parse(grid)
    if known is not None:
        known.require_rank(rank)
    return known


def process_basis(config: ProcessConfig, shape: Sequence[int], channel_covariance: Tensor | None = None) -> Basis:
    """The basis in which the noise of a configuration is diagonal, and statistics must be measured.

    `auto` is fourier here, where no data is at hand; `sagd.study.measuring.resolve_basis` looks at it.

    Args:
        config: Description.
        shape: `(C, *spatial)`.
        channel_covariance: `(C, C)` of the data, for decorrelated channels.

    Raises:
        InputError: If the basis does not fit the shape, or needs data that was not given.
    """
    basis = build_basis("fourier" if config.basis == AUTO_BASIS else config.basis, tuple(shape[1:]))
    if config.channels == "as_given":
        return basis
    if shape[0] < 2:
        raise InputError("process.channels 'decorrelated' needs at least two channels; leave it out for grey images")
    if channel_covariance is None:
        raise InputError(
            "process.channels 'decorrelated' is made from the data's channels; give statistics of the data"
        )
    return ChannelBasis.decorrelating(channel_covariance, basis)


def _basis(config: ProcessConfig, shape: Sequence[int], statistics: DataStatistics | None) -> Basis:
    if statistics is None:
        return process_basis(config, shape)
    basis = statistics.basis
    wanted = basis.spatial_part if config.basis == AUTO_BASIS else build_basis(config.basis, tuple(shape[1:]))
    if basis.spatial_part != wanted or (basis.channels is not None) != (config.channels == "decorrelated"):
        raise InputError(
            f"statistics were measured in {basis}, the process is in {config.basis!r} with channels"
            f" {config.channels!r}; measure them with basis=process_basis(config, shape)"
        )
    return basis
