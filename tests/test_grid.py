import math

import pytest
import torch
from torch import Tensor

from sagd.basis import FourierBasis
from sagd.covariance import IsotropicCovariance, SpectralCovariance
from sagd.errors import InputError
from sagd.grid import KarrasGrid, LogSNRGrid, MatchedGrid, TimeGrid, UniformGrid, matched_range
from sagd.process import ForwardProcess
from sagd.schedule import CosineSchedule, RectifiedSchedule, Schedule, VESchedule, VPSchedule
from sagd.spectrum import BandPass, PowerLaw
from sagd.statistics import DataStatistics, measure

SHAPE = (2, 4, 6)
SCHEDULES = [VPSchedule(), CosineSchedule(), VESchedule(), RectifiedSchedule()]


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
    for steps in range(1, 51):
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
