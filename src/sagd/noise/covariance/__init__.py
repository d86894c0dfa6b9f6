"""Noise covariances `Sigma` as linear operators on fields `(*, C, *spatial)`.

`SpectralCovariance` is the operator of the paper: with an orthonormal basis `U` and weights `w(f) >= 0`, common to all
channels or one set per channel,

    T_w = U* diag(w) U,     Sigma_w = T_w T_w* = U* diag(w^2) U,     eps_w = T_w xi ~ N(0, Sigma_w).

`ModulatedCovariance` varies the level over the field, `diag(m) Sigma diag(m)` with `m(x) >= 0`: noise in a region.
`ClassCovariance` holds one covariance per class label; `given(labels)` makes it an operator on labelled samples.

A factor `L` with `L L^T = Sigma` turns white noise into noise (`sqrt`), and its pseudo-inverse whitens it (`whiten`).
It is the symmetric root `Sigma^(1/2)` except for modulated covariances, where it is `diag(m) Sigma^(1/2)`.

Directions with `w = 0` or `m = 0` carry no noise: `Sigma` is then singular, `solve`, `whiten` and `logdet` refuse, and
their pseudo-inverse forms (`pseudo=True`) act on the range, which `project` projects onto. Spectral arithmetic is in
float32, or float64 where the input is or the weights are steep; half-precision inputs come back in their own type.

A kind is a file; importing any of them makes all known to texts and descriptions.
"""

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
