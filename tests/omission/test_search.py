"""Looking again, and on the scale on which damage adds."""

import dataclasses
import math

import pytest
import torch

from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.damage import Strip
from sagd.noise.spectra.power_law import PowerLaw
from sagd.omission import search as search_module
from sagd.omission.clean import clean
from sagd.omission.detection.base import AUTO, LIKELIEST
from sagd.omission.detection.find import find
from sagd.omission.search import around, looked_for, search


def smooth(*spatial, seed=0):
    return SpectralCovariance(PowerLaw(-1.0), (1, *spatial)).sample(1, torch.Generator().manual_seed(seed))[0]


def columns(height, width, share=1.0):
    """Columns of strengths of their own, of mean 0."""
    of = torch.randn(1, 1, width, generator=torch.Generator().manual_seed(1))
    return share * (of - of.mean()).expand(1, height, width)


def waves(height, width, *at):
    i, j = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return sum(torch.cos(2 * math.pi * (a * i + b * j) + k) for k, (a, b) in enumerate(at))[None]


def test_what_strong_damage_hides_is_found_once_that_is_gone():
    x = smooth(320, 320) + 3 * waves(320, 320, (0.12, 0.09)) + waves(320, 320, (0.135, 0.06))
    once, again = find(x[None]), looked_for(x[None])
    assert len(again.findings) > len(once.findings)
    assert again.band.weights(torch.tensor([[0.135], [0.06]])) > 0
    assert torch.equal(again.power, once.power)


def test_clean_data_is_looked_at_once(monkeypatch):
    looks = []
    monkeypatch.setattr("sagd.omission.search.find", lambda *x: looks.append(x) or find(*x))
    assert not looked_for(smooth(200, 200)[None]).findings
    assert len(looks) == 1


def test_two_strong_waves_that_are_clipped_are_no_lattice():
    """They have sums and differences, as the waves of cloth have, but weak ones."""
    x = (smooth(320, 320) + 2 * waves(320, 320, (0.12, 0.09), (-0.2, 0.05))).clamp(-3, 3)
    band = search(x[None])[0].band
    assert band is not None
    assert (band.weights(torch.tensor([[0.12, -0.2], [0.09, 0.05]])) > 0).all()


def test_what_is_likeliest_is_taken_out_of_data_known_to_be_damaged():
    clear, damage = smooth(320, 320), columns(320, 320, 0.08)
    found, _ = search((clear + damage)[None])
    assert found.counting(AUTO) is found
    assert not found.findings
    assert found.counting(LIKELIEST).findings == (found.likeliest,)
    assert found.counting(LIKELIEST).likeliest is None
    assert clean(clear + damage).band is None
    assert (clean(clear + damage, LIKELIEST).x - clear).square().mean() < damage.square().mean() / 2


def test_what_is_unsure_counts_where_data_is_known_to_be_damaged():
    found, _ = search((smooth(320, 320) + columns(320, 320, 0.8))[None])
    unsure = dataclasses.replace(found, unsure=found.findings, findings=())
    assert unsure.counting(LIKELIEST).findings == found.findings
    assert unsure.counting(LIKELIEST).unsure == ()


def test_steady_tones_that_are_nearly_all_are_asked_for_on_their_own_scale():
    """However unlikely damage is on the other one."""
    t = torch.arange(8192)
    tones = sum(torch.cos(2 * math.pi * f * t + k) for k, f in enumerate((0.04, 0.11, 0.17, 0.29)))
    found, scale = search((5 + tones + 0.01 * smooth(8192)[0])[None, None])
    assert not found.findings
    assert found.unsure
    assert found.nearest == max(f.probability for f in found.unsure)
    assert not scale.multiplies


@pytest.mark.parametrize("multiplies", [True, False])
def test_damage_is_taken_out_where_it_adds(multiplies):
    # The light falls off to a corner, so that an offset and a gain are not alike.
    light = torch.linspace(0.0, 2.5, 300)[:, None] + torch.linspace(0.0, 1.0, 320)
    x = 40 * (light + 0.15 * smooth(300, 320)).exp()
    damaged = x * columns(300, 320, 0.1).exp() if multiplies else x + columns(300, 320, 30.0) + 100
    found, scale = search(damaged[None])
    assert found.findings
    assert scale.multiplies == multiplies
    cleaned = clean(damaged)
    assert cleaned.log == multiplies
    assert (cleaned.x - x - 100 * (not multiplies)).std() < 0.4 * (damaged - x).std()


def test_values_below_zero_are_not_multiplied():
    found, scale = search((smooth(200, 240) + columns(200, 240, 0.8))[None])
    assert found.findings
    assert not scale.multiplies


def test_a_reference_below_zero_has_no_logarithm():
    x = smooth(200, 240) + columns(200, 240, 0.8)
    reference = torch.stack([smooth(200, 240, seed=seed) for seed in (1, 2)])
    found, scale = search((x - x.min() + 5)[None], reference)
    assert found.findings
    assert not scale.multiplies


def test_what_is_nearly_all_there_is_is_asked_for():
    found = looked_for(waves(160, 160, (0.2, 0.1))[None].float() + 0.01 * smooth(160, 160)[None])
    assert not found.findings
    assert 0.5 <= found.unsure[0].probability < 0.99


def test_damage_is_looked_for_around_its_place():
    x = torch.arange(2 * 200 * 300.0).reshape(2, 1, 200, 300)
    place = torch.zeros(200, 300)
    place[10:180, 20:190] = 1
    assert torch.equal(around(place, x), x[..., 10:180, 20:190])
    assert around(None, x) is x
    assert around(torch.zeros(200, 300), x) is x
    place = torch.zeros(200, 300)
    place[:9, :9] = 1
    assert around(place, x) is x  # too little to look at


def test_what_leaves_much_in_its_band_is_asked_for(monkeypatch):
    x = (smooth(320, 320) + columns(320, 320, 0.8))[None]
    certain = looked_for(x)
    assert certain.findings
    monkeypatch.setattr(search_module, "_MIXED", 0.0)
    assert looked_for(x).findings == certain.findings
    monkeypatch.setattr(search_module, "_STILL", 0.1)
    asked = looked_for(x)
    assert not asked.findings
    assert [f.band for f in asked.unsure] == [f.band for f in certain.findings]
    assert asked.nearest == 0.98


@pytest.mark.parametrize("multiplies", [False, True])
def test_damage_found_on_logarithms_alone_adds_if_dark_arrays_have_as_much(multiplies, monkeypatch):
    """Columns alike in images of which some are far darker; told certain on the scale of a gain, whatever they are."""
    g = torch.Generator().manual_seed(0)
    light = torch.linspace(0.2, 4.0, 60)[:, None, None, None]
    x = light * (2 + 0.3 * SpectralCovariance(PowerLaw(-1.0), (1, 32, 32)).sample(60, g)).clamp(min=0.1)
    damage = columns(32, 32, 0.3)[None]
    y = x * (1 + damage).clamp(min=0.05) if multiplies else (x + damage).clamp(min=0.01)
    own = looked_for(smooth(320, 320)[None] + columns(320, 320, 0.5)[None])
    assert own.findings
    band = dataclasses.replace(own.findings[0], band=Strip(axis=1, low=0.05, width=0.1))
    nothing, some = dataclasses.replace(own, findings=()), dataclasses.replace(own, findings=(band,))
    monkeypatch.setattr(search_module, "looked_for", lambda v, *_: some if v.min() < 0 else nothing)
    found, scale = search(y)
    assert found.band == band.band
    assert scale.multiplies == multiplies
    assert search(y, log=True)[1].multiplies


def test_what_is_left_of_a_finding_is_no_other_one(monkeypatch):
    x = smooth(200, 200) + waves(200, 200, (0.12, 0.09))
    found = find(x[None])
    monkeypatch.setattr(search_module, "find", lambda *x: found)
    assert looked_for(x[None]).findings == found.findings
