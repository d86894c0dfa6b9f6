"""Denoisers in closed form: of Gaussian data, of mixtures, and of a data set."""

from __future__ import annotations

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.model.condition import Conditional
from sagd.model.denoiser import Denoiser
from sagd.noise.basis.base import Basis
from sagd.noise.basis.fourier import FourierBasis
from sagd.process.base import Process, Time, as_time
from sagd.process.scalar import ForwardProcess


class GaussianMixtureDenoiser(Denoiser):
    """Exact denoiser of data `sum_k pi_k N(mu_k, U* diag(S_k) U)`, with noise that is diagonal in the same basis.

    Per frequency and component, `E[x_0|x_t, k] = mu_k + a S_k / (a^2 S_k + s^2) (x_t - a mu_k)`; the components are
    weighted by their responsibilities.

    Args:
        process: Forward process.
        means: `(K, C, *spatial)`.
        spectra: `S_k(f) >= 0`, broadcastable to `(K, C, *coefficients)`; zeros make point masses.
        weights: `pi_k`, `(K,)`; uniform by default.
        basis: Basis of `spectra`; Fourier by default.

    Raises:
        InputError: If some frequency has neither noise nor spread, where the posterior is undefined, or if spectra or
            weights are not positive where they must be.
    """

    def __init__(
        self,
        process: Process,
        means: Tensor,
        spectra: Tensor,
        weights: Tensor | None = None,
        basis: Basis | None = None,
    ) -> None:
        super().__init__()
        self.process = process
        self.basis = basis or FourierBasis(process.shape[1:])
        noise = process.diagonal(1.0, torch.zeros(1, *process.shape, dtype=torch.float64), self.basis)[1].values
        if (spectra < 0).any() or not torch.isfinite(spectra).all():
            raise InputError("spectra must be finite and not negative: they are variances")
        if ((spectra == 0) & (noise == 0)).any():
            raise InputError("some frequency has neither noise nor data variance; its posterior is undefined")
        self._spectra = spectra.double().expand(len(means), process.shape[0], *self.basis.coefficients)
        self._means = self.basis.forward(means.double())
        weights = torch.ones(len(means), dtype=torch.float64) if weights is None else weights.double()
        if weights.shape != (len(means),) or not (weights > 0).all() or not torch.isfinite(weights).all():
            raise InputError(f"weights must be {len(means)} positive numbers, got {weights.tolist()}")
        self._log_weights = torch.log(weights / weights.sum())

    def estimate(self, x_t: Tensor, t: Time, condition: Conditional = None) -> Tensor:
        """Posterior mean, in float64 inside."""
        residual, gain, log_joint = self._components(x_t, t)
        responsibility = torch.softmax(log_joint, dim=1).reshape(*log_joint.shape, *(1,) * (x_t.ndim - 1))
        return self.basis.inverse((responsibility * (self._means.to(x_t.device) + gain * residual)).sum(1)).to(
            x_t.dtype
        )

    def log_density(self, x_t: Tensor, t: Time) -> Tensor:
        """`log q_t(x_t)` up to a constant that depends on nothing but the dimension, `(B,)`, float64."""
        return torch.logsumexp(self._components(x_t, t)[2], dim=1)

    def _components(self, x_t: Tensor, t: Time) -> tuple[Tensor, Tensor, Tensor]:
        """Residual and Wiener gain per component `(B, K, C, *coefficients)`; `log pi_k q_t(x_t|k)`, `(B, K)`."""
        x = x_t.double()
        alpha, sigma = (c.values.unsqueeze(1) for c in self.process.diagonal(t, x, self.basis))
        means, spectra = self._means.to(x.device), self._spectra.to(x.device)
        residual = self.basis.forward(x).unsqueeze(1) - alpha * means
        # Where alpha_t = 0, frequencies without noise say nothing of any component.
        empty = (alpha == 0) & (sigma == 0)
        variance = torch.where(empty, 1.0, alpha**2 * spectra + sigma**2)
        terms = self.basis.multiplicity().to(x.device) * (residual.abs().square() / variance + torch.log(variance))
        return residual, alpha * spectra / variance, self._log_weights.to(x.device) - terms.flatten(2).sum(-1) / 2


class GaussianDenoiser(Denoiser):
    """Exact denoiser of Gaussian data `N(mu, U* diag(S) U)`: the Wiener filter of every noise level, a mixture of one.

    Args:
        process: Forward process.
        mean: `(C, *spatial)`.
        spectrum: `S(f)`, broadcastable to `(C, *coefficients)`.
        basis: Basis of `spectrum`; Fourier by default.
    """

    def __init__(self, process: Process, mean: Tensor, spectrum: Tensor, basis: Basis | None = None) -> None:
        super().__init__()
        self.process = process
        self.mixture = GaussianMixtureDenoiser(process, mean.unsqueeze(0), spectrum, basis=basis)

    def estimate(self, x_t: Tensor, t: Time, condition: Conditional = None) -> Tensor:
        """Posterior mean, in float64 inside."""
        return self.mixture.estimate(x_t, t)

    def log_density(self, x_t: Tensor, t: Time) -> Tensor:
        """As that of `GaussianMixtureDenoiser`."""
        return self.mixture.log_density(x_t, t)


class EmpiricalDenoiser(Denoiser):
    """Exact denoiser of a finite data set's empirical distribution: a softmax average under the `Sigma_w^-1` metric.

    `E[x_0|x_t] = sum_i p_i x_i`, `p_i ~ exp(-||x_t - alpha x_i||^2_{Sigma^-1} / (2 sigma^2))`. Needs no training, and
    shows what a sampler does on data that is not Gaussian.

    Args:
        process: Forward process with one schedule for all frequencies; its covariance must have full rank.
        data: `(N, C, *spatial)`, floating point.

    Raises:
        InputError: If the covariance is singular, or the data is not floating point or of another shape.
    """

    def __init__(self, process: Process, data: Tensor) -> None:
        if not data.is_floating_point():
            raise InputError(f"data must be floating point, got {data.dtype}; images are float32 in [-1, 1]")
        if not isinstance(process, ForwardProcess):
            raise InputError("the empirical denoiser needs one schedule for all frequencies, a ForwardProcess")
        super().__init__()
        self.process = process
        self.data = data
        self._whitened = process.covariance.whiten(data.double()).flatten(1)
        self._norms = self._whitened.square().sum(1)

    def estimate(self, x_t: Tensor, t: Time, condition: Conditional = None) -> Tensor:
        """Posterior mean `(B, C, *spatial)`."""
        x = self.process.covariance.whiten(x_t.double()).flatten(1)
        time = as_time(t, x)
        alpha, sigma = self.process.schedule.alpha(time), self.process.schedule.sigma(time)
        # ||x - alpha x_i||^2 up to a term that the softmax ignores.
        logits = (alpha * (x @ self._whitened.T) - alpha**2 * self._norms / 2) / sigma**2
        weights = torch.softmax(logits, dim=1)
        return (weights.to(self.data.dtype) @ self.data.flatten(1)).reshape(x_t.shape).to(x_t.dtype)
