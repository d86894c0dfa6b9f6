"""Pictures of signals: what is drawn where, in which colour, and what is said of the rest."""

import itertools
import math

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.text import Text

from sagd.data import previews
from sagd.data.drawing import NO_VALUE, scale_of
from sagd.data.kinds import Kind
from sagd.data.meaning import Meaning
from sagd.data.previews import mid_slices
from sagd.data.sheets import MOST_PIXELS, Clock, Page, inner_ticks, reduced
from sagd.errors import InputError

GREY = tuple(int(NO_VALUE[i : i + 2], 16) for i in (1, 3, 5))


def draws(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def area(image, colour):
    """Pixels of a colour, up to rounding."""
    return int((np.abs(np.asarray(image).astype(int) - np.array(colour)) <= 1).all(-1).sum())


def colour(name, place):
    return tuple(round(255 * part) for part in colormaps[name](float(place))[:3])


@pytest.fixture
def page(monkeypatch):
    """Pages as they are, before they become pixels."""
    monkeypatch.setattr(Page, "drawn", lambda self: self)


def texts(page):
    return [text.get_text() for text in page.figure.texts]


EVERY = {
    "waveforms": (previews.waveforms, (1, 700)),
    "series": (previews.series, (3, 700)),
    "fields": (previews.fields, (2, 20, 30)),
    "volumes": (previews.volumes, (2, 6, 8, 10)),
    "films": (previews.films, (3, 7, 12, 16)),
}


@pytest.fixture(params=EVERY)
def every(request):
    return EVERY[request.param]


# All kinds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 40])
def test_pictures_are_of_bounded_size_and_not_empty(every, count):
    draw, shape = every
    image = draw(draws(count, *shape))
    assert image.mode == "RGB"
    assert 200 <= image.width <= 2000
    assert image.width * image.height <= MOST_PIXELS
    assert len(image.getcolors(MOST_PIXELS)) > 10


@pytest.mark.parametrize(
    ("draw", "shape"),
    [
        (previews.waveforms, (2, 2, 300_000)),
        (previews.series, (3, 30, 20_000)),
        (previews.fields, (3, 20, 40, 1500)),
        (previews.fields, (20, 1, 900, 8)),
        (previews.volumes, (3, 14, 4, 60, 700)),
        (previews.films, (9, 13, 40, 90, 30)),
    ],
)
def test_large_signals_are_of_bounded_size_too(draw, shape):
    image = draw(draws(1, *shape[1:]).expand(shape))
    assert image.width <= 2000
    assert image.width * image.height <= MOST_PIXELS


@pytest.mark.parametrize("value", [0.0, -1e9, 1e-30, math.nan, math.inf])
def test_constant_and_missing_signals_are_drawn_without_warnings(every, value):
    draw, shape = every
    image = draw(torch.full((1, *shape), value))
    if not math.isfinite(value):
        assert area(image, GREY) > 2000


def test_signals_of_one_sample_are_drawn(every):
    draw, shape = every
    draw(draws(1, *(1 for _ in shape)))


def test_other_types_are_drawn(every):
    draw, shape = every
    for x in (draws(2, *shape).bfloat16(), (draws(2, *shape) > 0).to(torch.uint8), draws(2, *shape).requires_grad_()):
        draw(x)


def test_other_shapes_are_refused(every):
    draw, shape = every
    with pytest.raises(InputError, match=r"need .* \(N, C, .*\), none of them 0, got shape"):
        draw(draws(*shape))
    with pytest.raises(InputError, match=r"got shape \(0, "):
        draw(draws(0, *shape))
    with pytest.raises(InputError, match="got complex values of shape"):
        draw(draws(2, *shape).to(torch.complex64))


def test_what_is_left_out_is_said(page):
    assert texts(previews.waveforms(draws(64, 1, 50)))[0] == "the first 12 of 64 records"
    assert texts(previews.series(draws(2, 14, 50)))[0] == "2 series · 12 of 14 channels"
    assert texts(previews.fields(draws(30, 1, 8, 8)))[0] == "the first 16 of 30 fields"
    assert texts(previews.volumes(draws(1, 1, 8, 8, 8)))[0] == "1 volume"
    assert texts(previews.films(draws(9, 1, 12, 8, 8)))[0] == "the first 8 of 9 clips · 10 of 12 frames"


def test_names_and_units_fit_the_channels():
    with pytest.raises(InputError, match="each of 3 channels, got 2 names and 3 units"):
        previews.series(draws(2, 3, 9), names=["a", "b"])
    with pytest.raises(InputError, match="each of 3 channels, got 0 names and 1 units"):
        previews.fields(draws(2, 3, 9, 9), unit=["K"])
    with pytest.raises(InputError, match="steps must be 3 distances other than 0, got"):
        previews.volumes(draws(1, 1, 4, 4, 4), steps=(1, 1))
    with pytest.raises(InputError, match="rate must be positive, the number of samples per s; got 0"):
        previews.waveforms(draws(1, 1, 9), rate=0)


# Records ------------------------------------------------------------------------------------------------------------


def test_peaks_survive_decimation():
    x = np.zeros(100_003)
    x[77_777], x[5] = 9.0, -4.0
    t, y = previews.decimated(x, 400)
    assert len(t) == len(y) == 800
    assert (np.diff(t) > 0).all()
    assert (y.max(), y.min()) == (9.0, -4.0)
    assert t[y.argmax()] == pytest.approx(0.77777, abs=1 / 400)


@pytest.mark.parametrize("count", [801, 1000, 12_345])
def test_every_part_keeps_its_least_and_greatest(count):
    x = np.random.default_rng(0).normal(size=count)
    _, y = previews.decimated(x, 400)
    edges = [k * count // 400 for k in range(401)]
    expected = [(x[a:b].min(), x[a:b].max()) for a, b in itertools.pairwise(edges)]
    assert y.reshape(-1, 2).tolist() == [list(pair) for pair in expected]


def test_short_records_stay_as_they_are():
    x = np.arange(5.0)
    t, y = previews.decimated(x, 400)
    assert t.tolist() == [0, 0.2, 0.4, 0.6, 0.8]
    assert y is x


def test_gaps_are_grey_and_no_line():
    axes = Figure().subplots()
    record = np.array([[1.0, math.nan, math.nan, 2.0, math.inf, 3.0]])
    previews.draw_record(axes, record, (0.0, 6.0))
    np.testing.assert_equal(axes.get_lines()[0].get_ydata(), [1, math.nan, math.nan, 2, math.nan, 3])
    spans = [path.get_extents().intervalx.tolist() for path in axes.collections[0].get_paths()]
    assert spans == [[1.0, 3.0], [4.0, 5.0]]
    assert axes.get_lines()[1].get_xdata().tolist() == [0, 3, 5]  # alone between gaps: dots


def test_series_have_names_units_and_time(page):
    figure = previews.series(draws(2, 2, 500), rate=250, unit=["mV", "kPa"], names=["lead $I$", "flow"]).figure
    assert [axes.get_ylabel() for axes in figure.axes] == ["lead \\$I\\$\n(mV)", "flow\n(kPa)", "", ""]
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "time (s)", "", "time (s)"]
    assert figure.axes[0].get_xlim() == (0, 2)
    assert figure.axes[0].get_ylim() == figure.axes[2].get_ylim()


@pytest.mark.parametrize("kind", ["series", "field", "volume"])
def test_channels_of_several_units_have_their_own(page, kind):
    axes = {"series": "T", "field": "YX", "volume": "ZYX"}[kind]
    meaning = Meaning(kind, axes, (0.0,), (1.0,), channels=("t", "u"), dtype="float32", quantities=("K", "m s-1"))
    drawn = Kind.member(kind)().picture(draws(2, 2, *[12] * len(axes)), meaning)
    told = "\n".join(text.get_text() for text in drawn.figure.findobj(Text))
    assert "K" in told
    assert "m s-1" in told


def test_names_of_channels_that_stand_close_fit_beside_their_panels(page):
    names = ["temperature of the oil", "pressure", "flow"]
    figure = previews.series(draws(1, 3, 500), unit=["K", "kPa", "l/s"], names=names).figure
    figure.canvas.draw()
    boxes = sorted((axes.yaxis.label.get_window_extent() for axes in figure.axes), key=lambda box: box.y0)
    assert all(low.y1 < high.y0 for low, high in itertools.pairwise(boxes))
    assert figure.axes[0].get_ylabel() == "temperature of \N{HORIZONTAL ELLIPSIS}\n(K)"


def test_series_without_a_rate_count_samples(page):
    figure = previews.series(draws(1, 1, 50)).figure
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_xlim()) == ("sample", (0, 50))


# Spectrograms -------------------------------------------------------------------------------------------------------


def test_a_tone_lies_at_its_frequency():
    x = np.sin(2 * np.pi * 0.125 * np.arange(8000))[None]
    power = previews.spectrogram(x)
    inside = power[:, 10:-10]
    np.testing.assert_allclose(inside.argmax(0) / (len(power) - 1) / 2, 0.125)


def test_both_ends_of_a_record_look_like_the_rest():
    power = previews.spectrogram(np.cos(2 * np.pi * 0.02 * np.arange(8000))[None])
    far = power[len(power) // 2 :]
    assert far[:, [0, -1]].max() < far[:, 5:-5].max() + 50  # with zeros beyond: 75 dB more


def test_white_noise_of_unit_variance_lies_at_zero_decibels():
    power = previews.spectrogram(np.random.default_rng(0).normal(size=(2, 60_000)))
    inside = 10 ** (power[2:-2, 5:-5] / 10)
    assert inside.mean() == pytest.approx(2, rel=0.02)  # two channels, added


def test_clicks_stay_in_spectrograms_of_long_records():
    x = np.zeros((1, 1_000_000))
    x[0, 123_456] = 1.0
    power = previews.spectrogram(x)
    assert power.shape[1] <= 400
    held = np.flatnonzero(np.isfinite(power[3]))
    assert power.shape[1] * 0.123456 == pytest.approx(held.mean(), abs=1.5)
    # The window is 1 energy long: a click in the middle of it has the power of the window's top.
    assert power[3, held].max() > 10 * math.log10(1 / 4096)


def test_silence_is_dark_and_missing_times_are_grey(page):
    x = torch.zeros(2, 1, 4000)
    x[0, 0, :1000] = draws(1000)
    x[1, 0, 2000:2100] = math.nan
    figure = previews.waveforms(x, rate=8000).figure
    below = [axes for axes in figure.axes if axes.get_images()]
    first, second = (axes.get_images()[0].get_array() for axes in below)
    assert first[:, -3:].max() <= -previews.DYNAMIC_RANGE
    columns = np.isnan(np.ma.filled(second, np.nan)).all(0)
    assert 0.02 < columns.mean() < 0.2
    assert below[0].get_images()[0].get_extent() == [0, 0.5, 0, 4]
    assert below[0].get_ylabel() == "frequency (kHz)"


@pytest.mark.parametrize("scale", [2.0**23, 1e-7, 1.0])
def test_no_power_of_ten_stands_where_captions_do(page, scale):
    for picture in (previews.waveforms(scale * draws(1, 1, 400)), previews.series(scale * draws(1, 2, 400))):
        lines = [axes.yaxis for axes in picture.figure.axes if axes.get_lines()]
        assert lines
        for axis in lines:
            axis.get_major_formatter().format_ticks(axis.get_majorticklocs())
            assert not axis.get_major_formatter().get_offset()


def test_the_loudest_is_zero_decibels_for_all_records(page):
    x = torch.stack([draws(1, 4000), 0.1 * draws(1, 4000)])
    loud, quiet = (
        axes.get_images()[0].get_array().max() for axes in previews.waveforms(x).figure.axes if axes.get_images()
    )
    assert (loud, quiet) == pytest.approx((0, -20), abs=1e-4)


# Colours ------------------------------------------------------------------------------------------------------------


def test_values_without_sign_run_through_viridis():
    x = torch.full((1, 1, 10, 10), 2.0)
    x[..., 5:, :] = 3.0
    x[..., 0, :5], x[..., 9, :] = 1.0, 4.0
    image = previews.fields(x)
    whole = sum(area(image, colour("viridis", place)) for place in (0, 1 / 3, 2 / 3, 1))
    # The colour bar has these colours too, once across.
    assert area(image, colour("viridis", 1 / 3)) == pytest.approx(0.45 * whole, rel=0.05)
    assert area(image, colour("viridis", 2 / 3)) == pytest.approx(0.40 * whole, rel=0.05)
    assert area(image, colour("viridis", 1)) == pytest.approx(0.10 * whole, rel=0.1)


def test_signed_values_have_zero_in_the_middle():
    x = torch.zeros(1, 1, 10, 10)
    x[..., 5:, :] = -2.0
    x[..., 0, :] = 4.0
    image = previews.fields(x)
    whole = 100 * area(image, colour("RdBu_r", 1)) / 10
    assert area(image, colour("RdBu_r", 0.5)) == pytest.approx(0.4 * whole, rel=0.1)
    assert area(image, colour("RdBu_r", 0.25)) == pytest.approx(0.5 * whole, rel=0.1)


def test_limits_are_kept():
    image = previews.fields(torch.full((1, 1, 4, 4), 5.0), limits=(0, 10))
    assert area(image, colour("viridis", 0.5)) > 5000
    with pytest.raises(InputError, match=r"limits must be two finite numbers, the lower one first, got \(1, 1\)"):
        previews.fields(torch.ones(1, 1, 4, 4), limits=(1, 1))


def test_a_single_outlier_leaves_the_colours_of_the_rest():
    values = np.concatenate([np.linspace(0, 1, 5000), [1e6]])
    scale = scale_of(values)
    assert 0.99 <= scale.high <= 1.0
    assert (scale.low, scale.extend) == (0, "max")


def test_small_undershoots_do_not_make_a_scale_signed():
    assert scale_of(np.array([-0.1, 0.5, 1.0])).colours == "viridis"
    assert scale_of(np.array([-0.2, 0.5, 1.0])).colours == "RdBu_r"


def test_missing_places_are_grey_at_their_share():
    x = draws(1, 1, 20, 20)
    x[..., :5] = math.nan
    image = previews.fields(x)
    tile = np.asarray(image)
    rows = (np.abs(tile.astype(int) - GREY) <= 1).all(-1)
    top, bottom = np.flatnonzero(rows.sum(1) > 20)[[0, -1]]
    assert rows.sum() == pytest.approx((bottom - top + 1) ** 2 / 4, rel=0.03)


def test_large_fields_are_averaged_over_what_holds_a_number():
    x = np.zeros((12, 3))
    x[::2], x[0], x[-4:] = 2.0, math.nan, math.inf
    assert reduced(x, 3, 3)[:, 0].tolist() == pytest.approx([2 / 3, 1, math.nan], nan_ok=True)
    assert reduced(x, 1, 12).shape == (12, 1)
    np.testing.assert_equal(reduced(x[:8], 99, 99), x[:8])


def test_every_channel_has_a_scale_that_its_fields_share(page):
    x = torch.stack([torch.stack([torch.eye(6), -9 * torch.eye(6)]), torch.stack([3 * torch.eye(6), 9 * torch.eye(6)])])
    sheet = previews.fields(x, ["K", "m/s"], ["warmth", "wind"])
    corners = [tuple(tile[0, 0].tolist()) for _, _, tile in sheet.tiles]
    expected = [colour("viridis", 1 / 3), colour("viridis", 1), colour("RdBu_r", 0), colour("RdBu_r", 1)]
    np.testing.assert_allclose(corners, expected, atol=1)
    assert [axes.get_ylabel() for axes in sheet.figure.axes] == ["K", "m/s"]
    assert [axes.get_ylim() for axes in sheet.figure.axes] == [(0, 3), (-9, 9)]
    assert {"warmth", "wind"} <= set(texts(sheet))


# Volumes and films --------------------------------------------------------------------------------------------------


def test_volumes_show_their_middle_slices_to_scale(page):
    x = draws(1, 1, 6, 8, 10)
    for shown, expected in zip(mid_slices(x[0, 0]), (x[0, 0, 3], x[0, 0, :, 4], x[0, 0, :, :, 5]), strict=True):
        np.testing.assert_allclose(shown, expected)
    sheet = previews.volumes(x, steps=(3, 1, 2), length="mm")
    sizes = np.array([size for _, size, _ in sheet.tiles])
    np.testing.assert_allclose(sizes / sizes[0, 0] * 20, [(20, 8), (20, 18), (8, 18)], rtol=0.01)
    assert [t for t in texts(sheet) if "=" in t] == ["z = 9 mm", "y = 4 mm", "x = 10 mm"]


def test_tiles_lie_side_by_side(page):
    sheet = previews.volumes(draws(5, 2, 6, 8, 10))
    taken = np.zeros((9999, 9999), int)
    for (x, y), (width, height), _ in sheet.tiles:
        taken[y : y + height, x : x + width] += 1
    assert taken.max() == 1
    assert len(sheet.tiles) == 30


def test_clips_with_limits_are_grey_or_rgb(page):
    x = torch.tensor([-1.0, 0.0, 1.0, 5.0])[None, None, :, None, None].expand(1, 1, 4, 3, 3)
    shown = [tile for _, _, tile in previews.films(x, (-1, 1)).tiles]
    assert [frame[0, 0].tolist() for frame in shown] == [[0] * 3, [128] * 3, [255] * 3, [255] * 3]
    rgb = torch.tensor([0.0, 0.5, 1.0])[None, :, None, None, None].expand(1, 3, 2, 3, 3).clone()
    rgb[0, 1, 0, 0, 0] = math.nan
    first = previews.films(rgb, (0, 1)).tiles[0][2]
    assert first[1, 1].tolist() == [0, 128, 255]
    assert tuple(first[0, 0].tolist()) == GREY


def test_frames_are_named_by_number_or_time(page):
    x = draws(1, 1, 16, 4, 4)
    assert texts(previews.films(x))[1:] == ["1", "4", "7", "10", "13", "16"]
    assert texts(previews.films(x, rate=10))[1:] == ["0 s", "0.3 s", "0.6 s", "0.9 s", "1.2 s", "1.5 s"]


@pytest.mark.parametrize("most", [1, 2, 6, 10])
def test_chosen_frames_begin_and_end_with_the_clip(most):
    for count in range(1, 40):
        chosen = previews.spread(count, most)
        assert chosen == sorted(set(chosen))
        assert min(count, most, max(most // 2, 1)) <= len(chosen) <= most
        assert (chosen[0], chosen[-1]) == (0, count - 1 if most > 1 else 0)


# Axes ---------------------------------------------------------------------------------------------------------------


def test_short_times_and_high_frequencies_have_prefixes():
    assert (Clock(1000, "s", 50).label, Clock(1000, "s", 50).ends) == ("time (ms)", (0, 50))
    assert Clock(1e6, "s", 50).label == "time (µs)"
    assert (Clock(48_000, "s", 96_000).label, Clock(48_000, "s", 96_000).highest) == ("time (s)", 24)
    assert (Clock(4, "day", 3).label, Clock(4, "day", 3).frequency_label) == ("time (day)", "frequency (cycles/day)")
    assert Clock(None, "s", 9).frequency_label == "cycles/sample"


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-32.3, 46.1), (-3e-9, 1e-9), (54_000, 54_003), (-1e12, 7e12)])
def test_inner_ticks_tell_the_scale_and_keep_from_the_ends(low, high):
    ticks = inner_ticks(low, high, 3)
    assert 2 <= len(ticks) <= 5
    assert low < min(ticks)
    assert max(ticks) < high
