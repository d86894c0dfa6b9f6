"""The studies: what is trained on what, how, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.signals import data

Process = Mapping[str, str]
"""Settings of a process, as `sagd train` takes them."""
SCALES: Mapping[str, int] = {"tiny": 1, "trial": 1, "middle": 4, "full": 13}
"""Scale -> factor of the steps of a trial.

Two threads do about 1.75 times the steps of one, so that 15 minutes of two cores are 26 of one: 13 trials.
"""
THREADS: Mapping[str, int] = {"tiny": 1, "trial": 1, "middle": 1, "full": 2}
DRAWN: Mapping[str, int] = {"tiny": 8, "trial": 256, "middle": 256, "full": 256}
"""Scale -> samples that are drawn and measured."""
TINY_STEPS = 2
WHITE: Mapping[str, Process] = {"white": {"spectrum": "flat"}}
"""The arm that others are held against."""
HALF: Mapping[str, Process] = WHITE | {"half-whitened": {"spectrum": "whitening(exponent=0.5)"}}
FOURIER: Mapping[str, Process] = {
    "white, Fourier basis": WHITE["white"] | {"basis": "fourier"},
    "half-whitened, Fourier basis": HALF["half-whitened"] | {"basis": "fourier"},
}
"""The same, but spectra are measured, and the linear guess is made, as if windows went on from their other end."""


@dataclass(frozen=True)
class Study:
    """A data set and the processes that are trained on it.

    Attributes:
        title: For the page.
        prepare: Writes the data to a folder, as `benchmarks.signals.data` does.
        ending: Of the files of the parts; "" where they are folders.
        reading: Options of the data, for all commands.
        network: Options of the network.
        batch: Fields a step.
        steps: Steps of a trial, which were measured to take about 90 seconds of one core.
        arms: Name -> settings of the process; white noise first.
        why: Why the others.
        flicker: Whether the first axis is time, along which neighbours are compared.
        attention: Whether the network has it, at its coarsest level: of records, where far away is many halvings away.
        seeds: Seeds of a matched comparison by `sagd compare`; () for single trainings.
    """

    title: str
    prepare: Callable[[Path, Path, int | None], None]
    ending: str
    reading: tuple[str, ...]
    network: tuple[int, ...]
    batch: int
    steps: int
    arms: Mapping[str, Process]
    why: str
    flicker: bool = False
    attention: bool = False
    seeds: tuple[int, ...] = ()

    def steps_at(self, scale: str) -> int:
        """Steps of a training."""
        return TINY_STEPS if scale == "tiny" else self.steps * SCALES[scale]


STUDIES: Mapping[str, Study] = {
    "speech": Study(
        "Spoken digits",
        data.speech,
        "",
        ("--data.size", "4096"),
        (8, 16, 32, 64, 64, 64),
        8,
        450,
        HALF,
        "The power of speech is largest near 500 Hz and some 30 dB less at either end of the range, which no power law"
        " says; half whitening, the measured spectrum to the power of one half, puts less noise where speech is weak.",
        attention=True,
    ),
    "weather": Study(
        "Wind",
        data.weather,
        ".nc",
        (),
        (16, 32, 64),
        16,
        500,
        HALF | FOURIER,
        "The power of wind falls by seven orders from the largest scales to the smallest; with half of that in the"
        " noise, large and small scales drown at times that are less far apart.",
    ),
    "ecg": Study(
        "Electrocardiograms",
        data.ecg,
        ".npy",
        ("--data.kind", "series", "--data.rate", "360"),
        (16, 32, 64, 64),
        16,
        700,
        HALF | FOURIER,
        "The power of beats falls by four orders above 40 Hz; with half of that in the noise, what is high and small"
        " does not drown long before what is low and large.",
        attention=True,
    ),
    "digits-film": Study(
        "Moving digits",
        data.digits_film,
        ".npy",
        ("--data.kind", "video"),
        (16, 32, 64),
        8,
        600,
        WHITE | {"slow": {"spectrum": "axis_power_law(alphas=[-0.5, 0, 0])"}},
        "An exponent for time alone: noise that changes slowly, as films do (their power falls by 17 dB over"
        " temporal frequencies), in the hope of less flicker than with noise that is new in every frame.",
        flicker=True,
    ),
    "cubes": Study(
        "Two liquids that came apart",
        data.cubes,
        ".npy",
        ("--data.kind", "volume"),
        (8, 16, 32),
        8,
        600,
        WHITE | {"half-whitened": {"spectrum": "whitening(exponent=0.5, radial=true)"}},
        "The liquids have one size of drops, a peak in the spectrum, and smooth surfaces, beyond which it falls by"
        " 60 dB; no direction differs, so the measured spectrum is averaged over directions.",
    ),
    "speech-seeds": Study(
        "Spoken digits, windows of 1,024 samples, three seeds",
        data.speech,
        "",
        ("--data.size", "1024"),
        (8, 16, 32, 64),
        16,
        250,
        HALF,
        "As for single trainings.",
        attention=True,
        seeds=(0, 1, 2),
    ),
    "weather-seeds": Study(
        "Wind, three seeds",
        data.weather,
        ".nc",
        (),
        (16, 32, 64),
        16,
        300,
        HALF,
        "As for single trainings.",
        seeds=(0, 1, 2),
    ),
}
