"""Denoisers `E[x_0 | x_t]`: from a network, or in closed form."""

from sagd.model.denoiser import Denoiser, NetworkDenoiser
from sagd.model.exact import EmpiricalDenoiser, GaussianDenoiser, GaussianMixtureDenoiser
from sagd.model.parameterisation import X0, Edm, Eps, Parameterisation, V, Velocity, Wiener

__all__ = [
    "X0",
    "Denoiser",
    "Edm",
    "EmpiricalDenoiser",
    "Eps",
    "GaussianDenoiser",
    "GaussianMixtureDenoiser",
    "NetworkDenoiser",
    "Parameterisation",
    "V",
    "Velocity",
    "Wiener",
]
