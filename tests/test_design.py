"""What a measured spectrum says of the noise to train with, on spectra whose answers are known."""

import json
import math

import numpy as np
import pytest
import torch

from sagd import design
from sagd.basis import FourierBasis
from sagd.config import ProcessConfig
from sagd.errors import InputError
from sagd.process import build_process
from sagd.statistics import DataStatistics, measure

SHAPES = [(16,), (8, 8), (7, 12), (4, 6, 5)]


def full_radius(spatial):
    """`r` on the whole frequency grid, no half-spectrum, no multiplicity."""
    return np.sqrt(sum(f**2 for f in np.meshgrid(*(np.fft.fftfreq(n) for n in spatial), indexing="ij")))


def power_law_statistics(spatial, slope, levels, dc=0.0):
    """`S = level r^slope` per channel, with any power at DC."""
    basis = FourierBasis(spatial)
    r = basis.radius()
    shape = torch.where(r > 0, r.clamp(min=1e-3) ** slope, dc)
    spectrum = torch.tensor(levels, dtype=torch.float64).reshape(-1, *(1,) * len(spatial)) * shape
    return DataStatistics(torch.zeros(len(levels), *spatial, dtype=torch.float64), spectrum, 100, basis)


def process(shape, spectrum="flat", **values):
    return build_process(ProcessConfig(spectrum=spectrum, **values), shape)


@pytest.fixture
def smooth():
    """30 odd-sized colour images, neighbouring pixels alike."""
    x = torch.randn(30, 3, 9, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x + x.roll(1, -1) + x.roll(1, -2)


@pytest.mark.parametrize("spatial", SHAPES)
@pytest.mark.parametrize("slope", [-2.0, -0.3, 1.0])
def test_power_laws_are_fitted_exactly(spatial, slope):
    # The channels' levels average to 3; what is at DC must not count.
    fit = design.fit_power_law(power_law_statistics(spatial, slope, [2.0, 4.0], dc=1e6))
    assert fit.slope == pytest.approx(slope, abs=1e-12)
    assert fit.intercept == pytest.approx(math.log(3), abs=1e-12)
    assert fit.r_squared == pytest.approx(1, abs=1e-12)


def test_the_fit_counts_every_frequency_once(smooth):
    """Against ordinary least squares on numpy's whole Fourier grid."""
    power = np.abs(np.fft.fft2((smooth - smooth.mean(0)).numpy(), norm="ortho")) ** 2
    power, r = power.sum(0).mean(0) / (len(smooth) - 1), full_radius((9, 8))
    x, y = np.log(r[r > 0]), np.log(power[r > 0])
    slope, intercept = np.polyfit(x, y, 1)
    fit = design.fit_power_law(measure(smooth))
    assert fit.slope == pytest.approx(slope, rel=1e-10)
    assert fit.intercept == pytest.approx(intercept, rel=1e-10)
    assert fit.r_squared == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2, rel=1e-10)


def test_white_data_has_no_slope():
    fit = design.fit_power_law(power_law_statistics((8, 8), 0.0, [5.0], dc=5.0))
    assert (fit.slope, fit.intercept) == pytest.approx((0.0, math.log(5)), abs=1e-12)


@pytest.mark.parametrize("alpha", [-1.0, -0.25, 0.4])
def test_shaped_noise_is_recognised(alpha):
    """Fields drawn with `w = r^alpha` have slope `2 alpha`."""
    x = process((1, 16, 16), f"power_law(alpha={alpha})").covariance.sample(2000, torch.Generator().manual_seed(0))
    # log S has standard deviation sqrt(2 / 2000) per real coefficient, about 250 of them with spread 0.45 in log r:
    # standard error sqrt(2 * 2 / 2000 / 256) / 0.45 = 0.006; four of them (level 6e-5).
    assert design.fit_power_law(measure(x)).slope == pytest.approx(2 * alpha, abs=0.025)


@pytest.mark.parametrize("spatial", SHAPES)
def test_noise_shaped_like_the_data_drowns_all_frequencies_at_once(spatial):
    """With `w^2 = S / mean(S)`, `sqrt(S)/w = sqrt(mean S)` everywhere."""
    r = full_radius(spatial)
    # At DC the noise is floored at the lowest other frequency; so is this data.
    power = np.maximum(r, r[r > 0].min()) ** -1.0
    lowest = float(FourierBasis(spatial).radius()[FourierBasis(spatial).radius() > 0].min())
    statistics = power_law_statistics(spatial, -1.0, [7.0], dc=lowest**-1.0)
    result = design.inspect(statistics, process((1, *spatial), "power_law(alpha=-0.5)"))
    level = math.sqrt(7 * power.mean())
    assert result.log_sigma_mean == pytest.approx(math.log(level), abs=1e-9)
    # What is left is the transition of a single frequency.
    assert result.log_sigma_std == pytest.approx(1.2, abs=1e-9)
    assert result.sigma_range == pytest.approx((0.002, 8 * level), rel=1e-9)


def test_suggested_law_covers_where_frequencies_drown(smooth):
    """Mean of `log sqrt(S)/w` over numpy's whole grid and all channels; its variance and 1.2^2 for each transition."""
    alpha, r = 0.3, full_radius((9, 8))
    w = np.maximum(r, r[r > 0].min()) ** alpha
    w /= np.sqrt((w**2).mean())
    power = np.abs(np.fft.fft2((smooth - smooth.mean(0)).numpy(), norm="ortho")) ** 2
    level = np.log(np.sqrt(power.sum(0) / (len(smooth) - 1)) / w)
    result = design.inspect(measure(smooth), process((3, 9, 8), f"power_law(alpha={alpha})"))
    assert result.log_sigma_mean == pytest.approx(level.mean(), rel=1e-9)
    assert result.log_sigma_std == pytest.approx(np.hypot(level.std(), 1.2), rel=1e-9)
    assert result.sigma_range[1] == pytest.approx(8 * np.exp(level.max()), rel=1e-9)


def test_frequencies_without_noise_do_not_count():
    # S = 4 within the band and 10^6 outside, where there is no noise: levels are those of the band alone.
    basis = FourierBasis((8, 8))
    inside = (basis.relative_radius() >= 0.5).double()
    spectrum = (4 * inside + 1e6 * (1 - inside)).unsqueeze(0)
    statistics = DataStatistics(torch.zeros(1, 8, 8, dtype=torch.float64), spectrum, 10, basis)
    band = process((1, 8, 8), "band_pass(low=0.5, high=1)", calibration="none")
    result = design.inspect(statistics, band)
    assert (result.log_sigma_mean, result.log_sigma_std) == pytest.approx((math.log(2), 1.2), abs=1e-9)
    assert result.sigma_range[1] == pytest.approx(16)


def test_json_holds_every_figure_and_null_for_empty_bands():
    result = design.inspect(power_law_statistics((4, 4), -1.0, [1.0, 2.0], dc=1.0), process((2, 4, 4)), bands=7)
    record = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    empty = result.profile.degrees_of_freedom == 0
    assert empty.any()
    assert [[v is None for v in row] for row in record["power"]] == [empty.tolist()] * 2
    assert record["slope"] == result.fit.slope
    assert (record["sigma_min"], record["sigma_max"]) == result.sigma_range
    assert len(record["band_edges"]) == 8


@pytest.mark.parametrize("x", [torch.zeros(5, 1, 8, 8), torch.ones(5, 3, 4)])
def test_data_that_does_not_vary_is_refused(x):
    with pytest.raises(InputError, match="at least two radii with power; the data is constant or too small"):
        design.inspect(measure(x), process(tuple(x.shape[1:])))


def test_other_shapes_are_refused(smooth):
    with pytest.raises(InputError, match=r"statistics are of data \(3, 9, 8\), the process of \(1, 8, 8\)"):
        design.inspect(measure(smooth), process((1, 8, 8)))


def test_no_bands_are_refused(smooth):
    with pytest.raises(InputError, match="bands must be at least 1, got 0"):
        design.inspect(measure(smooth), process((3, 9, 8)), bands=0)


def test_frequencies_that_are_all_but_empty_do_not_rule():
    """Their power is rounding: the slope leaves them out, the training law counts them at the least level visited."""
    basis = FourierBasis((16, 16))
    full = basis.radius().clamp(min=1 / 16) ** -3.0
    spectrum = torch.where(basis.radius() < 0.4, full, 1e-30).unsqueeze(0)
    statistics = DataStatistics(torch.zeros(1, 16, 16, dtype=torch.float64), spectrum, 100, basis)
    inspection = design.inspect(statistics, build_process(ProcessConfig(), (1, 16, 16)))
    assert inspection.fit.slope == pytest.approx(-3.0)
    assert math.log(0.002) < inspection.log_sigma_mean < math.log(inspection.sigma_range[1])
