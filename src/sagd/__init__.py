"""Spectrally anisotropic Gaussian diffusion: choose which frequencies the forward noise destroys.

Names are imported when first used, so that `import sagd` and `sagd --help` are quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sagd.api import Model as Model
    from sagd.api import clean as clean
    from sagd.api import design as design
    from sagd.api import fit as fit
    from sagd.api import load as load
    from sagd.api import read as read
    from sagd.api import train as train
    from sagd.build.objects import build_process as build_process
    from sagd.build.objects import process_basis as process_basis
    from sagd.build.schema import ProcessConfig as ProcessConfig
    from sagd.data.corruption import Corruption as Corruption
    from sagd.data.sources import ArrayRecords as ArrayRecords
    from sagd.data.sources import Source as Source
    from sagd.designs.ends import check_ends as check_ends
    from sagd.designs.levels import inspect as inspect
    from sagd.errors import CheckpointError as CheckpointError
    from sagd.errors import DivergenceError as DivergenceError
    from sagd.errors import InputError as InputError
    from sagd.errors import ProcessMismatchError as ProcessMismatchError
    from sagd.errors import SingularCovarianceError as SingularCovarianceError
    from sagd.interrupt import Interrupted as Interrupted
    from sagd.model.condition import Condition as Condition
    from sagd.model.denoiser import Denoiser as Denoiser
    from sagd.model.denoiser import NetworkDenoiser as NetworkDenoiser
    from sagd.model.exact import EmpiricalDenoiser as EmpiricalDenoiser
    from sagd.model.exact import GaussianDenoiser as GaussianDenoiser
    from sagd.model.exact import GaussianMixtureDenoiser as GaussianMixtureDenoiser
    from sagd.model.parameterisation import Parameterisation as Parameterisation
    from sagd.model.wrappers import Guided as Guided
    from sagd.networks.adapter import Adapter as Adapter
    from sagd.networks.build import Network as Network
    from sagd.noise.basis.base import Basis as Basis
    from sagd.noise.basis.base import build_basis as build_basis
    from sagd.noise.basis.channels import ChannelBasis as ChannelBasis
    from sagd.noise.basis.cosine import CosineBasis as CosineBasis
    from sagd.noise.basis.fourier import FourierBasis as FourierBasis
    from sagd.noise.basis.mixed import MixedBasis as MixedBasis
    from sagd.noise.basis.wavelet import WaveletBasis as WaveletBasis
    from sagd.noise.covariance.base import Covariance as Covariance
    from sagd.noise.covariance.build import build_covariance as build_covariance
    from sagd.noise.covariance.by_class import ClassCovariance as ClassCovariance
    from sagd.noise.covariance.dense import DenseCovariance as DenseCovariance
    from sagd.noise.covariance.isotropic import IsotropicCovariance as IsotropicCovariance
    from sagd.noise.covariance.modulated import ModulatedCovariance as ModulatedCovariance
    from sagd.noise.covariance.spectral import SpectralCovariance as SpectralCovariance
    from sagd.noise.grid import Grid as Grid
    from sagd.noise.grid import RingScale as RingScale
    from sagd.noise.operator import Diagonal as Diagonal
    from sagd.noise.places import area_weights as area_weights
    from sagd.noise.regions import Ball as Ball
    from sagd.noise.regions import Box as Box
    from sagd.noise.regions import Region as Region
    from sagd.noise.spectra.bands import BandPass as BandPass
    from sagd.noise.spectra.bands import BandStop as BandStop
    from sagd.noise.spectra.bands import TwoBand as TwoBand
    from sagd.noise.spectra.base import Flat as Flat
    from sagd.noise.spectra.base import Spectrum as Spectrum
    from sagd.noise.spectra.by_channel import PerChannel as PerChannel
    from sagd.noise.spectra.by_class import ClassConditional as ClassConditional
    from sagd.noise.spectra.notch import Notch as Notch
    from sagd.noise.spectra.oriented import Oriented as Oriented
    from sagd.noise.spectra.physical import Physical as Physical
    from sagd.noise.spectra.power_law import AxisPowerLaw as AxisPowerLaw
    from sagd.noise.spectra.power_law import ExponentialDecay as ExponentialDecay
    from sagd.noise.spectra.power_law import PowerLaw as PowerLaw
    from sagd.noise.spectra.tables import RadialTable as RadialTable
    from sagd.noise.spectra.tables import Tabulated as Tabulated
    from sagd.noise.spectra.whitening import Whitening as Whitening
    from sagd.noise.statistics import DataStatistics as DataStatistics
    from sagd.noise.statistics import channel_covariance as channel_covariance
    from sagd.noise.statistics import measure as measure
    from sagd.noise.statistics import moments as moments
    from sagd.noise.statistics import radial_profile as radial_profile
    from sagd.process.base import Gaussian as Gaussian
    from sagd.process.base import Process as Process
    from sagd.process.description import process_from_dict as process_from_dict
    from sagd.process.evolution import Blurring as Blurring
    from sagd.process.evolution import Common as Common
    from sagd.process.evolution import Evolution as Evolution
    from sagd.process.evolution import Interpolated as Interpolated
    from sagd.process.evolution import Sequential as Sequential
    from sagd.process.restricted import Restricted as Restricted
    from sagd.process.scalar import ForwardProcess as ForwardProcess
    from sagd.process.schedule import CosineSchedule as CosineSchedule
    from sagd.process.schedule import RectifiedSchedule as RectifiedSchedule
    from sagd.process.schedule import Schedule as Schedule
    from sagd.process.schedule import VESchedule as VESchedule
    from sagd.process.schedule import VPSchedule as VPSchedule
    from sagd.process.spectral import SpectralProcess as SpectralProcess
    from sagd.report.spectra import plot_spectrum as plot_spectrum
    from sagd.sampling.base import Sampler as Sampler
    from sagd.sampling.ddim import DDIM as DDIM
    from sagd.sampling.ddpm import DDPM as DDPM
    from sagd.sampling.dpm_solver import DPMSolver as DPMSolver
    from sagd.sampling.euler import Euler as Euler
    from sagd.sampling.found_grid import FoundGrid as FoundGrid
    from sagd.sampling.grids import KarrasGrid as KarrasGrid
    from sagd.sampling.grids import LogSNRGrid as LogSNRGrid
    from sagd.sampling.grids import MatchedGrid as MatchedGrid
    from sagd.sampling.grids import TimeGrid as TimeGrid
    from sagd.sampling.grids import UniformGrid as UniformGrid
    from sagd.sampling.grids import matched_range as matched_range
    from sagd.sampling.heun import Heun as Heun
    from sagd.sampling.likelihood import Likelihood as Likelihood
    from sagd.sampling.likelihood import dequantise as dequantise
    from sagd.sampling.likelihood import log_likelihood as log_likelihood
    from sagd.training.fit import Callback as Callback
    from sagd.training.objective import DenoisingLoss as DenoisingLoss
    from sagd.training.times import TimeLaw as TimeLaw
    from sagd.training.weighting import Weighting as Weighting

_EXPORTS = {
    "sagd.api": [
        "Model",
        "clean",
        "design",
        "fit",
        "load",
        "read",
        "train",
    ],
    "sagd.build.objects": [
        "build_process",
        "process_basis",
    ],
    "sagd.build.schema": [
        "ProcessConfig",
    ],
    "sagd.data.corruption": [
        "Corruption",
    ],
    "sagd.data.sources": [
        "ArrayRecords",
        "Source",
    ],
    "sagd.designs.ends": [
        "check_ends",
    ],
    "sagd.designs.levels": [
        "inspect",
    ],
    "sagd.errors": [
        "CheckpointError",
        "DivergenceError",
        "InputError",
        "ProcessMismatchError",
        "SingularCovarianceError",
    ],
    "sagd.interrupt": [
        "Interrupted",
    ],
    "sagd.model.condition": [
        "Condition",
    ],
    "sagd.model.denoiser": [
        "Denoiser",
        "NetworkDenoiser",
    ],
    "sagd.model.exact": [
        "EmpiricalDenoiser",
        "GaussianDenoiser",
        "GaussianMixtureDenoiser",
    ],
    "sagd.model.parameterisation": [
        "Parameterisation",
    ],
    "sagd.model.wrappers": [
        "Guided",
    ],
    "sagd.networks.adapter": [
        "Adapter",
    ],
    "sagd.networks.build": [
        "Network",
    ],
    "sagd.noise.basis.base": [
        "Basis",
        "build_basis",
    ],
    "sagd.noise.basis.channels": [
        "ChannelBasis",
    ],
    "sagd.noise.basis.cosine": [
        "CosineBasis",
    ],
    "sagd.noise.basis.fourier": [
        "FourierBasis",
    ],
    "sagd.noise.basis.mixed": [
        "MixedBasis",
    ],
    "sagd.noise.basis.wavelet": [
        "WaveletBasis",
    ],
    "sagd.noise.covariance.base": [
        "Covariance",
    ],
    "sagd.noise.covariance.build": [
        "build_covariance",
    ],
    "sagd.noise.covariance.by_class": [
        "ClassCovariance",
    ],
    "sagd.noise.covariance.dense": [
        "DenseCovariance",
    ],
    "sagd.noise.covariance.isotropic": [
        "IsotropicCovariance",
    ],
    "sagd.noise.covariance.modulated": [
        "ModulatedCovariance",
    ],
    "sagd.noise.covariance.spectral": [
        "SpectralCovariance",
    ],
    "sagd.noise.grid": [
        "Grid",
        "RingScale",
    ],
    "sagd.noise.operator": [
        "Diagonal",
    ],
    "sagd.noise.places": [
        "area_weights",
    ],
    "sagd.noise.regions": [
        "Ball",
        "Box",
        "Region",
    ],
    "sagd.noise.spectra.bands": [
        "BandPass",
        "BandStop",
        "TwoBand",
    ],
    "sagd.noise.spectra.base": [
        "Flat",
        "Spectrum",
    ],
    "sagd.noise.spectra.by_channel": [
        "PerChannel",
    ],
    "sagd.noise.spectra.by_class": [
        "ClassConditional",
    ],
    "sagd.noise.spectra.notch": [
        "Notch",
    ],
    "sagd.noise.spectra.oriented": [
        "Oriented",
    ],
    "sagd.noise.spectra.physical": [
        "Physical",
    ],
    "sagd.noise.spectra.power_law": [
        "AxisPowerLaw",
        "ExponentialDecay",
        "PowerLaw",
    ],
    "sagd.noise.spectra.tables": [
        "RadialTable",
        "Tabulated",
    ],
    "sagd.noise.spectra.whitening": [
        "Whitening",
    ],
    "sagd.noise.statistics": [
        "DataStatistics",
        "channel_covariance",
        "measure",
        "moments",
        "radial_profile",
    ],
    "sagd.process.base": [
        "Gaussian",
        "Process",
    ],
    "sagd.process.description": [
        "process_from_dict",
    ],
    "sagd.process.evolution": [
        "Blurring",
        "Common",
        "Evolution",
        "Interpolated",
        "Sequential",
    ],
    "sagd.process.restricted": [
        "Restricted",
    ],
    "sagd.process.scalar": [
        "ForwardProcess",
    ],
    "sagd.process.schedule": [
        "CosineSchedule",
        "RectifiedSchedule",
        "Schedule",
        "VESchedule",
        "VPSchedule",
    ],
    "sagd.process.spectral": [
        "SpectralProcess",
    ],
    "sagd.report.spectra": [
        "plot_spectrum",
    ],
    "sagd.sampling.base": [
        "Sampler",
    ],
    "sagd.sampling.ddim": [
        "DDIM",
    ],
    "sagd.sampling.ddpm": [
        "DDPM",
    ],
    "sagd.sampling.dpm_solver": [
        "DPMSolver",
    ],
    "sagd.sampling.euler": [
        "Euler",
    ],
    "sagd.sampling.found_grid": [
        "FoundGrid",
    ],
    "sagd.sampling.grids": [
        "KarrasGrid",
        "LogSNRGrid",
        "MatchedGrid",
        "TimeGrid",
        "UniformGrid",
        "matched_range",
    ],
    "sagd.sampling.heun": [
        "Heun",
    ],
    "sagd.sampling.likelihood": [
        "Likelihood",
        "dequantise",
        "log_likelihood",
    ],
    "sagd.training.fit": [
        "Callback",
    ],
    "sagd.training.objective": [
        "DenoisingLoss",
    ],
    "sagd.training.times": [
        "TimeLaw",
    ],
    "sagd.training.weighting": [
        "Weighting",
    ],
}
_HOME = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sagd' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
