"""Rain as it is: line segments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sagd.data.corruption.base import Assumptions, Corruption, Shape
from sagd.data.corruption.canvas import coordinates, keys
from sagd.errors import InputError
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.checks import require_finite
from sagd.noise.spectra.damage import Wedge
from sagd.random import Generator, uniform_at

_CHUNK = 4096
"""Segments that are drawn at a time."""


@dataclass(frozen=True)
class Streaks(Corruption, kind="streaks"):
    """Rain and scratches as they are: bright segments of about one direction, in all channels alike; images only.

    Their places are any, their lengths vary by half; streaks only brighten, so their mean is not zero, and being short
    and of many directions they leak out of their wedge.

    Args:
        level: Root mean square per data value.
        angle: Direction of the streaks in degrees from upright.
        jitter: How far directions differ, root mean square, in degrees.
        length: Mean length of a streak, in samples, or with a unit.
        width: Its width, as the standard deviation of its profile across, likewise.
        density: Streaks per data value.
        fixed: Drawn once per image.
    """

    measures: ClassVar[Mapping[str, int]] = {"length": 1, "width": 1}
    level: float = 0.3
    angle: float = 10.0
    jitter: float = 3.0
    length: float | str = 20.0
    width: float | str = 0.7
    density: float = 0.004
    fixed: bool = True

    @property
    def assumptions(self) -> Assumptions:
        """What holds for it."""
        return Assumptions(banded=False, zero_mean=False, gaussian=False)

    def __post_init__(self) -> None:
        self._check()
        require_finite("streaks angle", self.angle)
        self._require_numbers("length", "width", "jitter")
        require_finite("streaks density", self.density)
        if (not isinstance(self.length, str) and self.length < 2) or not 0 < self.density < 1:
            raise InputError(
                f"streaks need length >= 2 samples and density in (0, 1), got {self.length} and {self.density}"
            )
        if not isinstance(self.width, str) and self.width < 0.5:
            raise InputError(f"streaks width must be at least 0.5 samples, got {self.width}; narrower ones are dots")

    def noise(self, shape: Shape, generators: Sequence[Generator], seed: int = 0) -> Tensor:
        """Segments of random brightness."""
        if len(shape) != 3:
            raise InputError(f"streaks are for images (2 spatial axes), the data has {len(shape) - 1}")
        drawn = [self._drawn(shape[1:], g) for g in generators]
        return torch.stack(drawn).float().unsqueeze(1).expand(-1, *shape)

    def band(self, spatial: Shape, seed: int = 0) -> Spectrum:
        """Directions across the streaks."""
        if len(spatial) != 2:
            raise InputError(f"streaks are for images (2 spatial axes), the data has {len(spatial)}")
        width = min(50.0 + 4 * self.jitter, 170.0)
        return Wedge(angle=-self.angle % 180, width=width, low=0.02)

    def _drawn(self, spatial: Shape, g: Generator) -> Tensor:
        """The streaks of one image, `(H, W)`."""
        key, length, width = keys(g), self._number("length"), self._number("width")
        reach = math.ceil(0.75 * length + 4 * width + 1)
        # Streaks begin on a canvas that is larger by as far as one reaches.
        places = coordinates(tuple(n + 2 * reach for n in spatial)).flatten(1).long() - reach
        places = places[:, uniform_at(next(key), places) < self.density]
        offsets = torch.stack([uniform_at(next(key), places) for _ in spatial])
        angles = math.radians(self.angle) + math.radians(self.jitter) * torch.special.ndtri(
            uniform_at(next(key), places)
        )
        lengths = length * (0.5 + uniform_at(next(key), places))
        brightness = -torch.log(uniform_at(next(key), places))
        canvas = torch.zeros(math.prod(n + 4 * reach + 1 for n in spatial), dtype=torch.float64)
        patch = coordinates((2 * reach + 1,) * 2).flatten(1).long() - reach
        for part in torch.arange(places.shape[1]).split(_CHUNK):
            rows, columns = (patch.unsqueeze(1) - offsets[:, part].unsqueeze(2)).unbind()
            cos, sin = angles[part].cos().unsqueeze(1), angles[part].sin().unsqueeze(1)
            along, across = rows * cos + columns * sin, columns * cos - rows * sin
            inside = (lengths[part].unsqueeze(1) / 2 + 0.5 - along.abs()).clamp(0, 1)
            values = brightness[part].unsqueeze(1) * inside * torch.exp(-((across / width) ** 2) / 2)
            at = patch.unsqueeze(1) + places[:, part].unsqueeze(2) + 2 * reach
            canvas.index_add_(0, (at[0] * (spatial[1] + 4 * reach + 1) + at[1]).flatten(), values.flatten())
        canvas = canvas.reshape([n + 4 * reach + 1 for n in spatial])
        drawn = canvas[2 * reach : 2 * reach + spatial[0], 2 * reach : 2 * reach + spatial[1]]
        return self.level / math.sqrt(self._square(length, width)) * drawn

    def _square(self, length: float, width: float) -> float:
        """Mean square of shot noise; brightness is exponential: E a = 1, E a^2 = 2."""
        p, area = self.density, length * width * math.sqrt(2 * math.pi)
        energy = (length - 1 / 3) * width * math.sqrt(math.pi)
        return 2 * p * energy + (p * area) ** 2
