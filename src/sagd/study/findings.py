"""Bands and findings as texts: bands that read back, in units where files have them, and the first of many for people.

The list of all is for `cleaning.json`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator

from sagd.noise.grid import Grid
from sagd.noise.spectra.base import Spectrum, Sum
from sagd.noise.spectra.damage import Spots, Strip
from sagd.noise.spectra.physical import Physical
from sagd.omission.detection.base import Detection, Finding, rounded_down

_MOST = 3
"""Shapes of a band, or findings, that are named; of more the first."""
_FINE = 2
"""Digits of a place beyond the first one of its radius."""


def told(band: Spectrum, grid: Grid | None) -> str:
    """A band as a text that reads back: in Hz for records whose rate is known, places to a hundredth of their radius.

    >>> told(Spots(((0.15,), (0.3,)), 0.001), Grid.parse("400 Hz"))
    "spots(at=[['60 Hz'], ['120 Hz']], radius='0.4 Hz')"
    >>> told(Spots(((-0.0000004, 0.1234567),), 0.01), None)
    'spots(at=((0.0, 0.1235),), radius=0.01)'
    >>> told(Strip(0, 0.01, width=0.02), None)
    'strip(axis=0, low=0.01, width=0.02)'
    """
    known = grid is not None and len(grid.steps) == 1 and grid.bases == ("s",)
    rate = 1 / grid.lengths[0] if grid is not None else 1.0

    def hertz(f: float) -> str:
        return f"'{f * rate:.6g} Hz'"

    def one(part: Spectrum) -> str:
        if isinstance(part, Physical):
            return part.spectrum
        if isinstance(part, Strip) and not part.axis:  # the default, which texts leave out, and people look for
            return str(part).replace("(", "(axis=0, ", 1)
        if not isinstance(part, Spots):
            return str(part)
        if not known:
            return str(_rounded(part))
        at = ", ".join(f"[{hertz(f)}]" for (f,) in part.at)
        soft = f", soft={hertz(part.soft)}" if part.soft else ""
        return f"spots(at=[{at}], radius={hertz(part.radius)}{soft})"

    return " + ".join(one(part) for part in (band.parts if isinstance(band, Sum) else (band,)))


def brief(band: Spectrum, grid: Grid | None) -> str:
    """The same for people: of many shapes the first, as they stand out most.

    >>> brief(Spots(tuple((0.1 * k, 0.2) for k in range(1, 6)), 0.01), None)
    'spots(at=((0.1, 0.2), (0.2, 0.2), (0.3, 0.2)), radius=0.01) and 2 more'
    """
    kept: list[Spectrum] = []
    left, more = _MOST, 0
    for part in band.parts if isinstance(band, Sum) else (band,):
        count = len(part.at) if isinstance(part, Spots) else 1
        if left:
            kept.append(dataclasses.replace(part, at=part.at[:left]) if isinstance(part, Spots) else part)
        more, left = more + max(0, count - left), max(0, left - count)
    said = " + ".join(told(part, grid) for part in kept)
    return f"{said} and {more} more" if more else said


def lines_of(found: Detection, grid: Grid | None, images: bool) -> list[str]:
    """What was found and what is unsure, for people; of images also whether they look enlarged."""
    lines = list(_listed("damaged band:", found.findings, grid))
    if not found.findings and not found.unsure:
        lines.append(
            f"no damaged band found: what sticks out most is damage with probability {rounded_down(found.nearest)}"
        )
        if found.likeliest is not None:
            lines.append(f"  {told(found.likeliest.band, grid)}: {found.likeliest.excess:.1f} dB over its neighbours")
    lines += _listed("unsure, name the band if it is damaged:", found.unsure, grid)
    return [*lines, found.enlarged] if images and found.enlarged else lines


def _listed(title: str, findings: tuple[Finding, ...], grid: Grid | None) -> Iterator[str]:
    if findings:
        yield title
        yield from (
            f"  {brief(f.band, grid)}: {f.excess:.1f} dB over its neighbours, damage with probability"
            f" {rounded_down(f.probability)}"
            for f in findings[:_MOST]
        )
    if len(findings) > _MOST:
        yield f"  and {len(findings) - _MOST} more, in cleaning.json"


def _rounded(spots: Spots) -> Spots:
    digits = _FINE - math.floor(math.log10(spots.radius)) if spots.radius > 0 else 6
    place: Callable[[float], float] = lambda f: round(f, digits) + 0.0  # noqa: E731 - minus zero is zero
    return dataclasses.replace(spots, at=tuple(tuple(map(place, at)) for at in spots.at))
