"""Harmonics of a hum that are hidden by what a record is of, but in its pauses."""

import math

import pytest
import torch
from tests.omission.detection.test_find import bursts

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
    x = bursts(seed=4)
    y = x + hum_in(x.shape[-1], 0.4, 0.0, 0.03, wander=0.5)
    found = looked_for(y)
    hum, *more = found.findings
    assert [abs(f[0]) for f in hum.band.at] == pytest.approx([F], abs=1e-4)
    assert [abs(f[0]) for one in more for f in one.band.at] == pytest.approx([3 * F], abs=2e-5)
    assert more[0].probability == hum.probability
    without, with_more = (
        float((y - measure(list(y), band).apply(y) - x).square().mean()) for band in (hum.band, found.band)
    )
    assert with_more < 0.8 * without


def test_a_hum_without_any_has_none():
    for seed in range(6):
        x = bursts(seed=seed)
        found = looked_for(x + hum_in(x.shape[-1], 0.4, wander=0.5))
        assert lines_of(found) == pytest.approx([F], abs=1e-4), seed


def test_they_are_looked_for_where_no_other_finding_is():
    x = bursts(seed=4)
    y = x + hum_in(x.shape[-1], 0.4, 0.0, 0.1)
    hum = looked_for(x + hum_in(x.shape[-1], 0.4)).findings[0]
    found = harmonics(y, hum.band, hum)
    assert [f[0] for f in found.band.at] == pytest.approx([3 * F], abs=2e-5)
    assert found.excess > 10
    assert 0 < found.share < 0.01
    assert harmonics(y, hum.band + found.band, hum) is None


def test_bands_without_lines_and_short_records_have_none():
    x = bursts(seed=4)
    hum = looked_for(x + hum_in(x.shape[-1], 0.4, 0.0, 0.1)).findings[0]
    assert harmonics(x[..., :256], hum.band, hum) is None
    ring = Finding(measure(list(x), "ring(low=0.1, high=0.2)").band, 1.0, 1.0, 0.1, 1.0, 0.0, 0.0)
    assert harmonics(x, ring.band, ring) is None
