"""A comparison small enough for tests, and the classifier it needs trained once."""

import contextlib
import io
from types import SimpleNamespace

import pytest

from sagd.build.schema import (
    CompareConfig,
    DenoiserConfig,
    EvaluationConfig,
    ProcessConfig,
    SamplingConfig,
    TrainingConfig,
)
from sagd.data.config import DataConfig
from sagd.networks.config import NetworkConfig
from sagd.study.compare import compare


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAGD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def comparison():
    """Two arms, two seeds, a few steps; more samples than features, which a Fréchet distance needs."""
    return CompareConfig(
        arms={
            "white": ProcessConfig(basis="fourier"),
            "low": ProcessConfig(basis="fourier", spectrum="power_law(alpha=-0.2)"),
        },
        seeds=(3, 5),
        data=DataConfig(limit=160),
        network=NetworkConfig(widths=(4, 8)),
        denoiser=DenoiserConfig(prediction="eps", time="uniform"),
        training=TrainingConfig(
            **{"steps": 4, "batch_size": 16, "warmup_steps": 1, "log_every": 2, "sample_every": 0},
            **{"checkpoint_every": 2, "device": "cpu", "precision": "no", "lr_decay": "none"},
        ),
        sampling=SamplingConfig(sampler="euler", steps=2),
        evaluation=EvaluationConfig(samples=70, bands=5),
    )


@pytest.fixture(scope="session")
def finished(comparison, tmp_path_factory):
    """A finished comparison: `config`, `out`, `results`, and what it wrote on standard error."""
    out = tmp_path_factory.mktemp("finished") / "comparison"
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        results = compare(comparison, out)
    return SimpleNamespace(config=comparison, out=out, results=results, stderr=stderr.getvalue())
