"""Folders and files that were made to harm: they are left out or refused in a line, soon, and none is run."""

import io
import os
import shutil
import socket
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from tests.faults.campaign import BAND, KINDS, LONG, contents, drawn, quietly, refusal, unharmed, write_data
from tests.faults.test_damage import Malicious

SECONDS = 60
MEMORY = 2 << 30


def commands(bench, kind, data):
    """Those that read data that somebody names, files by themselves included."""
    found = {
        "corrupt": ["corrupt", data, "band_noise(low=0.5, high=0.8, level=0.1)"],
        "clean": ["clean", data, "--band", BAND],
        "inspect": ["inspect", data],
        "restore": ["restore", bench.model(kind), data],
        "train": ["train", "--data.source", data, "--training.steps", 1, "--training.batch-size", 2],
        "evaluate": ["evaluate", data, "--data.source", bench.data(kind)],
        "gallery": ["gallery", data, "--names", "white"],
        "design": ["design", data, "--evaluations", 4],
        "resample": ["resample", bench.model(kind, "bands"), data, "--count", 1],
    }
    return found if LONG else {name: found[name] for name in ("corrupt", "clean")}


# --- folders ---


def fifo(folder, ending):
    os.mkfifo(folder / f"a{ending}")


def device(folder, ending):
    (folder / f"a{ending}").symlink_to("/dev/zero")


def unix_socket(folder, ending):
    with socket.socket(socket.AF_UNIX) as made:
        where = os.open(folder, os.O_RDONLY)
        made.bind(f"/proc/self/fd/{where}/a{ending}")
        os.close(where)


def link_to_itself(folder, ending):
    (folder / f"a{ending}").symlink_to(f"a{ending}")


def link_to_nothing(folder, ending):
    (folder / f"a{ending}").symlink_to("/nowhere/at/all")


def link_upwards(folder, _):
    (folder / "up").symlink_to("..")


def loop_of_folders(folder, _):
    for one, other in (("x", "y"), ("y", "x")):
        (folder / one).mkdir()
        (folder / one / other).symlink_to(folder / other)


def no_text(folder, ending):
    victim = sorted(folder.iterdir())[0]
    victim.rename(folder / f"\udcff{ending}")


def longest_name(folder, ending):
    victim = sorted(folder.iterdir())[0]
    victim.rename(folder / ("x" * (255 - len(ending)) + ending))


def new_line(folder, ending):
    sorted(folder.iterdir())[0].rename(folder / f"a\nb{ending}")


def deep(folder, ending):
    below = folder.joinpath(*["d"] * 60)
    below.mkdir(parents=True)
    shutil.copy(sorted(path for path in folder.iterdir() if path.is_file())[0], below / f"a{ending}")


def folder_named_as_a_file(folder, ending):
    (folder / f"a{ending}").mkdir()


def unknown_file(folder, _):
    (folder / "notes.doc").write_bytes(b"\0" * 100)


SPECIAL = (fifo, device, unix_socket)
LINKS = (link_to_itself, link_to_nothing, link_upwards, loop_of_folders)
NAMES = (no_text, longest_name, new_line)
OTHERS = (deep, folder_named_as_a_file, unknown_file)


@pytest.mark.parametrize("kind", KINDS)
def test_folders(kind, bench, tmp_path, campaign):
    harmed(drawn(f"folders {kind}", (*SPECIAL, *LINKS, *OTHERS), 2), kind, bench, tmp_path, campaign)


@pytest.mark.parametrize("kind", drawn("kinds with names", KINDS, 2))
def test_names(kind, bench, tmp_path, campaign):
    harmed(NAMES, kind, bench, tmp_path, campaign)


def harmed(harms, kind, bench, tmp_path, campaign):
    """Try commands on a folder with each harm."""
    with campaign("hostile data") as faults:
        for harm in harms:
            data = write_data(tmp_path / "top" / "data", kind, 4)
            harm(data, next(data.glob("item-*")).suffix)
            out = tmp_path / "out"
            for name, args in commands(bench, kind, data).items():
                with faults(f"{harm.__name__} in {kind}: {name}"), unharmed(out, SECONDS, MEMORY):
                    ended = quietly(*args, "--out", out)
                    if ended.code:
                        refusal(ended, some=name == "clean")
                shutil.rmtree(out, ignore_errors=True)
            shutil.rmtree(tmp_path / "top")


@pytest.mark.skipif(os.geteuid() != 0, reason="another account is needed: only root can be one for a while")
def test_what_may_not_be_read_or_entered(bench, campaign, tmp_path_factory):
    """As another account, for which files, a folder, or one above it are closed."""
    import tempfile

    with campaign("hostile data") as faults:
        for closed in ("data/item-00.png", "data/sub", "data", "."):
            with faults(f"closed: {closed}"):
                top = Path(tempfile.mkdtemp())
                data = write_data(top / "data", "image", 4)
                (data / "sub").mkdir()
                write_data(data / "sub" / "more", "image", 2)
                for path in (top, *top.rglob("*")):
                    path.chmod(0o755 if path.is_dir() else 0o644)
                (top / closed).chmod(0)
                out = Path(tempfile.mkdtemp())
                out.chmod(0o777)
                os.seteuid(54321)
                try:
                    ended = quietly("corrupt", data, "rain(level=0.01)", "--out", out / "made")
                    assert "Permission denied" in refusal(ended)
                finally:
                    os.seteuid(0)
                    for folder in (top, out):
                        shutil.rmtree(folder)


# --- headers that claim too much, and bombs ---


def huge_npy(path, _):
    shape = str((10**6, 10**6)).encode()
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + b"}"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head) + 1) + head + b"\n" + b"\0" * 64)


def pickle_npy(path, marker):
    np.save(path, np.array([Malicious(marker)], dtype=object), allow_pickle=True)


def pickle_npz(path, marker):
    np.savez(path, a=np.array([Malicious(marker)], dtype=object))


def bomb_npz(path, _):
    file = io.BytesIO()
    np.save(file, np.zeros(1))
    head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (30000, 300000), }"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.npy", "w", force_zip64=True) as member,
    ):
        member.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head) + 1) + head + b"\n")
        for _ in range(30 if LONG else 3):
            member.write(b"\0" * (300 << 20 if LONG else 30 << 20))


def huge_png(path, _):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    packed = zlib.compress(b"\0" * (30 << 20))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b""))


def huge_gif(path, _):
    path.write_bytes(b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x08\x01\0\0;")


def huge_wav(path, _):
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, 8000, 32000, 4, 16)
    head = struct.pack("<4sI4s", b"RIFF", 2**32 - 1, b"WAVE") + form + struct.pack("<4sI", b"data", 2**32 - 40)
    path.write_bytes(head + b"\0" * 400)


def huge_nii(path, _):
    import nibabel

    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.eye(4)), path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<8h", content, 40, 3, 30000, 30000, 30000, 1, 1, 1, 1)
    path.write_bytes(bytes(content))


def huge_tif(path, _):
    import tifffile

    tifffile.imwrite(path, np.zeros((8, 8), np.float32))
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<HHII", 256, 4, 1, 8), struct.pack("<HHII", 256, 4, 1, 2**31)))


def huge_h5(path, _):
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("a", (10**6, 10**6), "f4", chunks=(1000, 1000), compression="gzip")


def huge_nc(path, _):
    import netCDF4

    with netCDF4.Dataset(path, "w") as file:
        for name in ("lat", "lon"):
            file.createDimension(name, 10**6)
        file.createVariable("a", "f4", ("lat", "lon"), zlib=True)


def huge_zarr(path, _):
    import zarr

    zarr.create_array(path, shape=(10**6, 10**6), chunks=(1000, 1000), dtype="f4")


def bomb_parquet(path, _):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pa.array([b"\0" * (1 << 20)]).take(pa.array([0] * 300, pa.int64()))
    pq.write_table(pa.table({"image": rows.dictionary_encode()}), path, compression="zstd")


def broken_metadata_parquet(path, _):
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(file, "PNG")
    table = pa.table({"image": [file.getvalue()] * 4, "label": [0, 1, 0, 1]})
    pq.write_table(table.replace_schema_metadata({"huggingface": '{"info": {"features": [1, {"label": 3}]}}'}), path)


def addressed_parquet(path, _):
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = pa.schema([("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))])
    rows = [{"bytes": None, "path": where} for where in ("http://127.0.0.1:9/x.png", "/etc/passwd", "../../up.png")]
    pq.write_table(pa.table({"image": rows}, schema=kind), path)


def wide_csv(path, _):
    path.write_text(",".join(map(str, range(20000))) + "\n" + ",".join(["1e400"] * 20000) + "\n")


def endless_line_csv(path, _):
    path.write_bytes(b"1" * (20 << 20))


BOMBS = {
    ".npy": (huge_npy, pickle_npy),
    ".npz": (bomb_npz, pickle_npz),
    ".png": (huge_png,),
    ".gif": (huge_gif,),
    ".wav": (huge_wav,),
    ".nii": (huge_nii,),
    ".tif": (huge_tif,),
    ".h5": (huge_h5,),
    ".nc": (huge_nc,),
    ".zarr": (huge_zarr,),
    ".parquet": (bomb_parquet, broken_metadata_parquet, addressed_parquet),
    ".csv": (wide_csv, endless_line_csv),
}


@pytest.mark.parametrize(("ending", "make"), [(ending, make) for ending, made in BOMBS.items() for make in made])
def test_files(ending, make, bench, tmp_path, campaign):
    """Nothing but `--out` is touched, and no pickle is run, no path and no address followed."""
    data, marker, out = tmp_path / "data", tmp_path / "marker", tmp_path / "out"
    data.mkdir()
    make(data / f"a{ending}", marker)
    with campaign("hostile data") as faults:
        for name, args in commands(bench, "image", data / f"a{ending}").items():
            with faults(f"{make.__name__}: {name}"):
                with unharmed(out, SECONDS, MEMORY):
                    ended = quietly(*args, "--out", out)
                assert not marker.exists()
                if make is not broken_metadata_parquet or ended.code:
                    refusal(ended, some=name == "clean")
            shutil.rmtree(out, ignore_errors=True)


# --- configurations ---


def _yaml_bomb():
    text, before = "[&a [x,x,x,x,x,x,x,x,x,x]", "a"
    for name in "bcdefghi":
        text += f", &{name} [" + ",".join([f"*{before}"] * 10) + "]"
        before = name
    return text + "]"


CONFIGURATIONS = {
    "bomb": f"data: {{source: {_yaml_bomb()}}}",
    "bomb of keys": f"? {_yaml_bomb()}\n: 1",
    "merged": "data: &a {source: digits}\nnetwork: {<<: [*a, *a]}",
    "endless list": "network: {widths: &w [*w]}",
    "endless mapping": "data: &d {source: *d}",
    "code": "data: {source: !!python/object/apply:os.mkdir ['MARKER']}",
    "name": "data: {source: !!python/name:os.system }",
    "depth": "a: " + "[" * 3000 + "]" * 3000,
    "many keys": "\n".join(f"k{i}: 1" for i in range(20000)),
    "two documents": "data: {}\n---\ndata: {}",
    "no text": b"data: {source: \xff}",
    "wide text": "data: {}".encode("utf-16"),
    "surrogate": 'data: {source: "\\ud800"}',
    "zero": 'data: {source: "a\\0b"}',
    "tag map": "!!map [a, b]",
    "tag bool": "data: {flip: !!bool foo}",
    "tag timestamp": "data: {source: !!timestamp foo}",
    "tag int": "training: {steps: !!int ''}",
    "tag float": "training: {lr: !!float abc}",
    "tag binary": "data: {source: !!binary '****'}",
    "tag set": "data: !!set {a, b}",
    "key that is a list": "? [a, b]\n: 1",
    "a list": "[1, 2]",
}


def test_configurations(tmp_path, campaign):
    with campaign("hostile data") as faults:
        for name in drawn("configurations", list(CONFIGURATIONS), 6):
            for command in ("train", "compare") if LONG else ("train",):
                text = CONFIGURATIONS[name]
                with faults(f"configuration, {name}: {command}"):
                    path, out, marker = tmp_path / "c.yaml", tmp_path / "out", tmp_path / "marker"
                    path.unlink(missing_ok=True)
                    made = text if isinstance(text, bytes) else text.replace("MARKER", str(marker)).encode()
                    path.write_bytes(made)
                    with unharmed(out, 20):
                        refusal(quietly(command, path, "--out", out))
                    assert not out.exists()
                    assert not marker.exists()


@pytest.mark.parametrize("harm", SPECIAL)
def test_configurations_that_are_no_files(harm, tmp_path, campaign):
    with campaign("hostile data") as faults:
        for command in ("train", "compare"):
            with faults(f"configuration, {harm.__name__}: {command}"):
                (tmp_path / command).mkdir()
                harm(tmp_path / command, ".yaml")
                with unharmed(tmp_path / "out", 5, 1 << 30):
                    refusal(quietly(command, tmp_path / command / "a.yaml", "--out", tmp_path / "out"))


def test_a_class_may_not_lead_elsewhere(tmp_path, campaign):
    """Names of classes become folders of `sagd corrupt`."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(file, "PNG")
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "000000.png").write_text("precious")
    with campaign("hostile data") as faults:
        for name in ("../../escaped", str(victim), "a/b", "..", ".", "a\0b", "x" * 300, "a\nb", ""):
            with faults(f"class {name[:20]!r}"):
                out = tmp_path / "deep" / "er" / "out"
                table = pa.table({"image": [file.getvalue()] * 4, "label": [name, "ok"] * 2})
                pq.write_table(table, tmp_path / "set.parquet")
                out.parent.mkdir(parents=True)
                with unharmed(out):
                    ended = quietly("corrupt", tmp_path / "set.parquet", "rain(level=0.01)", "--out", out)
                if ended.code:
                    refusal(ended)
                else:
                    assert len([path for path in contents(out) if path.endswith(".png")]) == 8
                assert (victim / "000000.png").read_text() == "precious"
            shutil.rmtree(tmp_path / "deep", ignore_errors=True)
