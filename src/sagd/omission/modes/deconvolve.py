"""Using what the band still shows under Gaussian damage of known spectrum."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from sagd.data.corruption import Assumptions
from sagd.errors import InputError
from sagd.model.condition import Condition
from sagd.model.denoiser import Denoiser
from sagd.noise.basis.base import Basis
from sagd.noise.operator import Diagonal
from sagd.noise.spectra.base import Spectrum
from sagd.omission.detect import Detection, excess_spectrum
from sagd.omission.level import final
from sagd.omission.modes.base import Mode, Restoration, Task, corruption_of
from sagd.process.base import Process
from sagd.process.evolution import Common, Deconvolved, Evolution
from sagd.process.spectral import SpectralProcess
from sagd.random import Generator, randn

EXCESS = "excess"
"""A spectrum of damage that is to be measured: what the data has over the smooth fit of the detection."""
DRAWS = 8
"""Draws of the floor noise over which a deconvolved image is averaged."""


@dataclass(frozen=True)
class Deconvolve(Mode, kind="deconvolve"):
    """Uses what the band still shows, which needs Gaussian damage of known spectrum; knows a posterior.

    That of the band is drawn as the Gaussian with the exact mean and covariance (second-order Tweedie).

    Args:
        band: The damaged band, or 'auto'.
        corruption: Standard deviation of the damage by frequency, or 'excess'.
        floor: Noise that always covers the damage, in units of it.
    """

    said: ClassVar[str] = (
        "The band was replaced by what the model expects there, <b>given everything, the damaged band included,</b> and"
        " the known spectrum of the damage."
    )
    knows_posterior: ClassVar[bool] = True
    leaves_out: ClassVar[bool] = False

    corruption: Spectrum | str | None = None
    floor: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.corruption not in (None, EXCESS):
            object.__setattr__(self, "corruption", Spectrum.parse(self.corruption))

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

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """The band, and the spectrum of the damage, unless they are given."""
        return (*super().unmeasured, "corruption") if self.corruption == EXCESS else super().unmeasured

    def measured(self, found: Detection) -> Self:
        """With what was detected: the excess in the band, which may have been given."""
        mode = super().measured(found)
        excess = mode.corruption == EXCESS
        return dataclasses.replace(mode, corruption=excess_spectrum(found, mode.place)) if excess else mode

    def weights(self, basis: Basis) -> dict[str, Tensor]:
        """The band and the spectrum of the damage."""
        if not isinstance(self.corruption, Spectrum):
            return super().weights(basis)
        return super().weights(basis) | {"corruption": self.corruption.weights(basis.frequencies()).double()}

    def restore(self, task: Task, y: Tensor, condition: Condition, generators: Sequence[Generator]) -> Restoration:
        """By `E[x | z]`, `z` the image under the floor of noise that the model always sees, averaged over `DRAWS`."""
        process = task.denoiser.process
        noisy = [process.perturb(y, task.t, generator=generators) for _ in range(DRAWS)]
        answers = (final(task.denoiser, x_t, task.t, condition) for x_t in noisy)
        restored = task.blend(y, sum(answers, torch.zeros_like(y)) / DRAWS)
        if not task.samples:
            return Restoration(restored)
        return _with_samples(task, restored, noisy[0], condition, generators)


def _with_samples(
    task: Task, restored: Tensor, noisy: Tensor, condition: Condition, generators: Sequence[Generator]
) -> Restoration:
    """With standard deviation and samples of the band."""
    q = task.vectors.to(noisy)
    blended = (task.b.on(q) * q).to(q.dtype)
    std, drawn = torch.empty_like(restored), restored.new_empty(task.samples, *restored.shape)
    for i, generator in enumerate(generators):
        root = _posterior_root(task.denoiser, noisy[i : i + 1], q, task.t, condition[i : i + 1])
        # Of soft edges, samples take the part that the mean takes.
        fields = (blended.flatten(1).T @ root).T.reshape(-1, *restored.shape[1:])
        std[i] = fields.square().sum(0).sqrt()
        xi = randn((task.samples, len(q)), generator).to(restored)
        drawn[:, i] = restored[i] + torch.einsum("nm,m...->n...", xi, fields)
    return Restoration(restored, std, drawn)


def _posterior_root(denoiser: Denoiser, x_t: Tensor, q: Tensor, t: float, condition: Condition) -> Tensor:
    """A root `(m, m)` of the covariance of the band given `x_t`, in the coordinates `q`.

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
    covariance = torch.cat(columns, dim=1).double()
    # Symmetric and not negative for the exact posterior mean; a network only comes near it.
    values, vectors = torch.linalg.eigh((covariance + covariance.T) / 2)
    return (vectors * values.clamp(min=0).sqrt()).to(q.dtype)


def _total_noise(process: Process, x: Tensor, t: float) -> Diagonal:
    """Variance of the noise in `x_t`, that of the damage included, as an operator."""
    assert isinstance(process, SpectralProcess)
    alpha, sigma = process.diagonal(t, x, process.basis)
    return sigma**2 + (alpha * process.corruption(x)) ** 2
