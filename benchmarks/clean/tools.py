"""The usual tools, with every setting worth trying, and ours as it is."""

from __future__ import annotations

import functools
import importlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.clean.cases import MAINS, PICTURES, UPRIGHT, Case
from sagd.data.corruption import Corruption
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum

Array = np.ndarray
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Tool:
    """Something that cleans.

    Attributes:
        run: Cleans a damaged signal, given the case and a setting.
        suits: Whether it is made for a case.
        settings: What is tried; the best is chosen with the clean signal at hand.
        needs: Module that must be there, or `module:name`.
    """

    run: Callable[..., Array]
    suits: Callable[[Case], bool]
    settings: tuple[Settings, ...] = ({},)
    needs: str = "numpy"

    def missing(self) -> str:
        """Why it cannot run; empty if it can."""
        module, _, name = self.needs.partition(":")
        try:
            found = importlib.import_module(module)
        except ImportError as error:
            return f"{self.needs}: {error}"
        return "" if not name or hasattr(found, name) else f"{module} has no {name!r}"


def band_of(case: Case) -> Spectrum:
    """The band of a case: as it was drawn, or what is known of real damage."""
    shape = case.make()[0].shape
    if case.text is not None:
        return Corruption.parse(case.text).band(shape, case.seed)
    if case.rate is not None:
        edges = [(k * MAINS / case.rate - 1.5 / case.rate, k * MAINS / case.rate + 1.5 / case.rate) for k in (1, 2)]
        return functools.reduce(
            lambda one, other: one + other,
            [Spectrum.parse(f"strip(low={low:.6f}, high={min(high, 0.5):.6f})") for low, high in edges],
        )
    return Spectrum.parse(f"stripes(low={0.5 / shape[1]:.4f}, width={5 / shape[0]:.4f})")


def mask_of(case: Case, band: Spectrum) -> Array:
    """The mask of a band in the Fourier basis of a case."""
    return mask(band, FourierBasis(case.make()[0].shape)).numpy()


def ours(x: Array, band: str, case: Case) -> Array:
    """Ours at its defaults: the band found for certain, the likeliest, or that given."""
    if band != "given":
        import sagd

        rate = {} if case.rate is None else {"rate": case.rate}
        return np.asarray(sagd.clean(x, band, **rate).x)
    from sagd.omission.clean import clean

    return np.asarray(clean(torch.from_numpy(x)[None], band_of(case)).x[0])


def bound(x: Array, case: Case) -> Array:
    """Wiener filter with the true power of image and damage at every single frequency: nothing can know that."""
    clean = case.make()[0]
    s, n = (np.abs(np.fft.fftn(_mirrored(v))) ** 2 for v in (clean, x - clean))
    return _cut(np.fft.ifftn(np.fft.fftn(_mirrored(x)) * s / (s + n + 1e-12 * s.max())).real, x.shape)


def deleted(x: Array, case: Case, wider: float, low: float = 0.0) -> Array:
    """The true band taken out, of the image with mirrored borders, as by hand in a spectrum; below `low` all stays."""
    padded = torch.from_numpy(_mirrored(x))[None]
    basis = FourierBasis(tuple(padded.shape[1:]))
    frequencies = basis.frequencies()
    b = _widened(band_of(case), wider).weights(frequencies).clamp(max=1).double()
    b[frequencies.square().sum(0).sqrt() <= low] = 0
    return _cut(basis.inverse((1 - b) * basis.forward(padded))[0].numpy(), x.shape)


def _mirrored(x: Array) -> Array:
    return np.pad(x, [(n // 4, n // 4) for n in x.shape], mode="reflect")


def _cut(padded: Array, shape: tuple[int, ...]) -> Array:
    return padded[tuple(slice(n // 4, n // 4 + n) for n in shape)]


def _widened(band: Spectrum, factor: float) -> Spectrum:
    """A band of another width, with soft edges as wide as half of it."""
    import dataclasses

    if band.parts:
        return band.with_parts(tuple(_widened(part, factor) for part in band.parts))
    fields = {f.name: getattr(band, f.name) for f in dataclasses.fields(band)}  # type: ignore[arg-type]
    if band.kind == "strip" and "high" in fields and fields["high"] < 0.5:
        middle, half = (fields["high"] + fields["low"]) / 2, factor * (fields["high"] - fields["low"]) / 2
        return dataclasses.replace(band, low=max(middle - half, 0.0), high=min(middle + half, 0.5), soft=half / 2)  # type: ignore[type-var]
    name = next(n for n in ("radius", "width") if n in fields)
    changed: dict[str, float] = {name: factor * fields[name]}
    if band.kind != "wedge":
        changed["soft"] = min(factor * fields[name] / 2, 0.5)
    elif changed["width"] > 180:
        changed["width"] = 180.0
    return dataclasses.replace(band, **changed)  # type: ignore[type-var]


def pystripe(x: Array, case: Case, sigma: tuple[float, float], wavelet: str, level: int, pedestal: float) -> Array:
    """Wavelet-FFT of light-sheet microscopy, for streaks that lie.

    It filters logarithms and cuts values off to whole numbers of 16 bits: so it is given the whole range of these, a
    pedestal that makes logarithms nearly linear among its settings, and back the half that it cuts off on average.
    """
    from pystripe.core import filter_streaks

    scale, peak = 20000.0, case.peak or 1.0
    turned = np.ascontiguousarray((x / peak + pedestal).T) * scale
    cleaned = np.asarray(filter_streaks(turned, list(sigma), level=level, wavelet=wavelet, crossover=scale / 25), float)
    return ((cleaned + 0.5) / scale - pedestal).T * peak


def algotom(x: Array, case: Case, method: str, **setting: Any) -> Array:
    """Ring removal of tomography; stripes stand."""
    from algotom.prep import removal

    return np.asarray(getattr(removal, method)(x.astype(np.float32), **setting), np.float64)


def notch(x: Array, case: Case, q: float, harmonics: int) -> Array:
    """`scipy.signal.iirnotch` to and fro, at the mains frequency and its harmonics."""
    from scipy.signal import filtfilt, iirnotch

    assert case.rate is not None
    for k in range(1, harmonics + 1):
        if k * MAINS < case.rate / 2 * 0.99:
            x = filtfilt(*iirnotch(k * MAINS, k * q, case.rate), x)
    return x


def nonlocal_means(x: Array, case: Case, h: float) -> Array:
    """What is used where nothing else is at hand."""
    from skimage.restoration import denoise_nl_means

    return 255 * denoise_nl_means(x / 255, patch_size=5, patch_distance=7, h=h, fast_mode=True)


def _grid(**values: tuple[Any, ...]) -> tuple[Settings, ...]:
    return tuple(dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values()))


def _upright(case: Case) -> bool:
    return case.damage in UPRIGHT or case.group in ("FIB-SEM", "sinograms")


def _any(case: Case) -> bool:
    return True


SIGMAS = ((2.0, 2.0), (8.0, 8.0), (32.0, 32.0), (128.0, 128.0), (16.0, 64.0))
TOOLS: dict[str, Tool] = {
    "sagd": Tool(lambda x, case: ours(x, "auto", case), _any, needs="sagd:clean"),
    "sagd, likeliest": Tool(lambda x, case: ours(x, "likeliest", case), _any, needs="sagd:clean"),
    "sagd, band given": Tool(lambda x, case: ours(x, "given", case), _any, needs="sagd.omission.removal"),
    "bound": Tool(bound, _any),
    "band deleted": Tool(deleted, _any, _grid(wider=(0.5, 1.0, 1.6), low=(0.0, 0.01, 0.03))),
    "pystripe": Tool(
        pystripe,
        _upright,
        _grid(sigma=SIGMAS, wavelet=("db3", "db10"), level=(0, 2, 4), pedestal=(1 / 255, 1.0)),
        "pystripe.core",
    ),
    "algotom wavelet": Tool(
        functools.partial(algotom, method="remove_stripe_based_wavelet_fft"),
        _upright,
        _grid(level=(2, 3, 4, 5), size=(1, 3, 5)),
        "algotom.prep.removal",
    ),
    "algotom sorting": Tool(
        functools.partial(algotom, method="remove_stripe_based_sorting"),
        _upright,
        _grid(size=(5, 11, 21, 41)),
        "algotom.prep.removal",
    ),
    "algotom all": Tool(
        functools.partial(algotom, method="remove_all_stripe"),
        _upright,
        _grid(snr=(1.5, 3.0), la_size=(31, 71), sm_size=(5, 21)),
        "algotom.prep.removal",
    ),
    "iirnotch": Tool(
        notch,
        lambda case: case.rate is not None,
        _grid(q=(3.0, 6.0, 12.0, 20.0, 30.0, 45.0, 70.0, 110.0, 200.0), harmonics=(1, 2, 3)),
        "scipy",
    ),
    "non-local means": Tool(
        nonlocal_means,
        lambda case: case.data in PICTURES[:6] and case.strength == "middle",
        _grid(h=(0.05, 0.12)),
        "skimage",
    ),
}


def tools_for(case: Case) -> Iterator[tuple[str, Tool]]:
    """Tools that are made for a case and there."""
    return ((name, tool) for name, tool in TOOLS.items() if tool.suits(case) and not tool.missing())
