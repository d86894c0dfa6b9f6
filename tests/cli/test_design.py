"""`sagd design`, and what train and compare make of what it writes; in this process through `main`."""

import json
import os

import numpy as np
import pytest
import torch
import yaml

from sagd.build.schema import CompareConfig, RunConfig
from sagd.build.text import load_yaml
from sagd.cli.program import main
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.power_law import PowerLaw
from sagd.study import designing

pytestmark = pytest.mark.usefixtures("undrawn")

SHORT = ["--training.steps", "2", "--training.batch-size", "8", "--training.sample-every", "0"]
SHORT += ["--training.device", "cpu", "--training.precision", "no", "--network.widths", "4", "8"]


def gaussian(path, alpha, shape=(16, 16), count=200, seed=0, axes="NYX"):
    """A file of Gaussian fields of a power law."""
    x = SpectralCovariance(PowerLaw(alpha), (1, *shape)).sample(count, torch.Generator().manual_seed(seed))[:, 0]
    np.save(path, x.numpy().astype(np.float32))
    return path


@pytest.fixture(scope="module")
def steep(tmp_path_factory):
    """A folder with `fields.npy`, of a steep spectrum, and `d`, its design for five evaluations, made from there."""
    folder = tmp_path_factory.mktemp("steep")
    gaussian(folder / "fields.npy", -2.5)
    here = os.getcwd()  # noqa: PTH109
    os.chdir(folder)
    try:
        assert main(["design", "fields.npy", "--data.axes", "NYX", "--evaluations", "5", "--out", "d"]) == 0
    finally:
        os.chdir(here)
    return folder


@pytest.fixture
def works(capfd, caplog):
    """`works(command, ...)`: what a command says that must succeed, log included."""

    def run(*args):
        caplog.clear()
        code = main([str(a) for a in args])
        out, err = capfd.readouterr()
        assert code == 0, err
        return out + err + caplog.text

    return run


@pytest.fixture
def refused(capfd):
    """`refused(command, ...)`: the one line that a command says before it exits with 2."""

    def run(*args):
        code = main([str(a) for a in args])
        out, err = capfd.readouterr()
        assert (code, out, err.count("\n")) == (2, "", 1), out + err
        return err.strip()

    return run


def test_a_design_is_trained_from_anywhere(steep, works, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = yaml.safe_load((steep / "d" / "design.yaml").read_text())
    assert settings["data"]["source"] == str(steep / "fields.npy")
    works("train", steep / "d" / "design.yaml", "--out", "run", *SHORT)
    kept = load_yaml(RunConfig, tmp_path / "run" / "config.yaml")
    assert kept.process.spectrum == settings["process"]["spectrum"]
    assert kept.sampling.grid == settings["sampling"]["grid"]


def test_plug_ins_of_a_design_are_found_from_anywhere(steep, works, tmp_path, monkeypatch):
    (tmp_path / "an_own_plug_in.py").write_text("")
    monkeypatch.chdir(tmp_path)
    where = ["--data.axes", "NYX", "--plugin", "./an_own_plug_in.py"]
    works("design", steep / "fields.npy", *where, "--evaluations", "5", "--out", "d")
    assert load_yaml(RunConfig, "d/design.yaml").plugins == (str(tmp_path / "an_own_plug_in.py"),)


@pytest.mark.parametrize("source", ["gone.npy", "folder/gone.npy", "gone.nc", "gone.png"])
def test_a_missing_file_is_said_at_once(refused, tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sagd.data.sources.hub._check_hub", lambda *_: pytest.fail("the hub was asked"))
    line = refused("design", source, "--out", "d")
    assert f"there is no file or folder {str(tmp_path / source)!r}" in line
    assert not (tmp_path / "d").exists()


def test_a_design_for_other_data_is_refused(steep, refused, works, tmp_path):
    other = gaussian(tmp_path / "other.npy", 0.0)
    design = steep / "d" / "design.yaml"
    line = refused("train", design, "--data.source", other, "--out", tmp_path / "run", *SHORT)
    assert "the design is for other data than 'other'" in line
    assert "dB apart" in line
    assert "sagd design" in line
    assert not (tmp_path / "run").exists()
    small = gaussian(tmp_path / "small.npy", -2.5, (8, 8))
    line = refused("train", design, "--data.source", small, "--out", tmp_path / "run", *SHORT)
    assert "for items of 1 x 16 x 16 (C, then space), 'small' has 1 x 8 x 8" in line
    fields = np.load(steep / "fields.npy")
    more = tmp_path / "more.npy"
    np.save(more, np.concatenate([fields, np.load(gaussian(tmp_path / "new.npy", -2.5, count=40, seed=1))]))
    works("train", design, "--data.source", more, "--out", tmp_path / "run", *SHORT)


def test_training_chooses_the_noise_itself(steep, works, refused, tmp_path, monkeypatch):
    out = tmp_path / "run"
    how = ["--data.source", steep / "fields.npy", "--data.axes", "NYX", "--process.spectrum", "auto", *SHORT]
    how += ["--sampling.steps", "3", "--out", out]
    said = works("train", *how)
    assert "take noise of the data's spectrum" in said
    config = load_yaml(RunConfig, out / "config.yaml")
    design = json.loads((out / "design.json").read_text())
    assert config.process.spectrum.startswith("whitening")
    assert config.sampling.grid == design["chosen"]["grid"]
    assert config.design.evaluations == design["evaluations"] == 5
    assert "the design" in (out / "report.html").read_text()
    # What was chosen is taken as it is when the run goes on.
    monkeypatch.setattr(designing, "search", lambda *_: pytest.fail("a design was made again"))
    said = works("train", *how, "--training.steps", "4", "--resume")
    assert "whiten" not in said
    assert load_yaml(RunConfig, out / "config.yaml").process == config.process
    line = refused("train", *how, "--training.steps", "6", "--sampling.steps", "5", "--resume")
    assert "sampling.steps is 5, but the noise of the run" in line
    assert "was chosen for 3" in line
    works("sample", out, "--count", "2", "--out", tmp_path / "samples")


def test_auto_stands_for_the_whole_process_in_a_file(steep, works, tmp_path):
    (tmp_path / "run.yaml").write_text(f"data: {{source: {steep / 'fields.npy'}, axes: NYX}}\nprocess: auto\n")
    works("train", tmp_path / "run.yaml", "--out", tmp_path / "run", "--sampling.steps", "3", *SHORT)
    assert load_yaml(RunConfig, tmp_path / "run" / "config.yaml").process.spectrum.startswith("whitening")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sampling.grid", "uniform"], "sampling.grid is 'uniform', which process.spectrum 'auto' chooses itself"),
        (["--process.evolution", "sequential"], "process.evolution is 'sequential', which a design chooses itself"),
        (["--process.omission.mode", "fill"], "process.omission is 'fill', which a design chooses itself"),
        (["--process.omission.laps", "1"], "do not go together"),
        (["--sampling.steps", "1"], "sampling.steps is 1, process.spectrum 'auto' needs at least 2"),
        (["--sampling.steps", "99999999999"], "sampling.steps must be at most 50,000, got 99999999999"),
    ],
)
def test_auto_leaves_no_more_to_say(steep, refused, tmp_path, options, said):
    how = ["--data.source", steep / "fields.npy", "--data.axes", "NYX", "--process.spectrum", "auto", *SHORT]
    assert said in refused("train", *how, *options, "--out", tmp_path / "run")


def test_a_design_is_held_against_white_noise(steep, works, tmp_path):
    design = load_yaml(RunConfig, steep / "d" / "design.yaml")
    told = yaml.safe_load((steep / "d" / "design.yaml").read_text())
    told |= {"network": {"widths": [4, 8]}, "training": {"batch_size": 8, "sample_every": 0, "device": "cpu"}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(told))
    works("compare", tmp_path / "mine.yaml", "--steps", "2", "--seeds", "1", "2", "--out", tmp_path / "cmp")
    config = load_yaml(CompareConfig, tmp_path / "cmp" / "config.yaml")
    assert list(config.arms) == ["white", "mine"]
    assert config.arms["white"].spectrum == "flat"
    assert config.seeds == (1, 2)
    white = load_yaml(RunConfig, tmp_path / "cmp" / "white" / "seed-1" / "config.yaml")
    mine = load_yaml(RunConfig, tmp_path / "cmp" / "mine" / "seed-1" / "config.yaml")
    assert white.sampling == design.design.white_sampling
    assert mine.sampling == design.sampling
    assert white.training == mine.training
    results = json.loads((tmp_path / "cmp" / "results.json").read_text())
    assert "grid" in results["arms"]["white"]["process"]["sampling"]
    again = works("compare", tmp_path / "mine.yaml", "--steps", "2", "--seeds", "1", "2", "--resume", "--out",
                  tmp_path / "cmp")  # fmt: skip
    assert "mine" in again


def test_designs_are_arms_of_comparisons(steep, refused, tmp_path):
    from sagd.build.arms import read_comparison

    (tmp_path / "cmp.yaml").write_text(f"arms: {{white: {{}}, mine: {steep / 'd' / 'design.yaml'}}}\nseeds: [0, 1]\n")
    config, design = read_comparison(tmp_path / "cmp.yaml"), load_yaml(RunConfig, steep / "d" / "design.yaml")
    assert config.arms["mine"] == design.process
    assert config.own["mine"].sampling == design.sampling
    assert config.data == design.data
    (tmp_path / "cmp.yaml").write_text("arms: {white: {}, mine: gone.yaml}\n")
    assert "cannot read configuration 'gone.yaml'" in refused("compare", tmp_path / "cmp.yaml", "--out", tmp_path / "o")
    (tmp_path / "cmp.yaml").write_text("arms: {white: {}}\nown: {mine: {}}\n")
    assert "own.mine is of no arm; the arms are white" in refused(
        "compare", tmp_path / "cmp.yaml", "--out", tmp_path / "o"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("process: {}", "the noise of 'one' is white, and there is nothing to compare it with"),
        ("process: auto", "process.spectrum is 'auto', which sagd train chooses"),
        ("arms: {white: {}, one: auto}", "process.spectrum is 'auto', which a training chooses at its start"),
    ],
)
def test_what_cannot_be_compared(refused, tmp_path, text, said):
    (tmp_path / "one.yaml").write_text(text)
    assert said in refused("compare", tmp_path / "one.yaml", "--out", tmp_path / "cmp")


def array(path, values):
    np.save(path, np.asarray(values, np.float32))
    return path


NOISE = np.random.default_rng(0).standard_normal((40, 16, 16))


@pytest.mark.parametrize(
    ("values", "options", "said"),
    [
        (NOISE[:5], [], "'x' has 5 fields; a design needs at least 16"),
        (NOISE, ["--data.limit", "10"], "'x' has 10 fields; a design needs at least 16"),
        (np.ones((40, 16, 16)), [], "'x' does not vary: all its values are 1, of which nothing can be learnt"),
        (NOISE[:1].repeat(40, 0), [], "all 40 fields of 'x' are the same, of which there is nothing to learn"),
        (NOISE[:, :1, :1].repeat(16, 1).repeat(16, 2), [], "a power law needs at least two radii with power"),
        (NOISE, ["--evaluations", "1"], "evaluations must be a whole number, at least 2, got 1"),
        (NOISE, ["--evaluations", "99999999999"], "evaluations must be at most 100,000, got 99999999999"),
        (NOISE, ["--evaluations", "-3"], "evaluations must be a whole number, at least 2, got -3"),
        (NOISE, ["--data.size", "64"], "which have at most [16, 16] (Y, X); give at most that"),
        (NOISE, ["--data.rate", "100"], "--data.rate is 100, and fields of 'x' have no time, only Y, X"),
        (NOISE, ["--data.spacing", "2 mm"], "names 1 axes, the data has 2 (Y, X)"),
        (NOISE, ["--process.spectrum", "power_law(alpha=-1)"], "which a design chooses itself or cannot judge"),
        (NOISE, ["--process.basis", "wavelet(levels=9)"], "levels"),
    ],
)
def test_what_nothing_can_be_designed_for(refused, tmp_path, values, options, said):
    path = array(tmp_path / "x.npy", values)
    assert said in refused("design", path, "--data.axes", "NYX", *options, "--out", tmp_path / "d")
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(("side", "advised"), [(32, 16), (48, 16), (300, 64)])
def test_windows_that_are_advised_can_be_cut(refused, works, tmp_path, side, advised):
    x = np.random.default_rng(0).standard_normal((side, side)).cumsum(0)
    path = array(tmp_path / "x.npy", x)
    line = refused("design", path, "--out", tmp_path / "d")
    assert line.endswith(f"cut windows: --data.fit tile --data.size {advised}")
    options = ["--data.fit", "tile", "--data.size", advised]
    if side == 300:
        works("design", path, *options, "--evaluations", "3", "--out", tmp_path / "d")
    else:  # windows enough to train on, too few for a spectrum
        assert "a design needs at least 16" in refused("design", path, *options, "--out", tmp_path / "d")


def test_empty_rings_are_told(works, tmp_path):
    f = np.fft.fft2(NOISE)
    f[:, np.hypot(*np.meshgrid(np.fft.fftfreq(16), np.fft.fftfreq(16))) > 0.3] = 0
    path = array(tmp_path / "x.npy", np.fft.ifft2(f).real)
    said = works("design", path, "--data.axes", "NYX", "--evaluations", "3", "--out", tmp_path / "d")
    assert "the data holds nothing at 0.44 to 1 of the corner radius" in said


def test_a_race_decides(steep, works, refused, tmp_path):
    how = [steep / "fields.npy", "--data.axes", "NYX", "--evaluations", "5", *SHORT, "--out", tmp_path / "d"]
    said = works("design", *how, "--race", "--budget", "4")
    assert "in a race of" in said
    settings = load_yaml(RunConfig, tmp_path / "d" / "design.yaml")
    table = json.loads((tmp_path / "d" / "design.json").read_text())
    assert table["race"]
    assert settings.denoiser.prediction == table["prediction"]
    assert settings.network.widths == (4, 8)
    assert settings.training.steps == 2
    assert settings.design.white_sampling.grid == table["white"]["grid"]
    works("train", tmp_path / "d" / "design.yaml", "--out", tmp_path / "run")
    assert "add --race, or leave it out" in refused("design", *how, "--budget", "4")
    assert "--budget must be at least 4 steps, got 2" in refused("design", *how, "--race")
