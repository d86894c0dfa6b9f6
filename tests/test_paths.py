"""What stands at a path: files, folders, and what is neither and could be waited for without end."""

import errno
import os
import socket

import pytest

from sagd.paths import encodable, name_fault, read_bytes, read_text, require_file, special


@pytest.fixture(params=["pipe", "socket", "device", "link"])
def endless(request, tmp_path, monkeypatch):
    """Path of something that is no file, and what it is."""
    monkeypatch.chdir(tmp_path)
    if request.param == "socket":
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("endless")
            yield tmp_path / "endless", "a socket"
        return
    if request.param == "pipe":
        os.mkfifo("endless")
    else:
        (tmp_path / "endless").symlink_to("/dev/zero")
    yield tmp_path / "endless", "a pipe" if request.param == "pipe" else "a device"


def test_what_may_never_end_is_not_opened(endless):
    path, what = endless
    assert special(path) == what
    for read in (require_file, read_bytes, read_text):
        with pytest.raises(OSError, match=f"it is {what}, which may never end") as caught:
            read(path)
        assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, str(path))


def test_files_are_read_and_folders_are_left_to_whoever_opens_them(tmp_path):
    (tmp_path / "a").write_bytes("\u00fc\r\n".encode())
    assert read_bytes(tmp_path / "a") == b"\xc3\xbc\r\n"
    assert read_text(str(tmp_path / "a")) == "\u00fc\n"
    require_file(tmp_path)
    with pytest.raises(FileNotFoundError):
        require_file(tmp_path / "b")
    with pytest.raises(OSError, match="no name of a file holds NUL"):
        require_file("a\0b")


def test_names_that_no_disk_takes():
    assert name_fault("a" * 255) is None
    assert name_fault("\u00e4" * 128) == "a part of it has 256 bytes, file systems take 255"
    assert name_fault(f"{'a' * 200}/{'b' * 200}.png") is None
    assert name_fault("a\0.png") == "it holds NUL"
    assert name_fault(os.fsdecode(b"\xff.png")) is None


def test_names_that_are_no_text_have_one_that_is(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff.bin")
    path.write_bytes(b"1")
    with encodable(path) as name:
        assert str(name).encode()
        assert name.read_bytes() == b"1"
