"""Parts of files that pages show."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from sagd.data.config import DataConfig
from sagd.data.whole import Whole
from sagd.noise.spectra.base import Spectrum
from sagd.omission.detection.base import Finding
from sagd.omission.search import search
from sagd.study.shown import looked_at


@pytest.mark.parametrize(
    ("shape", "band"),
    [((5000,), "spots(at=[[0.374897]], radius=2e-5)"), ((150, 160), "spots(at=[[0.1234, 0.2001]], radius=1e-4)")],
)
def test_what_is_likeliest_may_lie_between_the_frequencies_that_are_shown(shape, band, tmp_path: Path):
    noise = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.save(tmp_path / "x.npy", noise)
    kind = "series" if len(shape) == 1 else "field"
    file = Whole.of(
        tmp_path / "x.npy", DataConfig(str(tmp_path / "x.npy"), kind=kind, rate=1.0 if len(shape) == 1 else None)
    )
    found, _ = search(file.read(0, file.blocks[0])[None].float())
    near = Finding(Spectrum.parse(band), 1.0, 1.0, 0.0, 0.1, 0.5, 0.0)
    shown = looked_at(file, dataclasses.replace(found, likeliest=near))
    assert np.isfinite(shown.frequency).all()
    assert len(shown.frequency)
