"""Noise covariances as operators, a kind a file."""

from sagd.noise.covariance.base import Covariance
from sagd.noise.covariance.build import build_covariance
from sagd.noise.covariance.by_class import ClassCovariance, LabelledCovariance
from sagd.noise.covariance.dense import DenseCovariance
from sagd.noise.covariance.isotropic import IsotropicCovariance
from sagd.noise.covariance.modulated import ModulatedCovariance
from sagd.noise.covariance.spectral import SpectralCovariance

__all__ = [
    "ClassCovariance",
    "Covariance",
    "DenseCovariance",
    "IsotropicCovariance",
    "LabelledCovariance",
    "ModulatedCovariance",
    "SpectralCovariance",
    "build_covariance",
]
