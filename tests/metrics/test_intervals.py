"""Intervals of root mean squares: against the chi-square distribution, and their coverage."""

import numpy as np
import pytest
import torch
from scipy import stats

from sagd.metrics.intervals import log_covariance, rms_interval


@pytest.mark.parametrize("found", [0.5, 2.0, 4.0])
def test_one_value_is_its_folded_normal(found):
    """`|x|` of one normal value: the ends solve P(|z + end| < found) = 0.975 and 0.025."""
    low, high = rms_interval(torch.tensor([found]), torch.eye(1))

    def below(end):
        return stats.norm.cdf(found - end) - stats.norm.cdf(-found - end)

    assert below(high) == pytest.approx(0.025, abs=0.01)
    assert below(low) == pytest.approx(0.975, abs=0.01) if low else below(0) <= 0.985


def test_many_equal_values_are_noncentral_chi_square():
    k, found = 12, 1.5
    low, high = rms_interval(torch.full((k,), found), torch.eye(k))
    for end, share in ((low, 0.975), (high, 0.025)):
        assert stats.ncx2.cdf(k * found**2, k, k * end**2) == pytest.approx(share, abs=0.012)


def test_chance_alone_gives_zero():
    generator = torch.Generator().manual_seed(0)
    lows = [rms_interval(0.3 * torch.randn(8, generator=generator), 0.09 * torch.eye(8))[0] for _ in range(100)]
    # In 2.5 % of cases the lower end is above zero: 0 to 8 of 100 at level 1e-3.
    assert sum(low > 0 for low in lows) <= 8


@pytest.mark.parametrize("length", [0.0, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("direction", [[1.0, 1, 1, 1, 1, 1], [1.0, -1, 1, -1, 1, -1]])
@pytest.mark.parametrize("alike", [True, False])
def test_the_interval_covers_the_truth(length, direction, alike):
    """Estimates of a truth in a fixed direction, 150 times, whose chance is alike in all directions or is not."""
    generator = torch.Generator().manual_seed(1)
    root = torch.eye(6) if alike else torch.tril(torch.ones(6, 6)) / 3
    covered = 0
    for _ in range(150):
        found = length * torch.tensor(direction) + root @ torch.randn(6, generator=generator)
        low, high = rms_interval(found, root @ root.T)
        covered += low <= length <= high
    # Binomial with 0.95: at least 132 of 150 with probability 0.9996.
    assert covered >= 132


def test_no_difference_at_all():
    assert rms_interval(torch.zeros(3), torch.zeros(3, 3)) == (0.0, 0.0)


def test_covariance_of_logarithms_is_that_of_repetitions():
    rng = np.random.default_rng(0)

    def draw(n):
        parts = rng.gamma(3.0, size=(n, 3)) * [1, 5, 20]
        parts[:, 1] += parts[:, 0]
        return parts

    means = np.log([draw(400).mean(0) for _ in range(1000)])
    got = log_covariance(torch.tensor(draw(400)))
    assert got.numpy() == pytest.approx(np.cov(means.T), rel=0.25, abs=1e-4)


def test_ratios_know_that_their_parts_go_together():
    """Means of `2 x` over those of `x` are certain."""
    x = torch.rand(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert log_covariance(2 * x, x).abs().max() < 1e-20
