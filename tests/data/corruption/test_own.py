"""Damage of its own in every image: what is missing is what was said to be, and fields stay real."""

import pytest
import torch

from sagd.data.corruption import Corruption, corrupt, generators
from sagd.errors import InputError
from sagd.noise.basis.fourier import FourierBasis

CASES = [("subsampled(keep=0.4, centre=0.2)", s) for s in [(32,), (9, 12), (16, 16), (4, 6, 8)]]
CASES += [("subsampled(keep=0.4, axis=0)", s) for s in [(17, 12), (16, 7)]]
CASES += [("wedges(width=50)", s) for s in [(16, 16), (15, 20)]]


@pytest.mark.parametrize(("text", "spatial"), CASES, ids=str)
def test_what_is_missing_is_what_is_said(text, spatial):
    """By the full transform of numpy's order: 0 where it is missing, untouched elsewhere."""
    x = torch.randn(5, 2, *spatial, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = corrupt(x, text, seed=3)
    corruption, basis = Corruption.parse(text), FourierBasis(spatial)
    missing = corruption.places(spatial, generators(3, range(5)))
    assert missing.shape == (5, *basis.coefficients)
    assert len({tuple(row.flatten().tolist()) for row in missing}) > 1
    before, after = (basis.forward(z) for z in (x, y))
    where = missing[:, None].expand_as(before)
    torch.testing.assert_close(after[where], torch.zeros_like(after[where]), atol=1e-12, rtol=0)
    torch.testing.assert_close(after[~where], before[~where], atol=1e-12, rtol=0)
    assert not missing[:, basis.relative_radius() <= 0.1].any()
    # An image keeps its own, whatever it is read with.
    assert torch.equal(corrupt(x[3:], text, seed=3, indices=torch.arange(3, 5)), y[3:])


@pytest.mark.parametrize("axis", [None, 1])
def test_the_share_that_is_kept(axis):
    corruption, basis = Corruption.parse({"kind": "subsampled", "keep": 0.3, "axis": axis}), FourierBasis((15, 16))
    missing = corruption.places((15, 16), generators(0, range(800)))
    free = (basis.relative_radius() > 0.1) & (basis.frequencies()[1] != 0)
    share = missing[:, free].double().mean()
    assert float(share) == pytest.approx(0.7, abs=0.03)


@pytest.mark.parametrize(
    ("text", "said"),
    [("subsampled(keep=1.5)", "keep and centre"), ("wedges(width=200)", "width"), ("subsampled(axis=-1)", "axis")],
)
def test_what_cannot_be_is_refused(text, said):
    with pytest.raises(InputError, match=said):
        Corruption.parse(text)


def test_axes_that_are_not_there():
    with pytest.raises(InputError, match="none of the 1"):
        corrupt(torch.zeros(2, 1, 8), "subsampled(axis=1)")
    with pytest.raises(InputError, match="2 spatial axes"):
        corrupt(torch.zeros(2, 1, 8), "wedges")
