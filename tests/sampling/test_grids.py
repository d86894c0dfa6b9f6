import math

import pytest
import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import Basis
from sagd.noise.basis.channels import ChannelBasis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.by_class import ClassCovariance
from sagd.noise.covariance.isotropic import IsotropicCovariance
from sagd.noise.covariance.modulated import ModulatedCovariance
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.regions import Box
from sagd.noise.spectra.bands import BandPass
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.by_channel import PerChannel
from sagd.noise.spectra.power_law import PowerLaw
from sagd.noise.statistics import DataStatistics, measure
from sagd.process.evolution import Blurring, Evolution, Sequential
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import CosineSchedule, RectifiedSchedule, Schedule, VESchedule, VPSchedule
from sagd.process.spectral import SpectralProcess
from sagd.sampling.grids import KarrasGrid, LogSNRGrid, MatchedGrid, TimeGrid, UniformGrid, matched_range

SHAPE = (2, 4, 6)
SCHEDULES = [VPSchedule(), CosineSchedule(), VESchedule(), RectifiedSchedule()]
# Numbers of steps by grid: one that is found is searched for anew for each, and is then one of `karras`.
FEW, MANY = {"found": (1, 2, 7, 50)}, (*range(1, 51), 300)


def white(schedule: Schedule) -> ForwardProcess:
    return ForwardProcess(schedule, IsotropicCovariance(SHAPE))


def statistics(spectrum: Tensor | None = None) -> DataStatistics:
    basis = FourierBasis(SHAPE[1:])
    shape = (SHAPE[0], *basis.coefficients)
    spectrum = torch.ones(shape, dtype=torch.float64) if spectrum is None else spectrum.expand(shape)
    return DataStatistics(torch.zeros(SHAPE, dtype=torch.float64), spectrum, 100, basis)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("grid", TimeGrid.kinds())
def test_times_decrease_strictly_from_noise_to_data(grid: str, schedule: Schedule) -> None:
    for steps in FEW.get(grid, MANY):
        times = TimeGrid.parse(grid).times(steps, white(schedule), statistics())
        assert (times.dtype, times.shape) == (torch.float64, (steps + 1,))
        assert 0 < times[0] <= 1
        assert times[-1] == 0
        assert (times.diff() < 0).all()


def test_karras_levels() -> None:
    """Equation 5 of Karras et al. (2022) by hand, `1.5^7` between `1` and `2^7`; and the property that defines it. The
    values of the paper's own sampler are compared with diffusers' in `test_diffusers_equality`."""
    process = white(VESchedule(0.1, 200.0))
    by_hand = process.schedule.noise_level(KarrasGrid(1.0, 128.0).times(3, process))
    torch.testing.assert_close(by_hand, torch.tensor([128, 17.0859375, 1, 0], dtype=torch.float64))
    roots = process.schedule.noise_level(KarrasGrid(0.5, 90.0, rho=3.0).times(10, process))[:-1] ** (1 / 3)
    torch.testing.assert_close(roots.diff(), roots.diff().mean().expand(9))
    assert (roots[0].item() ** 3, roots[-1].item() ** 3) == pytest.approx((90, 0.5))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_karras_levels_do_not_depend_on_the_schedule(schedule: Schedule) -> None:
    """Where the range lies inside the schedule's, only the names of the times differ."""
    grid = KarrasGrid(0.01, 50.0)
    levels = schedule.noise_level(grid.times(12, white(schedule))[:-1])
    reference = VESchedule().noise_level(grid.times(12, white(VESchedule()))[:-1])
    torch.testing.assert_close(levels, reference, rtol=1e-6, atol=0)


def test_ranges_are_cut_to_the_schedule() -> None:
    for grid in (KarrasGrid(0.002, 1e5), LogSNRGrid(0.002, 1e5)):
        for schedule in (VPSchedule(), CosineSchedule(), VESchedule()):
            assert grid.times(5, white(schedule))[0].item() == pytest.approx(1, abs=1e-9)
    assert KarrasGrid().times(5, white(RectifiedSchedule()))[0].item() == pytest.approx(80 / 81)


def test_uniform_grid() -> None:
    times = UniformGrid().times(4, white(CosineSchedule()))
    torch.testing.assert_close(times, torch.tensor([1, 0.75, 0.5, 0.25, 0], dtype=torch.float64))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_log_snr_grid_is_geometric(schedule: Schedule) -> None:
    levels = schedule.noise_level(LogSNRGrid(0.01, 40.0).times(13, white(schedule))[:-1])
    assert (levels[0].item(), levels[-1].item()) == pytest.approx((40.0, 0.01), rel=1e-6)
    ratios = levels[1:] / levels[:-1]
    torch.testing.assert_close(ratios, torch.full_like(ratios, 4000 ** (-1 / 12)), rtol=1e-6, atol=0)


def test_matched_range_of_a_known_spectrum() -> None:
    """`max_f sqrt(S)/w`, by hand: data and noise with one loud frequency each."""
    basis = FourierBasis(SHAPE[1:])
    S = torch.full(basis.coefficients, 0.04, dtype=torch.float64)
    S[1, 2] = 9.0
    process = ForwardProcess(VESchedule(), SpectralCovariance(PowerLaw(1.0), SHAPE, calibration="none"))
    r = math.hypot(1 / 4, 2 / 6)
    assert matched_range(process, statistics(S), margin=5.0) == pytest.approx((0.002, 5 * 3 / r))
    # Quiet noise at the lowest frequencies asks for more: DC is floored at r = 1/6.
    S[1, 2] = 0.04
    assert matched_range(process, statistics(S), margin=1.0)[1] == pytest.approx(0.2 * 6)


def test_matched_range_is_met_by_data_with_the_noise_spectrum() -> None:
    """Data drawn as the noise, at a tenth of its size: `sqrt(S)/w = 1/10` up to the chance of 4,000 samples."""
    process = ForwardProcess(VESchedule(), SpectralCovariance(PowerLaw(-0.5), SHAPE))
    x = 0.1 * process.covariance.sample(4000, torch.Generator().manual_seed(0))
    low, high = matched_range(process, measure(x), margin=1.0, sigma_min=0.001)
    assert (low, high) == (0.001, pytest.approx(0.1, rel=0.05))


def test_matched_range_ignores_frequencies_without_noise() -> None:
    process = ForwardProcess(VESchedule(), SpectralCovariance(BandPass(0.5, 1.0), SHAPE, calibration="none"))
    rho = FourierBasis(SHAPE[1:]).relative_radius()
    S = torch.where(rho < 0.5, 1e6, 0.25)
    assert matched_range(process, statistics(S), margin=2.0)[1] == pytest.approx(1.0)
    with pytest.raises(InputError, match="does not vary at any frequency that carries noise"):
        matched_range(process, statistics(torch.where(rho < 0.5, 1.0, 0.0)))


def test_matched_grid_is_karras_over_the_matched_range() -> None:
    process = white(VPSchedule())
    times = MatchedGrid(margin=6.0, sigma_min=0.01).times(9, process, statistics(torch.tensor(0.25).double()))
    torch.testing.assert_close(times, KarrasGrid(0.01, 3.0).times(9, process))


def test_matched_grid_needs_fitting_statistics() -> None:
    with pytest.raises(InputError, match="needs the data's statistics; pass statistics=measure"):
        MatchedGrid().times(5, white(VPSchedule()))
    other = ForwardProcess(VPSchedule(), IsotropicCovariance((1, 4, 6)))
    with pytest.raises(InputError, match=r"statistics are of data \(2, 4, 6\), the process of \(1, 4, 6\)"):
        MatchedGrid().times(5, other, statistics())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("karras(sigma_min=0)", "0 < sigma_min < sigma_max, got sigma_min=0"),
        ("karras(sigma_min=3, sigma_max=2)", "got sigma_min=3, sigma_max=2"),
        ("karras(rho=0)", "rho must be positive, got 0"),
        ("log_snr(sigma_max=0.001)", "got sigma_min=0.002, sigma_max=0.001"),
        ("matched(margin=-1)", "margin must be positive, got -1"),
        ("matched(sigma_min=0)", "sigma_min must be positive, got 0"),
        ("matched(rho=-7)", "rho must be positive, got -7"),
        ("karas", "did you mean 'karras'"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TimeGrid.parse(text)


def test_grids_that_cannot_be_sampled_are_refused() -> None:
    with pytest.raises(InputError, match="steps must be at least 1, got 0"):
        UniformGrid().times(0, white(VPSchedule()))
    # All levels lie above the largest of this schedule.
    with pytest.raises(InputError, match=r"does not decrease strictly.*use fewer steps or a range inside"):
        KarrasGrid(50.0, 90.0).times(4, white(VESchedule(sigma_max=10.0)))


# Processes with a schedule for each frequency: levels are those of their clock.


def spectral(
    evolution: Evolution, spectrum: Spectrum, schedule: Schedule, basis: Basis | None = None
) -> SpectralProcess:
    return SpectralProcess(schedule, SpectralCovariance(spectrum, SHAPE, basis), evolution)


MIX = ChannelBasis(SHAPE[1:], CosineBasis(SHAPE[1:]), ((0.6, 0.8), (-0.8, 0.6)))
BY_FREQUENCY = {
    "blurring": SpectralProcess.blurring(SHAPE),
    "white to blue": SpectralProcess.white_to_blue(SHAPE, VPSchedule()),
    "sequential": SpectralProcess.sequential(SHAPE, "low"),
    "sequential, narrow": SpectralProcess.sequential(SHAPE, schedule=RectifiedSchedule(), width=0.1),
    "sequential, exploding": spectral(Sequential(), PerChannel((PowerLaw(-0.5), PowerLaw(0.5))), VESchedule()),
    "colours": spectral(Blurring(2.0), PerChannel((PowerLaw(-0.5), PowerLaw(0.5))), CosineSchedule(), MIX),
    "band": spectral(Sequential(), BandPass(0.3, 0.9), CosineSchedule()),
}


def statistics_of(process: SpectralProcess) -> DataStatistics:
    power = torch.stack([0.1 + torch.exp(-5 * process.basis.radius()), 0.3 * (process.basis.radius() + 0.1) ** -1])
    return DataStatistics(torch.zeros(SHAPE, dtype=torch.float64), power, 100, process.basis)


@pytest.mark.parametrize("name", BY_FREQUENCY)
@pytest.mark.parametrize("grid", TimeGrid.kinds())
def test_times_by_frequency_decrease_strictly_from_noise_to_data(grid: str, name: str) -> None:
    process = BY_FREQUENCY[name]
    for steps in FEW.get(grid, MANY):
        times = TimeGrid.parse(grid).times(steps, process, statistics_of(process))
        assert (times.dtype, times.shape) == (torch.float64, (steps + 1,))
        assert 0 < times[0] <= 1
        assert times[-1] == 0
        assert (times.diff() < 0).all()


@pytest.mark.parametrize("name", BY_FREQUENCY)
def test_levels_by_frequency(name: str) -> None:
    """Karras' levels and the geometric ones, wherever they lie inside the range of the process's clock."""
    process = BY_FREQUENCY[name]
    levels = process.noise_level(KarrasGrid(0.01, 50.0, rho=3.0).times(12, process)[:-1])
    steps = torch.linspace(50 ** (1 / 3), 0.01 ** (1 / 3), 12, dtype=torch.float64) ** 3
    torch.testing.assert_close(levels, steps, rtol=1e-9, atol=0)
    levels = process.noise_level(LogSNRGrid(0.01, 40.0).times(13, process)[:-1])
    geometric = 40 * 4000 ** (-torch.arange(13, dtype=torch.float64) / 12)
    torch.testing.assert_close(levels, geometric, rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", BY_FREQUENCY)
def test_ranges_by_frequency_are_cut_to_the_process(name: str) -> None:
    process = BY_FREQUENCY[name]
    highest = float(process.noise_level(torch.ones((), dtype=torch.float64)))
    for grid in (KarrasGrid(0.002, 1e9), LogSNRGrid(0.002, 1e9)):
        first = grid.times(5, process)[0].item()
        expected = 1.0 if highest < 1e9 else float(process.time_at(torch.tensor(1e9, dtype=torch.float64)))
        assert first == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", BY_FREQUENCY)
@pytest.mark.parametrize("margin", [1.0, 8.0])
def test_matched_range_by_frequency(name: str, margin: float) -> None:
    """By trying many times: the first at which noise exceeds the data `margin` times at every frequency that carries
    noise; the end of the process if it never does."""
    process = BY_FREQUENCY[name]
    data = statistics_of(process)
    times = torch.linspace(0, 1, 4001, dtype=torch.float64)
    x = torch.zeros(len(times), *SHAPE, dtype=torch.float64)
    a, s = (c.values for c in process.diagonal(times, x, process.basis))
    drowned = ((s >= margin * a * data.spectrum.sqrt()) | (s[2000] == 0)).flatten(1).all(1)
    i = int(drowned.double().argmax()) if drowned.any() else len(times) - 1
    before, after = process.noise_level(times[[i - 1, i]]).tolist()
    low, high = matched_range(process, data, margin)
    assert low == 0.002
    assert before * (1 - 1e-9) <= high <= after * (1 + 1e-9)
    points = MatchedGrid(margin).times(9, process, data)
    torch.testing.assert_close(points, KarrasGrid(0.002, high).times(9, process))


def test_matched_range_by_frequency_needs_the_basis_of_the_noise() -> None:
    process = BY_FREQUENCY["blurring"]
    with pytest.raises(InputError, match=r"the process is diagonal in cosine.*, not in fourier"):
        matched_range(process, statistics())


# Noise by place or class: the range ends where the data has drowned everywhere.


def test_matched_range_of_a_region() -> None:
    """Where noise is weakest; places without any do not count."""
    data = statistics(torch.tensor(0.5, dtype=torch.float64))
    for region, least in ((Box([0.0, 0.5], [1.0, 1.0], 2.0, 0.5), 0.5), (Box([0.0, 0.5], [1.0, 1.0], 2.0), 2.0)):
        process = ForwardProcess(VESchedule(), ModulatedCovariance(region, IsotropicCovariance(SHAPE)))
        assert matched_range(process, data, margin=4.0) == pytest.approx((0.002, 4 * math.sqrt(0.5) / least))
        assert MatchedGrid().times(5, process, data)[0] < 1


def test_matched_range_of_noise_by_class() -> None:
    """One grid for all classes: that of the weakest noise at each frequency; a class without any there does not
    count."""
    loud, quiet = IsotropicCovariance(SHAPE, 7.0), IsotropicCovariance(SHAPE, 0.25)
    band = SpectralCovariance(BandPass(0.5, 1.0), SHAPE, calibration="none")
    data = statistics(torch.tensor(1.0, dtype=torch.float64))
    for members, expected in (([loud, quiet], 2 / 0.5), ([loud, band], 2.0), ([loud, loud], 2 / math.sqrt(7))):
        process = ForwardProcess(VESchedule(), ClassCovariance(members))
        assert matched_range(process, data, margin=2.0)[1] == pytest.approx(expected)
    labels = process.given(torch.tensor([0, 1, 1]))
    assert matched_range(labels, data, margin=2.0)[1] == pytest.approx(2 / math.sqrt(7))


def test_steps_beyond_all_sense_take_no_memory():
    with pytest.raises(InputError, match=r"^steps must be at most 100,000, got 10000000000$"):
        UniformGrid().times(10**10, white(VPSchedule()))
