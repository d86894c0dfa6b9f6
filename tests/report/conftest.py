"""Small made-up results in the form that a comparison writes."""

import pytest
import torch

LEVELS = torch.tensor([0.1, 1.0, 10.0])
BANDS = 4


def interval(mean, reach, seeds):
    several = seeds > 1
    return {"mean": mean, "low": mean - reach if several else None, "high": mean + reach if several else None}


def evaluation(value):
    return {
        "n": 500,
        "features": "classifier",
        "figure": {"frechet": value, "frechet_interval": [value - 1, value + 1.5], "spectral": {"rms_db": 0.5}},
        "floor": {"frechet": 2.13, "frechet_interval": [1.98, 2.3], "spectral": {"error": [0.1, None, -0.2, 0.0]}},
    }


def make_results(means, differences=None, seeds=(0, 1, 2), reach=1.0, metric="frechet"):
    """Results of arms with the given means; `differences` are intervals (mean, half-width) to the first arm."""
    reference = next(iter(means))
    arms = {}
    for arm, mean in means.items():
        runs = [
            {
                "seed": seed,
                "training": {"seconds": 61.3, "images_per_second": 2103.2, "final_loss": 0.0612, "parameters": 412345},
                "evaluation": evaluation(mean + 0.1 * i),
            }
            for i, seed in enumerate(seeds)
        ]
        arms[arm] = {
            "process": {"schedule": "vp", "spectrum": "power_law(alpha=-0.1)", "calibration": "variance"},
            "runs": runs,
            "summary": {metric: interval(mean, reach, len(seeds))},
            "difference": None,
        }
    for arm, (mean, half) in (differences or {}).items():
        arms[arm]["difference"] = {metric: interval(mean, half, len(seeds))}
    return {
        "title": "Noise spectra on digits",
        "created": "2025-11-21T02:30:00+00:00",
        "config": {"training": {"steps": 2000}, "arms": list(means)},
        "versions": {"sagd": "0.1.0"},
        "machine": {"cores": 2},
        "data": {"name": "digits", "shape": [1, 8, 8], "count": 1797, "classes": ["0", "1"]},
        "metrics": {"features": "classifier", "n": 500},
        "reference_arm": reference,
        "arms": arms,
        "floors": {metric: 2.13},
    }


def make_arrays(arms, channels=1):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    arrays = {
        "data/images": draw(64, channels, 8, 8).sign(),
        "profile/edges": torch.linspace(0, 1, BANDS + 1),
        "data/profile": draw(channels, BANDS).exp(),
        "forward/levels": LEVELS,
    }
    for arm in arms:
        arrays |= {
            f"{arm}/noise": draw(4, channels, 8, 8),
            f"{arm}/noise_profile": draw(BANDS).exp(),
            f"{arm}/forward": draw(len(LEVELS), channels, 8, 8),
            f"{arm}/samples": draw(64, channels, 8, 8),
            f"{arm}/sample_profile": draw(channels, BANDS).exp(),
            f"{arm}/loss_steps": torch.arange(10.0),
            f"{arm}/loss": draw(10).exp(),
        }
    return arrays


@pytest.fixture
def results():
    return make_results


@pytest.fixture
def arrays():
    return make_arrays
