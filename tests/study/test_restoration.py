"""Restored files and what is measured on them, against numpy."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from sagd.build.schema import OmissionConfig, ProcessConfig, RunConfig
from sagd.data.config import DataConfig
from sagd.data.corruption import Corruption, corrupt
from sagd.data.files import Named, save_fields
from sagd.data.images import to_uint8
from sagd.data.meaning import Meaning
from sagd.data.signals import Signals
from sagd.errors import InputError
from sagd.noise.bands import mask
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.omission.modes import Fill, Restoration
from sagd.store.model import load_model
from sagd.study.restoration import BANDS, Method, measured, restore_files
from sagd.study.train import train


@pytest.fixture(scope="session")
def config(comparison):
    return comparison


BAND = "ring(low=0.2, high=0.4)"
SHAPE = (1, 8, 8)
BASIS = FourierBasis((8, 8))


def smooth(count, seed=0):
    white = torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.avg_pool2d(white, 3, stride=1, padding=1).clamp(-1, 1)


@pytest.fixture(scope="module")
def clean():
    return smooth(3)


@pytest.fixture(scope="module")
def damaged(clean):
    return corrupt(clean, Corruption.parse("band_noise(low=0.2, high=0.4, level=0.2)"), 0)


def trained(config, out, **process):
    config = RunConfig(
        network=dataclasses.replace(config.network),
        training=dataclasses.replace(config.training, steps=2),
        process=dataclasses.replace(RunConfig().process, **process),
    )
    return load_model(train(config, out, data=Signals("smooth", to_uint8(smooth(40)))))


@pytest.fixture(scope="module")
def model(config, tmp_path_factory):
    return trained(config, tmp_path_factory.mktemp("model"), omission=OmissionConfig("fill", BAND))


@pytest.fixture
def files(tmp_path, damaged, clean):
    names = ["a/0", "a/1", "2"]
    for folder, images in (("damaged", damaged), ("clean", clean)):
        save_fields(images, names, tmp_path / folder, Meaning())
    return tmp_path


def test_measures_by_numpy(clean, damaged):
    restored = (clean + damaged) / 2
    result = measured(Named(("a", "b", "c"), damaged, Meaning()), Restoration(restored), clean, Fill(BAND), BASIS)
    rows, columns = np.meshgrid(np.fft.fftfreq(8), np.fft.fftfreq(8), indexing="ij")
    band = np.minimum((np.hypot(rows, columns) / math.sqrt(0.5) + 1e-9) * BANDS // 1, BANDS - 1)
    for stages, values in (
        (result.spectra, {"damaged": damaged, "restored": restored, "clean": clean}),
        (result.errors, {"damaged": damaged - clean, "restored": restored - clean}),
    ):
        assert stages.keys() == values.keys()
        for name, x in values.items():
            power = (np.abs(np.fft.fft2(x[:, 0].double().numpy())) ** 2 / 64).mean(0)
            expected = [power[band == k].mean() if (band == k).any() else np.nan for k in range(BANDS)]
            assert np.allclose(stages[name], expected, equal_nan=True)
    assert result.psnr["restored"] == pytest.approx(10 * math.log10(4 / float((restored - clean).square().mean())))
    inside = (np.hypot(rows, columns) >= 0.2 * math.sqrt(0.5)) & (np.hypot(rows, columns) < 0.4 * math.sqrt(0.5))
    assert result.replaced == pytest.approx(inside.mean())
    assert result.change_outside < 1e-6
    text = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert text["names"] == ["a", "b", "c"]
    assert text["spectra"]["clean"].count(None) == sum(np.isnan(expected))


def test_what_is_missing_counts_in_no_figure(clean, damaged):
    """Mean squares are those of the known places, whatever was filled in elsewhere, or the clean images lack."""
    known = torch.rand(damaged.shape, generator=torch.Generator().manual_seed(1)) > 0.3
    lacking = clean.clone()
    lacking[0, 0, 0, :3] = torch.nan
    given = torch.where(known, damaged, 0.0)
    result = measured(
        Named(("a", "b", "c"), given, Meaning(), known),
        Restoration(torch.where(known, (clean + damaged) / 2, 99.0)),
        lacking,
        Fill(BAND),
        BASIS,
    )
    counted = known & ~lacking.isnan()
    left = (damaged - clean)[counted].square().mean()
    assert result.psnr["damaged"] == pytest.approx(10 * math.log10(4 / float(left)), rel=1e-6)
    assert result.psnr["restored"] == pytest.approx(10 * math.log10(4 / float(left / 4)), rel=1e-6)
    rows, columns = np.meshgrid(np.fft.fftfreq(8), np.fft.fftfreq(8), indexing="ij")
    band = np.minimum((np.hypot(rows, columns) / math.sqrt(0.5) + 1e-9) * BANDS // 1, BANDS - 1)
    sizes = np.bincount(band.astype(int).ravel(), minlength=BANDS)
    error = np.nansum(result.errors["damaged"].numpy() * sizes) / sizes.sum()
    assert error == pytest.approx(float(left), rel=1e-6)


def test_change_outside_is_seen(clean, damaged):
    other = damaged.clone()
    other[1] += 0.5
    result = measured(Named(("a", "b", "c"), damaged, Meaning()), Restoration(other), None, Fill(BAND), BASIS)
    rms = float(damaged.square().mean().sqrt())
    assert result.change_outside == pytest.approx(0.5 * 8 / rms, rel=1e-5)  # all of it at f = 0, of a unitary transform
    assert result.clean is None
    assert result.errors == result.psnr == {}


def test_files_keep_all_outside_of_the_band(model, files, damaged):
    result = restore_files(model, [files / "damaged"], clean=files / "clean")
    assert result.names == ("2.png", "a/0.png", "a/1.png")
    assert result.method == Method.of(Fill(BAND))
    assert result.change_outside < 1e-6
    b = mask(BAND, BASIS)
    change = BASIS.forward((result.restoration.images - result.damaged).double())
    assert float((change.abs() * b).amax()) > 1e-3
    assert torch.allclose(result.damaged[0], damaged[2].clamp(-1, 1), atol=1 / 250)
    assert result.clean is not None


def test_a_clean_image_must_be_there(model, files):
    (files / "clean" / "a" / "1.png").unlink()
    with pytest.raises(InputError, match=r"no clean image 'a/1' in .*clean"):
        restore_files(model, [files / "damaged"], clean=files / "clean")


def test_models_that_restore_nothing(config, files, tmp_path):
    model = trained(config, tmp_path / "run")
    with pytest.raises(InputError, match=r"trained with omission 'none', .* process.omission.mode fill"):
        restore_files(model, [files / "damaged"])


def test_a_model_in_another_basis_keeps_the_rest_there(config, files, tmp_path):
    model = trained(config, tmp_path / "run", basis="cosine", omission=OmissionConfig("fill", BAND))
    result = restore_files(model, [files / "damaged"])
    assert result.basis == CosineBasis((8, 8))
    assert result.b.shape == (8, 8)
    assert result.change_outside < 1e-6


def test_conditional_models_take_the_class(config, files, tmp_path):
    run = RunConfig(
        network=dataclasses.replace(config.network, conditional=True),
        training=dataclasses.replace(config.training, steps=2),
        process=ProcessConfig(omission=OmissionConfig("fill", BAND)),
    )
    data = Signals("smooth", to_uint8(smooth(40)), torch.arange(40) % 2, ("a", "b"))
    model = load_model(train(run, tmp_path / "run", data=data))
    none, first, second = (restore_files(model, [files / "damaged"], label=k).restoration.images for k in (None, 0, 1))
    assert not torch.equal(first, second)
    assert not torch.equal(none, second)


def test_what_cannot_be_taken_is_refused_before_any_work(config, tmp_path, monkeypatch, model, files):
    (tmp_path / "low").mkdir()
    for k in range(20):
        x = np.random.default_rng(k).normal(size=(6, 16))
        np.save(tmp_path / "low" / f"{k}.npy", x.astype(np.float32))
    run = RunConfig(
        DataConfig(str(tmp_path / "low"), kind="field", axes="YX"),
        ProcessConfig(omission=OmissionConfig("fill", "strip(axis=1, low=0.05)")),
        dataclasses.replace(config.network, widths=(4,)),
        training=dataclasses.replace(config.training, steps=2, batch_size=4),
    )
    low = load_model(train(run, tmp_path / "run"))
    assert restore_files(low, [tmp_path / "low"]).sides is None
    monkeypatch.setattr("sagd.study.restoration.restore", lambda *_, **__: pytest.fail("work has started"))
    for take in ("clean", "removal"):
        with pytest.raises(InputError, match=rf"take {take} cannot be had here: .*; take network"):
            restore_files(low, [tmp_path / "low"], take=take)
        with pytest.raises(InputError, match=rf"take {take} is made without the network, and samples are drawn by it"):
            restore_files(model, [files / "damaged"], take=take, samples=2)


def test_doubts_of_the_training_are_repeated(model, files, caplog):
    sure = dataclasses.replace(model, doubt="", calibration=torch.ones(BASIS.coefficients))
    restore_files(sure, [files / "damaged"])
    assert "when the model was trained" not in caplog.text
    caplog.clear()
    restore_files(dataclasses.replace(model, doubt="it draws 40 % back"), [files / "damaged"])
    assert "when the model was trained: it draws 40 % back" in [record.getMessage() for record in caplog.records]
    caplog.clear()
    nothing = dataclasses.replace(model, doubt="", calibration=torch.zeros(BASIS.coefficients))
    assert restore_files(nothing, [files / "damaged"]).sides.ways == ("clean", "removal")
    assert "nothing of what the model says of the band was believed" in caplog.text
