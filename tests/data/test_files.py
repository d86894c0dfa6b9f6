"""Named image files: what is read, in which order, and what is written back."""

import io
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from sagd.cli.program import main
from sagd.data.files import RESERVED, folder_name, read_images, read_partners, save_named
from sagd.errors import InputError


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    g = np.random.default_rng(0)
    for name in ("b.png", "a/2.png", "a/1.bmp"):
        save(tmp_path / name, g.integers(0, 256, (4, 6)))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_bytes(b"")
    return tmp_path


def test_a_folder_is_read_in_order_with_its_names(folder):
    read = read_images([folder], (1, 4, 6))
    assert read.names == ("a/1.bmp", "a/2.png", "b.png")
    assert read.images.shape == (3, 1, 4, 6)
    expected = np.asarray(Image.open(folder / "b.png")) / 127.5 - 1
    assert np.allclose(read.images[2, 0], expected, atol=1e-6)


def test_files_and_folders_together(folder):
    read = read_images([folder / "b.png", folder / "a"], (1, 4, 6))
    assert read.names == ("b.png", "1.bmp", "2.png")


def test_a_file_named_twice_is_read_once(folder):
    assert read_images([folder / "b.png", folder / "b.png"], (1, 4, 6)).names == ("b.png",)


def test_what_is_written_reads_back(folder):
    read = read_images([folder], (1, 4, 6))
    paths = save_named(read.images, read.names, folder / "out")
    assert [str(path.relative_to(folder / "out")) for path in paths] == ["a/1.png", "a/2.png", "b.png"]
    again = read_images([folder / "out"], (1, 4, 6))
    assert torch.equal(again.images, read.images)


def test_colour_is_as_asked_for(tmp_path):
    grey = save(tmp_path / "grey.png", np.full((4, 6), 51))
    colour = save(tmp_path / "colour.png", np.full((4, 6, 3), (255, 0, 0)))
    assert torch.allclose(read_images([grey], (3, 4, 6)).images, torch.tensor(-0.6))
    assert read_images([colour], (1, 4, 6)).images.shape == (1, 1, 4, 6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: [f / "missing.png"], "no image file or folder"),
        (lambda f: [], "no images were named; give image files or folders"),
        (lambda f: [f / "notes.txt"], "cannot read .*notes.txt"),
        (lambda f: [save(f / "large.png", np.zeros((4, 7)))], "is 7 x 4, the model is for 6 x 4"),
        (lambda f: [f / "b.png", save(f / "other/b.png", np.zeros((4, 6)))], "two images are named 'b'"),
        (lambda f: [f, save(f / "b.bmp", np.zeros((4, 6)))], r"two images are named 'b': .*b\.(png|bmp)"),
        (lambda f: [(f / "empty").mkdir() or f / "empty"], "no images in .*empty"),
    ],
)
def test_what_cannot_be_read_is_named(folder, make, message):
    with pytest.raises(InputError, match=message):
        read_images(make(folder), (1, 4, 6))


def test_partners_are_found_by_name_without_ending_and_no_other_is_read(folder):
    save(folder / "b.bmp", np.zeros((4, 6)))
    (folder / "b.png").unlink()
    save(folder / "of another size.png", np.zeros((9, 9)))
    images = read_partners(["b.png", "a/2.png"], folder, (1, 4, 6))
    assert torch.equal(images[0], torch.full((1, 4, 6), -1.0))
    assert torch.equal(images[1], read_images([folder / "a"], (1, 4, 6)).images[1])
    with pytest.raises(InputError, match="no clean image 'c' in"):
        read_partners(["c.png"], folder, (1, 4, 6))


def test_class_names_stay_inside_the_folder(tmp_path, caplog):
    """Labels come with the data: absolute paths, '..', nothing, what is too long for a file system, any language."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "000000.png").write_text("precious")
    victim = tmp_path / "victim"
    names = (str(victim), "../../up", "..", "", ".hidden", "a/b", "a%2Fb", "x" * 300, "x" * 301, "café 猫", "\0")
    png = io.BytesIO()
    Image.new("L", (8, 8)).save(png, "PNG")
    pq.write_table(pa.table({"image": [png.getvalue()] * len(names), "label": names}), tmp_path / "set.parquet")
    out = tmp_path / "parent" / "out"
    assert main(["corrupt", str(tmp_path / "set.parquet"), "band_noise(level=0.1)", "--out", str(out)]) == 0
    written = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.png") if path.parent != victim]
    assert (tmp_path / "victim" / "000000.png").read_text() == "precious"
    assert len(written) == 2 * len(names)
    assert {path.parts[:3] for path in written} == {("parent", "out", "clean"), ("parent", "out", "damaged")}
    folders = {path.parts[3] for path in written}
    assert len(folders) == len(names)  # none stands for two classes
    assert "café 猫" in folders
    assert not any(name.startswith(".") for name in folders)  # hidden ones would not be read again
    assert "10 class name(s) cannot be names of folders as they are; e.g. '' is written '%'" in caplog.text


@pytest.mark.parametrize(
    "label", ["CON", "nul", "Com1", "lpt\u00b9", "aux.png", "con .x", "prn.", "a:b", "a\\b", 'a"b', "x "]
)
def test_no_class_is_a_folder_that_windows_cannot_have(label):
    name = folder_name(label)
    assert name != label
    assert not re.search(r'[<>:"/\\|?*\x00-\x1f]|[. ]$', name)
    assert not RESERVED.fullmatch(name)


def test_names_that_only_begin_as_devices_stay():
    assert [folder_name(name) for name in ("console", "null", "com10", "auxiliary.png")] == [
        "console",
        "null",
        "com10",
        "auxiliary.png",
    ]


@pytest.mark.parametrize("name", ["/tmp/a.png", "../a.png", "a/../../b.png"])
def test_named_images_stay_inside_the_folder(name, tmp_path):
    with pytest.raises(InputError, match="leads out of"):
        save_named(torch.zeros(1, 1, 4, 4), [name], tmp_path / "out")
