"""The page of resampled images."""

import pytest
import torch

from sagd.data.files import Named
from sagd.data.meaning import Meaning
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.report.resampling import MOST_DRAWS, render_resampling
from sagd.study.resampling import measured


def page(tmp_path, draws, channels=1, count=2, basis=None):
    g = torch.Generator().manual_seed(0)
    given = torch.rand(count, channels, 8, 10, generator=g) * 2 - 1
    samples = torch.rand(draws, count, channels, 8, 10, generator=g) * 2 - 1
    named = Named(tuple(f"<{i}>.png" for i in range(count)), given, Meaning())
    path = render_resampling(
        measured(named, samples, Spectrum.parse("ring(low=0.5)"), basis or FourierBasis((8, 10))), tmp_path
    )
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("channels", [1, 3])
def test_all_is_shown_and_nothing_is_fetched(tmp_path, channels):
    text = page(tmp_path, 3, channels)
    assert text.count('src="data:image/') == text.count("<img") == 3
    for word in (
        "<span>given</span>",
        "<span>kept</span>",
        "<span>draw 3</span>",
        "<span>spread</span>",
        "ring(low=0.5)",
    ):
        assert word in text
    assert "&lt;0&gt;.png" in text


def test_one_draw_has_no_spread_and_many_are_cut(tmp_path):
    assert "spread" not in page(tmp_path, 1)
    text = page(tmp_path, MOST_DRAWS + 3)
    assert f"<span>draw {MOST_DRAWS}</span>" in text
    assert f"<span>draw {MOST_DRAWS + 1}</span>" not in text
    assert f"{MOST_DRAWS + 3} draws each" in text


def test_other_bases_have_no_map(tmp_path):
    assert page(tmp_path, 3, basis=CosineBasis((8, 10))).count("<img") == 2
