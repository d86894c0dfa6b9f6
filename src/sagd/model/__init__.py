"""Denoisers `E[x_0 | x_t]`: from a network, or in closed form."""

from sagd.model.condition import Condition, Conditional
from sagd.model.denoiser import Denoiser, NetworkDenoiser
from sagd.model.exact import EmpiricalDenoiser, GaussianDenoiser, GaussianMixtureDenoiser
from sagd.model.parameterisation import X0, Edm, Eps, Parameterisation, V, Velocity, Wiener
from sagd.model.wrappers import Calibrated, GivenBand, Guided

__all__ = [
    "X0",
    "Calibrated",
    "Condition",
    "Conditional",
    "Denoiser",
    "Edm",
    "EmpiricalDenoiser",
    "Eps",
    "GaussianDenoiser",
    "GaussianMixtureDenoiser",
    "GivenBand",
    "Guided",
    "NetworkDenoiser",
    "Parameterisation",
    "V",
    "Velocity",
    "Wiener",
]
