"""Models of whole items on arrays larger than they are, in one, two and three dimensions."""

import dataclasses
import logging
import math
import re

import numpy as np
import pytest
import torch

import sagd
from sagd.build.schema import OmissionConfig, RunConfig, SamplingConfig
from sagd.cli import main
from sagd.counting import Count
from sagd.data.config import DataConfig
from sagd.errors import InputError
from sagd.model.condition import Condition
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.power_law import PowerLaw
from sagd.omission.posterior import posterior
from sagd.omission.trial import CLEAN, CLEANED, DAMAGED
from sagd.store.model import load_model
from sagd.study.filling import DRAWS, TRYING
from sagd.study.train import train
from sagd.study.wholes import restore_wholes
from sagd.study.windowed import Piece, restorer_of

pytestmark = pytest.mark.usefixtures("undrawn")

KINDS = {
    1: ("series", "T", (640,), "spots(at=[[0.1237]], radius=0.006)", 0.1237),
    2: ("field", "YX", (40, 48), "spots(at=[[0, 0.1443]], radius=0.04)", 0.1443),
    3: ("volume", "ZYX", (8, 8, 24), "spots(at=[[0, 0, 0.1443]], radius=0.06)", 0.1443),
}
SIZE = {1: 64, 2: 16, 3: 8}


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    """Draws add up what a network that was hardly trained is wrong by."""
    monkeypatch.setitem(posterior.__kwdefaults__, "steps", 2)


@pytest.fixture(scope="module")
def trained(comparison, tmp_path_factory):
    """A folder with files, clean and under a wave between bins, and a model of clean windows, by number of axes.

    After two steps the network says next to nothing, and the model is that of a Gaussian of the data's spectrum.
    """
    made = {}

    def of(rank):
        if rank not in made:
            folder = tmp_path_factory.mktemp(f"rank{rank}")
            kind, axes, spatial, _, f = KINDS[rank]
            for name in ("clean", "damaged"):
                (folder / name).mkdir()
            for k in range(2):
                x = SpectralCovariance(PowerLaw(-0.8), (1, *spatial)).sample(1, torch.Generator().manual_seed(k))[0, 0]
                y = x + 1.5 * torch.cos(2 * math.pi * f * torch.arange(spatial[-1]) + 0.4 + k)
                for name, z in (("clean", x), ("damaged", y)):
                    np.save(folder / name / f"{k}.npy", 7 + 3 * z.numpy().astype(np.float32))
            config = RunConfig(
                DataConfig(str(folder / "clean"), kind=kind, axes=axes, fit="crop", size=SIZE[rank]),
                network=comparison.network,
                training=dataclasses.replace(comparison.training, steps=2, batch_size=4),
                sampling=SamplingConfig(sampler="dpm_solver", steps=2),
            )
            made[rank] = folder, load_model(train(config, folder / "run"))
        return made[rank]

    return of


def error(folder, out):
    """Of restored files, over that of the damaged ones."""
    squares = []
    for path in (out, folder / "damaged"):
        clean = [np.load(folder / "clean" / f"{k}.npy").astype(float) for k in range(2)]
        squares.append(sum(((np.load(path / f"{k}.npy") - x) ** 2).mean() for k, x in enumerate(clean)))
    return squares[0] / squares[1]


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_files_larger_than_the_model_are_restored(trained, tmp_path, rank):
    folder, model = trained(rank)
    band = KINDS[rank][3]
    result = restore_wholes(model, [folder / "damaged"], tmp_path, folder / "clean", take="network", band=band)
    assert len(result.sides.tried["network"]) == len(result.sides.tried["clean"]) == 4  # two files, two kinds of damage
    assert result.shown.method.kind == "posterior mean"
    # Figures are those of the files.
    damaged, network = (sum(result.sides.errors[way]) for way in ("damaged", "network"))
    assert network / damaged == pytest.approx(error(folder, tmp_path), rel=1e-3)
    assert network < 0.12 * damaged
    # What a Gaussian knows of windows is not nearer for certain than the gain of whole files, and the trial says so.
    if rank < 3:
        best = restore_wholes(model, [folder / "damaged"], tmp_path / "best", band=band)
        assert best.sides.taken != "network"


def test_nothing_changes_outside_of_the_band(trained, tmp_path):
    """Nor beside it but for what the damage leaks there in windows, which falls as the square of the distance."""
    folder, model = trained(1)
    restore_wholes(model, [folder / "damaged"], tmp_path, take="network", band=KINDS[1][3])
    change = np.load(tmp_path / "0.npy").astype(float) - np.load(folder / "damaged" / "0.npy")
    power = np.abs(np.fft.rfft(change * np.hanning(len(change)))) ** 2
    away = np.abs(np.fft.rfftfreq(len(change)) - KINDS[1][4]) > 0.05
    assert power[away].sum() < 0.01 * power.sum()


def test_arrays_in_memory_are_restored_likewise(trained, tmp_path):
    folder, model = trained(2)
    y = torch.from_numpy(np.load(folder / "damaged" / "0.npy"))[None]
    x = model.meaning.to_model(y)[None]
    found = sagd.Model(model).restore(x, band=KINDS[2][3]).images
    clean = model.meaning.to_model(torch.from_numpy(np.load(folder / "clean" / "0.npy"))[None])[None]
    assert found.shape == x.shape
    assert float((found - clean).square().mean()) < 0.12 * float((x - clean).square().mean())


def test_each_file_has_damage_of_its_own_strength(trained, tmp_path, monkeypatch):
    """Whatever others hold, and though trials are made on the first ones."""
    monkeypatch.setattr("sagd.study.wholes.TRIED", 1)
    folder, model = trained(2)
    (tmp_path / "in").mkdir()
    damaged = np.load(folder / "damaged" / "0.npy")
    for name, y in (("a", 0 * damaged + 7), ("b", damaged), ("c", 7 + (damaged - 7) / 10)):
        np.save(tmp_path / "in" / f"{name}.npy", y)
    result = restore_wholes(model, [tmp_path / "in"], tmp_path / "all", take="network", band=KINDS[2][3])
    alone = restore_wholes(model, [tmp_path / "in" / "b.npy"], tmp_path / "one", take="network", band=KINDS[2][3])
    clean = np.load(folder / "clean" / "0.npy")
    for name in ("all", "one"):
        restored = np.load(tmp_path / name / "b.npy")
        assert ((restored - clean) ** 2).mean() < 0.12 * ((damaged - clean) ** 2).mean()
    np.testing.assert_allclose(np.load(tmp_path / "all" / "a.npy"), 7, atol=1e-5)
    assert any(note.startswith("a.npy: nothing varies") for note in result.notes)
    assert len(alone.notes) == 1
    assert re.match(r"b.npy: \d+ % of the power in spots.* stands out", alone.notes[0])


def test_files_of_which_nothing_stands_out_are_told(trained, tmp_path):
    folder, model = trained(2)
    result = restore_wholes(model, [folder / "clean"], tmp_path / "out", take="clean", band=KINDS[2][3])
    said = "nothing of a damage stands out of the band in the whole file for certain, and cleaning leaves it as it is"
    assert result.notes == (f"0.npy: {said}", f"1.npy: {said}")
    damaged = restore_wholes(model, [folder / "damaged"], tmp_path / "damaged", take="clean", band=KINDS[2][3])
    assert not damaged.notes


def test_a_file_that_cannot_be_tried_stops_no_other(trained, tmp_path):
    folder, model = trained(2)
    (tmp_path / "in").mkdir()
    damaged = np.load(folder / "damaged" / "0.npy")
    for name, y in (("a", np.nan * damaged), ("b", damaged)):
        np.save(tmp_path / "in" / f"{name}.npy", y)
    result = restore_wholes(model, [tmp_path / "in"], tmp_path / "out", band=KINDS[2][3])
    assert list(result.failed) == ["a.npy"]
    assert (tmp_path / "out" / "b.npy").exists()


def test_the_size_of_batches_changes_nothing(trained):
    folder, model = trained(2)
    x = model.meaning.to_model(torch.from_numpy(np.load(folder / "damaged" / "0.npy"))[None])[None]
    one, two = (sagd.Model(model).restore(x, band=KINDS[2][3], batch_size=n).images for n in (11, 64))
    torch.testing.assert_close(one, two, atol=1e-4, rtol=0)


def test_cleaning_is_tried_as_arrays_are_cleaned(trained, caplog):
    """As wholes, not window by window: of a wave that a whole shows as a line, next to nothing is left."""
    caplog.set_level(logging.INFO)
    folder, model = trained(2)
    y = model.meaning.to_model(torch.from_numpy(np.load(folder / "damaged" / "0.npy"))[None])
    band = Spectrum.parse(KINDS[2][3])
    taken = y - model.meaning.to_model(torch.from_numpy(np.load(folder / "clean" / "0.npy"))[None])
    own = restorer_of(model, KINDS[2][3], [Piece(y, taken, band)], Condition())
    assert own.trial is not None
    damage = float(taken.square().mean())
    assert own.trial.mean(CLEAN) < 0.1 * damage
    assert own.trial.mean(CLEANED) < 2 * own.trial.mean(CLEAN)
    assert own.trial.mean(DAMAGED) < damage
    assert ("the network is given cleaned items" in caplog.text) == own.trial.from_cleaned


def test_trials_are_as_large_as_the_middle_of_large_arrays(trained, monkeypatch):
    """Of small ones nothing is left out. What network and cleaning are wrong by is of the same size in the middle."""
    _, model = trained(2)
    x = SpectralCovariance(PowerLaw(-0.8), (1, 160, 160)).sample(1, torch.Generator().manual_seed(5))[0]
    wave = 1.5 * torch.cos(2 * math.pi * KINDS[2][4] * torch.arange(160.0)).expand(1, 160, 160)
    y, truth = (model.meaning.to_model(7 + 3 * z) for z in (x + wave, x))
    drawn, found = [], []
    for most in (441, 81):
        monkeypatch.setattr("sagd.study.windowed._DRAWN", most)
        count = []  # of the draws alone
        monkeypatch.setattr(Count, "done", lambda c, n=1, to=count: to.append(n if c._task == TRYING else 0))
        own = restorer_of(model, KINDS[2][3], [Piece(y, y - truth, Spectrum.parse(KINDS[2][3]))], Condition())
        drawn.append(sum(count))
        found.append(own.trial)
    assert drawn == [2 * most + 2 * 32 * DRAWS for most in (441, 81)]
    assert found[0].from_cleaned == found[1].from_cleaned
    for way in (CLEAN, CLEANED, DAMAGED):
        assert 0.5 < found[1].mean(way) / found[0].mean(way) < 2


def test_what_takes_long_names_what_is_fast(trained, tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("sagd.study.wholes._MANY", 83)
    folder, model = trained(2)
    line = "the network restores 84 windows by draws, which may take long: take clean needs none"
    for take, said in (("best", True), ("network", False), ("clean", False)):
        caplog.clear()
        restore_wholes(model, [folder / "damaged"], tmp_path / take, take=take, band=KINDS[2][3])
        assert (line in caplog.messages) == said


def test_the_command_restores_them(trained, tmp_path, capsys):
    folder, _ = trained(2)
    damaged = str(folder / "damaged")
    main(["restore", str(folder / "run"), damaged, "--band", KINDS[2][3], "--out", str(tmp_path / "out")])
    assert "trials on draws of the model" in capsys.readouterr().out
    assert (tmp_path / "out/fields/1.npy").exists()
    assert "nothing of the result as computed changed" in (tmp_path / "out/report.html").read_text()  # cleaned
    network = ["restore", str(folder / "run"), damaged, "--band", KINDS[2][3], "--take", "network"]
    main([*network, "--out", str(tmp_path / "network")])
    assert "What leaks beside it was taken out as well." in (tmp_path / "network/report.html").read_text()


def test_what_is_taken_without_the_network_does_not_ask_it(trained, tmp_path, monkeypatch):
    folder, model = trained(2)
    monkeypatch.setattr("sagd.study.windowed.fill", lambda *_: pytest.fail("the network was asked"))
    for take in ("clean", "removal"):
        result = restore_wholes(model, [folder / "damaged"], tmp_path / take, take=take, band=KINDS[2][3])
        assert result.sides.ways == ("clean", "removal")
        assert result.sides.line() == f"took {take}, as asked"


def test_a_network_that_is_not_believed_is_not_run(trained, tmp_path, monkeypatch):
    """Of a model of which no lap was kept, unless clean files tell."""
    folder, model = trained(2)
    own = dataclasses.replace(model, omission=OmissionConfig("cleaned", KINDS[2][3]))
    known = restore_wholes(own, [folder / "damaged"], tmp_path / "known", folder / "clean", band=KINDS[2][3])
    assert known.sides.ways == ("network", "clean", "removal")
    monkeypatch.setattr("sagd.study.windowed.fill", lambda *_: pytest.fail("the network was asked"))
    result = restore_wholes(own, [folder / "damaged"], tmp_path / "out", band=KINDS[2][3])
    assert result.sides.ways == ("clean", "removal")
    assert result.sides.taken == "clean"
    assert "so that the network is not run (take network runs it)" in result.sides.line()


def test_what_cannot_be_restored_is_refused(trained, tmp_path):
    folder, model = trained(2)
    np.save(tmp_path / "small.npy", np.zeros((12, 40), np.float32))
    with pytest.raises(InputError, match="give larger ones"):
        restore_wholes(model, [tmp_path / "small.npy"], tmp_path / "out", band=KINDS[2][3])
    with pytest.raises(InputError, match="every frequency"):
        restore_wholes(model, [folder / "damaged"], tmp_path / "out", band="ring(low=0, high=1)")
    with pytest.raises(InputError, match="samples need fields of the model's size"):
        sagd.Model(model).restore(torch.zeros(1, 1, 40, 40), band=KINDS[2][3], samples=2)
