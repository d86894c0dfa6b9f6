"""Denoisers `E[x_0 | x_t]`: from a network, or in closed form."""

from sagd.model.denoiser import Denoiser, NetworkDenoiser
from sagd.model.exact import EmpiricalDenoiser, GaussianDenoiser, GaussianMixtureDenoiser

__all__ = ["Denoiser", "EmpiricalDenoiser", "GaussianDenoiser", "GaussianMixtureDenoiser", "NetworkDenoiser"]
