"""Orthonormal transforms in which noise is diagonal; each kind is a file."""

# Kinds are shown to people in this order.
# isort: off
from sagd.noise.basis.base import Basis, build_basis, corner_radius
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.wavelet import WaveletBasis
from sagd.noise.basis.channels import ChannelBasis

__all__ = ["Basis", "ChannelBasis", "CosineBasis", "FourierBasis", "WaveletBasis", "build_basis", "corner_radius"]
