"""What a measured spectrum says of the noise to train with, on spectra whose answers are known."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest
import torch
from scipy import optimize

from sagd import designs
from sagd.build.objects import build_process
from sagd.build.schema import ProcessConfig
from sagd.errors import InputError
from sagd.noise.basis.channels import ChannelBasis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.by_class import ClassCovariance
from sagd.noise.covariance.isotropic import IsotropicCovariance
from sagd.noise.covariance.modulated import ModulatedCovariance
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.regions import Box
from sagd.noise.spectra.bands import BandPass
from sagd.noise.spectra.base import Flat
from sagd.noise.spectra.by_channel import PerChannel
from sagd.noise.spectra.power_law import PowerLaw
from sagd.noise.statistics import DataStatistics, measure
from sagd.process.evolution import Blurring, Interpolated, Sequential
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import CosineSchedule, RectifiedSchedule, Schedule, VESchedule, VPSchedule
from sagd.process.spectral import SpectralProcess
from sagd.sampling.grids import matched_range

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
    fit = designs.fit_power_law(power_law_statistics(spatial, slope, [2.0, 4.0], dc=1e6))
    assert fit.slope == pytest.approx(slope, abs=1e-12)
    assert fit.intercept == pytest.approx(math.log(3), abs=1e-12)
    assert fit.r_squared == pytest.approx(1, abs=1e-12)


def test_the_fit_counts_every_frequency_once(smooth):
    """Against ordinary least squares on numpy's whole Fourier grid."""
    power = np.abs(np.fft.fft2((smooth - smooth.mean(0)).numpy(), norm="ortho")) ** 2
    power, r = power.sum(0).mean(0) / (len(smooth) - 1), full_radius((9, 8))
    x, y = np.log(r[r > 0]), np.log(power[r > 0])
    slope, intercept = np.polyfit(x, y, 1)
    fit = designs.fit_power_law(measure(smooth))
    assert fit.slope == pytest.approx(slope, rel=1e-10)
    assert fit.intercept == pytest.approx(intercept, rel=1e-10)
    assert fit.r_squared == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2, rel=1e-10)


def test_white_data_has_no_slope():
    fit = designs.fit_power_law(power_law_statistics((8, 8), 0.0, [5.0], dc=5.0))
    assert (fit.slope, fit.intercept) == pytest.approx((0.0, math.log(5)), abs=1e-12)


@pytest.mark.parametrize("alpha", [-1.0, -0.25, 0.4])
def test_shaped_noise_is_recognised(alpha):
    """Fields drawn with `w = r^alpha` have slope `2 alpha`."""
    x = process((1, 16, 16), f"power_law(alpha={alpha})").covariance.sample(2000, torch.Generator().manual_seed(0))
    # log S has standard deviation sqrt(2 / 2000) per real coefficient, about 250 of them with spread 0.45 in log r:
    # standard error sqrt(2 * 2 / 2000 / 256) / 0.45 = 0.006; four of them (level 6e-5).
    assert designs.fit_power_law(measure(x)).slope == pytest.approx(2 * alpha, abs=0.025)


@pytest.mark.parametrize("spatial", SHAPES)
def test_noise_shaped_like_the_data_drowns_all_frequencies_at_once(spatial):
    """With `w^2 = S / mean(S)`, `sqrt(S)/w = sqrt(mean S)` everywhere."""
    r = full_radius(spatial)
    # At DC the noise is floored at the lowest other frequency; so is this data.
    power = np.maximum(r, r[r > 0].min()) ** -1.0
    lowest = float(FourierBasis(spatial).radius()[FourierBasis(spatial).radius() > 0].min())
    statistics = power_law_statistics(spatial, -1.0, [7.0], dc=lowest**-1.0)
    result = designs.inspect(statistics, process((1, *spatial), "power_law(alpha=-0.5)"))
    level = math.sqrt(7 * power.mean())
    assert result.log_sigma_mean == pytest.approx(math.log(level), abs=1e-9)
    # What is left is the transition of a single frequency.
    assert result.log_sigma_std == pytest.approx(1.2, abs=1e-9)
    assert result.sigma_range == pytest.approx((0.002, 8 * level), rel=1e-9)


def test_suggested_law_covers_where_frequencies_drown(smooth):
    """Mean of `log sqrt(S)/w` over numpy's whole grid and all channels, every radius alike; its variance and 1.2^2 for
    each transition."""
    alpha, r = 0.3, full_radius((9, 8))
    share = 1 / np.maximum(r, r[r > 0].min())
    share /= 3 * share.sum()
    w = np.maximum(r, r[r > 0].min()) ** alpha
    w /= np.sqrt((w**2).mean())
    power = np.abs(np.fft.fft2((smooth - smooth.mean(0)).numpy(), norm="ortho")) ** 2
    level = np.log(np.sqrt(power.sum(0) / (len(smooth) - 1)) / w)
    result = designs.inspect(measure(smooth), process((3, 9, 8), f"power_law(alpha={alpha})"))
    mean = (share * level).sum()
    assert result.log_sigma_mean == pytest.approx(mean, rel=1e-9)
    assert result.log_sigma_std == pytest.approx(np.hypot(np.sqrt((share * (level - mean) ** 2).sum()), 1.2), rel=1e-9)
    assert result.sigma_range[1] == pytest.approx(8 * np.exp(level.max()), rel=1e-9)


def test_frequencies_without_noise_do_not_count():
    # S = 4 within the band and 10^6 outside, where there is no noise: levels are those of the band alone.
    basis = FourierBasis((8, 8))
    inside = (basis.relative_radius() >= 0.5).double()
    spectrum = (4 * inside + 1e6 * (1 - inside)).unsqueeze(0)
    statistics = DataStatistics(torch.zeros(1, 8, 8, dtype=torch.float64), spectrum, 10, basis)
    band = process((1, 8, 8), "band_pass(low=0.5, high=1)", calibration="none")
    result = designs.inspect(statistics, band)
    assert (result.log_sigma_mean, result.log_sigma_std) == pytest.approx((math.log(2), 1.2), abs=1e-9)
    assert result.sigma_range[1] == pytest.approx(16)


def test_json_holds_every_figure_and_null_for_empty_bands():
    result = designs.inspect(power_law_statistics((4, 4), -1.0, [1.0, 2.0], dc=1.0), process((2, 4, 4)), bands=7)
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
        designs.inspect(measure(x), process(tuple(x.shape[1:])))


def test_other_shapes_are_refused(smooth):
    with pytest.raises(InputError, match=r"statistics are of data \(3, 9, 8\), the process of \(1, 8, 8\)"):
        designs.inspect(measure(smooth), process((1, 8, 8)))


def test_no_bands_are_refused(smooth):
    with pytest.raises(InputError, match="bands must be at least 1, got 0"):
        designs.inspect(measure(smooth), process((3, 9, 8)), bands=0)


def test_frequencies_that_are_all_but_empty_do_not_rule():
    """Their power is rounding: the slope leaves them out, the training law counts them at the least level visited."""
    basis = FourierBasis((16, 16))
    full = basis.radius().clamp(min=1 / 16) ** -3.0
    spectrum = torch.where(basis.radius() < 0.4, full, 1e-30).unsqueeze(0)
    statistics = DataStatistics(torch.zeros(1, 16, 16, dtype=torch.float64), spectrum, 100, basis)
    inspection = designs.inspect(statistics, build_process(ProcessConfig(), (1, 16, 16)))
    assert inspection.fit.slope == pytest.approx(-3.0)
    assert math.log(0.002) < inspection.log_sigma_mean < math.log(inspection.sigma_range[1])


# Both ends of a process.

SHAPE = (2, 6, 5)
PER_CHANNEL = PerChannel((PowerLaw(-0.5), PowerLaw(0.5)))


def fixed(schedule, spectrum=None):
    return ForwardProcess(schedule, SpectralCovariance(spectrum or Flat(), SHAPE))


def by_frequency(schedule, evolution, spectrum=None, basis=None):
    return SpectralProcess(schedule, SpectralCovariance(spectrum or Flat(), SHAPE, basis), evolution)


MIX = ChannelBasis((6, 5), CosineBasis((6, 5)), ((0.6, 0.8), (-0.8, 0.6)))
PROCESSES = {
    "vp": fixed(VPSchedule()),
    "ve": fixed(VESchedule(0.01, 3.0), PowerLaw(0.5)),
    "cosine": fixed(CosineSchedule(-4.0), PER_CHANNEL),
    "rectified": fixed(RectifiedSchedule(), PowerLaw(-0.5)),
    "band": fixed(VESchedule(0.01, 3.0), BandPass(0.3, 0.8)),
    "blurring": SpectralProcess.blurring(SHAPE, CosineSchedule(-4.0)),
    "strong blurring": SpectralProcess.blurring(SHAPE),
    "white to blue": SpectralProcess.white_to_blue(SHAPE, VESchedule(0.01, 3.0)),
    "blue to red": by_frequency(VPSchedule(), Interpolated("power_law(alpha=-0.5)"), PowerLaw(0.5)),
    "sequential": by_frequency(CosineSchedule(-4.0), Sequential("low"), PER_CHANNEL),
    "sequential, rectified": by_frequency(RectifiedSchedule(), Sequential()),
    "sequential, band": by_frequency(VESchedule(0.01, 3.0), Sequential(), BandPass(0.3, 0.8)),
    "colours": by_frequency(VESchedule(0.01, 3.0), Blurring(1.0), PER_CHANNEL, MIX),
}


def basis_of(process):
    return process.reference.basis


def data_of(process, level=1.0):
    """Power that falls, faster in one channel, with one frequency left empty."""
    basis = basis_of(process)
    power = level * torch.stack([torch.exp(-4 * basis.radius()), 0.3 * torch.exp(-2 * basis.radius())])
    power[0, -1, -1] = 0
    return DataStatistics(torch.zeros(SHAPE, dtype=torch.float64), power, 100, basis)


def frequencies_of(process, t):
    """Radius, channel, count, `a` and `s` of every stored coefficient, as plain numbers, one after the other."""
    basis, x = basis_of(process), torch.zeros(1, *SHAPE, dtype=torch.float64)
    a, s = (c.values.expand(1, SHAPE[0], *basis.coefficients)[0] for c in process.diagonal(t, x, basis))
    for place in np.ndindex(*basis.coefficients):
        r = math.sqrt(sum(float(f[place]) ** 2 for f in basis.frequencies()))
        for channel in range(SHAPE[0]):
            at = (channel, *place)
            yield r, at, float(basis.multiplicity()[place]), float(a[at]), float(s[at])


def band_of(r, bands=10):
    """Bands of equal width up to the corner radius `sqrt(2)/2`."""
    return min(int((r / math.sqrt(0.5) + 1e-9) * bands), bands - 1)


@pytest.mark.parametrize("level", [1.0, 1e4])
@pytest.mark.parametrize("name", PROCESSES)
def test_ends_by_brute_force(name, level):
    """Largest SNR of a band at `t = 1`; mean noise over mean data where sampling ends, at the level 0.002."""
    process, data = PROCESSES[name], data_of(PROCESSES[name], level)
    check = designs.check_ends(data, process)
    signal = [0.0] * 10
    for r, at, _, a, s in frequencies_of(process, 1.0):
        if s > 0:
            k = band_of(r)
            signal[k] = max(signal[k], float(data.spectrum[at]) * a**2 / s**2)
    noise, power, noisy = np.zeros(10), np.zeros(10), np.zeros(10, dtype=bool)
    end = float(process.time_at(torch.tensor(0.002, dtype=torch.float64)))
    for r, at, count, a, s in frequencies_of(process, end):
        k = band_of(r)
        noise[k] += count * s**2 / a**2
        power[k] += count * float(data.spectrum[at]) * (s > 0)
        noisy[k] |= s > 0
    detail = np.where(noisy, noise / np.where(power > 0, power, 1), 0)
    np.testing.assert_allclose(check.signal.numpy(), signal, rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(check.detail.numpy(), detail, rtol=1e-9)
    np.testing.assert_allclose(check.edges.numpy(), np.arange(11) / 10, atol=1e-15)
    assert torch.isfinite(check.signal).all()
    assert torch.isfinite(check.detail).all()


@pytest.mark.parametrize("name", ["rectified", "sequential, rectified"])
def test_processes_that_end_in_nothing_but_noise_leave_nothing(name):
    """Infinite noise at `t = 1`: no signal, no infinity, whatever the data."""
    check = designs.check_ends(data_of(PROCESSES[name], 1e30), PROCESSES[name])
    assert (check.signal == 0).all()
    assert check.advice == ""
    check.refuse()
    assert "inf" not in " ".join(check.lines())
    assert "nan" not in " ".join(check.lines())


CAN_BE_LOUD = [name for name in PROCESSES if "rectified" not in name]


@pytest.mark.parametrize("excess", [0.11, 1.0, 37.0, 1e4])
@pytest.mark.parametrize("name", CAN_BE_LOUD)
def test_the_advice_mends_what_is_refused(name, excess):
    """The message names the band, its SNR and a schedule under which the same process is accepted."""
    process = PROCESSES[name]
    data = data_of(process)
    loudest = float(designs.check_ends(data, process).signal.max())
    data = dataclasses.replace(data, spectrum=data.spectrum * excess / loudest)
    check = designs.check_ends(data, process)
    with pytest.raises(InputError) as refused:
        check.refuse()
    message = str(refused.value)
    found = re.search(r"band ([\d.]+)-([\d.]+) still has (\S+) times the power of the noise \(at most 0\.1", message)
    assert found is not None, message
    assert float(found[3]) == pytest.approx(excess, rel=0.01)
    k = int(check.signal.argmax())
    assert (float(found[1]), float(found[2])) == pytest.approx((k / 10, (k + 1) / 10))
    advice = re.search(r"use schedule '(.*?)'", message)
    assert advice is not None, message
    schedule = Schedule.parse(advice[1])
    assert isinstance(schedule, VESchedule) == isinstance(process.schedule, VESchedule)
    mended = dataclasses.replace(process, schedule=schedule)
    after = designs.check_ends(data, mended)
    after.refuse()
    # Not far more than is needed: at least a hundredth of what was allowed is left.
    assert float(after.signal.max()) > 1e-3


def test_what_no_schedule_can_mend():
    """Data as loud as no schedule reaches: the noise must be."""
    process = PROCESSES["cosine"]
    with pytest.raises(InputError, match=r"never reaches; give that band more noise$"):
        designs.check_ends(data_of(process, 1e30), process).refuse()


def test_ends_that_meet_are_not_refused():
    check = designs.check_ends(data_of(PROCESSES["vp"]), PROCESSES["vp"])
    check.refuse()
    assert check.advice == ""
    assert check.lines()[0].startswith("left of the data at t = 1: at most 4e-05 of the noise's power (band 0-0.1)")


def test_lines_name_the_worst_bands():
    """The lowest band is loudest at the start; at the end the corner drowns, a thousandth of its power being noise."""
    basis = FourierBasis((6, 5))
    power = torch.full((2, 6, 3), 4e-3, dtype=torch.float64)
    power[:, 0, 0], power[:, 3, 2] = 8.0, 4e-6
    statistics = DataStatistics(torch.zeros(SHAPE, dtype=torch.float64), power, 100, basis)
    check = designs.check_ends(statistics, fixed(VESchedule(0.01, 4.0)), sigma_min=0.0018)
    assert check.lines() == [
        "left of the data at t = 1: at most 0.5 of the noise's power (band 0-0.1)",
        "noise when sampling ends: at most 0.81 of the data's power (band 0.9-1)",
    ]
    check = designs.check_ends(statistics, fixed(VESchedule(0.01, 4.0)), sigma_min=0.004)
    assert check.lines()[1].endswith("at most 4 of the data's power (band 0.9-1); finer detail is guessed in one step")
    assert float(check.detail[3]) == pytest.approx(0.004**2 / 4e-3)


def test_rounding_is_no_detail():
    """A band that holds nothing but the rounding of float32 is not what sampling misses."""
    basis = FourierBasis((6, 5))
    power = torch.where(basis.relative_radius() < 0.6, 1.0, 1e-15).expand(2, 6, 3)
    statistics = DataStatistics(torch.zeros(SHAPE, dtype=torch.float64), power, 100, basis)
    check = designs.check_ends(statistics, fixed(VPSchedule()))
    assert float(check.detail.max()) < 1e-3
    assert (check.signal[7:] == 0).all()


def test_ends_of_noise_by_place_and_class():
    """What is left of the data where noise is weakest, what sampling misses where it is strongest; the advice is to
    give the weakest more, or a schedule, either of which helps."""
    basis, level = FourierBasis((6, 5)), 3.0**2 - 0.01**2
    data = DataStatistics(torch.zeros(SHAPE, dtype=torch.float64), torch.ones(2, 6, 3).double(), 100, basis)
    region = ModulatedCovariance(Box([0.5, 0.0], [1.0, 1.0], 2.0, 0.5), IsotropicCovariance(SHAPE))
    classes = ClassCovariance([IsotropicCovariance(SHAPE, 4.0), IsotropicCovariance(SHAPE, 0.25)])
    for covariance in (region, classes):
        process = ForwardProcess(VESchedule(0.01, 3.0), covariance)
        check = designs.check_ends(data, process)
        filled = check.signal > 0
        torch.testing.assert_close(check.signal[filled], torch.full_like(check.signal[filled], 4 / level))
        torch.testing.assert_close(check.detail[filled], torch.full_like(check.signal[filled], 4 * 0.002**2))
        with pytest.raises(InputError, match="use schedule 've"):
            check.refuse()
        mended = dataclasses.replace(process, schedule=VESchedule(0.01, 7.0))
        designs.check_ends(data, mended).refuse()
        weak = dataclasses.replace(process, schedule=CosineSchedule(-0.5))
        with pytest.raises(InputError, match=r"or give the class or place with the weakest noise more$"):
            designs.check_ends(data, weak).refuse()


@pytest.mark.parametrize("name", ["ve", "blurring", "sequential", "colours"])
def test_ends_of_a_time_grid(name):
    """Sampling that starts before `t = 1` is judged there, and told to start later; `end` is the last time before 0."""
    process = PROCESSES[name]
    data = data_of(process, 0.01)
    check = designs.check_ends(data, process, start=0.3, end=0.05)
    signal, noise, power = [0.0] * 10, np.zeros(10), np.zeros(10)
    for r, at, _, a, s in frequencies_of(process, 0.3):
        signal[band_of(r)] = max(signal[band_of(r)], float(data.spectrum[at]) * a**2 / s**2)
    for r, at, count, a, s in frequencies_of(process, 0.05):
        noise[band_of(r)] += count * s**2 / a**2
        power[band_of(r)] += count * float(data.spectrum[at])
    assert check.start == 0.3
    np.testing.assert_allclose(check.signal.numpy(), signal, rtol=1e-9)
    np.testing.assert_allclose(check.detail.numpy(), noise / np.where(power > 0, power, 1), rtol=1e-9)
    louder = data_of(process, 0.01 * 5 * designs.SIGNAL_LIMIT / max(signal))
    with pytest.raises(InputError, match=r"at t = 0\.3 the data in band .*use sampling\.grid 'matched', or a larger"):
        designs.check_ends(louder, process, start=0.3).refuse()
    # The matched grid starts late enough.
    low, high = matched_range(process, louder)
    assert low < high
    start = float(process.time_at(torch.tensor(high, dtype=torch.float64)))
    assert designs.check_ends(louder, process, start=start).signal.max() <= max(
        1.01 / 64, float(designs.check_ends(louder, process).signal.max())
    )


def test_ends_of_other_data_are_refused():
    other = DataStatistics(torch.zeros(1, 6, 5), torch.ones(1, 6, 3).double(), 100, FourierBasis((6, 5)))
    with pytest.raises(InputError, match=r"statistics are of data \(1, 6, 5\), the process of \(2, 6, 5\)"):
        designs.check_ends(other, PROCESSES["vp"])
    with pytest.raises(InputError, match=r"the process is diagonal in cosine.*, not in fourier"):
        designs.check_ends(data_of(PROCESSES["vp"]), PROCESSES["blurring"])


@pytest.mark.parametrize("name", [n for n in PROCESSES if isinstance(PROCESSES[n], SpectralProcess)])
def test_inspection_of_processes_by_frequency(name):
    """Each frequency's own drowning, by root finding on its noise-to-signal ratio, at the clock of the process."""
    process, data = PROCESSES[name], data_of(PROCESSES[name])
    x = torch.zeros(1, *SHAPE, dtype=torch.float64)

    def level(at, margin):
        def excess(t):
            a, s = (c.values.expand(1, *data.spectrum.shape)[0][at] for c in process.diagonal(t, x, data.basis))
            return float(s / a) ** 2 / (margin**2 * float(data.spectrum[at])) - 1 if a > 0 else 1.0

        t = 1.0 if excess(1.0) < 0 else optimize.brentq(excess, 1e-9, 1.0, xtol=1e-15, rtol=1e-14)
        return float(process.noise_level(torch.tensor(t, dtype=torch.float64)))

    least = min(r for r, *_ in frequencies_of(process, 0.5) if r > 0)
    counted = [
        (count / max(r, least), level(at, 1.0), level(at, 8.0))
        for r, at, count, _, s in frequencies_of(process, 0.5)
        if s > 0 and data.spectrum[at] > 0
    ]
    weight, drowned = np.array([c[0] for c in counted]), np.log([c[1] for c in counted])
    mean = (weight * drowned).sum() / weight.sum()
    std = math.sqrt((weight * (drowned - mean) ** 2).sum() / weight.sum() + 1.2**2)
    result = designs.inspect(data, process)
    assert result.log_sigma_mean == pytest.approx(mean, rel=1e-6)
    assert result.log_sigma_std == pytest.approx(std, rel=1e-6)
    assert result.sigma_range == pytest.approx((0.002, max(c[2] for c in counted)), rel=1e-6)
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["log_sigma_mean"] == result.log_sigma_mean


def test_inspection_in_another_basis_is_refused():
    with pytest.raises(InputError, match="the process is diagonal in cosine"):
        designs.inspect(data_of(PROCESSES["vp"]), PROCESSES["blurring"])
