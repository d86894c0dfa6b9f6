"""Sound and films that play in the page, as data URIs, so that it needs no other file.

What would make the page too heavy is left out or cut, and said.
"""

from __future__ import annotations

import io
import math
import wave
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sagd.data.drawing import scale_of
from sagd.data.previews import to_bytes
from sagd.errors import InputError
from sagd.optional import need
from sagd.report.pictures import Picture, data_uri

BUDGET = 5 * 2**20
"""Bytes of data URIs that the players of one list may take, so that a page with some pictures stays below 8 MB."""
MOST_PLAYERS = 12
_FILM_BUDGET = 2**22
"""Values of enlarged frames in one film."""
_LEAST_SIDE = 128
_SLOWEST, _FASTEST, _USUAL = 1.0, 25.0, 8.0
"""Frames per second that eyes can follow, and where none is said."""


@dataclass(frozen=True)
class Player:
    """A record to be heard.

    Attributes:
        source: Data URI of a WAV file.
        caption: What it is called.
    """

    source: str
    caption: str


@dataclass(frozen=True)
class Players:
    """Records of a list.

    Attributes:
        items: Those that are in the page.
        note: How many of how many, and at what gain; one sentence or more.
    """

    items: tuple[Player, ...]
    note: str


def audio_players(
    x: Tensor, rate: float, full_scale: float = 1.0, captions: Sequence[str] = (), budget: int = BUDGET
) -> Players:
    """Records `(N, C, T)` as players, all at one gain.

    The gain is 1 unless a value is beyond full scale: then it is what makes the largest fit, and the note says so.

    Args:
        x: Records of 1 or 2 channels.
        rate: Samples per second, a whole number.
        full_scale: The value that plays at the greatest loudness.
        captions: What each is called; by default its number from 1.
        budget: Bytes of all data URIs together. As many records as fit are taken, from the first on; if not even one
            does, its beginning is.

    Raises:
        InputError: On another shape, values that are not finite, or a rate that no WAV file can say.
    """
    _check_records(x, rate, full_scale, captions)
    shown = x[:MOST_PLAYERS].detach().cpu().double() / full_scale
    peak = float(shown.abs().max())
    gain = 1.0 if peak <= 1 else 1 / peak
    each = 2 * x.shape[1] * x.shape[2] * 4 / 3 + 100
    count = min(len(shown), max(1, int(budget / each)))
    length = x.shape[2] if each <= budget else max(1, int((budget - 100) * 3 / 4 / (2 * x.shape[1])))
    names = captions or [str(i + 1) for i in range(count)]
    sounds = (data_uri("audio/wav", wav(record[:, :length] * gain, rate)) for record in shown[:count])
    items = tuple(Player(sound, name) for sound, name in zip(sounds, names, strict=False))
    return Players(items, " ".join(_notes(x, count, length, rate, gain)))


def _notes(x: Tensor, count: int, length: int, rate: float, gain: float) -> list[str]:
    records = f"All {count} records" if count == len(x) > 1 else f"The first {count} of {len(x)} records"
    notes = ["One record" if len(x) == 1 else records]
    notes[0] += f", {x.shape[2] / rate:.3g} s each." if len(x) > 1 else f" of {x.shape[2] / rate:.3g} s."
    if length < x.shape[2]:
        notes.append(f"Only the first {length / rate:.3g} s are in this page.")
    if gain < 1:
        notes.append(f"Played {-20 * math.log10(gain):.1f} dB softer, so that the loudest value fits.")
    return notes


def wav(record: Tensor, rate: float) -> bytes:
    """A record `(C, T)` in [-1, 1] as a WAV file of 16 bits: `round(32768 x)`, of which 32768 itself becomes 32767.

    Raises:
        InputError: If the rate is no whole number from 1 to 2^32 - 1.
    """
    if rate != round(rate) or not 1 <= rate < 2**32:
        raise InputError(f"a WAV file has a whole number of samples per second, got a rate of {rate}")
    values = (record.T * 32768).round().clamp(-32768, 32767).to(torch.int16).cpu().numpy().astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(len(record))
        file.setsampwidth(2)
        file.setframerate(round(rate))
        file.writeframes(values.tobytes())
    return buffer.getvalue()


def _check_records(x: Tensor, rate: float, full_scale: float, captions: Sequence[str]) -> None:
    if x.ndim != 3 or 0 in x.shape or x.shape[1] > 2:
        raise InputError(f"need records (N, C, T) of 1 or 2 channels to be played, got shape {tuple(x.shape)}")
    if not torch.isfinite(x).all():
        raise InputError("records hold non-finite values (NaN or infinity), which cannot be played")
    if not 0 < full_scale < math.inf:
        raise InputError(f"full_scale must be positive, got {full_scale}")
    if len(captions) not in (0, len(x)):
        raise InputError(f"need a caption for each of {len(x)} records, got {len(captions)}")


def film(
    x: Tensor,
    rate: float | None = None,
    limits: tuple[float, float] | None = None,
    budget: int = 3 * _FILM_BUDGET,
) -> tuple[Picture, str]:
    """Clips `(N, C, T, H, W)` side by side as an animated PNG, enlarged by a whole factor, and a sentence on them.

    Args:
        x: Clips of 1 or 3 channels; as many as keep the page light are taken, from the first on, and of a clip that is
            too long its beginning.
        rate: Frames per second. Films run at 1 to 25 frames per second, and the sentence says what was made slower or
            faster; 8 where no rate is given.
        limits: Black and white; clips of one channel may leave them out and have colours by value.
        budget: Bytes of enlarged frames, three for each pixel; files are smaller by as much as PNG can compress them.

    Raises:
        InputError: On another shape, limits that are none, or missing where there are 3 channels.
    """
    need("PIL")
    from PIL import Image

    if x.ndim != 5 or 0 in x.shape or x.shape[1] not in (1, 3) or (x.shape[1] == 3 and limits is None):
        raise InputError(
            f"need clips (N, C, T, H, W) of 1 channel, or of 3 with limits, got shape {tuple(x.shape)}, limits {limits}"
        )
    if rate is not None and not 0 < rate < math.inf:
        raise InputError(f"rate must be positive, the number of frames per second; got {rate}")
    *_, frames, height, width = x.shape
    factor = max(1, -(-_LEAST_SIDE // max(height, width)))
    each = 3 * height * width * factor**2
    count, length = min(len(x), max(1, budget // (frames * each))), min(frames, max(1, budget // each))
    clips = _coloured(x[:count, :, :length], limits)
    columns = math.ceil(math.sqrt(count))
    images = [Image.fromarray(_tiled(clips[:, t], columns, factor)) for t in range(length)]
    played = min(max(rate or _USUAL, _SLOWEST), _FASTEST)
    buffer = io.BytesIO()
    images[0].save(buffer, "PNG", save_all=True, append_images=images[1:], duration=1000 / played, loop=0)
    note = f"{'All' if count == len(x) else f'The first {count} of'} {len(x)} clips" if len(x) > 1 else "One clip"
    note += f" of {frames} frames, at {played:g} frames per second"
    note += f" instead of {rate:g}." if rate is not None and played != rate else "."
    note += f" Only the first {length} frames are in this page." if length < frames else ""
    return Picture(data_uri("image/png", buffer.getvalue()), f"Film. {note}", "pixels"), note


def _coloured(x: Tensor, limits: tuple[float, float] | None) -> NDArray[np.uint8]:
    """Clips as bytes `(N, T, H, W, 3)`, all on one scale."""
    values = x.detach().cpu().double().numpy()
    if limits is None:
        scale = scale_of(values)
        return np.stack([np.stack([scale.bytes(frame) for frame in clip[0]]) for clip in values])
    return np.stack([np.stack([to_bytes(frame, limits) for frame in np.moveaxis(clip, 1, 0)]) for clip in values])


def _tiled(images: NDArray[np.uint8], columns: int, factor: int, gap: int = 4) -> NDArray[np.uint8]:
    """Images `(N, H, W, 3)` row by row on white, enlarged."""
    large = images.repeat(factor, 1).repeat(factor, 2)
    count, height, width, _ = large.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, tile in enumerate(large):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    return sheet
