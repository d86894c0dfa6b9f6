"""Stripes as they are: they end, drift and vary."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sagd.data.corruption.base import Assumptions, Corruption, Shape
from sagd.data.corruption.canvas import GUARD, SLOPE, keys, normal_at, pieces, smooth, turned
from sagd.errors import InputError
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.checks import require_finite
from sagd.noise.spectra.damage import Stripes
from sagd.random import Generator, uniform_at

_RAMP = 0.2
"""Part of its length over which a stripe fades where it ends."""


@dataclass(frozen=True)
class Curtains(Corruption, kind="curtains"):
    """Stripes as they are (curtaining, scan lines): at any angle, they end, drift and vary along and across.

    In all channels alike. In volumes the wave vector lies in the plane of the last two axes, and stripes are sheets
    that end along the others too. Ends, drift and turning leak out of the band, which has a guard for it; so do means.

    Args:
        level: Root mean square per data value.
        angle: Direction of their wave vector in degrees, as of `stripes`: 0 for upright ones, 90 for lying ones.
        width: Width of a stripe, in samples, or with a unit.
        length: Distance over which stripes end, vary and drift, likewise.
        ends: Share of the pieces of this length that are missing.
        vary: How much strength varies from piece to piece, root mean square, as a share of it.
        drift: How far stripes move sideways, root mean square, in samples.
        fixed: Drawn once per image.
    """

    measures: ClassVar[Mapping[str, int]] = {"width": 1, "length": 1}
    level: float = 0.3
    angle: float = 0.0
    width: float | str = 2.0
    length: float | str = 200.0
    ends: float = 0.3
    vary: float = 0.3
    drift: float = 1.0
    fixed: bool = True

    @property
    def assumptions(self) -> Assumptions:
        """What holds for it."""
        return Assumptions(banded=False, gaussian=not (self.ends or self.vary or self.drift))

    def __post_init__(self) -> None:
        self._check()
        require_finite("curtains angle", self.angle)
        self._require_numbers("width", "length", "ends", "vary", "drift")
        if not isinstance(self.width, str) and self.width < 1:
            raise InputError(f"curtains width must be at least 1 sample, got {self.width}")
        if not self.ends < 1:
            raise InputError(f"curtains ends must be less than 1, a share that is missing, got {self.ends}")

    def noise(self, shape: Shape, generators: Sequence[Generator], seed: int = 0) -> Tensor:
        """White strengths, constant in pieces across and along."""
        across, along = self._coordinates(shape[1:])
        drawn = [self._drawn(across, along, g) for g in generators]
        return torch.stack(drawn).float().unsqueeze(1).expand(-1, *shape)

    def band(self, spatial: Shape, seed: int = 0) -> Spectrum:
        """A strip along the wave vector, without the mean; as wide as the stripes are short and crooked."""
        self._coordinates(spatial)
        length = self._number("length")
        bent = (2 if self.ends or self.vary else 0) / length + 2 * SLOPE * self.drift / length
        guard = bent + (GUARD / min(spatial) if bent or self.angle % 90 else 0)
        return Stripes(self.angle, low=round(0.5 / max(spatial), 4), width=round(min(2 * guard, 1.0), 4))

    def _coordinates(self, spatial: Shape) -> tuple[Tensor, Tensor]:
        if len(spatial) < 2:
            raise InputError(f"curtains are for images and volumes, the data has {len(spatial)} spatial axis")
        return turned(spatial, self.angle)

    def _drawn(self, across: Tensor, along: Tensor, g: Generator) -> Tensor:
        """The stripes of one image, `(*spatial)`."""
        key = keys(g)
        width, slow = self._number("width"), along / self._number("length")
        moved = across + self.drift * smooth(next(key), slow) if self.drift else across
        strengths, shifts, lengths, missing = (next(key) for _ in range(4))
        origin = uniform_at(next(key), torch.zeros(1, 1, dtype=torch.int64))
        stripe, share = pieces(moved / width + origin, 1 / width)
        total = torch.zeros_like(across)
        for step, weight in ((0, 1 - share), (1, share)):
            number = (stripe + step).unsqueeze(0)
            strength = self._along(number, slow, shifts, lengths, missing) if self.ends or self.vary else 1.0
            total += weight * normal_at(strengths, number) * strength
        kept = 1 - self.ends
        # E g and Var g of a piece; the ramp between pieces takes a part of the variance.
        variance = kept * (1 + self.vary**2) - kept**2
        square = kept**2 + variance * (1 - _RAMP / 3) ** len(along)
        return self.level / math.sqrt(square * (1 - 1 / width / 3)) * total

    def _along(self, number: Tensor, slow: Tensor, shifts: int, lengths: int, missing: int) -> Tensor:
        """Strength of stripes of these numbers along them; the pieces of each begin elsewhere."""
        parts = [pieces(at + uniform_at(shifts + axis, number), _RAMP) for axis, at in enumerate(slow)]
        total = torch.zeros_like(slow[0])
        for corner in range(2 ** len(parts)):
            steps = [corner >> axis & 1 for axis in range(len(parts))]
            places = torch.cat([number, *((k + s).unsqueeze(0) for (k, _), s in zip(parts, steps, strict=True))])
            weight = torch.ones(())
            for (_, share), s in zip(parts, steps, strict=True):
                weight = weight * (share if s else 1 - share)
            piece = (1 + self.vary * normal_at(lengths, places)) * (uniform_at(missing, places) >= self.ends)
            total += weight * piece
        return total
