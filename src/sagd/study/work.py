"""The removal of a band from a file, item by item and block by block."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from sagd.data.whole import Block, Whole
from sagd.noise.spectra.base import Spectrum
from sagd.omission.preparation import Scale, finished, kept_beside, lines_of, prepared
from sagd.omission.removal import SMALL, Removal, measure
from sagd.omission.removal.clipping import limits_line
from sagd.study.gain import Gain
from sagd.study.shown import Shown, example

PART = 0.1
"""Share of what was taken out, where content is strong, from which on that is told."""
TOGETHER = 128
"""Items of one gain that are cleaned at a time."""
_ROUNDING = 1e-12
"""Power of what was removed, over that of what is left, that is no more than rounding."""
CLIPPED = 0.001
"""Share of the values at limits from which on that is told."""
_MUCH = 1.0
"""Decibels over the smooth spectrum from which on what is left in a band is told."""

Filled = tuple[Tensor, Tensor, Tensor, tuple[tuple[int, int], ...]]
"""Values of a block, and without gaps, where these were, and dead lines."""


class Work:
    """The removal of a band from a file.

    Args:
        file: The file.
        band: In cycles per sample.
        scale: On which the damage adds.
        place: Where the damage is, `(*spatial)`, 0 or 1; None: everywhere.
        beside: Whether a page shows what other tools make of it.
        gain: What is taken out of it; None: it is measured, of several small items on all of them.
    """

    def __init__(
        self,
        file: Whole,
        band: Spectrum,
        scale: Scale,
        place: Tensor | None = None,
        beside: bool = False,
        gain: Gain | None = None,
    ) -> None:
        self.file, self.band, self.scale, self.place, self.beside = file, band, scale, place, beside
        self.missing, self.dead = 0, ""
        self._rest, self._clean = 0.0, 0.0
        self._mixed: list[float] = []
        self.tell: Callable[[], object] = lambda: None
        self._held: tuple[int, Block, Filled] | None = None
        self._removed = self._left = 0.0
        self._clipped = self._values = 0
        self._centre: dict[int, Tensor] = {}
        self._sum = torch.zeros(file.part.count, file.shape[0], dtype=torch.float64)
        if gain is None and file.part.count > 1 and is_small(file):
            gain = Gain.of(lambda: values_of(file, scale), band, scale)
        self._gain = gain
        self._of: tuple[int, Removal] | None = None
        self._ahead: dict[int, tuple[Filled, Tensor]] = {}
        self._shown: Shown | None = None

    def _prepared(self, item: int, told: bool) -> Iterator[Tensor]:
        for block in self.file.blocks:
            yield self.filled(item, block)[1]
            if told:
                self.tell()

    def filled(self, item: int, block: Block) -> Filled:
        """Values of a block, and what `prepared` makes of them; those asked for last are held, as they are measured
        before they are changed."""
        if self._held is None or self._held[:2] != (item, block):
            before = self.file.read(item, block)
            dead = None if self._gain is None else self._gain.dead
            self._held = (item, block, (before, *prepared(_exact(self.file, before, self.scale), self.scale, dead)))
        return self._held[2]

    def removal(self, item: int) -> Removal:
        """The gain for an item: its own, or that of all items where these are small."""
        if self._gain is not None:
            return self._gain.removal
        if self._of is None or self._of[0] != item:
            times = itertools.count()
            below = not self.scale.multiplies
            removal = measure(lambda: self._prepared(item, not next(times)), self.band, clipped=True, below=below)
            self._of = (item, removal)
        return self._of[1]

    def change(self, item: int, block: Block) -> tuple[Tensor, Tensor]:
        """Values of a block before and after, `(C, *spatial)`."""
        (before, filled, missing, dead), damage = self._damaged(item, block)
        if dead and not self.dead:
            self.dead = lines_of(dead, self.file.part.layout.spatial)
        place = None if self.place is None else self.place[block]
        damage = damage if place is None else damage * place.to(damage)
        self._count(self.removal(item), filled, damage)
        self.tell()
        return before, kept_beside(place, before, finished(filled, damage, missing, self.scale).double())

    def _damaged(self, item: int, block: Block) -> tuple[Filled, Tensor]:
        """A block and its damage; of small items with those of the next ones, as many at a time take far less each."""
        if self._gain is None:
            one = self.filled(item, block)
            return one, self.removal(item).apply(one[1])
        if item not in self._ahead:
            some = range(item, min(item + TOGETHER, self.file.part.count))
            held = [self.filled(k, block) for k in some]
            damage = self._gain.removal.apply(torch.stack([filled for _, filled, *_ in held]))
            self._ahead = dict(zip(some, zip(held, damage, strict=True), strict=True))
        return self._ahead[item]

    def _count(self, removal: Removal, filled: Tensor, damage: Tensor) -> None:
        """Sum up what is left in the band, what its surroundings have, and what is at limits."""
        left = filled - damage
        self._values += filled.numel()
        self._clipped += removal.limits.count(filled) if removal.limits else 0
        weight = removal.basis.multiplicity() * (removal.damage > 0)
        self._rest += float((weight * removal.power_of(left)).sum())
        self._clean += float((weight * removal.smooth).sum())
        self._mixed.append(removal.mixed)

    @property
    def left(self) -> float | None:
        """Power that is left in the band over the smooth spectrum, in dB; None if nothing was taken out."""
        return 10 * math.log10(self._rest / self._clean) if self._rest > 0 and self._clean > 0 else None

    @property
    def mixed(self) -> float:
        """Share of what was taken out that lies where content is strong, of all blocks; see `Removal.mixed`."""
        return sum(self._mixed) / max(1, len(self._mixed))

    @property
    def steps(self) -> int:
        """Times that `tell` is called: when a part is measured, if it is, and when it is changed."""
        return (2 if self._gain is None else 1) * self.file.part.count * len(self.file.blocks)

    def parts(self) -> Iterator[tuple[int, Block, Tensor]]:
        """Item, place and values of all parts, cleaned; what was removed and what is left is summed up on the way."""
        for item, block, before, after in self.file.changed(self.change):
            self._shown = self._shown or self._example(before, after)
            # About a value near all others: of a large offset, squares would be rounded to more than all else.
            centre = self._centre.setdefault(item, after.nan_to_num().flatten(1).mean(1))
            rest = (after - centre.reshape(-1, *(1,) * (after.ndim - 1))).nan_to_num()
            self.missing += int(before.isnan().sum())
            self._removed += float((before - after).nan_to_num().square().sum())
            self._left += float(rest.square().sum())
            self._sum[item] += rest.flatten(1).sum(1)
            yield item, block, after

    @property
    def excess(self) -> float | None:
        """Power of what was removed over that of what is left, about its mean, in dB; None if nothing was, but for
        rounding."""
        places = math.prod(self.file.shape[1:])
        left = self._left - float((self._sum.square() / places).sum())
        return 10 * math.log10(self._removed / left) if self._removed > _ROUNDING * left > 0 else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What else there is to say."""
        blocks, gaps = len(self.file.blocks), self.missing
        said = {
            "damage multiplies the values, and was taken out of their logarithm": self.scale.multiplies,
            self.dead: bool(self.dead),
            f"{gaps} missing values (NaN) were filled in before, and are missing again": gaps,
            f"cleaned in {blocks} overlapping blocks": blocks > 1,
            of_clipped(self._clipped / max(1, self._values)): self._clipped >= CLIPPED * self._values > 0,
            "nothing in the band stood out, and nothing was taken out": bool(self._centre) and self.excess is None,
            _of_rest(self.left): (self.left or 0.0) > _MUCH,
            of_mixed(self.mixed): self.mixed >= PART,
        }
        of_files = dict.fromkeys(note for array in self.file.part.arrays for note in array.notes)
        return (*of_files, *(note for note, holds in said.items() if holds))

    def shown(self) -> Shown:
        """A part of the first item before, and what was taken out, with its spectra."""
        return self._shown or self._example(*self.change(0, self.file.blocks[0]))

    def _example(self, before: Tensor, after: Tensor) -> Shown:
        filled, removal = self.filled(0, self.file.blocks[0])[1], self.removal(0)
        meaning = self.file.meaning_of(before)
        return example(meaning, self.file.shape, before, after, filled, removal, self.scale, self.beside)


def is_small(file: Whole) -> bool:
    """Whether items are of so few values that several are measured together."""
    return math.prod(file.shape[1:]) < SMALL


def values_of(file: Whole, scale: Scale) -> Iterator[Tensor]:
    """All blocks of a file, in as many digits as cleaning takes."""
    for item, block in itertools.product(range(file.part.count), file.blocks):
        yield _exact(file, file.read(item, block), scale)


def _exact(file: Whole, x: Tensor, scale: Scale) -> Tensor:
    """Values of few digits need no more than single precision; logarithms take some of it."""
    return x.to(torch.float32 if file.narrow and not scale.multiplies else torch.float64)


def _of_rest(left: float | None) -> str:
    return f"{left or 0.0:.1f} dB more than around it is left in the band: damage that drifts or ends, or content"


def of_clipped(share: float) -> str:
    """A sentence about a share of the values that are at limits."""
    return f"{limits_line(share)}: they were taken as at most or at least that"


def of_mixed(share: float) -> str:
    """A sentence about a share of what was taken out that lies where content is strong."""
    return f"{100 * share:.0f} % of what was taken out lies where content is strong, and some of it is content"
