"""An array in two parts: a band, and the rest, which alone a model is shown.

The split is made on the whole array, beyond whose borders the band goes on as what it is and the rest is reflected.
There the band is as sharp as the array is long; a window of `N` samples would smear its damage over bins beside it,
from which a network tells it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.omission.removal.extend import crop, extended_size, passed
from sagd.omission.removal.measurement import check_array


def band_part(x: Tensor, band: Spectrum) -> Tensor:
    """What of an array lies in a band, but for its mean.

    Args:
        x: `(C, *spatial)`, floating point, finite.
        band: Mask, in cycles per sample; soft edges share.

    Raises:
        InputError: If the array cannot be used, or the band holds no or all of its frequencies.
    """
    check_array(x)
    spatial = tuple(x.shape[1:])
    basis = FourierBasis(extended_size(spatial))
    b = torch.where(basis.radius() > 0, mask(band, basis), 0.0).to(x.dtype)
    mean = x.mean(dim=tuple(range(1, x.ndim)), keepdim=True)
    return crop(passed(x - mean, b, basis)[0], spatial)


def split(x: Tensor, band: Spectrum) -> tuple[Tensor, Tensor]:
    """An array without a band, and the band, whose sum it is; as `band_part`."""
    hidden = band_part(x, band)
    return x - hidden, hidden
