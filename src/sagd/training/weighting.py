"""Weights of the loss by noise level and by frequency.

A weight of each frequency, `lambda(f)`, multiplies the power of the error there: the loss is the mean over all
frequencies and channels of `lambda |U e|^2`, `e` the error of the prediction. Those that are chosen have the mean 1.

The weights of the likelihood make the loss a bound on it, in nats per dimension. With the signal-to-noise ratio
`snr_t(f) = a_t^2 / s_t^2` of each frequency

    -log p(x) <= 1/2 int (-d snr_t/dt) |U (x_0 - D(x_t, t))|^2 dt summed over f + terms that no network enters,

over all times whose noise level is at least `sigma_min`; for exact `D` it is an equality in the mean. So a frequency
weighs `-1/2 d snr/dt (d x_0 / d output)^2` per unit of time, which the loss divides by the density of its times.

Sources: "Maximum Likelihood Training of Score-Based Diffusion Models" (Song et al., 2021) and "Variational Diffusion
Models" (Kingma et al., 2021), equation 17, taken frequency by frequency.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from sagd.errors import InputError, SingularCovarianceError
from sagd.model.denoiser import NetworkDenoiser
from sagd.model.parameterisation.wiener import LEAST_POWER
from sagd.noise.basis.base import Basis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.grid import Grid
from sagd.noise.operator import Coefficient, Diagonal, mean_over_frequencies
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.checks import require_finite
from sagd.noise.spectra.tables import Tabulated
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Process
from sagd.spec import Description
from sagd.tensors import Holding


class Weighting(Description, family="loss weighting"):
    """Weight of the loss in prediction space."""

    per_time: ClassVar[bool] = False
    """Whether weights are per unit of time, so that the loss divides them by the density of its times."""

    def on(self, grid: Grid | None) -> Weighting:
        """The same with its spectra on a grid; see `Spectrum.on`."""
        return self

    def resolve(self, process: Process, statistics: DataStatistics) -> Weighting:
        """The weighting for noise and data; this one, unless it depends on them."""
        return self

    @abstractmethod
    def weight(self, t: Tensor, denoiser: NetworkDenoiser) -> Coefficient | None:
        """Weights `(B,)`, an operator of weights by frequency, or None for 1."""


@dataclass(frozen=True)
class FlatWeighting(Weighting, kind="flat"):
    """Weight 1."""

    def weight(self, t: Tensor, denoiser: NetworkDenoiser) -> None:
        """None."""


@dataclass(frozen=True)
class MinSNRWeighting(Weighting, kind="min_snr"):
    """`min(snr, gamma)` on the image's error, expressed in prediction space; `snr` by the clock of the process.

    Source: "Efficient Diffusion Training via Min-SNR Weighting Strategy" (Hang et al., 2023).
    """

    gamma: float = 5.0

    def __post_init__(self) -> None:
        if not self.gamma > 0:
            raise InputError(f"min_snr gamma must be positive, got {self.gamma}")

    def weight(self, t: Tensor, denoiser: NetworkDenoiser) -> Tensor:
        """`min(snr, gamma) (d x_0 / d output)^2`, the square averaged over frequencies, for any prediction."""
        like = torch.zeros(1, dtype=torch.float64, device=t.device).expand(len(t), *denoiser.process.shape)
        slope = mean_over_frequencies(denoiser.gain(like, t) ** 2)
        return (denoiser.process.noise_level(t) ** -2).clamp(max=self.gamma) * slope


@dataclass(frozen=True)
class ByFrequency(Holding, Weighting):
    """Weights by frequency that are known.

    Args:
        weights: `lambda(f)`, `(C, *coefficients)`.
    """

    weights: Diagonal

    def weight(self, t: Tensor, denoiser: NetworkDenoiser) -> Diagonal:
        """Those, at all times."""
        return Diagonal(self.held("_values", torch.float64, t.device), self.weights.basis)

    @property
    def _values(self) -> Tensor:
        return self.weights.values


@dataclass(frozen=True)
class SpectralWeighting(Weighting, kind="spectral"):
    """`lambda(f)` proportional to `w(f)^2` of any spectrum, with mean 1.

    Args:
        spectrum: `w(f)`: how much the amplitude of an error counts; `power_law(alpha=1)` counts the error of the
            gradient.
    """

    spectrum: str | Spectrum = "flat"

    def __post_init__(self) -> None:
        object.__setattr__(self, "spectrum", Spectrum.parse(self.spectrum))

    def on(self, grid: Grid | None) -> SpectralWeighting:
        """With the spectrum on the grid."""
        return SpectralWeighting(Spectrum.parse(self.spectrum).on(grid))

    def resolve(self, process: Process, statistics: DataStatistics) -> Weighting:
        """Weights in the basis of the statistics; none where all are alike."""
        spectrum = Spectrum.parse(self.spectrum).resolve(statistics)
        return _calibrated(spectrum, process.shape, statistics.basis)

    def weight(self, t: Tensor, denoiser: NetworkDenoiser) -> None:
        """Refused: shape and basis are not known here."""
        raise _unresolved(self)

    def to_dict(self) -> dict[str, Any]:
        """Kind and spectrum."""
        return {"kind": self.kind, "spectrum": Spectrum.parse(self.spectrum).to_dict()}

    def __str__(self) -> str:
        return f"{self.kind}(spectrum={str(self.spectrum)!r})"


@dataclass(frozen=True)
class WhitenedWeighting(Weighting, kind="whitened"):
    """`lambda(f)` proportional to `S(f)^-g` with the power spectrum `S` of the data, with mean 1.

    With `g = 1` and a prediction of the image, errors count relative to what varies at their frequency: the weak, fine
    scales as much as the strong ones. Power is floored as for `wiener`, whose errors are relative already.

    Args:
        exponent: `g` in [-1, 1]; negative counts strong frequencies more.
    """

    exponent: float = 1.0

    def __post_init__(self) -> None:
        require_finite("whitened exponent", self.exponent)
        if not -1 <= self.exponent <= 1:
            raise InputError(f"whitened exponent must lie in [-1, 1] (1: relative errors), got {self.exponent}")

    def resolve(self, process: Process, statistics: DataStatistics) -> Weighting:
        """Weights for the spectrum of the data."""
        S = statistics.spectrum.detach().cpu().double()
        if not S.max() > 0:
            raise InputError("loss weighting 'whitened' needs data that varies; its measured spectrum is zero")
        w = S.clamp(min=LEAST_POWER * float(S.max())) ** (-self.exponent / 2)
        table: Any = w[0] if len(w) == 1 else w
        return _calibrated(Tabulated(table), process.shape, statistics.basis)

    def weight(self, t: Tensor, denoiser: NetworkDenoiser) -> None:
        """Refused: the data is not known here."""
        raise _unresolved(self)


@dataclass(frozen=True)
class LikelihoodWeighting(Weighting, kind="likelihood"):
    """The weights with which the loss bounds the negative log-likelihood, in nats per dimension.

    `-1/2 d snr_t(f)/dt (d x_0 / d output)^2` by frequency, over the density of the training times, and 0 where the
    clock of the process is below `sigma_min`: the likelihood is that of data with so little noise. The loss is the same
    whatever the prediction. It varies least from batch to batch with times `log_uniform`.

    Args:
        sigma_min: Least noise level that counts.

    Sources: Song et al. (2021); Kingma et al. (2021); see `sagd.training.weighting`.
    """

    sigma_min: float = 0.002
    per_time = True

    def __post_init__(self) -> None:
        require_finite("likelihood sigma_min", self.sigma_min)
        if not self.sigma_min > 0:
            raise InputError(f"likelihood sigma_min must be positive, got {self.sigma_min}; e.g. 0.002")

    def weight(self, t: Tensor, denoiser: NetworkDenoiser) -> Diagonal:
        """Weights by frequency per unit of time.

        Raises:
            InputError: If the noise is not diagonal in a basis.
            SingularCovarianceError: If some frequency carries no noise: the model then has no density.
        """
        process = denoiser.process
        if process.covariance.is_singular:
            raise SingularCovarianceError(
                f"{process.label} leaves some frequency or place without noise, so that its model has no density; take"
                " another weighting than 'likelihood'"
            )
        like = torch.zeros(1, dtype=torch.float64, device=t.device).expand(len(t), *process.shape)
        gain = denoiser.gain(like, t)
        basis = gain.basis if isinstance(gain, Diagonal) else _noise_basis(process)
        a, s = (c.values for c in process.diagonal(t, like, basis))
        d_alpha, d_sigma = process.derivatives(t, like)
        # Written without a division by a, which may be 0 at the end.
        fall = a / s**2 * (a * _values(d_sigma / process.sigma(t, like)) - _values(d_alpha))
        counts = process.noise_level(t) >= self.sigma_min
        weights = fall * _values(gain) ** 2
        return Diagonal(torch.where(counts.reshape(-1, *(1,) * (like.ndim - 1)), weights, 0.0), basis)


def _calibrated(spectrum: Spectrum, shape: tuple[int, ...], basis: Basis) -> Weighting:
    """The weights `w^2` with mean 1 over all frequencies of all channels."""
    weights = SpectralCovariance(spectrum, shape, basis).eigenvalues.expand(shape[0], *basis.coefficients)
    return FlatWeighting() if bool((weights == weights.flatten()[0]).all()) else ByFrequency(Diagonal(weights, basis))


def _unresolved(weighting: Weighting) -> InputError:
    return InputError(
        f"loss weighting {weighting.kind!r} needs the data's statistics; call resolve(process, statistics) first"
    )


def _noise_basis(process: Process) -> Basis:
    """The basis in which noise is diagonal: that of Fourier for white noise, which is in all."""
    return process.reference.members[0].basis or FourierBasis(process.shape[1:])


def _values(c: Coefficient) -> Any:
    return c.values if isinstance(c, Diagonal) else c
