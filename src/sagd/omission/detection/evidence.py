"""Candidates for damage in the spectra of arrays, and what is measured of each to tell it from content."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Spots, Strip, Stripes
from sagd.omission.detection.broad import Band, find_rings, find_wedges
from sagd.omission.detection.content import envelope, locked, spread, tails
from sagd.omission.detection.peaks import LOBE, Peak, find_peaks, lobe, measured, meshed
from sagd.omission.detection.plane import bins, folded, offsets
from sagd.omission.detection.smooth import smooth_fit
from sagd.omission.detection.stripes import CENTRE, Line, agreement, beside_line, find_lines, on_line, wave_on
from sagd.omission.detection.windows import Windows

MEASURES = (
    "excess",
    "coarse",
    "locked",
    "unexplained",
    "own",
    "other",
    "slope",
    "share",
    "least",
    "tails",
    "many",
    "record",
    "bend",
    "narrow",
    "octave",
    "edge",
    "lattice",
    "halves",
    "mesh",
    "torn",
    "bare",
)
"""What is measured of every candidate."""
_FRINGE = 4.0
"""Steps beside a line to which it spreads where it is not straight, or not alike all along."""
_GUARD = 3.0
"""Steps beside a measured line or peak that belong to its band: what drifts leaks there, and removal takes only what is
too much."""
_SIDE_PER_STEP = {1: 1000}
"""Samples for each step of the guard of smaller arrays, of whose frequencies a step is a larger part; of images 80."""
_TAILS = 1.5
"""Times that a wave of a record is as wide as measured: the tails of one that wanders lie under those of the window.
Of 1, 1.5, 2, 3 and 4 the best, on average over six kinds of records."""
_WANDERS = 5
"""Steps by which a record's wave may wander to be looked at whole, at most."""
_HALF_OCTAVE = math.sqrt(2)
_STRAIGHT = 1.5
"""Steps of the grid by which the far end of a line may miss an axis that it is taken for."""
_FAINT = 4.1
"""Nats by which peaks are below one that they are no sums of. Two strong waves, clipped, have sums and differences that
are 21 dB and more below, and are no lattice; the peaks of cloth, boards and prints are within 12."""


@dataclass(frozen=True)
class Candidate:
    """What stands out, and how.

    Attributes:
        kind: "spots", "stripes", "ring" or "wedge".
        band: Where.
        inside: Flat numbers of the coefficients of the windows that hold it.
        around: Those that it spreads to, in which nothing else is found; empty: as `inside`.
        chance: Probability that a smooth spectrum has one like it somewhere.
        measures: By name; see `_measures`.
        peak: Of spots, the peak.
    """

    kind: str
    band: Spectrum
    inside: Tensor
    chance: float
    measures: dict[str, float] = field(default_factory=dict)
    peak: Peak | None = None
    around: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))


@dataclass(frozen=True)
class Examination:
    """Spectra of arrays and what stands out in them.

    Attributes:
        windows: Of a size that there are many of.
        fine: The largest ones.
        reference: Windows of clean arrays of the same kind, and the largest ones; None: there are none.
    """

    windows: Windows
    fine: Windows
    reference: tuple[Windows, Windows] | None = None

    @cached_property
    def levels(self) -> Tensor:
        """Mean logarithm of the power, or of that over the reference, `(*coefficients)`."""
        return self.windows.levels if self.reference is None else self.windows.levels - self.reference[0].levels

    @cached_property
    def smooth(self) -> Tensor:
        """The smooth part of `levels`; against a reference their median."""
        free = self._free & ~self._narrow
        if self.reference is None:
            return smooth_fit(self.levels, self.windows.basis, free)
        return self.levels[free].median().expand(self.levels.shape)

    @cached_property
    def peaks(self) -> list[Peak]:
        """Narrow peaks."""
        rough = self.levels * 0
        if self.reference is None:
            rough = smooth_fit(self.levels, self.windows.basis, self._free)
        return [measured(peak, self.windows, self.fine) for peak in find_peaks(self.windows, self.levels, rough)]

    @cached_property
    def lines(self) -> list[Line]:
        """Lines through DC."""
        levels = self.fine.levels if self.reference is None else self.fine.levels - self.reference[1].levels
        return find_lines(self.fine, levels, self.reference is not None)

    @property
    def narrow(self) -> Tensor:
        """Whether a coefficient is part of a peak or a line, `(*coefficients)`, bool."""
        return self._narrow

    @cached_property
    def _free(self) -> Tensor:
        return bins(self.windows.basis) > 2.5

    @cached_property
    def _narrow(self) -> Tensor:
        taken = torch.zeros(self.windows.basis.coefficients, dtype=torch.bool)
        for peak in self.peaks:
            taken.view(-1)[self._around(peak, self._clear(peak))] = True
        for line in self.lines:
            taken.view(-1)[on_line(self.windows, line, 2.2)] = True
        return taken

    def _around(self, peak: Peak, reach: int, hole: int = -1) -> Tensor:
        """Flat numbers of the coefficients near a peak, beyond the hole."""
        steps = [offsets(len(self.windows.side), k, k, math.inf) for k in range(hole + 1, reach + 1)]
        return folded(torch.tensor(peak.index)[:, None] + torch.cat(steps).T, self.windows.side)

    def candidates(self) -> list[Candidate]:
        """All that stands out, with what is measured of it."""
        found = [self._spot(peak) for peak in self.peaks]
        found += [self._stripes(line) for line in self.lines]
        found += self._broad()
        return [c for c in found if len(c.inside)]

    def _spot(self, peak: Peak) -> Candidate:
        reach, clear = self._wandering(peak), self._clear(peak)
        inside, beside = self._around(peak, reach), self._around(peak, clear + (3 if len(peak.at) > 1 else 6), clear)
        measures = self._measures(
            inside, beside, peak.excess, locked(self.windows, self._envelope_of_peaks, inside, True)
        ) | {
            "narrow": peak.reach,
            "octave": _octave(peak.at, self.windows),
            "lattice": float(on_lattice(peak.at, self.windows.side)),
            "mesh": float(self._mesh[peak.index] and max(self._mesh.values())),
        }
        at = tuple(round(f, 6) for f in peak.at)
        wide = peak.radius + _guard(self.fine.side, len(self.fine.side))
        band = Spots((at,), _up(_TAILS * wide if len(at) == 1 else wide))
        return Candidate("spots", band, inside, peak.chance, measures, peak, self._around(peak, clear))

    @cached_property
    def _mesh(self) -> dict[tuple[int, ...], int]:
        """Of each peak, of how many pairs of others it is the sum; what is far weaker does not count."""
        levels = self.levels.flatten()
        height = {p.index: float(levels[folded(torch.tensor([p.index]).T, self.windows.side)]) for p in self.peaks}

        def of(peak: Peak) -> int:
            others = [p for p in self.peaks if height[p.index] > height[peak.index] - _FAINT]
            return meshed(peak, others, self.windows.side)

        return {peak.index: of(peak) for peak in self.peaks}

    def _wandering(self, peak: Peak) -> int:
        """Steps to both sides within which a wave of a record wanders: where it stands out by half of its height."""
        if len(peak.at) > 1:
            return 1
        levels, steps = self.levels.flatten(), range(2, _WANDERS + 1)
        at = [folded(torch.tensor([[peak.index[0] - k, peak.index[0] + k]]), self.windows.side) for k in steps]
        least = float(levels[folded(torch.tensor([peak.index]).T, self.windows.side)]) - peak.excess / 2
        return next((k - 1 for k, sides in zip(steps, at, strict=True) if levels[sides].mean() < least), _WANDERS)

    def _clear(self, peak: Peak) -> int:
        """Steps from a peak beyond which its neighbours are."""
        return max(lobe(peak.excess, self.windows.side), self._wandering(peak) + 1)

    @cached_property
    def _envelope_of_peaks(self) -> Tensor:
        taken = torch.zeros(self.windows.basis.coefficients, dtype=torch.bool)
        for peak in self.peaks:
            taken.view(-1)[self._around(peak, self._clear(peak))] = True
        return envelope(self.windows, taken, waves=True)

    def _stripes(self, line: Line) -> Candidate:
        clear = lobe(line.excess, self.windows.side)
        inside, beside = on_line(self.windows, line), beside_line(self.windows, line, clear + 0.5)
        taken = torch.zeros(self.windows.basis.coefficients, dtype=torch.bool)
        taken.view(-1)[on_line(self.windows, line, 2.2)] = True
        share = locked(self.windows, envelope(self.windows, taken), inside, False) if len(inside) else 0.0
        measures = self._measures(inside, beside, line.excess, share) | {
            "narrow": line.share,
            "octave": math.log2(max(1.0, line.high * max(self.fine.side))),
            "halves": agreement(self.fine, line),
            "torn": 1 - agreement(self.fine, line, strong=True),
        }
        low, high = line.extent
        around = on_line(self.windows, replace(line, low=max(low, line.content), high=high), _FRINGE)
        return Candidate("stripes", self._band_of(line), inside, line.chance, measures, around=around)

    def _band_of(self, line: Line) -> Spectrum:
        """Where a line is: a wave, which small windows show as one, is narrower."""
        wave = None if self.reference is not None else wave_on(self.fine, line)
        if wave is None:
            return _band_of(line, self.fine.side)
        return Spots((tuple(round(f, 6) for f in wave),), _up(LOBE / min(self.fine.side)))

    def _broad(self) -> list[Candidate]:
        # Against a reference, peaks in a ring of noise are part of it.
        free = self._free & ~self._narrow if self.reference is None else self._free
        e = self.levels - self.smooth
        error = self._scatter(e, free)
        found = []
        for kind, find in (("ring", find_rings), ("wedge", find_wedges)):
            found += [self._broad_candidate(kind, band) for band in find(e, self.windows.basis, free, error)]
        return found

    def _broad_candidate(self, kind: str, band: Band) -> Candidate:
        taken = torch.zeros(self.windows.basis.coefficients, dtype=torch.bool)
        taken.view(-1)[band.inside] = True
        share = locked(self.windows, envelope(self.windows, taken), band.inside, False)
        measures = self._measures(band.inside, band.beside, band.excess, share)
        chance = min(1.0, 1e4 * 0.5 * math.erfc(band.errors / math.sqrt(2)))
        return Candidate(
            kind,
            band.shape,
            band.inside,
            chance,
            measures | {"narrow": band.share, "edge": band.edge, "mesh": float(max(self._mesh.values(), default=0))},
            around=(band.shape.weights(self.windows.basis.frequencies()) > 0).flatten().nonzero()[:, 0],
        )

    def _scatter(self, e: Tensor, free: Tensor) -> float:
        """Roughness of `e` from one frequency to the next: what an average is uncertain by."""
        difference = (e - e.roll(1, -1))[..., 1:].abs()
        known = (free & free.roll(1, -1))[..., 1:]
        rough = 1.4826 * float(difference[known].median()) / math.sqrt(2) if known.any() else 0.0
        return max(self.windows.error, rough) * math.sqrt(self.windows.correlated)

    def _measures(self, inside: Tensor, beside: Tensor, excess: float, share: float) -> dict[str, float]:
        """What tells damage from content.

        `excess`: over the neighbours, in nats. `coarse`: the same in the windows. `locked`: how far it keeps step with
        the local power of the rest. `unexplained`: what of the excess does not. `own`, `other`: how the powers of band
        and neighbours vary over windows; `slope`: of the one on the other; `share`: windows in which it stands out;
        `least`: by how much in the quietest tenth of them.
        `bend`: by how much more slowly the spectrum falls beyond it than before; where a steep spectrum bends into a
        floor, of quantisation or interpolation, it stands out by itself. By kind of candidate: `narrow`, how much of a
        line, or of what can be told apart, it takes up; `octave`, how far out it lies or reaches; `edge` of broad ones;
        `lattice`, whether it lies where blocks do; `mesh`, of a broad one, or a peak that is the sum of two others,
        of how many pairs any peak is; `halves`, how far stripes agree from one part of the data to the other, and
        `torn`, how far their strong waves do not; `bare`, how much of the spectrum has nothing, not even noise.
        """
        if not len(inside) or not len(beside):
            return dict.fromkeys(MEASURES, 0.0)
        powers = self.windows.powers.flatten(1)
        levels = self.windows.levels.flatten()
        coarse = float(levels[inside].mean() - levels[beside].mean())
        level = levels[beside].mean()
        b, n = (powers[:, at].mean(1) / level.exp() for at in (inside, beside))
        own, other, slope, part, least = spread(b, n, self.windows.source)
        return dict.fromkeys(MEASURES, 0.0) | {
            "excess": excess,
            "coarse": coarse,
            "locked": share,
            "unexplained": max(excess, coarse) + math.log(max(1e-3, 1 - share**2)),
            "own": own,
            "other": other,
            "slope": slope,
            "share": part,
            "least": least,
            "tails": tails(self.windows, inside, self.smooth),
            "many": float(self.windows.side == self.fine.side),
            "record": float(len(self.windows.side) == 1),
            "bend": self._bend(beside),
            "bare": self.windows.bare,
        }

    def _bend(self, beside: Tensor) -> float:
        """Change of slope of the radial spectrum, in nats per half octave, the most within half an octave."""
        profile, free = self._profile
        radius = float(bins(self.windows.basis).flatten()[beside].mean())

        def at(r: float) -> float:
            return profile[min(free, key=lambda k: abs(k - r))]

        places = [radius * _HALF_OCTAVE**k for k in (-1, -0.5, 0, 0.5, 1)]
        return max(at(r * _HALF_OCTAVE) - 2 * at(r) + at(r / _HALF_OCTAVE) for r in places)

    @cached_property
    def _profile(self) -> tuple[dict[int, float], list[int]]:
        """Mean level by whole steps from DC, without what is narrow; and the steps."""
        number, levels = bins(self.windows.basis).round().long(), self.windows.levels
        free = self._free & ~self._narrow
        free = free if free.any() else self._free
        count = int(number.max()) + 1
        total, n = (
            torch.zeros(count, dtype=torch.float64).index_add_(0, number[free], v[free])
            for v in (levels, torch.ones_like(levels))
        )
        known = n.nonzero()[:, 0].tolist()
        return {k: float(total[k] / n[k]) for k in known}, known


def _band_of(line: Line, side: tuple[int, ...]) -> Spectrum:
    """A strip along an axis, or stripes at an angle: the line as wide as it was measured, and a guard on both sides."""
    # It goes on below, all the way if it stands out from the first radius that is looked at: there removal takes only
    # what is too much. But it has none of the content that lies on it.
    low, high = line.extent
    low, high = _down(max(line.content, 1 / min(side) if low * min(side) < CENTRE + 1 else low / 2)), _up(high)
    for axis in range(len(side)):
        others = [n for i, n in enumerate(side) if i != axis]
        off = [abs(d) for i, d in enumerate(line.direction) if i != axis]
        if all(o * high * n <= _STRAIGHT for o, n in zip(off, others, strict=True)):
            return Strip(
                axis, low, min(0.5, high), _up(line.width + 2 * max(off) * high + 2 * _guard(others, len(side)))
            )
    angle = math.degrees(math.atan2(line.direction[0], line.direction[1])) % 180
    return Stripes(round(angle, 3), low, high, _up(line.width + 2 * _guard(side, len(side))))


def _guard(side: Sequence[int], rank: int) -> float:
    """Beside a line, in cycles per sample: steps of large arrays, where removal can tell, and hardly any of small."""
    return min(_GUARD, min(side) / _SIDE_PER_STEP.get(rank, 80)) / min(side)


def _octave(at: tuple[float, ...], windows: Windows) -> float:
    return math.log2(max(1.0, math.sqrt(sum((f * n) ** 2 for f, n in zip(at, windows.side, strict=True)))))


def on_lattice(at: tuple[float, ...], side: tuple[int, ...]) -> bool:
    """Whether a frequency lies on an axis at a multiple of 1/8 or 1/3, as those of JPEG's blocks and of enlarging do.

    Args:
        at: Frequency in cycles per sample.
        side: Samples of the windows, which tell how exactly it is known.
    """
    off = sorted((abs(f) * n, abs(f), n) for f, n in zip(at, side, strict=True))
    f, n = off[-1][1:]
    return len(at) > 1 and off[-2][0] < 1 and any(abs(f * k - round(f * k)) * n < 0.5 * k for k in (3, 8))


def _up(value: float) -> float:
    """Rounded to four significant digits, up."""
    digits = 3 - math.floor(math.log10(value)) if value > 0 else 4
    return math.ceil(value * 10**digits - 1e-9) / 10**digits


def _down(value: float) -> float:
    digits = 3 - math.floor(math.log10(value)) if value > 0 else 4
    return math.floor(value * 10**digits + 1e-9) / 10**digits
