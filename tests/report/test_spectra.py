import math

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from sagd.errors import InputError
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.spectra.bands import BandPass
from sagd.noise.spectra.base import Flat, Spectrum
from sagd.noise.spectra.by_channel import PerChannel
from sagd.noise.spectra.by_class import ClassConditional
from sagd.noise.spectra.notch import Notch
from sagd.noise.spectra.oriented import Oriented
from sagd.noise.spectra.power_law import AxisPowerLaw, ExponentialDecay, PowerLaw
from sagd.noise.spectra.tables import RadialTable, Tabulated
from sagd.noise.spectra.whitening import Whitening
from sagd.noise.statistics import measure
from sagd.report.spectra import plot_spectrum


def calibrated(power):
    """Power on the full grid, at a mean of 1."""
    return power / power.mean()


def test_audio_is_a_line_over_frequency():
    axes = plot_spectrum(PowerLaw(-0.5), spatial=(8,))
    (line,) = axes.get_lines()
    assert line.get_xdata() == pytest.approx([0, 0.125, 0.25, 0.375, 0.5])
    full = calibrated(np.array([8, 8, 4, 8 / 3, 2, 8 / 3, 4, 8]))
    assert line.get_ydata() == pytest.approx(full[:5])
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")
    assert axes.get_title() == "power_law(alpha=-0.5)"
    assert axes.get_legend() is None


@pytest.mark.parametrize("spatial", [(8, 12), (7, 5)])
def test_images_show_all_frequencies_with_dc_in_the_middle(spatial):
    axes = plot_spectrum(ExponentialDecay(3.0), spatial)
    rows, columns = (np.fft.fftshift(np.fft.fftfreq(side)) for side in spatial)
    expected = np.log10(calibrated(np.exp(-6 * (rows[:, None] ** 2 + columns**2))))
    (image,) = axes.get_images()
    np.testing.assert_allclose(image.get_array(), expected, atol=1e-12)
    assert image.get_array()[spatial[0] // 2, spatial[1] // 2] == image.get_array().max()
    left, right, bottom, top = image.get_extent()
    assert (left, top) == pytest.approx((columns[0] - 0.5 / spatial[1], rows[0] - 0.5 / spatial[0]))
    assert (right, bottom) == pytest.approx((columns[-1] + 0.5 / spatial[1], rows[-1] + 0.5 / spatial[0]))


def test_frequencies_without_noise_stay_white():
    axes = plot_spectrum(BandPass(0.2, 0.6), (16, 16))
    values = axes.get_images()[0].get_array().filled(np.nan)
    assert 0 < np.isnan(values).sum() < values.size
    assert axes.figure.axes[1].get_ylabel() == r"$\log_{10} w^2$ (white: none)"


def test_white_noise_does_not_show_its_rounding():
    low, high = plot_spectrum(Flat() * PowerLaw(0.0), (8, 8)).get_images()[0].get_clim()
    assert high - low >= 0.5


def test_volumes_are_a_radial_profile():
    axes = plot_spectrum(RadialTable([0.0, 0.5, 0.500001], [2.0, 2.0, 1.0]), spatial=(16, 16, 16))
    (line,) = axes.get_lines()
    assert len(line.get_xdata()) == 16
    assert line.get_ydata()[0] / line.get_ydata()[-1] == pytest.approx(4)


def test_channels_are_lines_or_averaged():
    spectrum = PerChannel(["flat", "band_pass(high=0.5)"])
    lines = plot_spectrum(spectrum, spatial=(8,)).get_lines()
    assert [line.get_label() for line in lines] == ["channel 0", "channel 1"]
    assert len(lines[0].get_xdata()) == 5
    ratio = lines[0].get_ydata() / lines[1].get_ydata()
    assert ratio[:2] == pytest.approx([1, 1])
    assert np.isnan(ratio[2:]).all()
    image = plot_spectrum(spectrum, spatial=(8, 8)).get_images()[0].get_array()
    assert 10 ** (image[4, 4] - image[0, 0]) == pytest.approx(2)


def test_measured_spectra_are_drawn_on_their_grid():
    x = torch.randn(9, 1, 6, 8, generator=torch.Generator().manual_seed(0))
    axes = plot_spectrum(Whitening(), statistics=measure(x))
    power = (np.abs(np.fft.fft2((x.double() - x.double().mean(0)).numpy())) ** 2).sum((0, 1))
    np.testing.assert_allclose(
        axes.get_images()[0].get_array(), np.log10(np.fft.fftshift(calibrated(power))), atol=1e-9
    )
    assert axes.get_title() == "whitening"
    (line,) = plot_spectrum(Whitening(), statistics=measure(x, CosineBasis((6, 8)))).get_lines()
    assert np.isfinite(line.get_ydata()).all()


def test_given_axes_are_drawn_on():
    figure = Figure()
    axes = figure.subplots()
    assert plot_spectrum(Flat(), (8,), axes=axes) is axes


@pytest.mark.parametrize(
    ("spectrum", "spatial"),
    [
        (Notch(at=((0.25, 0.1),), bandwidth=0.05), (16, 16)),
        (Oriented(30, 40, outside=0.2), (16, 15)),
        (AxisPowerLaw((-1.0, 0.5)), (9, 8)),
        (PowerLaw(-0.3) * Flat() + BandPass(), (1, 8)),
        (Tabulated(torch.ones(3)), (4,)),
        (PowerLaw(), (1,)),
        (Flat(), (4, 4, 4, 4)),
    ],
    ids=str,
)
def test_any_spectrum_becomes_a_picture(spectrum, spatial, tmp_path):
    figure = plot_spectrum(spectrum, spatial, channels=2).figure
    figure.savefig(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 1000


def test_long_titles_wrap():
    spectrum = Spectrum.parse("two_band(gamma_low=0.9, low_start=0.1, low_end=0.4, gamma_high=0.2, high_end=0.8)")
    lines = plot_spectrum(spectrum, (8,)).get_title().split("\n")
    assert len(lines) > 1
    assert " ".join(lines) == str(spectrum)


def test_what_has_no_weights_is_refused():
    with pytest.raises(InputError, match="needs the measured power spectrum"):
        plot_spectrum(Whitening())
    with pytest.raises(InputError, match="depends on the class"):
        plot_spectrum(ClassConditional({"a": "flat"}))
    with pytest.raises(InputError, match="have shape"):
        plot_spectrum(Tabulated(torch.ones(3)), (8,))
    assert math.isfinite(plot_spectrum(Flat(), (8,)).get_ylim()[0])
