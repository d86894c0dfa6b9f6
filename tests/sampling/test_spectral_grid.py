"""Levels of the grid that follows the spectrum, on spectra whose levels are known."""

import math

import pytest
import torch

from sagd.errors import InputError
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.whitening import Whitening
from sagd.noise.statistics import DataStatistics
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import RectifiedSchedule, VESchedule
from sagd.sampling.grids import TimeGrid
from sagd.sampling.spectral_grid import SpectralGrid

SHAPE = (1, 64)


def statistics(power):
    basis = FourierBasis(SHAPE[1:])
    return DataStatistics(torch.zeros(SHAPE, dtype=torch.float64), power(basis.radius())[None], 100, basis)


def process(spectrum="flat", schedule=None):
    covariance = SpectralCovariance(Spectrum.parse(spectrum), SHAPE)
    return ForwardProcess(schedule or VESchedule(1e-6, 1e4), covariance)


def levels(grid, data, forward=None, steps=9):
    forward = forward or process()
    return forward.noise_level(TimeGrid.parse(grid).times(steps, forward, data)[:-1])


def test_it_reaches_from_where_all_is_drowned_to_where_nothing_is():
    data = statistics(lambda r: (r + 0.1) ** -4)
    found = levels("spectral(margin=5)", data)
    rings = 1 / (torch.arange(32) / 64 + 0.1) ** 2  # amplitudes; DC to the last
    assert found[0].item() == pytest.approx(5 * rings[0].item(), rel=0.05)
    assert found[-1].item() == pytest.approx(rings[-1].item() / 5, rel=0.05)


def test_equal_steps_in_the_logarithm():
    logs = levels("spectral(mix=1)", statistics(lambda r: (r + 0.1) ** -4)).log()
    torch.testing.assert_close(logs.diff(), logs.diff().mean().expand(8), rtol=1e-5, atol=0)


def test_as_many_rings_drown_in_each_step():
    """A tenth of the spectrum is strong, all else 60 dB below: that gets nine tenths of the levels."""
    data = statistics(lambda r: torch.where(r < 0.05, 1e6, 1.0).double())
    followed = levels("spectral(mix=0.001, margin=1)", data, steps=40)
    assert int((followed > 10).sum()) == pytest.approx(4, abs=2)
    assert int((levels("spectral(mix=1, margin=1)", data, steps=40) > 10).sum()) == pytest.approx(27, abs=1)


def test_noise_of_the_spectrum_of_the_data_has_one_level():
    data = statistics(lambda r: (r + 0.1) ** -4)
    w = Whitening().resolve(data)
    forward = ForwardProcess(RectifiedSchedule(), SpectralCovariance(w, SHAPE, calibration="none"))
    found = levels("spectral", data, forward)
    assert found[0].item() == pytest.approx(8, rel=1e-4)
    assert found[-1].item() == pytest.approx(1 / 8, rel=1e-4)


def test_range_ends_where_the_process_does():
    forward = process(schedule=VESchedule(1e-4, 10.0))
    assert levels("spectral", statistics(lambda r: 100 + 0 * r), forward)[0] <= 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"mix": 0.0}, r"spectral mix must lie in \(0, 1\]"), ({"margin": 0.5}, "spectral margin must be at least 1")],
)
def test_bad_parameters_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        SpectralGrid(**settings)


def test_data_is_needed_and_must_vary():
    with pytest.raises(InputError, match="needs the data's statistics"):
        SpectralGrid().times(4, process())
    with pytest.raises(InputError, match="does not vary at any frequency that carries noise"):
        SpectralGrid().times(4, process(), statistics(lambda r: 0 * r))


def test_default_is_decreasing_for_steep_data():
    times = SpectralGrid().times(6, process(schedule=RectifiedSchedule()), statistics(lambda r: (r + 0.02) ** -6))
    assert (times.diff() < 0).all()
    assert math.isfinite(float(times[0]))
