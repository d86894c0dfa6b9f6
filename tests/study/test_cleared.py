"""Training on data of which the damage was taken out: what the data is then, against `sagd.clean` and closed forms."""

import dataclasses
import json
import logging
import math
import os
import shlex
import signal
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

import sagd
from sagd.build.objects import build_process, omission_mode
from sagd.build.schema import OmissionConfig, ProcessConfig, RunConfig
from sagd.data.config import DataConfig
from sagd.data.corruption import Corruption
from sagd.data.fields import LazyFields
from sagd.data.images import to_unit_range
from sagd.data.load import load
from sagd.data.meaning import Meaning, Step
from sagd.data.signals import Signals
from sagd.errors import InputError
from sagd.interrupt import Interrupted
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.bands import BandPass
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Spots
from sagd.noise.spectra.power_law import PowerLaw
from sagd.omission.detect import Finding as Usual
from sagd.omission.detect import detect
from sagd.omission.detection.base import Finding
from sagd.omission.detection.find import find
from sagd.omission.preparation import Scale
from sagd.omission.removal import Removal
from sagd.omission.search import search
from sagd.store.model import load_model
from sagd.study.cleared import _whole, cleared, leaking
from sagd.study.compare import compare
from sagd.study.restoration import mode_of_model
from sagd.study.train import prepare, train
from sagd.training.batches import Shuffled

pytestmark = pytest.mark.usefixtures("undrawn")

WAVE, SPOT = (0.1237, 0.1443), "spots(at=[[0.1237, 0.1443]], radius=0.01)"
STRIP = "strip(axis=1, low=0.02, width=0.02)"


def generator(seed):
    return torch.Generator().manual_seed(seed)


def content(spatial, seed=0):
    """A photograph's spectrum, of standard deviation about 1."""
    return SpectralCovariance(PowerLaw(-0.8), (1, *spatial)).sample(1, generator(seed))[0, 0].double()


def wave(spatial, f=WAVE):
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in spatial), indexing="ij")
    return torch.cos(2 * math.pi * (f[0] * y + f[1] * x) + 0.4)


def under_a_wave(count=3, spatial=(140, 150)):
    return [content(spatial, k) + wave(spatial) for k in range(count)]


def cut(folder, arrays, missing="refuse"):
    """Windows of files."""
    folder.mkdir(exist_ok=True)
    for k, array in enumerate(arrays):
        np.save(folder / f"{k}.npy", array.numpy().astype(np.float32))
    return load(DataConfig(str(folder), kind="field", axes="YX", fit="crop", size=16, missing=missing))


def values_of(data):
    """The arrays that windows are cut from, in units of the files."""
    return [data.meaning.to_values(array)[0] for array in data.stored.arrays]


@pytest.mark.parametrize("band", ["auto", SPOT])
def test_windows_are_cut_from_what_clean_leaves_of_each_file(tmp_path, band):
    arrays = under_a_wave()
    done = cleared(OmissionConfig("cleaned", band), cut(tmp_path / "x", arrays))
    found = done.omission.band if band == "auto" else band
    assert done.omission.log == "no"  # settled, so that equal runs have equal settings
    for own, array in zip(values_of(done.data), arrays, strict=True):
        expected = sagd.clean(array.float().numpy(), found).x
        assert float((own - torch.from_numpy(expected)).abs().max()) < 1e-4
        assert float((own - array + wave(array.shape)).std()) < 0.1
    x = done.data.batch([0, 5])[0]
    k, (top, left) = int(done.data.stored.number[5]), done.data.stored.origin[5].tolist()
    assert torch.equal(x[1], done.data.stored.arrays[k][:, top : top + 16, left : left + 16])


def test_pictures_in_colour_are_cleaned_jointly_as_files_are(tmp_path):
    colours = torch.stack([content((140, 150), k) for k in range(3)], -1) + content((140, 150), 9)[..., None]
    x = (128 + 12 * (colours + wave((140, 150))[..., None])).round().clamp(0, 255).numpy().astype(np.uint8)
    (tmp_path / "x").mkdir()
    Image.fromarray(x).save(tmp_path / "x" / "0.png")
    for fit in ("crop", "tile"):
        data = load(DataConfig(str(tmp_path / "x"), fit=fit, size=16))
        done = cleared(OmissionConfig("cleaned", SPOT), data)
        expected = torch.from_numpy(sagd.clean(x, SPOT, channel_axis=-1).x).movedim(-1, 0)
        (own,) = (data.meaning.to_values(array) for array in done.data.stored.arrays)
        assert float((own - expected).abs().max()) < 0.01
        assert len(done.data) == len(data)
        assert float((data.batch([5])[0] - done.data.batch([5])[0]).square().mean().sqrt()) > 0.5 * 12 / 127.5 / 2**0.5


def test_files_are_made_floating_point_one_by_one(tmp_path, monkeypatch):
    (tmp_path / "x").mkdir()
    for k, array in enumerate(under_a_wave(4)):
        Image.fromarray((128 + 20 * array).round().clamp(0, 255).numpy().astype(np.uint8)).save(tmp_path / f"x/{k}.png")
    data = load(DataConfig(str(tmp_path / "x"), fit="crop", size=16))
    copies, most = weakref.WeakSet(), []

    def copied(array):
        made = to_unit_range(array)
        copies.add(made)
        most.append(len(copies))
        return made

    monkeypatch.setattr("sagd.study.cleared.in_range", copied)
    cleared(OmissionConfig("cleaned", SPOT), data)
    assert len(most) == 4
    assert max(most) <= 2  # one is let go once the next is there


def test_a_single_file_has_the_band_that_clean_finds(tmp_path):
    (array,) = under_a_wave(1, (260, 270))
    done = cleared(OmissionConfig("cleaned"), cut(tmp_path / "x", [array]))
    own = sagd.clean(array.float().numpy())
    assert done.omission.band == str(own.band)
    assert float((values_of(done.data)[0] - torch.from_numpy(own.x)).abs().max()) < 1e-4


def test_files_of_several_sizes_are_looked_at_together(tmp_path):
    """Damage that the largest one does not show for certain."""
    arrays = [content((140 + 10 * k, 150), k) + 0.15 * wave((140 + 10 * k, 150)) for k in range(4)]
    with pytest.raises(InputError, match="band 'auto': no damaged band found"):
        cleared(OmissionConfig("cleaned"), cut(tmp_path / "one", arrays[-1:]))
    done = cleared(OmissionConfig("cleaned"), cut(tmp_path / "all", arrays))
    assert done.omission.band.startswith("spots(at=((0.124")


def test_what_is_not_certain_is_named_as_a_shell_takes_it(monkeypatch):
    """In units, whose texts hold single quotes."""
    x = torch.randn(40, 1, 256, generator=generator(0))
    data = Signals("records", x, meaning=Meaning("series", "T", (0.0,), (1.0,), {"T": Step(1 / 400, "s")}))
    (found, scale), (basis, spot) = search(x), (FourierBasis((256,)), Spots(((0.125,),), 0.005))
    unsure = Finding(spot, 9.0, 9.0, 0.01, 0.9, 0.0, 0.0)
    found = dataclasses.replace(found, findings=(), unsure=(unsure,), basis=basis)
    monkeypatch.setattr("sagd.study.cleared.search", lambda *_: (found, scale))
    with pytest.raises(InputError) as refused:
        cleared(OmissionConfig("cleaned"), data)
    (band,) = [word for word in shlex.split(str(refused.value)) if word.startswith("spots")]
    assert band.rstrip(",") == "spots(at=[['50 Hz']], radius='2 Hz')"


def test_fields_are_known_again_by_what_was_read(tmp_path):
    """What is computed is rounded otherwise on other machines, where a run may be gone on with."""
    some = torch.tensor([0, 5])
    for data in (
        cut(tmp_path / "x", under_a_wave()),
        Signals("noise", torch.randn(40, 1, 16, 16)).subset(range(5, 30)),
    ):
        done = cleared(OmissionConfig("cleaned", "spots(at=[[0.125, 0.14]], radius=0.02)"), data).data
        for own, of in ((done, data), (done.held, data), (done.subset([3, 9]), data.subset([3, 9]))):
            numbers = some.clamp(max=len(own) - 1)
            given = own.digests(own.values(numbers), numbers)
            assert torch.equal(given, of.digests(of.values(numbers), numbers))


def test_dead_lines_are_no_damage_of_the_band(tmp_path):
    x = content((140, 150))
    x[:, 70] = 0.0
    done = cleared(OmissionConfig("cleaned", "spots(at=[[0.31, 0.27]], radius=0.004)"), cut(tmp_path / "x", [x]))
    assert done.lines == [
        "nothing in spots(at=((0.31, 0.27),), radius=0.004) stands out of the data, and nothing was taken out of it",
        "1 dead line(s) were interpolated",
    ]


def test_what_was_taken_out_is_said(tmp_path):
    arrays = under_a_wave()
    done = cleared(OmissionConfig("cleaned"), cut(tmp_path / "x", arrays))
    (line,) = done.lines
    assert line.startswith("taken out of the training data: damage in spots(at=((0.12")
    assert "with probability 0.99" in line
    share = 100 * 0.5 / float(torch.stack([x.var() for x in arrays]).mean())
    assert float(line.split(", ")[-1].split(" %")[0]) == pytest.approx(share, abs=3)
    (again,) = cleared(OmissionConfig("cleaned", SPOT), cut(tmp_path / "x", arrays)).lines
    assert "probability" not in again


@pytest.mark.parametrize("log", ["auto", "yes"])
def test_damage_that_multiplies_is_taken_out_of_the_logarithm(tmp_path, log):
    spatial = (200, 210)
    clean = (content(spatial) / 3).exp() * 100
    gain = 0.3 * torch.randn(spatial[1], generator=generator(1), dtype=torch.float64)
    array = clean * (gain - gain.mean()).exp()
    band = "auto" if log == "auto" else STRIP
    done = cleared(OmissionConfig("cleaned", band, log=log), cut(tmp_path / "x", [array]))
    assert done.omission.log == "yes"
    assert done.lines[0].endswith("of all power; it multiplies the values, and was taken out of their logarithm")
    named = done.omission.band if band == "auto" else band
    expected = torch.from_numpy(sagd.clean(array.float().numpy(), named, log=True).x)
    (own,) = values_of(done.data)
    assert float(((own - expected) / expected).abs().max()) < 1e-3
    error = [float((x.log() - clean.log()).std()) for x in (array, own)]
    assert error[1] < 0.5 * error[0]


def items(count=600, side=24):
    """Crops of larger fields, the same under Gaussian noise of a band, and what is left by the best linear estimate."""
    shape, crop = (1, 64, 64), (..., slice(side), slice(side))
    smooth = SpectralCovariance(PowerLaw(-0.8), shape)
    damage = SpectralCovariance(BandPass(0.4, 0.45, 1.5), shape, calibration="none")
    clean = smooth.sample(count, generator(1))[crop] / 3
    data = Signals("made", (clean + damage.sample(count, generator(2))[crop]).contiguous())
    one = torch.zeros(side * side, *shape, dtype=torch.float64)
    one[:, 0, :side, :side] = torch.eye(side * side, dtype=torch.float64).reshape(-1, side, side)
    s, n = (c.apply(one)[crop].reshape(side * side, -1) for c in (smooth, damage))
    s = s / 9
    return clean.contiguous(), data, float(torch.trace(s - s @ torch.linalg.solve(s + n, s))) / side**2


def test_small_items_are_cleaned_by_one_gain_nearly_as_by_who_knows_both_spectra():
    clean, data, least = items()
    done = cleared(OmissionConfig("cleaned", "ring(low=0.33, high=0.52)"), data)
    before, after = (float((x - clean).square().mean()) for x in (data.tensor(), done.data.tensor()))
    assert least < after < 1.7 * least < 0.15 * before
    assert done.omission == OmissionConfig("cleaned", "ring(low=0.33, high=0.52)", log="no")
    assert done.data.corruption is None
    assert done.data.places.tolist() == [*range(len(data))]


def test_items_beyond_memory_are_cleaned_as_they_are_read(monkeypatch):
    clean, data, _ = items(80)
    omission = OmissionConfig("cleaned", "ring(low=0.33, high=0.52)")
    held = cleared(omission, data)
    monkeypatch.setattr("sagd.data.sources.base.MEMORY_LIMIT", 4 * clean.numel() - 1)
    read = cleared(omission, data)
    assert not isinstance(read.data.stored, torch.Tensor)
    torch.testing.assert_close(read.data.batch([7, 3])[0], held.data.batch([7, 3])[0], rtol=0, atol=1e-5)
    assert read.lines == held.lines


@pytest.mark.parametrize("log", ["no", "yes"])
def test_small_items_are_cleaned_many_at_a_time_as_each_alone(monkeypatch, log):
    """Gaps of some and a line that is dead in all make no difference."""
    x = items(300)[1].stored
    x = (x if log == "no" else x.exp()).clone()
    x[:, :, :, 9] = x[0, 0, 0, 0]
    x[70:80, :, 3:5, 4:8] = math.nan
    data = dataclasses.replace(Signals("made", x), gaps=True)
    calls, apply = [], Removal.apply
    monkeypatch.setattr(Removal, "apply", lambda removal, y: calls.append(len(y)) or apply(removal, y))
    done = cleared(OmissionConfig("cleaned", "ring(low=0.33, high=0.52)", log=log), data)
    assert calls == [128, 128, 44]
    monkeypatch.setattr("sagd.data.sources.base.MEMORY_LIMIT", 0)
    lazy = cleared(OmissionConfig("cleaned", "ring(low=0.33, high=0.52)", log=log), data)
    some = [0, 5, 75, 127, 128, 299]
    each = torch.cat([lazy.data.values(torch.tensor([k])) for k in some])
    torch.testing.assert_close(done.data.stored[some], each, rtol=0, atol=1e-5, equal_nan=True)
    assert torch.equal(done.data.stored.isnan(), x.isnan())
    assert done.lines == lazy.lines
    assert done.lines[1] == "300 dead line(s) were interpolated"


def test_an_item_without_a_logarithm_is_told_when_it_is_read(monkeypatch):
    clean, data, _ = items(80)
    data.stored.sub_(data.stored.min() - 1)
    monkeypatch.setattr("sagd.data.sources.base.MEMORY_LIMIT", 4 * clean.numel() - 1)
    read = cleared(OmissionConfig("cleaned", "ring(low=0.33, high=0.52)", log="yes"), data).data
    data.stored[7, 0, 3, :2] = -2.0
    read.batch([3, 5])
    said = (
        r"^process.omission.log yes needs values above -[\d.]+, 2 of 576 are not, the least is -128; add the dark"
        r" offset, or leave out what has such values$"
    )
    with pytest.raises(InputError, match=said):
        read.batch([3, 7])


def test_large_items_have_a_gain_each():
    x = torch.stack([content((130, 132), k) + (2 + k) * wave((130, 132)) for k in range(2)])[:, None].float()
    done = cleared(OmissionConfig("cleaned", SPOT), Signals("made", x))
    for k in range(2):
        torch.testing.assert_close(done.data.stored[k, 0], sagd.clean(x[k, 0], SPOT).x, rtol=0, atol=1e-5)


def test_missing_values_stay_missing(tmp_path):
    array = under_a_wave(1)[0]
    array[30:33, 40:60] = math.nan
    done = cleared(OmissionConfig("cleaned", SPOT), cut(tmp_path / "x", [array], "mask"))
    (after,) = values_of(done.data)
    assert torch.equal(after.isnan(), array.isnan())
    expected = torch.from_numpy(sagd.clean(array.float().numpy(), SPOT).x)
    assert float((after - expected).nan_to_num().abs().max()) < 1e-3


def test_a_line_that_is_constant_in_one_item_is_content_and_dead_in_all_is_not():
    _, data, _ = items(100)
    data.stored[0, :, :, 9] = 0.25
    omission = OmissionConfig("cleaned", "ring(low=0.33, high=0.52)")
    assert not any("dead" in line for line in cleared(omission, data).lines)
    data.stored[:, :, :, 9] = 0.25
    assert cleared(omission, data).lines[1] == "100 dead line(s) were interpolated"


def test_damage_that_is_added_as_data_is_read_is_taken_out_if_it_stays(tmp_path):
    clean = items(100)[0]
    lines = Corruption.parse("scan_lines(level=0.3)")
    fixed = dataclasses.replace(Signals("made", clean), corruption=lines, corruption_seed=3)
    done = cleared(OmissionConfig("cleaned", "strip(axis=0, low=0.03)"), fixed)
    assert done.data.corruption is None
    damaged = fixed.tensor()
    plain = cleared(OmissionConfig("cleaned", "strip(axis=0, low=0.03)"), Signals("made", damaged))
    torch.testing.assert_close(done.data.tensor(), plain.data.tensor())
    anew = dataclasses.replace(fixed, corruption=Corruption.parse("scan_lines(level=0.3, fixed=False)"))
    with pytest.raises(InputError, match=r"takes damage out of the data once: set fixed=True in data.corruption"):
        cleared(OmissionConfig("cleaned", "strip(axis=0, low=0.03)"), anew)
    windows = dataclasses.replace(cut(tmp_path / "x", under_a_wave(1)), corruption=fixed.corruption)
    with pytest.raises(InputError, match=r"data.corruption damages each window by itself; damage the files with"):
        cleared(OmissionConfig("cleaned", SPOT), windows)


def test_nothing_certain_is_refused_in_one_line(tmp_path):
    with pytest.raises(InputError, match=r"band 'auto': no damaged band found \(.*\); name the band, e.g. 'ring"):
        cleared(OmissionConfig("cleaned"), cut(tmp_path / "x", [content((140, 150))]))
    clean, _, _ = items(200)
    with pytest.raises(InputError, match=r"band 'auto': no damaged band found \(.*\); name the band"):
        cleared(OmissionConfig("cleaned"), Signals("made", clean))


def test_a_band_in_which_nothing_stands_out_is_said():
    clean, _, _ = items(300)
    done = cleared(OmissionConfig("cleaned", "spots(at=[[0.3, 0.3]], radius=0.04)"), Signals("made", clean))
    assert torch.equal(done.data.tensor(), clean)
    said = "nothing in spots(at=((0.3, 0.3),), radius=0.04) stands out of the data, and nothing was taken out of it"
    assert done.lines == [said]


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (
            {"corruption": "band_pass(inside=0.1)"},
            "process.omission.corruption is no option of omission mode 'cleaned'",
        ),
        ({"evidence": "frequency"}, "process.omission.evidence is no option of omission mode 'cleaned'"),
        ({"floor": 2.0}, "process.omission.floor is no option of omission mode 'cleaned'"),
        ({"guard": "0.1"}, "process.omission.guard '0.1' has no part in mode 'cleaned'"),
        ({"split": STRIP}, "has no part in mode 'cleaned'"),
        ({"log": "maybe"}, "log must be one of 'auto', 'yes', 'no'"),
    ],
)
def test_settings_without_an_effect_are_refused(named, said):
    with pytest.raises(InputError) as error:
        cleared(OmissionConfig("cleaned", STRIP, **named), items(20)[1])
    assert said in str(error.value)


def test_a_logarithm_of_negative_values_is_refused_by_the_name_of_the_setting():
    with pytest.raises(InputError, match=r"^process.omission.log yes needs values of 0 and more"):
        cleared(OmissionConfig("cleaned", STRIP, log="yes"), Signals("made", 3 * items(20)[0]))
    with pytest.raises(InputError, match=r"process.omission.log is no option of omission mode 'fill'"):
        omission_mode(OmissionConfig("fill", STRIP, log="yes"))


@pytest.fixture
def run(comparison):
    """A short training."""
    training = dataclasses.replace(comparison.training, steps=2)
    return RunConfig(network=comparison.network, denoiser=comparison.denoiser, training=training)


def with_mode(run, **omission):
    return dataclasses.replace(run, process=ProcessConfig(omission=OmissionConfig(**omission)))


def test_a_run_is_that_on_clean_files_and_is_gone_on_with_bit_for_bit(tmp_path, run, caplog):
    arrays = under_a_wave()
    data = cut(tmp_path / "x", arrays)
    config = with_mode(run, mode="cleaned")
    longer = dataclasses.replace(config, training=dataclasses.replace(config.training, steps=4))
    with caplog.at_level(logging.INFO, logger="sagd"):
        train(config, tmp_path / "run", data=data)
    assert sum(m.startswith("taken out of the training data: damage in spots") for m in caplog.messages) == 1
    model = load_model(tmp_path / "run")
    assert omission_mode(model.omission).place == omission_mode(model.config.process.omission).place
    assert model.omission.log == "no"
    assert json.loads((tmp_path / "run/model/model.json").read_text())["omission"]["mode"] == "cleaned"
    plain = dataclasses.replace(model.config.process, omission=OmissionConfig())
    assert model.process == build_process(plain, data.shape, model.statistics)
    assert not model.process.unseen
    train(longer, tmp_path / "run", resume=True, data=data)
    train(longer, tmp_path / "whole", data=data)
    clean = cleared(config.process.omission, data).data
    undamaged = dataclasses.replace(longer, process=ProcessConfig(basis=model.config.process.basis))
    train(undamaged, tmp_path / "clean", data=clean)
    weights = [load_model(tmp_path / name).plain.module.state_dict() for name in ("run", "whole", "clean")]
    assert all(torch.equal(weights[0][k], w[k]) for w in weights[1:] for k in w)


def stop_at(monkeypatch, step):
    """Ctrl-C when the batch of a step is asked for."""
    batch = Shuffled.__call__

    def stopping(self, number):
        if number == step:
            os.kill(os.getpid(), signal.SIGINT)
        return batch(self, number)

    monkeypatch.setattr(Shuffled, "__call__", stopping)


def test_a_stopped_run_on_data_beyond_memory_goes_on_bit_for_bit(tmp_path, run, monkeypatch):
    _, made, _ = items(50)
    np.save(tmp_path / "items.npy", made.stored[:, 0].numpy())
    source = DataConfig(str(tmp_path / "items.npy"), kind="field", axes="NYX")
    config = dataclasses.replace(
        with_mode(run, mode="cleaned"), training=dataclasses.replace(run.training, steps=5, batch_size=4)
    )
    monkeypatch.setattr("sagd.data.sources.base.MEMORY_LIMIT", made.stored.numel())
    assert isinstance(load(source).stored, LazyFields)
    train(config, tmp_path / "whole", data=load(source))
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(Interrupted):
            train(config, tmp_path / "parts", data=load(source))
    train(config, tmp_path / "parts", resume=True, data=load(source))
    weights = [load_model(tmp_path / name).plain.module.state_dict() for name in ("whole", "parts")]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])


def test_a_band_that_is_not_its_own_mirror_may_be_flipped(run):
    config = dataclasses.replace(with_mode(run, mode="cleaned", band=SPOT), data=DataConfig(flip=True))
    prepare(config, items(60)[1])


def test_a_model_of_clean_data_restores_no_band_and_says_what_does(tmp_path, run):
    config = with_mode(run, mode="cleaned", band=STRIP)
    train(config, tmp_path / "run", data=items(60)[1])
    said = r'fills in no band; take it out of files without a model: sagd clean FILES --band "strip\(axis=1, low=0.02'
    with pytest.raises(InputError, match=said):
        mode_of_model(load_model(tmp_path / "run"))


def test_modes_are_compared(tmp_path, comparison):
    band = "strip(axis=0, low=0.03)"
    arms = {mode: ProcessConfig(omission=OmissionConfig(mode, band)) for mode in ("cleaned", "fill")}
    data = DataConfig(limit=160, corruption="scan_lines(level=0.3)")
    results = compare(dataclasses.replace(comparison, arms=arms, seeds=(3,), data=data), tmp_path / "x", progress=False)
    assert set(results["config"]["arms"]) == {"cleaned", "fill"}
    models = {mode: load_model(tmp_path / f"x/{mode}/seed-3") for mode in arms}
    assert models["cleaned"].omission == OmissionConfig("cleaned", band, log="no")
    assert models["fill"].omission.mode == "fill"
    assert {mode: bool(model.process.unseen) for mode, model in models.items()} == {"cleaned": False, "fill": True}
    # The one has learnt what was left after removal, the other the rest of what is damaged.
    damaged = load(data)
    clean = cleared(OmissionConfig("cleaned", band), damaged).data
    errors = [(x - damaged.clean.tensor()).square().mean() for x in (clean.tensor(), damaged.tensor())]
    assert errors[0] < 0.5 * errors[1]
    own = {
        "cleaned": (ProcessConfig(basis=models["cleaned"].config.process.basis), clean),
        "fill": (arms["fill"], damaged),
    }
    settings = dataclasses.replace(comparison.training, seed=3)
    for mode, (process, seen) in own.items():
        alone = RunConfig(process=process, network=comparison.network, denoiser=comparison.denoiser, training=settings)
        train(alone, tmp_path / mode, data=seen)
        weights = [load_model(p).plain.module.state_dict() for p in (tmp_path / mode, tmp_path / f"x/{mode}/seed-3")]
        assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    figures = [run["runs"][0]["evaluation"] for run in results["arms"].values()]
    assert figures[0] != figures[1]


@pytest.mark.parametrize(
    ("likeliest", "unsure", "whole"),
    [
        ("spots(at=[[0.13, 0.24]], radius=0.06)", (), "spots(at=((0.13, 0.24),), radius=0.06)"),
        (None, ("spots(at=[[0.13, 0.24]], radius=0.06)",), "spots(at=((0.13, 0.24),), radius=0.06)"),
        ("spots(at=[[0.3, 0.1]], radius=0.06)", (), None),
        ("spots(at=[[0.17, 0.24]], radius=0.03)", (), None),
        (None, (), None),
    ],
)
def test_single_bins_that_are_certain_are_of_the_shape_that_holds_them(likeliest, unsure, whole):
    """A wave that differs from item to item sticks out of one bin for certain, and lies in all around it."""
    x = torch.randn(40, 1, 16, 16, generator=generator(0))

    def shape(band):
        return Finding(Spectrum.parse(band), 10.0, 10.0, 0.1, 0.4, 0.0, 0.0)

    usual = dataclasses.replace(detect(x), findings=(Usual(Spectrum.parse("spots(at=[[0.125, 0.25]])"), 9, 9, 0.1, 1),))
    found = dataclasses.replace(
        find(x),
        findings=(),
        unsure=tuple(map(shape, unsure)),
        likeliest=None if likeliest is None else shape(likeliest),
    )
    band = _whole(found, usual)
    assert (None if band is None else str(band)) == whole


def test_waves_that_differ_are_taken_out_whole(monkeypatch):
    """Where the search of `sagd clean` is not certain of them, and their strongest bin is."""
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    g = generator(3)
    turn = (torch.tensor([0.14, 0.2]) + 0.008 * torch.randn(400, 2, generator=g)).T[..., None, None]
    waves = torch.cos(2 * math.pi * (turn[0] * rows + turn[1] * columns + torch.rand(400, 1, 1, generator=g)))
    smooth = SpectralCovariance(PowerLaw(-1.5), (1, 24, 24)).sample(400, g)
    data = Signals("waves", (0.3 * smooth / smooth.std() + 0.25 * waves[:, None]).float().contiguous())
    searched = search(data.tensor())[0]
    assert searched.findings
    unsure = dataclasses.replace(searched, findings=(), unsure=(), likeliest=searched.findings[0])
    monkeypatch.setattr("sagd.study.cleared.search", lambda *_: (unsure, Scale()))
    found = leaking(detect(data.tensor()), data)
    assert found.found is None
    band = str(searched.findings[0].band)
    assert "radius=0.06755" in band
    assert found.settings == {"mode": "cleaned", "band": band, "log": "no"}
    taken = cleared(OmissionConfig("cleaned"), data)
    assert "radius=0.06755) with confidence" in taken.lines[0]


@pytest.mark.parametrize(
    ("frequency", "level", "ring", "spills"),
    [((0.3, 0.11), 1.0, 0.0, True), ((5 / 32, 7 / 32), 3.0, 0.3, None)],
    ids=["between bins", "on the grid, and noise in a ring"],
)
def test_what_sticks_out_far_from_a_wave_is_its_leak_if_a_taper_takes_it_away(frequency, level, ring, spills):
    g = np.random.default_rng(0)
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32), indexing="ij"))

    def field(weights):
        x = np.fft.ifft2(np.fft.fft2(g.standard_normal((200, 32, 32))) * weights).real
        return x / x.std()

    rows, columns = np.mgrid[:32, :32]
    turns = 2 * math.pi * (frequency[0] * rows + frequency[1] * columns)
    x = field(np.where(f > 0, f.clip(1e-9) ** -1.5, 0)) + ring * field((f > 0.3) & (f < 0.45))
    x = x + math.sqrt(2) * level * np.cos(turns + g.uniform(0, 2 * math.pi, (200, 1, 1)))
    x = torch.tensor(x / np.abs(x).max(), dtype=torch.float32)[:, None]
    usual = detect(x)
    assert (usual.band.weights(usual.basis.frequencies()) > 0).sum() > 50
    found = leaking(usual, Signals("made", x))
    assert (None if found is None else found.spills) == spills
