"""Masks of what was observed: how they are laid out, what is refused, and what is made of them."""

import numpy as np
import pytest
import torch

from sagd.data.corruption.missing import without
from sagd.data.masks import Coverage, half_of, observed_part, power_beside
from sagd.data.signals import Signals
from sagd.errors import InputError
from sagd.noise.basis.fourier import FourierBasis

SIDES = [(7,), (8,), (6, 5), (5, 6), (4, 4), (4, 3, 6)]


def symmetric(spatial, seed=0):
    """Random 0 and 1, even in the order of numpy.fft."""
    mask = np.random.default_rng(seed).random(spatial) < 0.4
    mirror = np.roll(np.flip(mask), 1, tuple(range(mask.ndim)))
    return mask | mirror


@pytest.mark.parametrize("spatial", SIDES, ids=str)
def test_all_layouts_are_one_mask(spatial):
    """What is left of an item is what numpy makes of it, whichever way the mask is written."""
    mask = symmetric(spatial)
    x = np.random.default_rng(1).normal(size=spatial)
    expected = np.fft.ifftn(np.fft.fftn(x) * mask)
    assert np.abs(expected.imag).max() < 1e-12
    half = mask[..., : spatial[-1] // 2 + 1]
    for kept in (
        half_of(mask.astype(np.float32), spatial, "fft"),
        half_of(half.astype(np.uint8), spatial, "fft"),
        half_of(np.fft.fftshift(mask), spatial, "centred"),
    ):
        assert kept.dtype == torch.bool
        found = without(torch.from_numpy(x)[None, None], ~kept[None])
        np.testing.assert_allclose(found[0, 0].numpy(), expected.real, atol=1e-12)


def changed(at, value, spatial=(4, 6)):
    mask = symmetric(spatial).astype(float)
    mask[at] = value
    return mask


@pytest.mark.parametrize(
    ("mask", "order", "said"),
    [
        (np.ones((4, 5)), "fft", "the mask is 4 x 5, items are 4 x 6 .* it must be 4 x 6, or 4 x 4"),
        (np.ones((4, 4)), "centred", "it must be 4 x 6$"),
        (np.ones((3, 4, 6)), "fft", "without their channels"),
        (changed((0, 0), 0.5), "fft", "holds 0.5, .* write 0 and 1"),
        (changed((0, 0), np.nan), "fft", "holds nan"),
        (changed((0, 0), 255), "fft", "holds 255"),
        (np.zeros((4, 6)), "fft", "0 everywhere"),
        (
            np.eye(4, 6),
            "fft",
            r"is 1 at \[1, 1\] and 0 at \[3, 5\], its mirror image.*write 1 at both if the item has both",
        ),
        (np.eye(4, 4), "fft", r"is 0 at \[1, 3\] and 1 at \[3, 3\]"),
        (np.eye(4, 6), "centred", r"is 1 at \[1, 1\] and 0 at \[3, 5\]"),
    ],
)
def test_what_is_no_mask_is_refused_in_one_line(mask, order, said):
    with pytest.raises(InputError, match=said) as error:
        half_of(mask, (4, 6), order)
    assert "\n" not in str(error.value)


def test_a_mask_of_odd_sides_that_is_centred_is_told():
    with pytest.raises(InputError, match="frequency 0 in the middle"):
        half_of(np.fft.fftshift(symmetric((5, 6))), (5, 6), "fft")


def test_the_half_may_differ_where_it_holds_both_or_not_at_all():
    """In the columns of frequency 0 and of the highest one, a half holds mirror images too."""
    half = np.ones((5, 4))
    half[1, 2] = 0
    assert half_of(half, (5, 6), "fft").sum() == 19
    half[1, 3] = 0
    with pytest.raises(InputError, match=r"is 0 at \[1, 3\] and 1 at \[4, 3\]"):
        half_of(half, (5, 6), "fft")


def test_what_lies_beside_a_mask_is_left_out_and_told():
    x = torch.randn(6, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    missing = ~torch.stack([half_of(symmetric((8, 8), k), (8, 8), "fft") for k in range(6)])
    y = without(x, missing)
    assert torch.equal(observed_part(y, missing), y)
    torch.testing.assert_close(observed_part(x, missing), y)
    beside, power = power_beside(x, missing)
    x0, y0 = (z - z.mean((-2, -1), keepdim=True) for z in (x.double(), y.double()))
    torch.testing.assert_close(power, x0.square().flatten(1).sum(1))
    torch.testing.assert_close(beside, power - y0.square().flatten(1).sum(1), rtol=1e-5, atol=0)


def test_coverage_counts_whole_spectra():
    masks = [symmetric((6, 5), k) for k in range(3)]
    missing = torch.stack([~half_of(mask, (6, 5), "fft") for mask in masks])
    coverage = Coverage.of(missing.split(2), (6, 5))
    np.testing.assert_allclose(coverage.shares.numpy(), [mask.mean() for mask in masks])
    np.testing.assert_array_equal(coverage.count.numpy(), np.sum(masks, 0)[:, :3])
    seldom = int((np.sum(masks, 0) < 2).sum())
    assert f"fewer than 2 of 3 items show {seldom} of 30 frequencies" in coverage.unknown()
    assert "items show" in coverage.line()
    whole = Coverage.of([torch.zeros(3, 6, 3, dtype=torch.bool)], (6, 5))
    assert whole.unknown() is None
    assert whole.all_shown


def test_signals_keep_the_masks_of_their_fields():
    missing = torch.stack([~half_of(symmetric((8, 8), k), (8, 8), "fft") for k in range(6)])
    x = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    data = Signals("noise", x, observed=~missing)
    some = data.subset([4, 1, 3]).subset([2, 0])
    for these in (some, some.held):
        assert torch.equal(these.unobserved(torch.arange(2)), missing[[3, 4]])
        assert torch.equal(these.tensor(), data.tensor()[[3, 4]])
    torch.testing.assert_close(data[3][0], data.tensor()[3])
    other = Signals("noise", x, observed=torch.ones_like(missing))
    every = torch.arange(6)
    assert (data.digests(x, every) != other.digests(x, every)).all()
    assert Signals("noise", x).coverage() is None
    assert FourierBasis((8, 8)) == data.coverage().basis
    with pytest.raises(InputError, match=r"observed must be bool \(6, 8, 5\)"):
        Signals("noise", x, observed=torch.ones(6, 8, 8, dtype=torch.bool))
