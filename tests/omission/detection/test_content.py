"""What tells damage from content: steps that are kept, powers that vary, tails."""

import dataclasses
import math

import pytest
import torch

from sagd.omission.detection.content import envelope, locked, spread, tails
from sagd.omission.detection.windows import cut


def record(burst, count=40_000, f=0.05):
    """Noise, loud once in a period if `burst`, and a wave of that period."""
    g = torch.Generator().manual_seed(0)
    t = torch.arange(count, dtype=torch.float64)
    wave = torch.cos(2 * math.pi * f * t)
    noise = torch.randn(count, generator=g, dtype=torch.float64)
    return (wave + noise * (1 + wave if burst else 1))[None, None]


@pytest.mark.parametrize(("burst", "low", "high"), [(True, 0.8, 1.0), (False, 0.0, 0.3)])
def test_content_keeps_step_with_the_local_power_of_the_rest(burst, low, high):
    windows = cut(record(burst), (512,))
    at = torch.tensor([25, 26, 27])  # 0.05 is 25.6 steps
    taken = torch.zeros(257, dtype=torch.bool)
    taken[23:30] = True
    assert low <= locked(windows, envelope(windows, taken), at, True) <= high


def test_what_was_cut_off_with_a_wave_does_not_keep_step_with_it():
    """Beside black, where half of the wave is lost, so is what it lies upon."""
    t = torch.arange(40_000, dtype=torch.float64)
    noise = torch.randn(40_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wave = 2 * torch.cos(2 * math.pi * 0.05 * t) + 0.3 * noise
    at, taken = torch.tensor([25, 26, 27]), torch.zeros(257, dtype=torch.bool)
    for step in range(1, 10):  # and its multiples, as what was cut off has
        taken[round(25.6 * step) - 3 : round(25.6 * step) + 4] = True
    cut_off, whole = (cut(x[None, None], (512,)) for x in (wave.clamp(min=-0.5), wave))
    assert whole.clipped is None
    unknown = dataclasses.replace(cut_off, clipped=None)
    assert locked(unknown, envelope(unknown, taken, waves=True), at, True) > 0.6
    assert locked(cut_off, envelope(cut_off, taken, waves=True), at, True) < 0.3


def test_what_is_on_or_off_is_not_torn_from_itself():
    """Of two values all are at limits, and what keeps step with itself goes on doing so."""
    t = torch.arange(40_000, dtype=torch.float64)
    windows = cut(((0.05 * t) % 1 < 0.3).double()[None, None], (512,))
    at, taken = torch.tensor([25, 26, 27]), torch.zeros(257, dtype=torch.bool)
    taken[23:30] = True
    assert bool(windows.clipped.all())
    as_it_is = locked(windows, envelope(windows, taken), at, True)
    assert locked(windows, envelope(windows, taken, waves=True), at, True) == pytest.approx(as_it_is)


def test_powers_that_vary_together_and_apart():
    g = torch.Generator().manual_seed(0)
    rest = torch.exp(torch.randn(500, generator=g, dtype=torch.float64))
    own, other, slope, share, least = spread(3 * rest, rest, torch.zeros(len(rest), dtype=torch.long))
    assert own == pytest.approx(other)
    assert slope == pytest.approx(1, abs=0.1)
    assert share == 1
    assert least == pytest.approx(math.log(3))
    own, _, slope, _, _ = spread(
        torch.full((500,), 5.0, dtype=torch.float64), rest, torch.zeros(len(rest), dtype=torch.long)
    )
    assert own == pytest.approx(0, abs=1e-9)
    assert slope == pytest.approx(0, abs=1e-9)


def test_tails():
    """A Gaussian field has none; a wave of constant height has 1.5 in place of 3; spikes have many."""
    g = torch.Generator().manual_seed(0)
    noise = torch.randn(50, 1, 128, generator=g, dtype=torch.float64)
    t = torch.arange(128, dtype=torch.float64)
    wave = torch.cos(2 * math.pi * (0.2 * t + torch.rand(50, 1, 1, generator=g, dtype=torch.float64)))
    spikes = 0.01 * noise + (noise > 2.5)
    every, flat = torch.arange(4, 60), torch.zeros(65, dtype=torch.float64)
    told = [tails(cut(x, (128,), mean=True), every, flat) for x in (noise, wave + 0.001 * noise, spikes)]
    assert told[0] == pytest.approx(0, abs=0.15)
    assert told[1] == pytest.approx(math.log(0.5), abs=0.1)
    assert told[2] > 1
