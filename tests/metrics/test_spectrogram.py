"""Distances of log-spectrograms: tones, clicks and silence told, and the power of white noise."""

import math

import pytest
import torch

from sagd.metrics import spectrogram_distance
from sagd.metrics.spectrogram import frame_length, log_spectrogram


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tones(n, seed, low=0.05, high=0.1, decay=3.0):
    generator = torch.Generator().manual_seed(seed)
    time, frequency = torch.arange(512), low + (high - low) * torch.rand(n, 1, 1, generator=generator)
    wave = torch.sin(2 * math.pi * (frequency * time + torch.rand(n, 1, 1, generator=generator)))
    return wave * torch.exp(-decay * time / 512) + 0.01 * normal(n, 1, 512, seed=seed)


def excess(samples, reference, real):
    figure, floor = spectrogram_distance(samples, reference), spectrogram_distance(real, reference)
    return (figure.value - floor.value) / (figure.standard_error**2 + floor.standard_error**2) ** 0.5


def test_white_noise_has_the_power_of_its_variance():
    power = log_spectrogram(3 * normal(200, 1, 512).double(), 64, torch.zeros(1)).exp()
    assert power.mean((0, 1, 3)).tolist() == pytest.approx([9] * power.shape[2], rel=0.05)


def test_a_tone_is_in_its_band():
    tone = torch.sin(2 * math.pi * torch.arange(512).double() * 4 / 64).reshape(1, 1, -1)
    assert (log_spectrogram(tone, 64, torch.full((1,), 1e-9)).mean(-1).argmax() == 4).all()


@pytest.mark.parametrize(
    "samples",
    [
        tones(100, 1, low=0.08, high=0.13),
        tones(100, 1, decay=0.0),
        tones(100, 1) + 0.05 * normal(100, 1, 512, seed=8),
        0.7 * tones(100, 1),
    ],
    ids=["higher", "steady", "noisy", "quiet"],
)
def test_faults_are_told(samples):
    assert excess(samples, tones(100, 2), tones(100, 3)) > 3


def test_signals_of_one_law_are_not_told():
    assert abs(excess(tones(100, 1), tones(100, 2), tones(100, 3))) < 3


def test_silence_is_finite():
    x = tones(40, 1)
    x[:, :, 256:] = 0
    assert math.isfinite(spectrogram_distance(torch.zeros(40, 1, 512), x).value)


def test_what_lies_under_the_mask_does_not_matter():
    x, mask = tones(40, 1), torch.ones(40, 1, 512, dtype=torch.bool)
    mask[:, :, 300:] = False
    one, other = (spectrogram_distance(torch.where(mask, x, v), tones(40, 2), mask) for v in (5.0, torch.nan))
    assert one == other


def test_images_and_short_signals_have_none():
    assert spectrogram_distance(normal(9, 1, 64, 64), normal(9, 1, 64, 64)) is None
    assert spectrogram_distance(normal(9, 1, 63), normal(9, 1, 63)) is None
    assert [frame_length(n) for n in (63, 64, 2047, 2048, 10**6)] == [None, 8, 128, 256, 256]
