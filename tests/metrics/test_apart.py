"""The classifier guesses where sets are alike, and finds what second moments hide."""

import json

import pytest
import torch

from sagd import InputError
from sagd.metrics import told_apart
from sagd.metrics.apart import highest, wilson
from sagd.noise.basis.fourier import FourierBasis


def noise(seed, n=128):
    return torch.randn(n, 1, 16, 16, generator=torch.Generator().manual_seed(seed))


def test_sets_of_one_law_are_guessed():
    """Of ten pairs the mean accuracy is a half to three standard errors; labels are exchangeable."""
    found = [told_apart(noise(2 * seed), noise(2 * seed + 1), seed=seed).accuracy for seed in range(10)]
    assert sum(found) / 10 == pytest.approx(0.5, abs=3 * (0.25 / 2560) ** 0.5)


def test_only_the_highest_frequencies_are_seen():
    basis = FourierBasis((16, 16))
    low = (basis.relative_radius() < 0.6).double()
    louder = noise(1).double() + 2 * basis.inverse(low * basis.forward(noise(1).double()))
    plain = noise(0).double()
    assert told_apart(louder, plain, top=0.05) == told_apart(noise(1).double(), plain, top=0.05)
    assert told_apart(louder, plain, top=1.0).accuracy > 0.95


def test_fields_of_one_spectrum_and_another_law_are_told():
    """Half of all places are empty, the others stronger: the same spectrum, another flatness."""
    patchy = noise(3) * 2**0.5
    patchy[..., :8] = 0
    found = told_apart(torch.stack([x.roll(i % 16, -1) for i, x in enumerate(patchy)]), noise(4), top=0.5)
    assert found.interval[0] > 0.8


def test_it_is_the_same_every_time_and_plain():
    first, again = (told_apart(noise(5, 40), noise(6, 40), seed=3) for _ in range(2))
    assert first == again
    assert first.count == 80
    assert first.interval == wilson(round(first.accuracy * 80), 80)
    assert json.loads(json.dumps(first.to_dict(), allow_nan=False))["interval"] == list(first.interval)


def test_masked_places_hold_the_mean_of_the_reference():
    mask = torch.ones(40, 1, 16, 16, dtype=torch.bool)
    mask[..., 3, 4] = False
    x, y = noise(7, 40), noise(8, 40)
    spoilt = (torch.where(mask, z, torch.nan) for z in (x, y))
    found = told_apart(*spoilt, samples_mask=mask, reference_mask=mask)
    mean = y[mask].mean()
    assert found == told_apart(*(torch.where(mask, z, mean) for z in (x, y)))


@pytest.mark.parametrize("top", [0.05, 0.25, 1.0])
def test_a_share_of_the_frequencies_lies_beyond(top):
    basis = FourierBasis((32, 32))
    beyond = basis.relative_radius() >= highest(basis, top) - 1e-9
    share = float((beyond * basis.multiplicity()).sum()) / 1024
    assert top <= share + 1e-9 < top + 0.02


def test_wilson_covers():
    """Of the outcomes of 40 fair throws, those whose interval misses one half have a probability of at most 6 %."""
    import math

    missed = [k for k in range(41) if not wilson(k, 40)[0] <= 0.5 <= wilson(k, 40)[1]]
    assert sum(math.comb(40, k) for k in missed) / 2**40 < 0.06


@pytest.mark.parametrize(
    ("counts", "settings", "message"),
    [
        ((20, 21), {}, "both sets must be of one size, or guessing would pay; got 20 and 21"),
        ((9, 9), {}, "must each hold at least 10"),
        ((20, 20), {"top": 0.0}, r"top must lie in \(0, 1\], a share of the frequencies, got 0.0"),
        ((20, 20), {"folds": 1}, "folds must be at least 2, got 1"),
    ],
)
def test_what_does_not_fit_is_refused(counts, settings, message):
    with pytest.raises(InputError, match=message):
        told_apart(noise(0, counts[0]), noise(1, counts[1]), **settings)
