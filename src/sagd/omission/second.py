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

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.bands import mask
from sagd.noise.basis.base import Basis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.random import Generator, generator_for, randn

_LARGER = (4, 8, 16, 32)
"""Sides of the canvas that damage is drawn on, in those of the data: as many as show the band."""
_DRAWS = 256
"""Draws that the power of a canvas in the band of the data is taken from."""


@dataclass(frozen=True)
class SecondDamage:
    """Damage of measured power and place, drawn in continuous coordinates: on a larger canvas, and cropped.

    Args:
        band: Where the damage was measured.
        power: What it adds to the power there, by frequency of the basis, `(C, *coefficients)`.
        basis: Basis of the data.
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
    def _canvas(self) -> tuple[FourierBasis, Tensor]:
        """Basis of the canvas, and standard deviations there: those of the nearest frequency of the data."""
        for larger in _LARGER:
            basis = FourierBasis(tuple(larger * n for n in self.basis.spatial))
            frequencies = basis.frequencies()
            b = (self.line or self.band).weights(frequencies).double().clamp(0, 1)
            b = b.amax(0) if b.ndim > basis.rank else b
            b[basis.radius() == 0] = 0
            if (b > 0).any():
                break
        else:
            raise InputError(f"{(self.line or self.band).label} is too narrow to draw damage of; widen it")
        at = b.nonzero().T
        level = self.power.mean(0).clamp(min=0)[tuple(self._nearest(frequencies[(slice(None), *at)]))]
        deviation = torch.zeros_like(b)
        deviation[tuple(at)] = b[tuple(at)] * level.sqrt()
        return basis, deviation

    def _nearest(self, frequencies: Tensor) -> list[Tensor]:
        """Along each axis the number of the coefficient nearest to frequencies `(n, K)`."""
        found, known = [], self.basis.frequencies()
        for axis, f in enumerate(frequencies):
            own = known[axis].movedim(axis, 0).reshape(known.shape[axis + 1], -1)[:, 0]  # of a grid
            f = f if bool((own < 0).any()) else f.abs()
            found.append((f[:, None] - own.to(f)).abs().argmin(1))
        return found

    def _raw(self, count: int, generator: Generator) -> Tensor:
        basis, deviation = self._canvas
        crop = tuple(slice(0, n) for n in self.basis.spatial)
        drawn = []
        for _ in range(count):
            xi = randn((1, *basis.spatial), generator, torch.float64)
            drawn.append(basis.inverse(deviation * basis.forward(xi))[(slice(None), *crop)])
        return torch.stack(drawn)

    @cached_property
    def _strength(self) -> Tensor:
        """By channel, `(C, 1, ...)`: as much power in the band as was measured."""
        raw = self._raw(_DRAWS, generator_for(0, "second damage"))
        own = self.basis.forward(raw).abs().square().mean((0, 1))
        weight = self.basis.multiplicity() * self._inside
        wanted = (weight * self.power.clamp(min=0)).flatten(1).sum(1)
        return (wanted / (weight * own).sum()).sqrt().reshape(-1, *(1,) * len(self.basis.spatial))


@torch.no_grad()
def drawn_back(
    predict: Callable[[Tensor], Tensor],
    images: Iterable[Tensor],
    damage: SecondDamage,
    generator: Generator,
) -> Tensor:
    """`E[n* m]`, what a prediction holds of the damage, `(C, *coefficients)`, float64; for a multiple of 1, `N`.

    Args:
        predict: What the model makes of damaged images.
        images: Batches of damaged images that were not trained on, `(B, C, *spatial)`.
        damage: Of the law of theirs.
        generator: Of the second damage.
    """
    total, count = torch.zeros(0), 0
    for y in images:
        d = damage.draw(len(y), generator).to(y)
        change = damage.basis.forward((predict(y + d) - predict(y)).double().cpu())
        cross = (damage.basis.forward(d.double().cpu()).conj() * change).real.sum(0)
        total, count = cross if not count else total + cross, count + len(y)
    if not count:
        raise InputError("there are no images to lay a second damage on")
    return total / count
