"""What is said of damage before training."""

import dataclasses

import pytest
import torch

from sagd.build.schema import OmissionConfig, ProcessConfig
from sagd.data.corruption import corrupt
from sagd.data.signals import Signals
from sagd.errors import InputError
from sagd.noise.basis.channels import ChannelBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.statistics import channel_covariance, measure
from sagd.omission.modes import Mode
from sagd.study.guarding import clipped_notes, middles, premise_of, read_once, second_damage
from sagd.study.train import resolve_omission

BAND = "strip(axis=1, low=0.05)"


def images(count=200):
    """Smooth images of many brightnesses, in [-1, 1]."""
    g = torch.Generator().manual_seed(0)
    x = torch.nn.functional.interpolate(torch.rand(count, 1, 5, 5, generator=g), 16, mode="bilinear")
    return (0.2 + 0.8 * torch.rand(count, 1, 1, 1, generator=g)) * x - 1


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("sensor(rows=0, level=0.15)", "same in all images"),
        ("gain(damage='curtains(level=0.4, ends=0, drift=0, vary=0)')", "brighter"),
        ("curtains(level=0.15, ends=0, drift=0, vary=0)", None),
    ],
)
def test_what_is_not_as_omission_supposes_is_said(damage, said):
    x = corrupt(images(), damage)
    lines = premise_of(Mode.parse(f"fill(band={BAND!r})"), Signals("made", x), measure(x)).lines()
    assert len(lines) == (said is not None)
    assert said is None or said in lines[0]


def test_damage_that_was_cut_off_in_the_dark_need_not_multiply():
    """Black images hold half of the stripes, and look as if these were a gain."""
    x = (corrupt(images(), "curtains(level=0.3, ends=0, drift=0, vary=0)") * 255).round() / 255
    lines = premise_of(Mode.parse(f"fill(band={BAND!r})"), Signals("made", x.clamp(min=-1)), measure(x)).lines()
    assert (
        "or it was cut off where they are dark: take it out with mode 'cleaned' and process.omission.band auto"
        in lines[0]
    )
    assert "log yes" not in lines[0]


def test_a_second_damage_is_as_strong_as_the_first():
    clean = images()
    x = corrupt(clean, "curtains(level=0.15, ends=0, drift=0, vary=0)")
    statistics = measure(x)
    mode = Mode.parse(f"fill(band={BAND!r})")
    second = second_damage(mode, Signals("made", x), statistics)
    drawn = second.draw(200, torch.Generator().manual_seed(1))
    assert float(drawn.std()) == pytest.approx(float((x - clean).std()), rel=0.25)


def resolved(omission, data):
    return resolve_omission(ProcessConfig(omission=omission), data).omission


def striped(channels=1):
    x = corrupt(images(), "curtains(level=0.15, ends=0, drift=0, vary=0)")
    return Signals("made", x.expand(-1, channels, -1, -1).contiguous())


@pytest.mark.parametrize("split", ["strip(axis=0, low=0.1)", BAND])
def test_a_split_of_what_is_not_cut_is_refused(split):
    with pytest.raises(InputError, match=r"process.omission.split .* 'made' is not cut in windows; leave it out"):
        resolved(OmissionConfig("fill", BAND, split=split), striped())


@pytest.mark.parametrize("named", [{"guard": "0.1"}, {"split": BAND}])
def test_what_has_no_part_in_a_mode_is_refused(named):
    plain = OmissionConfig("deconvolve", BAND, "band_pass(inside=0.1)")
    assert resolved(plain, striped()) == plain
    with pytest.raises(InputError, match=r"has no part in mode 'deconvolve', whose model is shown the band"):
        resolved(dataclasses.replace(plain, **named), striped())


def test_a_band_without_edges_needs_no_guard_and_has_none():
    band = "band_pass(low=0.3, high=0.6, inside=1)"
    data, omission = striped(), OmissionConfig("fill", band, guard="none")
    assert resolved(omission, data) == omission
    assert second_damage(Mode.parse(f"fill(band={band!r})"), data, measure(data.tensor())) is not None
    with pytest.raises(InputError, match=r"has no edges, from which guards are measured; set .*guard none, or give"):
        resolved(dataclasses.replace(omission, guard="auto"), data)


def test_a_channel_that_does_not_vary_is_left_out_of_the_second_damage():
    data = striped(3)
    data.stored[:, 1] = 0.25
    statistics = measure(data.tensor())
    drawn = second_damage(Mode.parse(f"fill(band={BAND!r})"), data, statistics).draw(20, torch.Generator())
    assert not drawn[:, 1].any()
    torch.testing.assert_close(drawn[:, 0], drawn[:, 2])
    with pytest.raises(InputError, match="does not vary"):
        resolved(OmissionConfig("fill", BAND), Signals("made", torch.zeros(40, 1, 16, 16)))


def test_a_second_damage_is_of_channels_as_they_are_in_any_basis():
    data = striped(2)
    data.stored[:, 1] *= 2
    x = data.tensor()
    mixed = ChannelBasis.decorrelating(channel_covariance(x), FourierBasis((16, 16)))
    mode = Mode.parse(f"fill(band={BAND!r})")
    plain, other = (second_damage(mode, data, s) for s in (measure(x), measure(x, mixed)))
    torch.testing.assert_close(plain.power, other.power)
    torch.testing.assert_close(plain.clean, other.clean)


def test_a_band_that_leaves_nothing_to_measure_by_is_not_made_up():
    wide = "ring(low=0.0, high=0.95)"
    data = striped()
    with pytest.raises(InputError, match=r"leaves fewer than 4 frequencies of 16 x 16 samples beside it"):
        resolved(OmissionConfig("fill", wide), data)
    assert second_damage(Mode.parse(f"fill(band={wide!r})"), data, measure(data.tensor())) is None


def test_files_are_read_once():
    calls = []
    data = dataclasses.replace(striped(), cut=lambda: calls.append(1))
    once = read_once(data)
    assert [once.cut(), once.cut()] == [None, None]
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("sizes", "looked_at"),
    [
        ([(40, 30)], [(40, 30)]),
        ([(40, 30), (40, 30)], [(40, 30)] * 2),
        ([(40, 30), (42, 28), (41, 33)], [(40, 28)] * 3),
        ([(200, 200), (200, 210), (9, 9)], [(200, 200)] * 2),  # a small one leaves the others as they are
        ([(9000, 9000)], [(4096, 4096)]),
        ([(3000, 3000)] * 3, [(2364, 2364)] * 3),
        ([(3000, 3000)] * 40, [(1024, 1024)] * 16),
    ],
)
def test_damage_is_looked_for_in_the_middles_of_as_many_files_as_may_be(sizes, looked_at):
    arrays = [torch.full((), k).expand(1, *size) for k, size in enumerate(sizes)]
    parts = middles(arrays)
    assert [tuple(part.shape[1:]) for part in parts] == looked_at
    assert len({int(part[0, 0, 0]) for part in parts}) == len(parts)


def test_a_middle_is_the_middle():
    array = torch.arange(30).reshape(1, 6, 5)
    assert torch.equal(middles([array, array[:, :4, :3]])[0], array)
    assert torch.equal(middles([array, array[:, :4]])[0], array[:, 1:5])


def test_damage_that_was_cut_off_is_told_to_who_leaves_its_band_out():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(40, 1, 16, 16, generator=generator) - 0.5 + 0.8 * torch.randn(40, 1, 1, 16, generator=generator)
    assert clipped_notes(Signals("damaged", x)) == []
    (line,) = clipped_notes(Signals("damaged", x.clamp(-1, 1)))
    share = 100 * float((x.abs() >= 1).double().mean())
    assert line.startswith(f"{share:.2g} % of the values are the least or the largest that there are, where damage was")
    assert "mode 'cleaned' reckons with it" in line
