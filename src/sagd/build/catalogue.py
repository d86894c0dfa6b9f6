"""The processes of the library by name, with their sources: what the gallery shows and a comparison can start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sagd.build.schema import ProcessConfig
from sagd.errors import InputError
from sagd.optional import has
from sagd.spec import suggest


@dataclass(frozen=True)
class Entry:
    """A process of the library.

    Attributes:
        name: Letters, digits and '_': also a name for an arm of a comparison.
        process: Its configuration.
        summary: What it does, in a sentence or two.
        source: Where it was published; empty where it is this library's own.
    """

    name: str
    process: ProcessConfig
    summary: str
    source: str = ""


_SAGD = "Scimeca et al., arXiv:2510.09660"
_LOW, _HIGH = "power_law(alpha=-0.5)", "power_law(alpha=0.5)"
_MOST_NAMED = 5
"""Classes named in the configuration of noise by class: more only make it long."""


def catalogue(shape: Sequence[int], classes: Sequence[str] | None = None) -> list[Entry]:
    """The processes that fit images of one shape; the first is white noise.

    Args:
        shape: `(C, H, W)`.
        classes: Class names, if the data has labels: for noise by class.
    """
    return [entry for entry in _all(classes) if not _lacks(entry, shape, classes)]


def choose(names: Sequence[str], shape: Sequence[int], classes: Sequence[str] | None = None) -> list[Entry]:
    """The processes of these names in the order of the catalogue, or all of it without names.

    Args:
        names: Names of the catalogue.
        shape: `(C, H, W)`.
        classes: Class names, if the data has labels.

    Raises:
        InputError: If a name is unknown, or its process does not fit the images.
    """
    fitting = catalogue(shape, classes)
    known, every = [entry.name for entry in fitting], {entry.name: entry for entry in _all(classes)}
    for name in names:
        if name not in every:
            raise InputError(f"unknown process {name!r}{suggest(name, known)}")
        if name not in known:
            raise InputError(f"process {name!r} needs {_lacks(every[name], shape, classes)}")
    return [entry for entry in fitting if not names or entry.name in names]


def unfit(shape: Sequence[int], classes: Sequence[str] | None = None) -> dict[str, str]:
    """The processes that do not fit the images, and what they need."""
    return {entry.name: need for entry in _all(classes) if (need := _lacks(entry, shape, classes))}


def _lacks(entry: Entry, shape: Sequence[int], classes: Sequence[str] | None) -> str:
    """What the process needs and these images lack; empty if they fit."""
    process = entry.process
    if process.spectrum.startswith("by_class") and len(classes or ()) < 2:
        return "images with labels of at least two classes"
    if process.channels == "decorrelated" and shape[0] != 3:
        return "images in colour"
    if process.basis.startswith("wavelet"):
        if any(side % 2 for side in shape[1:]):
            return f"images with even sides, got {' x '.join(map(str, shape[1:]))}"
        if not has("pywt"):
            return "PyWavelets: pip install 'sagd[wavelets]'"
    return ""


def _all(classes: Sequence[str] | None) -> list[Entry]:
    return [*_FIXED, *_FROM_DATA, *_PLACES, *_EVOLUTIONS, _by_class(classes or ("",)), _BY_COLOUR]


def _by_class(classes: Sequence[str]) -> Entry:
    first = dict.fromkeys(classes[: min(_MOST_NAMED, len(classes) // 2)], _LOW)
    return Entry(
        "by_class",
        ProcessConfig(spectrum=f"by_class(spectra={first!r}, default={_HIGH!r})"),
        "Each class has noise of its own: here the low tilt for the first classes, the high tilt for the others.",
    )


_FIXED = (
    Entry(
        "white",
        ProcessConfig(),
        "White noise, the usual one: the same power at all frequencies.",
        "Ho et al., arXiv:2006.11239",
    ),
    Entry(
        "low_tilt",
        ProcessConfig(spectrum=_LOW),
        "A power law: more noise in low frequencies, the coarse shapes.",
        _SAGD,
    ),
    Entry(
        "high_tilt",
        ProcessConfig(spectrum=_HIGH),
        "A power law the other way (blue noise): more noise in high frequencies, the fine detail.",
        _SAGD,
    ),
    Entry(
        "decay",
        ProcessConfig(spectrum="exponential_decay(beta=4)"),
        "Weights that fall as a Gaussian of the frequency: even noise in low frequencies, little in high ones.",
    ),
    Entry(
        "flicker",
        ProcessConfig(spectrum="flicker(eta=1)"),
        "Noise whose correlations fall as one over the distance: pink noise, 1/f, of images.",
        "Mao & Li, arXiv:2606.03393",
    ),
    Entry(
        "two_band",
        ProcessConfig(spectrum="two_band(gamma_low=0.25, gamma_high=0.75)"),
        "Two bands with a weight each, here three times the amplitude above half of the frequency range.",
        _SAGD,
    ),
    Entry(
        "band",
        ProcessConfig(spectrum="band_pass(low=0.2, high=0.6, outside=0.3)"),
        "One band emphasised: noise of 0.3 times its amplitude elsewhere.",
    ),
    Entry(
        "omission",
        ProcessConfig(spectrum="band_stop(low=0.6, high=0.8)"),
        "One band left without noise: it is never destroyed, and the model never learns it.",
        _SAGD,
    ),
    Entry(
        "notch",
        ProcessConfig(spectrum="notch(at=[[0.25, 0.0]], bandwidth=0.08, depth=0.1)"),
        "Little noise around one frequency and direction, such as that of scan lines.",
    ),
    Entry(
        "oriented",
        ProcessConfig(spectrum="oriented(angle=0, bandwidth=60, inside=1, outside=0.3)"),
        "More noise in waves of one direction: here those that run from left to right, whose stripes are upright.",
    ),
    Entry(
        "by_axis",
        ProcessConfig(spectrum="axis_power_law(alphas=[-0.5, 0.5])"),
        "A power law for each axis: here smooth from top to bottom and grainy from left to right.",
    ),
    Entry(
        "table",
        ProcessConfig(spectrum="radial_table(rho=[0.0, 0.3, 0.5, 1.0], w=[0.5, 0.5, 2.0, 1.0])"),
        "Weights over the frequency from a table, in straight lines between its points.",
    ),
    Entry(
        "product",
        ProcessConfig(spectrum=f"{_LOW} * notch(at=[[0.25, 0.0]], bandwidth=0.08, depth=0.1)"),
        "Spectra can be multiplied and added: here the low tilt times a notch.",
    ),
)

_FROM_DATA = (
    Entry(
        "half_whitening",
        ProcessConfig(spectrum="whitening(exponent=0.5)"),
        "Half way, in decibels, from white noise to noise with the spectrum of the data.",
    ),
    Entry(
        "equal_snr",
        ProcessConfig(spectrum="whitening", calibration="none"),
        "Noise with the measured spectrum of the data: all frequencies have the same signal-to-noise ratio.",
        "Falck et al., arXiv:2505.11278",
    ),
    Entry(
        "equal_mean_snr",
        ProcessConfig(spectrum="whitening", basis="fourier"),
        "The same at the level of white noise: the signal-to-noise ratio of all frequencies is the mean of theirs under"
        " white noise, as it was published.",
        "Falck et al., arXiv:2505.11278",
    ),
    Entry(
        "same_snr",
        ProcessConfig(spectrum=_LOW, calibration="snr"),
        "The low tilt with the mean log-SNR of white noise in place of its power.",
    ),
)

_PLACES = (
    Entry(
        "cosine",
        ProcessConfig(spectrum=_LOW, basis="cosine"),
        "The low tilt in the cosine basis: noise that does not wrap around at the borders.",
    ),
    Entry(
        "wavelet",
        ProcessConfig(spectrum=_LOW, basis="wavelet(name='haar')"),
        "The low tilt in a wavelet basis: noise that is made of patches, with a weight for each size.",
    ),
    Entry(
        "region",
        ProcessConfig(region="box(low=[0.0, 0.5], high=[1.0, 1.0], inside=1.35, outside=0.4)"),
        "More noise in one region of the image, here its right half.",
    ),
)

_EVOLUTIONS = (
    Entry(
        "blurring",
        ProcessConfig(schedule="cosine(log_snr_min=-10)", basis="cosine", evolution="blurring(blur_max=20)"),
        "The image is blurred away while white noise rises.",
        "Hoogeboom & Salimans, arXiv:2209.05557",
    ),
    Entry(
        "white_to_blue",
        ProcessConfig(schedule="cosine", spectrum=_HIGH, evolution="interpolated(far='flat')"),
        "The high tilt (blue noise) next to the data, turning white towards t = 1.",
        "Huang et al., arXiv:2402.04930",
    ),
    Entry(
        "low_pass_flow",
        ProcessConfig(
            schedule="rectified",
            spectrum="exponential_decay(beta=8)",
            calibration="none",
            evolution="interpolated(far='flat')",
        ),
        "Straight paths from white noise to the image, whose noise loses its high frequencies on the way.",
        "Ruscio & Rusch, arXiv:2606.02177",
    ),
    Entry(
        "coarse_to_fine",
        ProcessConfig(schedule="cosine", evolution="sequential(first='high')"),
        "Noise takes high frequencies first, so that samples grow from coarse to fine.",
    ),
    Entry(
        "fine_to_coarse",
        ProcessConfig(schedule="cosine", evolution="sequential(first='low')"),
        "Noise takes low frequencies first, so that samples grow from fine to coarse.",
    ),
)

_BY_COLOUR = Entry(
    "by_colour",
    ProcessConfig(spectrum=f"per_channel(spectra=['flat', {_HIGH!r}, {_HIGH!r}])", channels="decorrelated"),
    "White noise in the first principal colour of the data (mostly brightness), the high tilt in the two others.",
)
