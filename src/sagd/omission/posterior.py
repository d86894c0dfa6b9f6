"""Posterior draws of damaged images, and what they are worth, measured on damaged images alone.

Damage may be of its own in every image: what an image shows is `y = x + n`, `n` of power `N(f)` by image and frequency,
0 where a coefficient is as it should be and infinite where nothing of it is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sagd.counting import Count, counting
from sagd.errors import InputError
from sagd.model.condition import Conditional
from sagd.model.denoiser import Denoiser
from sagd.model.observed import Observed, check_noise, weight_of
from sagd.noise.basis.base import Basis
from sagd.noise.operator import Diagonal
from sagd.noise.statistics import DataStatistics
from sagd.omission.modes import Restoration
from sagd.omission.weighing import by_ring
from sagd.random import Generator, Stream, generator_for, randn
from sagd.sampling.base import Sampler
from sagd.sampling.grids import TimeGrid

ROUNDS = 1
"""Derivatives of the network in each estimate: with none hidden frequencies do not hear of those that are shown."""
SAMPLER, STEPS = "dpm_solver", 18
"""How draws are made. Heun's method in 18 steps, of 35 evaluations, draws of the same law; see
`benchmarks/omission/results/solvers-cpu.md`."""
_FEWEST = 2
"""Images that must show a coefficient, for its variance to be known."""
_LEAST = 1e-12
_TOGETHER = 1024
"""Images that are transformed at a time."""


def posterior(
    denoiser: Denoiser,
    y: Tensor,
    noise: Tensor,
    statistics: DataStatistics,
    *,
    sampler: Sampler | str = SAMPLER,
    steps: int = STEPS,
    grid: str = "matched",
    rounds: int = 0,
    seed: int = 0,
    draw: int = 0,
    first: int = 0,
    condition: Conditional = None,
    batch_size: int = 64,
    progress: bool | Count = False,
) -> Tensor:
    """One draw of each image given what is shown of it, `(B, C, *spatial)`, by an ordinary model.

    Image `i` depends on `(seed, draw, first + i)` alone.

    Args:
        denoiser: Denoiser of a model of whole images, no band unseen.
        y: Damaged images `(B, C, *spatial)`.
        noise: `N(f)`, `(B|1, C|1, *coefficients)`, in the basis of the statistics.
        statistics: Of the data that the model was trained on.
        sampler: Any sampler.
        steps: Its steps.
        grid: Its time grid.
        rounds: As for `Observed`.
        seed: Seed of the draws.
        draw: Number of the draw.
        first: Number of the first image.
        condition: What conditional models are told of each image.
        batch_size: Images per network call.
        progress: Whether to show how far it is, or what counts the draws.

    Raises:
        InputError: If images and noise do not fit each other or the model.
    """
    shape = denoiser.process.shape
    if y.ndim != len(shape) + 1 or tuple(y.shape[1:]) != tuple(shape):
        raise InputError(f"the model is of images {tuple(shape)}, got shape {tuple(y.shape)}")
    check_noise(noise, len(y), statistics.basis)
    told, chosen = denoiser.check(condition, len(y)), Sampler.parse(sampler)
    process, prior = denoiser.process, GaussianPrior.of(statistics)
    settled = TimeGrid.parse(grid).fitted(chosen).settled(steps, process, statistics)
    start = float(settled.times(steps, process, statistics)[0])
    parts = []
    with counting(len(y), "drawing", "draws", progress) as count:
        for some in torch.arange(len(y)).split(batch_size):
            x = y[some].to(denoiser.device, denoiser.dtype or y.dtype)
            own = Diagonal(noise[some] if len(noise) == len(y) else noise, statistics.basis)
            streams = _streams(seed, draw, some + first)
            # The largest level still shows something, so that the first x_t has to fit what is shown.
            guess = prior.drawn(x.cpu(), own.values, streams).to(x)
            parts.append(
                chosen.sample(
                    Observed(denoiser, x, own, statistics, rounds),
                    len(some),
                    start=process.perturb(guess, start, generator=streams),
                    steps=steps,
                    grid=settled,
                    generator=streams,
                    condition=told[some],
                    statistics=statistics,
                    dtype=x.dtype,
                ).to(y)
            )
            count.done(len(some))
    return torch.cat(parts)


def filled(
    denoiser: Denoiser,
    y: Tensor,
    noise: Tensor,
    statistics: DataStatistics,
    *,
    draws: int = 8,
    keep: bool = False,
    seed: int = 0,
    condition: Conditional = None,
    batch_size: int = 64,
    progress: bool | Count = False,
    **sampling: Any,
) -> Restoration:
    """Images whose damaged coefficients are filled in: the mean of posterior draws, all others as they are.

    Args:
        denoiser: Denoiser of a model of whole images, no band unseen.
        y: Images `(B, C, *spatial)`.
        noise: `N(f)`, `(B|1, C|1, *coefficients)`, in the basis of the statistics; infinite where nothing is known.
        statistics: Of the data that the model was trained on.
        draws: Posterior draws of each image.
        keep: Give these and their standard deviation besides.
        seed: Seed of the draws.
        condition: What conditional models are told of each image.
        batch_size: Images per network call.
        progress: Whether to show how far it is, or what counts the draws.
        **sampling: Sampler, steps and grid, as for `posterior`.

    Raises:
        InputError: If images and noise do not fit each other or the model.
    """
    basis, free, total, kept = statistics.basis, (noise > 0).to(y.device), torch.zeros_like(y), []
    with counting(draws * len(y), "drawing", "draws", progress) as count:
        for k in range(draws):
            x = posterior(
                denoiser, y, noise, statistics, rounds=ROUNDS, seed=seed, draw=k, condition=condition,
                batch_size=batch_size, progress=count, **sampling,
            )  # fmt: skip
            x = y + basis.inverse(free * basis.forward((x - y).double())).to(y)
            total += x
            kept += [x] if keep else []
    if not keep:
        return Restoration(total / draws)
    drawn = torch.stack(kept)
    return Restoration(total / draws, drawn.std(0) if draws > 1 else None, drawn)


@dataclass(frozen=True)
class GaussianPrior:
    """Mean and power of the clean data by what each image shows of it: what is known before there is a model.

    Attributes:
        mean: Of the coefficients, `(C, *coefficients)`, complex or real.
        spectrum: `S(f)`, likewise, float64.
        basis: Of both.
        shown: How many images show each coefficient, `(C, *coefficients)`.
    """

    mean: Tensor
    spectrum: Tensor
    basis: Basis
    shown: Tensor

    @staticmethod
    def measured(y: Tensor, noise: Tensor, basis: Basis) -> GaussianPrior:
        """From damaged images `(N, C, *spatial)` and `N(f)`.

        Raises:
            InputError: If there is a coefficient that no image, or a single one, shows.
        """
        check_noise(noise, len(y), basis)
        shape = (y.shape[1], *basis.coefficients)
        total, square, count = (torch.zeros(shape, dtype=kind) for kind in (_kind(basis), torch.float64, torch.float64))
        for some, c, n in _blocks(y, noise, basis):
            seen = torch.isfinite(n).expand(len(some), *shape)
            total += torch.where(seen, c, 0).sum(0)
            count += seen.sum(0)
        if int(count.min()) < _FEWEST:
            hidden = int((count < _FEWEST).sum())
            raise InputError(
                f"{hidden} of {count.numel()} coefficients are shown by fewer than {_FEWEST} of {len(y)} images, so"
                " that nothing is known of them; damage that is elsewhere in other images shows all"
            )
        mean = total / count
        for some, c, n in _blocks(y, noise, basis):
            seen = torch.isfinite(n).expand(len(some), *shape)
            square += torch.where(seen, (c - mean).abs().square() - torch.where(seen, n, 0), 0).sum(0)
        # Of few images each power is known roughly: below nothing there is nothing.
        return GaussianPrior(mean, (square / (count - 1)).clamp(min=0), basis, count)

    @property
    def statistics(self) -> DataStatistics:
        """As statistics of the clean data."""
        return DataStatistics(self.basis.inverse(self.mean), self.spectrum, int(self.shown.min()), self.basis)

    @staticmethod
    def of(statistics: DataStatistics) -> GaussianPrior:
        """Of data whose statistics are known."""
        mean, spectrum = statistics.basis.forward(statistics.mean.double()), statistics.spectrum.double()
        return GaussianPrior(mean, spectrum, statistics.basis, torch.full_like(spectrum, statistics.count))

    def draw(self, y: Tensor, noise: Tensor, seed: int = 0, draw: int = 0, first: int = 0) -> Tensor:
        """One draw of the closed-form posterior of each image; arguments as for `posterior`."""
        check_noise(noise, len(y), self.basis)
        parts = torch.arange(len(y)).split(_TOGETHER)
        own = (noise[some] if len(noise) == len(y) else noise for some in parts)
        return torch.cat(
            [self.drawn(y[some], n, _streams(seed, draw, some + first)) for some, n in zip(parts, own, strict=True)]
        )

    def drawn(self, y: Tensor, noise: Tensor, generators: Sequence[Generator]) -> Tensor:
        """`m + V/(V + N) (y - m) + sqrt(V N/(V + N)) xi`, frequency by frequency, `V = S`."""
        n, v = noise.double(), self.spectrum
        gain = weight_of(v, n)
        left = torch.where(torch.isinf(n), v, gain * torch.where(torch.isinf(n), 0.0, n))
        c = self.basis.forward(y.double())
        xi = self.basis.forward(randn(y.shape, generators, torch.float64))
        return self.basis.inverse(self.mean + gain * (c - self.mean) + left.sqrt() * xi).to(y.dtype)


@dataclass(frozen=True)
class Judged:
    """What draws are worth where something was hidden from them that the damaged image shows.

    Attributes:
        errors: `E|y - m|^2` of each image, `m` the mean of all draws, over the mean power of `y` there, `(B,)`.
        power: Power of the draws where the images hide something, over that of images that show it.
    """

    errors: Tensor
    power: float

    @property
    def error(self) -> float:
        """The mean over images."""
        return float(self.errors.mean())

    def better_by(self, other: Judged) -> tuple[float, float]:
        """How much less error there is than another has on the same images, and the standard error of that."""
        gained = other.errors - self.errors
        return float(gained.mean()), float(gained.std() / math.sqrt(len(gained)))


def judged(
    draws: tuple[Tensor, Tensor], y: Tensor, hidden: Tensor, noise: Tensor, mean: Tensor, basis: Basis
) -> Judged:
    """What two draws of each image, independent given what they were shown, tell of their law.

    `Re (y - d_1)* (y - d_2)` is without bias for `|y - m|^2`, `m` the mean of all draws, since the draws scatter
    independently; and that is `|x - m|^2` and the damage's own power, which no draw changes.

    Args:
        draws: Both, `(B, C, *spatial)`.
        y: The damaged images.
        hidden: 1 where the draws were not shown what `y` shows, `(B|1, C|1, *coefficients)`.
        noise: `N(f)` that the draws were told, likewise.
        mean: The mean of the data `(C, *spatial)`.
        basis: Of both.
    """
    one, two, shown, m = (basis.forward(x.double()) for x in (*draws, y, mean[None].to(y)))
    weight = (hidden * basis.multiplicity()).expand_as(shown.real)
    product = (weight * ((shown - one).conj() * (shown - two)).real).flatten(1).sum(1)
    power = (weight * (shown - m).abs().square()).flatten(1).sum(1)
    drawn = torch.isinf(noise).expand_as(shown.real).double()
    return Judged(product / power.mean().clamp(min=_LEAST), _power(one - m, shown - m, drawn, basis))


def _power(drawn: Tensor, shown: Tensor, where: Tensor, basis: Basis) -> float:
    """Power of what was drawn over that of what other images show at these radii; NaN if none do."""
    own, all_of = by_ring(where, basis).sum((0, 1)), by_ring(1 - where, basis).sum((0, 1))
    mine, theirs = (by_ring(w * c.abs().square(), basis).sum((0, 1)) for w, c in ((where, drawn), (1 - where, shown)))
    both = (own > 0) & (all_of > 0)
    expected = (theirs[both] / all_of[both] * own[both]).sum()
    return float(mine[both].sum() / expected) if both.any() and expected > 0 else math.nan


def _blocks(y: Tensor, noise: Tensor, basis: Basis) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Numbers, coefficients and noise of some images at a time."""
    for some in torch.arange(len(y)).split(_TOGETHER):
        yield some, basis.forward(y[some].double()), (noise[some] if len(noise) == len(y) else noise).double()


def _kind(basis: Basis) -> torch.dtype:
    return basis.forward(torch.zeros(basis.spatial, dtype=torch.float64)).dtype


def _streams(seed: int, draw: int, numbers: Tensor) -> list[Stream]:
    """One for each image, keyed by its number and that of the draw."""
    return [generator_for(seed, "posterior", number, draw) for number in numbers.tolist()]
