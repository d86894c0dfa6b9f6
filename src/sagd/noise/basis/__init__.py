"""Orthonormal transforms `U` in which covariances are diagonal.

A basis acts on the last `n` axes of a real tensor `(*, *spatial)`; `forward` gives coefficients `(*, *coefficients)`
and `inverse` is its exact inverse. With `m = multiplicity()`, the number of real degrees of freedom that each stored
coefficient stands for, Parseval's identity reads `||x||^2 = sum_f m(f) |c(f)|^2` and `sum_f m(f) = d = prod(spatial)`.

    fourier    c_k = d^(-1/2) sum_x exp(-2 pi i f_k x) x_x                fields that wrap around at their borders
    cosine     c_k = s_k sum_x cos(2 pi f_k (x + 1/2)) x_x per axis       fields mirrored at their borders
    mixed      Fourier along some axes, cosine along the others              maps, closed eastwards alone
    wavelet    inner products with shifts and dilations of one wavelet    localised in space; borders wrap around
    channels   an orthonormal mix of the channels, then one of the others on each

Frequencies are in cycles per sample. Fourier frequencies come from `fftfreq` (and `rfftfreq` on the last axis), so that
DC is exactly zero and `w(f) = w(-f)` holds for every function of `|f|`. The frequency of a wavelet coefficient is
nominal: the centre of its subband. Float32 and float64 tensors keep their type; others are the caller's to convert.

A kind is a file; importing any of them makes all known to texts and descriptions.
"""

# Kinds are shown to people in this order.
# isort: off
from sagd.noise.basis.base import Basis, build_basis, corner_radius
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.mixed import MixedBasis
from sagd.noise.basis.wavelet import WaveletBasis
from sagd.noise.basis.channels import ChannelBasis

__all__ = [
    "Basis",
    "ChannelBasis",
    "CosineBasis",
    "FourierBasis",
    "MixedBasis",
    "WaveletBasis",
    "build_basis",
    "corner_radius",
]
