"""What a page shows of a cleaned file: a part before and what was taken out of it, and spectra."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sagd.data.meaning import Meaning
from sagd.data.whole import Whole
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis, whole
from sagd.noise.spectra.base import Spectrum
from sagd.omission.detection.base import Detection
from sagd.omission.guard import next_bins
from sagd.omission.preparation import Scale, finished, prepared
from sagd.omission.removal import Removal
from sagd.omission.removal.extend import crop, extend
from sagd.study.beside import Result, beside

_SHOWN = {1: 2**12, 2: 640, 3: 64}
"""Samples along an axis of what a page shows, by number of axes."""
_RINGS = 256
"""Points of a spectrum that a page shows."""
_SIDE = 256
"""Cells along an axis of a map of all frequencies, at most."""


@dataclass(frozen=True)
class Shown:
    """What a page shows of a file.

    Attributes:
        meaning: What values mean.
        whole: Whether all of the first item is shown.
        before: `(C, *spatial)`, a part of the first item, float32, without gaps.
        removed: What was taken out of it, likewise; empty where nothing was found.
        held: What it has in the band, content and damage, likewise.
        frequency: Of the points of spectra, in cycles per sample, `(K,)`.
        spectra: "before", "after" and "smooth": power, `(K,)`; where nothing was found, without "after".
        taken: Of two axes, how much of each frequency was taken out, 0 to 1, as a map with 0 in its middle, each cell
            the largest of its frequencies; empty otherwise.
        power: Likewise, the logarithm to base 10 of the power.
        beside: What the usual tools make of it, the same part of each.
    """

    meaning: Meaning
    whole: bool
    before: np.ndarray
    removed: np.ndarray
    held: np.ndarray
    frequency: np.ndarray
    spectra: dict[str, np.ndarray]
    taken: np.ndarray
    power: np.ndarray
    beside: tuple[Result, ...] = ()


def example(
    meaning: Meaning,
    whole: tuple[int, ...],
    before: Tensor,
    after: Tensor,
    filled: Tensor,
    removal: Removal,
    scale: Scale,
    tools: bool,
) -> Shown:
    """A part of a block before, and what was taken out, with its spectra.

    Args:
        meaning: What values mean.
        whole: Shape of the item that the block is of.
        before: Its values, `(C, *spatial)`, NaN where some are missing.
        after: Likewise.
        filled: Without gaps, on the scale.
        removal: What was taken out.
        scale: On which the damage adds.
        tools: Whether what the usual tools make of it is shown, too.
    """
    rank, part = before.ndim - 1, _middle(before)
    nowhere = torch.zeros_like(filled, dtype=torch.bool)
    values = finished(filled, 0.0, nowhere, scale).double()
    held = values - finished(filled, _held(filled, removal), nowhere, scale).double()
    others = beside(filled, removal, scale) if tools else []
    frequency, spectra = profiles(removal)
    flat, width = rank == 2, removal.basis.spatial[-1]
    return Shown(
        meaning,
        before[part].shape == whole,
        torch.where(before[part].isnan(), values[part], before[part]).float().numpy(),
        (before - after)[part].nan_to_num().float().numpy(),
        held[part].float().numpy(),
        frequency,
        spectra,
        whole_map(1 - removal.gain.min(0).values, width) if flat else np.empty(0),
        whole_map(removal.power.mean(0).clamp(min=1e-30).log10(), width) if flat else np.empty(0),
        tuple(dataclasses.replace(o, x=None if o.x is None else o.x[part].float()) for o in others),
    )


def looked_at(file: Whole, found: Detection) -> Shown:
    """A part of the first item of a file in which nothing was found, and its spectrum, with what is likeliest.

    Args:
        file: The file.
        found: What was looked at.
    """
    before = file.read(0, file.blocks[0])
    meaning, part = file.meaning_of(before), _middle(before)
    values = prepared(before.float(), Scale())[1]
    basis, side = found.basis, found.basis.spatial
    inside = torch.ones(basis.coefficients, dtype=torch.bool)
    fine = FourierBasis((_SIDE,) * basis.rank) if basis.rank == 2 else basis
    drawn = torch.zeros(fine.coefficients)
    if found.likeliest is not None and basis.rank > 1:
        drawn, inside = (_place(found.likeliest.band, grid) for grid in (fine, basis))
    curves = {"before": found.power, "smooth": found.smooth}
    frequency, spectra = _by_radius(basis, inside, curves)
    flat = basis.rank == 2
    return Shown(
        meaning,
        before[part].shape == file.shape,
        values[part].float().numpy(),
        np.empty(0),
        np.empty(0),
        frequency,
        spectra,
        whole_map(drawn, _SIDE) if flat else np.empty(0),
        whole_map(found.power.clamp(min=1e-30).log10(), side[-1]) if flat else np.empty(0),
    )


def _place(band: Spectrum, basis: FourierBasis) -> Tensor:
    """Where a band is, or the frequencies next to it if it lies between these, `(*coefficients)`, bool."""
    frequencies = basis.frequencies()
    own = band.weights(frequencies) > 0
    return own if own.any() else next_bins(band, basis.spatial).weights(frequencies) > 0


def _middle(x: Tensor) -> tuple[slice, ...]:
    """The part of an array `(C, *spatial)` that a page shows."""
    most = _SHOWN.get(x.ndim - 1, 64)
    sides = [(n, min(n, most)) for n in x.shape[1:]]
    return (slice(None), *(slice((n - m) // 2, (n - m) // 2 + m) for n, m in sides))


def _held(x: Tensor, removal: Removal) -> Tensor:
    """What an array `(C, *spatial)` has in the band, content and damage."""
    x = x - x.mean(dim=tuple(range(1, x.ndim)), keepdim=True)
    inside = mask(removal.band, removal.basis).to(x)
    whole = removal.basis.inverse(inside * removal.basis.forward(extend(x, removal.basis.spatial)))
    return crop(whole, removal.spatial)


def whole_map(half: Tensor, width: int) -> np.ndarray:
    """All frequencies of half of them, DC in the middle, at most `_SIDE` a side: the largest of each cell.

    Args:
        half: `(*coefficients)` of two axes.
        width: Columns of all of them.
    """
    full = torch.fft.fftshift(whole(half[None], width)[0]).float()
    steps = [max(1, -(-n // _SIDE)) for n in full.shape]
    cells = torch.nn.functional.max_pool2d(full[None], steps, steps) if max(steps) > 1 else full[None]
    return cells[0].numpy()


def profiles(removal: Removal) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Power by radial frequency before, after, and of the smooth spectrum, of the frequencies that the gain touches
    where there are several axes; of all in one."""
    after = removal.power * removal.gain.square()
    curves = {"before": removal.power.mean(0), "after": after.mean(0), "smooth": removal.smooth.mean(0)}
    touched = removal.gain.min(0).values < 1
    return _by_radius(removal.basis, touched if len(removal.spatial) > 1 else torch.ones_like(touched), curves)


def _by_radius(
    basis: FourierBasis, touched: Tensor, curves: dict[str, Tensor]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Means of powers `(*coefficients)` by radial frequency, over some of the frequencies."""
    touched = touched.flatten()
    frequency, weight = (v.flatten()[touched] for v in (basis.radius(), basis.multiplicity()))
    if not len(frequency):
        return np.empty(0), {name: np.empty(0) for name in curves}
    points = min(_RINGS if basis.rank > 1 else 8 * _RINGS, len(frequency))
    high = float(frequency.max()) * (1 + 1e-9)
    index = (frequency / high * points).long().clamp(max=points - 1)
    total = torch.zeros(points, dtype=torch.float64).index_add_(0, index, weight)
    known = total > 0

    def mean(v: Tensor) -> np.ndarray:
        return (torch.zeros(points, dtype=torch.float64).index_add_(0, index, weight * v)[known] / total[known]).numpy()

    return mean(frequency), {name: mean(curve.flatten()[touched]) for name, curve in curves.items()}
