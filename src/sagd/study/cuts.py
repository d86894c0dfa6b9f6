"""Windows of larger files, for training in laps: cut once, at the same places of files as they are and of cleaned ones.

Cleaning whole files is far better than cleaning windows, since a line is as narrow as a file is long. For the same
reason the power of the damage in windows is that in whole files, seen through windows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from sagd.build.schema import OmissionConfig
from sagd.data.kinds import Kind
from sagd.data.signals import Signals
from sagd.data.windows import Windows
from sagd.errors import InputError, argument
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.omission.dead import dead_lines
from sagd.omission.removal import Removal, measure
from sagd.omission.removal.extend import crop
from sagd.omission.removal.measurement import windowed
from sagd.omission.trial import Left, Trial, tried
from sagd.random import generator_for, randn, subset
from sagd.study.cleared import cleared
from sagd.study.guarding import cut_of, ends, in_range, kept_of

_TIMES = 4
"""Windows in which each value is, about."""
_LEAST, _MOST = 16, 4096
"""Windows that are trained on."""
_TOGETHER = 256
"""Windows that are transformed at a time."""


@dataclass(frozen=True, eq=False)
class Cuts:
    """Fixed windows of files.

    Attributes:
        data: What is cut from them, damaged.
    """

    data: Signals

    @cached_property
    def files(self) -> Windows:
        """The files."""
        return cut_of(self.data)

    @cached_property
    def roaming(self) -> Signals:
        """The data itself, of what is not set apart of each file."""
        return kept_of(self.data, self.files)

    def parts(self, judged: int) -> tuple[Signals, Signals]:
        """Windows at random places of that, and so many at most side by side in what is set apart."""
        arrays, size = self.files.arrays, self.files.size
        axes, limits = ends(self.files)
        each = [*zip(arrays, axes, limits, strict=True)]
        kept = replace(self.files, arrays=tuple(x.narrow(1 + axis, 0, end) for x, axis, end in each))
        values = sum(math.prod(x.shape[1:]) for x in kept.arrays)
        count = max(_LEAST, min(_MOST, round(_TIMES * values / math.prod(size))))
        rest = tuple(x.narrow(1 + axis, end, x.shape[1 + axis] - end) for x, axis, end in each)
        apart = replace(self.files, arrays=rest).side_by_side()
        some = subset(len(apart), judged, generator_for("laps", "judged")).sort().values
        starts = torch.nn.functional.one_hot(torch.tensor(axes), len(size)) * torch.tensor(limits)[:, None]
        number = apart.number[some]
        return (
            self._signals(kept.scattered(count, generator_for("laps", "windows"))),
            self._signals(replace(apart, number=number, origin=apart.origin[some] + starts[number])),
        )

    def _signals(self, windows: Windows) -> Signals:
        """Windows at these places of whole files, with the labels of these."""
        stored, labels = replace(windows, arrays=self.files.arrays), None
        if self.data.labels is not None:
            rows = torch.arange(len(self.files)) if self.data.rows is None else self.data.rows
            of_file = torch.zeros(len(self.files.arrays), dtype=torch.int64)
            of_file[self.files.number[rows]] = self.data.labels
            labels = of_file[windows.number]
        return replace(
            self.data, stored=stored, labels=labels, rows=None, places=None, origin=None, cut=None, read=None
        )

    @property
    def dead(self) -> bool:
        """Whether a file has dead lines."""
        return any(dead_lines(in_range(array)) for array in self.files.arrays)

    def check(self, apart: Signals, fewest: int) -> None:
        """Refuse files that have too little to judge by.

        Raises:
            InputError: If so.
        """
        if len(apart) < fewest:
            raise InputError(
                f"process.omission.laps are judged on windows side by side in the part of each file that is set"
                f" apart, and there are {len(apart)} of {self.size} in {self._several}, at least {fewest} are needed;"
                f" give more or larger files, or a smaller {argument('data.size')}"
            )

    def line(self, kept: Signals, apart: Signals) -> str:
        """For people: how many windows there are."""
        return (
            f"laps learn from {len(kept)} windows of {self.size} at random places of {self._several}, and are judged"
            f" on {len(apart)} side by side in what is set apart"
        )

    @property
    def size(self) -> str:
        """Sides of windows, for people."""
        return " x ".join(map(str, self.files.size))

    @property
    def _several(self) -> str:
        count = len(self.files.arrays)
        return f"{count} {Kind.member(self.data.meaning.kind).item[count != 1]}"


@dataclass(frozen=True, eq=False)
class CleanedFiles:
    """The files without their damage.

    Attributes:
        cuts: Windows of them.
        omission: Of mode 'cleaned', the band known.
        band: In cycles per sample.
    """

    cuts: Cuts
    omission: OmissionConfig
    band: Spectrum

    @cached_property
    def arrays(self) -> tuple[Tensor, ...]:
        """They, as models see them, `(C, *spatial)`."""
        return self._cleaned(self.cuts.files.arrays)

    def windows(self, data: Signals, numbers: Tensor) -> Tensor:
        """Those at the places of windows `(B,)` of damaged files, `(B, C, *size)`."""
        return _seen(data, self.arrays, numbers)

    def noise(self, data: Signals) -> Tensor:
        """Mean power `N(f)` of the damage in windows, `(1, C, *coefficients)` of their Fourier basis, float64.

        Args:
            data: Windows of the damaged files.
        """
        files, shape = self.cuts.files, (data.shape[0], *FourierBasis(data.shape[1:]).coefficients)
        total = torch.zeros(shape, dtype=torch.float64)
        counts = torch.bincount(_placed(data).number, minlength=len(files.arrays)).tolist()
        for array, count in zip(files.arrays, counts, strict=True):
            own = self._removals[array.shape].noise_of(in_range(array)[None])
            total = total + count * windowed(own, FourierBasis(array.shape[1:]), files.size)
        return total[None] / len(data)

    def tried(
        self, data: Signals, noise: Tensor, numbers: Tensor, network: Callable[[Tensor, Tensor], Tensor]
    ) -> Trial:
        """Try what windows had better be restored from, damaged or cleaned ones, on files of which the truth is known.

        The truth is a cleaned file with what cleaning may have taken of its content drawn anew, by the spectra that it
        was cleaned by; under what the damaged file holds more than that, run backwards along all axes.

        Args:
            data: Windows of the damaged files.
            noise: Power of the damage in them.
            numbers: Those that are tried, `(B,)`.
            network: How they are restored by the network given the power of their noise.
        """
        damaged = self.cuts.files.arrays
        truth = [x + _lost(self._removals[x.shape], k).to(x) for k, x in enumerate(self.arrays)]
        axes = tuple(range(1, truth[0].ndim))
        under = tuple(x + (in_range(y) - x).flip(axes) for x, y in zip(truth, damaged, strict=True))
        again, every = self._cleaned(under), torch.ones_like(noise)
        parts = torch.arange(len(data)).split(_TOGETHER)
        left = Left.of(((_seen(data, truth, some), _seen(data, again, some)) for some in parts), every)
        x, y, z = (_seen(data, arrays, numbers) for arrays in (truth, under, again))
        return tried(x, y, z, noise, every, network, left=left)

    @cached_property
    def _removals(self) -> dict[torch.Size, Removal]:
        """What is measured on files of each size together."""
        arrays = self.cuts.files.arrays
        return {
            size: measure(lambda size=size: (in_range(x) for x in arrays if x.shape == size), self.band, clipped=True)  # type: ignore[misc]
            for size in dict.fromkeys(x.shape for x in arrays)
        }

    def _cleaned(self, arrays: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        given = replace(self.cuts.data, stored=replace(self.cuts.files, arrays=arrays))
        return cut_of(cleared(self.omission, given).data).arrays


def _lost(removal: Removal, number: int) -> Tensor:
    """A draw of the content that cleaning may have taken out of a file, `(C, *spatial)`, float64."""
    basis = removal.basis
    white = randn((len(removal.gain), *basis.spatial), generator_for("laps", "lost", number), torch.float64)
    drawn = basis.inverse(((1 - removal.gain) * removal.smooth).sqrt() * basis.forward(white))
    return crop(torch.einsum("ji,j...->i...", removal.turn, drawn), removal.spatial)


def _placed(data: Signals) -> Windows:
    """Where its windows are."""
    assert isinstance(data.stored, Windows)
    return data.stored


def _seen(data: Signals, arrays: Sequence[Tensor], numbers: Tensor) -> Tensor:
    """Windows `(B, C, *size)` of other arrays at the places of some of the data."""
    return replace(data, stored=replace(_placed(data), arrays=tuple(arrays))).batch(numbers)[0]
