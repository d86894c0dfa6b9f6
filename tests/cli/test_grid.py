"""Every command on every kind of signal: a folder of files goes in, files of the same kind come out."""

import json
import re
import wave

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image
from safetensors.torch import load_file

from sagd.cli.program import main
from sagd.data.formats.find import format_of
from sagd.data.kinds import Kind
from sagd.random import generator_for, randn

COUNT = 20


def smooth(*shape, seed):
    """A field whose neighbours are alike."""
    x = randn(shape, generator_for(seed, "signals"))
    for axis in range(x.ndim):
        x = (x + x.roll(1, axis) + x.roll(-1, axis)) / 1.7
    return x.numpy()


def images(folder):
    for i in range(COUNT):
        tifffile.imwrite(folder / f"{i}.tif", (2000 + 300 * smooth(8, 8, seed=i)).astype(np.uint16))


def sounds(folder):
    for i in range(COUNT):
        with wave.open(str(folder / f"{i}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            # Two lengths, of which the shorter is padded.
            file.writeframes((5000 * smooth(64 - 8 * (i % 2), seed=i)).astype("<i2").tobytes())


def series(folder):
    for i in range(COUNT):
        rows = np.column_stack([np.arange(64) / 50, 20 + smooth(64, seed=i), 1000 + 9 * smooth(64, seed=100 + i)])
        np.savetxt(folder / f"{i}.csv", rows, "%.5f", ",", header="time [s],temperature,pressure", comments="")


def films(folder):
    for i in range(COUNT):
        frames = np.clip(128 + 30 * smooth(4, 8, 8, seed=i), 0, 255).astype(np.uint8)
        pictures = [Image.fromarray(frame) for frame in frames]
        pictures[0].save(folder / f"{i}.gif", save_all=True, append_images=pictures[1:], duration=50)


def volumes(folder):
    for i in range(COUNT):
        values = (100 * smooth(8, 8, 8, seed=i)).astype(np.int16)
        metadata = {"axes": "ZYX", "spacing": 2.0, "unit": "mm"}
        tifffile.imwrite(folder / f"{i}.tif", values, imagej=True, metadata=metadata, resolution=(2, 2))


def fields(folder):
    np.save(folder / "all.npy", np.stack([smooth(8, 8, seed=i) for i in range(COUNT)]).astype(np.float32))


KINDS = {
    "image": (images, ".tif", []),
    "audio": (sounds, ".wav", ["--data.size", "64"]),
    "series": (series, ".csv", []),
    "video": (films, ".gif", []),
    "volume": (volumes, ".tif", ["--data.kind", "volume"]),
    "field": (fields, ".npy", []),
}
RUN = {
    "network": {"widths": [4, 8]},
    "training": {"steps": 4, "batch_size": 4, "sample_every": 4, "log_every": 2, "device": "cpu", "precision": "no"},
    "sampling": {"steps": 3},
}
OWN = {"audio": {"size": 64}, "volume": {"kind": "volume"}}
BAND = "ring(low=0.6, high=0.8)"


@pytest.fixture(scope="module", params=KINDS)
def kind(request, tmp_path_factory):
    """A kind with a folder of data, a configuration, and one tiny model that every command uses."""
    make, ending, options = KINDS[request.param]
    root = tmp_path_factory.mktemp(request.param)
    (root / "data").mkdir()
    make(root / "data")
    (root / "run.yaml").write_text(yaml.safe_dump(RUN))
    code = main(
        ["train", str(root / "run.yaml"), "--data.source", str(root / "data"), *options, "--out", str(root / "run")]
    )
    assert code == 0
    return request.param, root, ending, options


def test_train_leaves_a_picture_and_says_what_values_mean(kind):
    name, root, ending, _ = kind
    assert (root / "run" / "samples" / "step-000004.png").stat().st_size > 200
    meaning = json.loads((root / "run" / "model" / "model.json").read_text())["data"]["meaning"]
    assert (meaning["kind"], meaning["ending"]) == (name, ending)


HUM = "mains(frequency='1 kHz', wander=0, vary=0, harmonics=1, level=0.1)"


def test_damage_in_hertz_where_the_rate_is_known(tmp_path, capfd):
    (tmp_path / "sound").mkdir()
    sounds(tmp_path / "sound")
    out = ["--data.size", "64", "--out", str(tmp_path / "out")]
    assert main(["corrupt", str(tmp_path / "sound"), HUM, *out]) == 0
    low, high = map(float, re.search(r"strip\(low=([\d.]+), high=([\d.]+)\)", capfd.readouterr().out).groups())
    assert (low + high) / 2 == pytest.approx(1000 / 8000, abs=1e-3)
    assert main(["corrupt", "digits", HUM, "--out", str(tmp_path / "refused")]) == 2
    assert "mains frequency is in kHz, and the data has no rate; give data.rate" in capfd.readouterr().err


def test_inspect(kind, capfd):
    name, root, _, options = kind
    assert main(["inspect", str(root / "data"), *options, "--out", str(root / "inspect")]) == 0
    said = capfd.readouterr().out
    units = {"audio": "kHz", "series": "Hz", "volume": "cycles/mm"}
    if name in units:
        assert units[name] in said
    assert (root / "inspect" / "spectrum.png").stat().st_size > 1000


def test_sample_and_evaluate(kind, capfd):
    _, root, ending, options = kind
    assert main(["sample", str(root / "run"), "--count", "8", "--out", str(root / "drawn")]) == 0
    assert (root / "drawn" / "grid.png").stat().st_size > 200
    (folder,) = (path for path in (root / "drawn").iterdir() if path.is_dir())
    files = sorted(folder.glob(f"*{ending}"))
    assert len(files) == 8
    first = next(path for path in sorted((root / "data").iterdir()))
    given, drawn = (format_of(path).scan(path)[0] for path in (first, files[0]))
    assert (given.dtype, dict(given.steps)) == (drawn.dtype, dict(drawn.steps))
    evaluation = ["--evaluation.samples", "8", "--evaluation.bands", "3"]
    assert main(["evaluate", str(root / "run"), *evaluation, "--out", str(root / "figures.json")]) == 0
    source = ["--data.source", str(root / "data"), *options]
    assert main(["evaluate", str(folder), *evaluation, *source]) == 0
    assert main(["inspect", str(folder)]) == 0  # which knows nothing of the model
    assert "spectral" in capfd.readouterr().out.lower()


def test_compare(kind, undrawn):
    name, root, _, _ = kind
    config = RUN | {
        "arms": {"white": {}, "low": {"spectrum": "power_law(alpha=-0.2)"}},
        "training": RUN["training"] | {"sample_every": 0},  # a picture of the first training has been looked at
        "evaluation": {"samples": 8, "bands": 3},
        "data": {"source": str(root / "data")} | OWN.get(name, {}),
    }
    (root / "compare.yaml").write_text(yaml.safe_dump(config))
    assert main(["compare", str(root / "compare.yaml"), "--out", str(root / "compared")]) == 0
    assert "<img" in (root / "compared" / "report.html").read_text()
    kept = load_file(root / "compared" / "arrays.safetensors")
    # Of records every frequency but 0, so that narrow lines stay.
    lines = {name: kept.get(name) for name in ("spectrum/rho", "low/noise_spectrum", "white/sample_spectrum")}
    expected = {"audio": [(32,), (32,), (1, 32)], "series": [(32,), (32,), (2, 32)]}.get(name, [None] * 3)
    assert [None if values is None else tuple(values.shape) for values in lines.values()] == expected


def test_gallery(kind, undrawn):
    _, root, _, options = kind
    names = ["--names", "white", "blurring"]
    assert main(["gallery", str(root / "data"), *options, *names, "--out", str(root / "gallery")]) == 0


def test_corrupt_and_restore(kind, undrawn, capfd):
    name, root, ending, options = kind
    damage = ["band_noise(low=0.6, high=0.8, level=0.3)"]
    assert main(["corrupt", str(root / "data"), *damage, *options, "--out", str(root / "damaged")]) == 0
    damaged = sorted((root / "damaged" / "damaged").rglob(f"*{ending}"))
    given = sorted((root / "data").iterdir())
    if "--data.size" in options:  # windows are no files
        assert len(damaged) == COUNT
    else:
        assert [path.name for path in damaged] == sorted(path.name for path in given)
    train = ["train", str(root / "run.yaml"), "--data.source", str(root / "damaged" / "damaged"), *options]
    omission = ["--process.omission.mode", "project", "--process.omission.band", BAND, "--training.sample-every", "0"]
    assert main([*train, *omission, "--out", str(root / "project")]) == 0
    assert main(["restore", str(root / "project"), *map(str, damaged[:3]), "--out", str(root / "restored")]) == 0
    restored = sorted((root / "restored" / Kind.member(name).item[1]).glob(f"*{ending}"))
    assert [path.name for path in restored] == [path.name for path in damaged[:3]]
    for one, other in zip(damaged, restored, strict=False):
        given, own = (format_of(path).scan(path)[0] for path in (one, other))
        assert (given.shape, given.dtype, dict(given.steps)) == (own.shape, own.dtype, dict(own.steps))


def test_resample(kind, undrawn):
    name, root, ending, options = kind
    train = ["train", str(root / "run.yaml"), "--data.source", str(root / "data"), *options]
    bands = ["--denoiser.bands", "random", "--training.sample-every", "0"]
    assert main([*train, *bands, "--out", str(root / "bands")]) == 0
    given = sorted((root / "data").iterdir())[0]
    resample = ["resample", str(root / "bands"), str(given), "--band", "0.5", "1", "--count", "2", "--steps", "3"]
    assert main([*resample, "--out", str(root / "variants")]) == 0
    assert len(list((root / "variants" / Kind.member(name).item[1]).glob(f"*{ending}"))) == 2
