"""Shared set-up of the suite."""

import dataclasses
import functools
import inspect
import os
import signal
from collections.abc import Callable

import pytest
import torch
from tests.drawing import draw_nothing

from sagd.build.schema import DenoiserConfig, ProcessConfig, RunConfig, TrainingConfig
from sagd.data.config import DataConfig
from sagd.data.signals import Signals
from sagd.networks.config import NetworkConfig
from sagd.omission.posterior import STEPS, posterior

# Failures inside the shipped contracts then show the compared values.
pytest.register_assert_rewrite("sagd.testing")

_BITS = ("torch.equal(", "read_bytes() ==", "hexdigest()", "tobytes()", "resume=True", "bit_for_bit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that assert equal bits, which `make test-bits` runs under several kinds of arithmetic.

    Those that do so through helpers bear the mark themselves.
    """
    for item in items:
        if isinstance(item, pytest.Function) and _asserts_bits(item.function):
            item.add_marker(pytest.mark.bits)


@functools.cache  # of the thousands of cases that share a function, which take most of the time of collecting
def _asserts_bits(function: Callable[..., object]) -> bool:
    source = inspect.getsource(function)
    return any(text in source for text in _BITS)


# Networks this small gain nothing from threads, and lose much to them where tests run side by side.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"

# Draws of few steps will do where their law is not what a test is about.
assert posterior.__kwdefaults__["steps"] == STEPS
posterior.__kwdefaults__["steps"] = 3

# What a script starts in the background ignores Ctrl-C, and so would all programs under test.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def undrawn(request, monkeypatch):
    """Figures are made and not drawn, for modules that ask what is done and said; tests that look take `drawn`."""
    if "drawn" not in request.fixturenames:
        draw_nothing(monkeypatch)


@pytest.fixture
def drawn():
    """The test looks at figures, which are drawn even where others are `undrawn`."""


@pytest.fixture(scope="session")
def data():
    """40 smooth 8x8 images of three classes."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 256, (40, 1, 2, 2), generator=generator).float()
    pixels = torch.nn.functional.interpolate(coarse, size=(8, 8), mode="bilinear").round().to(torch.uint8)
    return Signals("smooth", pixels, torch.arange(40) % 3, ("a", "b", "c"))


@pytest.fixture(scope="session")
def config():
    """A run of a few seconds that uses every source of randomness: order, flips, noise, labels, dropout."""
    return RunConfig(
        data=DataConfig(flip=True),
        process=ProcessConfig(basis="fourier"),
        network=NetworkConfig(widths=(4, 8), conditional=True, dropout=0.1),
        denoiser=DenoiserConfig(prediction="eps", time="uniform"),
        training=TrainingConfig(
            steps=11,
            batch_size=6,
            lr=1e-3,
            warmup_steps=5,
            lr_decay="none",
            log_every=4,
            sample_every=0,
            checkpoint_every=100,
            device="cpu",
            precision="no",
        ),
    )


@pytest.fixture
def change():
    """`change(config, section, **values)`: the configuration with other values in one section."""

    def changed(config, section, **values):
        return dataclasses.replace(config, **{section: dataclasses.replace(getattr(config, section), **values)})

    return changed
