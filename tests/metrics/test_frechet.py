"""Fréchet distance against closed forms, scipy and torchmetrics; coverage of its interval by simulation."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torchmetrics.image.fid import FrechetInceptionDistance

from sagd.errors import InputError
from sagd.metrics import frechet_distance, frechet_interval


def with_moments(n, mean, root, seed):
    """`n` rows whose sample mean is `mean` and whose unbiased sample covariance is `root^T root`, exactly."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, len(mean)))
    q, _ = np.linalg.qr(x - x.mean(0))
    return torch.tensor(q * np.sqrt(n - 1) @ root + mean)


def test_commuting_gaussians_have_the_closed_form():
    s, t = np.array([0.1, 1.0, 3.0, 0.0]), np.array([2.0, 0.5, 3.0, 0.7])
    a = with_moments(50, np.zeros(4), np.diag(s), seed=0)
    b = with_moments(31, np.array([1.0, -2.0, 0.0, 0.5]), np.diag(t), seed=1)
    assert frechet_distance(a, b) == pytest.approx(5.25 + ((s - t) ** 2).sum(), rel=1e-10)


def test_non_commuting_gaussians_match_the_matrix_root():
    rng = np.random.default_rng(2)
    root_a, root_b = rng.standard_normal((2, 6, 6))
    mean = rng.standard_normal(6)
    covariance_a, covariance_b = root_a.T @ root_a, root_b.T @ root_b
    cross = scipy.linalg.sqrtm(covariance_a @ covariance_b).real
    truth = mean @ mean + np.trace(covariance_a + covariance_b - 2 * cross)
    a, b = with_moments(40, np.zeros(6), root_a, seed=3), with_moments(40, mean, root_b, seed=4)
    assert frechet_distance(a, b) == pytest.approx(truth, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(truth, rel=1e-9)


def test_equals_torchmetrics():
    generator = torch.Generator().manual_seed(5)
    a = torch.randn(300, 8, dtype=torch.float64, generator=generator)
    b = torch.randn(200, 8, dtype=torch.float64, generator=generator) @ torch.randn(8, 8, dtype=torch.float64) + 0.3
    identity = torch.nn.Identity()
    identity.num_features = 8
    oracle = FrechetInceptionDistance(feature=identity, normalize=True)
    oracle.set_dtype(torch.float64)
    oracle.update(a, real=True)
    oracle.update(b, real=False)
    assert frechet_distance(a, b) == pytest.approx(float(oracle.compute()), rel=1e-8)


def test_equal_sets_are_at_distance_zero_even_with_singular_covariance():
    x = torch.randn(100, 3, generator=torch.Generator().manual_seed(6)) @ torch.ones(3, 12)
    assert 0 <= frechet_distance(x, x) < 1e-10


def test_few_images_warn():
    x = torch.randn(8, 8, generator=torch.Generator().manual_seed(7))
    with pytest.warns(UserWarning, match="from 8 images in 8 feature dimensions: the covariance is singular"):
        frechet_distance(x, x + 1)


@pytest.mark.parametrize("metric", [frechet_distance, frechet_interval])
@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (torch.full((9, 2), torch.nan), torch.zeros(9, 2), r"features hold non-finite values .* first in row 0"),
        (torch.zeros(9, 2), torch.tensor([[0.0, 0], [1, torch.inf]]), "first in row 1"),
        (torch.zeros(9, 2), torch.zeros(9, 3), r"equal dimension, got shapes \(9, 2\) and \(9, 3\)"),
        (torch.zeros(9, 2), torch.zeros(1, 2), "at least 2 rows of features in each set, got 9 and 1"),
        (torch.zeros(9, 2, 1), torch.zeros(9, 2), r"shape \(N, D\), got \(9, 2, 1\)"),
    ],
)
def test_unusable_features_are_refused(metric, a, b, message):
    with pytest.raises(InputError, match=message):
        metric(a, b)


def test_interval_settings_are_checked():
    x = torch.zeros(9, 2)
    with pytest.raises(InputError, match=r"resamples >= 20 and 0 < level < 1, got 5 and 0\.95"):
        frechet_interval(x, x, resamples=5)


@pytest.mark.parametrize(
    ("shift", "scale", "least", "most"),
    [(0.5, 1.1, 0.88, 0.99), (0.0, 1.0, 0.97, 1.0)],
    ids=["shifted and widened", "at the floor, conservative"],
)
def test_interval_covers_the_mean_distance_at_its_sample_size(shift, scale, least, most):
    # Nominal 95 % from 60 resamples. 150 trials give the coverage a standard deviation of 0.018; the bound is 4 below.
    generator = torch.Generator().manual_seed(8)

    def draw(shift=0.0, scale=1.0):
        return torch.randn(100, 4, dtype=torch.float64, generator=generator) * scale + shift

    mean = np.mean([frechet_distance(draw(), draw(shift, scale)) for _ in range(500)])
    intervals = [frechet_interval(draw(), draw(shift, scale), resamples=60, seed=s) for s in range(150)]
    coverage = np.mean([low <= mean <= high for low, high in intervals])
    assert least <= coverage <= most


def test_interval_is_reproducible_and_about_the_estimate():
    generator = torch.Generator().manual_seed(9)
    a, b = torch.randn(2, 80, 3, generator=generator)
    low, high = frechet_interval(a, b + 1, seed=1)
    assert (low, high) == frechet_interval(a, b + 1, seed=1) != frechet_interval(a, b + 1, seed=2)
    assert low < frechet_distance(a, b + 1) < high
