"""Designs of data whose spectrum is known, and what is written of them."""

import dataclasses
import importlib

import numpy as np
import pytest
import scipy.fft
import torch

import sagd
from sagd.build.objects import build_process
from sagd.build.schema import ProcessConfig, RunConfig, SamplingConfig
from sagd.build.text import from_dict, to_dict
from sagd.data.config import DataConfig
from sagd.data.load import load
from sagd.data.meaning import usual
from sagd.data.signals import Signals
from sagd.designs.likeness import MOST_APART_DB, distance_db, ring_powers
from sagd.errors import InputError
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.power_law import PowerLaw
from sagd.report.designing import render_design
from sagd.report.wording import number
from sagd.study.designing import design, steps_note
from sagd.study.measuring import process_statistics
from sagd.study.run import Begun
from sagd.study.train import train
from sagd.training.runtime import OneProcess

pytestmark = pytest.mark.usefixtures("undrawn")

MODULE = importlib.import_module("sagd.study.train")


@pytest.fixture
def fields(tmp_path):
    """A file of Gaussian fields of a power law."""

    def of(alpha, shape=(16, 16), count=400):
        x = SpectralCovariance(PowerLaw(alpha), (1, *shape)).sample(count, torch.Generator().manual_seed(0))[:, 0]
        np.save(tmp_path / "fields.npy", x.numpy().astype(np.float32))
        return DataConfig(str(tmp_path / "fields.npy"), axes="N" + "ZYX"[-len(shape) :])

    return of


def test_items_that_are_not_whole_are_refused():
    observed = torch.ones(40, 8, 5, dtype=torch.bool)
    with pytest.raises(InputError, match="these lack frequencies"):
        design(Signals("noise", torch.randn(40, 1, 8, 8), observed=observed), 6)
    with pytest.raises(InputError, match="these lack frequencies"):
        design(DataConfig("digits", corruption="subsampled"), 6)


def test_a_steep_spectrum_is_whitened(fields):
    found = design(fields(-2.5), 6)
    gain = found.decision.white.error / found.chosen.error
    assert f"{gain:.2g} times nearer, but for the errors that networks add, 0.2 to 2.3 dB" in found.lines()[0]
    assert not found.white_will_do
    assert found.config.process.spectrum.startswith("whitening")
    assert found.slope[0] == pytest.approx(-5, abs=0.2)
    assert found.quantisation is None
    assert found.lines()[0].startswith("take noise of the data's spectrum: at")
    # A Gaussian: 3 in every ring.
    assert all(ring.flatness == pytest.approx(3, abs=0.35) for ring in found.rings if ring.flatness is not None)
    assert from_dict(RunConfig, to_dict(found.config)) == found.config


@pytest.mark.parametrize("evaluations", [3, 6])
def test_what_is_designed_can_be_trained(fields, comparison, tmp_path, evaluations):
    found = design(fields(-2.5), evaluations)
    few = dataclasses.replace(comparison.training, steps=2, batch_size=4)
    config = dataclasses.replace(found.config, network=comparison.network, training=few)
    assert sagd.load(train(config, tmp_path / "run")).trained.sampling == found.config.sampling


def test_white_noise_will_do_for_white_data(fields):
    found = design(fields(0.0), 18)
    assert found.white_will_do
    assert found.config.process.spectrum == "flat"
    gains = found.to_dict()["gains"]
    assert {*map(int, gains)} >= {4, 6, 10, 18, 50}
    # The spectrum of 400 fields is flat to a few percent.
    assert list(gains.values()) == pytest.approx([1.0] * len(gains), rel=0.2)
    assert torch.allclose(found.weights, torch.ones_like(found.weights))


@pytest.mark.parametrize("shape", [(31,), (16, 15), (6, 8, 5)])
def test_weights_are_those_of_the_noise_at_all_frequencies(fields, shape):
    found = design(fields(-2.0, shape), 5)
    w = found.weights.numpy()[0]
    assert w.shape == shape
    assert np.mean(w**2) == pytest.approx(1, rel=1e-6)
    mirrored = w[tuple(np.ix_(*(-np.arange(n) % n for n in shape)))]
    np.testing.assert_allclose(w, mirrored, rtol=1e-9)
    white = np.random.default_rng(0).standard_normal((2000, *shape))
    axes = tuple(range(1, white.ndim))
    noise = np.fft.ifftn(w * np.fft.fftn(white, axes=axes), axes=axes)
    assert np.abs(noise.imag).max() < 1e-9


@pytest.mark.parametrize("basis", ["fourier", "cosine"])
def test_weights_are_for_the_transform_that_is_named(basis):
    """By numpy and scipy alone: white noise through the weights has the covariance of the process."""
    x = SpectralCovariance(PowerLaw(-2.5), (1, 16, 16)).sample(200, torch.Generator().manual_seed(0))
    found = design(Signals("fields", x), 6, ProcessConfig(basis=basis))
    name = {"fourier": "numpy.fft.fftn", "cosine": "scipy.fft.dctn"}[basis]
    assert name in found.order
    assert any(found.order in line for line in found.lines())
    weights, white = found.weights.numpy(), np.random.default_rng(0).standard_normal((1, 16, 16))
    if basis == "cosine":
        shaped = scipy.fft.idctn(weights * scipy.fft.dctn(white, axes=(1, 2), norm="ortho"), axes=(1, 2), norm="ortho")
    else:
        shaped = np.fft.ifftn(weights * np.fft.fftn(white, axes=(1, 2)), axes=(1, 2))
        assert np.abs(shaped.imag).max() < 1e-9
    statistics = process_statistics(Signals("fields", x), found.config.process)
    process = build_process(found.config.process, (1, 16, 16), statistics, 0, None)
    own = process.covariance.sqrt(torch.from_numpy(white)[None])[0].numpy()
    np.testing.assert_allclose(shaped.real, own, atol=1e-4)


def test_steps_other_than_those_of_the_design_are_told(fields):
    config = design(fields(-2.5), 6).config
    assert steps_note(config.design, config.sampling) == []
    (note,) = steps_note(config.design, dataclasses.replace(config.sampling, steps=3))
    assert "the grid of the design is for 6" in note
    assert steps_note(config.design, dataclasses.replace(config.sampling, steps=3, grid="found")) == []


def test_items_that_do_not_vary_are_counted(fields):
    x = load(fields(-2.5)).tensor()
    x[:5] = 0.3
    found = design(Signals("fields", x), 6)
    assert any(line.startswith("5 of them do not vary") for line in found.lines())


def test_arrays_that_may_be_fields_without_an_axis_of_channels_are_told(caplog):
    x = torch.randn(40, 16, 16, generator=torch.Generator().manual_seed(0)).cumsum(1).cumsum(2)
    sagd.design(x.numpy(), evaluations=6)
    assert "40 records of 16 channels; of fields of one channel give x[:, None]" in caplog.text


def test_rounding_is_told(tmp_path):
    x = SpectralCovariance(PowerLaw(-2.0), (1, 16, 16)).sample(200, torch.Generator().manual_seed(0))[:, 0]
    np.save(tmp_path / "x.npy", (x * 4).round().numpy().astype(np.float32))
    found = design(DataConfig(str(tmp_path / "x.npy"), axes="NYX"), 6)
    # Rounding is white of power q^2 / 12, and the weakest rings hold little else.
    assert found.quantisation == pytest.approx(1, abs=0.4)
    assert any("rounding" in line for line in found.lines())


def test_the_page_tells_all(fields):
    found = design(fields(-2.0), 6)
    page = render_design(found)
    assert "the design" in page
    assert "they were 0.2 to 2.3 dB off at their best" in page
    for gain in found.search.gains().values():
        assert f'<td class="number">{number(gain)}</td>' in page
    assert "Heun's method is shown, and not advised for so few evaluations" in page
    assert "Heun's method is shown" not in render_design(design(fields(-2.0), 18))
    assert page.count("<svg") + page.count("image/svg+xml") >= 3


def test_unequal_items_are_told_and_heeded(fields):
    config = fields(-1.5, (256,))
    x = np.load(config.source)
    np.save(config.source, x * np.logspace(-2, 1, len(x), dtype=x.dtype).reshape(-1, *(1,) * (x.ndim - 1)))
    found = design(config, 6)
    assert found.unequal
    assert any("far stronger than others" in line for line in found.lines())
    assert found.to_dict()["unequal"] is True
    assert "louder or softer by item" in render_design(found)
    equal = design(fields(-1.5, (256,)), 6)
    assert not equal.unequal
    assert not any("unequal" in line for line in equal.lines())
    assert "in closed form. Networks" in render_design(equal)


@pytest.mark.parametrize(
    ("process", "told"),
    [
        (ProcessConfig(spectrum="power_law(alpha=-1)"), "process.spectrum"),
        (ProcessConfig(evolution="sequential"), "process.evolution"),
    ],
)
def test_what_is_settled_leaves_nothing_to_choose(fields, process, told):
    with pytest.raises(InputError, match=told):
        design(fields(-1.0), 6, process)


def test_too_few_fields_are_refused(fields):
    with pytest.raises(InputError, match="at least 16"):
        design(fields(-1.0, count=5), 6)


def test_items_that_are_all_but_the_same_are_told():
    """In place of advice on noise that makes nothing of them."""
    x = SpectralCovariance(PowerLaw(-0.5), (1, 16, 16)).sample(201, torch.Generator().manual_seed(0))
    copies = Signals("copies", x[:1] + 1e-3 * x[1:])
    assert design(copies, 6).lines()[0].startswith("the items are all but the same: ")
    assert "all but the same" not in "\n".join(design(Signals("others", x), 6).lines())


def test_constant_data_is_refused(tmp_path):
    np.save(tmp_path / "c.npy", np.zeros((40, 8, 8), np.float32))
    with pytest.raises(InputError, match="does not vary"):
        design(DataConfig(str(tmp_path / "c.npy"), axes="NYX"), 6)


def test_arrays_are_designed_for_in_python(fields):
    x = np.load(fields(-2.5).source)[:, None]
    found = sagd.design(x, evaluations=6)
    assert found.config.process.spectrum.startswith("whitening")
    with pytest.raises(InputError, match=r"^the data holds values from .*, which single precision does not tell apart"):
        sagd.design(1e6 + 1e-2 * x.astype(np.float64), evaluations=6)


@pytest.mark.parametrize(("scale", "shift", "said"), [(40, 280, "mean 279 and standard "), (1e-4, 0, "mean ")])
def test_values_that_no_model_sees_are_told(fields, caplog, scale, shift, said):
    """Temperatures in kelvin, and metres of what is measured in nanometres; not what files are scaled to."""
    x = load(fields(-2.5)).tensor().double()
    sagd.design(x, evaluations=6)
    assert "about one" not in caplog.text
    sagd.design(shift + scale * x, evaluations=6)
    assert f"data of {said}" in caplog.text
    assert "give (x - mean) / (2 * std), or what sagd.read gives" in caplog.text


def test_one_process_of_several_designs(fields, tmp_path):
    """The others hear of it."""
    config = RunConfig(data=fields(-2.5), process=ProcessConfig(spectrum="auto"), sampling=SamplingConfig(steps=3))
    data = load(config.data)
    where = Begun(tmp_path)

    class Second:
        def shared(self, action):
            return first

    first, found = MODULE._designed(config, data, where, OneProcess())
    assert found.config == first
    assert first.process.spectrum.startswith("whitening")
    assert MODULE._designed(config, data, where, Second()) == (first, None)


@pytest.mark.parametrize("count", [16, 32, 100])
def test_part_of_the_data_is_like_all_of_it(fields, count):
    data = load(fields(-1.5))
    whole = ring_powers(data)
    # Of a Gaussian each ring has an error of about 10 / ln 10 sqrt(2 / (items x frequencies)), 1.5 dB at the worst.
    assert distance_db(ring_powers(data[:count]), whole) < 1.5
    assert distance_db(ring_powers(load(fields(-0.5))), whole) > MOST_APART_DB


def test_levels_do_not_make_data_another():
    x = torch.randn(64, 1, 16, 16, generator=torch.Generator().manual_seed(0)).cumsum(-1)
    field = usual((1, 16, 16))
    one, other = (ring_powers(Signals("x", scale * x, meaning=field)) for scale in (1.0, 10.0))
    assert distance_db(one, other) == pytest.approx(0, abs=0.02)


def test_a_power_law_is_named(fields):
    found = design(fields(-2.5), 6)
    # Half the slope of the power, times the exponent of the whitening.
    assert found.named.spectrum.startswith("power_law(alpha=")
    alpha = float(found.named.spectrum.split("=")[1].rstrip(")"))
    assert alpha == pytest.approx(-2.5 * found.chosen.exponent, abs=0.06)
    assert found.named.apart_db < 1
    assert found.named.error == pytest.approx(found.chosen.error, rel=0.3)
    assert any(f"dB of {found.named.spectrum}" in line for line in found.lines())


def test_what_is_no_power_law_is_not_named():
    f = torch.fft.fftfreq(16)
    r = torch.hypot(*torch.meshgrid(f, f, indexing="ij"))
    w = torch.exp(-((r - 0.35) ** 2) / 0.01) + 0.01
    white = torch.randn(200, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    found = design(Signals("a ring", torch.fft.ifft2(w * torch.fft.fft2(white)).real, meaning=usual((1, 16, 16))), 4)
    assert found.chosen.exponent
    assert found.named is None
