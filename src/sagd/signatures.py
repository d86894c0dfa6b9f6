"""What files hold by their first bytes, for lines that say why a file is not what its name says."""

from __future__ import annotations

from pathlib import Path

from sagd.paths import require_file

_SIGNATURES = {
    b"\x89PNG": ("PNG", (".png", ".apng")),
    b"\xff\xd8\xff": ("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif")),
    b"GIF8": ("GIF", (".gif",)),
    b"II*\0": ("TIFF", (".tif", ".tiff", ".tf8", ".btf")),
    b"MM\0*": ("TIFF", (".tif", ".tiff", ".tf8", ".btf")),
    b"II+\0": ("BigTIFF", (".tif", ".tiff", ".tf8", ".btf")),
    b"MM\0+": ("BigTIFF", (".tif", ".tiff", ".tf8", ".btf")),
    b"RIFF": ("WAV", (".wav", ".wave")),
    b"RIFX": ("WAV", (".wav", ".wave")),
    b"RF64": ("WAV", (".wav", ".wave")),
    b"fLaC": ("FLAC", (".flac",)),
    b"\x89HDF": ("HDF5", (".h5", ".hdf5", ".nc", ".nc4")),
    b"\x93NUMPY": ("NumPy", (".npy",)),
    b"PK\x03\x04": ("ZIP", (".npz", ".zip")),
    b"\x1f\x8b": ("gzip", (".gz", ".mgz")),
    b"%PDF": ("PDF", (".pdf",)),
}
"""First bytes -> what a file is called, and endings of its names."""


def content_of(path: str | Path) -> str:
    """What a file is by its first bytes, e.g. "PNG"; "" if they do not tell."""
    return _signature(path)[0]


def misnamed(path: str | Path) -> bool:
    """Whether a file holds something else than its ending says, by its first bytes."""
    kind, endings = _signature(path)
    return bool(kind) and not str(path).lower().endswith(endings)


def _signature(path: str | Path) -> tuple[str, tuple[str, ...]]:
    try:
        require_file(path)
        with Path(path).open("rb") as file:
            start = file.read(12)
    except OSError:
        return "", ()
    found = next((told for first, told in _SIGNATURES.items() if start.startswith(first)), ("", ()))
    # Of the containers that begin alike, sound is one.
    return found if found[0] != "WAV" or start.endswith(b"WAVE") else ("", ())
