"""How near a cleaned signal is to the clean one, and what cleaning did that it should not."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import maximum_filter

from sagd.noise.basis.fourier import FourierBasis

Array = np.ndarray


def decibel(clean: Array, x: Array, peak: float | None) -> float:
    """PSNR, or SNR where there is no peak."""
    top = clean.var() if peak is None else peak**2
    return float(10 * np.log10(top / max(float(((x - clean) ** 2).mean()), 1e-12 * top)))


def similarity(clean: Array, x: Array, peak: float) -> float:
    """SSIM."""
    from skimage.metrics import structural_similarity

    return float(structural_similarity(clean, x, data_range=peak))


def outside(clean: Array, damaged: Array, x: Array, band: Array) -> float:
    """What cleaning changed outside of the band, in dB of the clean power there; both through a Hann window.

    Args:
        clean: Clean signal.
        damaged: What was cleaned.
        x: Cleaned.
        band: Mask of the band in the Fourier basis.
    """
    basis = FourierBasis(clean.shape)
    window = math.prod(np.ix_(*(np.hanning(n + 2)[1:-1] for n in clean.shape)))
    changed, own = (_power(basis, window * v) for v in (x - damaged, clean - clean.mean()))
    weight = (1 - band) * basis.multiplicity().numpy()
    return float(10 * np.log10(max((weight * changed).sum(), 1e-12) / (weight * own).sum()))


def dark_mirror(clean: Array, x: Array, angle: float) -> float:
    """How much darker it got beside bright structure along the stripes, in percent of what that stands out by.

    Bright structure is the brightest twentieth. Beside it lies whatever is no further off along the stripes than a
    sixth of the image, and not within 3 pixels of it. The error there is compared with the error elsewhere, so that
    neither brightness as a whole nor noise counts. 0 is none; what takes out a band where structure crosses it leaves
    its negative image, some percent.
    """
    bright = clean >= np.quantile(clean, 0.95)
    near = maximum_filter(bright, 7)
    beside = maximum_filter(bright, footprint=line(min(clean.shape) // 6, angle)) & ~near
    elsewhere = ~near & ~beside
    if not beside.any() or not elsewhere.any():
        return math.nan
    error, contrast = x - clean, clean[bright].mean() - clean[beside].mean()
    return float(100 * (error[elsewhere].mean() - error[beside].mean()) / contrast)


def line(reach: int, angle: float) -> Array:
    """A footprint that reaches so far along stripes whose wave vector is at an angle."""
    turn, at = math.radians(angle), np.arange(-reach, reach + 1)
    footprint = np.zeros((2 * reach + 1,) * 2, bool)
    footprint[reach + np.round(at * math.cos(turn)).astype(int), reach - np.round(at * math.sin(turn)).astype(int)] = (
        True
    )
    return footprint


def _power(basis: FourierBasis, values: Array) -> Array:
    import torch

    return basis.forward(torch.from_numpy(values)[None]).abs().square()[0].numpy()
