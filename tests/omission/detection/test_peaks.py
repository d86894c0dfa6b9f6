"""Peaks: where they are, how wide, which belong together, and how many there are in noise."""

import math

import pytest
import torch

from sagd.omission.detection.peaks import Peak, coincidence, find_peaks, lobe, measured, meshed, skirt
from sagd.omission.detection.windows import cut


def waves(f, shape, count=64, height=0.7, seed=0):
    """White noise with a wave of random phase in each array."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 1, *shape, generator=g, dtype=torch.float64)
    grid = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in shape), indexing="ij")
    phase = 2 * math.pi * torch.rand(count, 1, *(1,) * len(shape), generator=g, dtype=torch.float64)
    turn = sum(a * b for a, b in zip(f, grid, strict=True))
    return x + height * torch.cos(2 * math.pi * turn + phase)


@pytest.mark.parametrize(
    ("f", "shape"),
    [
        ((0.1234,), (128,)),
        ((20.5 / 128,), (128,)),
        ((0.21, -0.137), (48, 48)),
        ((9.4 / 32, 0.2), (32, 40)),
        ((0.2, 0.13, 0.3), (16, 16, 16)),
    ],
)
def test_a_wave_between_frequencies_is_located_within_a_tenth_of_a_step(f, shape):
    windows = cut(waves(f, shape), shape)
    first = measured(find_peaks(windows, windows.levels, 0 * windows.levels)[0], windows, windows)
    sign = 1 if abs(first.at[-1] - f[-1]) < abs(first.at[-1] + f[-1]) else -1
    assert all(abs(a - sign * b) * n < 0.1 for a, b, n in zip(first.at, f, shape, strict=True))
    assert first.chance < 1e-6
    assert first.radius < 2 / min(shape)


def test_the_width_of_a_line_is_that_of_the_record_not_of_the_windows():
    n = 40_000
    t = torch.arange(n, dtype=torch.float64)
    noise = torch.randn(n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    phase = 2 * math.pi * 0.17 * t
    wandering = phase + 8 * torch.sin(2 * math.pi * t / 15_000)
    radii = []
    for turn in (phase, wandering):
        x = (noise + torch.cos(turn))[None, None]
        windows, fine = cut(x, (1024,)), cut(x, (n,))
        radii.append(measured(find_peaks(windows, windows.levels, 0 * windows.levels)[0], windows, fine).radius)
    # A line of 40 dB shows in four steps of Hann's window.
    assert radii[0] <= 4 / n
    # The frequency deviates by 8 / 15,000 at most, and the 13th harmonic of its swing is 40 dB down.
    assert 0.5 * 8 / 15_000 < radii[1] < 13 / 15_000


def test_both_diagonals_of_a_screen():
    shape, k = (64, 64), 0.1406
    x = waves((k, k), shape) + waves((k, -k), shape, seed=1)
    windows = cut(x, shape)
    both = find_peaks(windows, windows.levels, 0 * windows.levels)[:2]
    assert all(abs(abs(f) - k) < 0.002 for peak in both for f in peak.at)
    assert {math.copysign(1, a * b) for a, b in (peak.at for peak in both)} == {1.0, -1.0}
    assert coincidence(*both, shape) < 0.1


def test_noise_has_peaks_as_often_as_their_chance_says():
    """200 seeds: a rate of 5 % gives at most 20 with a probability of 99.8 %."""
    found = 0
    for seed in range(200):
        x = torch.randn(32, 1, 24, 24, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        windows = cut(x, (24, 24))
        found += bool(find_peaks(windows, windows.levels, 0 * windows.levels, 0.05))
    assert found <= 20


@pytest.mark.parametrize(
    ("one", "other", "belong"),
    [
        ((0.12,), (0.06,), True),
        ((0.3,), (0.06,), True),
        ((0.06,), (0.3,), False),  # of which it would be the fifth part: a heart has many harmonics, mains few parts
        ((0.06,), (0.12,), True),
        ((0.4,), (0.3,), True),  # twice 0.3 folds back to 0.4
        ((0.06,), (0.15,), False),
        ((0.1, 0.2), (-0.1, 0.2), True),
        ((0.1, 0.2), (0.2, 0.4), True),
        ((0.1, 0.2), (0.2, 0.1), False),
    ],
)
def test_families(one, other, belong):
    peaks = [Peak(f, (0,) * len(f), 1.0, 0.0) for f in (one, other)]
    assert (coincidence(*peaks, (256,) * len(one)) < 0.2) is belong


@pytest.mark.parametrize("side", [(512,), (48, 48)])
def test_peaks_lie_at_multiples_by_accident_as_often_as_is_said(side):
    """1,000 peaks anywhere; of those that are near, the share that are as near as the farthest of them."""
    g = torch.Generator().manual_seed(0)
    first = Peak((0.1037, 0.2211)[: len(side)], (0,) * len(side), 1.0, 0.0)
    at = torch.rand(1000, len(side), generator=g, dtype=torch.float64) - 0.5
    told = torch.tensor([coincidence(first, Peak(tuple(f.tolist()), first.index, 1.0, 0.0), side) for f in at])
    for limit in (0.02, 0.05):
        assert abs(float((told <= limit).double().mean()) - limit) < 0.5 * limit


def test_what_a_wave_hides_is_left_out():
    """Hann's window lets a wave between two frequencies through at some steps' distance; closed form against FFT."""
    side = (1024,)
    wave = torch.cos(2 * math.pi * 200.5 * torch.arange(1024.0, dtype=torch.float64) / 1024)
    power = cut(wave[None, None] + 1e-12 * torch.arange(1024.0), side).coefficients[0].abs().square()
    for excess in (3.0, 7.0, 10.0, 13.0):
        clear = lobe(excess, side)
        assert float(power[200 + clear + 1 :].max() / power.max()) < 2 * math.exp(-excess)
    assert lobe(3.0, side) == 2
    assert lobe(13.0, side) > lobe(9.0, side)


@pytest.mark.parametrize("shoulder", [0.0, 1e-3])
def test_shoulders_of_a_line_belong_to_it(shoulder):
    # A line of 60 dB, whose shoulders are 30 dB above the noise and 30 below the line, with gaps between.
    k = torch.arange(-400, 401)
    draws = -torch.log(torch.rand(len(k), generator=torch.Generator().manual_seed(3), dtype=torch.float64))
    distance = k.abs().double() / 10_000
    line = torch.where(distance < 1.5e-4, 1e6, torch.where((distance > 5e-4) & (distance < 0.005), 1e6 * shoulder, 0.0))
    radius = skirt(draws * (1 + line), distance, 1 / 10_000, 0.02)
    assert radius == pytest.approx(0.005, rel=0.15) if shoulder else radius <= 4e-4
    assert skirt(draws * (1 + line), distance, 1 / 10_000, 0.003) <= 0.003


def test_the_peaks_of_a_lattice_are_sums_of_each_other():
    """Of cloth, and not of both diagonals of a screen and a wave beside."""
    side, a, b = (64, 64), (0.11, 0.02), (-0.03, 0.13)
    threads = ((1, 0), (0, 1), (1, 1), (1, -1), (2, 1))
    cloth = [tuple(m * f + n * g for f, g in zip(a, b, strict=True)) for m, n in threads]
    screen = [(0.14, 0.14), (0.14, -0.14), (0.31, 0.05)]
    for places, counted in ((cloth, lambda n: n > 0), (screen, lambda n: n == 0)):
        peaks = [Peak(f, tuple(round(v * 64) % 64 for v in f), 3.0, 0.0) for f in places]
        assert all(counted(meshed(peak, peaks, side)) for peak in peaks)
