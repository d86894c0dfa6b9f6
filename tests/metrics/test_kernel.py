"""Kernel distance against loops and torchmetrics; its standard error by simulation."""

import numpy as np
import pytest
import torch
from torchmetrics.image.kid import KernelInceptionDistance

from sagd.errors import InputError
from sagd.metrics import kernel, kernel_distance


def looped(a, b):
    """Unbiased MMD^2, one pair at a time."""

    def k(x, y):
        return (float(x @ y) / len(x) + 1) ** 3

    def within(x):
        return np.mean([k(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j])

    return within(a) + within(b) - 2 * np.mean([k(x, y) for x in a for y in b])


def features(seed, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("chunk", [1, 70, 2**22])
def test_value_equals_the_loop_whatever_the_chunk(monkeypatch, chunk):
    monkeypatch.setattr(kernel, "_CHUNK", chunk)
    a, b = features(0, 17, 5), features(1, 23, 5) * 2 + 0.5
    estimate = kernel_distance(a, b)
    assert estimate.value == pytest.approx(looped(a.numpy(), b.numpy()), rel=1e-10)
    monkeypatch.undo()
    assert estimate.standard_error == pytest.approx(kernel_distance(a, b).standard_error, rel=1e-9)


def test_value_equals_torchmetrics():
    a, b = features(2, 100, 6), features(3, 100, 6) + 0.2
    identity = torch.nn.Identity()
    identity.num_features = 6
    with pytest.warns(UserWarning, match="will save all extracted features in buffer"):
        oracle = KernelInceptionDistance(feature=identity, subsets=1, subset_size=100, normalize=True)
    oracle.update(a, real=True)
    oracle.update(b, real=False)
    assert kernel_distance(a, b).value == pytest.approx(float(oracle.compute()[0]), rel=1e-9)


def simulate(shift, n, m, trials=1500):
    """Values and standard errors over repetitions, 4 features."""
    generator = torch.Generator().manual_seed(4)
    pairs = (
        (torch.randn(n, 4, generator=generator), torch.randn(m, 4, generator=generator) + shift) for _ in range(trials)
    )
    estimates = [kernel_distance(a, b) for a, b in pairs]
    return np.array([e.value for e in estimates]), np.array([e.standard_error for e in estimates])


@pytest.mark.parametrize(("shift", "n", "m"), [(0.3, 40, 60), (1.0, 60, 30)])
def test_standard_error_is_calibrated_away_from_zero(shift, n, m):
    # 1,500 trials: the ratio of the two spreads has a standard deviation below 0.03.
    values, errors = simulate(shift, n, m)
    assert np.sqrt(np.mean(errors**2)) / values.std(ddof=1) == pytest.approx(1, abs=0.1)
    # Values are skewed, so two standard errors cover a little less than the 95 % of a normal.
    assert 0.87 < np.mean(np.abs(values - values.mean()) < 2 * errors) < 0.98


def test_equal_distributions_give_zero_with_a_slightly_cautious_error():
    # Mean of 1,500 values within 4 of its standard deviations of 0; flooring the first-order variance costs a quarter.
    values, errors = simulate(0.0, 40, 60)
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(len(values))
    assert 1 < np.sqrt(np.mean(errors**2)) / values.std(ddof=1) < 1.35
    assert np.mean(np.abs(values) < 2 * errors) > 0.95


def test_variance_does_not_depend_on_the_order_or_role_of_the_sets():
    a, b = features(5, 30, 3), features(6, 50, 3) + 1
    one, other = kernel_distance(a, b), kernel_distance(b.flip(0), a.flip(0))
    assert one.value == pytest.approx(other.value, rel=1e-10)
    assert one.standard_error == pytest.approx(other.standard_error, rel=1e-10)


def test_unusable_features_are_refused():
    with pytest.raises(InputError, match="at least 4 rows of features in each set, got 3 and 9"):
        kernel_distance(torch.zeros(3, 2), torch.zeros(9, 2))
    with pytest.raises(InputError, match="non-finite"):
        kernel_distance(torch.full((5, 2), torch.nan), torch.zeros(9, 2))
