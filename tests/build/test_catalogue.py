"""The processes of the gallery by name."""

import math
import re
import sys
from pathlib import Path

import pytest
import torch
import yaml

from sagd.build.catalogue import catalogue, choose
from sagd.build.objects import build_process
from sagd.build.schema import CompareConfig
from sagd.build.text import from_dict, load_yaml
from sagd.data.signals import Signals
from sagd.designs.ends import check_ends
from sagd.errors import InputError
from sagd.noise.basis.fourier import FourierBasis
from sagd.report.gallery import arm
from sagd.study.measuring import process_statistics

CLASSES = ("cat", "dog's", 'the "third"')


def natural(shape, count=40):
    """Images whose power falls with the square of the frequency, as that of photographs, with three classes."""
    white = torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))
    basis = FourierBasis(shape[1:])
    x = basis.inverse(basis.forward(white) / basis.radius().clamp(min=1 / shape[1]))
    pixels = (x / x.std() * 50 + 127).clamp(0, 255).to(torch.uint8)
    return Signals("natural", pixels, torch.arange(count) % 3, CLASSES)


@pytest.fixture(scope="module", params=[(1, 8, 8), (1, 28, 28), (3, 32, 32)], ids=str)
def data(request):
    return natural(request.param)


def names(entries):
    return [entry.name for entry in entries]


def test_every_process_can_be_trained(data):
    """It is built, and at t = 1 it leaves so little of the data that training accepts it."""
    for entry in catalogue(data.shape, data.classes):
        statistics = process_statistics(data, entry.process)
        process = build_process(entry.process, data.shape, statistics, data.classes)
        assert process.shape == data.shape
        check_ends(statistics, process).refuse()


def test_names_are_those_of_arms_and_white_is_first(data):
    entries = catalogue(data.shape, data.classes)
    assert entries[0].name == "white"
    assert len(set(names(entries))) == len(entries)
    assert all(re.fullmatch(r"[a-z_]+", entry.name) for entry in entries)
    assert len({entry.process for entry in entries}) == len(entries)
    assert all(entry.summary.endswith(".") and not entry.source.endswith(".") for entry in entries)


def test_configurations_can_be_pasted_as_arms(data):
    entries = catalogue(data.shape, data.classes)
    pasted = "arms:\n" + "".join(f"  {line}\n" for entry in entries for line in arm(entry).splitlines())
    config = from_dict(CompareConfig, yaml.safe_load(pasted))
    assert config.arms == {entry.name: entry.process for entry in entries}


def test_only_what_fits_is_listed():
    everything = set(names(catalogue((3, 8, 8), CLASSES)))
    assert everything - set(names(catalogue((1, 8, 8), CLASSES))) == {"by_colour"}
    assert everything - set(names(catalogue((3, 8, 8)))) == {"by_class"}
    assert everything - set(names(catalogue((3, 8, 8), ("one",)))) == {"by_class"}
    assert everything - set(names(catalogue((3, 8, 7), CLASSES))) == {"wavelet"}


def test_wavelets_need_their_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pywt", None)
    assert "wavelet" not in names(catalogue((1, 8, 8)))
    with pytest.raises(InputError, match="process 'wavelet' needs PyWavelets: pip install"):
        choose(["wavelet"], (1, 8, 8))


def test_noise_by_class_stays_short():
    entry = catalogue((1, 8, 8), [str(i) for i in range(1000)])[-1]
    assert entry.name == "by_class"
    assert len(entry.process.spectrum) < 300
    process = build_process(entry.process, (1, 8, 8), None, [str(i) for i in range(1000)])
    low, high = (process.covariance.covariances[label].weights for label in (4, 5))
    assert low[0, 0] / low[4, 4] == pytest.approx(math.sqrt(math.hypot(0.5, 0.5) * 8))
    assert high[0, 0] / high[4, 4] == pytest.approx(1 / math.sqrt(math.hypot(0.5, 0.5) * 8))


def test_choice_keeps_the_order_of_the_catalogue():
    assert names(choose(["notch", "white", "notch"], (1, 8, 8))) == ["white", "notch"]
    assert choose([], (1, 8, 8)) == catalogue((1, 8, 8))


@pytest.mark.parametrize(
    ("name", "shape", "classes", "message"),
    [
        ("low_tlit", (1, 8, 8), None, "unknown process 'low_tlit'; did you mean 'low_tilt'?"),
        ("zzz", (1, 8, 8), None, "unknown process 'zzz'; known: white, low_tilt,"),
        ("by_colour", (1, 8, 8), None, "process 'by_colour' needs images in colour"),
        ("by_class", (1, 8, 8), None, "process 'by_class' needs images with labels of at least two classes"),
        ("by_class", (1, 8, 8), ("one",), "process 'by_class' needs images with labels of at least two classes"),
        ("wavelet", (1, 9, 8), None, "process 'wavelet' needs images with even sides, got 9 x 8"),
    ],
)
def test_what_does_not_fit_is_refused(name, shape, classes, message):
    with pytest.raises(InputError, match=re.escape(message)):
        choose(["white", name], shape, classes)


def test_the_example_compares_all_of_them():
    config = load_yaml(CompareConfig, Path(__file__).parents[2] / "examples" / "processes.yaml")
    digits = catalogue((1, 8, 8), [str(digit) for digit in range(10)])
    assert config.arms == {entry.name: entry.process for entry in digits}
