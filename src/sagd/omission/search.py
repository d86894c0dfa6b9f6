"""Looking for the damage of arrays: again once it has been taken out, and on the scale on which it adds.

Strong damage hides what is weaker beside it: two waves of moire whose lines touch, or stripes under a screen. So what
was found is taken out, and the rest is looked at again. Damage that multiplies the values keeps step with what it lies
upon, as content does, but its logarithm does not: where both scales show damage, it is of the one on which it keeps
less in step, unless it is as strong in dark arrays as in bright ones.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.omission.detection.base import Detection
from sagd.omission.detection.find import can_be_looked_at, find
from sagd.omission.detection.harmonics import harmonics
from sagd.omission.premise import on_brightness
from sagd.omission.preparation import Scale, prepared, scales_of
from sagd.omission.quick import quick_for
from sagd.omission.removal import Removal, measure

_MOST_OF_ALL = 10.0
"""Power of what would be taken out, over that of what would be left, from which on it is asked for: music of steady
tones is all peaks."""
_STILL, _MIXED = 4.0, 1 / 3
"""Power that would be left in the band, over the clean one, and share of what would be taken out where content is
strong, from which on, both, it is asked for: what does not follow one spectrum all over is content, such as the profile
of a sinogram, or a board seen at a slant. Moire that is bent leaves as much, but not where content is strong."""
_NOT_CERTAIN = 0.98
_LOOKS = 3
"""Times that data is looked at, at most."""
_SURE, _GAIN = 2.0, 0.85
"""Standard errors, and slope of a band's power on brightness, of which gains have 1, and no less with content, whose
power rises as much by itself: damage that adds to that has something between."""
_NOTHING = 1e-4
"""Part of the spread of arrays that is no data."""
_MOST_AGAIN = 2**22
"""Values that are looked at again, at most: the middle of larger arrays."""


def search(x: Tensor, reference: Tensor | None = None, log: bool | None = None) -> tuple[Detection, Scale]:
    """What is damaged, and the scale on which the damage adds.

    Args:
        x: Arrays `(N, C, *spatial)`, NaN where values are missing.
        reference: Clean arrays `(M, C, *spatial)`, likewise.
        log: Whether damage multiplies values; None: it is not known.

    Raises:
        InputError: As `find`, or on values that are not on the scale.
    """
    found = []
    with quick_for(x.numel()):
        for scale in scales_of(x, log, reference):
            own, *others = (torch.stack([prepared(a, scale)[0] for a in v]) for v in (x, reference) if v is not None)
            found.append((looked_for(own, *others), scale))
    if certain := [pair for pair in found if pair[0].findings]:
        best, scale = min(certain, key=lambda pair: pair[0].findings[0].locked)
        if log is None and scale.multiplies and best.band is not None and _adds(x, best.band):
            return next((pair for pair in certain if not pair[1].multiplies), (best, Scale()))
        return best, scale
    # Of what is not even unsure nothing is known, and most damage adds.
    return max((pair for pair in found if pair[0].unsure), key=lambda pair: pair[0].nearest, default=found[0])


def _adds(x: Tensor, band: Spectrum) -> bool:
    """Whether a band is for certain less strong in bright arrays than a gain is, whatever scale it was found on."""
    plain = torch.stack([prepared(a, Scale())[0] for a in x])
    slope, error = on_brightness(plain, band, FourierBasis(tuple(x.shape[2:])))
    return slope is not None and slope + _SURE * error < _GAIN


def around(place: Tensor | None, x: Tensor) -> Tensor:
    """The least box of arrays that holds where the damage is, if that is enough to look at; else all of them.

    Args:
        place: Where the damage is, `(*spatial)`, 0 elsewhere; None: everywhere.
        x: Arrays `(N, C, *spatial)`.
    """
    if place is None or x.shape[2:] != place.shape or not place.any():
        return x
    box = x
    for axis in range(place.ndim):
        held = place.movedim(axis, 0).flatten(1).any(1) if place.ndim > 1 else place > 0
        at = held.nonzero()[:, 0]
        box = box.narrow(axis + 2, int(at[0]), int(at[-1] - at[0]) + 1)
    return box if can_be_looked_at(box) else x


def looked_for(x: Tensor, reference: Tensor | None = None) -> Detection:
    """What is damaged, of what is found at first and of what that had hidden.

    Args:
        x: Arrays without gaps, `(N, C, *spatial)`.
        reference: Clean arrays `(M, C, *spatial)`.
    """
    found = last = find(x, reference)
    if reference is not None:
        return found
    middle, earlier = _middle(x), 0
    for look in range(_LOOKS):
        if not last.findings or found.band is None:
            break
        found = _with_harmonics(found, len(found.findings) - len(last.findings), middle)
        assert found.band is not None
        removal = measure(list(middle), found.band)
        rest = middle - removal.apply(middle)
        if not _NOTHING * middle.std() < rest.std() or not (middle - rest).any():
            break
        if (middle - rest).var() > _MOST_OF_ALL * rest.var() or _is_content(removal, rest):
            return _asked(found, earlier)
        if look == _LOOKS - 1:
            break
        earlier, last = len(found.findings), find(rest)
        known = [f.band for f in found.findings]  # what is left of these is no further finding
        last = dataclasses.replace(last, findings=tuple(f for f in last.findings if f.band not in known))
        found = dataclasses.replace(
            found,
            findings=found.findings + last.findings,
            unsure=last.unsure,
            nearest=last.nearest,
            likeliest=last.likeliest,
        )
    return found


def _with_harmonics(found: Detection, earlier: int, x: Tensor) -> Detection:
    """With those of each hum in records, but for earlier findings, whose harmonics were looked for."""
    if x.ndim != 3:
        return found
    for hum in found.findings[earlier:]:
        assert found.band is not None
        both = harmonics(x, found.band, hum)
        if both is not None:
            kept = tuple(both[0] if f is hum else f for f in found.findings)
            found = dataclasses.replace(found, findings=(*kept, both[1]))
    return found


def _is_content(removal: Removal, rest: Tensor) -> bool:
    """Whether much is left in a band, and much of what was taken out of it lies where content is strong."""
    if removal.mixed < _MIXED:
        return False
    weight = removal.basis.multiplicity() * (removal.gain < 1)
    return float((weight * removal.power_of(list(rest))).sum()) > _STILL * float((weight * removal.smooth).sum())


def _asked(found: Detection, certain: int) -> Detection:
    """With findings but for the first ones as what people decide about."""
    asked = tuple(
        dataclasses.replace(f, probability=min(f.probability, _NOT_CERTAIN)) for f in found.findings[certain:]
    )
    unsure = asked + found.unsure
    nearest = max(f.probability for f in unsure)
    return dataclasses.replace(found, findings=found.findings[:certain], unsure=unsure, nearest=nearest)


def _middle(x: Tensor) -> Tensor:
    """As much of arrays as is looked at again: the first ones, or the middle of one."""
    count = max(1, _MOST_AGAIN // x[0].numel())
    side = round((_MOST_AGAIN / len(x[0])) ** (1 / (x.ndim - 2)))
    for axis, n in enumerate(x.shape[2:], start=2):
        x = x.narrow(axis, max(0, (n - side) // 2), min(n, side)) if count == 1 else x
    return x[:count]
