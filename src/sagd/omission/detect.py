"""Finding the damaged band of a data set: where its spectrum sticks out of what is smooth, or of a clean reference.

1. The power spectrum of the *periodic component* of the images (Moisan, 2011), which lacks the cross that borders which
   do not meet leave on the axes.
2. A smooth fit to its logarithm: polynomials in radius and log radius, and low harmonics of the direction, robust
   against excess, since damage only adds power. The rest, in dB, is the excess `e(f)`.
3. A search over the shapes of damage: rings, strips along an axis, wedges, spots. The `contrast` of a shape is the mean
   of `e` inside less that of the nearest frequencies beside it, on the side where that is larger: a smooth spectrum
   that the fit misses has little of it, a band with edges has its whole excess. The shape that explains most,
   `n contrast^2`, is widened to what of its kind still sticks out around it and taken out; the fit is repeated without
   it, and so on.
4. Damage is in most images, and content in some: what sticks out does so in the spectrum of a *typical* image as well,
   the geometric mean over images, in which what few images have counts for little. Waves may differ from image to image
   by some steps of the grid.

Against a reference, `e` is the ratio of the mean powers, means included, less its median, and needs no fit.

Source of 1: "Periodic plus Smooth Image Decomposition" (Moisan, 2011).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.bands import mask
from sagd.noise.basis.base import corner_radius
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Product, Spectrum
from sagd.noise.spectra.damage import Ring, Spots, Strip, Wedge
from sagd.noise.spectra.tables import RadialTable
from sagd.omission.detection.base import ENLARGED, empty_share, excess_of
from sagd.omission.detection.plane import unfolded
from sagd.omission.detection.smooth import robust_fit
from sagd.omission.detection.windows import FLOOR, mean_power
from sagd.random import generator_for, subset

DECIBEL = 10 / math.log(10)
LEAST_IMAGES = 16
_LEAST_SIDE = 8
_MOST = 6
"""Shapes taken out at most."""
_Z = 6.0
"""Standard errors that a contrast must exceed."""

THRESHOLDS = {"ring": 3.0, "edge": 6.0, "strip": 4.0, "wedge": 4.0, "spots": 5.0}
"""Least contrast in dB by shape; `edge` is a ring that reaches DC or the corner, with neighbours on one side only."""
LEAST_EXCESS = 1.0
"""Contrast in dB that frequencies around a found shape need to be counted in, at least."""
LEAST_PART = 0.25
"""The same, around rings, as a part of the contrast: what damage adds elsewhere falls off along the shape."""
STEEP = 0.1
"""Contrast in dB that a ring needs more, by each dB that the fit falls across it and its sides: where a spectrum is
steep, a fit is less certain."""
_TYPICAL = 1024
"""Images that tell what is typical, at most."""
_LOUDEST = 0.25
"""Share of the images that are left out of the typical one: a row of roof tiles is in few pieces of a photograph."""
_WANDERS = 3
"""Steps of the grid by which the frequency of a wave may differ from image to image, at most."""
_ROUNDING = 1e-24
"""Power, as a part of the largest value's, that is no more than rounding."""
_STEPS = 40
"""Of the fit, which has few frequencies to go by in small images."""
REFERENCE_THRESHOLD = 1.0
"""Least contrast in dB against a reference."""


@dataclass(frozen=True)
class Finding:
    """One shape that sticks out.

    Attributes:
        band: The shape.
        excess: Mean of its excess over its neighbours, in dB.
        peak: Largest excess over the smooth fit, in dB.
        share: Share of all frequencies.
        confidence: `1 - exp(-(excess / threshold)^2 ln 20)`, by the excess in a typical image where that is less: 0.95
            at the threshold, which clean data seldom reaches.
    """

    band: Spectrum
    excess: float
    peak: float
    share: float
    confidence: float

    def __str__(self) -> str:
        return (
            f"{self.band}: {self.excess:.1f} dB over its neighbours (at most {self.peak:.1f} dB over the fit),"
            f" {100 * self.share:.1f} % of the frequencies, confidence {self.confidence:.3f}"
        )


@dataclass(frozen=True)
class Detection:
    """What was found, and what it was found in.

    Attributes:
        findings: Shapes that stick out, the most conspicuous first.
        power: Power spectrum that was examined, channels averaged, `(*coefficients)`, float64.
        smooth: Its smooth fit, or the reference's scaled to it, likewise.
        basis: Their basis.
        nearest: Largest contrast of what was not found, in units of its threshold.
    """

    findings: tuple[Finding, ...]
    power: Tensor
    smooth: Tensor
    basis: FourierBasis
    nearest: float

    @property
    def band(self) -> Spectrum | None:
        """The union of the findings; None if there are none."""
        bands = [finding.band for finding in self.findings]
        spots = [band for band in bands if isinstance(band, Spots)]
        parts: list[Spectrum] = [band for band in bands if not isinstance(band, Spots)]
        if spots:
            parts.append(Spots(tuple(f for band in spots for f in band.at), max(band.radius for band in spots)))
        return reduce(lambda one, other: one + other, parts) if parts else None

    @property
    def excess(self) -> Tensor:
        """`e(f)` in dB, 0 at DC."""
        return excess_of(self.power, self.smooth, self.basis)

    @property
    def empty(self) -> float:
        """Share of the frequencies that hold less than `EMPTY` of the mean power."""
        return empty_share(self.power, self.basis)

    @property
    def missed(self) -> str:
        """How near the nearest is that was not found."""
        return f"the largest contrast is {100 * self.nearest:.0f} % of what would count"

    def lines(self, images: bool = True) -> list[str]:
        """For people.

        Args:
            images: Whether the data is images, which may have been enlarged.
        """
        caution = []
        if self.empty > ENLARGED:
            what = "the images look enlarged or smoothed" if images else "the data looks smoothed"
            cure = "; look at them in their original size" if images else ""
            caution = [
                f"  {what}: {100 * self.empty:.0f} % of their frequencies hold next to nothing, of a form that can be"
                f" taken for damage{cure}"
            ]
        if not self.findings:
            return [
                f"damaged band: none found ({self.missed})",
                *caution,
            ]
        return ["damaged band:", *(f"  {finding}" for finding in self.findings), *caution]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "band": None if self.band is None else str(self.band),
            "nearest": self.nearest,
            "empty": self.empty,
            "findings": [
                {
                    "band": str(f.band),
                    "excess_db": f.excess,
                    "peak_db": f.peak,
                    "share": f.share,
                    "confidence": f.confidence,
                }
                for f in self.findings
            ],
        }


def detect(x: Tensor, reference: Tensor | None = None) -> Detection:
    """Find the damaged band of images.

    Damage that is the same in all images is a mean, which shows only against a reference.

    Args:
        x: Images `(N, C, *spatial)`, floating point, at least 16 of at least 8 samples a side.
        reference: Clean images of the same kind, `(M, C, *spatial)`.

    Raises:
        InputError: On too few or too small images, or a reference of another shape.
    """
    _check(x, "images")
    basis = FourierBasis(tuple(x.shape[2:]))
    if reference is None:
        power = _power(x, basis, x.mean(0, dtype=torch.float64))
        return _Search(power, basis, len(x) * x.shape[1], typical=_Typical(x, basis)).run()
    _check(reference, "reference images")
    if x.shape[1:] != reference.shape[1:]:
        raise InputError(f"images are {tuple(x.shape[1:])}, those of the reference {tuple(reference.shape[1:])}")
    count = min(len(x), len(reference)) * x.shape[1]
    return _Search(_power(x, basis), basis, count, _power(reference, basis)).run()


def excess_spectrum(found: Detection, band: Spectrum | str, knots: int = 12) -> Spectrum:
    """`c(f)`, the standard deviation of the damage: the root of the power over the smooth fit, averaged over radii.

    Args:
        found: A detection on the damaged data.
        band: Where the damage is.
        knots: Radii inside the band at which it is tabulated, at most.

    Raises:
        InputError: If there is nothing over the fit in the band.
    """
    band, basis = Spectrum.parse(band), found.basis
    b, rho = mask(band, basis), basis.relative_radius()
    w = torch.where(b > 0, basis.multiplicity(), 0.0)
    power = (found.power - found.smooth).clamp(min=0)
    low, high = float(rho[b > 0].min()), float(rho[b > 0].max())
    index = ((rho - low) / max(high - low, 1e-9) * knots).long().clamp(0, knots - 1).flatten()
    total, count, place = (
        torch.zeros(knots, dtype=torch.float64).index_add_(0, index, (w * v).flatten())
        for v in (power, torch.ones_like(rho), rho)
    )
    known = count > 0
    c = (total[known] / count[known]).sqrt()
    if not (c > 0).all():
        raise InputError(f"the data has no power over its smooth fit in {band.label}; name the spectrum of the damage")
    at = place[known] / count[known]
    return Product((band, RadialTable(tuple(at.tolist()), tuple(c.tolist()))))


def _check(x: Tensor, what: str) -> None:
    if x.ndim < 3 or not x.is_floating_point():
        raise InputError(f"{what} must be floating point (N, C, *spatial), got {x.dtype} {tuple(x.shape)}")
    if len(x) < LEAST_IMAGES or min(x.shape[2:]) < _LEAST_SIDE:
        size = " x ".join(map(str, x.shape[2:]))
        raise InputError(
            f"detection needs at least {LEAST_IMAGES} {what} of at least {_LEAST_SIDE} samples a side,"
            f" got {len(x)} of {size}; name the band instead"
        )


def periodic_component(x: Tensor) -> Tensor:
    """Fields `(*, *spatial)` less the smooth component that makes their borders jump, `(B, C, *spatial)`, float64."""
    x = x.double()
    axes = range(2, x.ndim)
    jumps = torch.zeros_like(x)
    for axis in axes:
        jump = x.select(axis, -1) - x.select(axis, 0)
        jumps.select(axis, 0).add_(jump)
        jumps.select(axis, -1).sub_(jump)
    basis = FourierBasis(tuple(x.shape[2:]))
    laplacian = (2 * torch.cos(2 * math.pi * basis.frequencies().double()) - 2).sum(0)
    smooth = torch.where(laplacian < 0, basis.forward(jumps) / torch.where(laplacian < 0, laplacian, 1.0), 0.0)
    return x - basis.inverse(smooth)


def _power(x: Tensor, basis: FourierBasis, mean: Tensor | None = None) -> Tensor:
    """Mean power of the periodic components over images and channels, about a mean."""
    power = sum((each.sum(0) for each in _powers(x, basis, mean)), torch.zeros(basis.coefficients)) / len(x)
    if not torch.isfinite(power).all():
        raise InputError("images hold non-finite values (NaN or infinity); clean them before looking at their spectrum")
    if not power.max() > _ROUNDING * float(x.abs().max()) ** 2:
        raise InputError("images do not vary; there is no spectrum to look at")
    return power + FLOOR * mean_power(power, basis)


class _Typical:
    """Power of a typical image: at each frequency the geometric mean over images, without those that hold most there.

    Not about their mean, which spreads what few images hold over all.

    Args:
        x: Images.
        basis: That of their coefficients.
    """

    def __init__(self, x: Tensor, basis: FourierBasis) -> None:
        self.basis, self.x = basis, x[subset(len(x), min(len(x), _TYPICAL), generator_for("typical", 0))]
        self.least = _ROUNDING * float(x.abs().max()) ** 2
        self.found: dict[int, Tensor] = {}

    def around(self, reach: int) -> Tensor:
        """In dB, `(*coefficients)`; of the mean power of each image over so many steps to all sides."""
        if reach not in self.found:
            self.found[reach] = self._around(reach)
        return self.found[reach]

    def _around(self, reach: int) -> Tensor:
        basis, logs = self.basis, []
        weight = torch.where(basis.frequencies().abs().amax(0) > 0, basis.multiplicity(), 0.0)
        for power in _powers(self.x, basis):
            mean = (weight * power).flatten(1).sum(1) / weight.sum()
            floored = power + FLOOR * mean.reshape(-1, *(1,) * len(basis.spatial))
            logs.append(self._local(floored[mean > self.least], reach).log().float())
        known = torch.cat(logs)
        if not len(known):  # those that vary are too few to be among these
            return torch.zeros(basis.coefficients, dtype=torch.float64)
        return DECIBEL * known.sort(0).values[: math.ceil((1 - _LOUDEST) * len(known))].double().mean(0)

    def _local(self, power: Tensor, reach: int) -> Tensor:
        """Means over steps to all sides, of `(B, *coefficients)`."""
        if reach == 0:
            return power
        side = self.basis.spatial
        full = unfolded(power, side)
        for axis in range(-len(side), 0):
            full = sum((full.roll(k, axis) for k in range(-reach, reach + 1)), torch.zeros_like(full))
        return full[..., : power.shape[-1]] / (2 * reach + 1) ** len(side)


def _powers(x: Tensor, basis: FourierBasis, mean: Tensor | None = None) -> Iterator[Tensor]:
    """Power of the periodic component of each image, channels averaged, some images at a time."""
    for batch in x.split(512):
        centred = batch if mean is None else batch.double() - mean
        yield basis.forward(periodic_component(centred)).abs().square().mean(1)


@dataclass(frozen=True)
class _Shape:
    """A candidate: its band, the frequencies inside, and those beside it, on one or two sides.

    Attributes:
        step: Those inside that must stick out of the spectrum itself as well, not only of the fit; None: none.
    """

    band: Spectrum
    kind: str
    inside: Tensor
    sides: tuple[Tensor, ...]
    step: Tensor | None = None


class _Search:
    """The greedy search on one spectrum.

    Args:
        power: `(*coefficients)`.
        basis: Their basis.
        count: Independent spectra that were averaged.
        reference: Power of a clean reference.
        typical: A typical image, in whose spectrum a shape is to stick out as well.
    """

    def __init__(
        self,
        power: Tensor,
        basis: FourierBasis,
        count: int,
        reference: Tensor | None = None,
        typical: _Typical | None = None,
    ) -> None:
        self.power, self.basis, self.reference, self.typical = power, basis, reference, typical
        self.frequencies = basis.frequencies().double()
        self.radius = torch.linalg.vector_norm(self.frequencies, dim=0)
        self.weight = torch.where(self.radius > 0, basis.multiplicity(), 0.0)
        self.step = 1 / max(basis.spatial)
        self.floor = FLOOR * mean_power(power, basis)
        self.features = self._features()
        # A power averaged over `count` draws has this error in dB, three times over since images are not Gaussian.
        self.error = 3 * DECIBEL / math.sqrt(count)
        self.halo = self.radius < 1.5 * self.step
        """Where no spots are looked for: next to DC, around larger shapes, whose fringes they would be, and on the
        grid lines through found spots, along which their periodic component leaks."""

    def run(self) -> Detection:
        findings: list[Finding] = []
        taken, nearest = torch.zeros_like(self.weight, dtype=torch.bool), 0.0
        smooth = self.smooth(taken)
        while len(findings) < _MOST:
            e = torch.where(taken, 0.0, DECIBEL * (self.power / smooth).log())
            levels = DECIBEL * smooth.clamp(min=self.floor).log()
            best, contrast, nearest = self.best(e, taken, levels)
            if best is None:
                break
            best, contrast = self.widened(best, contrast, e, taken, levels)
            inside = best.inside & ~taken
            least = min(contrast, self.typically(best, taken, levels)) / self.threshold(best, levels)
            findings.append(
                Finding(
                    best.band,
                    contrast,
                    float(e[inside].max()),
                    float((self.weight * inside).sum() / self.weight.sum()),
                    -math.expm1(-(least**2) * math.log(20)),
                )
            )
            taken = taken | best.inside
            self.halo |= self._lines(best.band) if isinstance(best.band, Spots) else self._grown(best.inside)
            smooth = self.smooth(taken)
        return Detection(tuple(findings), self.power, smooth, self.basis, nearest)

    def threshold(self, shape: _Shape, levels: Tensor) -> float:
        """Least contrast that counts, in dB; more on small grids, where the fit has few frequencies to go by.

        Args:
            shape: What is to count.
            levels: The fit, in dB.
        """
        if self.reference is not None:
            return REFERENCE_THRESHOLD
        steep = 0.0
        if isinstance(shape.band, Ring):
            around = levels[reduce(torch.logical_or, shape.sides, shape.inside) & (self.weight > 0)]
            steep = STEEP * float(around.max() - around.min())
        return (THRESHOLDS[shape.kind] + steep) * (1 + 13 * (self.features.shape[-1] / self.radius.numel()) ** 2)

    def best(self, e: Tensor, taken: Tensor, levels: Tensor) -> tuple[_Shape | None, float, float]:
        """The shape that explains most, its contrast, and the largest rejected contrast, relative to what counts."""
        best, most, its, nearest = None, 0.0, 0.0, 0.0
        scatter = max(self.error, self._scatter(e, taken))
        for shape in self.shapes(e):
            contrast, count, error = self._contrast(shape, e, taken, scatter)
            if count == 0:
                continue
            if shape.step is not None and self.reference is None:
                # At the corner the fit may dip, not the power.
                part = replace(shape, inside=shape.step)
                contrast = min(contrast, self._contrast(part, DECIBEL * self.power.log(), taken, scatter)[0])
            relative = min(contrast / self.threshold(shape, levels), contrast / (_Z * error))
            if relative >= 1:
                relative = min(relative, self.typically(shape, taken, levels) / self.threshold(shape, levels))
            if relative < 1:
                nearest = max(nearest, relative)
            elif count * contrast**2 > most:
                best, most, its = shape, count * contrast**2, contrast
        return best, its, nearest

    def widened(self, best: _Shape, contrast: float, e: Tensor, taken: Tensor, levels: Tensor) -> tuple[_Shape, float]:
        """`best` grown to shapes of its kind, as long as what is added sticks out too, and the contrast of the whole.

        Rings grow in the smallest steps, each of which must stick out by a part of the contrast, since a fit that is
        off is so over many radii. The other shapes grow at once: the damage of a strip drowns at its low frequencies.
        """
        stepwise = isinstance(best.band, Ring)
        least = max(LEAST_EXCESS, LEAST_PART * contrast if stepwise else 0.0)
        shapes = [shape for shape in self.shapes(e) if type(shape.band) is type(best.band)]
        shapes.sort(key=self._size, reverse=not stepwise)
        while True:
            grown = self._grown_once(best, shapes, least, e, taken, levels)
            if grown is None:
                return best, contrast
            best, contrast = grown

    def _grown_once(
        self, best: _Shape, shapes: list[_Shape], least: float, e: Tensor, taken: Tensor, levels: Tensor
    ) -> tuple[_Shape, float] | None:
        """The first of `shapes` around `best` that counts by itself and adds what sticks out by `least`."""
        for shape in shapes:
            if self._size(shape) <= self._size(best) or bool((best.inside & ~shape.inside).any()):
                continue
            added = replace(shape, inside=shape.inside & ~best.inside)
            stands, count, _ = self._contrast(added, e, taken | best.inside, 0.0)
            whole = self._contrast(shape, e, taken, 0.0)[0]
            threshold = self.threshold(shape, levels)
            if not count or stands < least or whole < threshold:
                continue
            if self.typically(shape, taken, levels) >= threshold:
                return shape, whole
        return None

    def typically(self, shape: _Shape, taken: Tensor, levels: Tensor) -> float:
        """Contrast in a typical image, where a spot may be some steps away; infinite where none is known."""
        if self.typical is None:
            return math.inf
        own = self._contrast(shape, self.typical.around(0) - levels, taken, 0.0)[0]
        if not isinstance(shape.band, Spots) or own >= self.threshold(shape, levels):
            return own
        distance = self._steps_from(torch.tensor(shape.band.at[0], dtype=torch.float64))
        # Steps next to DC hold all that a mean over them would have.
        room = min((min(self.basis.spatial) - 7) // 4, int(distance.flatten()[0]) // 4)
        for reach in range(1, 1 + min(_WANDERS, room)):
            beside = (distance > 2 * reach + 1.5) & (distance < 2 * reach + 3)
            local = self.typical.around(reach) - levels
            own = max(own, self._contrast(replace(shape, sides=(beside,)), local, taken, 0.0)[0])
        return own

    def _size(self, shape: _Shape) -> float:
        """Number of frequencies."""
        return float((self.weight * shape.inside).sum())

    def _contrast(self, shape: _Shape, e: Tensor, taken: Tensor, scatter: float) -> tuple[float, float, float]:
        """Contrast, weight inside, and standard error."""
        w = self.weight * ~taken
        inner = w * shape.inside
        count = float(inner.sum())
        if count == 0:
            return 0.0, 0.0, math.inf
        mean = float((inner * e).sum()) / count
        beside, least = 0.0, math.inf
        if self.reference is None:
            levels = []
            for side in shape.sides:
                outer = w * side
                total = float(outer.sum())
                if total > 0:
                    levels.append(float((outer * e).sum()) / total)
                    least = min(least, total)
            if not levels:
                return 0.0, 0.0, math.inf
            beside = max(levels)
        return mean - beside, count, scatter * math.sqrt(2 / count + 2 / least)

    def _scatter(self, e: Tensor, taken: Tensor) -> float:
        """Roughness of `e` from one frequency to the next: what an average is uncertain by."""
        difference = (e - e.roll(1, -1))[..., 1:].abs()
        known = ~(taken | taken.roll(1, -1))[..., 1:]
        return 1.4826 * float(difference[known].median()) / math.sqrt(2) if known.any() else 0.0

    def smooth(self, taken: Tensor) -> Tensor:
        """The smooth fit to all that is not taken, or the reference at the level of the data."""
        free = (self.weight > 0) & ~taken
        if self.reference is not None:
            return self.reference * (self.power / self.reference)[free].median()
        x, y, w = self.features, self.power.log(), self.weight
        # As much weight to each octave's worth of low frequencies as to a corner full of high ones, nearly.
        w = torch.where(free, w / self.radius.clamp(min=self.step) ** (len(self.basis.spatial) / 2), 0.0)
        return torch.where(self.radius > 0, (x @ robust_fit(x[free], y[free], w[free], steps=_STEPS)).exp(), self.power)

    def _features(self) -> Tensor:
        """Polynomials in log radius and radius, and low harmonics of the direction, `(*coefficients, K)`."""
        r = self.radius.clamp(min=self.step) / self.radius.max()
        columns = [torch.ones_like(r), r.log(), r.log() ** 2, r, r**2, r**3]
        if len(self.frequencies) > 1:
            along = [f / self.radius.clamp(min=self.step) for f in self.frequencies]
            even = [a**2 - b**2 for a, b in itertools.pairwise(along)]
            even += [2 * a * b for a, b in itertools.combinations(along, 2)]
            if len(along) == 2:
                even.append(even[0] ** 2 - even[1] ** 2)
            columns += [h * factor for h in even for factor in (torch.ones_like(r), r)]
        return torch.stack(columns, dim=-1)

    def shapes(self, e: Tensor) -> Iterator[_Shape]:
        """All candidates."""
        yield from self._rings()
        if len(self.frequencies) > 1:
            yield from self._strips()
        if len(self.frequencies) == 2:
            yield from self._wedges()
        yield from self._spots(e)

    def _rings(self) -> Iterator[_Shape]:
        rho = self.radius / corner_radius(len(self.frequencies))
        width = max(0.025, self.step / corner_radius(len(self.frequencies)) / 2)
        edges = [round(k * width, 4) for k in range(round(1 / width))] + [1.0]
        margin = 2.5 * width
        for low, high in itertools.combinations(edges, 2):
            if high - low > 0.6:
                continue
            inside = (rho >= low - 1e-9) & ((rho < high - 1e-9) | (high == 1.0))
            below = (rho < low - 1e-9) & (rho >= low - margin)
            above = (rho >= high - 1e-9) & (rho < high + margin)
            sides = (below,) * (low > 1.5 * width) + (above,) * (high < 1.0)
            step = inside & (rho < low + margin) if high == 1.0 else None
            yield _Shape(Ring(low, high), "ring" if len(sides) == 2 else "edge", inside, sides, step)

    def _strips(self) -> Iterator[_Shape]:
        for axis, along in enumerate(self.frequencies.abs()):
            others = [f.abs() for i, f in enumerate(self.frequencies) if i != axis]
            steps = [1 / n for i, n in enumerate(self.basis.spatial) if i != axis]
            off = torch.stack([f / s for f, s in zip(others, steps, strict=True)]).amax(0)
            own = 1 / self.basis.spatial[axis]
            cuts = [0.5 * own, 0.1, 0.2, 0.3]
            for low, high in itertools.product(cuts, (0.2, 0.3, 0.4, 0.5)):
                reach = (along >= low) & (along <= high)
                if high - low < 0.15:
                    continue
                beside = (off > 0.5) & (off < 2.5) & reach
                yield _Shape(Strip(axis, round(low, 4), high), "strip", (off < 0.5) & reach, (beside,))

    def _wedges(self) -> Iterator[_Shape]:
        rho = self.radius / corner_radius(2)
        direction = torch.rad2deg(torch.atan2(self.frequencies[0], self.frequencies[1]))
        for angle, width, low in itertools.product(range(0, 180, 10), (20, 40, 60), (0.05, 0.2, 0.4)):
            turn = ((direction - angle + 90) % 180 - 90).abs()
            reach = rho >= low
            inside = (turn <= width / 2) & reach
            # Axes have a way of their own: a wedge is judged without them.
            beside = (turn > width / 2) & (turn <= width / 2 + 25) & reach
            yield _Shape(Wedge(float(angle), float(width), low), "wedge", inside, (beside,))

    def _spots(self, e: Tensor) -> Iterator[_Shape]:
        """The single frequencies that stick out most, each with its mirror."""
        rank = len(self.frequencies)
        full = unfolded(e, self.basis.spatial)
        axes = tuple(range(rank))
        ring = [s for s in itertools.product(range(-2, 3), repeat=rank) if max(map(abs, s)) == 2]
        beside = sum((full.roll(s, axes) for s in ring), torch.zeros_like(full)) / len(ring)
        height = (full - beside)[tuple(slice(n) for n in e.shape)]
        height = torch.where(self.halo, -math.inf, height)
        most = min(_MOST, int(torch.isfinite(height).sum()))
        for index in height.flatten().topk(most).indices.tolist():
            f = self.frequencies.flatten(1)[:, index]
            inside = torch.zeros(e.numel(), dtype=torch.bool)
            inside[index] = True
            spot = Spots((tuple(round(v, 4) for v in f.tolist()),), round(0.5 * self.step, 4))
            inside = spot.weights(self.frequencies) > 0
            distance = self._steps_from(f)
            sides = ((distance > 1.5) & (distance < 3),)
            yield _Shape(spot, "spots", inside, sides, inside)

    def _lines(self, spots: Spots) -> Tensor:
        """Frequencies that share a coordinate with a spot or its mirror."""
        near = torch.zeros_like(self.halo)
        if len(self.frequencies) > 1:
            for f, values in itertools.product(spots.at, range(len(self.frequencies))):
                near |= (self.frequencies[values].abs() - abs(f[values])).abs() < 0.5 * self.step
        return near

    def _grown(self, inside: Tensor) -> Tensor:
        """With all frequencies at most two steps away."""
        full = unfolded(inside.double(), self.basis.spatial)
        axes = tuple(range(full.ndim))
        near = sum((full.roll(s, axes) for s in itertools.product(range(-2, 3), repeat=full.ndim)), 0 * full)
        return near[tuple(slice(n) for n in inside.shape)] > 0

    def _steps_from(self, f: Tensor) -> Tensor:
        """Distance from `f` and its mirror on the torus, in steps of the grid, the largest over axes."""
        sides = torch.tensor(self.basis.spatial, dtype=torch.float64).reshape(-1, *(1,) * self.radius.ndim)
        centre = f.reshape(-1, *(1,) * self.radius.ndim)
        both = [self.frequencies - sign * centre for sign in (1, -1)]
        return torch.stack([((d - d.round()).abs() * sides).amax(0) for d in both]).amin(0)
