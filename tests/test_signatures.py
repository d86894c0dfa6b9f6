"""What files hold by their first bytes."""

import os

import pytest

from sagd.signatures import content_of, misnamed


@pytest.mark.parametrize(
    ("name", "content", "kind", "other"),
    [
        ("a.npy", b"\x89PNG\r\n\x1a\n", "PNG", True),
        ("a.png", b"\x93NUMPY\x01\x00", "NumPy", True),
        ("a.yaml", b"RIFF\x24\x00\x00\xf0WAVE", "WAV", True),
        ("a.webp", b"RIFF\x24\x00\x00\x00WEBP", "", False),
        ("a.PNG", b"\x89PNG\r\n\x1a\n", "PNG", False),
        ("a.nii", b"\x1f\x8b\x08", "gzip", True),
        ("a.nii.gz", b"\x1f\x8b\x08", "gzip", False),
        ("a.png", b"", "", False),
        ("a.txt", b"hello", "", False),
    ],
)
def test_content_is_known_by_its_first_bytes(name, content, kind, other, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert (content_of(tmp_path / name), misnamed(tmp_path / name)) == (kind, other)


def test_of_what_is_no_file_no_content_is_known(tmp_path):
    os.mkfifo(tmp_path / "endless")
    for path in (tmp_path / "endless", tmp_path, tmp_path / "nothing"):
        assert content_of(path) == ""
        assert not misnamed(path)
