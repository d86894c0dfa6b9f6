"""Fields in another size, rate, or number of channels."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

import numpy as np

from sagd.errors import InputError
from sagd.optional import need

_FURTHEST = 1000
"""Factor between two rates, at most."""
Mixing = Literal["luma", "mean"] | None
"""How one channel is made of many; None where channels are different things."""

_LUMA = np.array([0.299, 0.587, 0.114])
"""ITU-R 601."""


def mixable(have: int, wanted: int, mixing: Mixing) -> bool:
    """Whether so many channels can become another number of them.

    >>> mixable(3, 1, "luma"), mixable(2, 1, "luma"), mixable(2, 1, "mean"), mixable(3, 1, None)
    (True, False, True, False)
    """
    if have == wanted:
        return True
    return {have, wanted} == {1, 3} if mixing == "luma" else mixing == "mean" and 1 in (have, wanted)


def with_channels(values: np.ndarray, channels: int, mixing: Mixing) -> np.ndarray:
    """Values `(C, *spatial)` with another number of channels; as they are if they have that.

    Args:
        values: `(C, *spatial)`.
        channels: How many there are to be.
        mixing: How one channel is made of many: by the luma of colours, or the mean of loudspeakers. One stands for
            many.

    Raises:
        InputError: If one number of channels cannot become the other.
    """
    if len(values) == channels:
        return values
    if not mixable(len(values), channels, mixing):
        raise InputError(f"{len(values)} channels cannot be made {channels}")
    if len(values) == 1:
        return values.repeat(channels, 0)
    weights = _LUMA if mixing == "luma" else np.full(len(values), 1 / len(values))
    one = np.tensordot(weights, values, 1)[None]
    return one.round().astype(values.dtype) if values.dtype.kind in "iu" else one.astype(values.dtype)


def scaled_and_cropped(values: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Pictures `(C, H, W)` scaled (Lanczos, antialiased) so that they just cover a size, and cropped at the centre.

    Values stay in their type, 8-bit ones rounded; others become float32.
    """
    need("PIL")
    from PIL import Image

    height, width = values.shape[1:]
    factor = max(size[0] / height, size[1] / width)
    h, w = size[0] / factor, size[1] / factor
    box = ((width - w) / 2, (height - h) / 2, (width + w) / 2, (height + h) / 2)
    target = (size[1], size[0])
    if factor == 1:
        top, left = int(box[1]), int(box[0])
        return values[:, top : top + size[0], left : left + size[1]]
    mode = values if values.dtype == np.uint8 else values.astype(np.float32)
    planes = [Image.fromarray(plane).resize(target, Image.Resampling.LANCZOS, box=box) for plane in mode]
    return np.stack([np.asarray(plane) for plane in planes])


def ratio_of(rate: float, wanted: float) -> Fraction:
    """By how much a rate changes, as whole numbers that a filter can take; both rates finite and positive.

    >>> ratio_of(44100, 16000)
    Fraction(160, 441)

    Raises:
        InputError: If one is more than so many times the other.
    """
    if not 1 / _FURTHEST <= wanted / rate <= _FURTHEST:
        raise InputError(
            f"data.resample {wanted:g} is more than a factor of {_FURTHEST} from the rate of the file, {rate:g} per"
            " second; give one that is nearer"
        )
    return Fraction(wanted / rate).limit_denominator(10_000)


def resampled(values: np.ndarray, rate: float, wanted: float, axis: int) -> np.ndarray:
    """Values at another rate along an axis, by a polyphase filter without aliasing; float64 unless rates are equal.

    An axis of `n` becomes one of `ceil(n * ratio_of(rate, wanted))`.

    Args:
        values: `(C, *spatial)`.
        rate: Samples per second.
        wanted: Samples per second of the result.
        axis: The axis of time.
    """
    ratio = ratio_of(rate, wanted)
    if ratio == 1:
        return values
    need("scipy")
    from scipy.signal import resample_poly

    return resample_poly(values.astype(np.float64), ratio.numerator, ratio.denominator, axis=axis, padtype="line")
