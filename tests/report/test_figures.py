import math
import xml.etree.ElementTree as ElementTree

import matplotlib as mpl
import numpy as np
import pytest
import torch

from sagd.data.drawing import style, styles
from sagd.errors import InputError
from sagd.noise.grid import Grid, RingScale
from sagd.report import figures
from sagd.report.figures import Estimate

EDGES = [0.0, 0.25, 0.5, 0.75, 1.0]
CENTRES = [0.125, 0.375, 0.625, 0.875]
LOOKS = styles(["white", "tilt"])


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def tick_labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_twelve_styles_are_all_different():
    looks = [style(i) for i in range(12)]
    assert len({(s.colour, s.dash) for s in looks}) == 12
    assert looks[0].dash == ()
    assert len({s.marker for s in looks[:6]}) == 6


def test_noise_spectra_are_drawn_at_band_centres():
    figure = figures.noise_spectra_figure(EDGES, {"white": [1, 1, 1, 1], "tilt": torch.tensor([4.0, 2, 1, 0.5])}, LOOKS)
    (axes,) = figure.axes
    drawn = lines(axes)
    assert list(drawn) == ["white", "tilt"]
    assert drawn["tilt"].get_xdata() == pytest.approx(CENTRES)
    assert drawn["tilt"].get_ydata() == pytest.approx([4, 2, 1, 0.5])
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_band_without_frequencies_is_skipped_and_band_without_noise_leaves_a_gap():
    figure = figures.noise_spectra_figure(EDGES, {"white": [1, math.nan, 0, 2]}, LOOKS)
    line = figure.axes[0].get_lines()[0]
    assert line.get_xdata() == pytest.approx([0.125, 0.625, 0.875])
    np.testing.assert_equal(line.get_ydata(), [1, math.nan, 2])


def test_white_noise_is_not_blown_up_to_numerical_noise():
    figure = figures.noise_spectra_figure(EDGES, {"white": [1, 1 + 1e-7, 1, 1 - 1e-7]}, LOOKS)
    low, high = figure.axes[0].get_ylim()
    assert high / low > 3


def test_maps_of_frequencies_have_the_units_of_their_axes():
    grid = Grid.parse(["0.5 mm", "2 mm"])
    (axes,) = figures.mask_figure(np.zeros((8, 5)), 8, figures.pixel_scales(grid)).axes
    assert (axes.get_xlabel(), tick_labels(axes.xaxis)) == ("horizontal (cycles/mm)", ["−0.125", "0", "0.125"])
    assert (axes.get_ylabel(), tick_labels(axes.yaxis)) == ("vertical (cycles/mm)", ["−0.5", "0", "0.5"])
    (axes,) = figures.mask_figure(np.zeros((8, 5)), 8, figures.pixel_scales(None)).axes
    assert (axes.get_xlabel(), tick_labels(axes.xaxis)) == ("horizontal (cycles/pixel)", ["−¼", "0", "¼"])


def test_a_narrow_line_stays_where_every_frequency_is_told():
    rho, hum = np.arange(1, 101) / 100, np.ones((1, 100))
    hum[0, 49] = 1000
    fine = figures.FineSpectra(rho, hum, {"white": np.ones(100)})
    scale = RingScale("frequency (Hz)", 500.0, "Hz")
    figure = figures.spectra_figure(EDGES, [[1, 1, 1, 1]], {"white": [2, 2, 2, 2]}, LOOKS, None, scale, fine)
    above, below = figure.axes
    real = lines(above)["real data"]
    assert real.get_xdata()[real.get_ydata().argmax()] == pytest.approx(250)
    assert real.get_ydata().max() == 1000
    # Errors are those of the measure, by band.
    assert lines(below)["white"].get_ydata().tolist() == [2, 2, 2, 2]
    assert below.get_xlabel() == "frequency (Hz)"


def test_spectra_show_channel_means_and_ratio_to_data():
    data = [[1.0, 2, 4, 8], [3.0, 6, 12, 24]]  # mean 2, 4, 8, 16
    samples = [[3.0, 4, 8, 0], [3.0, 4, 8, 0]]
    figure = figures.spectra_figure(EDGES, data, {"white": samples}, LOOKS, floor=[1, 1.1, math.nan, 0.9])
    above, below = figure.axes
    assert lines(above)["real data"].get_ydata() == pytest.approx([2, 4, 8, 16])
    np.testing.assert_allclose(lines(below)["white"].get_ydata(), [1.5, 1, 1, math.nan])
    assert lines(below)["real / real"].get_ydata() == pytest.approx([1, 1.1, 0.9])


def test_spectrum_with_other_bands_is_refused():
    with pytest.raises(InputError, match=r"spectrum of 'white' must have 4 bands as the edges say, got shape \(3,\)"):
        figures.noise_spectra_figure(EDGES, {"white": [1, 1, 1]}, LOOKS)


def test_nothing_positive_is_refused():
    with pytest.raises(InputError, match="no value is positive"):
        figures.noise_spectra_figure(EDGES, {"white": [0, 0, 0, 0]}, LOOKS)


def test_loss_curves():
    figure = figures.loss_figure({"white": ([1, 2, 3], [1.0, 0.5, 0.25]), "tilt": ([1, 2, 3], [2.0, 1.0, 0.5])}, LOOKS)
    drawn = lines(figure.axes[0])
    assert drawn["white"].get_ydata() == pytest.approx([1, 0.5, 0.25])
    assert drawn["white"].get_color() == LOOKS["white"].colour


def test_intervals_show_means_runs_and_floor():
    estimates = {"white": Estimate(2.0, 1.5, 2.5, (1.9, 2.1)), "tilt": Estimate(1.0, None, None, (1.0,))}
    (axes,) = figures.intervals_figure(estimates, LOOKS, "distance", floor=0.5).axes
    data = [tuple(np.asarray(line.get_xdata(), dtype=float)) for line in axes.get_lines()]
    assert data == [(1.5, 2.5), (1.9, 2.1), (2.0,), (1.0,), (1.0,), (0.5, 0.5)]
    assert tick_labels(axes.yaxis) == ["white", "tilt"]


def test_names_are_text_and_not_mathematics():
    names = ["$x$", "_hidden", "<b>"]
    looks = styles(names)
    figure = figures.loss_figure({name: ([1, 2], [1.0, 0.5]) for name in names}, looks)
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert [text.replace("\\", "").strip() for text in legend] == names
    assert b"<svg" in figures.to_svg(figure)


def test_many_or_long_names_do_not_cover_the_curves():
    names = [f"process {i}" for i in range(6)]
    crowded = figures.loss_figure({name: ([1, 2], [1.0, 0.5]) for name in names}, styles(names))
    assert crowded.axes[0].get_legend() is None
    assert [text.get_text() for text in crowded.legends[0].get_texts()] == names

    name = "a process with a long name"
    estimates = {name: Estimate(1.0, 0.5, 1.5)}
    figure = figures.intervals_figure(estimates, styles([name]), "distance")
    assert tick_labels(figure.axes[0].yaxis) == ["a process with …"]


@pytest.mark.parametrize("low", [3e-7, 0.012, 0.95, 1.3, 40.0])
@pytest.mark.parametrize("span", [1.02, 1.3, 2, 7, 30, 400, 1e5, 1e12])
def test_logarithmic_axes_have_a_few_round_ticks(low, span):
    figure = figures.loss_figure({"white": ([1, 2], [low, low * span])}, LOOKS)
    axes = figure.axes[0]
    ticks, (bottom, top) = axes.get_yticks(), axes.get_ylim()
    assert 3 <= len(ticks) <= 7
    assert bottom <= min(ticks)
    assert max(ticks) <= top
    assert len(set(tick_labels(axes.yaxis))) == len(ticks)


def test_svg_is_complete_and_the_same_every_time(tmp_path):
    def draw():
        return figures.noise_spectra_figure(EDGES, {"white": [1, 2, 3, 4]}, LOOKS)

    first = figures.to_svg(draw())
    assert first == figures.to_svg(draw())
    references = [v for e in ElementTree.fromstring(first).iter() for k, v in e.attrib.items() if k.endswith("href")]
    assert all(reference.startswith("#") for reference in references)
    draw().savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000


def test_global_state_is_left_alone():
    before = dict(mpl.rcParams)
    figures.to_svg(figures.loss_figure({"white": ([1, 2], [1.0, 0.5])}, LOOKS))
    assert dict(mpl.rcParams) == before
    from matplotlib import pyplot

    assert pyplot.get_fignums() == []
