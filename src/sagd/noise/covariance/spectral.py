"""Noise that is diagonal in a basis: `Sigma = U* diag(w^2) U`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import Basis, build_basis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.base import Covariance, require_basis
from sagd.noise.spectra.base import Spectrum, refuse_mirror_sense
from sagd.tensors import moved, widened

STEEP_SPAN = 1e3
"""Ratio of largest to least positive weight from which filtering is done in float64."""
MAX_SPAN = 1e6
"""Largest such ratio: beyond it the weaker frequencies drown in the rounding of a float32 field."""
Calibration = Literal["variance", "snr", "none"]


class SpectralCovariance(Covariance, kind="spectral"):
    """`Sigma_w = U* diag(w^2) U`, with the same weights for every channel or weights of its own for each.

    Args:
        spectrum: Spectral weights `w(f)`, `(*coefficients)` or `(C, *coefficients)`; or their text.
        shape: `(C, *spatial)`.
        basis: The transform `U`, or its text; defaults to the Fourier basis of the spatial axes. With a basis that
            mixes channels, weights per channel are those of the mixed channels.
        calibration: How the level of `w` is set, by one factor for all frequencies and channels. Means are over all
            frequencies of all channels, each counted with its multiplicity.

            * "variance": the mean of `w^2` is 1, so that `E||eps||^2 = C d` whatever the shape of `w`.
            * "snr": the mean of `log w^2` over the frequencies that carry noise is 0. The log-SNR of data with power
              spectrum `S` is `log S - log w^2` up to the schedule's part, so its mean is that under white noise on the
              same frequencies for any `S`, which need not be known.
            * "none": the raw weights.

    Raises:
        InputError: If weights are negative, not finite, all zero, of another number of channels, not symmetric as real
            fields require, or if they tell a frequency from a mirror image that the basis cannot tell from it.

    Source: arXiv:2510.09660, equations 5-8; calibration replaces the per-sample normalisation of its appendix code,
    which is neither Gaussian nor has covariance `Sigma_w`.
    """

    basis: Basis

    def __init__(
        self,
        spectrum: Spectrum | str,
        shape: Sequence[int],
        basis: Basis | str | None = None,
        calibration: Calibration = "variance",
    ) -> None:
        super().__init__(shape)
        self.spectrum = Spectrum.parse(spectrum)
        basis = build_basis(basis, self.shape[1:]) if isinstance(basis, str) else basis
        self.basis = basis or FourierBasis(self.shape[1:])
        self.calibration = calibration
        require_basis(self.basis, self.shape)
        raw = self.spectrum.weights(self.basis.frequencies()).double()
        check_weights(raw, self.basis, self.spectrum.label, self.shape[0])
        refuse_mirror_sense(self.spectrum, raw, self.basis)
        span = span_of(raw)
        if span > MAX_SPAN:
            raise InputError(
                f"weights of {self.spectrum.label} span a factor of {span:.3g}, more than {MAX_SPAN:.0e}: the weak"
                " frequencies would drown in rounding; use a milder spectrum, or zero weight where no noise is wanted"
            )
        self._steep = span > STEEP_SPAN
        # Views of all channels: what is summed over them needs no second case.
        self._multiplicity = self.basis.multiplicity().expand(self.shape[0], *self.basis.coefficients)
        self.weights = _calibrate(raw, self.basis.multiplicity(), calibration)
        self._white = bool((self.weights == self.weights.flatten()[0]).all())
        self._rank = round(float((self._multiplicity * (self.weights > 0)).sum()))

    @property
    def eigenvalues(self) -> Tensor:
        """`w(f)^2` after calibration, `([C,] *coefficients)`, float64: the power spectrum of the noise."""
        return self.weights.square()

    @property
    def rank(self) -> int:
        """Degrees of freedom of the frequencies with `w > 0`, over all channels."""
        return self._rank

    @property
    def trace(self) -> float:
        """`sum_c sum_f m(f) w_c(f)^2`."""
        return float((self._multiplicity * self.eigenvalues).sum())

    @property
    def is_white(self) -> bool:
        """Where all weights are equal."""
        return self._white

    @property
    def is_stationary(self) -> bool:
        """In a Fourier basis, whether or not channels are mixed."""
        return self.basis.is_fourier

    def sqrt(self, x: Tensor) -> Tensor:
        """`T_w x = U* diag(w) U x`."""
        return self._filter(x, 1.0)

    def apply(self, x: Tensor) -> Tensor:
        """`U* diag(w^2) U x`."""
        return self._filter(x, 2.0)

    def whiten(self, x: Tensor, pseudo: bool = False) -> Tensor:
        """`U* diag(1/w) U x`."""
        self._refuse_singular(pseudo, "whitening")
        return self._filter(x, -1.0)

    def solve(self, x: Tensor, pseudo: bool = False) -> Tensor:
        """`U* diag(1/w^2) U x`."""
        self._refuse_singular(pseudo, "solving")
        return self._filter(x, -2.0)

    def project(self, x: Tensor) -> Tensor:
        """`U* diag(w > 0) U x`."""
        self._check(x)
        return self._filter(x, 0.0) if self.is_singular else x

    def logdet(self, pseudo: bool = False) -> float:
        """`2 sum_c sum_f m(f) log w_c(f)` over the frequencies with `w > 0`."""
        self._refuse_singular(pseudo, "log-determinant")
        logs = torch.where(self.weights > 0, self.weights, 1.0).log()
        return 2 * float((self._multiplicity * logs).sum())

    def to_dict(self) -> dict[str, Any]:
        """Kind, shape, basis, calibration and spectrum."""
        return {
            "kind": self.kind,
            "shape": list(self.shape),
            "basis": self.basis.to_dict(),
            "calibration": self.calibration,
            "spectrum": self.spectrum.to_dict(),
        }

    @classmethod
    def _read(cls, fields: dict[str, Any]) -> Self:
        parts = {"spectrum": Spectrum.from_dict(fields["spectrum"]), "basis": Basis.from_dict(fields["basis"])}
        return cls(**fields | parts)

    @property
    def label(self) -> str:
        """The spectrum, and the basis if it is not Fourier's."""
        where = "" if self.basis.is_fourier and self.basis.channels is None else f" ({self.basis.kind})"
        return self.spectrum.label + where

    def _eigenvalues_in(self, basis: Basis) -> Tensor | None:
        if self._white:  # in any basis
            return torch.full(basis.coefficients, float(self.weights.flatten()[0]) ** 2, dtype=torch.float64)
        # Weights common to all channels stay as they are when channels are mixed.
        common = self.weights.ndim == self.basis.rank and basis.spatial_part == self.basis.spatial_part
        return self.eigenvalues if common or basis == self.basis else None

    def _filter(self, x: Tensor, power: float) -> Tensor:
        self._check(x)
        y = widened(x, self._steep)
        c = self.basis.forward(y) * self.held("_power", y.dtype, y.device, power)
        return moved(self.basis.inverse(c), x.dtype, x.device)

    def _power(self, power: float) -> Tensor:
        return power_of(self.weights, power)


def check_weights(weights: Tensor, basis: Basis, name: str, channels: int = 1) -> None:
    """Refuse weights that are no amplitudes of a real noise: negative, non-finite, all zero, misshapen or asymmetric.

    Args:
        weights: `(*coefficients)`, or `(C, *coefficients)` with weights per channel.
        basis: The basis of the coefficients.
        name: What to call the weights in messages.
        channels: `C`.

    Raises:
        InputError: Naming the fault and `name`.
    """
    shape = tuple(weights.shape)
    if shape[1:] == basis.coefficients and shape[0] != channels:
        raise InputError(f"{name} has {shape[0]} spectra, the data has {channels} channels; give one each")
    if shape not in (basis.coefficients, (channels, *basis.coefficients)):
        raise InputError(f"weights of {name} have shape {shape}, the basis needs {basis.coefficients}")
    if not torch.isfinite(weights).all():
        raise InputError(f"weights of {name} hold NaN or infinity; they must be finite and not negative")
    if weights.min() < 0:
        raise InputError(f"weights of {name} reach {weights.min().item():.3g}; they must not be negative")
    if weights.max() == 0:
        raise InputError(
            f"weights of {name} are zero at every frequency of {basis.spatial}; some band must carry noise"
        )
    basis.check_symmetry(weights)


def power_of(base: Tensor, power: float) -> Tensor:
    """`a^power` where `a > 0`, else 0."""
    inside = base > 0
    return torch.where(inside, base, 1.0) ** power * inside


def span_of(values: Tensor) -> float:
    """Ratio of the largest to the least positive value."""
    return float(values.max() / values[values > 0].min())


def _calibrate(weights: Tensor, multiplicity: Tensor, calibration: Calibration) -> Tensor:
    if calibration == "none":
        return weights
    counts = multiplicity.expand(weights.shape)
    if calibration == "variance":
        relative = weights / weights.max()  # squares of very small or large weights would leave float64
        return relative / torch.sqrt((counts * relative.square()).sum() / counts.sum())
    if calibration == "snr":
        inside = weights > 0
        return weights * torch.exp(-(counts[inside] * weights[inside].log()).sum() / counts[inside].sum())
    raise InputError(f"calibration must be 'variance', 'snr' or 'none', got {calibration!r}")
