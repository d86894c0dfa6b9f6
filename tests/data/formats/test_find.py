import logging
import os
import socket
import time
from pathlib import Path

import pytest

from sagd.data.config import DataConfig
from sagd.data.formats.find import format_of, natural, walk
from sagd.data.sources.choose import of_one_kind
from sagd.errors import InputError


def names(folder):
    return [path.relative_to(folder).as_posix() for path in walk(folder)]


def touch(folder, *files):
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("A.PNG", "pillow"),
        ("a.b.ome.TIF", "tiff"),
        ("a.nii.gz", "nifti"),
        ("a.wav", "wav"),
        ("a.tsv", "csv"),
        ("a.m4v", "mp4"),
        ("a.gif", "gif"),
    ],
)
def test_the_ending_says_the_format(name, kind):
    assert format_of(Path(name)).kind == kind


def test_folders_are_frames_unless_their_ending_says_more(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.png").mkdir()
    assert format_of(tmp_path).kind == "frames"
    assert format_of(tmp_path / "a.zarr").kind == "zarr"
    assert format_of(tmp_path / "a.png").kind == "frames"


@pytest.mark.parametrize("name", ["a", "a.gz", "png", "a.png.txt"])
def test_unknown_endings_are_refused_with_those_known(name):
    with pytest.raises(InputError, match=r"has no known ending; known: \.apng \.avif \.avi .* \.zarr$|known: "):
        format_of(Path(name))


def test_files_come_in_natural_order(tmp_path):
    touch(tmp_path, "10.png", "9.png", "b/2", "b/10", "b/1/x", "a12b3", "a12b20", "a2", "09.png", "x²")
    assert names(tmp_path) == ["09.png", "9.png", "10.png", "a2", "a12b3", "a12b20", "b/1/x", "b/2", "b/10", "x²"]


def test_order_is_one_for_any_two_names():
    paths = [Path(name) for name in ("a", "1", "01", "a1", "a01", "1a", "", "a/1", "b", "½", "9" * 200)]
    assert sorted(paths, key=natural) == sorted(paths, key=natural)


def test_hidden_files_and_folders_are_left_out(tmp_path):
    touch(tmp_path, ".a", ".b/c", "d/.e", "f")
    assert names(tmp_path) == ["f"]


def test_links_are_followed_once(tmp_path):
    touch(tmp_path, "a/b", "c")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "z").symlink_to(tmp_path / "a")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert names(tmp_path) == ["a/b", "c", "gone"]


def test_pipes_and_sockets_are_named_and_left_out(tmp_path, monkeypatch, caplog):
    touch(tmp_path, "a")
    os.mkfifo(tmp_path / "pipe.png")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as one, caplog.at_level(logging.WARNING):
        one.bind("socket.png")
        (tmp_path / "null.png").symlink_to("/dev/null")
        assert names(tmp_path) == ["a"]
    said = sorted(record.message.replace(str(tmp_path), "") for record in caplog.records)
    assert said == [
        "'/null.png' is left out: it is a device",
        "'/pipe.png' is left out: it is a pipe",
        "'/socket.png' is left out: it is a socket",
    ]


def test_folders_that_are_files_count_as_one(tmp_path):
    touch(tmp_path, "a.zarr/zarr.json", "a.zarr/c/0", "b")
    assert names(tmp_path) == ["a.zarr", "b"]


def test_what_cannot_be_listed_is_named(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"^cannot list '.*/gone': No such file or directory$"):
        walk(tmp_path / "gone")
    touch(tmp_path, "a")
    with pytest.raises(InputError, match=r"^cannot list '.*/a': Not a directory$"):
        walk(tmp_path / "a")


def test_names_need_not_be_text(tmp_path):
    touch(tmp_path, "\udcff2.png", "\udcff10.png")
    assert names(tmp_path) == ["\udcff2.png", "\udcff10.png"]


def test_large_folders_are_listed_without_a_look_at_each_file(tmp_path, monkeypatch):
    touch(tmp_path, *(f"{i % 10}/{i}.png" for i in range(200)))
    for name in ("stat", "lstat", "open"):
        monkeypatch.setattr(os, name, lambda *_, **__: pytest.fail("a file was looked at"))
    monkeypatch.setattr(os.path, "realpath", str)
    assert len(walk(tmp_path)) == 200


def test_choosing_files_takes_no_longer_than_their_number(monkeypatch):
    """Once it built a set of all files for each of them, which 50,000 took minutes for."""
    paths = [Path(f"/nowhere/{i}.png") for i in range(20_000)]
    begun = time.process_time()
    kind, taken = of_one_kind(paths, DataConfig(), "here")
    assert (kind.kind, taken) == ("image", paths)
    assert time.process_time() - begun < 6  # 0.4 s on one core
