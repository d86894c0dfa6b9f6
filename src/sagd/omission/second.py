"""A second, known damage laid over damaged data, which tells what a network has learnt of the first.

A network that never sees a band `b`, trained against damaged data `y = x + n`, predicts `E[y_b | rest]`. That is
`E[x_b | rest]` only if nothing of the damage is left in the rest; what leaks there, of waves between two frequencies of
the grid, of stripes that end, of all that was clipped, tells the network the damage, and neither held-out data nor any
error against damaged data betrays that. But a damage `d` of the same law that was laid on by hand is known:

    E[n* m(y)] = E[d* (m(y + d) - m(y))],

exactly if the prediction `m` is linear, so that the part of `E[y* m]` which is damage can be taken off, frequency by
frequency: `E[x* m] = E[y* m] - E[n* m]`, without a clean image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.bands import mask
from sagd.noise.basis.base import EDGE, Basis
from sagd.noise.basis.fourier import FourierBasis, half_counts
from sagd.noise.basis.wavelet import WaveletBasis
from sagd.noise.spectra.base import Spectrum
from sagd.omission.guard import has_edges
from sagd.omission.waves import Waves
from sagd.random import Generator, generator_for

_LARGER = (4, 8, 16, 32)
"""Sides of the canvas that damage is drawn on, in those of the data: as many as show the band."""
_DRAWS = 256
"""Draws that the power of a canvas in the band of the data is taken from."""
_AT_A_TIME = 2**20
"""Frequencies of a canvas that are looked at at a time."""


@dataclass(frozen=True)
class SecondDamage:
    """Damage of measured power and place, drawn in continuous coordinates: on a larger canvas, and cropped.

    Args:
        band: Where the damage was measured.
        power: What it adds to the power there, by frequency of the basis, `(C, *coefficients)`.
        basis: Basis of the data, which leaves its channels as they are.
        line: Where damage is drawn: as wide as it is known to be, which may be less than the basis tells apart; the
            band by default.
        clean: Clean spectrum there, `(C, *coefficients)`, as smooth as its surroundings; None: it is not known.

    Raises:
        InputError: If there is no power in the band.
    """

    band: Spectrum
    power: Tensor
    basis: Basis
    line: Spectrum | None = None
    clean: Tensor | None = None

    def __post_init__(self) -> None:
        if not (self.power[..., self._inside].sum() > 0):
            raise InputError(f"the data has no power over its smooth fit in {self.band.label}; name another band")

    @cached_property
    def _inside(self) -> Tensor:
        b = mask(self.band, self.basis) > 0
        return b.any(0) if b.ndim > len(self.basis.coefficients) else b

    def alarm(self, power: Tensor) -> float | None:
        """Power of a prediction over the clean spectrum, where the damage is: more than 1 is damage drawn back.

        Args:
            power: `E |m|^2` about the mean, `(C, *coefficients)`.
        """
        if self.clean is None:
            return None
        weight = self.basis.multiplicity() * self._inside * self.power.clamp(min=0)
        over = power / self.clean.clamp(min=1e-12 * float(self.clean.max()))
        return float((weight * over).sum() / weight.sum())

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Damage `(count, C, *spatial)`, the same in all channels but for its strength, float32."""
        return (self._strength * self._raw(count, generator)).float()

    @cached_property
    def _waves(self) -> Waves:
        """Those of the line's frequencies on a canvas, as strong as the nearest frequency of the data."""
        line, spatial = self.line or self.band, self.basis.spatial
        for larger in _LARGER:
            canvas = tuple(larger * n for n in spatial)
            frequencies, b = _held(line, canvas, _near(line, spatial))
            if len(b):
                break
        else:
            raise InputError(f"{line.label} is too narrow to draw damage of; widen it")
        level = self._level[tuple(self._nearest(frequencies))]
        if not level.any():  # what was measured is all beside the line
            level = torch.ones_like(level)
        # Each coefficient stored of a half spectrum is a wave of the variance that it adds to every value.
        counts = half_counts(canvas[-1])[(frequencies[-1] * canvas[-1]).round().long()]
        return Waves(frequencies, b * (level * counts / math.prod(canvas)).sqrt(), spatial, canvas)

    @property
    def _level(self) -> Tensor:
        """Power by coefficient, `(*coefficients)`; of wavelets, of which one may have none, the mean of the subband."""
        power = self.power.mean(0).clamp(min=0)
        if not isinstance(self.basis, WaveletBasis):
            return power
        own, subband = self.basis.frequencies().flatten(1).unique(dim=1, return_inverse=True)
        total = power.new_zeros(own.shape[1]).index_add_(0, subband, power.flatten())
        return (total / subband.bincount())[subband].reshape(power.shape)

    def _nearest(self, frequencies: Tensor) -> list[Tensor]:
        """Along each axis the number of the coefficient nearest to frequencies `(n, K)`."""
        found, known = [], self.basis.frequencies()
        for axis, f in enumerate(frequencies):
            own = known[axis].movedim(axis, 0).reshape(known.shape[axis + 1], -1)[:, 0]  # of a grid
            f = f if bool((own < 0).any()) else f.abs()
            one, places = f.unique(return_inverse=True)
            found.append((one[:, None] - own.to(f)).abs().argmin(1)[places])
        return found

    def _raw(self, count: int, generator: Generator) -> Tensor:
        return self._waves.draw(count, generator)[:, None]

    @cached_property
    def _strength(self) -> Tensor:
        """By channel, `(C, 1, ...)`: as much power in the band as was measured."""
        raw = self._raw(_DRAWS, generator_for(0, "second damage"))
        own = self.basis.forward(raw).abs().square().mean((0, 1))
        weight = self.basis.multiplicity() * self._inside
        wanted = (weight * self.power.clamp(min=0)).flatten(1).sum(1)
        return (wanted / (weight * own).sum()).sqrt().reshape(-1, *(1,) * len(self.basis.spatial))


def _held(line: Spectrum, canvas: tuple[int, ...], near: Sequence[_Near] | None) -> tuple[Tensor, Tensor]:
    """The frequencies of a canvas that a line holds, `(rank, K)`, and how far, `(K,)`; a slab of it at a time."""
    axes = FourierBasis(canvas).axis_frequencies()
    if near is not None:
        axes = [own.of(f) for f, own in zip(axes, near, strict=True)]
    if not all(map(len, axes)):
        return torch.zeros(len(axes), 0, dtype=torch.float64), torch.zeros(0, dtype=torch.float64)
    found = []
    for slab in axes[0].split(max(1, _AT_A_TIME // max(1, math.prod(map(len, axes[1:]))))):
        frequencies = torch.stack(torch.meshgrid(slab, *axes[1:], indexing="ij"))
        b = line.weights(frequencies).double().clamp(0, 1)
        b = b.amax(0) if b.ndim > len(axes) else b
        b = torch.where((frequencies == 0).all(0), 0.0, b)
        found.append((frequencies[:, b > 0], b[b > 0]))
    return torch.cat([f for f, _ in found], dim=1), torch.cat([b for _, b in found])


@dataclass(frozen=True, eq=False)
class _Near:
    """Frequencies along an axis that are nearest to those of some coarse bins.

    Attributes:
        bins: In cycles per sample, `(n,)`.
        reach: Half the distance between bins.
    """

    bins: Tensor
    reach: float

    def of(self, f: Tensor) -> Tensor:
        """Which of some frequencies are, on the torus."""
        away = f[:, None] - self.bins
        return f[((away - away.round()).abs() <= self.reach + EDGE).any(1)]


def _near(line: Spectrum, spatial: tuple[int, ...]) -> list[_Near] | None:
    """Where a line may be, by its distance from the bins of the data; None where that tells nothing, as of soft edges.

    A canvas that shows a narrow line holds too many frequencies to look at all of them.
    """
    if not (_is_sharp(line) and has_edges(line, len(spatial))):
        return None
    frequencies = FourierBasis(spatial).frequencies()
    reach = math.hypot(*(0.5 / n for n in spatial))
    at = line.distance(frequencies) <= reach + EDGE
    return [_Near(f[at].unique(), 0.5 / n) for f, n in zip(frequencies, spatial, strict=True)]


def _is_sharp(band: Spectrum) -> bool:
    """Whether it is of shapes with hard edges alone, in cycles per sample."""
    if band.parts:
        return not getattr(band, "soft", 0.0) and all(map(_is_sharp, band.parts))
    return getattr(band, "soft", None) == 0
