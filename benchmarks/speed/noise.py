"""Drawing shaped noise against `torch.randn` of the same shape, and its growth with the size of the field."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.speed.result import Result, Table, interval, milliseconds
from benchmarks.speed.timing import Demand, Summary, Times, alternate, ratio, settle_memory
from sagd import SpectralCovariance, Spectrum

SPECTRUM = "power_law(alpha=-0.2)"
SIDES = {1: [2**k for k in range(6, 17, 2)], 2: [2**k for k in range(4, 11)], 3: [2**k for k in range(3, 7)]}
VALUES = 2**20
"""Values of a draw in the sweep over sizes, whatever the size of one field."""

NOTE = """\
Shaped noise is a white draw of the same shape, a real FFT, a product and the inverse FFT. All draws but the first hold
the same number of values. Growth: the exponent `p` of the time of one field of `n` values in `(n log n)^p`, fitted to
all sizes of one rank; it is at most 1 if the last column does not rise.
"""
COLUMNS = ("shape", "torch.randn, ms", "shaped, ms", "shaped / torch.randn", "ps per value and log2 n")


@dataclass(frozen=True)
class Fields:
    """A batch of fields `(batch, channels, side, ..., side)`."""

    batch: int
    channels: int
    rank: int
    side: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the batch."""
        return (self.batch, self.channels, *(self.side,) * self.rank)

    @property
    def work(self) -> float:
        """`n log2 n` of one transform."""
        return self.side**self.rank * math.log2(self.side**self.rank)

    @property
    def transforms(self) -> int:
        """Number of transforms."""
        return self.batch * self.channels

    def draws(self) -> dict[str, Callable[[], Tensor]]:
        """The two actions compared."""
        shape, covariance = self.shape, SpectralCovariance(Spectrum.parse(SPECTRUM), self.shape[1:])
        return {"white": lambda: torch.randn(shape), "shaped": lambda: covariance.sample(shape[0])}

    def __str__(self) -> str:
        return "x".join(map(str, self.shape))


REFERENCE = Fields(batch=128, channels=3, rank=2, side=32)


def study(quick: bool = False) -> Result:
    """Cost at the reference shape, and growth over `SIDES`."""
    rounds, repeats, values = (2, 1, 2**14) if quick else (40, 20, VALUES)
    sweep = {
        rank: [Fields(max(1, values // side**rank), 1, rank, side) for side in (sides[:2] if quick else sides)]
        for rank, sides in SIDES.items()
    }
    settle_memory()
    times = measure([REFERENCE], rounds, repeats)
    cost = Demand(f"drawing {REFERENCE}: shaped / torch.randn", ratio(times[REFERENCE], "shaped", "white"), 2.5)
    times |= measure([fields for own in sweep.values() for fields in own], rounds, max(1, repeats // 10))
    growth = [Demand(f"{_range(own)}: p in (n log n)^p", exponent(own, times), 1.0) for own in sweep.values()]
    figures = {str(fields): _summaries(own) for fields, own in times.items()}
    settings = {"spectrum": SPECTRUM, "rounds": rounds}
    rows = [_row(fields, figures[str(fields)]) for fields in times]
    return Result(settings, figures, [cost, *growth], Table("Drawing noise", NOTE, COLUMNS, rows))


def measure(shapes: Sequence[Fields], rounds: int, repeats: int) -> dict[Fields, Times]:
    """Times of white and shaped draws, all shapes in turn."""
    actions = {(fields, name): draw for fields in shapes for name, draw in fields.draws().items()}
    times = alternate(actions, rounds, warmup=3, repeats=repeats, title="noise")
    return {fields: {name: times[fields, name] for name in ("white", "shaped")} for fields in shapes}


def exponent(shapes: Sequence[Fields], times: Mapping[Fields, Times]) -> Summary:
    """Exponent `p` of the time of one shaped field in `(n log n)^p`, fitted round by round."""
    work = np.log([fields.work for fields in shapes])
    spent = np.log([times[fields]["shaped"] / fields.transforms for fields in shapes])
    return Summary.of(np.polyfit(work, spent, 1)[0])


def _summaries(times: Times) -> dict[str, Summary]:
    return {name: Summary.of(own) for name, own in times.items()} | {"ratio": ratio(times, "shaped", "white")}


def _range(shapes: Sequence[Fields]) -> str:
    first, last = ("x".join(map(str, fields.shape[2:])) for fields in (shapes[0], shapes[-1]))
    return f"growth from {first} to {last}"


def _row(fields: Fields, figures: Mapping[str, Summary]) -> tuple[str, ...]:
    return (
        str(fields),
        milliseconds(figures["white"]),
        milliseconds(figures["shaped"]),
        interval(figures["ratio"], digits=2),
        f"{1e12 * figures['shaped'].median / (fields.transforms * fields.work):.0f}",
    )
