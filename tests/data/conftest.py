import socket

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def connections(monkeypatch):
    """Every attempt at a network connection, all of which fail; tests of local sources assert that there are none."""
    attempts = []

    def refuse(*args, **kwargs):
        attempts.append(args)
        raise socket.gaierror(socket.EAI_NONAME, "no network in this test")

    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return attempts


@pytest.fixture(autouse=True)
def _private_cache(monkeypatch, tmp_path_factory):
    """`datasets` caches in a temporary folder and draws no progress bars."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))
    datasets.disable_progress_bars()


@pytest.fixture
def noise():
    """Random uint8 images `(H, W)` or `(H, W, 3)`."""

    def draw(height=8, width=8, channels=3, seed=0):
        shape = (height, width) if channels == 1 else (height, width, channels)
        return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)

    return draw


@pytest.fixture
def write(tmp_path):
    """Write arrays as files below `tmp_path / "images"`, and return that folder."""

    def save(files):
        folder = tmp_path / "images"
        for name, values in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(path)
        return folder

    return save
