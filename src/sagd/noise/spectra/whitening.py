"""Weights made from the measured spectrum of the data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import EDGE, Basis
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.checks import require_finite
from sagd.noise.spectra.tables import Tabulated
from sagd.noise.statistics import DataStatistics

SPECTRUM_FLOOR = 1e-10
"""Least power that whitening takes for measured, relative to the largest: amplitudes then span at most 1e5."""


@dataclass(frozen=True)
class Whitening(Spectrum, kind="whitening"):
    """Partial whitening `w = S(f)^(g/2)` with the power spectrum `S` of the data and the exponent `g` in [0, 1].

    `g = 1` gives the noise the spectrum of the data, so that all frequencies share one signal-to-noise ratio at every
    time; `g = 0` is white noise. `S` counts as at least `SPECTRUM_FLOOR` of its largest value (over channels too):
    frequencies that the data leaves empty keep a little noise, and the weights span less than the factor that a
    covariance accepts. The weights are known once `resolve` has been given measured statistics.

    Args:
        exponent: `g`.
        radial: Average `S` over frequencies of equal radius first, which makes the noise isotropic. Radii are told
            apart to the lowest frequency of the longest side.

    Source: "A Fourier Space Perspective on Diffusion Models" (arXiv:2505.11278), EqualSNR, for `g = 1`.
    """

    scalable = False
    exponent: float = 1.0
    radial: bool = False

    def __post_init__(self) -> None:
        require_finite("whitening exponent", self.exponent)
        if not 0 <= self.exponent <= 1:
            raise InputError(
                f"whitening exponent must lie in [0, 1] (0: white noise, 1: the spectrum of the data),"
                f" got {self.exponent}"
            )
        if not isinstance(self.radial, bool):
            raise InputError(f"whitening radial must be true or false, got {self.radial!r}")

    @property
    def needs_data(self) -> bool:
        """True: `S` is measured."""
        return True

    def weights(self, frequencies: Tensor) -> Tensor:
        """Refused: the measured spectrum comes first."""
        raise InputError(
            f"{self} needs the measured power spectrum of the data; resolve it first:"
            " spectrum.resolve(measure(images)), images of shape (N, C, *spatial)"
        )

    def resolve(self, statistics: DataStatistics) -> Tabulated:
        """`S^(g/2)` as a table `(C, *coefficients)`, or `(*coefficients)` of data with one channel."""
        S = statistics.spectrum.detach().cpu().double()
        if not torch.isfinite(S).all() or S.max() <= 0:
            raise InputError(
                f"{self} needs data that varies, but the measured spectrum reaches {S.max().item():.3g};"
                " measure at least two different samples with finite values"
            )
        if self.radial:
            S = _radial_mean(S, statistics.basis)
        w = S.clamp(min=SPECTRUM_FLOOR * float(S.max())) ** (self.exponent / 2)
        return Tabulated(w[0] if len(w) == 1 else w)  # type: ignore[arg-type]


def _radial_mean(S: Tensor, basis: Basis) -> Tensor:
    """`S` `(C, *coefficients)` averaged over radii that agree to `1/max(spatial)`, all degrees of freedom counted."""
    # Rings lie around the multiples of the lowest frequency, so that DC has its own.
    ring = (basis.radius() * max(basis.spatial) + 0.5 + EDGE).long().flatten()
    m = basis.multiplicity().flatten()
    total = torch.zeros(len(S), int(ring.max()) + 1, dtype=S.dtype).index_add_(1, ring, S.flatten(1) * m)
    count = torch.zeros(total.shape[1], dtype=S.dtype).index_add_(0, ring, m)
    return (total[:, ring] / count[ring]).reshape(S.shape)
