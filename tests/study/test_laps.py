"""Training in laps, in small: what is written, that a killed one goes on, and what is refused."""

import dataclasses
import math
import shutil

import numpy as np
import pytest
import torch

from sagd.build.schema import RunConfig
from sagd.build.text import from_dict
from sagd.data.config import DataConfig
from sagd.data.corruption import Corruption, generators
from sagd.data.load import load
from sagd.data.signals import Signals
from sagd.errors import CheckpointError, InputError
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.power_law import PowerLaw
from sagd.omission.laps import HeldOut
from sagd.omission.posterior import GaussianPrior, Judged
from sagd.omission.trial import Trial
from sagd.random import generator_for, subset
from sagd.store.files import read_tensors
from sagd.store.model import load_model
from sagd.study.filling import Hidden, doubt_of
from sagd.study.filling import cleaned as cleaned_items
from sagd.study.laps import Course, train_in_laps
from sagd.study.train import train

pytestmark = pytest.mark.usefixtures("undrawn")


def config(laps=2, **omission):
    return from_dict(
        RunConfig,
        {
            "process": {"omission": {"laps": laps, **omission}},
            "network": {"widths": [8]},
            "training": {"steps": 4, "batch_size": 8, "sample_every": 0, "warmup_steps": 2, "precision": "no"},
            "sampling": {"sampler": "dpm_solver", "steps": 3},
        },
    )


def data(text="subsampled(keep=0.6)"):
    x = torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(0)).cumsum(-1).cumsum(-2) / 8
    corruption = None if text is None else Corruption.parse(text)
    return Signals("noise", x.clamp(-1, 1), corruption=corruption)


def test_laps_of_frequencies_of_their_own(tmp_path):
    """Draws keep what is shown, and a run that lost all that came after them goes on to the same model."""
    model = load_model(train_in_laps(config(), tmp_path / "run", data=data()))
    assert model.omission.mode == "none"
    assert model.config.process.omission.laps == 2
    draws = read_tensors(tmp_path / "run/lap-1/draws/draws.safetensors")[0]["x"]
    assert draws.shape == (32, 1, 8, 8)
    shutil.rmtree(tmp_path / "run/lap-1/run/model")
    shutil.rmtree(tmp_path / "run/model")
    shutil.rmtree(tmp_path / "run/lap-2", ignore_errors=True)
    again = load_model(train_in_laps(config(), tmp_path / "run", resume=True, data=data()))
    for one, other in zip(model.plain.parameters(), again.plain.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_given_masks_train_bit_for_bit_as_the_damage_that_drew_them(tmp_path):
    drawn = data()
    missing = drawn.corruption.places((8, 8), generators(0, range(len(drawn))))
    given = Signals("noise", drawn.tensor(), observed=~missing)
    assert torch.equal(given.tensor(), drawn.tensor())
    one, other = (load_model(train_in_laps(config(1), tmp_path / d.name, data=d)) for d in (
        drawn, dataclasses.replace(given, name="given")
    ))  # fmt: skip
    for weights, same in zip(one.plain.parameters(), other.plain.parameters(), strict=True):
        assert torch.equal(weights, same)
    # What items hold beside what was observed counts for nothing.
    again = dataclasses.replace(drawn, corruption=None, observed=~missing)
    assert torch.equal(again.tensor(), drawn.tensor())


def test_masks_in_files_train_bit_for_bit_as_the_damage_that_drew_them(tmp_path):
    """Of the same files, whose values both leave out where nothing was observed."""
    text, files = "subsampled(keep=0.6)", tmp_path / "files"
    files.mkdir()
    missing = Corruption.parse(text).places((8, 8), generators(0, range(40)))
    for k, x in enumerate(data(None).tensor()[:, 0].numpy()):
        np.save(files / f"{k:02d}.npy", x)
        np.save(files / f"{k:02d}.mask.npy", ~missing[k].numpy())
    parameters = []
    for name, told in (("drawn", {"corruption": text}), ("given", {"observed": "mask"})):
        one = dataclasses.replace(config(1), data=DataConfig(str(files), **told))
        parameters.append(load_model(train_in_laps(one, tmp_path / name)).plain.parameters())
    assert all(torch.equal(weights, same) for weights, same in zip(*parameters, strict=True))


def test_laps_of_a_band(tmp_path):
    """From the mode's model on, whose weights lap 1 starts from; outside the band draws are the damaged data."""
    told = config(1, mode="fill", band="ring(low=0.5, high=0.7)", guard="none")
    path = train_in_laps(told, tmp_path / "run", data=data(None))
    model = load_model(path)
    assert not model.process.unseen
    assert (tmp_path / "run/lap-0/model").exists()
    draws = read_tensors(tmp_path / "run/lap-1/draws/draws.safetensors")[0]["x"]
    basis = FourierBasis((8, 8))
    kept = subset(40, 40, generator_for("laps", 0))[8:].sort().values
    shown = mask("ring(low=0.5, high=0.7)", basis) == 0
    one, other = (basis.forward(x)[..., shown] for x in (draws, data(None).subset(kept).tensor()))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("text", "omission", "said"),
    [
        (None, {}, "need a mode"),
        ("hum", {}, "need a mode"),
        ("subsampled(fixed=False)", {}, "fixed=True"),
    ],
)
def test_what_laps_learn_nothing_of_is_refused(tmp_path, text, omission, said):
    with pytest.raises(InputError, match=said):
        train_in_laps(config(**omission), tmp_path / "run", data=data(text))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("observed", "omission", "said"),
    [
        (torch.ones(40, 8, 5), {}, "nothing is hidden"),
        (torch.arange(5).expand(40, 8, 5) < 4, {}, "fewer than 2 of 32 items show 8 of 64 frequencies"),
        (torch.ones(40, 8, 5), {"mode": "fill", "band": "ring(low=0.5, high=0.7)"}, "mode none"),
    ],
)
def test_masks_of_which_laps_learn_nothing_are_refused(tmp_path, observed, omission, said):
    given = dataclasses.replace(data(None), observed=observed.bool())
    with pytest.raises(InputError, match=said):
        train_in_laps(config(**omission), tmp_path / "run", data=given)
    assert not (tmp_path / "run").exists()


def test_one_training_does_not_leave_laps_out_in_silence(tmp_path):
    with pytest.raises(InputError, match="this is one training"):
        train(config(), tmp_path / "run", data=data())


def test_a_coefficient_that_no_image_shows_is_refused(tmp_path):
    """Of two images that lack the same ring nothing is known there."""
    y = torch.randn(4, 1, 8, generator=torch.Generator().manual_seed(0))
    noise = torch.zeros(4, 1, 5)
    noise[..., 2] = torch.inf
    with pytest.raises(InputError, match="1 of 5 coefficients"):
        GaussianPrior.measured(y, noise, FourierBasis((8,)))


def test_the_gaussian_prior_is_without_bias():
    """Mean and power of 20,000 stationary signals of which each lacks its own frequencies, and has noise elsewhere."""
    basis, g = FourierBasis((8,)), torch.Generator().manual_seed(0)
    spectrum = torch.tensor([4.0, 2.0, 1.0, 0.5, 0.25], dtype=torch.float64)
    x = basis.inverse(spectrum.sqrt() * basis.forward(torch.randn(20_000, 1, 8, generator=g, dtype=torch.float64))) + 1
    noise = torch.where(torch.rand(20_000, 1, 5, generator=g) < 0.5, torch.inf, 0.5).double()
    y = x + basis.inverse(0.5**0.5 * basis.forward(torch.randn(20_000, 1, 8, generator=g, dtype=torch.float64)))
    prior = GaussianPrior.measured(y, noise, basis)
    torch.testing.assert_close(prior.spectrum[0], spectrum, rtol=0.06, atol=0.02)
    torch.testing.assert_close(prior.statistics.mean, torch.ones(1, 8, dtype=torch.float64), atol=0.06, rtol=0)
    drawn = prior.draw(y, noise)
    torch.testing.assert_close(basis.forward(drawn - 1).abs().square().mean((0, 1)), spectrum, rtol=0.08, atol=0.02)
    assert dataclasses.replace(prior).basis == basis


WAVE = "fringes(waves=1, low=0.2, high=0.3, bend=0, vary=0, spread=0.002, level=0.3)"


def cleaned(laps, **omission):
    band = str(Corruption.parse(WAVE).band((16, 16), 0))
    return config(laps, mode="cleaned", band=band, **omission)


def waves(count=60):
    x = torch.randn(count, 1, 16, 16, generator=torch.Generator().manual_seed(0)).cumsum(-1).cumsum(-2) / 16
    return Signals("waves", x.clamp(-1, 1), corruption=Corruption.parse(WAVE))


def test_laps_from_cleaned_items_draw_by_the_measured_damage(tmp_path, caplog):
    """All of an item is shown, under noise that the draws of each lap say anew; a run that lost a lap goes on."""
    caplog.set_level("INFO")
    course = Course(cleaned(2), waves(), tmp_path / "run")
    model = load_model(train_in_laps(cleaned(2), tmp_path / "run", data=waves()))
    assert Hidden.of(model) == Hidden(str(course.mode.place))
    assert "lap 0: " in caplog.text
    assert "gained on lap 0" in caplog.text
    y, x = (part.tensor() for part in (course.parts[0], course.drawn_in(1)))
    assert course.measured.shape == (1, 1, 16, 9)
    assert course.measured.isfinite().all()
    assert (course.out / "start").is_dir()
    torch.testing.assert_close(course.expected(0), course.measured if course.left is None else course.left)
    shown = course.shown(course.parts[0], torch.arange(len(y)))
    rest = FourierBasis((16, 16)).forward((shown - x).double()).abs().square().mean(0)[None]
    torch.testing.assert_close(course.expected(1), rest)
    assert float(rest.sum()) > 0
    # The alarm is of the band, which is not hidden.
    assert float(course.judged(0, course.first).power) > 0
    shutil.rmtree(tmp_path / "run/model")
    shutil.rmtree(tmp_path / "run/lap-1/run/model")
    shutil.rmtree(tmp_path / "run/lap-2", ignore_errors=True)
    again = load_model(train_in_laps(cleaned(2), tmp_path / "run", resume=True, data=waves()))
    for one, other in zip(model.plain.parameters(), again.plain.parameters(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("spectrum", "basis"), [("flat", "cosine"), ("power_law(alpha=-0.1)", "fourier")])
def test_models_of_laps_know_that_items_have_ends(tmp_path, spectrum, basis):
    """In the Fourier basis windows of a record have a jump at their ends, at which samples shoot up; but the noise has
    to be diagonal there."""
    told = cleaned(1)
    told = dataclasses.replace(told, process=dataclasses.replace(told.process, spectrum=spectrum))
    course = Course(told, waves(), tmp_path / "run")
    train_in_laps(told, tmp_path / "run", data=waves())
    assert course.first.statistics.basis.kind == basis
    assert load_model(tmp_path / "run/lap-1/run").statistics.basis.kind == basis


def test_models_of_laps_of_masks_keep_one_basis(tmp_path):
    train_in_laps(config(1), tmp_path / "run", data=data())
    course = Course(config(2), data(), tmp_path / "run")
    first = load_model(tmp_path / "run/lap-1/run")
    whole = dataclasses.replace(course.drawn_in(1), stored=data(None).tensor())
    second = course.trained(2, whole, first)
    assert [model.config.process.basis for model in (first, second)] == ["fourier", "fourier"]
    assert Course(config(2), data(), tmp_path / "other").trained(1, whole, None).config.process.basis == "cosine"


def test_laps_go_on_in_the_basis_that_they_were_begun_in(tmp_path):
    """As of versions that took Fourier whatever basis was named."""
    told, out = cleaned(1), tmp_path / "run"
    told = dataclasses.replace(told, process=dataclasses.replace(told.process, basis="cosine"))
    course = Course(told, waves(), out)
    out.mkdir()
    course.begin()
    omission = dataclasses.replace(told.process.omission, laps=0)
    process = dataclasses.replace(told.process, basis="fourier", omission=omission)
    train(dataclasses.replace(told, process=process), out / "lap-0", data=course.learnt)
    shutil.rmtree(out / "lap-0/model")
    train_in_laps(told, out, resume=True, data=waves())
    assert [load_model(out / name).statistics.basis.kind for name in ("lap-0", "lap-1/run")] == ["fourier"] * 2
    # One that begins is in the basis that is named.
    shutil.rmtree(out / "lap-0")
    assert Course(told, waves(), out).first.statistics.basis.kind == "cosine"


def test_laps_from_cleaned_colours_that_noise_sees_decorrelated(tmp_path):
    """Damage is measured in channels as they are, whatever basis the noise has."""
    x = torch.cat([waves().stored, 0.5 * waves().stored, -waves().stored.flip(0)], 1)
    told = cleaned(1)
    told = dataclasses.replace(told, process=dataclasses.replace(told.process, channels="decorrelated"))
    course = Course(told, dataclasses.replace(waves(), stored=x), tmp_path / "run")
    train_in_laps(told, tmp_path / "run", data=course.data)
    assert course.first.statistics.basis.channels is not None
    assert course.expected(0).shape == (1, 3, 16, 9)


@pytest.mark.parametrize("from_cleaned", [False, True])
def test_laps_start_from_what_is_nearer_in_a_trial(from_cleaned, tmp_path, monkeypatch):
    """From items as they are, under the measured damage; or cleaned, under what cleaning is wrong by."""
    course = Course(cleaned(1), waves(), tmp_path / "run")
    monkeypatch.setattr(Trial, "from_cleaned", property(lambda trial: from_cleaned))
    y = course.parts[0].tensor()
    shown = course.shown(course.parts[0], torch.arange(len(y)))
    inside = mask(course.mode.place, course.basis) > 0
    z = cleaned_items(y, course.removal, course.first)
    torch.testing.assert_close(shown, course.left.shown(z) if from_cleaned else y)
    assert (course.left is not None) == from_cleaned
    power = course.expected(0)
    assert (power is not course.measured) == from_cleaned
    assert not from_cleaned or not power[..., ~inside].any()
    course.begin()
    with pytest.raises(CheckpointError, match="is a training in laps that is not finished; go on with it"):
        load_model(tmp_path / "run")
    # What was found is kept, whatever a trial would say now.
    monkeypatch.setattr(Trial, "from_cleaned", property(lambda trial: not from_cleaned))
    again = Course(cleaned(1), waves(), tmp_path / "run")
    torch.testing.assert_close(again.expected(0), power)
    # A training of before there were trials goes on as it was.
    shutil.rmtree(tmp_path / "run/start")
    (tmp_path / "run/lap-1/draws").mkdir(parents=True)
    assert Course(cleaned(1), waves(), tmp_path / "run").left is None


def test_cleaned_items_are_judged_by_what_damaged_ones_show():
    """Of draws that have the hole which cleaning leaves, a cleaned item would know no better."""
    y = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    noise, mean, basis = torch.ones(1, 1, 8, 5), torch.zeros(1, 8, 8), FourierBasis((8, 8))
    given = []

    def draw(x, n, number):
        given.append(x)
        return torch.zeros_like(x)

    found = HeldOut(y, noise, mean, basis, None, False, torch.zeros_like(y)).judge(draw)
    assert not given[0].any()
    assert found.error == pytest.approx(1, rel=1e-6)


def test_laps_from_cleaned_items_without_damage_end_at_once(tmp_path, caplog):
    plain = dataclasses.replace(waves(), corruption=None)
    model = load_model(train_in_laps(cleaned(2), tmp_path / "run", data=plain))
    assert model.omission.mode == "cleaned"
    assert "no laps: nothing of the damage stands out of the data; the model is that of lap 0" in caplog.text
    assert not (tmp_path / "run/lap-1").exists()
    assert Hidden.of(model) == Hidden(str(Spectrum.parse(cleaned(2).process.omission.band)))
    assert doubt_of(model) == "no lap of this model was kept"
    first = load_model(tmp_path / "run/lap-0")
    assert doubt_of(first) == "the model learnt from damaged data, without laps"


def test_laps_from_cleaned_items_know_what_is_no_noise(tmp_path, caplog):
    """Damage that was found to multiply when lap 0 was prepared."""
    model = load_model(train(cleaned(0), tmp_path / "run", data=waves()))
    course = Course(cleaned(1), waves(), tmp_path / "run")
    course.__dict__["first"] = dataclasses.replace(model, omission=dataclasses.replace(model.omission, log="yes"))
    assert course.run(1) is course.first
    assert "no laps: the damage multiplies the values" in caplog.text


def test_dead_lines_are_refused_before_lap_0_is_trained(tmp_path):
    lines = waves().tensor()
    lines[..., 5] = -0.8
    with pytest.raises(InputError, match="items have dead lines in common; interpolate them before"):
        train_in_laps(cleaned(1), tmp_path / "items", data=Signals("waves", lines))
    field = steep((160, 128))
    field[:, 50] = -wave((160, 128))[:, 50]  # which is added
    with pytest.raises(InputError, match="files have dead lines; interpolate them before"):
        train_in_laps(of_files(), tmp_path / "files", data=cut(tmp_path / "x", [field]))
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_training_that_is_refused_leaves_nothing(tmp_path):
    noise = Signals("noise", torch.randn(60, 1, 16, 16, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(InputError, match="no damaged band found"):
        train_in_laps(config(1, mode="cleaned"), tmp_path / "run", data=noise)
    assert not (tmp_path / "run").exists()


def test_a_training_that_is_gone_on_with_and_refused_stays_as_it_was(tmp_path):
    noise = Signals("noise", torch.randn(60, 1, 16, 16, generator=torch.Generator().manual_seed(0)))
    told, out = config(1, mode="cleaned"), tmp_path / "run"
    out.mkdir()
    Course(told, noise, out).begin()  # and was killed
    kept = (out / "laps.yaml").read_bytes()
    with pytest.raises(InputError, match="no damaged band found"):
        train_in_laps(told, out, resume=True, data=noise)
    assert [path.name for path in out.iterdir()] == ["laps.yaml"]
    assert (out / "laps.yaml").read_bytes() == kept


def test_laps_of_damage_that_multiplies_are_refused(tmp_path):
    with pytest.raises(InputError, match="multiplies"):
        train_in_laps(cleaned(1, log="yes"), tmp_path / "run", data=waves())
    assert not (tmp_path / "run").exists()


SPOT = (0.1237, 0.1443)


def of_files(laps=1, band=f"spots(at=[{[*SPOT]}], radius=0.01)", **omission):
    return config(laps, mode="cleaned", band=band, **omission)


def steep(spatial, seed=0):
    """A Gaussian field of a photograph's spectrum, of standard deviation 1."""
    x = SpectralCovariance(PowerLaw(-0.8), (1, *spatial)).sample(1, torch.Generator().manual_seed(seed))[0, 0].double()
    return x / x.std()


def wave(spatial, f=SPOT):
    places = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in spatial), indexing="ij")
    return torch.cos(2 * math.pi * sum(k * place for k, place in zip(f, places, strict=False)) + 0.4)


def cut(folder, arrays, size=16, **settings):
    """Windows of files under a wave between bins; and of the same places the clean ones, as models see them."""
    folder.mkdir()
    for k, array in enumerate(arrays):
        np.save(folder / f"{k}.npy", (array + wave(array.shape)).numpy().astype(np.float32))
    axes = "ZYX"[-arrays[0].ndim :] if arrays[0].ndim > 1 else "T"
    kind = {1: "series", 2: "field", 3: "volume"}[arrays[0].ndim]
    settings = {"fit": "crop", "kind": kind, "axes": axes, **settings}
    return load(DataConfig(str(folder), size=size, **settings))


@pytest.mark.parametrize("fit", ["crop", "tile"])
def test_laps_of_windows_of_one_file(tmp_path, caplog, fit):
    """Damaged ones and cleaned ones are at the same places, and laps are judged on others."""
    caplog.set_level("INFO")
    field = steep((160, 128))
    data = cut(tmp_path / "x", [field], fit=fit)
    model = load_model(train_in_laps(of_files(), tmp_path / "run", data=data))
    assert model.config.process.omission.mode == "cleaned"
    assert "laps learn from 280 windows of 16 x 16 at random places of 1 field, and are judged on 8" in caplog.text
    course = Course(of_files(), data, tmp_path / "run")
    kept, apart = course.parts
    assert course.drawn_in(1).tensor().shape == (280, 1, 16, 16) == kept.tensor().shape
    assert course.drawn_in(1).cut is None
    assert course.learnt.stored.roams == (fit == "crop")
    rows = [part.stored.origin[:, 0] for part in (course.learnt, kept, apart)]
    assert int(course.learnt.stored.origin[course.learnt.rows][:, 0].max()) + 16 <= 140
    assert int(rows[1].max()) + 16 <= 140 == int(rows[2].min())
    assert course.learnt.stored.arrays[0].shape == (1, 140, 128)
    # All of the wave is gone from windows of the cleaned file, and little else.
    for part in (kept, apart):
        every = torch.arange(len(part))
        clean = dataclasses.replace(part.stored, arrays=(data.meaning.to_model(field[None].float()),))[every]
        damaged, after = (
            float((x - clean).square().mean()) for x in (part.tensor(), course.files.windows(part, every))
        )
        assert after < 0.02 * damaged


@pytest.mark.parametrize("from_cleaned", [False, True])
def test_laps_of_windows_start_from_what_is_nearer_in_a_trial(from_cleaned, tmp_path, monkeypatch):
    """From damaged windows, or from those of cleaned files under what cleaning is wrong by there."""
    course = Course(of_files(), cut(tmp_path / "x", [steep((160, 128))]), tmp_path / "run")
    monkeypatch.setattr(Trial, "from_cleaned", property(lambda trial: from_cleaned))
    for part in course.parts:
        some = torch.arange(7)
        shown, cleaned = course.shown(part, some), course.files.windows(part, some)
        torch.testing.assert_close(shown, course.left.shown(cleaned) if from_cleaned else part.batch(some)[0])
    assert (course.left is not None) == from_cleaned
    power = float(course.expected(0).sum()) / float(course.measured.sum())
    assert power < 0.02 if from_cleaned else power == 1


def test_windows_that_are_damaged_as_they_are_read_are_refused(tmp_path):
    damaged = dataclasses.replace(cut(tmp_path / "x", [steep((160, 128))]), corruption=Corruption.parse("hum"))
    with pytest.raises(InputError, match=r"data.corruption damages each window by itself; damage the files with"):
        train_in_laps(of_files(), tmp_path / "run", data=damaged)
    assert not (tmp_path / "run").exists()


def test_damage_in_windows_has_the_power_that_is_in_them(tmp_path):
    """With leaks beside the bins of windows, of which none lies in the band; and so has what cleaning is wrong by."""
    field = steep((160, 128))
    data = cut(tmp_path / "x", [field])
    course = Course(of_files(), data, tmp_path / "run")
    kept, basis = course.parts[0], course.basis
    with pytest.raises(InputError, match="holds none of the frequencies of 16 x 16"):
        mask(course.mode.place, basis)
    clean = dataclasses.replace(kept.stored, arrays=(data.meaning.to_model(field[None].float()),))[torch.arange(280)]
    true = basis.forward((kept.tensor() - clean).double()).abs().square().mean(0)
    found = course.measured[0]
    near = true > 0.003 * true.max()
    assert int(near.sum()) > 9
    assert float((found.log() - true.log())[near].abs().max()) < 0.7
    assert float((found * basis.multiplicity()).sum()) == pytest.approx(
        float((true * basis.multiplicity()).sum()), rel=0.1
    )
    wrong = course.files.windows(kept, torch.arange(280)) - clean
    trial = course.files.tried(kept, course.measured, torch.arange(4), lambda y, noise: y)
    left = float(basis.inverse(trial.left.noise[0].sqrt()).square().sum())
    assert left == pytest.approx(float(wrong.square().sum() / 280), rel=0.5)
    assert float(trial.errors["clean"].mean()) == pytest.approx(left / 256, rel=1)


def test_draws_of_windows_have_the_power_of_clean_ones_in_the_band(tmp_path):
    """Damaged windows hold 25 times as much, in the bins beside the wave."""
    field = steep((160, 128))
    data = cut(tmp_path / "x", [field])
    train_in_laps(of_files(), tmp_path / "run", data=data)
    course = Course(of_files(), data, tmp_path / "run")
    kept, basis = course.parts[0], course.basis
    clean = dataclasses.replace(kept.stored, arrays=(data.meaning.to_model(field[None].float()),))[torch.arange(280)]
    inside = mask(course.place, basis) > 0
    true, damaged, drawn = (
        float(basis.forward(x.double()).abs().square()[..., inside].mean())
        for x in (clean, kept.tensor(), course.drawn_in(1).tensor())
    )
    assert damaged > 20 * true
    assert drawn == pytest.approx(true, rel=0.15)


def test_laps_of_windows_of_records_with_labels(tmp_path):
    arrays = [steep((4096,), k) for k in range(2)]
    data = cut(tmp_path / "x", arrays, 64)
    labels = data.stored.number.flip(0) * 0 + (1 - data.stored.number)
    data = dataclasses.replace(data, labels=labels, classes=("a", "b"))
    told = of_files(band="spots(at=[[0.1237]], radius=0.005)")
    course = Course(told, data, tmp_path / "run")
    train_in_laps(told, tmp_path / "run", data=data)
    kept, apart = course.parts
    assert len(kept) == round(4 * 2 * 3584 / 64)
    assert len(apart) == 16
    assert torch.equal(kept.labels, 1 - kept.stored.number)
    assert course.drawn_in(1).shape == (1, 64)
    assert torch.equal(course.drawn_in(1).labels, kept.labels)


def test_laps_of_windows_go_on_to_the_same_bits(tmp_path):
    data = cut(tmp_path / "x", [steep((160, 128))])
    model = load_model(train_in_laps(of_files(2), tmp_path / "run", data=data))
    shutil.rmtree(tmp_path / "run/model")
    shutil.rmtree(tmp_path / "run/lap-1/judged")
    shutil.rmtree(tmp_path / "run/lap-1/run/model")
    shutil.rmtree(tmp_path / "run/lap-2", ignore_errors=True)
    again = load_model(train_in_laps(of_files(2), tmp_path / "run", resume=True, data=data))
    assert all(torch.equal(*both) for both in zip(model.plain.parameters(), again.plain.parameters(), strict=True))


def test_parts_of_volumes(tmp_path):
    """In the third that is set apart along the longest axis there are nine windows side by side."""
    data = cut(tmp_path / "x", [steep((48, 64, 48)), steep((16, 16, 31))])
    kept, apart = Course(of_files(), data, tmp_path / "run").parts
    assert kept.shape == apart.shape == (1, 16, 16, 16)
    assert len(kept) == round(4 * (48 * 48 * 48 + 16 * 16 * 31) / 16**3)
    assert len(apart) == 9
    assert not apart.stored.number.any()
    assert (apart.stored.origin[:, 1] == 48).all()
    assert int(kept.stored.origin[kept.stored.number == 0][:, 1].max()) + 16 <= 48


@pytest.mark.parametrize(
    ("spatial", "omission", "said"),
    [
        ((160, 128), {"mode": "fill", "band": "ring(low=0.2, high=0.3)"}, "mode.cleaned, got 'fill'; take that"),
        ((160, 128), {}, "mode.cleaned, got 'none'; take that"),
        ((160, 64), {"mode": "cleaned"}, "there are 4 of 16 x 16 in 1 field, at least 8 are needed; give more"),
        ((48, 48), {"mode": "cleaned"}, "there are 3 of 16 x 16 in 1 field"),
        ((31, 30), {"mode": "cleaned"}, "there are 0 of 16 x 16 in 1 field"),
    ],
)
def test_windows_of_which_laps_learn_nothing_are_refused(tmp_path, spatial, omission, said):
    data = cut(tmp_path / "x", [steep(spatial)])
    with pytest.raises(InputError, match=said):
        train_in_laps(config(**omission), tmp_path / "run", data=data)
    assert not (tmp_path / "run").exists()


def test_windows_of_which_laps_learn_what_is_not_so_are_told(tmp_path, caplog):
    """Windows that leave nothing beside the band."""
    field = steep((160, 128)) + wave((160, 128))
    wide = of_files(band="ring(low=0.1, high=0.95)")
    train_in_laps(wide, tmp_path / "wide", data=cut(tmp_path / "y", [field]))
    assert "no laps: windows of 16 x 16 leave too little beside" in caplog.text


def test_which_lap_is_trained_and_how_long_all_take_is_told(tmp_path, caplog, monkeypatch):
    """By a clock of a minute each time that it is asked."""
    now = iter(range(0, 10**6, 60))
    caplog.set_level("INFO")
    monkeypatch.setattr("sagd.study.laps.monotonic", lambda: float(next(now)))
    monkeypatch.setattr("sagd.study.laps.gains", lambda lap, best, banded=True: True)
    train_in_laps(cleaned(2), tmp_path / "run", data=waves())
    lines = [record.getMessage() for record in caplog.records if record.name == "sagd.study.laps"]
    told = [line for line in lines if "training on" in line or " take" in line]
    # A training takes a minute, and so do the 16 draws by which lap 0 is judged, and the 52 of a lap; it has 68 in all.
    assert told == [
        "lap 0 of 2: training on 52 images",
        "laps 1 to 2 take about 10 min 30 s at most: they end when nothing is gained",
        "lap 1 of 2: training on 52 images",
        "lap 2 of 2 takes about 2 min 19 s",
        "lap 2 of 2: training on 52 images",
    ]


def test_how_long_laps_take_is_told_without_drawing_before_any(tmp_path, caplog):
    caplog.set_level("INFO")
    course = Course(config(3), data(), tmp_path)
    course._say_left(1)
    course.pace.training = 100.0
    course._say_left(2)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == "laps 2 to 3 take about 3 min 20 s at most, drawing left out: they end when nothing is gained"


def test_laps_go_on_with_their_own_settings_alone(tmp_path):
    train_in_laps(config(1), tmp_path / "run", data=data())
    train_in_laps(config(2), tmp_path / "run", resume=True, data=data())
    other = dataclasses.replace(config(2), data=DataConfig(source="digits", observed="mask", observed_order="centred"))
    with pytest.raises(InputError, match=r"observed is 'mask', .* but the training in laps in .* was started with"):
        train_in_laps(other, tmp_path / "run", resume=True, data=data())
    many = from_dict(RunConfig, {"process": {"omission": {"laps": 1}}, "training": {"batch_size": 64}})
    with pytest.raises(InputError, match=r"training\.batch_size is 64, and laps train on 32 of 40 items"):
        train_in_laps(many, tmp_path / "new", data=data())
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("power", "said"), [(3.0, "more of the damage is drawn back"), (1.0, "nothing is gained any")])
def test_why_laps_end_is_told(tmp_path, caplog, monkeypatch, power, said):
    """By the alarm though held-out data is predicted better, or as nothing is gained."""
    caplog.set_level("INFO")
    errors = torch.linspace(0.9, 1.1, 8)
    worth = {0: Judged(errors, 1.0), 1: Judged(errors - (0.5 if power > 1 else 0), power)}
    monkeypatch.setattr(Course, "judged", lambda self, number, model: worth[number])
    model = load_model(train_in_laps(cleaned(2), tmp_path / "run", data=waves()))
    assert model.omission.mode == "cleaned"
    assert said in caplog.text
    assert "the model is that of lap 0" in caplog.text
