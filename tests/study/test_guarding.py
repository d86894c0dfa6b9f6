"""What is said of damage before training."""

import pytest
import torch

from sagd.data.corruption import corrupt
from sagd.data.signals import Signals
from sagd.noise.statistics import measure
from sagd.omission.modes import Mode
from sagd.study.guarding import premise_of, second_damage

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


def test_a_second_damage_is_as_strong_as_the_first():
    clean = images()
    x = corrupt(clean, "curtains(level=0.15, ends=0, drift=0, vary=0)")
    statistics = measure(x)
    mode = Mode.parse(f"fill(band={BAND!r})")
    second = second_damage(mode, Signals("made", x), statistics)
    drawn = second.draw(200, torch.Generator().manual_seed(1))
    assert float(drawn.std()) == pytest.approx(float((x - clean).std()), rel=0.25)
