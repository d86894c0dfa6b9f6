"""Files that are damaged in turn: one line names them, or what was made of them is as it was; no pickle is run."""

import json
import os
import pickle
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.faults.campaign import BAND, KINDS, LONG, TRAINING, contents, drawn, quietly, refusal, unharmed

LONGER = {**TRAINING, "keep_checkpoints": 2, "lr_decay": "none"}


class Malicious:
    """A pickle that makes a folder where it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def cut(path, random_, _):
    path.write_bytes(path.read_bytes()[: random_.randrange(path.stat().st_size)])


def flip(path, random_, _):
    content = bytearray(path.read_bytes())
    content[random_.randrange(len(content))] ^= 1 << random_.randrange(8)
    path.write_bytes(bytes(content))


def empty(path, *_):
    path.write_bytes(b"")


def remove(path, *_):
    path.unlink()


def folder(path, *_):
    path.unlink()
    path.mkdir()


def pickled(path, _, marker):
    path.write_bytes(pickle.dumps(Malicious(marker)))


def text(path, *_):
    path.write_text("hello\n")


def loop(path, *_):
    path.unlink()
    path.symlink_to(path.name)


def pipe(path, *_):
    path.unlink()
    os.mkfifo(path)


DAMAGES = (cut, flip, flip, empty, remove, folder, pickled, text, loop, pipe)


def damages(names):
    """Pairs of a file and what is done to it."""
    return [(name, i) for name in names for i in range(len(DAMAGES))]


def damaged(path, number, marker):
    """Do it; flips are at other places each."""
    DAMAGES[number](path, random.Random(f"{path.name} {number}"), marker)


@pytest.fixture(scope="module")
def run(bench, tmp_path_factory):
    """A run of two checkpoints, and what two more steps make of it."""
    whole = tmp_path_factory.mktemp("run")
    config = bench.config("field", training=LONGER)
    assert quietly("train", config, "--out", whole / "before").code == 0
    shutil.copytree(whole / "before", whole / "after")
    args = ["train", config, "--resume", "--training.steps", 6, "--out"]
    assert quietly(*args, whole / "after").code == 0
    return args, whole / "before", model_of(whole / "after")


def model_of(out):
    return contents(out / "model")


def test_a_damaged_run_is_gone_on_with_or_refused(run, tmp_path, campaign):
    args, before, expected = run
    names = [str(path.relative_to(before)) for path in sorted(before.rglob("*")) if path.is_file()]
    newest = "checkpoints/step-00000004"
    with campaign("damaged files") as faults:
        for name, number in drawn("run", damages(names), 7):
            with faults(f"{name} of a run: {DAMAGES[number].__name__} ({number})"):
                out, marker = tmp_path / "out", tmp_path / "marker"
                shutil.copytree(before, out)
                damaged(out / name, number, marker)
                with unharmed(out):
                    ended = quietly(*args, out)
                if ended.code:
                    refusal(ended)
                else:
                    assert model_of(out) == expected
                    assert (newest in name) <= (f"{newest[12:]} is passed over" in ended.err), ended.err
                assert not marker.exists()
            shutil.rmtree(tmp_path / "out", ignore_errors=True)


@pytest.mark.parametrize("name", ["config.yaml", "metrics.jsonl", "checkpoints/step-00000004/state.json"])
def test_a_run_with_a_pipe_is_gone_on_with_or_refused_at_once(name, run, tmp_path, campaign):
    args, before, expected = run
    with campaign("damaged files") as faults, faults(f"{name} of a run: pipe"):
        out = tmp_path / "out"
        shutil.copytree(before, out)
        pipe(out / name)
        with unharmed(out, 60):
            ended = quietly(*args, out)
        if ended.code:
            assert "it is a pipe" in refusal(ended)
            assert "Errno" not in ended.err
        else:
            assert model_of(out) == expected


def test_a_damaged_model_is_refused_or_samples_the_same(bench, tmp_path, campaign):
    model = bench.model("audio")
    names = [str(path.relative_to(model)) for path in sorted(model.rglob("*")) if path.is_file()]
    expected = bench.undisturbed("sample", "audio").files
    with campaign("damaged files") as faults:
        for name, number in drawn("model", damages(names), 7):
            with faults(f"{name} of a model: {DAMAGES[number].__name__} ({number})"):
                copy, out, marker = tmp_path / "copy", tmp_path / "out", tmp_path / "marker"
                shutil.copytree(model, copy)
                damaged(copy / name, number, marker)
                with unharmed(out):
                    ended = quietly("sample", copy, "--count", 2, "--out", out)
                if ended.code:
                    refusal(ended)
                    assert not out.exists()
                else:
                    assert not name.startswith("model/"), f"{name} was not read"
                    assert contents(out) == expected
                assert not marker.exists()
            for path in (tmp_path / "copy", tmp_path / "out"):
                shutil.rmtree(path, ignore_errors=True)


def test_a_damaged_comparison_is_gone_on_with_or_refused(bench, tmp_path, campaign):
    config = bench.config("field", arms={"white": {}}, evaluation={"samples": 8})
    before = tmp_path / "before"
    assert quietly("compare", config, "--out", before).code == 0
    expected = contents(before)
    names = [name for name in expected if "checkpoints" not in name]
    with campaign("damaged files") as faults:
        for name, number in drawn("comparison", damages(names), 1):
            with faults(f"{name} of a comparison: {DAMAGES[number].__name__} ({number})"):
                out, marker = tmp_path / "out", tmp_path / "marker"
                shutil.copytree(before, out)
                damaged(out / name, number, marker)
                with unharmed(out):
                    ended = quietly("compare", config, "--out", out, "--resume")
                if ended.code:
                    refusal(ended)
                else:
                    others = [key for key in expected if key != name]
                    assert contents(out, others) == {key: expected[key] for key in others}
                assert not marker.exists()
            shutil.rmtree(tmp_path / "out", ignore_errors=True)


# --- data, in every format ---


def _values(i):
    x = np.random.default_rng(i).standard_normal((8, 8)).astype(np.float32)
    return x + np.roll(x, 1, 0) + np.roll(x, 1, 1)


def _npz(path, i):
    np.savez_compressed(path, field=_values(i))


def _h5(path, i):
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("field", data=_values(i), compression="gzip")


def _nc(path, i):
    import netCDF4

    with netCDF4.Dataset(path, "w") as file:
        for name in ("lat", "lon"):
            file.createDimension(name, 8)
        file.createVariable("wind", "f4", ("lat", "lon"), zlib=True)[:] = _values(i)


def _tif(path, i):
    import tifffile

    tifffile.imwrite(path, _values(i), compression="zlib")


def _jpg(path, i):
    from PIL import Image

    Image.fromarray((128 + 20 * _values(i)).clip(0, 255).astype(np.uint8)).save(path)


def _flac(path, i):
    import soundfile

    soundfile.write(path, _values(i).flatten() / 20, 8000)


def _parquet(path, i):
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    rows = []
    for k in range(16):
        file = io.BytesIO()
        Image.fromarray((128 + 20 * _values(16 * i + k)).clip(0, 255).astype(np.uint8)).save(file, "PNG")
        rows.append(file.getvalue())
    pq.write_table(pa.table({"image": rows}), path)


FORMATS = {".npz": _npz, ".h5": _h5, ".nc": _nc, ".tif": _tif, ".jpg": _jpg, ".flac": _flac, ".parquet": _parquet}


@pytest.fixture(scope="module")
def files(bench, tmp_path_factory):
    """Folders of files: of every kind of signal, and in other formats."""
    folders = {kind: bench.data(kind) for kind in KINDS}
    for ending, write in FORMATS.items():
        folders[ending] = tmp_path_factory.mktemp(ending[1:])
        for i in range(1 if ending == ".parquet" else 4):
            write(folders[ending] / f"item-{i}{ending}", i)
    return folders


@pytest.mark.parametrize("name", [*KINDS, *FORMATS])
def test_damaged_data_is_refused_or_read(name, files, tmp_path, campaign):
    """Flipped bits of values cannot be noticed where formats have no checksum; all else is named."""
    rounds = 12 if LONG else 1
    with campaign("damaged files") as faults:
        for again in range(rounds):
            for number in drawn(f"data {name} {again}", range(len(DAMAGES)), 1):
                with faults(f"data of {name}: {DAMAGES[number].__name__} ({number}, {again})"):
                    copy, out, marker = tmp_path / "copy", tmp_path / "out", tmp_path / "marker"
                    shutil.copytree(files[name], copy)
                    victim = sorted(path for path in copy.iterdir() if path.is_file())[0]
                    DAMAGES[number](victim, random.Random(f"{name} {number} {again}"), marker)
                    for command in (
                        ["corrupt", copy, "band_noise(low=0.5, high=0.8, level=0.1)"],
                        ["clean", victim, "--band", BAND, "--dry-run"],
                    ):
                        with unharmed(out, 60):
                            ended = quietly(*command, "--out", out)
                        if ended.code:
                            refusal(ended, some=command[0] == "clean")
                        shutil.rmtree(out, ignore_errors=True)
                    assert not marker.exists()
                for path in (tmp_path / "copy", tmp_path / "out"):
                    shutil.rmtree(path, ignore_errors=True)


def test_pickles_are_no_models(bench, tmp_path, campaign):
    with campaign("damaged files") as faults:
        for ending in (".pt", ".bin", ".ckpt", ".pkl", ".pth", ".safetensors", ""):
            with faults(f"a pickle named model{ending}"):
                marker, path = tmp_path / "marker", tmp_path / f"model{ending}"
                path.write_bytes(pickle.dumps(Malicious(marker)))
                assert "model" in refusal(quietly("sample", path, "--out", tmp_path / "out"))
                assert not marker.exists()


def test_every_file_of_a_run_is_covered(run):
    """What a new version writes beside these is damaged, too, as they are found by listing."""
    _, before, _ = run
    listed = {path.name for path in Path(before).rglob("*") if path.is_file()}
    assert {"config.yaml", "versions.json", "metrics.jsonl", "state.json", "manifest.json", "model.json"} <= listed
    assert json.loads((before / "model" / "manifest.json").read_text())["format"] == 1
