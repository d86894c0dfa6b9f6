"""Using what the band still shows under Gaussian damage of known spectrum."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from sagd.data.corruption import Assumptions
from sagd.errors import InputError
from sagd.model.condition import Condition, Conditional
from sagd.model.denoiser import Denoiser
from sagd.noise.basis.base import Basis
from sagd.noise.operator import Diagonal, pseudo_inverse
from sagd.noise.spectra.base import Spectrum
from sagd.noise.statistics import DataStatistics
from sagd.omission.calibrate import Calibration
from sagd.omission.level import final, least_time
from sagd.omission.modes.base import EXCESS, Mode, Restoration, Task, corruption_of
from sagd.omission.second import SecondDamage
from sagd.omission.weighing import Known, remainder
from sagd.process.base import Process
from sagd.process.evolution import Common, Deconvolved, Evolution
from sagd.process.spectral import SpectralProcess
from sagd.random import Generator, generator_for, randn

DRAWS = 8
"""Draws of the floor noise over which a deconvolved image is averaged."""


@dataclass(frozen=True)
class Deconvolve(Mode, kind="deconvolve"):
    """Uses what the band still shows, which needs Gaussian damage of known spectrum; knows a posterior.

    That of the band is drawn as the Gaussian with the exact mean and covariance (second-order Tweedie).

    Args:
        band: The damaged band, or 'auto'.
        corruption: Standard deviation of the damage by frequency, or 'excess'.
        evidence: Whether what the floor hides of the damaged band is weighed in as well.
        floor: Noise that always covers the damage, in units of it.
    """

    said: ClassVar[str] = (
        "The band was replaced by what the model expects there, <b>given everything, the damaged band included,</b> and"
        " the known spectrum of the damage."
    )
    calibrates: ClassVar[bool] = True
    leaves_out: ClassVar[bool] = False

    floor: float = 1.0

    @classmethod
    def suits(cls, damage: Assumptions) -> bool:
        """In the band, of mean zero, Gaussian, and independent of the image."""
        return damage.banded and damage.zero_mean and damage.gaussian and damage.independent

    def noise(self, spectrum: Spectrum, evolution: Evolution, basis: Basis) -> tuple[Spectrum, Evolution]:
        """The spectrum as it is, upon data that is noisy already."""
        if self.corruption is None or isinstance(self.corruption, str):
            raise InputError(
                f"process.omission {self.kind!r} needs the damage's standard deviation by frequency: set"
                " process.omission.corruption to a spectrum, e.g. 'band_pass(low=0.1, high=0.2, inside=3)', or to"
                f" {EXCESS!r} when training, which measures it"
            )
        if not isinstance(evolution, Common):
            raise InputError(f"process.omission {self.kind!r} needs evolution 'common', got {str(evolution)!r}")
        return spectrum, Deconvolved(self.corruption, self.floor)

    @classmethod
    def of(cls, process: Process, band: Spectrum) -> Self | None:
        """For a process of data that is noisy already."""
        corruption = corruption_of(process)
        return None if corruption is None else cls(band, corruption)

    def own(self, process: Process, b: Diagonal) -> tuple[str, bool]:
        """The damage has to reach into the band."""
        assert isinstance(process, SpectralProcess)
        damage = process.corruption(torch.zeros(1, *process.shape)).values > 0
        return str(process.evolution.corruption_spectrum), bool((damage & (b.values > 0)).any())

    def knows_posterior(self, denoiser: Denoiser, statistics: DataStatistics) -> bool:
        """By Tweedie's formula of second order."""
        return True

    def calibrate(
        self,
        denoiser: Denoiser,
        batches: Iterable[tuple[Tensor, Conditional]],
        statistics: DataStatistics,
        second: SecondDamage | None = None,
    ) -> Calibration:
        """What `E[x | z]` leaves open wherever the damage is: the variance of `y' - E[x | z]`, less that of `y'`."""
        process, basis = denoiser.process, statistics.basis
        t, generator = least_time(process), generator_for("calibrate", 0)
        total, noise, count = torch.zeros(process.shape[0], *basis.coefficients, dtype=torch.float64), None, 0
        with torch.no_grad():
            for y, condition in batches:
                z = process.perturb(y, t, generator=generator)
                shown, left = beside(process, y, z, t)
                residual = shown - denoiser.final(z, t, condition)
                total += basis.forward(residual.cpu().double()).abs().square().sum(0)
                noise, count = left.values[0].cpu().double().expand_as(total), count + len(y)
        assert noise is not None
        damaged = (noise > 0).double()
        share = torch.ones(basis.coefficients, dtype=torch.float64)
        return Calibration(share, remainder(total / count, noise, damaged, basis, count))

    def restore(self, task: Task, y: Tensor, condition: Condition, generators: Sequence[Generator]) -> Restoration:
        """By `E[x | z]`, `z` the image under the floor of noise that the model always sees, averaged over `DRAWS`.

        With evidence it is what `y` shows beside `z` as well. Samples are of one draw of `z`, of which mean and
        covariance are.
        """
        if task.samples:
            return self._with_samples(task, y, condition, generators)
        process, left = task.denoiser.process, self.unexplained(task.denoiser, task.statistics)
        answer = torch.zeros_like(y)
        for _ in range(DRAWS):
            z = process.perturb(y, task.t, generator=generators)
            mean = final(task.denoiser, z, task.t, condition)
            if left is not None:
                mean, _ = Known(mean, left, *beside(process, y, z, task.t)).estimate(self.weighing)
            answer += mean / DRAWS
        return Restoration(task.blend(y, answer))

    def _with_samples(
        self, task: Task, y: Tensor, condition: Condition, generators: Sequence[Generator]
    ) -> Restoration:
        """With standard deviation and samples of the band."""
        q, process = task.vectors.to(y), task.denoiser.process
        blended = (task.b.on(q) * q).to(q.dtype)
        z = process.perturb(y, task.t, generator=generators)
        means = final(task.denoiser, z, task.t, condition)
        shown, noise = beside(process, y, z, task.t)
        if self.weighing == "image":
            left = self.unexplained(task.denoiser, task.statistics)
            assert left is not None
            noise = noise * Diagonal(Known(means, left, shown, noise).level(), noise.basis)
        std, drawn = torch.empty_like(y), y.new_empty(task.samples, *y.shape)
        centre = torch.empty_like(y)
        for i, generator in enumerate(generators):
            covariance = _covariance(task.denoiser, z[i : i + 1], q, task.t, condition[i : i + 1])
            centre[i] = means[i]
            if self.weighing != "none":
                own = Diagonal(noise.values.expand(len(y), *noise.values.shape[1:])[i : i + 1], noise.basis)
                step, covariance = _heeded(covariance, q, own, (shown[i] - means[i]).flatten().double())
                centre[i] += torch.einsum("m,m...->...", step.to(q.dtype), q)
            # Of soft edges, samples take the part that the mean takes.
            fields = (blended.flatten(1).T @ _root(covariance).to(q.dtype)).T.reshape(-1, *y.shape[1:])
            std[i] = fields.square().sum(0).sqrt()
            xi = randn((task.samples, len(q)), generator).to(y)
            drawn[:, i] = torch.einsum("nm,m...->n...", xi, fields)
        images = task.blend(y, centre)
        return Restoration(images, std, images + drawn)


def beside(process: Process, y: Tensor, x_t: Tensor, t: float) -> tuple[Tensor, Diagonal]:
    """What a damaged image shows beside its noisy state: `y' = x + n'`, `n'` independent of the noise of `x_t`.

    Of `y = x + n` and `z = x_t / alpha_t = y + e`, `e` of variance `R` and `n` of variance `N`, all that is not in `z`
    is in `y' = y + N / R (y - z)`, since `Cov[n', n + e] = 0`; its noise has the variance `N' = N (N + R) / R`.

    Returns:
        `y'`, like `y`, and `N'`.
    """
    assert isinstance(process, SpectralProcess)
    alpha, sigma = process.diagonal(t, y, process.basis)
    noise, fresh = process.corruption(y) ** 2, (sigma / alpha) ** 2
    ratio = noise * fresh.map(pseudo_inverse)
    return (y - ratio / alpha * (x_t - alpha * y)).to(y.dtype), noise * (1 + ratio)


def _covariance(denoiser: Denoiser, x_t: Tensor, q: Tensor, t: float, condition: Condition) -> Tensor:
    """The covariance `(m, m)` of the band given `x_t`, in the coordinates `q`, float64.

    Second-order Tweedie: `Cov[x | x_t] = S J^T / alpha`, `J = dE[x | x_t]/dx_t`, `S` the covariance of all noise in
    `x_t`.
    """
    process = denoiser.process
    total = _total_noise(process, x_t, t) / float(process.schedule.alpha(torch.tensor(t, dtype=torch.float64)))
    columns = []
    for v in q.split(64):
        with torch.enable_grad():
            at = x_t.expand(len(v), *x_t.shape[1:]).clone().requires_grad_()
            (slope,) = torch.autograd.grad(final(denoiser, at, t, condition.expand(len(v))), at, v)
        columns.append(q.flatten(1) @ (total * slope).to(q.dtype).flatten(1).T)
    root = _root(torch.cat(columns, dim=1).double())
    return root @ root.T


def _root(covariance: Tensor) -> Tensor:
    """A root of a covariance; what makes it asymmetric or negative, as of a network's, is left out."""
    values, vectors = torch.linalg.eigh((covariance + covariance.T) / 2)
    return vectors * values.clamp(min=0).sqrt()


def _heeded(covariance: Tensor, q: Tensor, noise: Diagonal, residual: Tensor) -> tuple[Tensor, Tensor]:
    """Mean about the one before, and covariance, once `y' - m`, the residual, is known as well.

    All in the coordinates `q`: `P (P + N')^-1 (y' - m)` and `P - P (P + N')^-1 P`.
    """
    own = q.flatten(1).double() @ (noise * q.double()).flatten(1).T
    total = covariance + (own + own.T) / 2
    total.diagonal().add_(1e-12 * total.diagonal().max())
    weight = torch.linalg.solve(total, covariance).T
    return weight @ (q.flatten(1).double() @ residual), covariance - weight @ covariance


def _total_noise(process: Process, x: Tensor, t: float) -> Diagonal:
    """Variance of the noise in `x_t`, that of the damage included, as an operator."""
    assert isinstance(process, SpectralProcess)
    alpha, sigma = process.diagonal(t, x, process.basis)
    return sigma**2 + (alpha * process.corruption(x)) ** 2
