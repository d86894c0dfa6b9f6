"""Sums of waves: the law of a filtered canvas, whichever way they are summed."""

import pytest
import torch

from sagd.noise.basis.fourier import FourierBasis, half_counts
from sagd.omission.waves import Waves


@pytest.mark.parametrize("spatial", [(12,), (6, 5), (4, 3, 4)])
@pytest.mark.parametrize("share", [0.1, 1.0])
def test_both_ways_are_the_same_sum_and_have_the_covariance_of_a_canvas(spatial, share):
    canvas = tuple(4 * n for n in spatial)
    basis = FourierBasis(canvas)
    g = torch.Generator().manual_seed(0)
    d = (torch.rand(basis.coefficients, generator=g, dtype=torch.float64) < share).double()
    d.view(-1)[1] = 1
    at = d.nonzero().T
    f = basis.frequencies()[(slice(None), *at)]
    deviation = (half_counts(canvas[-1])[at[-1]] / basis.size).sqrt()
    waves = Waves(f, deviation, spatial, canvas)
    a, b = torch.randn(2, 3, len(deviation), generator=g, dtype=torch.float64)
    axes = [own.unique(return_inverse=True) for own in f]
    one, other = waves._listed(a, b), waves._spanned(torch.complex(a, -b), axes)
    torch.testing.assert_close(one, other)
    places = torch.stack(torch.meshgrid(*map(torch.arange, spatial), indexing="ij")).double()
    phase = 2 * torch.pi * torch.tensordot(f, places, dims=([0], [0]))
    torch.testing.assert_close(one, torch.tensordot(a, phase.cos(), 1) + torch.tensordot(b, phase.sin(), 1))
    # The variance of every value, and of draws.
    total = float((d * basis.multiplicity()).sum() / basis.size)
    assert float(deviation.square().sum()) == pytest.approx(total)
    assert float(waves.draw(4000, g).var()) == pytest.approx(total, rel=0.1)
