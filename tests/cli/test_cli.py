"""Commands as users give them: in this process through `main`, in another where signals, imports, terminals matter."""

import contextlib
import dataclasses
import errno
import functools
import hashlib
import importlib
import io
import json
import logging
import os
import pkgutil
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import termios
import time
import typing
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

import sagd
from sagd.cli.program import COMMANDS, main
from sagd.data.config import DataConfig
from sagd.data.images import image_grid, to_uint8
from sagd.data.load import load
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.power_law import PowerLaw
from sagd.random import sample_generators
from sagd.sampling.ddim import DDIM
from sagd.sampling.ddpm import DDPM
from sagd.sampling.dpm_solver import DPMSolver
from sagd.sampling.euler import Euler
from sagd.sampling.heun import Heun
from sagd.training.fit import Fit

pytestmark = pytest.mark.usefixtures("undrawn")

# Networks this small gain nothing from threads, and lose much to them where tests run side by side.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"

TINY = {
    "data": {"source": "digits", "limit": 160},
    "network": {"widths": [4, 8]},
    "training": {
        "steps": 6,
        "batch_size": 16,
        "warmup_steps": 1,
        "checkpoint_every": 3,
        "sample_every": 3,
        "log_every": 2,
        "device": "cpu",
        "precision": "no",
        "lr_decay": "none",
    },
    "sampling": {"sampler": "euler", "steps": 3},
}
COMPARISON = {
    "arms": {"white": {"spectrum": "flat"}, "low": {"spectrum": "power_law(alpha=-0.2)"}},
    "evaluation": {"samples": 70},
    **{key: value for key, value in TINY.items() if key != "process"},
}


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """`plain`, an unconditional run with shaped noise, and `conditional`."""
    folder = tmp_path_factory.mktemp("runs")
    config = write(folder / "tiny.yaml", TINY)
    spectrum = ["--process.spectrum", "power_law(alpha=-0.2)"]
    assert main(["train", config, "--out", str(folder / "plain"), *spectrum]) == 0
    assert main(["train", config, "--out", str(folder / "conditional"), "--network.conditional"]) == 0
    return folder


@pytest.fixture(scope="session")
def compared(tmp_path_factory):
    """A folder with `comparison.yaml` and the finished comparison `out`, and what was said of it."""
    folder = tmp_path_factory.mktemp("compared")
    config = write(folder / "comparison.yaml", COMPARISON)
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(io.StringIO()) as err:
        assert main(["compare", config, "--out", str(folder / "out")]) == 0
    assert err.getvalue() == ""
    return folder, said.getvalue()


@pytest.fixture
def unpaged(monkeypatch):
    """Pages of comparisons stay empty: drawing one takes seconds, and that of `compared` is looked at."""
    monkeypatch.setattr("sagd.report.directory.render", lambda results, arrays, page: page.touch())


@pytest.fixture
def sagd_(capfd):
    """`sagd_(command, ...)`: exit code, standard output and standard error."""

    def run(*args):
        code = main([str(a) for a in args])
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.fixture
def works(sagd_):
    """`works(command, ...)`: the output of a command that must succeed without a word on standard error."""

    def run(*args):
        code, out, err = sagd_(*args)
        assert (code, err) == (0, "")
        return out

    return run


@pytest.fixture
def works_quietly(sagd_):
    """`works_quietly(command, ...)`: a command that must succeed, whatever it says of how far it is."""

    def run(*args):
        code, _, err = sagd_(*args)
        assert code == 0, err
        assert "Traceback" not in err

    return run


@pytest.fixture
def refused(sagd_, monkeypatch):
    """`refused(command, ...)`: the one line that a command says before it exits with 2, having trained nothing."""

    def run(*args):
        with monkeypatch.context() as patch:
            patch.setattr(Fit, "advance", lambda *_: pytest.fail("training has started"))
            code, out, err = sagd_(*args)
        assert (code, out) == (2, "")
        assert err.startswith("sagd: ")
        assert err.count("\n") == 1
        assert err.endswith("\n")
        return err.removeprefix("sagd: ").removesuffix("\n")

    return run


@pytest.fixture
def unwritable(tmp_path):
    """A directory that cannot be written: for root, who may write everywhere, where there is no disk."""
    if os.geteuid() == 0 and not Path("/proc/self").is_dir():
        pytest.skip("root can write everywhere here")
    tmp_path.chmod(0o555)
    yield Path("/proc/sagd") if os.geteuid() == 0 else tmp_path / "out"
    tmp_path.chmod(0o755)


def write(path, mapping):
    path.write_text(yaml.safe_dump(mapping, sort_keys=False), encoding="utf-8")
    return str(path)


def tiny(tmp_path, **sections):
    """A configuration file of the tiny run with some values changed."""
    return write(tmp_path / "run.yaml", {k: TINY.get(k, {}) | sections.get(k, {}) for k in TINY | sections})


def pictures(folder):
    """The PNG files of a folder as uint8 `(N, H, W)` or `(N, H, W, C)`."""
    return np.stack([np.asarray(Image.open(path)) for path in sorted(Path(folder).glob("*.png"))])


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path)


def painted(folder, draw, count=20):
    """Small pictures, each of which a function of its number draws."""
    folder.mkdir()
    for i in range(count):
        Image.fromarray(draw(i)).save(folder / f"{i:03d}.png")
    return folder


def noise(i):
    """A picture that programs of their own read sooner than those of scikit-learn."""
    return np.random.default_rng(i).integers(0, 255, (8, 8), dtype=np.uint8)


# --- the command line itself ---


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    help_text = capsys.readouterr().out
    assert all(re.search(rf"^  {name} +\S", help_text, re.MULTILINE) for name in COMMANDS)
    assert main([]) == 2
    assert capsys.readouterr().out == help_text


def test_help_and_version_need_neither_torch_nor_diffusers():
    code = f"""
import contextlib, io, sys
from sagd.cli import main
for args in [["--help"], ["--version"], *([name, "--help"] for name in {list(COMMANDS)})]:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main(args)
    assert out.getvalue()
heavy = {{"torch", "diffusers", "numpy", "scipy", "accelerate", "datasets", "matplotlib", "sklearn"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_every_option_and_an_example(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert not stop.value.code
    text = capsys.readouterr().out
    assert f"Example: sagd {name} " in text
    assert set(options_of(COMMANDS[name])) <= set(re.findall(r"--[\w.-]+", text))


def options_of(command, prefix="--"):
    """Options of a command by the names and nesting of its fields."""
    hints = typing.get_type_hints(command, include_extras=True)
    for field in dataclasses.fields(command):
        kind, notes = hints[field.name], str(hints[field.name])
        if "Suppress" in notes:
            continue
        bare = typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind
        if dataclasses.is_dataclass(bare):
            # Sections without a name lie flat.
            yield from options_of(bare, prefix if "name=''" in notes else f"{prefix}{field.name}.")
        elif "Positional" not in notes and "POSITIONAL" not in notes:
            own = re.search(r"name='(\w+)'", notes)
            yield prefix + (own[1] if own else field.name.replace("_", "-"))


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{sagd.__version__}\n"


def test_python_m_sagd():
    done = subprocess.run([sys.executable, "-m", "sagd", "trian"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "sagd: unknown command 'trian'; did you mean 'train'?\n"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["trian"], "unknown command 'trian'; did you mean 'train'?"),
        (["train"], "missing --out PATH; see 'sagd train --help'"),
        (["sample"], "missing PATH and --out PATH; see 'sagd sample --help'"),
        (
            ["train", "--out", "x", "--data.siez", "3"],
            "unrecognized options: --data.siez, 3; did you mean --data.size?",
        ),
        (["train", "--out", "x", "--network.widths", "a", "8"], "--network.widths cannot be ['a', '8']; it takes [INT"),
        (["train", "--out", "x", "--training.steps", "many"], "--training.steps cannot be 'many'; it takes INT; see"),
        (["train", "--out", "x", "--data.size", "3.5"], "--data.size cannot be ['3.5']; it takes INT; see"),
        (
            ["train", "--out", "x", "--training.device", "tpu"],
            "invalid choice 'tpu' for argument '--training.device'. Expected",
        ),
        (["train", "--out"], "missing value for argument '--out'. Expected 1 values; see"),
        (
            ["evaluate", "x", "--sampling.setps", "3"],
            "unrecognized options: --sampling.setps, 3; did you mean --sampling",
        ),
    ],
)
def test_bad_options_are_one_line_in_any_encoding(args, message, encoding, monkeypatch):
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    code = main(args)
    err.seek(0)
    text = err.read()
    assert code == 2
    assert text.startswith(f"sagd: {message}")
    assert text.count("\n") == 1


def test_warnings_are_one_line_and_leave_no_trace(sagd_, runs, tmp_path):
    shown = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code, _, err = sagd_("evaluate", runs / "plain", "--evaluation.samples", 9)
    assert code == 0
    assert re.fullmatch(r"sagd: warning: Fréchet distance from 9 images .*\n", err)
    assert warnings.showwarning is shown


def test_ctrl_c_outside_of_training(monkeypatch, sagd_):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("sagd.data.load.load", interrupted)
    assert sagd_("inspect", "digits") == (130, "", "sagd: interrupted\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_is_no_error(unbuffered):
    """As in `sagd --help | true`: the reader is gone before anything is written."""
    command = "import sys; from sagd.cli import main; sys.stdin.read(); sys.exit(main(['--help']))"
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen([sys.executable, "-c", command], env=environment, **pipes) as process:
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_one_process_of_several_speaks(monkeypatch, sagd_):
    monkeypatch.setenv("RANK", "1")
    assert sagd_("--version") == (0, "", "")
    assert sagd_("trian") == (2, "", "")


# --- inspect ---


def test_inspect_measures_digits(works, tmp_path, drawn):
    """Band powers, slope and range against numpy's full Fourier transform of scikit-learn's images."""
    from sklearn.datasets import load_digits

    out = works("inspect", "digits", "--data.split", "all", "--bands", 4, "--out", tmp_path / "out")
    x = np.floor(load_digits().images * 255 / 16 + 0.5) / 127.5 - 1
    power = (np.abs(np.fft.fft2(x - x.mean(0), norm="ortho")) ** 2).sum(0) / (len(x) - 1)
    f = np.fft.fftfreq(8)
    r = np.hypot(f[:, None], f[None])
    band = np.minimum((r / np.sqrt(0.5) * 4 + 1e-9).astype(int), 3)
    expected = [power[band == k].mean() for k in range(4)]

    record = json.loads((tmp_path / "out" / "inspection.json").read_text())
    assert record["power"] == [pytest.approx(expected, rel=1e-5)]
    slope = np.polyfit(np.log(r[r > 0]), np.log(power[r > 0]), 1)[0]
    assert record["slope"] == pytest.approx(slope, rel=1e-5)
    assert record["sigma_max"] == pytest.approx(8 * np.sqrt(power.max()), rel=1e-5)
    alike = 1 / np.maximum(r, r[r > 0].min())
    assert record["log_sigma_mean"] == pytest.approx(np.average(np.log(power), weights=alike) / 2, rel=1e-5)

    assert "1797 images of digits, 1 x 8 x 8" in out
    rows = re.findall(r"^ +[\d.]+-[\d.]+ +([\d.]+) +(\d+)$", out, re.MULTILINE)
    assert [float(value) for value, _ in rows] == pytest.approx(expected, rel=1e-3)
    assert [int(freedoms) for _, freedoms in rows] == [int((band == k).sum()) for k in range(4)]
    assert f"slope of log power against log frequency: {slope:.2f}" in out
    with Image.open(tmp_path / "out" / "spectrum.png") as figure:
        figure.load()
        assert figure.width > 500


def test_inspect_separates_channels(works, tmp_path):
    """White noise, in red with half the contrast of green and in blue constant."""
    rng = np.random.default_rng(0)
    for i in range(40):
        noise = rng.uniform(-1, 1, size=(8, 8, 3)) * [50, 100, 0]
        save(tmp_path / "colour" / f"{i}.png", np.round(127 + noise))
    works("inspect", tmp_path / "colour", "--out", tmp_path / "out", "--bands", 1)
    (red,), (green,), (blue,) = json.loads((tmp_path / "out" / "inspection.json").read_text())["power"]
    # Uniform on [-a, a] has variance a^2 / 3, here of 2560 values each, known to sqrt(0.8 / 2560) = 1.8 %: four of it.
    assert red == pytest.approx((50 / 127.5) ** 2 / 3, rel=0.072)
    assert green == pytest.approx((100 / 127.5) ** 2 / 3, rel=0.072)
    assert blue == 0


def test_inspect_only_prints_unless_told_where_to_write(works, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "wrote" not in works("inspect", "--data.limit", 50)
    assert list(tmp_path.iterdir()) == []


def test_inspect_takes_the_noise_into_account(works):
    white, shaped = (works("inspect", "digits", "--process.spectrum", s) for s in ("flat", "power_law(alpha=-1)"))
    spreads = [float(re.search(r"std=([\d.]+)", text)[1]) for text in (white, shaped)]
    # The digits' own slope is near -2, so noise of that shape drowns most frequencies at once.
    assert spreads[1] < spreads[0]


def test_inspect_takes_one_data_set(refused, works, tmp_path):
    message = refused("inspect", "photos", "--data.source", "pictures")
    assert message == "two data sets, 'photos' and --data.source 'pictures'; name one"
    save(tmp_path / "few" / "a.png", np.eye(8) * 255)
    save(tmp_path / "few" / "b.png", np.eye(8)[::-1] * 255)
    assert "2 images of few" in works("inspect", "--data.source", tmp_path / "few")


# --- damaged images ---


@pytest.fixture(scope="session")
def striped(tmp_path_factory):
    """Digits with scan lines in `damaged`, without in `clean`, and a model `fill` trained on the former."""
    folder = tmp_path_factory.mktemp("striped")
    trial = ["--data.limit", "160", "--out", str(folder / "trial")]
    assert main(["corrupt", "digits", "scan_lines(level=0.2)", *trial]) == 0
    config = write(folder / "tiny.yaml", TINY | {"data": {"source": str(folder / "trial" / "damaged")}})
    omission = ["--process.omission.mode", "fill", "--process.omission.band", "strip(low=0.1)"]
    assert main(["train", config, "--out", str(folder / "fill"), *omission]) == 0
    return folder


def test_corrupt_writes_the_same_images_twice(works, tmp_path):
    out = works("corrupt", "digits", "scan_lines(level=0.1)", "--data.limit", 20, "--out", tmp_path / "trial")
    names = [
        sorted(p.relative_to(tmp_path / "trial" / k) for p in (tmp_path / "trial" / k).rglob("*.png"))
        for k in ("damaged", "clean")
    ]
    assert names[0] == names[1]
    assert len(names[0]) == 20
    assert f"wrote 20 images in {tmp_path / 'trial' / 'damaged'}" in out
    assert "the damage is in the band 'strip(low=0.0625)'" in out
    damage = [
        np.asarray(Image.open(tmp_path / "trial" / "damaged" / name), dtype=float)
        - np.asarray(Image.open(tmp_path / "trial" / "clean" / name))
        for name in names[0]
    ]
    assert np.std(damage) == pytest.approx(0.1 * 127.5, rel=0.15)
    # Lines are the same all along a row, to the rounding of both images.
    assert np.abs(damage - np.mean(damage, axis=2, keepdims=True)).max() <= 1.01


def test_corrupt_knows_damage_as_it_is(works, tmp_path):
    out = works("corrupt", "digits", "curtains(level=0.1, length=30)", "--data.limit", 20, "--out", tmp_path / "out")
    assert "the damage is in the band 'stripes(low=" in out
    assert "curtains meets what no mode needs in full" in out


@pytest.mark.filterwarnings("always")
def test_corrupt_warns_of_clipping(sagd_, tmp_path):
    command = ["corrupt", "digits", "scan_lines(level=0.5)", "--data.limit", 20, "--contrast", 1]
    code, _, err = sagd_(*command, "--out", tmp_path / "out")
    assert code == 0
    assert re.fullmatch(
        r"sagd: warning: [\d.]+ % of the values were clipped to what files hold, .*--contrast, or give --float\n", err
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["rainy"], "unknown corruption 'rainy'.*did you mean 'rain'"),
        (["rain(level=-1)"], "rain level must .*got -1"),
        (["rain", "--contrast", "0"], r"--contrast must lie in \(0, 1\], got 0"),
        (["hum(frequency=0.7)"], "frequency"),
        (["rain", "--data.source", "photos"], "two data sets, 'digits' and --data.source 'photos'; name one"),
        (["rain", "--data.corruption", "moire"], "two damages, 'rain' and --data.corruption moire; name one"),
    ],
)
def test_corrupt_refuses_what_it_cannot_do(refused, tmp_path, options, message):
    assert re.search(message, refused("corrupt", "digits", *options, "--out", tmp_path / "out"))
    assert not list((tmp_path / "out").glob("*"))


def test_inspect_finds_the_band_and_train_takes_it(works, tmp_path, drawn):
    works(
        "corrupt",
        "digits",
        "scan_lines(level=0.15)",
        "--data.size",
        16,
        "--data.limit",
        500,
        "--out",
        tmp_path / "trial",
    )
    out = works("inspect", tmp_path / "trial" / "damaged", "--data.size", 16, "--out", tmp_path / "look")
    assert re.search(r"strip\(low=0.0312\): [\d.]+ dB over its neighbours .*confidence 1.000", out)
    assert f"sagd train {tmp_path / 'look' / 'band.yaml'} --out runs/fill" in out
    record = json.loads((tmp_path / "look" / "inspection.json").read_text())
    assert record["detection"]["band"] == "strip(low=0.0312)"
    with Image.open(tmp_path / "look" / "band.png") as figure:
        assert figure.width > 700
    config = yaml.safe_load((tmp_path / "look" / "band.yaml").read_text())
    assert config == {
        "data": {"source": str(tmp_path / "trial" / "damaged"), "size": 16},
        "process": {"omission": {"mode": "fill", "band": "strip(low=0.0312)"}},
    }
    options = ["--training.steps", 1, "--network.widths", 4, 8]
    works("train", tmp_path / "look" / "band.yaml", *options, "--training.sample-every", 0, "--out", tmp_path / "run")
    trained = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert trained["process"]["omission"]["band"] == "strip(low=0.0312)"


def test_inspect_finds_a_wave_between_bins_as_mode_cleaned_does(works, tmp_path):
    """Each image has its phase; single bins hold little of it, and the network would learn it from the others."""
    g, (y, x) = np.random.default_rng(0), np.mgrid[:32, :32]
    fields = SpectralCovariance(PowerLaw(-1.0), (1, 32, 32)).sample(100, torch.Generator().manual_seed(0))
    for k, clean in enumerate((128 + 30 * fields[:, 0] / fields.std()).numpy()):
        wave = 25 * np.cos(2 * np.pi * (0.14 * y + 0.203 * x) + g.uniform(0, 6.28))
        save(tmp_path / "clean" / f"{k:03}.png", np.clip(clean, 0, 255))
        save(tmp_path / "waves" / f"{k:03}.png", np.clip(clean + wave, 0, 255))
    out = works("inspect", tmp_path / "waves", "--out", tmp_path / "look")
    config = yaml.safe_load((tmp_path / "look" / "band.yaml").read_text())
    band = config["process"]["omission"]["band"]
    assert config["process"]["omission"] == {"mode": "cleaned", "band": band, "log": "no"}
    ((row, column), *_) = Spectrum.parse(band).at
    assert (row, column) == pytest.approx((0.14, 0.203), abs=0.005)
    assert re.search(r"it leaks: \d\d % of its power lies beside ", out)
    yaml_ = tmp_path / "look" / "band.yaml"
    assert f"train on what is left without it (mode cleaned): sagd train {yaml_} --out runs/cleaned" in out
    assert json.loads((tmp_path / "look" / "inspection.json").read_text())["detection"]["band"] == band
    clean = works("inspect", tmp_path / "clean", "--out", tmp_path / "clean-look")
    assert "damaged band: none found (the largest contrast is" in clean
    assert not (tmp_path / "clean-look" / "band.yaml").exists()


def waves_of_varying_frequency(level, files):
    """Smooth images, and under a wave whose frequency differs from one to the other, clipped if they are of files."""
    g, (y, x) = np.random.default_rng(0), np.mgrid[:32, :32]
    fields = SpectralCovariance(PowerLaw(-1.5), (1, 32, 32)).sample(200, torch.Generator().manual_seed(0))
    for clean in (128 + 30 * fields[:, 0] / fields.std()).numpy():
        row, column = (0.14, 0.203) + 0.004 * g.standard_normal(2)
        wave = clean + level * np.cos(2 * np.pi * (row * y + column * x) + g.uniform(0, 6.28))
        yield np.clip(wave, 0, 255) if files else wave


def test_inspect_tells_the_far_leak_of_strong_waves_from_damage(works, tmp_path):
    """Without a taper it sticks out as a wedge of a third of all frequencies."""
    for k, image in enumerate(waves_of_varying_frequency(120, True)):
        save(tmp_path / "waves" / f"{k:03}.png", image)
    out = works("inspect", tmp_path / "waves", "--out", tmp_path / "look")
    omission = yaml.safe_load((tmp_path / "look" / "band.yaml").read_text())["process"]["omission"]
    assert omission["mode"] == "cleaned"
    ((row, column), *_) = Spectrum.parse(omission["band"]).at
    assert (row, column) == pytest.approx((0.14, 0.203), abs=0.005)
    assert re.search(r"it leaks as far as wedge\(.*\).*: a model that leaves out what sticks out would lose", out)


def test_inspect_advises_mode_cleaned_of_arrays_as_well(works, tmp_path):
    np.save(tmp_path / "waves.npy", np.stack([*waves_of_varying_frequency(40, False)]).astype(np.float32))
    out = works("inspect", tmp_path / "waves.npy", "--data.axes", "NYX", "--out", tmp_path / "look")
    assert re.search(r"it leaks: \d\d % of its power lies beside spots\(", out)
    assert "if it is damage, train on what is left without it (mode cleaned):\n" in out
    band = re.search(r"--process.omission.mode cleaned --process.omission.band '(.*)' --process.omission.log no", out)
    assert Spectrum.parse(band[1]).at[0] == pytest.approx((0.14, 0.203), abs=0.005)


def test_commands_of_one_process_say_so_under_torchrun(refused, monkeypatch, tmp_path):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    message = refused("inspect", "digits", "--out", tmp_path / "look")
    assert message == "'sagd inspect' runs in one process; leave out torchrun, which 'sagd train' can use"
    assert not (tmp_path / "look").exists()


def test_inspect_sees_the_later_files_of_sorted_data(works, tmp_path):
    """Clean images of a laboratory, then striped ones of the field; a limit must not take the first of them only."""
    g, pixels = np.random.default_rng(0), []
    for i in range(800):
        smooth = np.asarray(Image.fromarray(g.normal(128, 40, (5, 5)).astype(np.float32)).resize((16, 16), 2))
        rows = 60 * g.standard_normal((16, 1)) if i >= 500 else 0
        pixels.append(np.clip(smooth + 4 * g.standard_normal((16, 16)) + rows, 0, 255))
    for i, image in enumerate(pixels):
        save(tmp_path / "images" / ("a_laboratory" if i < 500 else "b_field") / f"{i:04}.png", image)
    out = works("inspect", tmp_path / "images", "--data.limit", 400, "--out", tmp_path / "look")
    assert "strip" in json.loads((tmp_path / "look" / "inspection.json").read_text())["detection"]["band"], out


@pytest.mark.parametrize("multiplies", [False, True])
def test_inspect_looks_at_few_large_images_as_clean_does(works, tmp_path, multiplies):
    g = np.random.default_rng(0)
    for k in range(3):
        rows = g.standard_normal((150, 1))
        light = np.linspace(20, 160, 150) + g.normal(0, 2, (150, 150))
        image = light * np.exp(0.1 * rows) if multiplies else light + 10 * rows
        save(tmp_path / "few" / f"{k}.png", np.clip(image, 0, 255))
    out = works("inspect", tmp_path / "few", "--out", tmp_path / "look")
    band = json.loads((tmp_path / "look" / "inspection.json").read_text())["detection"]["band"]
    assert re.search(rf"damaged band:\n  {re.escape(band)}: .* dB .*, damage with probability 0.99", out)
    assert f"take it out: sagd clean {tmp_path / 'few'} --together --out cleaned" in out
    assert ("it multiplies the values" in out) == multiplies
    assert {path.name for path in (tmp_path / "look").iterdir()} == {"inspection.json", "spectrum.png", "band.png"}
    assert "3 of 3 file(s) cleaned" in works("clean", tmp_path / "few", "--together", "--out", tmp_path / "cleaned")


def test_inspect_says_what_few_images_to_look_at_need(works, refused, tmp_path):
    g = np.random.default_rng(0)
    for k in range(3):
        save(tmp_path / "small" / f"{k}.png", g.uniform(0, 255, (40, 40)))
    assert (
        "no look for a damaged band: detection needs at least 16 arrays of at least 8 samples a side, or larger ones"
        in (works("inspect", tmp_path / "small"))
    )
    save(tmp_path / "one" / "0.png", g.uniform(0, 255, (150, 150)))
    message = refused("inspect", tmp_path / "one")
    assert message.endswith(f"; to look for damage in one: sagd clean {tmp_path / 'one'} --dry-run --out look")
    assert "in 1 nothing was found" in works("clean", tmp_path / "one", "--dry-run", "--out", tmp_path / "look")


def test_inspect_finds_nothing_in_clean_images(works, tmp_path):
    assert "damaged band: none found" in works("inspect", "digits", "--out", tmp_path / "look")
    assert not (tmp_path / "look" / "band.yaml").exists()


def test_inspect_does_not_take_every_tone_for_damage(works, tmp_path):
    noise, t = np.random.default_rng(0).standard_normal((64, 128)), np.arange(128)
    phases = np.random.default_rng(1).uniform(0, 6.28, (64, 1))
    np.save(tmp_path / "tones.npy", noise + 3 * np.sin(2 * np.pi * t / 8 + phases))
    out = works("inspect", tmp_path / "tones.npy", "--data.kind", "series", "--out", tmp_path / "look")
    assert re.search(r"sticks out of the spectrum:\n  spots.*\n  it may be the data's own \(tones, ", out)
    assert "--process.omission.mode fill --process.omission.band 'spots(" in out
    assert "damage with" not in out
    assert not (tmp_path / "look" / "band.yaml").exists()


@pytest.fixture
def masked(tmp_path):
    """Smooth items of which each lacks lines of its own, as .npy files, and masks beside them."""
    draw = np.random.default_rng(0)
    (tmp_path / "scans").mkdir()
    for k in range(40):
        lines = draw.random(8) < 0.5
        lines[0], lines[4] = True, k > 0  # one item alone lacks the highest line
        mask = np.repeat((lines | np.roll(lines[::-1], 1))[:, None], 8, 1)
        x = draw.normal(size=(8, 8)).cumsum(0).cumsum(1)
        np.save(tmp_path / "scans" / f"{k:02d}.npy", np.fft.ifft2(np.fft.fft2(x) * mask).real.astype(np.float32))
        np.save(tmp_path / "scans" / f"{k:02d}.mask.npy", mask)
    return tmp_path / "scans"


def test_masks_are_told_and_learnt_from(works, refused, masked, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    out = works("inspect", masked, "--data.observed", "mask", "--out", tmp_path / "look")
    assert re.search(r"masks are given \(--data.observed mask\): items show \d\d\.\d % of their frequencies", out)
    assert "each frequency is shown by" in out
    assert "--laps 3" in out
    assert "no look for a damaged band" in out
    few = ["--training.steps", 2, "--training.batch-size", 8, "--network.widths", 4, "--training.sample-every", 0]
    few = ["--data.source", masked, "--data.observed", "mask", *few, "--sampling.steps", 2]
    works("train", *few, "--out", tmp_path / "plain")
    assert "learns items as damaged as these: --laps 3 learns whole ones" in caplog.text
    caplog.clear()
    works("train", *few, "--laps", 1, "--out", tmp_path / "laps")
    assert "items show" in caplog.text
    assert "lap 1: " in caplog.text
    assert "learns items as damaged" not in caplog.text
    works("sample", tmp_path / "laps", "--count", 2, "--out", tmp_path / "drawn")
    assert "wrote 40 fields" in (out := works("restore", tmp_path / "laps", masked, "--out", tmp_path / "filled")), out
    assert np.load(tmp_path / "filled/fields/07.npy").shape == (8, 8)
    page = (tmp_path / "filled/report.html").read_text()
    assert "restored by posterior mean" in page
    assert "What was not observed was filled in." in page
    assert "band" not in re.sub(r"<(style|script).*?</\1>|data:[^\"]*", "", page, flags=re.DOTALL)
    one = [masked / "07.npy", "--samples", 2]
    works("restore", tmp_path / "plain", *one, "--observed", "mask", "--out", tmp_path / "other")
    assert (tmp_path / "other/samples/01/07.npy").is_file()
    unnamed = refused("restore", tmp_path / "plain", *one, "--observed", "seen", "--out", tmp_path / "u")
    assert "--observed" in unnamed
    assert "data.observed" not in unnamed
    both = ["--band", "ring(low=0.5, high=0.7)", "--observed", "mask", "--out", tmp_path / "b"]
    assert "--band is hidden in all items" in refused("restore", tmp_path / "laps", masked, *both)
    taken = ["--take", "clean", "--out", tmp_path / "t"]
    assert "--take clean takes damage out of a band that all items have in common" in refused(
        "restore", tmp_path / "laps", masked, *taken
    )
    works("evaluate", tmp_path / "laps", "--evaluation.samples", 8)
    assert "note: the reference lacks frequencies (--data.observed), which are 0 in it" in caplog.text
    mode = ["--process.omission.mode", "fill", "--process.omission.band", "ring(low=0.5, high=0.7)"]
    message = "is for a band that all items have in common, and masks"
    assert message in refused("train", *few, *mode, "--out", tmp_path / "fill")
    assert message in refused("inspect", masked, "--data.observed", "mask", *mode)
    caplog.clear()
    # Masks are of the files beside which they are, and others may have none.
    for path in masked.glob("*.mask.npy"):
        path.unlink()
    works("evaluate", tmp_path / "laps", "--data.source", masked, "--evaluation.samples", 8)
    assert "lacks frequencies" not in caplog.text


def test_frequencies_that_no_item_shows_are_told(works, refused, masked, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    for path in masked.glob("*.mask.npy"):
        mask = np.load(path)
        mask[4] = path.name.startswith("07")
        np.save(path, mask)
    out = works("inspect", masked, "--data.observed", "mask")
    told = "items show 8 of 64 frequencies (radii 0.71 to 1 of the corner's), where no clean distribution can be learnt"
    assert f"fewer than 2 of 40 {told}" in out
    assert "lies where nothing was observed of them, and is left out" in caplog.text
    assert "taken with 0" in out
    few = ["--data.source", masked, "--data.observed", "mask", "--laps", 1, "--training.batch-size", 8]
    assert told in refused("train", *few, "--out", tmp_path / "laps")
    assert not (tmp_path / "laps").exists()


def test_inspect_names_channels_in_full(works, tmp_path):
    rows = np.random.default_rng(0).normal(size=(64, 2))
    lines = ["pressure of the oil [kPa],flow [l/s]", *(f"{a},{b}" for a, b in rows.tolist())]
    (tmp_path / "oil.csv").write_text("\n".join(lines))
    out = works("inspect", tmp_path / "oil.csv", "--data.size", 8)
    head = next(line for line in out.splitlines() if "band of rho" in line)
    assert "  pressure of the oil [kPa]  flow [l/s]  freedoms" in head


def test_inspect_against_clean_images(works, refused, striped, tmp_path):
    trial = striped / "trial"
    found = works("inspect", trial / "damaged", "--reference", trial / "clean", "--out", tmp_path / "look")
    assert "\n\ndamaged band:\n" in found
    assert "strip(" in (tmp_path / "look" / "band.yaml").read_text()
    options = ("--reference", trial / "clean", "--data.corruption", "scan_lines(level=0.3)")
    assert "strip(" in works("inspect", trial / "clean", *options)  # of the images alone, not of the reference
    message = refused("inspect", trial / "damaged", "--reference", tmp_path / "missing")
    assert str(tmp_path / "missing") in message
    works("corrupt", "digits", "rain(level=0.05)", "--data.size", 9, "--data.limit", 20, "--out", tmp_path / "large")
    assert "those of the reference (1, 9, 9)" in refused(
        "inspect", trial / "damaged", "--reference", tmp_path / "large" / "clean"
    )


def test_restore_changes_the_band_alone(works, striped, tmp_path):
    trial = striped / "trial"
    given = (striped / "fill", trial / "damaged", "--clean", trial / "clean", "--take", "network")
    out = works("restore", *given, "--out", tmp_path / "out")
    assert re.search(r"PSNR of damaged images: [\d.]+ dB\nPSNR of restored images: [\d.]+ dB\nin the files, .*\n", out)
    assert "wrote 160 images" in out
    restored = load_file(tmp_path / "out" / "restored.safetensors")["restored"]
    record = json.loads((tmp_path / "out" / "restoration.json").read_text())
    assert record["change_outside"] < 1e-6
    assert record["mode"] == "fill"
    assert len(restored) == len(record["names"]) == 160
    name = record["names"][3]
    written = np.asarray(Image.open(tmp_path / "out" / "images" / name), dtype=float) / 127.5 - 1
    assert np.abs(written - restored[3, 0].clamp(-1, 1).numpy()).max() <= 0.5 / 127.5 + 1e-6
    damaged = np.asarray(Image.open(trial / "damaged" / name), dtype=float) / 127.5 - 1
    change = np.abs(np.fft.fft2(restored[3, 0].double().numpy() - damaged))
    assert change[:, 1:].max() < 1e-4 < change[1:, 0].max()
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


def test_what_restored_files_hold_is_what_is_said(works, striped, tmp_path):
    """The files are read and compared, by numpy, with what was given and what was computed."""
    trial = striped / "trial"
    out = works("restore", striped / "fill", trial / "damaged", "--take", "network", "--out", tmp_path / "out")
    record = json.loads((tmp_path / "out" / "restoration.json").read_text())
    files, band = record["files"], record["change_outside"]

    def read(folder):
        return np.stack([np.asarray(Image.open(folder / name), dtype=float) / 127.5 - 1 for name in record["names"]])

    computed = load_file(tmp_path / "out" / "restored.safetensors")["restored"][:, 0].double().numpy()
    held = read(tmp_path / "out" / "images")
    steps = (computed + 1) * 127.5
    assert files["clipped"] == ((steps < -0.5) | (steps > 255.5)).sum()
    assert files["rounded"] == (np.abs(steps - (held + 1) * 127.5) > 0.01).sum() - files["clipped"]
    assert f"in the files, of 10240 values {files['rounded']} (" in out
    change, own = (np.fft.fft2(x) for x in (held - computed, computed - computed.mean((1, 2), keepdims=True)))
    outside = np.ones(change.shape[1:], bool)
    outside[1:, 0] = False
    share = np.sqrt((np.abs(change) ** 2 * outside).sum() / (np.abs(own) ** 2 * outside).sum())
    assert files["change_outside"] == pytest.approx(share, rel=1e-3)
    assert files["change_outside"] > 1e-3 > 1e-5 > band
    said = f"which changes what lies outside of the band by {100 * share:.2g} %"
    assert said in out
    page = (tmp_path / "out" / "report.html").read_text()
    assert said in page
    assert "kept in <code>restored.safetensors</code>" in page
    assert "all else stayed" not in page
    # Files of floating point hold all, and are what a second model is to be trained on.
    out = works(
        "restore", striped / "fill", trial / "damaged", "--take", "network", "--float", "--out", tmp_path / "all"
    )
    assert "rounded" not in out
    assert "do not hold" not in (tmp_path / "all" / "report.html").read_text()
    data = load(DataConfig(source=str(tmp_path / "all" / "images")))
    values = data.meaning.to_values(data.tensor())[:, 0].numpy() / 127.5 - 1
    order = [
        record["names"].index(str(path.relative_to(tmp_path / "all" / "images")).replace(".tif", ".png"))
        for path in data.origin.paths
    ]
    assert np.abs(values - computed[order]).max() < 1e-5


def test_restore_holds_the_network_against_what_needs_none(works, striped, tmp_path):
    trial = striped / "trial"
    out = works("restore", striped / "fill", trial / "damaged", "--clean", trial / "clean", "--out", tmp_path / "out")
    assert re.search(r": damaged [\d.]+ dB, network [\d.]+ dB, clean [\d.]+ dB, removal [\d.]+ dB\ntook \w+, ", out)
    sides = json.loads((tmp_path / "out" / "restoration.json").read_text())["sides"]
    figures = sides["files"]["160 files"]
    assert sides["taken"] == max(("network", "clean", "removal"), key=lambda way: figures[way]["psnr"])
    assert sides["why"] in (tmp_path / "out" / "report.html").read_text().replace("&#39;", "'")


def test_one_large_image_is_enough_to_train_on_and_is_restored_whole(works, tmp_path):
    """Stripes between bins, in a file many windows large: trained on where it lies, and written as it came."""
    g = np.random.default_rng(0)
    grain = np.cumsum(np.cumsum(g.normal(size=(97, 85)), 0), 1)
    clean = 128 + 30 * (grain - grain.mean()) / grain.std() + g.normal(size=(97, 85))
    damaged = clean + 25 * np.cos(2 * np.pi * 0.1443 * np.arange(85) + 0.4)
    for name, x in (("clean", clean), ("damaged", damaged)):
        save(tmp_path / name / "page.png", x.clip(0, 255))
    config = write(tmp_path / "tiny.yaml", TINY | {"data": {"source": str(tmp_path / "damaged"), "fit": "crop"}})
    band = "spots(at=[[0.0, 0.1443]], radius=0.004)"
    options = ("--data.size", 16, "--process.omission.mode", "fill", "--process.omission.band", band)
    assert main(["train", config, "--out", str(tmp_path / "fill"), *map(str, options)]) == 0
    given = (tmp_path / "fill", tmp_path / "damaged", "--clean", tmp_path / "clean")
    out = works("restore", *given, "--out", tmp_path / "out")
    assert re.search(r": damaged [\d.]+ dB, network", out)
    assert "wrote 1 file in" in out
    restored = np.asarray(Image.open(tmp_path / "out" / "images" / "page.png"), dtype=float)
    assert restored.shape == (97, 85)
    assert np.abs(restored - clean).std() < 0.3 * np.abs(damaged - clean).std()
    said = re.search(
        r"in the files, (of 8245 values .* were rounded to uint8.* of their spread); --float keeps all", out
    )
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Outside of it, nothing of the result as computed changed" in page
    assert f"The files do not hold all of that: {said[1]}." in page


def test_a_page_is_trained_on_without_its_damage_and_the_command_that_cleans_it_is_told(
    sagd_, refused, caplog, tmp_path
):
    """The command that takes the damage out of files does, of what a training was told to take it out of."""
    g = np.random.default_rng(0)
    grain = np.cumsum(np.cumsum(g.normal(size=(160, 170)), 0), 1)
    clean = 128 + 30 * (grain - grain.mean()) / grain.std() + g.normal(size=(160, 170))
    damaged = clean + 25 * np.cos(2 * np.pi * 0.1443 * np.arange(170) + 0.4)
    save(tmp_path / "damaged" / "page.png", damaged.clip(0, 255))
    config = write(tmp_path / "tiny.yaml", TINY | {"data": {"source": str(tmp_path / "damaged"), "fit": "crop"}})
    options = ("--data.size", 16, "--process.omission.mode", "cleaned", "--out", tmp_path / "run")
    code, out, err = sagd_("train", config, *options)
    assert code == 0, err
    said = re.findall(r"taken out of the training data: damage in .* with probability 0\.99\d*, \d+ % of", caplog.text)
    assert len(said) == 1
    assert "sagd restore" not in out
    assert f"sagd evaluate {tmp_path / 'run'} --data.source CLEAN, for its own data is damaged" in out
    told = re.search(r"take the damage out of files with: sagd (clean FILES --band .*)", out)[1]
    line = refused("restore", tmp_path / "run", tmp_path / "damaged", "--out", tmp_path / "restored")
    assert "fills in no band; take it out of files without a model: sagd clean FILES --band" in line
    args = [str(tmp_path / "damaged") if arg == "FILES" else arg for arg in shlex.split(told)]
    assert sagd_(*args)[0] == 0
    cleaned = np.asarray(Image.open(tmp_path / "run-cleaned" / "page.png"), dtype=float)
    assert (cleaned - clean).std() < 0.3 * (damaged - clean).std()
    assert sagd_("sample", tmp_path / "run", "--count", 4, "--out", tmp_path / "drawn")[0] == 0


def test_restore_takes_single_files(works, striped, tmp_path):
    first = next((striped / "trial" / "damaged").rglob("*.png"))
    assert "wrote 1 image in" in works("restore", striped / "fill" / "model", first, "--out", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out" / "images").iterdir()] == [first.name]


@pytest.mark.parametrize("size", [8, 10])
def test_files_that_cannot_be_read_stop_no_others_from_being_restored(sagd_, striped, tmp_path, size):
    for k in range(2):
        save(tmp_path / "x" / f"{k}.png", np.random.default_rng(k).uniform(0, 255, (size, size)))
    (tmp_path / "x" / "empty.png").touch()
    whole = (tmp_path / "x" / "0.png").read_bytes()
    (tmp_path / "x" / "half.png").write_bytes(whole[: len(whole) // 2])
    code, _, line = sagd_("restore", striped / "fill", tmp_path / "x", "--take", "clean", "--out", tmp_path / "out")
    assert code == 2
    assert "2 of 4 file(s) could not be restored: empty.png: cannot read" in line
    assert "half.png: " in line
    assert sorted(path.name for path in (tmp_path / "out" / "images").iterdir()) == ["0.png", "1.png"]
    (tmp_path / "x" / "0.png").unlink()
    (tmp_path / "x" / "1.png").unlink()
    code, _, line = sagd_("restore", striped / "fill", tmp_path / "x", "--out", tmp_path / "other")
    assert code == 2
    assert "2 of 2 file(s) could not be" in line


def test_restore_refuses_what_it_cannot_do(refused, works, runs, striped, tmp_path):
    damaged = striped / "trial" / "damaged"
    save(tmp_path / "small" / "a.png", np.zeros((7, 8)))
    save(tmp_path / "large" / "a.png", np.zeros((9, 8)))
    save(tmp_path / "a.png", np.zeros((8, 8)))
    for args, message in [
        ((runs / "plain", damaged), "trained with omission 'none', which restores no band"),
        ((striped / "fill", tmp_path / "none"), "no file or folder"),
        ((striped / "fill", tmp_path / "small"), "is 7 x 8, smaller than the model's windows of 8 x 8; give larger"),
        ((striped / "fill", tmp_path / "large", "--samples", 2), "--samples needs files of the model's size"),
        ((striped / "fill", damaged, "--samples", 2), "samples need a model of mode 'deconvolve'"),
        ((striped / "fill", damaged, "--clean", tmp_path / "large"), "no clean image '0/"),
        ((striped / "fill", tmp_path / "a.png", "--clean", tmp_path / "large"), "is 9 x 8, the model is for 8 x 8"),
        ((striped / "fill", damaged, "--batch-size", 0), "--batch-size must be at least 1, got 0"),
        ((striped / "fill", damaged, "--label", "3"), "--label 3: the model is unconditional; leave --label out"),
        ((tmp_path, damaged), "no model"),
    ]:
        assert message in refused("restore", *args, "--out", tmp_path / "out"), args


@pytest.mark.parametrize(
    ("omission", "message"),
    [
        ({"mode": "fill"}, "band"),
        ({"mode": "fill", "band": "ring(low=0.2, high=1.5)"}, "ring needs 0 <= low < high <= 1"),
        ({"mode": "fill", "band": "ring()"}, "holds every frequency, so nothing is left to go by; narrow it"),
        ({"mode": "fill", "band": "ring(low=0.01, high=0.02)"}, "holds none of the frequencies of 8 x 8 samples"),
        ({"mode": "fill", "band": "auto"}, "no damaged band found"),
        ({"mode": "deconvolve", "band": "ring(low=0.2, high=0.4)"}, "corruption"),
        ({"mode": "fil", "band": "ring(low=0.2, high=0.4)"}, "fil"),
    ],
)
def test_train_refuses_bands_that_cannot_be(refused, tmp_path, omission, message):
    config = tiny(tmp_path, process={"omission": omission})
    assert message in refused("train", config, "--out", tmp_path / "out")


@pytest.fixture(scope="session")
def banded(tmp_path_factory):
    """Digits in `images`, and two resampling models: `random`, and `high` of one band."""
    folder = tmp_path_factory.mktemp("banded")
    assert main(["corrupt", "digits", "rain(level=0.01)", "--data.limit", "3", "--out", str(folder / "trial")]) == 0
    config = write(folder / "tiny.yaml", TINY)
    for name, bands in (("random", "random"), ("high", "ring(low=0.4)")):
        assert main(["train", config, "--out", str(folder / name), "--denoiser.bands", bands]) == 0
    return folder


def test_training_says_what_the_model_is_for(works, tmp_path):
    config = tiny(tmp_path)
    out = works("train", config, "--out", tmp_path / "high", "--denoiser.bands", "ring(low=0.4)")
    assert f"use it with: sagd resample {tmp_path / 'high'} FILES --out" in out
    assert "sagd sample" not in out
    options = ["--process.omission.mode", "fill", "--process.omission.band", "ring(low=0.4)"]
    out = works("train", config, "--out", tmp_path / "fill", *options)
    assert f"restore damaged files with: sagd restore {tmp_path / 'fill'} FILES --out" in out
    assert f"sample it with: sagd sample {tmp_path / 'fill'} --out" in out


def test_resample_changes_the_band_alone(works, banded, tmp_path, drawn):
    clean = banded / "trial" / "clean"
    # Clamped to the range of images: after a few steps the draws reach 17, whose own rounding is 1e-6.
    options = ["--count", 2, "--clip", 1, "--out", tmp_path / "out"]
    out = works("resample", banded / "random", clean, "--band", 0.3, 1, *options)
    assert f"wrote 3 x 2 images in {tmp_path / 'out' / 'images'}" in out
    draws = load_file(tmp_path / "out" / "resampled.safetensors")["resampled"].double().numpy()
    assert draws.shape == (2, 3, 1, 8, 8)
    record = json.loads((tmp_path / "out" / "resampling.json").read_text())
    assert record["band"] == "ring(low=0.3)"
    given = np.stack([np.asarray(Image.open(clean / name), dtype=float) for name in record["names"]]) / 127.5 - 1
    # Values of a draw are rounded to float32: a coefficient by sqrt(64) times half a unit in the last place at most.
    rounding = 4 * np.finfo(np.float32).eps * np.abs(draws).max() / np.sqrt(np.square(given).mean())
    assert record["change_outside"] < rounding
    f = np.fft.fftfreq(8)
    inside = np.hypot(f[:, None], f) >= 0.3 * np.sqrt(0.5) - 1e-9
    for i, name in enumerate(record["names"]):
        given = np.asarray(Image.open(clean / name), dtype=float) / 127.5 - 1
        change = np.abs(np.fft.fft2(draws[:, i, 0] - given))
        assert change[:, ~inside].max() < 1e-4
        assert change[:, inside].max() > 1e-2
    written = sorted(path.relative_to(tmp_path / "out" / "images") for path in (tmp_path / "out").rglob("*-01.png"))
    assert [str(path).replace("-01", "") for path in written] == record["names"]
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


def test_resample_takes_one_band_or_a_mask(works, banded, tmp_path):
    first = next((banded / "trial" / "clean").rglob("*.png"))
    works("resample", banded / "high", first, "--count", 1, "--out", tmp_path / "own")
    assert json.loads((tmp_path / "own" / "resampling.json").read_text())["band"] == "ring(low=0.4)"
    same = load_file(tmp_path / "own" / "resampled.safetensors")["resampled"]
    works("resample", banded / "high", first, "--band", 0.4, 1, "--count", 2, "--out", tmp_path / "two")
    assert torch.allclose(load_file(tmp_path / "two" / "resampled.safetensors")["resampled"][0], same[0], atol=1e-5)
    options = ["--mask", "strip(axis=0, low=0.1)", "--steps", 2, "--out", tmp_path / "mask"]
    works("resample", banded / "random", first, *options)


def test_a_model_of_all_bands_draws_whole_images(works, banded, tmp_path):
    works("sample", banded / "random", "--count", 2, "--out", tmp_path / "samples")
    assert pictures(tmp_path / "samples" / "images").shape == (2, 8, 8)


def test_resample_refuses_what_it_cannot_do(refused, runs, banded, tmp_path):
    clean = banded / "trial" / "clean"
    for args, message in [
        ((runs / "plain", clean, "--band", 0.3, 1), "resamples no bands; train one with --denoiser.bands random"),
        ((banded / "random", clean), "takes any band: name one"),
        ((banded / "random", clean, "--band", 0, 1), "holds every frequency"),
        ((banded / "random", clean, "--band", 0.5, 0.2), "ring needs 0 <= low < high <= 1"),
        ((banded / "random", clean, "--band", 0.5, 1, "--mask", "ring"), "--band and --mask are two ways"),
        ((banded / "random", clean, "--band", 0.5), "--band cannot be ['0.5']; it takes FLOAT FLOAT"),
        ((banded / "random", clean, "--band", 0.5, 1, "--count", 0), "--count and --batch-size must be at least 1"),
        ((banded / "random", clean, "--band", 0.5, 1, "--label", "3"), "the model is unconditional"),
        ((banded / "high", clean, "--band", 0.7, 1), "changes the band 'ring(low=0.4)'"),
        ((banded / "random", tmp_path / "none", "--band", 0.5, 1), "no file or folder"),
    ]:
        assert message in refused("resample", *args, "--out", tmp_path / "out"), args
    assert "use sagd resample" in refused("sample", banded / "high", "--out", tmp_path / "out2")


# --- gallery ---


def test_gallery_draws_every_process_that_fits(works, tmp_path, monkeypatch):
    from sagd.build.catalogue import catalogue

    # Drawing takes seconds, and has tests of its own.
    monkeypatch.setattr("sagd.report.gallery.gallery_figure", lambda exhibit: exhibit)
    monkeypatch.setattr("sagd.report.gallery.figure_png", lambda exhibit: exhibit.entry.name.encode())
    classes = [str(digit) for digit in range(10)]
    names = [entry.name for entry in catalogue((1, 8, 8), classes)]
    out = works("gallery", "--data.limit", 60, "--out", tmp_path / "out")
    left, wrote = out.splitlines()
    assert left == "left out: by_colour, which needs images in colour"
    assert wrote == f"wrote {tmp_path / 'out' / 'gallery.html'} and its figures in {tmp_path / 'out' / 'figures'}"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["figures", "gallery.html"]
    assert sorted(path.stem for path in (tmp_path / "out" / "figures").iterdir()) == sorted(names)
    assert all(path.read_text() == path.stem for path in (tmp_path / "out" / "figures").iterdir())
    page = (tmp_path / "out" / "gallery.html").read_text(encoding="utf-8")
    assert re.findall(r"<h2>(\w+)</h2>", page) == names
    assert re.search(r"digits: image 0 of 60 \(number \d+ of the source\), 1 x 8 x 8; noise of seed 0", page)


def test_gallery_draws_the_image_and_processes_that_are_named(works, tmp_path, drawn):
    def drawn(name, *options):
        works("gallery", "digits", "--data.limit", 60, "--out", tmp_path / name, "--names", "low_tilt", *options)
        (path,) = (tmp_path / name / "figures").iterdir()
        assert path.name == "low_tilt.png"
        return path.read_bytes()

    first = drawn("first")
    assert drawn("again", "--item", 0, "--seed", 0) == first
    assert len({first, drawn("image", "--item", 1), drawn("seed", "--seed", 1)}) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--names", "white", "low_tlit"], "unknown process 'low_tlit'; did you mean 'low_tilt'?"),
        (["--names", "by_colour"], "process 'by_colour' needs images in colour"),
        (["--item", "60"], "item must be one of 0..59, got 60"),
        (["photos", "--data.source", "pictures"], "two data sets, 'photos' and --data.source 'pictures'; name one"),
    ],
)
def test_gallery_refuses_what_it_cannot_draw(refused, tmp_path, options, message):
    assert refused("gallery", "--data.limit", 60, "--out", tmp_path / "out", *options) == message
    assert not list(tmp_path.glob("out/*"))


def test_noise_by_class_asks_for_labels(works, refused, tmp_path):
    """Training says how to sample, and sampling without labels is refused before anything is written."""
    config = tiny(tmp_path, training={"steps": 1, "sample_every": 0})
    noise = "by_class(spectra={'3': 'flat'}, default='power_law(alpha=-0.1)')"
    args = ["train", config, "--out", tmp_path / "run", "--process.spectrum", noise, "--network.conditional"]
    assert refused(*args).endswith("or use edm")  # the default prediction does not take this noise
    out = works(*args, "--denoiser.prediction", "edm")
    assert "--labels 0 1 2 3 4 5 6 7 8 9 --out" in out
    message = refused("sample", tmp_path / "run", "--out", tmp_path / "samples")
    assert message == "the noise depends on the class; give --labels, from: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert not (tmp_path / "samples").exists()
    works("sample", tmp_path / "run", "--labels", "3", "--count", 2, "--steps", 2, "--out", tmp_path / "samples")


def test_gallery_does_not_overwrite(refused, tmp_path, monkeypatch):
    (tmp_path / "notes.txt").touch()
    monkeypatch.setattr("sagd.data.load.load", lambda _: pytest.fail("data was read"))
    assert refused("gallery", "--out", tmp_path) == f"{str(tmp_path)!r} is not empty; choose another --out"


# --- train ---


def test_laps_are_short_for_the_setting_of_omission(refused, tmp_path):
    for options, said in (
        (["--laps", 2], "laps need a mode of omission"),
        (["--process.omission.laps", 2], "laps need a mode of omission"),
        (["--laps", -1], "--laps must be at least 0, got -1"),
    ):
        assert said in refused("train", *options, "--out", tmp_path / "run")


def test_train_takes_a_file_and_options_above_it(works, tmp_path):
    config = tmp_path / "settings.txt"
    write(config, TINY)
    out = works("train", config, "--out", tmp_path / "run", "--training.steps", 4, "--process.schedule", "cosine")
    assert f"model: {tmp_path / 'run' / 'model'}" in out
    resolved = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert resolved["training"]["steps"] == 4
    assert resolved["process"]["schedule"] == "cosine"
    assert resolved["training"]["batch_size"] == 16
    assert resolved["network"]["widths"] == [4, 8]
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    assert (tmp_path / "run" / "samples" / "step-000003.png").exists()
    model = sagd.load(tmp_path / "run")
    assert model.process.to_dict()["schedule"]["kind"] == "cosine"


def test_train_goes_on_where_it_was(works, tmp_path, runs):
    """Three steps, then three more, are the six of the session's run."""
    args = ["train", tiny(tmp_path), "--out", tmp_path / "run", "--process.spectrum", "power_law(alpha=-0.2)"]
    works(*args, "--training.steps", 3)
    works(*args, "--resume")
    weights = (load_file(folder / "model" / "model.safetensors") for folder in (tmp_path / "run", runs / "plain"))
    for a, b in zip(*(w.values() for w in weights), strict=True):
        assert torch.equal(a, b)


@pytest.mark.filterwarnings("ignore:no checkpoint in")
def test_train_goes_on_with_the_settings_that_a_run_keeps(works, works_quietly, tmp_path, runs):
    """All that nobody gives anew, before the first checkpoint too."""
    out = tmp_path / "run"
    options = ["--process.spectrum", "power_law(alpha=-0.2)", "--training.steps", 3]
    works("train", tiny(tmp_path), "--out", out, *options)
    works("train", "--resume", "--out", out, "--training.steps", 6)
    whole = load_file(runs / "plain" / "model" / "model.safetensors")
    assert all(torch.equal(x, whole[key]) for key, x in load_file(out / "model" / "model.safetensors").items())
    for folder in ("checkpoints", "model"):
        shutil.rmtree(out / folder)
    works_quietly("train", "--resume", "--out", out)
    assert all(torch.equal(x, whole[key]) for key, x in load_file(out / "model" / "model.safetensors").items())


def test_laps_go_on_with_the_settings_that_they_keep(sagd_, works_quietly, refused, tmp_path, monkeypatch):
    """From wherever they were stopped, which is said."""
    data = {"source": "digits", "limit": 40, "corruption": "subsampled(keep=0.6)"}
    args = ["train", tiny(tmp_path, data=data, training={"batch_size": 8, "steps": 2}), "--laps", 1]
    works_quietly(*args, "--out", tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr("sagd.study.laps.Course.judged", lambda *_: signal.raise_signal(signal.SIGINT))
        _, _, err = sagd_(*args, "--out", tmp_path / "run")
    assert err.splitlines()[-1] == "sagd: stopped by SIGINT; continue with --resume"
    message = refused(*args[:2], "--resume", "--out", tmp_path / "run")
    assert message.endswith(
        "holds a training in laps, and this is a single one; say how many laps (--laps 3), or choose another --out"
    )
    works_quietly("train", "--resume", "--out", tmp_path / "run")
    one, other = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("run", "whole"))
    assert all(torch.equal(one[key], other[key]) for key in other)


def test_where_no_settings_are_kept_it_is_said_what_would_work(refused, runs, tmp_path):
    said = "no settings of a run are there; start it with these, without --resume"
    assert refused("train", "--resume", "--out", tmp_path / "run").endswith(said)
    (tmp_path / "run").mkdir()
    assert refused("train", "--resume", "--out", tmp_path / "run").endswith(said)
    shutil.copytree(runs / "plain" / "checkpoints", tmp_path / "run" / "checkpoints")
    assert refused("train", "--resume", "--out", tmp_path / "run").endswith("; give them with --resume")
    lapped = refused(
        "train", "--resume", "--laps", 1, "--out", runs / "plain", "--data.corruption", "subsampled(keep=0.6)"
    )
    assert lapped.endswith("holds a single training, without laps; choose another --out")


def test_a_diverged_training_exits_with_3_and_keeps_the_last_good_checkpoint(sagd_, works, tmp_path):
    """A learning rate of 1e30 makes the loss overflow in the step after the first."""
    args = ["train", tiny(tmp_path), "--out", tmp_path / "run", "--training.checkpoint-every", 1]
    code, out, err = sagd_(*args, "--training.lr", 1e30)
    assert (code, out) == (3, "")
    assert re.fullmatch(r"sagd: (loss|gradient norm) became (nan|inf) at step 2; lower training\.lr .*\n", err)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000001"]
    assert not (tmp_path / "run" / "model").exists()


def test_a_signal_stops_training_with_a_checkpoint(tmp_path, works):
    """SIGINT of a process of its own; tests of trainings send it SIGTERM."""
    data = {"source": str(painted(tmp_path / "noise", noise))}
    config = tiny(tmp_path, data=data, training={"log_every": 1, "checkpoint_every": 10**6, "sample_every": 0})
    args = ["train", config, "--out", str(tmp_path / "run")]
    metrics = tmp_path / "run" / "metrics.jsonl"
    with contextlib.ExitStack() as stack:
        command = [sys.executable, "-m", "sagd", *args, "--training.steps", str(10**6)]
        process = stack.enter_context(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        stack.callback(process.kill)  # it would not end by itself
        wait_until(lambda: metrics.exists() and metrics.read_text().count("\n") > 5, process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    *ends, estimate, last = err.splitlines()
    assert [line.partition(":")[0] for line in ends] == ["left of the data at t = 1", "noise when sampling ends"]
    assert re.fullmatch(r"999,996 steps of 16 images to go: about .* on 1 thread, memory so far \d\.\d GiB", estimate)
    assert last == "sagd: stopped by SIGINT; continue with --resume"
    (checkpoint,) = (tmp_path / "run" / "checkpoints").iterdir()
    step = int(checkpoint.name.removeprefix("step-"))
    works(*args, "--resume", "--training.steps", step + 1)
    assert [json.loads(line)["step"] for line in metrics.read_text().splitlines()] == list(range(1, step + 2))


def wait_until(condition, process):
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)


# --- sample ---


def test_sample_writes_a_grid_and_files(works, runs, tmp_path):
    out = works("sample", runs / "plain", "--out", tmp_path / "out", "--count", 5, "--seed", 2)
    assert f"5 images in {tmp_path / 'out' / 'images'}" in out
    model = sagd.load(runs / "plain")
    x = Euler().sample(
        model.denoiser, 5, steps=3, grid="found", generator=sample_generators(2, 5), statistics=model.statistics
    )
    assert np.array_equal(pictures(tmp_path / "out" / "images"), to_uint8(x)[:, 0].numpy())
    grid = np.asarray(Image.open(tmp_path / "out" / "grid.png"))
    assert np.array_equal(grid, np.asarray(image_grid(x)))


def test_an_image_depends_on_the_seed_and_its_number_alone(works, runs, tmp_path):
    def draw(name, *options):
        works("sample", runs / "plain", "--out", tmp_path / name, "--sampler", "ddpm", *options)
        return pictures(tmp_path / name / "images").astype(int)

    seven = draw("seven", "--count", 7, "--seed", 4)
    three = draw("three", "--count", 3, "--seed", 4, "--batch-size", 2)
    other = draw("other", "--count", 3, "--seed", 5)
    # Sums in batches of another size may round to the grey level beside.
    assert np.abs(seven[:3] - three).max() <= 1
    assert np.abs(seven[:3] - other).max() > 50
    assert len({image.tobytes() for image in seven}) == 7


@pytest.mark.parametrize(
    ("options", "sampler", "settings"),
    [
        ([], Euler(), {"steps": 3, "grid": "found"}),
        (["--sampler", "ddpm"], DDPM(), {"steps": 3, "grid": "matched"}),
        (["--sampler", "ddim(eta=0.5)", "--steps", "4"], DDIM(eta=0.5), {"steps": 4, "grid": "matched"}),
        (["--sampler", "heun", "--grid", "uniform"], Heun(), {"steps": 3, "grid": "uniform"}),
        (["--sampler", "heun(churn=5)"], Heun(churn=5), {"steps": 3, "grid": "matched"}),
        (["--sampler", "dpm_solver", "--grid", "log_snr"], DPMSolver(), {"steps": 3, "grid": "log_snr"}),
        (["--grid", "karras(sigma_max=9)"], Euler(), {"steps": 3, "grid": "karras(sigma_max=9)"}),
        (["--grid", "matched(margin=2)", "--steps", "5"], Euler(), {"steps": 5, "grid": "matched(margin=2)"}),
        (["--clip", "0.5"], Euler(), {"steps": 3, "grid": "found", "clip": 0.5}),
    ],
)
def test_options_reach_the_sampler(works, runs, tmp_path, options, sampler, settings):
    works("sample", runs / "plain", "--out", tmp_path / "out", "--count", 2, *options)
    model = sagd.load(runs / "plain")
    x = sampler.sample(model.denoiser, 2, generator=sample_generators(0, 2), statistics=model.statistics, **settings)
    assert np.array_equal(pictures(tmp_path / "out" / "images"), to_uint8(x)[:, 0].numpy())


def test_labels_and_guidance_reach_conditional_models(works, runs, tmp_path):
    def draw(name, *options):
        works("sample", runs / "conditional", "--out", tmp_path / name, "--count", 4, *options)
        return pictures(tmp_path / name / "images")

    def expected(labels, scale):
        denoiser = model.trained.guided(scale)
        x = Euler().sample(
            denoiser,
            4,
            steps=3,
            grid="found",
            generator=sample_generators(0, 4),
            condition=labels,
            statistics=model.statistics,
        )
        return to_uint8(x)[:, 0].numpy()

    model = sagd.load(runs / "conditional")
    both = torch.tensor([3, 7, 3, 7])
    for found, own in (
        (draw("both", "--labels", "3", "7"), expected(both, 1.0)),
        (draw("guided", "--labels", "3", "7", "--guidance", "3"), expected(both, 3.0)),
        (draw("none"), expected(None, 1.0)),
    ):
        # Sums of the same numbers elsewhere in memory may round to the grey level beside.
        assert np.abs(found.astype(int) - own).max() <= 1
    assert not np.array_equal(pictures(tmp_path / "guided" / "images"), pictures(tmp_path / "both" / "images"))


def test_sample_takes_the_spectrum_the_model_was_trained_with(works, refused, runs, tmp_path):
    works("sample", runs / "plain", "--out", tmp_path / "same", "--count", 2, "--spectrum", "power_law(alpha=-0.2)")
    message = refused("sample", runs / "plain", "--out", tmp_path / "other", "--spectrum", "flat")
    assert re.search(
        r"trained with schedule vp and power_law\(alpha=-0\.2\) .*, not with schedule vp and flat", message
    )
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("plain", ["--labels", "3"], "--labels 3: the model is unconditional; leave --labels out"),
        ("conditional", ["--labels", "cat"], "--labels: the model has no class 'cat'; known: 0, 1, 2"),
        (
            "plain",
            ["--guidance", "2"],
            "guidance 2.0 needs a conditional model; train with network.conditional",
        ),
        ("plain", ["--count", "0"], "--count must be at least 1, got 0"),
        ("plain", ["--count", "100000000000"], "--count must be at most 1,000,000, got 100000000000"),
        ("plain", ["--batch-size", "-1"], "--batch-size must be at least 1, got -1"),
        ("plain", ["--steps", "0"], "steps must be at least 1, got 0"),
        ("plain", ["--sampler", "huen"], "unknown sampler 'huen'; did you mean 'heun'?"),
        ("plain", ["--sampler", "ddim(eta=2)"], "ddim eta must lie in [0, 1], got 2"),
        ("plain", ["--grid", "karras(sigma_min=9, sigma_max=3)"], "karras needs 0 < sigma_min < sigma_max, got"),
        ("plain", ["--spectrum", "pink"], "unknown spectrum 'pink'; known: flat, product"),
        ("tiny.yaml", [], "is not a directory; give a run directory or a model directory"),
        ("nothing", [], "is not a directory; give a run directory or a model directory"),
        (".", [], "holds no model (no manifest.json); give a run directory or a model directory"),
    ],
)
def test_sample_refuses_what_it_cannot_do(refused, runs, tmp_path, model, options, message):
    assert message in refused("sample", runs / model, "--out", tmp_path / "out", *options)
    assert not list(tmp_path.glob("out/*"))


def test_sample_does_not_overwrite(works, refused, runs, tmp_path):
    works("sample", runs / "plain", "--out", tmp_path / "out", "--count", 2)
    message = refused("sample", runs / "plain", "--out", tmp_path / "out", "--count", 2)
    assert message == f"{str(tmp_path / 'out')!r} is not empty; choose another --out"


# --- evaluate ---


EVALUATE = ["--evaluation.samples", "70"]


def test_evaluate_measures_a_model(works, runs, tmp_path):
    out = works("evaluate", runs / "plain", "--out", tmp_path / "out", *EVALUATE)
    result = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert result["n"] == 70
    rows = out.splitlines()
    assert rows[0].split() == ["figure", "value", "floor", "better"]
    assert rows[1].startswith("Fréchet distance")
    assert [f"{float(cell):.3g}" for cell in rows[1].split()[2:4]] == [
        f"{result[which]['frechet']:.3g}" for which in ("figure", "floor")
    ]
    assert f"wrote {tmp_path / 'out' / 'evaluation.json'}" in out


def test_evaluate_needs_no_labels(works, runs, tmp_path):
    out = works("evaluate", runs / "plain", "--data.label-column", "none", "--out", tmp_path / "out", *EVALUATE)
    assert "features: labelless (fixed filters; no labels needed)" in out
    assert "Flatness of increments (dB)" in out
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["figure"]["recall"] is not None


def test_evaluate_measures_the_folder_that_sample_wrote(works, runs, tmp_path):
    """The same samples, by either way, with options of the sampler: the same figures."""
    drawing = {"sampler": "ddim(eta=1)", "steps": "2", "grid": "uniform", "clip": "1"}
    sample = [text for name, value in drawing.items() for text in (f"--{name}", value)]
    sampling = [text for name, value in drawing.items() for text in (f"--sampling.{name}", value)]
    works("sample", runs / "plain", "--out", tmp_path / "samples", "--count", 70, "--seed", 3, *sample)
    common = [
        *EVALUATE,
        "--data.source",
        "digits",
        "--data.limit",
        "160",
        "--evaluation.seed",
        "3",
        "--evaluation.bands",
        "4",
    ]
    works("evaluate", tmp_path / "samples" / "images", "--out", tmp_path / "folder", *common)
    works("evaluate", runs / "plain", "--out", tmp_path / "model", *common, *sampling, "--evaluation.batch-size", "64")
    folder, model = (json.loads((tmp_path / name / "evaluation.json").read_text()) for name in ("folder", "model"))
    assert folder == model
    assert len(folder["figure"]["spectral"]["error"]) == 4
    works("evaluate", runs / "plain", "--out", tmp_path / "other", *common)
    other = json.loads((tmp_path / "other" / "evaluation.json").read_text())
    assert other["floor"] == model["floor"]
    assert other["figure"] != model["figure"]


def test_evaluate_overrides_parts_of_the_reference(works, runs, tmp_path):
    """`--data.split test` changes the split and keeps the limit of 160."""
    works("evaluate", runs / "plain", "--data.split", "test", "--out", tmp_path / "test", "--evaluation.samples", 100)
    works("evaluate", runs / "plain", "--data.limit", 150, "--out", tmp_path / "few", "--evaluation.samples", 100)
    test, few = (json.loads((tmp_path / name / "evaluation.json").read_text()) for name in ("test", "few"))
    assert (test["n"], few["n"]) == (80, 75)
    assert test["floor"] != few["floor"]


def test_evaluate_takes_features_from_a_file(works, runs, tmp_path):
    class Flat(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.float()[:, :, ::3, ::3].flatten(1)

    path = tmp_path / "flat.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(Flat()).save(str(path))
    features = [
        "--evaluation.features",
        path,
        "--evaluation.features-sha256",
        hashlib.sha256(path.read_bytes()).hexdigest(),
    ]
    more = ["--evaluation.features-range", "0", "255", "--evaluation.features-channels", "1"]
    # No labels are needed then.
    options = ["--data.label-column", "none", *EVALUATE, *features, *more]
    works("evaluate", runs / "plain", "--out", tmp_path / "out", *options)
    result = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert result["features"] == "flat.pt"
    assert result["feature_dimension"] == 9
    assert "input_range:0,255 channels:1" in result["features_identifier"]


def test_evaluate_refuses_what_it_cannot_do(refused, runs, tmp_path):
    save(tmp_path / "images" / "a.png", np.eye(8) * 255)
    save(tmp_path / "images" / "b.png", np.eye(8)[::-1] * 255)
    assert refused("evaluate", tmp_path / "images").endswith("a folder of files: name the reference with --data.source")
    message = refused("evaluate", tmp_path / "images", "--data.source", "digits", "--sampling.steps", 3)
    assert message.endswith("a folder of files, from which nothing is drawn: leave out --sampling")
    assert "does not exist; give a run directory" in refused("evaluate", tmp_path / "nothing")
    message = refused("evaluate", runs / "plain", "--data.label-column", "none", "--evaluation.features", "classifier")
    assert message == (
        "'digits' has no labels for the feature classifier; set evaluation.features to 'labelless', or name a"
        " TorchScript file"
    )
    message = refused("evaluate", runs / "plain", "--data.source", "./gone")
    assert re.search(r"reference data: no data set './gone'.*; --data.source names others$", message)
    assert "1x8x8, those of 'digits' 3x8x8; set --data" in refused("evaluate", runs / "plain", "--data.channels", 3)
    message = refused("evaluate", runs / "plain", "--evaluation.samples", 2)
    assert message == "evaluation.samples must be at least 4, got 2"


def test_evaluate_of_real_images_sorted_by_class_is_near_the_floor(works, tmp_path):
    """A folder of real digits against itself; its first images would be of two classes of ten."""
    works("corrupt", "digits", "scan_lines(level=0.1)", "--data.limit", 750, "--out", tmp_path / "trial")
    clean = tmp_path / "trial" / "clean"
    works("evaluate", clean, "--data.source", clean, "--evaluation.samples", 150, "--out", tmp_path / "out")
    result = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert result["figure"]["frechet"] < 2 * result["floor"]["frechet"]
    assert result["figure"]["recall"] > 0.8


def test_evaluate_says_when_the_training_data_is_gone(works, refused, tmp_path):
    for i, image in enumerate(load(sagd.data.config.DataConfig(limit=20)).stored):
        save(tmp_path / "here" / f"{i % 2}" / f"{i}.png", image[0])
    config = tiny(tmp_path, data={"source": str(tmp_path / "here"), "limit": None}, training={"sample_every": 0})
    works("train", config, "--out", tmp_path / "run")
    (tmp_path / "here").rename(tmp_path / "there")
    message = refused("evaluate", tmp_path / "run", *EVALUATE)
    assert re.search(r"reference data: no data set '.*here'.*; --data.source names others$", message)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ten images are few
        works("evaluate", tmp_path / "run", "--data.source", tmp_path / "there", *EVALUATE)


# --- compare ---


def test_compare_from_a_file_to_a_report(works, refused, compared, tmp_path):
    shutil.copytree(compared[0], tmp_path, dirs_exist_ok=True)
    config, out = tmp_path / "comparison.yaml", compared[1].replace(str(compared[0]), str(tmp_path))
    assert out.splitlines()[0].split()[:2] == ["arm", "Fréchet"]
    assert [line.split()[0] for line in out.splitlines()[1:3]] == ["white", "low"]
    assert out.endswith(f"report: {tmp_path / 'out' / 'report.html'}\n")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(results["arms"]) == ["white", "low"]
    assert "low/samples" in load_file(tmp_path / "out" / "arrays.safetensors")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "low" in page
    assert "data:image/png;base64," in page
    # Again: refused as it is, done at once with --resume, refused with something else.
    assert "is not empty; continue that run with --resume" in refused("compare", config, "--out", tmp_path / "out")
    before = (tmp_path / "out" / "low" / "seed-0" / "evaluation" / "evaluation.json").stat().st_mtime_ns
    assert works("compare", config, "--out", tmp_path / "out", "--resume") == out
    assert (tmp_path / "out" / "low" / "seed-0" / "evaluation" / "evaluation.json").stat().st_mtime_ns == before
    write(tmp_path / "comparison.yaml", COMPARISON | {"data": {"source": "digits", "limit": 170}})
    message = refused("compare", config, "--out", tmp_path / "out", "--resume")
    assert message.startswith("data.limit is 170, but the comparison in")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_stop_a_comparison(number, code, sagd_, works, unpaged, tmp_path, monkeypatch):
    config = write(tmp_path / "comparison.yaml", COMPARISON)
    advance = Fit.advance

    def interrupted(self):
        if "low" in str(self.callbacks[-1]._run) and self.step == 1:
            os.kill(os.getpid(), number)
        return advance(self)

    with monkeypatch.context() as patch:
        patch.setattr(Fit, "advance", interrupted)
        stopped, out, err = sagd_("compare", config, "--out", tmp_path / "out")
    assert (stopped, out) == (code, "")
    assert err == f"sagd: stopped by {signal.Signals(number).name}; continue with --resume\n"
    assert "report: " in works("compare", config, "--out", tmp_path / "out", "--resume")


# --- bad input ---


def test_unknown_yaml_keys_are_refused(refused, tmp_path):
    message = refused("train", tiny(tmp_path, training={"stesp": 5}), "--out", tmp_path / "run")
    assert message == "unknown key 'training.stesp'; did you mean 'steps'?"
    config = write(tmp_path / "comparison.yaml", COMPARISON | {"arm": {}})
    assert refused("compare", config, "--out", tmp_path / "run") == "unknown key 'arm'; did you mean 'arms'?"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["train", "compare"])
def test_unreadable_configurations_are_refused(refused, tmp_path, command):
    message = refused(command, tmp_path / "none.yaml", "--out", tmp_path / "run")
    assert re.fullmatch(r"cannot read configuration '.*none\.yaml': No such file or directory", message)
    (tmp_path / "bad.yaml").write_text("training: {steps: 3")
    assert "is not YAML" in refused(command, tmp_path / "bad.yaml", "--out", tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data.channels", "2"], "data.channels must be 1 (grey) or 3 (RGB) of images, got 2"),
        (["--data.size", "0"], "data.size must be at least 1, got 0; e.g. 32"),
        (["--network.periodic", "2"], "network.periodic must name axes from [0, 1], once each, got [2]"),
        (
            ["--network.widths", "8", "8", "8", "8", "8"],
            "need sides of at least 16, got 8x8; use at most 4 levels",
        ),
        (["--process.spectrum", "band_pass(inside=-1)"], "band_pass inside must not be negative, got -1"),
        (["--process.spectrum", "power_law(alpha=nan)"], "power_law alpha cannot be nan, which is no number; give one"),
        (["--process.spectrum", "two_band(gamma_low=0, gamma_high=0)"], "zero"),
        (["--process.spectrum", "band_pass(low=0.6, high=0.2)"], "needs 0 <= low < high <= 1"),
        (["--process.spectrum", "band_pass(low=0.4, high=0.4)"], "got low=0.4, high=0.4"),
        (
            ["--process.spectrum", "power_law(alpah=1)"],
            "spectrum 'power_law' has no parameter 'alpah'; did you mean 'alpha'?",
        ),
        (["--process.schedule", "linear"], "unknown schedule 'linear'"),
        (["--data.source", "./nothing"], "no data set './nothing'"),
        (["--data.label-column", "kind"], "'digits' has no columns, so label_column 'kind' cannot be chosen"),
        (["--data.split", "validation"], "'digits' has no split 'validation'; available: train, test, all"),
        (
            ["--data.label-column", "none", "--network.conditional"],
            "network.conditional needs labels, and the data has none",
        ),
        (["--training.batch-size", "500"], "training.batch_size is 500 but the data has 160 images; use at most that"),
        (["--training.lr", "nan"], "training.lr must be positive, got nan"),
        (["--sampling.sampler", "plms"], "unknown sampler 'plms'"),
        (["--resume"], "nothing to resume in"),
    ],
)
def test_train_refuses_what_cannot_work(refused, tmp_path, options, message):
    assert message in refused("train", tiny(tmp_path), "--out", tmp_path / "run", *options)
    # The directory can be used as it is once the input is right.
    assert not (tmp_path / "run").exists()


@pytest.fixture
def bad_images(tmp_path):
    """Folders and files that cannot be trained on, by name."""
    rng = np.random.default_rng(0)

    def image(*shape):
        return rng.integers(0, 256, shape)

    for i in range(20):
        for name in ("sizes", "channels", "broken"):
            save(tmp_path / name / f"{i:02}.png", image(8, 8))
    save(tmp_path / "sizes" / "30.png", image(8, 9))
    save(tmp_path / "channels" / "30.png", image(8, 8, 3))
    whole = (tmp_path / "broken" / "00.png").read_bytes()
    (tmp_path / "broken" / "30.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("none")
    write_parquet(
        tmp_path / "table.parquet", [path.read_bytes() for path in sorted((tmp_path / "sizes").iterdir())[:20]]
    )
    return tmp_path


def write_parquet(path, images):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"image": [{"bytes": b, "path": None} for b in images], "kind": range(len(images))}), path)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("sizes", {}, r"images differ in size .*00\.png' is 8x8, .*30\.png' is 9x8; give all one with --data\.size"),
        (
            "channels",
            {},
            r"images differ in channels: .* is grey, .*30\.png' is colour; choose with --data\.channels 1 or 3",
        ),
        ("broken", {}, r"cannot read '.*30\.png': .*; leave such images out with --data\.skip-bad"),
        ("empty", {}, r"no data in '.*empty': found no files; known endings: .*\.png"),
        ("texts", {}, r"no data in '.*texts': found 1 other file\(s\), e\.g\. 'notes\.txt'"),
        (
            "table.parquet",
            {"--data.label-column": "label"},
            r"has no label column 'label'; it has image \(.*kind \(int64\)",
        ),
        (
            "table.parquet",
            {"--data.image-column": "kind"},
            r"column 'kind' of .* holds no images, sound or arrays",
        ),
    ],
)
@pytest.mark.parametrize("command", ["train", "inspect", "compare"])
def test_bad_images_are_refused(refused, bad_images, command, source, options, message):
    path, out = str(bad_images / source), bad_images / "out"
    if command == "compare":
        data = {key.removeprefix("--data.").replace("-", "_"): value for key, value in options.items()}
        args = [write(bad_images / "compare.yaml", COMPARISON | {"data": {"source": path} | data})]
    else:
        args = ["--data.source", path, *(text for pair in options.items() for text in pair)]
    assert re.search(message, refused(command, *args, "--out", out))
    assert not (bad_images / "out").exists()


def test_labels_missing_for_a_comparison(refused, bad_images):
    given = {"data": {"source": str(bad_images / "table.parquet")}, "evaluation": {"features": "classifier"}}
    config = write(bad_images / "compare.yaml", COMPARISON | given)
    assert "'table' has no labels for the feature classifier" in refused("compare", config, "--out", bad_images / "out")


def arguments(runs, comparison):
    """What commands need beside `--out`, those apart that need a model alone."""
    given = {"inspect": ["digits"], "gallery": ["digits"], "train": [runs / "tiny.yaml"], "compare": [comparison]}
    return given | {
        "corrupt": ["digits", "rain"],
        "restore": [runs / "plain", runs],
        "resample": [runs / "plain", runs],
    }


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "kinds"])
def test_directories_that_cannot_be_written_are_refused(refused, runs, tmp_path_factory, unwritable, command):
    config = write(tmp_path_factory.mktemp("config") / "compare.yaml", COMPARISON)
    args = arguments(runs, config).get(command, [runs / "plain"])
    message = refused(command, *args, "--out", unwritable)
    assert re.match(rf"cannot write in {str(unwritable)!r}: .*; choose another --out", message)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "kinds"])
def test_files_are_not_taken_for_output_directories(refused, runs, tmp_path, command):
    config = write(tmp_path / "compare.yaml", COMPARISON)
    args = arguments(runs, config).get(command, [runs / "plain"])
    (tmp_path / "file").write_text("kept")
    assert re.search(
        r"'.*file': (it|a part of this path) is no folder; ", refused(command, *args, "--out", tmp_path / "file")
    )
    assert (tmp_path / "file").read_text() == "kept"


def test_a_directory_in_use_is_not_trained_in(refused, runs):
    message = refused("train", runs / "tiny.yaml", "--out", runs / "plain")
    assert message == f"{str(runs / 'plain')!r} is not empty; continue that run with --resume, or choose another --out"


# --- one folder, one command ---


@pytest.mark.parametrize(
    ("command", "work"),
    [
        ("inspect", "sagd.data.load.load"),
        ("gallery", "sagd.study.gallery.exhibits"),
        ("train", "sagd.store.checkpoint.save_checkpoint"),
        ("sample", "sagd.build.draw.draw"),
        ("corrupt", "sagd.data.files.save_damaged"),
        ("restore", "sagd.study.restoration.restore_files"),
        ("resample", "sagd.study.resampling.resample_files"),
        ("evaluate", "sagd.study.evaluation.evaluate_model"),
        ("compare", "sagd.report.directory.render_directory"),
    ],
)
def test_a_command_holds_its_folder_from_start_to_end(
    command, work, works, sagd_, runs, striped, banded, unpaged, tmp_path, monkeypatch
):
    """A second command into the folder, while the first is at work, is refused and changes nothing."""
    config = write(tmp_path / "compare.yaml", COMPARISON | {"seeds": [0]})
    images = next((banded / "trial" / "clean").rglob("*.png"))
    args = {
        "inspect": ["digits"],
        "gallery": ["digits", "--names", "white"],
        "train": [runs / "tiny.yaml"],
        "sample": [runs / "plain", "--count", 2],
        "corrupt": ["digits", "rain(level=0.01)", "--data.limit", 20],
        "restore": [striped / "fill", images],
        "resample": [banded / "high", images, "--count", 1],
        "evaluate": [runs / "plain", *EVALUATE],
        "compare": [config],
    }[command]
    out, seconds = tmp_path / "out", []
    first = pkgutil.resolve_name(work)

    def disturbed(*args_, **options):
        if not seconds:
            seconds.append(None)
            before = sorted(out.rglob("*"))
            flags = ["--resume"] if command in ("train", "compare") else []
            seconds[:] = [sagd_(command, *args, "--out", out, *flags)]
            assert sorted(out.rglob("*")) == before
        return first(*args_, **options)

    monkeypatch.setattr(work, disturbed)
    assert main([command, *map(str, args), "--out", str(out)]) == 0
    message = f"another run (process {os.getpid()}) is writing in {str(out)!r}; wait, or choose another --out"
    assert seconds == [(2, "", f"sagd: {message}\n")]
    assert list(out.rglob(".lock")) == []


@pytest.mark.bits
def test_commands_started_together_do_not_mix(tmp_path):
    """Of several at once one gets the folder, and the others are refused, whoever is first."""
    code = "import sys; from sagd.cli import main; sys.stdin.read(); sys.exit(main(sys.argv[1:]))"
    args = ["corrupt", "digits", "rain(level=0.01)", "--data.limit", "60", "--out", str(tmp_path / "out"), "--seed"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    processes = [subprocess.Popen([sys.executable, "-c", code, *args, str(seed)], **pipes) for seed in range(3)]
    for process in processes:
        process.stdin.close()
        process.stdin = None
    errors = [process.communicate(timeout=120)[1].decode() for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 2, 2]
    assert all(re.fullmatch(r"sagd: .* choose another --out\n", errors[i]) for i in range(3) if codes[i])
    assert main([*args[:5], "--out", str(tmp_path / "alone"), "--seed", str(codes.index(0))]) == 0
    one, other = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.png")}
        for folder in (tmp_path / "out", tmp_path / "alone")
    )
    assert one == other


def test_what_is_refused_leaves_no_folder(refused, tmp_path):
    refused("sample", tmp_path / "nothing", "--out", tmp_path / "out")
    refused("train", tiny(tmp_path, network={"widths": [4] * 5}), "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["train", "sample"])
def test_a_file_system_without_locks(command, sagd_, runs, tmp_path, monkeypatch):
    """As network file systems may be: one line says so, and the work is done."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    given = runs / ("tiny.yaml" if command == "train" else "plain")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code, _, err = sagd_(command, given, "--out", tmp_path / "out")
    assert code == 0
    assert err.count("sagd: ") == 1
    assert re.match(r"sagd: warning: .*out' cannot be locked \(No locks available\); let no other command", err)


# --- signals ---

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


@pytest.fixture
def survive():
    """Handlers that make a signal nobody else takes a failure of the test, not the end of the suite."""

    def fail(number, _):
        raise AssertionError(f"nobody took {signal.Signals(number).name}")

    before = {number: signal.signal(number, fail) for number, _ in SIGNALS}
    yield
    assert all(signal.getsignal(number) is fail for number in before)
    for number, handler in before.items():
        signal.signal(number, handler)


def on_writing(monkeypatch, name, action):
    """Do something, once, when a file or directory of that name has been written and is about to appear."""
    done = []

    def acting(move, self, target):
        if Path(target).name == name and not done:
            done.append(target)
            action()
        return move(self, target)

    for move in (Path.rename, Path.replace):
        monkeypatch.setattr(Path, move.__name__, functools.partialmethod(functools.partial(acting, move)))


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_while_the_model_is_written_stops_training(
    number, code, sagd_, works, runs, tmp_path, monkeypatch, survive
):
    args = ["train", runs / "tiny.yaml", "--out", tmp_path / "run"]
    with monkeypatch.context() as patch:
        on_writing(patch, "model", lambda: signal.raise_signal(number))
        stopped, out, err = sagd_(*args)
    assert (stopped, out) == (code, "")
    assert err.splitlines()[-1] == f"sagd: stopped by {number.name}; continue with --resume"
    works(*args, "--resume")
    works("train", runs / "tiny.yaml", "--out", tmp_path / "whole")
    one, other = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("run", "whole"))
    assert all(torch.equal(one[key], other[key]) for key in other)


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_while_a_model_is_written_stops_a_comparison(
    number, code, sagd_, works, compared, unpaged, tmp_path, monkeypatch, survive
):
    config = write(tmp_path / "comparison.yaml", COMPARISON)
    args = ["compare", config, "--out", tmp_path / "out"]
    with monkeypatch.context() as patch:
        on_writing(patch, "model", lambda: signal.raise_signal(number))
        stopped, out, err = sagd_(*args)
    assert (stopped, out) == (code, "")
    assert err.splitlines()[-1] == f"sagd: stopped by {number.name}; continue with --resume"
    assert not (tmp_path / "out" / "low").exists()
    assert works(*args, "--resume") == compared[1].replace(str(compared[0]), str(tmp_path))


def go_on():
    """Work of a minute, which a signal must cut short."""
    for _ in range(6000):
        time.sleep(0.01)
    raise AssertionError("the signal was lost")


def loses_in_a_destructor(number):
    class Dying:
        def __del__(self):
            signal.raise_signal(number)

    Dying()
    go_on()


def loses_in_a_library(number):
    with contextlib.suppress(BaseException):
        signal.raise_signal(number)


def turns_into_another_error(number):
    try:
        signal.raise_signal(number)
    except BaseException as error:
        raise ImportError("initialization failed") from error


@pytest.mark.parametrize(
    "lost", [signal.raise_signal, loses_in_a_destructor, loses_in_a_library, turns_into_another_error]
)
@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_is_not_lost(lost, number, code, sagd_, monkeypatch, survive):
    """Python drops what is raised in a destructor, and libraries catch more than they should."""

    def interrupted(*args):
        lost(number)
        return load(*args)

    monkeypatch.setattr("sagd.data.load.load", interrupted)
    stopped, _, err = sagd_("inspect", "digits", "--data.limit", 30)
    assert (stopped, err) == (code, f"sagd: stopped by {number.name}\n")


@pytest.mark.parametrize("count", [1, 2])
def test_an_import_is_finished_before_a_signal_stops_a_command(count, sagd_, tmp_path, monkeypatch, survive):
    """An exception in the midst of one aborts the process in the C++ of torch; a second signal does not wait."""
    name, finished = f"slowly{count}", []
    lines = ["import signal", *["signal.raise_signal(signal.SIGTERM)"] * count]
    (tmp_path / f"{name}.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)

    def importing(*_):
        importlib.import_module(name)
        finished.append(True)
        go_on()

    monkeypatch.setattr("sagd.data.load.load", importing)
    assert sagd_("inspect", "digits") == (143, "", "sagd: stopped by SIGTERM\n")
    assert finished == [True] * (count == 1)


def test_a_signal_between_trainings_stops_a_comparison(sagd_, works, unpaged, tmp_path, monkeypatch, survive):
    config = write(tmp_path / "comparison.yaml", COMPARISON | {"seeds": [0]})
    args = ["compare", config, "--out", tmp_path / "out"]
    with monkeypatch.context() as patch:
        on_writing(patch, "evaluation", lambda: signal.raise_signal(signal.SIGTERM))
        stopped, out, err = sagd_(*args)
    assert (stopped, out) == (143, "")
    assert err.splitlines()[-1] == "sagd: stopped by SIGTERM; continue with --resume"
    assert "report: " in works(*args, "--resume")


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_signals_while_the_command_line_is_imported(number, code):
    """From the first line of the program, and without a traceback."""
    script = f"""
import runpy, signal, sys
class Signal:
    def find_spec(self, name, *_):
        if name == "tyro":
            signal.raise_signal({int(number)})
sys.meta_path.insert(0, Signal())
sys.argv = ["sagd", "--help"]
runpy.run_module("sagd", run_name="__main__", alter_sys=True)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"sagd: stopped by {number.name}\n")


# --- faults of paths, values and the machine ---


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("network: {blocks: 1000}", "about 24,012 layers.*at most 4,000 layers are built"),
        ("network: {widths: [1000000000]}", "this machine has"),
        ("training: {batch_size: 1000000000}", "training.batch_size must be at most 1,048,576, got 1000000000"),
        ("sampling: {steps: 10000000000}", "sampling.steps must be at most 100,000, got 10000000000"),
        ("data: {size: 1000000}", "data.size must be at most 65536, got 1000000"),
        ("denoiser: {time: 'log_normal(mean=1e308, std=1e308)'}", "log_normal std must be positive and at most 30"),
        (
            "process: {basis: 'wavelet(levels=1000000000)'}",
            r"levels need sides that divide by 2\^1000000000",
        ),
        ("data: {corruption: 'hum(harmonics=1000000000)'}", "hum harmonics must be at most 4,096"),
        ("data: !!map x", "is not YAML: expected a mapping node"),
        ("data: {flip: !!bool x}", "a value does not fit its type"),
        ("training: {steps: !!timestamp foo}", "a value does not fit its type"),
        ("training: {steps: !!int ''}", "a value does not fit its type"),
    ],
)
def test_values_that_no_machine_takes_are_refused_at_once(refused, tmp_path, settings, message):
    (tmp_path / "a.yaml").write_text(settings)
    assert re.search(message, refused("train", tmp_path / "a.yaml", "--out", tmp_path / "out"))


def test_configurations_are_files(refused, tmp_path):
    os.mkfifo(tmp_path / "a.yaml")
    for command in ("train", "compare"):
        message = refused(command, tmp_path / "a.yaml", "--out", tmp_path / "out")
        assert message.endswith("a.yaml': it is a pipe, which may never end; a file is needed")


def test_models_are_files(refused, runs, tmp_path):
    for name in ("model.json", "model.safetensors"):
        shutil.copytree(runs / "plain", tmp_path / name)
        (tmp_path / name / "model" / name).unlink()
        os.mkfifo(tmp_path / name / "model" / name)
        assert "it is a pipe" in refused("sample", tmp_path / name, "--out", tmp_path / "out")


@pytest.mark.parametrize("command", ["sample", "clean", "resample"])
def test_names_that_are_too_long_are_named(refused, command, tmp_path):
    long = "x" * 300
    args = [long, "digits"] if command == "resample" else [long]
    message = refused(command, *args, "--out", tmp_path / "out")
    assert long in message
    assert message.endswith("File name too long") or "holds no model" in message


def test_the_system_says_no_in_one_line(refused, monkeypatch, tmp_path):
    for error, line in (
        (OSError(errno.EIO, "Input/output error", "a.png"), "cannot use 'a.png': Input/output error"),
        (MemoryError(), "the memory is too small"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
        (OverflowError("int too large"), "a number is too large: int too large"),
    ):

        def fail(_, error=error):
            raise error

        monkeypatch.setitem(sagd.cli.program._RUNNERS, "gallery", fail)
        assert refused("gallery", "digits", "--out", tmp_path / "out").startswith(line)


def test_errors_of_the_program_keep_their_trace(monkeypatch, tmp_path):
    def fail(_):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setitem(sagd.cli.program._RUNNERS, "gallery", fail)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        main(["gallery", "digits", "--out", str(tmp_path / "out")])


def test_a_clock_that_stands_still(works_quietly, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "perf_counter", lambda: 5.0)
    monkeypatch.setattr(time, "monotonic", lambda: 5.0)
    works_quietly("train", write(tmp_path / "tiny.yaml", TINY), "--out", tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(line["seconds"] == line["waited"] == 0 for line in lines)
    works_quietly("sample", tmp_path / "run", "--count", "2", "--out", tmp_path / "drawn")


def test_names_that_are_no_text(works_quietly, striped, tmp_path):
    """Of the run, of files that are restored, and on the page; as long as a disk takes them."""
    images = tmp_path / "images"
    images.mkdir()
    names = [os.fsdecode(b"\xff\xfe.png"), f"{'a' * 251}.png", "two\nlines.png"]
    for name, path in zip(names, sorted((striped / "trial" / "damaged").rglob("*.png")), strict=False):
        shutil.copy(path, images / name)
    run, out = tmp_path / os.fsdecode(b"run\xff"), tmp_path / os.fsdecode(b"out\xff")
    shutil.copytree(striped / "fill", run)
    works_quietly("restore", run, images, "--out", out)
    assert sorted(path.name for path in (out / "images").iterdir()) == sorted(names)
    assert "\\udcff\\udcfe.png" in (out / "report.html").read_text(encoding="utf-8")


def test_a_class_of_images_called_model_is_no_model(sagd_, refused, tmp_path):
    noise = np.random.default_rng(0)
    for i in range(20):
        save(tmp_path / "data" / ("model", "plane")[i % 2] / f"{i}.png", noise.integers(0, 256, (8, 8)))
    assert "holds no model" in refused("sample", tmp_path / "data", "--out", tmp_path / "out")
    assert "is a folder of files: name the reference" in refused("evaluate", tmp_path / "data")
    assert sagd_("inspect", tmp_path / "data")[0] == 0


# --- printing ---


@pytest.fixture(params=[1, -1], ids=["by line", "at the end"])
def full(request, sagd_):
    """`full(command, ...)`: as `sagd_`, on a full disk, which refuses every line of output, or all of it at the end."""
    if not Path("/dev/full").exists():
        pytest.skip("only Linux has a disk that is always full")

    def run(*args):
        with (
            open("/dev/full", "w", buffering=request.param, encoding="utf-8") as stream,  # noqa: PTH123
            contextlib.redirect_stdout(stream),
        ):
            return sagd_(*args)

    return run


UNPRINTABLE = "sagd: cannot print the result: {}; what belongs in --out is there\n"


def test_what_cannot_be_printed_has_been_written(full, striped, runs, tmp_path):
    line = UNPRINTABLE.format("No space left on device")
    assert full("inspect", striped / "trial" / "damaged", "--out", tmp_path / "look") == (1, "", line)
    names = ["band.png", "band.yaml", "inspection.json", "spectrum.png"]
    assert sorted(path.name for path in (tmp_path / "look").iterdir()) == names
    code, out, err = full("evaluate", runs / "plain", "--out", tmp_path / "measured", *EVALUATE)
    assert (code, out, err.splitlines(keepends=True)[-1]) == (1, "", line)
    assert [path.name for path in (tmp_path / "measured").iterdir()] == ["evaluation.json"]


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["train", "--help"]])
def test_help_that_cannot_be_printed(full, args):
    assert full(*args) == (1, "", UNPRINTABLE.format("No space left on device"))


def shell(line, *args, **environment):
    """Exit code, output and errors of `sagd` in a shell, which opens and closes streams."""
    command = ["sh", "-c", f'"$0" -m sagd "$@" {line}', sys.executable, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
    return done.returncode, done.stdout, done.stderr


def test_closed_streams(tmp_path):
    """Whose numbers the next files would get."""
    args = ["inspect", painted(tmp_path / "noise", noise), "--out"]
    assert shell(">&-", *args, tmp_path / "one") == (1, "", UNPRINTABLE.format("standard output is closed"))
    code, out, err = shell("2>&-", *args, tmp_path / "two")
    assert (code, err) == (0, "")
    assert "noise" in out
    files = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("one", "two")]
    assert files[0] == files[1] == ["band.png", "inspection.json", "spectrum.png"]
    assert shell("2>&-", "trian", "--out", tmp_path / "three") == (2, "", "")


def test_a_terminal_that_knows_ascii_alone(tmp_path):
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
    images = painted(tmp_path / "noise", noise, 150)
    args = ["evaluate", images, "--data.source", images, *EVALUATE]
    code, out, err = shell("", *args, "--out", tmp_path / "é", **environment)
    # What takes more than two seconds is named.
    assert code == 0
    assert re.fullmatch(r"([\w ]+ \.\.\.\n)*", err)
    assert re.search(r"^Frechet distance +\d", out, re.MULTILINE)
    assert out.endswith(f"wrote {tmp_path / 'é' / 'evaluation.json'}\n")
    assert (tmp_path / "é" / "evaluation.json").exists()


# --- bars ---


def test_bars_are_for_terminals(runs, tmp_path):
    """On a terminal, what takes over two seconds shows a bar; the tests above see none elsewhere."""
    at_once = "import sys, sagd.counting; sagd.counting.SHORT = 0.0; from sagd.__main__ import main; sys.exit(main())"
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    environment = os.environ | {"TERM": "xterm"}
    args = ["sample", str(runs / "plain"), "--count", "4", "--out", str(tmp_path / "drawn")]
    process = subprocess.Popen(
        [sys.executable, "-c", at_once, *args], stdout=subprocess.PIPE, stderr=slave, env=environment, text=True
    )
    os.close(slave)
    shown = b""
    # Reading a terminal whose other end is closed is an error on Linux.
    try:
        while part := os.read(master, 4096):
            shown += part
    except OSError:
        pass
    os.close(master)
    assert f"images in {tmp_path / 'drawn' / 'images'}" in process.communicate()[0]
    assert process.returncode == 0
    assert b"sampling" in shown


def test_large_tables_load_without_bars_elsewhere(bad_images, tmp_path):
    code = """
import sys
from sagd.cli import main
from sagd.data.sources import base as sources
sources.MEMORY_LIMIT = 0
sys.exit(main(sys.argv[1:]))
"""
    environment = os.environ | {"HF_HOME": str(tmp_path / "hf")}
    done = subprocess.run(
        [sys.executable, "-c", code, "inspect", str(bad_images / "table.parquet")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "20 images of table" in done.stdout


def test_one_of_many_is_spoken_of_as_one(runs, tmp_path, capsys):
    assert main(["sample", str(runs / "plain"), "--count", "1", "--out", str(tmp_path)]) == 0
    assert " and 1 image in " in capsys.readouterr().out


@pytest.mark.parametrize("command", ["train", "inspect", "design", "gallery"])
def test_pictures_of_one_brightness_are_refused(command, refused, tmp_path):
    folder = painted(tmp_path / "flat", lambda _: np.full((16, 16), 77, np.uint8))
    data = ["--data.source", folder] if command == "train" else [folder]
    options = {"train": ["--training.batch-size", "4"], "gallery": ["--names", "white"]}.get(command, [])
    message = refused(command, *data, *options, "--out", tmp_path / "out")
    assert message == "'flat' does not vary: all its values are 77, of which nothing can be learnt"


def test_low_and_wide_pictures_are_taken_as_they_are(works, tmp_path):
    folder = painted(tmp_path / "thin", lambda i: np.random.default_rng(i).integers(0, 255, (6, 40), dtype=np.uint8))
    assert "1 x 6 x 40" in works("inspect", folder)
    short = ["--training.steps", 1, "--training.batch-size", 4, "--training.sample-every", 0, "--network.widths", 4, 8]
    works("train", "--data.source", folder, *short, "--out", tmp_path / "run")
    works("sample", tmp_path / "run", "--count", 2, "--steps", 2, "--out", tmp_path / "drawn")
    assert pictures(tmp_path / "drawn" / "images").shape == (2, 6, 40)
