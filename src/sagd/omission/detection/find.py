"""Finding the damaged band of data: where its spectrum sticks out, and how likely that is damage and not content.

1. Windows, tapered against their borders (Welch): one large array gives many, small arrays are windows themselves.
   Their spectrum is the mean *logarithm* of the power, to which damage of all windows adds and content of few hardly.
2. What sticks out of it: peaks over their neighbours, between the frequencies of the grid too; straight lines through
   DC, which are stripes at any angle; rings and wedges over a smooth fit.
3. A probability against two nulls: that a smooth spectrum has something like it by chance, from the statistics of the
   logarithms of so many windows and so many places that were looked at; and that it is content, by measures that were
   fitted on clean and damaged sets of many kinds: content comes and goes from window to window with the rest of the
   data, and keeps step with its local power, where damage is everywhere, alike, and knows nothing of what it lies upon.

Against a reference, what sticks out of the ratio of the two spectra is content of neither, and only chance counts.

Source of 1: "The use of fast Fourier transform for the estimation of power spectra" (Welch, 1967).
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.spectra.damage import Spots
from sagd.omission.detection.base import CERTAIN, UNSURE, Detection, Finding
from sagd.omission.detection.evidence import Candidate, Examination
from sagd.omission.detection.peaks import coincidence
from sagd.omission.detection.probability import damage_probability
from sagd.omission.detection.smooth import smooth_fit
from sagd.omission.detection.windows import LEAST_SIDE, LEAST_WINDOWS, Windows, cut, whole, window_side, windows_of

__all__ = ["CERTAIN", "UNSURE", "Detection", "Finding", "examine", "find"]

_DECIBEL = 10 / math.log(10)
_COVERED = 0.5
"""Share of a candidate's frequencies beyond which it is part of what was found before."""
_LONG = 0.5
"""Part of a line's length from which on it is no mere part of a wedge."""
_BROAD = ("ring", "wedge")
_HARMONIC = 0.5
"""Probability that damage beside a wave is at a multiple of it, or the mirrored diagonal."""


def find(x: Tensor, reference: Tensor | None = None) -> Detection:
    """Find the damaged band of images, records or volumes.

    Damage that is the same in all arrays of a set is a mean, which shows only against a reference.

    Args:
        x: Arrays `(N, C, *spatial)`, floating point, of at least 8 samples a side: one large one or many small ones,
            which together make at least 16 windows.
        reference: Clean arrays of the same kind, `(M, C, *spatial)`.

    Raises:
        InputError: On too few or too small arrays, or a reference of another shape.
    """
    examination = examine(x, reference)
    against = reference is not None
    candidates = [(damage_probability(c, against), c) for c in examination.candidates()]
    findings, unsure, rest = _sorted_out(candidates, examination.windows)
    windows = examination.windows
    free = ~examination.narrow
    for _, c in (pair for group in findings for pair in group):
        free.view(-1)[c.inside] = False
    power = windows.power
    if examination.reference is None:
        smooth = smooth_fit(power.log(), windows.basis, free & (windows.basis.radius() > 0)).exp()
    else:
        smooth = examination.reference[0].power
        smooth = smooth * (power / smooth)[free].median()
    smooth = torch.where(windows.basis.radius() > 0, smooth, power)
    excess = _DECIBEL * (power / smooth).log()
    told = [tuple(_finding(group, excess, windows) for group in groups) for groups in (findings, unsure)]
    nearest = max((p for p, _ in rest), default=0.0)
    nearest = max([nearest, *(f.probability for f in told[1])])
    best = max(rest, key=lambda pair: pair[0], default=None)
    likeliest = None if best is None else _finding([best], excess, windows)
    return Detection(told[0], told[1], power, smooth, windows.basis, nearest, likeliest)


def examine(x: Tensor, reference: Tensor | None = None) -> Examination:
    """The spectra of arrays, and what sticks out of them; see `find`."""
    side = _check(x, "arrays")
    if reference is None:
        windows = cut(x, side)
        return Examination(windows, windows if side == tuple(x.shape[2:]) else whole(x))
    _check(reference, "reference arrays")
    if x.shape[1:] != reference.shape[1:]:
        raise InputError(f"images are {tuple(x.shape[1:])}, those of the reference {tuple(reference.shape[1:])}")
    both = [cut(data, side, mean=True) for data in (x, reference)]
    if side == tuple(x.shape[2:]):
        return Examination(both[0], both[0], (both[1], both[1]))
    return Examination(both[0], whole(x), (both[1], whole(reference)))


Pair = tuple[float, Candidate]


def _sorted_out(candidates: list[Pair], windows: Windows) -> tuple[list[list[Pair]], list[list[Pair]], list[Pair]]:
    """Findings and what is unsure, peaks in families, and the rest; nothing twice."""
    found: list[list[Pair]] = []
    unsure: list[list[Pair]] = []
    rest: list[Pair] = []
    taken = torch.zeros(windows.basis.coefficients, dtype=torch.bool).flatten()
    for pair in sorted(candidates, key=_order):
        p, candidate = pair
        if float(taken[candidate.inside].double().mean()) > _COVERED:
            continue
        family = next((g for g in found if _belongs(pair, g, windows) >= UNSURE), None)
        if candidate.kind in _BROAD and any(_holds(candidate, c) for g in found for _, c in g):
            continue  # what a stronger finding spreads to
        if candidate.kind == "wedge" and any(_is_ridge(candidate, c) for _, c in candidates):
            continue  # a narrower shape explains the same ridge
        if family is not None:
            family.append(pair)
        elif p >= CERTAIN:
            found.append([pair])
        elif p >= UNSURE:
            unsure.append([pair])
        else:
            rest.append(pair)
            continue
        taken[candidate.around if len(candidate.around) else candidate.inside] = True
    return found, unsure, rest


def _order(pair: Pair) -> tuple[bool, bool, float]:
    """Certain ones first; wedges after the stripes that they may be the fringe of; then those that explain most."""
    return pair[0] < CERTAIN, pair[1].kind == "wedge", -_explained(pair[1])


def _explained(candidate: Candidate) -> float:
    """Squares of what a candidate takes away of the excess of the spectrum."""
    return len(candidate.inside) * candidate.measures["excess"] ** 2


def _is_ridge(wedge: Candidate, other: Candidate) -> bool:
    """Whether a wedge is the surroundings of a line that stands out more, and is long."""
    return (
        other.kind == "stripes"
        and other.measures["narrow"] >= _LONG
        and other.measures["excess"] >= wedge.measures["excess"]
        and _holds(wedge, other)
    )


def _holds(one: Candidate, other: Candidate) -> bool:
    """Whether most of another candidate lies in one."""
    return float(torch.isin(other.inside, one.around).double().mean()) > _COVERED


def _belongs(pair: Pair, family: list[Pair], windows: Windows) -> float:
    """Probability that a peak is damage, given a family that is: that it lies where that has one is evidence by itself.

    Bayes: the odds rise by how much likelier damage lies there than what lies anywhere does.
    """
    p, candidate = pair
    # Those that are there by this evidence are none themselves: of content, too, harmonics lie at multiples.
    peaks = [c.peak for own, c in family if c.peak is not None and own >= CERTAIN]
    if candidate.peak is None or not peaks:
        return 0.0
    accident = min(coincidence(candidate.peak, peak, windows.side) for peak in peaks)
    if accident == 1:
        return 0.0
    odds = p / max(1e-12, 1 - p) * max(1.0, _HARMONIC / accident)
    return odds / (1 + odds)


def _finding(group: list[Pair], excess: Tensor, windows: Windows) -> Finding:
    """A finding of a candidate, or of a family of peaks."""
    first = group[0][1]
    band = first.band
    if isinstance(band, Spots):
        spots = [c.band for _, c in group if isinstance(c.band, Spots)]
        band = Spots(tuple(f for spot in spots for f in spot.at), max(spot.radius for spot in spots))
    inside = torch.cat([c.inside for _, c in group]).unique()
    weight = windows.basis.multiplicity().flatten()
    return Finding(
        band,
        _DECIBEL * max(c.measures["excess"] for _, c in group),
        float(excess.flatten()[inside].max()),
        float(weight[inside].sum() / weight.sum()),
        group[0][0],
        first.chance,
        first.measures["locked"],
    )


def can_be_looked_at(x: Tensor) -> bool:
    """Whether arrays `(N, C, *spatial)` are many and large enough for `find`."""
    return _side(x) is not None


def _side(x: Tensor) -> tuple[int, ...] | None:
    """The side of the windows; None where these are too few."""
    if min(x.shape[2:]) < LEAST_SIDE:
        return None
    side = window_side(len(x), tuple(x.shape[2:]))
    return side if len(x) * windows_of(tuple(x.shape[2:]), side) >= LEAST_WINDOWS else None


def _check(x: Tensor, what: str) -> tuple[int, ...]:
    """The side of the windows."""
    if x.ndim < 3 or not x.is_floating_point():
        raise InputError(f"{what} must be floating point (N, C, *spatial), got {x.dtype} {tuple(x.shape)}")
    size = " x ".join(map(str, x.shape[2:]))
    if (side := _side(x)) is not None:
        return side
    raise InputError(
        f"detection needs at least {LEAST_WINDOWS} {what} of at least {LEAST_SIDE} samples a side, or larger ones (one"
        f" of {_enough(x.ndim - 2)} a side), got {len(x)} of {size}; name the band instead"
    )


def _enough(rank: int) -> int:
    """Samples along each axis with which a single array is enough."""

    def enough(n: int) -> bool:
        spatial = (n,) * rank
        return windows_of(spatial, window_side(1, spatial)) >= LEAST_WINDOWS

    # Windows are halves of halves: some sides have enough of them that are followed by sides that have not.
    return next(n for n in itertools.count(LEAST_SIDE) if all(map(enough, range(n, 2 * n))))
