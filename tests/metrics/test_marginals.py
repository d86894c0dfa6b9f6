"""Distances of single values against closed forms and scipy."""

import json
import math

import pytest
import torch
from scipy import stats

from sagd.errors import InputError
from sagd.metrics import fields as module
from sagd.metrics import marginals, spectral_error
from sagd.metrics.fields import Fields


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(300, 1, 64), (300, 1, 8, 8), (300, 1, 4, 4, 4)])
def test_a_shift_is_its_own_distance_in_standard_deviations(shape):
    x = 5 * normal(*shape) + 100
    assert marginals(x + 2, x).wasserstein == pytest.approx(2 / float(x.std()), rel=2e-3)


def test_shifted_gaussians_and_wider_ones():
    """W1 of N(m, 1) and N(0, 1) is |m|; of N(0, s) and N(0, 1) it is (s - 1) sqrt(2 / pi)."""
    a, b = normal(1000, 1, 64), normal(1000, 1, 64, seed=1)
    assert marginals(a - 0.7, b).wasserstein == pytest.approx(0.7, abs=0.02)
    assert marginals(1.5 * a, b).wasserstein == pytest.approx(0.5 * math.sqrt(2 / math.pi), abs=0.02)


def test_identical_sets_are_not_apart():
    x = normal(40, 2, 8)
    got = marginals(x, x)
    assert got.wasserstein == got.skewness_error == got.flatness_error == 0
    assert got.wasserstein_interval[0] == 0


def test_equals_scipy_on_heavy_tails_and_few_levels():
    generator = torch.Generator().manual_seed(3)
    heavy = torch.distributions.StudentT(2.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        a, b = heavy.sample((200, 2, 30)), heavy.sample((150, 2, 30))
    b[:, 1] = torch.randint(0, 4, (150, 30), generator=generator)  # few values
    got = marginals(a, b)
    for c in range(2):
        own, real = a[:, c].flatten().double(), b[:, c].flatten().double()
        expected = stats.wasserstein_distance(own, real) / float(real.std())
        assert got.channels[c].wasserstein == pytest.approx(expected, abs=3e-3)
        assert got.channels[c].skewness == pytest.approx(stats.skew(own), rel=1e-9)
        assert got.channels[c].reference_flatness == pytest.approx(stats.kurtosis(real, fisher=False), rel=1e-9)
    assert got.wasserstein == pytest.approx(sum(c.wasserstein for c in got.channels) / 2)


def test_moments_of_known_laws():
    """Gaussian: 0 and 3; exponential: 2 and 9."""
    x = normal(2000, 1, 100)
    exponential = -torch.rand(2000, 1, 100, generator=torch.Generator().manual_seed(4)).clamp(min=1e-12).log()
    (got,) = marginals(exponential, x).channels
    assert (got.reference_skewness, got.reference_flatness) == pytest.approx((0, 3), abs=0.05)
    assert got.skewness == pytest.approx(2, rel=0.03)
    assert got.flatness == pytest.approx(9, rel=0.08)


def test_the_interval_holds_its_level_away_from_the_floor():
    """A shift of half a standard deviation, fields with a level of their own: 100 repetitions of 64 fields."""
    generator = torch.Generator().manual_seed(5)

    def draw(shift):
        level = torch.randn(64, 1, 1, generator=generator)
        return shift + 0.6 * level + 0.8 * torch.randn(64, 1, 16, generator=generator)

    found = [marginals(draw(0.5), draw(0.0)) for _ in range(100)]
    mean = sum(f.wasserstein for f in found) / 100
    covered = sum(f.wasserstein_interval[0] <= mean <= f.wasserstein_interval[1] for f in found)
    assert covered >= 86  # binomial with 0.95: 1e-4


def test_masked_values_do_not_count(monkeypatch):
    monkeypatch.setattr(module, "_VALUES", 1000)
    x, y = normal(60, 2, 40), normal(50, 2, 40, seed=1) + 0.3
    a, b = normal(60, 1, 40, seed=2) > -1, normal(50, 2, 40, seed=3) > 0
    got = marginals(torch.where(a, x, 1e9), torch.where(b, y, torch.nan), a, b)
    for c in range(2):
        own, real = x[:, c][a[:, 0]].double(), y[:, c][b[:, c]].double()
        expected = stats.wasserstein_distance(own, real) / float(real.std())
        assert got.channels[c].wasserstein == pytest.approx(expected, abs=2e-3)
        assert got.channels[c].flatness == pytest.approx(stats.kurtosis(own, fisher=False), rel=1e-9)


def test_a_constant_channel_has_no_distance():
    x = normal(20, 2, 8)
    x[:, 1] = 0.5
    got = marginals(x, x)
    assert math.isnan(got.wasserstein)
    plain = json.loads(json.dumps(got.to_dict(), allow_nan=False))
    assert plain["wasserstein"] is plain["wasserstein_interval"] is None
    assert plain["channels"][0]["wasserstein"] == 0


def test_few_fields_have_no_interval():
    assert marginals(normal(15, 1, 8), normal(40, 1, 8, seed=1)).wasserstein_interval is None


def test_unequal_shapes_are_refused():
    with pytest.raises(InputError, match="must both be"):
        marginals(normal(4, 1, 8), normal(4, 2, 8))


def test_places_count_by_their_weights():
    """Whole weights are repetitions: of values in the marginals, of rows in the mean error."""
    x, y = normal(80, 1, 4, 6), normal(80, 1, 4, 6, seed=1)
    y[:, :, 1] += 1.0
    weights = torch.tensor([1.0, 3.0, 0.0, 2.0]).reshape(1, 4, 1).expand(1, 4, 6)
    rows = torch.tensor([0, 1, 1, 1, 3, 3])
    repeated_x, repeated_y = x[:, :, rows], y[:, :, rows]
    ours, theirs = (Fields(f, weight_field=weights) for f in (x, y))
    # Distances are in deviations of all places, whatever they count.
    distance = marginals(ours, theirs).wasserstein * float(y.std())
    assert distance == pytest.approx(marginals(repeated_x, repeated_y).wasserstein * float(repeated_y.std()), rel=0.02)
    one, other = spectral_error(ours, theirs), spectral_error(repeated_x, repeated_y)
    assert one.mean_error == pytest.approx(other.mean_error, rel=1e-6)
    assert one.rms_db == pytest.approx(spectral_error(x, y).rms_db)
    same = marginals(Fields(x, weight_field=torch.ones(1, 4, 6)), y)
    assert same.wasserstein == pytest.approx(marginals(x, y).wasserstein)
