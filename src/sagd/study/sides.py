"""What became of a damaged band in three ways side by side, and which is taken.

`network`: what the model knows; `clean`: the measured damage taken out, without a model; `removal`: the band deleted.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sagd.errors import InputError, argument
from sagd.omission.alarm import ALARM

WAYS = ("network", "clean", "removal")
"""In the order in which they are trusted, where nothing speaks against them."""
BEST, _DELETED = "best", WAYS[-1]
_EVEN = 10 * math.log10(2)
"""Decibels over its surroundings at which a band holds as much damage as content, all of which deleting takes."""
_FEW = (13.97, 4.53)
"""Student's t of one and two degrees of freedom, as rare as two standard errors of many."""
_FAVOURED = 1.0
"""Decibels by which a network must be nearer in trials: draws of its own are easier for it than items are. Of
photographs under moire it was 0.4 dB nearer in trials, and as near in truth."""
_NAMED = 3
"""Files that a line names."""
_LISTED = 12
"""Files that are told one by one."""


@dataclass(frozen=True)
class Sides:
    """Figures of each way, file by file.

    Attributes:
        names: The files.
        errors: "damaged" and ways -> mean squared error of each file, where models see 2 as the whole range; {} if no
            clean files are known.
        excess: "damaged" and ways -> how far the band is over its surroundings, in dB.
        asked: A way, or "best".
        doubt: Why nothing that the network says of the band is believed, so that it is not run where no clean files
            are known and nobody asks for it; "" if it is.
        tried: "network" and "clean" -> mean squared error of each of some trials in which the truth is known; {} if
            there were none. See `sagd.omission.trial`.
    """

    names: tuple[str, ...]
    errors: Mapping[str, tuple[float, ...]]
    excess: Mapping[str, tuple[float, ...]]
    asked: str = BEST
    doubt: str = ""
    tried: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.asked not in (*WAYS, BEST):
            known = ", ".join((*WAYS, BEST))
            raise InputError(f"{argument('take')} must be one of {known}, got {self.asked!r}")

    @property
    def ways(self) -> tuple[str, ...]:
        """Those that there are: the network is not run where what it makes would not be taken."""
        return tuple(way for way in WAYS if way in self.excess)

    def psnr(self, way: str) -> float | None:
        """Peak signal-to-noise ratio of all files, in dB."""
        return decibels(sum(self.errors[way]) / len(self.names)) if self.errors else None

    def mean_excess(self, way: str) -> float:
        """Of all files."""
        return sum(self.excess[way]) / len(self.names)

    @property
    def taken(self) -> str:
        """The way that is taken: the one of least error, else the first that does not show the damage.

        If more do not, and were tried where the truth is known, that which was nearer to it. If only the deleted band
        does not, that which shows it least, unless that leaves more of the damage than deleting takes of the content.
        """
        if self.asked != BEST:
            return self.asked
        if self.errors:
            return min(self.ways, key=lambda way: sum(self.errors[way]))
        if self._by_trial:
            return WAYS[0] if self._gains else WAYS[1]
        ways = WAYS[1:] if self.doubt else WAYS
        quiet = [way for way in ways if self.mean_excess(way) <= ALARM]
        if quiet[:1] != [_DELETED]:
            return quiet[0] if quiet else min(ways, key=self.mean_excess)
        least = min(ways[:-1], key=self.mean_excess)
        return least if self.mean_excess(least) < _EVEN else _DELETED

    @property
    def _by_trial(self) -> bool:
        """Whether trials decide: none of what was tried shows the damage, and nothing better is known."""
        tells = bool(self.tried) and not self.doubt and not self.errors and self.asked == BEST
        return tells and all(self.mean_excess(way) <= ALARM for way in self.tried)

    @property
    def _gains(self) -> bool:
        """Whether the network is nearer than cleaning beyond chance, by two standard errors, by more of few trials; and
        by more than draws of its own favour it."""
        gained = [clean - own for own, clean in zip(*(self.tried[way] for way in WAYS[:2]), strict=True)]
        if len(gained) < 2:
            return False
        error = statistics.stdev(gained) / math.sqrt(len(gained))
        certain = statistics.mean(gained) > _errors(len(gained) - 1) * error
        return certain and decibels(self._trial(WAYS[0])) >= decibels(self._trial(WAYS[1])) + _FAVOURED

    def _trial(self, way: str) -> float:
        """Error of a way in trials."""
        return sum(self.tried[way]) / len(self.tried[way])

    def lines(self) -> list[str]:
        """A line for each of some files, one for all, and why which is taken."""
        stages = ("damaged", *self.ways)
        told = [
            f"{name}: " + ", ".join(f"{way} {self._figure(way, k)}" for way in stages)
            for k, name in enumerate(self.names[:_LISTED])
        ]
        if len(self.names) > _LISTED:
            told.append(f"... and {len(self.names) - _LISTED} more, in restoration.json")
        every = ", ".join(f"{way} {self._overall(way)}" for way in stages)
        one = len(self.names) == 1
        told = [*([] if one else told), f"{self.names[0] if one else f'all {len(self.names)}'}: {every}", self.line()]
        return told if (best := self._best_alone()) is None else [*told, best]

    def _best_alone(self) -> str | None:
        """A sentence on files that were nearer to the clean ones as they came; None if none were, or none are known."""
        psnr = {way: [decibels(error) for error in self.errors.get(way, ())] for way in ("damaged", self.taken)}
        nearer = [own > taken for own, taken in zip(*psnr.values(), strict=True)]
        if not any(nearer):
            return None
        names = [name for name, better in zip(self.names, nearer, strict=True) if better]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return f"nearer to the clean files as they came, so better left alone: {', '.join(names[:_NAMED])}{more}"

    def line(self) -> str:
        """Which way is taken, and why."""
        if self.asked != BEST:
            return f"took {self.taken}, as asked"
        others = " and ".join(f"{way} {self._overall(way)}" for way in self.ways if way != self.taken)
        return f"took {self.taken}, {self._overall(self.taken)} ({self._why()}; {others})"

    def _why(self) -> str:
        if self.errors:
            return "nearest to the clean files"
        if self._by_trial:
            told = ", ".join(f"{way} {decibels(self._trial(way)):.1f} dB" for way in self.tried)
            count = len(self.tried[self.taken])
            tied = not self._gains and self._trial(WAYS[0]) < self._trial(WAYS[1])
            what = f"the network is not nearer for certain, by {_FAVOURED:g} dB," if tied else "nearer"
            return f"{what} in {count} trials on draws of the model, where the truth is known: {told}"
        loud = self.mean_excess(self.taken) > ALARM
        why = "all show the damage, this least" if loud else f"the first that is at most {ALARM:g} dB over"
        if loud and self.mean_excess(_DELETED) <= ALARM:
            why = "what it leaves of the damage is less than what deleting the band takes of the content"
        if self.taken == WAYS[0]:
            return why
        if self.doubt:
            return f"{why}; {self.doubt}, so that the network is not run ({argument('take')} {WAYS[0]} runs it)"
        return f"{why}; the network shows the damage"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        told = {
            name: {
                way: {"excess_db": self.excess[way][k]}
                | ({"psnr": decibels(self.errors[way][k])} if self.errors else {})
                for way in ("damaged", *self.ways)
            }
            for k, name in enumerate(self.names)
        }
        trials = {way: [decibels(error) for error in errors] for way, errors in self.tried.items()}
        stated = {"taken": self.taken, "asked": self.asked, "why": self.line(), "files": told}
        return stated | ({"trials_psnr": trials} if trials else {})

    def _overall(self, way: str) -> str:
        return f"{self.psnr(way):.2f} dB" if self.errors else f"{self.mean_excess(way):+.1f} dB over its surroundings"

    def _figure(self, way: str, k: int) -> str:
        return f"{decibels(self.errors[way][k]):.2f} dB" if self.errors else f"{self.excess[way][k]:+.1f} dB"


def asks_network(take: str, doubt: str, known: bool) -> bool:
    """Whether what the network makes may be taken: where it is asked for, believed, or held against clean files.

    Args:
        take: A way, or "best".
        doubt: Why nothing that the network says of the band is believed; "" if it is.
        known: Whether clean files are known.
    """
    return take == WAYS[0] or (take == BEST and (known or not doubt))


def _errors(freedom: int) -> float:
    """How many standard errors of so few degrees of freedom are as rare as two of many: Student's t, for more than two
    by the expansion of Fisher and Cornish (1960)."""
    if freedom <= len(_FEW):
        return _FEW[freedom - 1]
    return 2 + 10 / (4 * freedom) + 294 / (96 * freedom**2) + 1098 / (384 * freedom**3)


def decibels(error: float) -> float:
    """Peak signal-to-noise ratio of a mean squared error, where models see 2 as the whole range."""
    return 10 * math.log10(4 / max(error, 1e-12))
