"""Bands and findings as texts."""

import torch

from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Spots
from sagd.omission.detection.base import Detection, Finding
from sagd.study.findings import brief, lines_of, told

MANY = Spots(tuple((0.01 * k, -0.0000001) for k in range(1, 31)), 0.03)


def test_many_spots_are_the_first_and_a_number():
    assert brief(MANY, None) == "spots(at=((0.01, 0.0), (0.02, 0.0), (0.03, 0.0)), radius=0.03) and 27 more"
    both = Spectrum.parse("strip(axis=1, low=0.1)") + MANY
    assert brief(both, None).endswith("and 28 more")
    assert len(Spectrum.parse(told(MANY, None)).at) == 30


def test_the_axis_of_a_strip_is_always_told():
    rows = Spectrum.parse("strip(low=0.1, width=0.02)")
    assert told(rows, None) == "strip(axis=0, low=0.1, width=0.02)"
    assert Spectrum.parse(told(rows, None)) == rows


def test_what_is_unsure_is_not_said_to_be_less():
    basis = FourierBasis((8, 8))
    one = torch.ones(basis.coefficients, dtype=torch.float64)
    unsure = Finding(MANY, 5.0, 6.0, 0.1, 0.984, 0.0, 0.0)
    lines = lines_of(Detection((), (unsure,), one, one, basis, 0.984), None, False)
    assert not any("none" in line or "nothing" in line or "no damaged" in line for line in lines)
    assert "probability 0.98" in lines[-1]
    assert lines_of(Detection((), (), one, one, basis, 0.3), None, False)[0].endswith("probability 0.30")
