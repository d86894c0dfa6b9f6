"""Damage of its own in every image: what is missing is what was said to be, and fields stay real."""

import pytest
import torch

from sagd.data.corruption import Corruption, corrupt, generators
from sagd.errors import InputError
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.grid import Grid

CASES = [("subsampled(keep=0.4, centre=0.2)", s) for s in [(32,), (9, 12), (16, 16), (4, 6, 8)]]
CASES += [("subsampled(keep=0.4, axis=0)", s) for s in [(17, 12), (16, 7)]]
CASES += [("wedges(width=50)", s) for s in [(16, 16), (15, 20)]]
CASES += [("notches(frequency=0.3, width=0.001, harmonics=2)", s) for s in [(64,), (63,), (5, 32)]]


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
    assert not missing[:, basis.relative_radius() == 0].any()
    if not text.startswith("notches"):
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


def test_notches_lie_at_multiples_of_a_frequency_that_drifts():
    """Each record lacks as much around a fundamental as around its multiple, at twice the frequency."""
    corruption = Corruption.parse("notches(frequency=0.1, spread=0.2, width=0.02, harmonics=2)")
    missing = corruption.places((1000,), generators(0, range(300)))
    f = FourierBasis((1000,)).frequencies()[0]
    assert not missing[:, (f < 0.07 - 1e-9) | ((f > 0.13 + 1e-9) & (f < 0.15 - 1e-9)) | (f > 0.25 + 1e-9)].any()
    for record in missing:
        held = f[record]
        low, high = held[held < 0.14], held[held > 0.14]
        assert (len(low), len(high)) in {(20, 20), (20, 21), (21, 20), (21, 21)}
        assert float(high.mean()) == pytest.approx(2 * float(low.mean()), abs=0.002)
    middles = torch.stack([f[r][f[r] < 0.14].mean() for r in missing])
    assert float(middles.min()) < 0.083 < 0.117 < float(middles.max())


def test_notches_in_units():
    told = Corruption.parse("notches(frequency='50 Hz', width='10 Hz')").on(Grid.parse("500 Hz"))
    assert (told.frequency, told.width) == (0.1, 0.02)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("subsampled(keep=1.5)", "keep and centre"),
        ("wedges(width=200)", "width"),
        ("subsampled(axis=-1)", "axis"),
        ("notches(frequency=0.7)", "0.5"),
        ("notches(frequency=0.45, spread=0.3)", "below 0.5"),
        ("notches(spread=1)", "below 1"),
        ("notches(width=0)", "positive"),
        ("notches(harmonics=0)", "harmonics"),
    ],
)
def test_what_cannot_be_is_refused(text, said):
    with pytest.raises(InputError, match=said):
        Corruption.parse(text)


def test_axes_that_are_not_there():
    with pytest.raises(InputError, match="none of the 1"):
        corrupt(torch.zeros(2, 1, 8), "subsampled(axis=1)")
    with pytest.raises(InputError, match="2 spatial axes"):
        corrupt(torch.zeros(2, 1, 8), "wedges")
