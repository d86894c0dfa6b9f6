"""A band as a space of fields."""

from __future__ import annotations

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import Basis
from sagd.noise.operator import Diagonal

_LARGEST_BAND = 4096
"""Real dimensions of a band whose posterior covariance is computed at most."""


def band_vectors(b: Diagonal, channels: int) -> Tensor:
    """An orthonormal basis `(m, C, *spatial)` of the real fields whose frequencies lie in a band, float64.

    Raises:
        InputError: If `m` exceeds what a dense covariance allows.
    """
    basis: Basis = b.basis
    support = (b.values > 0).expand(channels, *basis.coefficients)
    size = round(float((support * basis.multiplicity()).sum()))
    if size > _LARGEST_BAND:
        raise InputError(f"posterior samples of a band of {size} dimensions; at most {_LARGEST_BAND} are feasible")
    places = support.flatten().nonzero().flatten()
    unit = torch.zeros(len(places), support.numel(), dtype=torch.float64)
    unit[torch.arange(len(places)), places] = 1.0
    unit = unit.reshape(-1, *support.shape)
    waves = [basis.inverse(unit)]
    if basis.forward(torch.zeros(channels, *basis.spatial, dtype=torch.float64)).is_complex():
        waves = [basis.inverse(unit * factor) for factor in (torch.tensor(1 + 0j), torch.tensor(1j))]
    fields = torch.cat(waves)
    # The sine of a frequency that is its own mirror is nothing, and mirrored columns are stored twice.
    _, s, v = torch.linalg.svd(fields.flatten(1), full_matrices=False)
    return v[s > 1e-6 * s.max()].reshape(-1, *fields.shape[1:])
