"""Distance of signals by their log-spectrograms: which tones there are, how they change, and how steadily.

Frames of a power of two of samples, an eighth of the signal or less and at most 256, half over one another under a
Hann window, are turned into the logarithm of their power in bands: single frequencies first, then bands that widen.
Features of a signal are, by channel and band, mean and spread over frames and the mean change from one frame to the
next. All is counted in samples, none in seconds, so that the sampling rate does not matter.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from sagd.metrics.embedding import Embedding
from sagd.metrics.fields import FieldSet, channel_scale, field_sets
from sagd.metrics.kernel import Estimate, kernel_distance

_LONGEST, _SHORTEST = 256, 8
_FRAMES = 8
"""Frames that a signal must hold without overlap."""
_WIDENING = 1.15
_LEAST = 1e-6
"""Power of a band, over the mean power of a value of the data, that is as good as silence."""


def spectrogram_distance(
    samples: FieldSet,
    reference: FieldSet,
    samples_mask: Tensor | None = None,
    reference_mask: Tensor | None = None,
) -> Estimate | None:
    """Kernel distance of the log-spectrograms of signals `(N, C, T)` and `(M, C, T)`, with its standard error.

    Masked samples are taken to hold the mean. None for fields of more axes, and for signals of fewer than 64 samples.

    Raises:
        InputError: If shapes differ, there are fewer than four of either, or values are not finite.
    """
    ours, theirs = field_sets(samples, reference, samples_mask, reference_mask, least=4)
    length = frame_length(theirs.shape[-1])
    if theirs.rank != 1 or length is None:
        return None
    scale = channel_scale(theirs)
    quiet = _LEAST * scale.std.square().clamp(min=1e-12)
    mine, real = (
        torch.cat([_raw(x.cpu().double() - scale.mean[:, None], length, quiet) for x in fields.rows(scale.mean)])
        for fields in (ours, theirs)
    )
    embedding = Embedding.fitted(real)
    return kernel_distance(embedding(mine), embedding(real))


def frame_length(samples: int) -> int | None:
    """Samples of a frame; None for signals too short for any.

    >>> frame_length(4096), frame_length(500), frame_length(63)
    (256, 32, None)
    """
    length = _LONGEST
    while length * _FRAMES > samples:
        length //= 2
    return length if length >= _SHORTEST else None


def _raw(x: Tensor, length: int, quiet: Tensor) -> Tensor:
    """Features `(B, F)` of signals `(B, C, T)`."""
    log = log_spectrogram(x, length, quiet)
    change = log.diff(dim=-1).abs().mean(-1)
    return torch.cat([part.flatten(1) for part in (log.mean(-1), log.std(-1), change)], 1)


def log_spectrogram(x: Tensor, length: int, quiet: Tensor) -> Tensor:
    """Logarithm of the power by band and frame, `(B, C, bands, frames)`; white noise has that of its variance.

    Args:
        x: Signals `(B, C, T)`.
        length: Samples of a frame.
        quiet: Power that is added, by channel: `(C,)`.
    """
    window = torch.hann_window(length, dtype=x.dtype)
    frames = x.unfold(-1, length, length // 2) * (window / window.square().sum().sqrt())
    power = torch.fft.rfft(frames, dim=-1).abs().square()
    edges = _edges(length // 2 + 1)
    bands = torch.stack([power[..., low:high].mean(-1) for low, high in itertools.pairwise(edges)], -2)
    return (bands + quiet.reshape(-1, 1, 1)).log()


def _edges(count: int) -> list[int]:
    """Edges of bands of `count` frequencies: one each, until a band is wider by widening."""
    edges = [0]
    while edges[-1] < count:
        edges.append(min(count, max(edges[-1] + 1, round(edges[-1] * _WIDENING))))
    return edges
