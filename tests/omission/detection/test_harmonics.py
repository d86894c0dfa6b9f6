"""Harmonics of a hum that are hidden by what a record is of, but in its pauses."""

import dataclasses
import math

import pytest
import torch
from tests.omission.detection.test_find import bursts

from sagd.noise.spectra.damage import Spots
from sagd.omission.detection.base import Finding
from sagd.omission.detection.harmonics import harmonics
from sagd.omission.removal import measure
from sagd.omission.search import looked_for

F = 0.0075003
"""Of the hum, in cycles per sample; its second multiple lies among the tones of `bursts`."""


def hum_in(n, *levels, wander=0.0):
    t = torch.arange(float(n), dtype=torch.float64)
    phase = 2 * math.pi * F * t + wander * torch.sin(2 * math.pi * t / 9000)
    return sum(a * torch.cos(m * phase + m) for m, a in enumerate(levels, 1))


def lines_of(found):
    return [abs(f[0]) for finding in found.findings for f in finding.band.at]


def test_what_pauses_show_is_found_and_taken_out():
    x = bursts(seed=5)
    y = x + hum_in(x.shape[-1], 0.4, 0.0, 0.03, wander=0.5)
    found = looked_for(y)
    hum, *more = found.findings
    assert [abs(f[0]) for f in hum.band.at] == pytest.approx([F], abs=1e-4)
    assert [abs(f[0]) for one in more for f in one.band.at] == pytest.approx([3 * F], abs=2e-5)
    assert more[0].probability == hum.probability
    without, with_more = (
        float((y - measure(list(y), band).apply(y) - x).square().mean()) for band in (hum.band, found.band)
    )
    assert with_more < 0.5 * without


def test_a_hum_without_any_has_none():
    for seed in range(6):
        x = bursts(seed=seed)
        found = looked_for(x + hum_in(x.shape[-1], 0.4, wander=0.5))
        assert lines_of(found) == pytest.approx([F], abs=1e-4), seed


def test_they_are_looked_for_where_no_other_finding_is():
    x = bursts(seed=4)
    y = x + hum_in(x.shape[-1], 0.4, 0.0, 0.1)
    hum = looked_for(x + hum_in(x.shape[-1], 0.4)).findings[0]
    kept, found = harmonics(y, hum.band, hum)
    assert kept == hum
    assert [f[0] for f in found.band.at] == pytest.approx([3 * F], abs=2e-5)
    assert found.excess > 10
    assert 0 < found.share < 0.01
    assert harmonics(y, hum.band + found.band, hum) is None


def test_a_voice_that_was_taken_for_a_harmonic_gives_way_to_it():
    """Of a band as wide as a voice, and a line of it that is not where the harmonic is."""
    x = bursts(seed=4)
    y = x + hum_in(x.shape[-1], 0.4, 0.0, 0.1)
    hum = looked_for(x + hum_in(x.shape[-1], 0.4)).findings[0]
    voice = dataclasses.replace(hum, band=Spots(((F,), (3.01 * F,)), 0.0004))
    kept, found = harmonics(y, voice.band, voice)
    assert kept.band == Spots(((F,),), 0.0004)
    assert [f[0] for f in found.band.at] == pytest.approx([3 * F], abs=2e-5)


def test_the_lowest_line_is_the_first_of_a_series():
    """Whose second harmonic is the stronger one."""
    x = bursts(seed=4)
    y = x + hum_in(x.shape[-1], 0.4, 1.0, 0.1)
    hum = dataclasses.replace(
        looked_for(x + hum_in(x.shape[-1], 0.4)).findings[0], band=Spots(((2 * F,), (F,)), 0.0005)
    )
    _, found = harmonics(y, hum.band, hum)
    assert [f[0] for f in found.band.at] == pytest.approx([3 * F], abs=2e-5)


def test_what_counts_by_the_phase_of_a_hum_would_make_harmonics():
    """Of a hum with one harmonic, in a record so long that little is enough."""
    x = bursts(n=300_000, seed=3)
    hum = hum_in(x.shape[-1], 0.4, 0.05, wander=0.5)
    found = looked_for(x + hum)
    assert sorted(lines_of(found)) == pytest.approx([F, 2 * F], abs=3e-5)


def test_a_harmonic_among_louder_content_stays():
    """Notes beside it, which cleaning would take with it."""
    n = 40_000
    t = torch.arange(float(n), dtype=torch.float64)
    noise = 0.1 * torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    wobble = torch.randn(8, generator=torch.Generator().manual_seed(1)).double()
    notes = sum(torch.cos(2 * math.pi * (2 * F + (k - 3.5) * 4e-5) * t + float(w)) for k, w in enumerate(wobble))
    y = (notes + noise + hum_in(n, 3.0, 0.05))[None, None]
    hum = Finding(Spots(((F,),), 0.0005), 9.0, 9.0, 0.1, 1.0, 0.0, 0.0)
    assert harmonics(y, hum.band, hum) is None


def test_many_records_need_less_than_one():
    """Of a harmonic that stands out in none of them."""
    generator = torch.Generator().manual_seed(0)
    t = torch.arange(2000.0, dtype=torch.float64)
    phase = 2 * math.pi * torch.rand(60, 1, 1, generator=generator).double()
    x = torch.randn(60, 1, 2000, generator=generator).double()
    y = x + 2 * torch.cos(2 * math.pi * 0.06 * t + phase) + 0.1 * torch.cos(2 * math.pi * 0.12 * t + 2 * phase)
    hum = Finding(Spots(((0.06,),), 0.003), 9.0, 9.0, 0.1, 1.0, 0.0, 0.0)
    _, found = harmonics(y, hum.band, hum)
    assert [f[0] for f in found.band.at] == pytest.approx([0.12], abs=2e-4)
    assert harmonics(y[:1], hum.band, hum) is None


def test_a_line_of_longer_records_may_lie_between_the_frequencies_of_shorter_ones():
    x = bursts(seed=4)
    y = x + hum_in(x.shape[-1], 0.4, 0.0, 0.1)
    hum = Finding(Spots(((F,),), 1e-7), 9.0, 9.0, 0.1, 1.0, 0.0, 0.0)
    kept, found = harmonics(y, hum.band, hum)
    assert kept == hum
    assert [f[0] for f in found.band.at] == pytest.approx([3 * F], abs=2e-5)


def test_bands_without_lines_and_short_records_have_none():
    x = bursts(seed=4)
    hum = looked_for(x + hum_in(x.shape[-1], 0.4, 0.0, 0.1)).findings[0]
    assert harmonics(x[..., :256], hum.band, hum) is None
    ring = Finding(measure(list(x), "ring(low=0.1, high=0.2)").band, 1.0, 1.0, 0.1, 1.0, 0.0, 0.0)
    assert harmonics(x, ring.band, ring) is None
