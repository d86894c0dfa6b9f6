"""Spectrally anisotropic Gaussian diffusion: choose which frequencies the forward noise destroys.

Names are imported when first used, so that `import sagd` and `sagd --help` are quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sagd.basis import Basis as Basis
    from sagd.basis import ChannelBasis as ChannelBasis
    from sagd.basis import CosineBasis as CosineBasis
    from sagd.basis import FourierBasis as FourierBasis
    from sagd.basis import WaveletBasis as WaveletBasis
    from sagd.basis import build_basis as build_basis
    from sagd.build import build_process as build_process
    from sagd.build import process_basis as process_basis
    from sagd.build import process_from_dict as process_from_dict
    from sagd.config import ProcessConfig as ProcessConfig
    from sagd.covariance import ClassCovariance as ClassCovariance
    from sagd.covariance import Covariance as Covariance
    from sagd.covariance import DenseCovariance as DenseCovariance
    from sagd.covariance import IsotropicCovariance as IsotropicCovariance
    from sagd.covariance import ModulatedCovariance as ModulatedCovariance
    from sagd.covariance import SpectralCovariance as SpectralCovariance
    from sagd.covariance import build_covariance as build_covariance
    from sagd.denoiser import Denoiser as Denoiser
    from sagd.denoiser import EmpiricalDenoiser as EmpiricalDenoiser
    from sagd.denoiser import GaussianDenoiser as GaussianDenoiser
    from sagd.denoiser import GaussianMixtureDenoiser as GaussianMixtureDenoiser
    from sagd.denoiser import NetworkDenoiser as NetworkDenoiser
    from sagd.design import check_ends as check_ends
    from sagd.design import inspect as inspect
    from sagd.diagonal import Diagonal as Diagonal
    from sagd.errors import CheckpointError as CheckpointError
    from sagd.errors import InputError as InputError
    from sagd.errors import ProcessMismatchError as ProcessMismatchError
    from sagd.errors import SingularCovarianceError as SingularCovarianceError
    from sagd.evolution import Blurring as Blurring
    from sagd.evolution import Common as Common
    from sagd.evolution import Evolution as Evolution
    from sagd.evolution import Interpolated as Interpolated
    from sagd.evolution import Sequential as Sequential
    from sagd.grid import KarrasGrid as KarrasGrid
    from sagd.grid import LogSNRGrid as LogSNRGrid
    from sagd.grid import MatchedGrid as MatchedGrid
    from sagd.grid import TimeGrid as TimeGrid
    from sagd.grid import UniformGrid as UniformGrid
    from sagd.grid import matched_range as matched_range
    from sagd.likelihood import Likelihood as Likelihood
    from sagd.likelihood import dequantise as dequantise
    from sagd.likelihood import log_likelihood as log_likelihood
    from sagd.loss import DenoisingLoss as DenoisingLoss
    from sagd.process import ForwardProcess as ForwardProcess
    from sagd.process import Gaussian as Gaussian
    from sagd.process import Process as Process
    from sagd.region import Ball as Ball
    from sagd.region import Box as Box
    from sagd.region import Region as Region
    from sagd.report.spectra import plot_spectrum as plot_spectrum
    from sagd.sampler import DDIM as DDIM
    from sagd.sampler import DDPM as DDPM
    from sagd.sampler import DPMSolver as DPMSolver
    from sagd.sampler import Euler as Euler
    from sagd.sampler import Heun as Heun
    from sagd.sampler import Sampler as Sampler
    from sagd.schedule import CosineSchedule as CosineSchedule
    from sagd.schedule import RectifiedSchedule as RectifiedSchedule
    from sagd.schedule import Schedule as Schedule
    from sagd.schedule import VESchedule as VESchedule
    from sagd.schedule import VPSchedule as VPSchedule
    from sagd.spectral_process import SpectralProcess as SpectralProcess
    from sagd.spectrum import AxisPowerLaw as AxisPowerLaw
    from sagd.spectrum import BandPass as BandPass
    from sagd.spectrum import BandStop as BandStop
    from sagd.spectrum import ClassConditional as ClassConditional
    from sagd.spectrum import ExponentialDecay as ExponentialDecay
    from sagd.spectrum import Flat as Flat
    from sagd.spectrum import Notch as Notch
    from sagd.spectrum import Oriented as Oriented
    from sagd.spectrum import PerChannel as PerChannel
    from sagd.spectrum import PowerLaw as PowerLaw
    from sagd.spectrum import RadialTable as RadialTable
    from sagd.spectrum import Spectrum as Spectrum
    from sagd.spectrum import Tabulated as Tabulated
    from sagd.spectrum import TwoBand as TwoBand
    from sagd.spectrum import Whitening as Whitening
    from sagd.statistics import DataStatistics as DataStatistics
    from sagd.statistics import channel_covariance as channel_covariance
    from sagd.statistics import measure as measure
    from sagd.statistics import radial_profile as radial_profile
    from sagd.training import Model as Model
    from sagd.training import load as load
    from sagd.training import train as train

_EXPORTS = {
    "sagd.basis": ["Basis", "ChannelBasis", "CosineBasis", "FourierBasis", "WaveletBasis", "build_basis"],
    "sagd.build": ["build_process", "process_basis", "process_from_dict"],
    "sagd.config": ["ProcessConfig"],
    "sagd.covariance": [
        "ClassCovariance",
        "Covariance",
        "DenseCovariance",
        "IsotropicCovariance",
        "ModulatedCovariance",
        "SpectralCovariance",
        "build_covariance",
    ],
    "sagd.denoiser": [
        "Denoiser",
        "EmpiricalDenoiser",
        "GaussianDenoiser",
        "GaussianMixtureDenoiser",
        "NetworkDenoiser",
    ],
    "sagd.design": ["check_ends", "inspect"],
    "sagd.diagonal": ["Diagonal"],
    "sagd.errors": ["CheckpointError", "InputError", "ProcessMismatchError", "SingularCovarianceError"],
    "sagd.evolution": ["Blurring", "Common", "Evolution", "Interpolated", "Sequential"],
    "sagd.grid": ["KarrasGrid", "LogSNRGrid", "MatchedGrid", "TimeGrid", "UniformGrid", "matched_range"],
    "sagd.likelihood": ["Likelihood", "dequantise", "log_likelihood"],
    "sagd.loss": ["DenoisingLoss"],
    "sagd.process": ["ForwardProcess", "Gaussian", "Process"],
    "sagd.region": ["Ball", "Box", "Region"],
    "sagd.report.spectra": ["plot_spectrum"],
    "sagd.sampler": ["DDIM", "DDPM", "DPMSolver", "Euler", "Heun", "Sampler"],
    "sagd.schedule": ["CosineSchedule", "RectifiedSchedule", "Schedule", "VESchedule", "VPSchedule"],
    "sagd.spectral_process": ["SpectralProcess"],
    "sagd.spectrum": [
        "AxisPowerLaw",
        "BandPass",
        "BandStop",
        "ClassConditional",
        "ExponentialDecay",
        "Flat",
        "Notch",
        "Oriented",
        "PerChannel",
        "PowerLaw",
        "RadialTable",
        "Spectrum",
        "Tabulated",
        "TwoBand",
        "Whitening",
    ],
    "sagd.statistics": ["DataStatistics", "channel_covariance", "measure", "radial_profile"],
    "sagd.training": ["Model", "load", "train"],
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
