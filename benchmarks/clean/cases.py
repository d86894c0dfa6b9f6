"""Pairs of clean and damaged signals: damage as it is in life, drawn or taken from real records."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sagd.data.corruption import Corruption, corrupt

Array = np.ndarray

PICTURES = ("camera", "brick", "flower.jpg", "astronaut", "gravel", "chelsea", "coffee", "grass", "china.jpg", "moon")
"""Photographs and textures that scikit-image and scikit-learn bring along, grey, their middle of at most `SIDE`."""
SIDE = 320
DAMAGE = {
    "stripes": "curtains(width=1.5, ends=0, vary=0, drift=0, level={})",
    "curtaining": "curtains(width=3, length=150, level={})",
    "oblique stripes": "curtains(angle=25, width=2, length=200, level={})",
    "moire": "fringes(waves=2, low=0.12, high=0.3, level={})",
    "rain": "streaks(length=25, width=0.8, density=0.003, level={})",
    "gain": "gain(damage='curtains(width=1.5, ends=0, vary=0.2, drift=0, length=150, level={})')",
}
LEVELS = {"weak": 0.05, "middle": 0.12, "strong": 0.25}
"""Root mean square, where images reach from -1 to 1."""
UPRIGHT = {"stripes", "curtaining", "gain"}
"""What tools for upright stripes are made for."""
SNR = {"weak": 20.0, "middle": 11.4, "strong": 5.0}
"""Of records under hum, in dB."""
MAINS = 60.0
"""Hz, in the record of MIT."""


@dataclass(frozen=True)
class Case:
    """A clean signal and the same with damage.

    Attributes:
        data: Which signal.
        group: Kind of signal, by which figures are put together.
        damage: Which damage.
        strength: How strong.
        make: Gives clean and damaged, `(rows, columns)` or `(samples,)`, float64; the latter rounded as its files are.
        peak: Range of values, for PSNR; None for SNR.
        text: The damage as it was drawn, if it was.
        angle: Degrees from upright to the direction along stripes; None if there are none.
        rate: Samples per second of records.
    """

    data: str
    group: str
    damage: str
    strength: str
    make: Callable[[], tuple[Array, Array]]
    peak: float | None = 255.0
    text: str | None = None
    angle: float | None = None
    rate: float | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from all others."""
        return self.data, self.damage, self.strength

    @property
    def seed(self) -> int:
        """Of what is drawn for it: alike for all strengths."""
        return zlib.crc32(f"{self.data}/{self.damage}".encode())


def all_cases(data: Path) -> Iterator[Case]:
    """Every case whose data is there, short ones first, so that a run that ends early has some of each."""
    yield from _pairs(data / "damaged" / "fib_semi")
    yield from _records(data)
    yield from _sinograms(data / "tomography" / "tooth.h5")
    for name in PICTURES:
        for damage, template in DAMAGE.items():
            for strength, level in LEVELS.items():
                text = template.format(level)
                angle = {"oblique stripes": 25.0, "rain": -10.0}.get(damage, None if damage == "moire" else 0.0)
                make = functools.partial(_drawn, name, damage, text)
                group = "textures" if name in ("brick", "gravel", "grass") else "photographs"
                yield Case(name, group, damage, strength, make, text=text, angle=angle)


@functools.cache
def picture(name: str) -> Array:
    """`(rows, columns)`, whole grey levels."""
    import skimage.data
    from sklearn.datasets import load_sample_image

    x = np.asarray(load_sample_image(name) if name.endswith(".jpg") else getattr(skimage.data, name)(), np.float64)
    grey = np.round(x[..., :3] @ [0.299, 0.587, 0.114]) if x.ndim == 3 else x
    top, left = (max(0, (n - SIDE) // 2) for n in grey.shape)
    return grey[top : top + SIDE, left : left + SIDE]


@functools.lru_cache(2)
def _drawn(name: str, damage: str, text: str) -> tuple[Array, Array]:
    clean = picture(name)
    x = torch.from_numpy(clean / 127.5 - 1)[None, None]
    seed = zlib.crc32(f"{name}/{damage}".encode())
    return clean, np.clip(np.round((corrupt(x, Corruption.parse(text), seed)[0, 0].numpy() + 1) * 127.5), 0, 255)


def _pairs(folder: Path) -> Iterator[Case]:
    """Tissue under real curtaining, taken from the resin of the same slice."""
    from PIL import Image

    for path in sorted(folder.glob("*_clean.png")):
        number = path.name.split("_")[0]

        def make(path: Path = path, number: str = number) -> tuple[Array, Array]:
            return tuple(np.asarray(Image.open(p), np.float64) for p in (path, path.with_name(f"{number}_damaged.png")))  # type: ignore[return-value]

        yield Case(f"FIB-SEM {number}", "FIB-SEM", "real curtaining", "as it is", make, angle=0.0)


def _sinograms(path: Path) -> Iterator[Case]:
    """Simulated sinograms under the stripes of a real one."""
    if not path.exists():
        return
    for phantom in ("head", "ellipses"):
        for strength, factor in (("weak", 1.0), ("middle", 2.0), ("strong", 4.0)):
            make = functools.partial(_striped, path, phantom, factor)
            yield Case(f"phantom {phantom}", "sinograms", "measured stripes", strength, make, peak=1.0, angle=0.0)


def _striped(path: Path, phantom: str, factor: float) -> tuple[Array, Array]:
    """Stripes lie on the phantom as strong as on the tooth, relative to its own spread, times a factor."""
    clean, (stripes, spread) = sinogram(phantom), measured_stripes(path)
    start = (len(stripes) - clean.shape[1]) // 2
    stripes = stripes[start : start + clean.shape[1]]
    return clean, clean + factor * clean.std() / spread * (stripes - stripes.mean())


@functools.cache
def sinogram(phantom: str) -> Array:
    """`(181 angles, 400 places)`, from 0 to 1."""
    from skimage.data import shepp_logan_phantom
    from skimage.draw import ellipse
    from skimage.transform import radon

    image = shepp_logan_phantom()
    if phantom == "ellipses":
        g, image = np.random.default_rng(0), np.zeros((400, 400))
        for _ in range(40):
            distance, turn = 130 * np.sqrt(g.uniform()), g.uniform(0, 2 * np.pi)
            centre = 200 + distance * np.cos(turn), 200 + distance * np.sin(turn)
            inside = ellipse(*centre, *g.uniform(4, 45, 2), shape=image.shape, rotation=g.uniform(0, np.pi))
            image[inside] += g.uniform(0.1, 1)
    found = radon(image, np.linspace(0, 180, 181), circle=True).T
    return found / found.max()


@functools.cache
def measured_stripes(path: Path) -> tuple[Array, float]:
    """Stripes of the first sinogram of a tooth by place, and the spread of that sinogram."""
    import h5py
    from scipy.ndimage import median_filter

    with h5py.File(path) as file:
        projections, white, dark = (
            file[f"exchange/{name}"][:, 0].astype(float) for name in ("data", "data_white", "data_dark")
        )
    dark = dark.mean(0)
    values = -np.log(np.clip((projections - dark) / (white.mean(0) - dark), 1e-3, None))
    # What a column has over its neighbours at most angles.
    return np.median(values - median_filter(values, (1, 15)), 0), float(values.std())


def _records(data: Path) -> Iterator[Case]:
    """An ECG and speech under the hum of another ECG."""
    source, heart = data / "ecg" / "mitdb-100-360Hz.npy", data / "ecg" / "alarm-v102s-250Hz.npy"
    if not source.exists():
        return
    records = {f"ECG lead {lead + 1}": (250.0, functools.partial(_heart, heart, lead)) for lead in range(2)}
    speakers = ("george", "jackson", "lucas")
    records |= {f"speech {name}": (8000.0, functools.partial(_speech, data / "speech", name)) for name in speakers}
    for number, (name, (rate, clean)) in enumerate(records.items()):
        for strength, decibel in SNR.items():
            make = functools.partial(_under_hum, source, clean, rate, decibel, number)
            yield Case(name, name.split()[0], "real hum", strength, make, peak=None, rate=rate)


def _heart(path: Path, lead: int) -> Array:
    return np.load(path, mmap_mode="r")[5000 : 5000 + 10000, lead].astype(float)


def _speech(folder: Path, name: str) -> Array:
    from scipy.io import wavfile

    return np.concatenate([wavfile.read(folder / f"{digit}_{name}_0.wav")[1] for digit in range(10)]).astype(float)


@functools.lru_cache(2)
def _under_hum(
    source: Path, clean: Callable[[], Array], rate: float, decibel: float, number: int
) -> tuple[Array, Array]:
    x = clean()
    hum = resampled(real_hum(source), 360.0, rate, len(x), 20.0 * number)
    return x, x + hum * np.sqrt(x.var() / hum.var() * 10 ** (-decibel / 10))


@functools.cache
def real_hum(source: Path) -> Array:
    """What a record holds within 1.5 Hz of 60 and 120 Hz, over a minute and more, less what is usual beside."""
    x = np.load(source, mmap_mode="r")[: 360 * 200, 0].astype(float)
    spectrum, f = np.fft.rfft(x - x.mean()), np.fft.rfftfreq(len(x), 1 / 360)
    kept = np.zeros_like(spectrum)
    for line in (MAINS, 2 * MAINS):
        near, beside = np.abs(f - line) < 1.5, (np.abs(f - line) > 2) & (np.abs(f - line) < 6)
        usual = np.median(np.abs(spectrum[beside]) ** 2) / np.log(2)
        kept[near] = spectrum[near] * np.clip(1 - usual / np.abs(spectrum[near]) ** 2, 0, None)
    return np.fft.irfft(kept, len(x))


def resampled(x: Array, rate: float, wanted: float, length: int, start: float) -> Array:
    """A piece of a record at another rate, which begins `start` seconds in."""
    from fractions import Fraction

    from scipy.signal import resample_poly

    share = Fraction(wanted / rate).limit_denominator(1000)
    piece = x[int(start * rate) : int((start + length / wanted + 2) * rate)]
    return resample_poly(piece, share.numerator, share.denominator)[:length]
