"""Guards and splits of what models are trained on, and files larger than these, in one, two and three dimensions."""

import dataclasses
import math
import wave

import numpy as np
import pytest
import torch
from PIL import Image

from sagd.build.schema import OmissionConfig, ProcessConfig, RunConfig
from sagd.data.config import DataConfig
from sagd.data.load import load
from sagd.errors import InputError
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Guarded
from sagd.noise.spectra.power_law import PowerLaw
from sagd.omission.split import split
from sagd.store.model import load_model
from sagd.study.guarding import as_begun, guarded, set_apart, without_band
from sagd.study.train import prepare, resolve_omission, train
from sagd.study.wholes import are_larger, restore_wholes

pytestmark = pytest.mark.usefixtures("undrawn")

KINDS = {
    1: ("series", "T", (2000,), 64, "spots(at=[[0.1237]], radius=0.004)", (0.1237,)),
    2: ("field", "YX", (90, 104), 16, "spots(at=[[0.0, 0.1443]], radius=0.004)", (0.0, 0.1443)),
    3: ("volume", "ZYX", (36, 40, 44), 16, "spots(at=[[0.0, 0.0, 0.1443]], radius=0.004)", (0.0, 0.0, 0.1443)),
}


@pytest.fixture(scope="session")
def config(comparison):
    return comparison


def content(spatial, seed=0):
    return SpectralCovariance(PowerLaw(-0.8), (1, *spatial)).sample(1, torch.Generator().manual_seed(seed))[0, 0]


def tone(spatial, f):
    places = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in spatial), indexing="ij")
    return torch.cos(2 * math.pi * sum(a * b for a, b in zip(f, places, strict=True)) + 0.4)


def files(folder, rank):
    """A clean and a damaged file of one item; returns settings that read it."""
    kind, axes, spatial, size, band, f = KINDS[rank]
    clean = content(spatial).double()
    for name, x in (("clean", clean), ("damaged", clean + 1.5 * tone(spatial, f))):
        (folder / name).mkdir()
        np.save(folder / name / "x.npy", x.numpy().astype(np.float32))
    data = DataConfig(str(folder / "damaged"), kind=kind, axes=axes, fit="crop", size=size)
    return data, OmissionConfig("fill", band)


def tiny(config, data, omission, steps=2):
    training = dataclasses.replace(config.training, steps=steps, batch_size=4)
    return RunConfig(data, ProcessConfig(omission=omission), config.network, training=training)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_files_of_any_size_are_restored(config, tmp_path, rank):
    data, omission = files(tmp_path, rank)
    model = load_model(train(tiny(config, data, omission), tmp_path / "run"))
    assert isinstance(Spectrum.parse(model.omission.split), Guarded)
    assert are_larger(model, [tmp_path / "damaged"])
    result = restore_wholes(model, [tmp_path / "damaged"], tmp_path / "out", tmp_path / "clean", take="network")
    assert result.shown.method.band == str(Spectrum.parse(omission.band))  # as it was named, without a guard
    damaged, clean, restored = (np.load(tmp_path / name / "x.npy") for name in ("damaged", "clean", "out"))
    assert (restored.shape, restored.dtype) == (damaged.shape, damaged.dtype)
    # Figures are those of the files. A network of two steps knows nothing, and adds noise of its own.
    scale = model.meaning.scale[0]
    error = float(((restored - clean).astype(np.float64) ** 2).mean()) / scale**2
    assert result.sides.errors["network"][0] == pytest.approx(error, rel=1e-3)
    assert result.sides.excess["damaged"][0] > 10
    assert ((restored - clean) ** 2).mean() < 0.4 * ((damaged - clean) ** 2).mean()
    for way in ("clean", "removal"):
        restore_wholes(model, [tmp_path / "damaged"], tmp_path / way, take=way)
        own = np.load(tmp_path / way / "x.npy")
        assert ((own - clean) ** 2).mean() < 0.1 * ((damaged - clean) ** 2).mean()
    assert result.shown.change_outside is None
    assert result.to_dict()["sides"]["taken"] == "network"


def test_nothing_changes_outside_of_the_band(config, tmp_path):
    """Away from the band the change of the whole, continued as it was made, has next to no power."""
    data, omission = files(tmp_path, 1)
    model = load_model(train(tiny(config, data, omission), tmp_path / "run"))
    restore_wholes(model, [tmp_path / "damaged"], tmp_path / "out", take="network")
    change = np.load(tmp_path / "out" / "x.npy").astype(np.float64) - np.load(tmp_path / "damaged" / "x.npy")
    power = np.abs(np.fft.rfft(change * np.hanning(len(change)))) ** 2
    away = np.abs(np.fft.rfftfreq(len(change)) - 0.1237) > 0.02
    assert power[away].sum() < 1e-6 * power.sum()


def test_windows_hold_the_band_only_where_the_model_does_not_see(config, tmp_path):
    data, omission = files(tmp_path, 2)
    signals = load(data)
    process = resolve_omission(ProcessConfig(omission=omission), signals)
    told = process.omission
    assert Spectrum.parse(told.band).band == Spectrum.parse(omission.band) == Spectrum.parse(told.split).band
    parts = without_band(signals, process)
    whole = signals.stored.arrays[0]
    seen, hidden = split(whole, Spectrum.parse(told.split))
    basis = FourierBasis((16, 16))
    inside = mask(told.band, basis) > 0
    own = basis.forward(parts.tensor()[3, 0].double())
    row, column = signals.stored.origin[3].tolist()
    window = (slice(row, row + 16), slice(column, column + 16))
    torch.testing.assert_close(own[~inside], basis.forward(seen[0][window].double())[~inside], atol=1e-5, rtol=0)
    torch.testing.assert_close(own[inside], basis.forward(whole[0][window].double())[inside], atol=1e-5, rtol=0)
    # Of damage twice as strong the model sees what it saw before.
    louder = dataclasses.replace(signals, stored=dataclasses.replace(signals.stored, arrays=(whole + hidden,)))
    other = without_band(louder, process).tensor()[:, 0].double()
    change = (basis.forward(other - parts.tensor()[:, 0].double()).abs().square() * ~inside).sum()
    assert float(change) < 1e-2 * float(hidden.square().sum())


def test_guards_of_small_images_and_settings(tmp_path):
    x = torch.stack([content((24, 24), k) for k in range(60)])
    phase = torch.rand(60, 1, 1, generator=torch.Generator().manual_seed(0)) * 24
    damage = torch.cos(2 * math.pi * 4.5 / 24 * (torch.arange(24.0)[None, None] + phase)).expand(60, 24, 24)
    np.save(tmp_path / "x.npy", (x + 2 * damage).numpy().astype(np.float32))
    data = load(DataConfig(str(tmp_path / "x.npy"), kind="field", axes="NYX"))
    omission = OmissionConfig("fill", "spots(at=[[0.0, 0.1875]], radius=0.004)")
    wide = Spectrum.parse(guarded(omission, data).band)
    assert isinstance(wide, Guarded)
    assert wide.by > 1 / 24
    assert guarded(dataclasses.replace(omission, guard="none"), data) == dataclasses.replace(omission, guard="none")
    given = guarded(dataclasses.replace(omission, guard="0.1"), data)
    assert Spectrum.parse(given.band).by == 0.1
    assert guarded(given, data) == given
    begun = as_begun(omission, guarded(omission, data))
    assert begun.band == str(wide)
    other = dataclasses.replace(omission, band="strip(low=0.1)")
    assert as_begun(other, guarded(omission, data)) == other
    with pytest.raises(InputError, match=r"process.omission.guard must be auto, none, or 0 to 0.5 .*, got 'wide'"):
        guarded(dataclasses.replace(omission, guard="wide"), data)


def test_a_part_of_each_file_is_set_apart(tmp_path):
    data, _ = files(tmp_path, 2)
    signals = load(data)
    kept, other = set_apart(signals)
    assert kept.stored.arrays[0].shape == (1, 90, 88)
    assert int((kept.stored.origin[kept.rows][:, 1] + 16).max()) <= 88
    assert int(other.stored.origin[other.rows][:, 1].min()) >= 88
    assert kept.roams
    assert not other.roams
    drawn = kept.drawn(torch.arange(len(kept)), torch.Generator().manual_seed(0))
    assert drawn.shape == (len(kept), 1, 16, 16)
    digits = load(DataConfig("digits", limit=4))
    assert set_apart(digits) == (digits, None)


def test_a_model_without_a_split_restores_larger_files_too(config, tmp_path):
    data, omission = files(tmp_path, 2)
    omission = dataclasses.replace(omission, split="none")
    model = load_model(train(tiny(config, data, omission), tmp_path / "run"))
    assert model.omission.split == "none"
    restore_wholes(model, [tmp_path / "damaged"], tmp_path / "out", take="network")
    damaged, clean, restored = (np.load(tmp_path / name / "x.npy") for name in ("damaged", "clean", "out"))
    assert ((restored - clean) ** 2).mean() < 0.1 * ((damaged - clean) ** 2).mean()


def test_files_that_do_not_fit_are_refused(config, tmp_path):
    data, omission = files(tmp_path, 2)
    model = load_model(train(tiny(config, data, omission), tmp_path / "run"))
    np.save(tmp_path / "small.npy", np.zeros((12, 40), np.float32))
    np.save(tmp_path / "three.npy", np.random.default_rng(0).normal(size=(40, 40, 40)).astype(np.float32))
    with pytest.raises(InputError, match=r"small.npy' is 12 x 40, smaller than the model's windows of 16 x 16"):
        are_larger(model, [tmp_path / "small.npy"])
    fitting = np.zeros((40, 40), np.float32)
    for name, x in (("a", fitting), ("b", fitting[:12]), ("c", fitting[:, :9])):
        (tmp_path / "mixed").mkdir(exist_ok=True)
        np.save(tmp_path / "mixed" / f"{name}.npy", x)
    said = r"b.npy' is 12 x 40, smaller .* 16 x 16; .*; 2 of 3 files do not fit, leave these out$"
    with pytest.raises(InputError, match=said):
        are_larger(model, [tmp_path / "mixed"])
    with pytest.raises(InputError, match=said):
        restore_wholes(model, [tmp_path / "mixed"], tmp_path / "out")
    (tmp_path / "other").mkdir()
    np.save(tmp_path / "other" / "x.npy", np.zeros((90, 100), np.float32))
    with pytest.raises(InputError, match=r"'x.npy' is 1 x 1 x 90 x 104 .* its clean file 1 x 1 x 90 x 100"):
        restore_wholes(model, [tmp_path / "damaged"], tmp_path / "out", tmp_path / "other")
    with pytest.raises(InputError, match="take must be one of"):
        restore_wholes(model, [tmp_path / "damaged"], tmp_path / "out", take="some")


def test_damage_that_is_drawn_into_windows_is_not_split_off_files(config, tmp_path):
    data, omission = files(tmp_path, 2)
    data = dataclasses.replace(data, corruption="moire(level=0.1)")
    with pytest.raises(InputError, match=r"data.corruption damages each window by itself"):
        prepare(tiny(config, data, omission), load(data))


def test_what_does_not_fit_memory_is_restored_in_blocks(config, tmp_path, monkeypatch):
    data, omission = files(tmp_path, 1)
    model = load_model(train(tiny(config, data, omission), tmp_path / "run"))
    whole = restore_wholes(model, [tmp_path / "damaged"], tmp_path / "whole", tmp_path / "clean", take="clean")
    monkeypatch.setattr("sagd.data.whole.LARGEST", 800)
    parts = restore_wholes(model, [tmp_path / "damaged"], tmp_path / "parts", tmp_path / "clean", take="clean")
    one, other, damaged = (np.load(tmp_path / name / "x.npy") for name in ("whole", "parts", "damaged"))
    assert one.shape == other.shape
    assert 0 < ((one - other) ** 2).mean() < 0.05 * ((one - damaged) ** 2).mean()
    for way in ("damaged", "removal", "clean"):
        assert parts.sides.psnr(way) == pytest.approx(whole.sides.psnr(way), abs=2)


def test_clean_files_may_be_of_another_type(config, tmp_path):
    """Sound in whole numbers, and the same clean in floating point: of the full scale, which is 1 there."""
    t = np.arange(4000)
    clean = 0.3 * np.cumsum(np.random.default_rng(0).normal(size=4000))
    clean = 0.3 * (clean - clean.mean()) / np.abs(clean - clean.mean()).max()
    damaged = clean + 0.2 * np.cos(2 * np.pi * 0.1237 * t)
    for name, x in (("damaged", damaged), ("clean", clean)):
        (tmp_path / name).mkdir()
        with wave.open(str(tmp_path / name / "a.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(np.round(x * 32767).astype("<i2").tobytes())
    (tmp_path / "floats").mkdir()
    clean = np.round(clean * 32767) / 32768
    wav = pytest.importorskip("scipy.io.wavfile")
    wav.write(tmp_path / "floats" / "a.wav", 8000, clean.astype(np.float32))
    data = DataConfig(str(tmp_path / "damaged"), kind="audio", fit="crop", size=64)
    omission = OmissionConfig("fill", "spots(at=[['989.6 Hz']], radius='30 Hz')")
    model = load_model(train(tiny(config, data, omission), tmp_path / "run"))
    whole, floats = (
        restore_wholes(model, [tmp_path / "damaged"], tmp_path / f"out-{name}", tmp_path / name).sides
        for name in ("clean", "floats")
    )
    for way in ("damaged", "network", "clean", "removal"):
        assert floats.psnr(way) == pytest.approx(whole.psnr(way), abs=1e-3)
    assert whole.psnr("clean") > whole.psnr("damaged") + 10


def test_dead_lines_are_interpolated_and_told(config, tmp_path):
    data, omission = files(tmp_path, 2)
    model = load_model(train(tiny(config, data, omission), tmp_path / "run"))
    clean, dead = np.load(tmp_path / "clean" / "x.npy"), np.load(tmp_path / "damaged" / "x.npy")
    dead[:, 40] = 5
    np.save(tmp_path / "dead.npy", dead)
    for take in ("network", "clean", "removal"):
        result = restore_wholes(model, [tmp_path / "dead.npy"], tmp_path / take, take=take)
        restored = np.load(tmp_path / take / "dead.npy")
        assert result.notes == ("dead.npy: 1 dead line(s) were interpolated: X 40",)
        assert result.to_dict()["notes"] == list(result.notes)
        # As near to the lines beside it as these are to each other, but for the damage that is left.
        assert np.abs(restored[:, 40] - clean[:, 40]).mean() < 1.5 * np.abs(restored[:, 39] - restored[:, 41]).mean()
        # What was left of the damage does not count the dead line as such.
        assert result.sides.excess[take][0] < result.sides.excess["damaged"][0]


def test_models_of_scaled_images_restore_none_at_their_own_scale(config, tmp_path):
    (tmp_path / "images").mkdir()
    for k in range(12):
        x = 128 + 30 * content((64, 64), k).numpy() + 20 * np.cos(2 * np.pi * 0.05 * np.arange(64))
        Image.fromarray(x.clip(0, 255).astype(np.uint8)).save(tmp_path / "images" / f"{k}.png")
    data = DataConfig(str(tmp_path / "images"), size=16)
    model = load_model(train(tiny(config, data, OmissionConfig("fill", "strip(axis=1, low=0.1)")), tmp_path / "run"))
    said = r"0.png' is 64 x 64, and the model was trained on data scaled to 16 x 16, .* data.fit=crop and a size"
    with pytest.raises(InputError, match=said):
        are_larger(model, [tmp_path / "images"])
    with pytest.raises(InputError, match=said):
        restore_wholes(model, [tmp_path / "images"], tmp_path / "out")
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "small.png")
    assert not are_larger(model, [tmp_path / "small.png"])


def test_hot_pixels_stay_and_stop_nothing(config, tmp_path):
    data, omission = files(tmp_path, 2)
    model = load_model(train(tiny(config, data, omission), tmp_path / "run"))
    damaged = np.load(tmp_path / "damaged" / "x.npy")
    hot = damaged.copy()
    hot[50, 50] = 400
    np.save(tmp_path / "damaged" / "hot.npy", hot)
    result = restore_wholes(model, [tmp_path / "damaged"], tmp_path / "out", take="network")
    assert result.failed == {}
    assert result.notes == (
        "hot.npy: 1 value(s) far beyond the training data were shown to the network as the nearest within, and stay",
    )
    plain, restored = np.load(tmp_path / "out" / "x.npy"), np.load(tmp_path / "out" / "hot.npy")
    assert restored[50, 50] > 300
    # Elsewhere the same, but for what of the pixel lies in the band, some thousandths of it.
    change = np.abs(restored - plain)
    change[50, 50] = 0
    assert change.max() < 0.02 * 400


def test_a_file_that_cannot_be_restored_stops_no_other(config, tmp_path):
    data, omission = files(tmp_path, 2)
    model = load_model(train(tiny(config, data, omission), tmp_path / "run"))
    damaged = np.load(tmp_path / "damaged" / "x.npy")
    bad = {"a": damaged * 1000, "b": np.where(damaged > 2, np.inf, damaged)}
    for name, x in bad.items():
        np.save(tmp_path / "damaged" / f"{name}.npy", x.astype(np.float32))
    result = restore_wholes(model, [tmp_path / "damaged"], tmp_path / "out")
    assert [path.name for path in result.written] == ["x.npy"]
    assert result.sides.names == ("x.npy",)
    assert list(result.failed) == ["a.npy", "b.npy"]
    assert "of the values lie beyond" in result.failed["a.npy"]
    assert "value(s) are infinite; mend them" in result.failed["b.npy"]
    assert result.count == 3
    assert result.to_dict()["failed"] == result.failed
    with pytest.raises(InputError, match=r"1 of 1 file\(s\) could not be restored: a.npy: .* lie beyond"):
        restore_wholes(model, [tmp_path / "damaged" / "a.npy"], tmp_path / "none")
