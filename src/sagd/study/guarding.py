"""The guard around a damaged band, and data without it: of windows, taken out of what they are cut from."""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sagd.build.objects import omission_mode, process_basis
from sagd.build.schema import OmissionConfig, ProcessConfig
from sagd.build.text import call_text
from sagd.data.images import to_unit_range
from sagd.data.signals import Signals
from sagd.data.windows import Windows
from sagd.errors import InputError, argument
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.operator import Diagonal
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Guarded
from sagd.noise.statistics import DataStatistics, measure, most_measured
from sagd.omission.guard import Guard, guard_of, has_edges, has_surroundings, measured_excess, next_bins, unguarded
from sagd.omission.modes import Mode
from sagd.omission.premise import Premise, premise
from sagd.omission.removal.clipping import limits_line, share_at_limits
from sagd.omission.removal.extend import extend, extended_size
from sagd.omission.second import SecondDamage
from sagd.omission.split import split

logger = logging.getLogger(__name__)

AUTO, NONE = "auto", "none"
_APART = 8
"""One in so many samples of the longest axis of a file is set apart, or as many as a window has."""
_ASKED = 4096
"""Items that are asked how the damage is, at most."""
LOOKED_AT = 2**24
"""Values of whole arrays that a guard is measured on, or damage looked for in, at most."""
_LEAST_PART = 2**20
"""Values of each array in which damage is looked for, at least, where all values of all are too many."""
_CLIPPED = 0.01
"""Share of the values at limits from which on that is told."""
_NOTHING = 1e-12
"""Power over that of the strongest channel up to which one does not vary, but for rounding."""
_SOFT = 2
"""Width of the soft edge of what is taken out of whole arrays, in bins of these."""


def guarded(omission: OmissionConfig, data: Signals) -> OmissionConfig:
    """The configuration with the guard around its band, and what is taken out of the files that windows are cut from.

    A band that has a guard stays as it is, and so does that of a mode that is shown it.

    Args:
        omission: Configuration whose band is known.
        data: Damaged data.

    Raises:
        InputError: If the guard cannot be read, needs edges that the band has not, or leaves nothing; or if guard or
            split were named and have no part in this.
    """
    mode = omission_mode(omission, data.meaning.grid())
    if mode is None:
        return omission
    refuse_idle(omission, mode, data)
    if not mode.leaves_out or isinstance(mode.place, Guarded):
        return omission
    width = _width(omission.guard)
    of_files = data.cut is not None and omission.split != NONE
    if omission.guard == NONE and not of_files:
        return omission
    if not has_edges(mode.place, len(data.shape) - 1):
        also = " and process.omission.split none" if data.cut is not None else ""
        raise InputError(
            f"process.omission.band {mode.place.label} has no edges, from which guards are measured; set"
            f" process.omission.guard none{also}, or give ring, wedge, strip, stripes or spots, or sums of them"
        )
    arrays = wholes(data) if of_files else None
    guard = _guard(mode.place, width, data, arrays)
    logger.info("%s%s", guard.line(), ", taken out of whole files" if of_files else "")
    if arrays is None:
        return _with_band(omission, guard.by) if guard.by else omission
    own = omission.split
    if own == AUTO:
        named = Spectrum.parse(Mode.read(omission.mode).get("band", omission.band))
        own = str(Guarded(named, guard.by, _softness(arrays[0].shape[1:])))
    return _with_band(omission, next_bins(mode.place, data.shape[1:]).by, split=own)


def refuse_idle(omission: OmissionConfig, mode: Mode, data: Signals) -> None:
    """Refuse what somebody named to no effect."""
    named = [name for name in ("guard", "split") if getattr(omission, name) not in (AUTO, NONE)]
    if named and not mode.leaves_out:
        raise InputError(
            f"process.omission.{named[0]} {getattr(omission, named[0])!r} has no part in mode {mode.kind!r}, whose"
            " model is shown the band; leave it out"
        )
    if "split" in named and data.cut is None:
        raise InputError(
            f"process.omission.split {omission.split!r} is taken out of files that windows are cut from, and"
            f" {data.name!r} is not cut in windows; leave it out, or cut windows with {argument('data.fit=crop')}"
        )


def read_once(data: Signals) -> Signals:
    """Data whose files, if windows are cut from them, are read when they are first asked for, and held with it."""
    return data if data.cut is None else dataclasses.replace(data, cut=functools.cache(data.cut))


def as_begun(omission: OmissionConfig, found: OmissionConfig) -> OmissionConfig:
    """The configuration with the guard of when the run was started, if the band is that of then."""
    told = Mode.read(omission.mode).get("band", omission.band)
    begun = AUTO if found.band == AUTO else Spectrum.parse(found.band)
    if not isinstance(begun, Guarded) or told == AUTO or Spectrum.parse(told) not in (begun, begun.band):
        return omission
    own = found.split if omission.split == AUTO else omission.split
    return dataclasses.replace(omission, mode=found.mode, band=found.band, split=own)


def without_band(data: Signals, process: ProcessConfig) -> Signals:
    """Data whose windows are cut from files without the band, and hold it only where the model is not shown it.

    Of the two parts `s` (seen) and `h` (the band) of the files, windows are `s + Q h`, `Q` the projector onto the band
    of the windows: a model that is not shown `Q` sees nothing of `h`.

    Args:
        data: Damaged data.
        process: Configuration that `resolve_omission` gave.

    Raises:
        InputError: If the data has gaps, or is damaged as it is read.
    """
    omission, grid = process.omission, data.meaning.grid()
    mode = omission_mode(omission, grid)
    if mode is None or not mode.leaves_out or omission.split in (AUTO, NONE) or data.cut is None:
        return data
    if data.corruption is not None:
        raise InputError(
            "process.omission.split takes the band out of whole files, data.corruption damages each window by itself;"
            " damage the files with sagd corrupt, or set process.omission.split none"
        )
    windows = cut_of(data)
    band = Spectrum.parse(omission.split).on(grid)
    parts = tuple(torch.cat(split(_shown(array, data), band)) for array in windows.arrays)
    basis = process_basis(dataclasses.replace(process, channels="as_given"), data.shape)
    inside = Diagonal((mask(mode.place, basis) > 0).float(), basis)
    channels = data.shape[0]

    def made(x: Tensor) -> Tensor:
        seen, hidden = x.split(channels, dim=1)
        return seen + inside * hidden

    stored = dataclasses.replace(windows, arrays=parts, made=made, channels=channels)
    return dataclasses.replace(data, stored=stored, cut=lambda: stored, read=data.unchosen)


def second_damage(mode: Mode, data: Signals, statistics: DataStatistics) -> SecondDamage | None:
    """Damage of the law of the data's, to lay over held-out data; None if nothing of it is seen, or can be measured.

    Args:
        mode: The mode of omission, its band and guard known.
        data: What is trained on.
        statistics: Of that.
    """
    if isinstance(data.stored, Windows) and data.stored.made is not None:
        return None  # the band was taken out of whole files
    band, basis = unguarded(mode.place), statistics.basis.spatial_part
    if not has_surroundings(band, basis):
        logger.info(f"no second damage is laid on: {band.label} leaves too little beside it to measure its damage by")
        return None
    spectrum = _of_channels(data, statistics)
    varies = spectrum.flatten(1).amax(1) > _NOTHING * spectrum.max()
    damage, clean = torch.zeros_like(spectrum), torch.zeros_like(spectrum)
    for k in varies.nonzero().flatten().tolist():
        damage[k], clean[k] = measured_excess(spectrum[k], band, basis)
    known = mode.damage(statistics.basis)
    if known is not None and known.ndim > basis.rank and statistics.basis.mixing is not None:
        known = torch.einsum("ic,i...->c...", torch.tensor(statistics.basis.mixing, dtype=known.dtype) ** 2, known)
    power = damage if known is None else known.expand_as(damage)
    stands_out = bool((power * (mask(mode.place, basis) > 0) > 0).any())
    return SecondDamage(mode.place, power, basis, band, clean) if stands_out else None


def _of_channels(data: Signals, statistics: DataStatistics) -> Tensor:
    """The power spectrum of channels as they are, `(C, *coefficients)`."""
    if statistics.basis.channels is None:
        return statistics.spectrum
    some = data.at_most(most_measured(data.shape))
    return measure(some.tensor(), statistics.basis.spatial_part, mask=some.known()).spectrum


def set_apart(data: Signals) -> tuple[Signals, Signals | None]:
    """Data to train on, and windows of a part of each file that is set apart: those beside would be half the same.

    None, and all is to train on, of data that is no windows of arrays in memory, or of too small ones.
    """
    windows = data.stored
    if not isinstance(windows, Windows):
        return data, None
    start, _, end = _along(data, windows)
    if not (start >= end).any():
        return data, None
    other = dataclasses.replace(data, stored=dataclasses.replace(windows, roams=False))
    return kept_of(data, windows), other.subset((start >= end).nonzero()[:, 0])


def kept_of(data: Signals, windows: Windows) -> Signals:
    """Windows of what is not set apart of each file; `windows`, those of the data in memory."""
    start, n, end = _along(data, windows)
    cut = zip(windows.arrays, *ends(windows), strict=True)
    kept = tuple(array.narrow(1 + axis, 0, limit) for array, axis, limit in cut)
    own = dataclasses.replace(data, stored=dataclasses.replace(windows, arrays=kept))
    return own.subset((start + n <= end).nonzero()[:, 0])


def ends(windows: Windows) -> tuple[list[int], list[int]]:
    """The axis of each array that is longest in windows, and the sample from which on it is set apart.

    That is the one after its last of an array that is too small.
    """
    axes = [
        max(range(len(windows.size)), key=lambda a: array.shape[1 + a] / windows.size[a]) for array in windows.arrays
    ]
    limits = []
    for array, axis in zip(windows.arrays, axes, strict=True):
        side, n = array.shape[1 + axis], windows.size[axis]
        apart = max(n, side // _APART)
        limits.append(side - apart if side - apart >= 2 * n else side)
    return axes, limits


def _along(data: Signals, windows: Windows) -> tuple[Tensor, Tensor, Tensor]:
    """Where windows start along that axis, how long they are there, and where what is set apart starts, `(N,)` each."""
    axes, limits = map(torch.tensor, ends(windows))
    rows = torch.arange(len(windows)) if data.rows is None else data.rows
    number = windows.number[rows]
    start = windows.origin[rows].gather(1, axes[number][:, None])[:, 0]
    return start, torch.tensor(windows.size)[axes[number]], limits[number]


def premise_of(mode: Mode, data: Signals, statistics: DataStatistics) -> Premise:
    """Whether the damage is what omission supposes, as far as damaged data tells.

    Args:
        mode: The mode of omission, its band known.
        data: What is trained on.
        statistics: Of that.
    """
    if isinstance(data.stored, Windows):
        return Premise()  # windows of one file share its damage, but not the place in it
    some = data.at_most(min(_ASKED, most_measured(data.shape)))
    batches = (some.batch(rows)[0].nan_to_num() for rows in torch.arange(len(some)).split(256))
    dark = -1.0 if data.meaning.kind == "image" else None
    found = premise(batches, mode.place, statistics.basis, dark)
    return dataclasses.replace(found, clipped=found.is_multiplied and _clipped(data, below=True) >= _CLIPPED)


def clipped_notes(data: Signals) -> list[str]:
    """What there is to say of damage that was cut off at the limits of values, to who leaves its band out."""
    share = _clipped(data)
    if share < _CLIPPED:
        return []
    return [f"{limits_line(share)}: what that leaves of it beside the band is learnt; mode 'cleaned' reckons with it"]


def _clipped(data: Signals, below: bool = False) -> float:
    """Share of the values of data that lie at limits, or at the low ones alone."""
    if data.cut is not None:
        return share_at_limits([in_range(x) for x in middles(cut_of(data).arrays)], below)
    return share_at_limits(list(data.at_most(min(_ASKED, most_measured(data.shape))).tensor()), below)


def split_band(band: Spectrum, arrays: list[Tensor]) -> Spectrum:
    """What is taken out of whole arrays `(C, *spatial)`, one size, for a band as it is named."""
    return Guarded(band, _guard(band, None, None, arrays).by, _softness(arrays[0].shape[1:]))


def _softness(spatial: Sequence[int]) -> float:
    """Width of the soft edge of what is taken out of arrays of a size."""
    return round(_SOFT / min(extended_size(spatial)), 6)


def _guard(band: Spectrum, width: float | None, data: Signals | None, arrays: list[Tensor] | None) -> Guard:
    """The guard on the grid of whole arrays, or of the data."""
    if arrays is None:
        assert data is not None
        some = data.at_most(most_measured(data.shape))
        x = some.tensor()
        basis = FourierBasis(data.shape[1:])
        own = [x - x.mean(dim=tuple(range(2, x.ndim)), keepdim=True)]
    else:
        basis = FourierBasis(extended_size(arrays[0].shape[1:]))
        own = [extend(x - x.mean(dim=tuple(range(1, x.ndim)), keepdim=True), basis.spatial)[None] for x in arrays]
    power = torch.stack([basis.forward(x.double()).abs().square().mean((0, 1)) for x in own]).mean(0)
    damage, smooth = measured_excess(power, band, basis)
    if width is None:
        return guard_of(band, damage, smooth, basis)
    whole, weight = Guarded(band, width), basis.multiplicity()
    left = float((weight * damage)[~(whole.weights(basis.frequencies()) > 0)].sum() / (weight * damage).sum())
    return Guard(whole if width else band, width, width * min(basis.spatial), left)


def _width(guard: str) -> float | None:
    """Cycles per sample; None if it is measured."""
    if guard == AUTO:
        return None
    try:
        width = 0.0 if guard == NONE else float(guard)
    except ValueError:
        width = -1.0
    if not (math.isfinite(width) and 0 <= width < 0.5):
        raise InputError(f"process.omission.guard must be auto, none, or 0 to 0.5 cycles per sample, got {guard!r}")
    return width


def _with_band(omission: OmissionConfig, by: float, **changes: str) -> OmissionConfig:
    """The configuration with a guard around its band, which keeps its units."""
    mode = Mode.read(omission.mode)
    named = Spectrum.parse(mode.pop("band", omission.band))
    band = str(Guarded(named, by)) if by else str(named)
    return dataclasses.replace(omission, mode=call_text(mode), band=band, **changes)  # type: ignore[arg-type]


def cut_of(data: Signals) -> Windows:
    """The files that windows are cut from."""
    assert data.cut is not None
    return data.stored if isinstance(data.stored, Windows) else data.cut()


def wholes(data: Signals) -> list[Tensor]:
    """Their arrays as models see them, `(C, *spatial)`; of several sizes the largest."""
    return [_shown(array, data) for array in alike(cut_of(data).arrays)]


def alike(arrays: Sequence[Tensor]) -> list[Tensor]:
    """Those of the largest size, as many as are looked at."""
    largest = max(arrays, key=Tensor.numel).shape
    return [array for array in arrays if array.shape == largest][: max(1, LOOKED_AT // math.prod(largest))]


def middles(arrays: Sequence[Tensor]) -> list[Tensor]:
    """The middles of arrays `(C, *spatial)`, all of the size by which most values are looked at, of as many as fit."""
    shapes = np.array([array.shape[1:] for array in arrays])

    def within(sides: np.ndarray) -> np.ndarray:
        return np.all(shapes >= sides, axis=1)

    every = np.unique(np.concatenate([shapes.min(0, keepdims=True), shapes]), axis=0)
    sides = max(every, key=lambda s: int(s.prod()) * int(within(s).sum())).tolist()
    fit = [array for array, fits in zip(arrays, within(np.array(sides)), strict=True) if fits]
    values = len(arrays[0]) * math.prod(sides)
    share = min(1.0, max(LOOKED_AT / len(fit), _LEAST_PART) / values)
    parts = [max(1, int(n * share ** (1 / len(sides)))) for n in sides]
    most = min(len(fit), max(1, LOOKED_AT // (len(arrays[0]) * math.prod(parts))))
    chosen = [fit[k * len(fit) // most] for k in range(most)]
    return [array[_middle(array.shape[1:], parts)] for array in chosen]


def _middle(spatial: Sequence[int], sides: Sequence[int]) -> tuple[slice, ...]:
    """The middle of an array `(C, *spatial)`, of these sides."""
    starts = [(n - side) // 2 for n, side in zip(spatial, sides, strict=True)]
    return slice(None), *(slice(start, start + side) for start, side in zip(starts, sides, strict=True))


def in_range(array: Tensor) -> Tensor:
    """An array that is kept, as models see it."""
    return to_unit_range(array) if array.dtype == torch.uint8 else array


def _shown(array: Tensor, data: Signals) -> Tensor:
    """An array as models see it.

    Raises:
        InputError: If values are missing.
    """
    x = in_range(array)
    if x.isnan().any():
        raise InputError(
            f"{data.name!r} has missing values, and its band is taken out of whole files; fill them in, or set"
            " process.omission.split none"
        )
    return x
