"""A comparison small enough for tests, and the classifier it needs trained once."""

import contextlib
import dataclasses
import io
import os
from types import SimpleNamespace

import pytest
import torch

from sagd.config import (
    CompareConfig,
    DataConfig,
    EvaluationConfig,
    NetworkConfig,
    ProcessConfig,
    SamplingConfig,
    TrainingConfig,
)
from sagd.experiment import compare

# Networks this small gain nothing from threads, and lose much to them where tests run side by side.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAGD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def config():
    """Two arms, two seeds, a few steps; more samples than features, which a Fréchet distance needs."""
    return CompareConfig(
        arms={"white": ProcessConfig(), "low": ProcessConfig(spectrum="power_law(alpha=-0.2)")},
        seeds=(3, 5),
        data=DataConfig(limit=160),
        network=NetworkConfig(widths=(4, 8)),
        training=TrainingConfig(
            steps=4, batch_size=16, warmup_steps=1, log_every=2, sample_every=0, checkpoint_every=2, device="cpu"
        ),
        sampling=SamplingConfig(sampler="euler", steps=2),
        evaluation=EvaluationConfig(samples=70, bands=5),
    )


@pytest.fixture(scope="session")
def finished(config, tmp_path_factory):
    """A finished comparison: `config`, `out`, `results`, and what it wrote on standard error."""
    out = tmp_path_factory.mktemp("finished") / "comparison"
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        results = compare(config, out)
    return SimpleNamespace(config=config, out=out, results=results, stderr=stderr.getvalue())


@pytest.fixture
def change():
    """`change(config, section, **values)`: the configuration with other values in one section."""

    def changed(config, section, **values):
        return dataclasses.replace(config, **{section: dataclasses.replace(getattr(config, section), **values)})

    return changed
