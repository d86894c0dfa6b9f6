"""Image files with a band drawn anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sagd.build.draw import draw_band
from sagd.build.schema import SamplingConfig
from sagd.build.text import to_dict
from sagd.data.files import Named, read_named, require_like
from sagd.errors import InputError, argument
from sagd.noise.bands import mask
from sagd.noise.basis.base import Basis
from sagd.noise.spectra.base import Spectrum
from sagd.noise.statistics import radial_profile
from sagd.store.model import Trained
from sagd.study.held import Held
from sagd.study.restoration import band_powers, bands_of, change_outside, listed, share_of

_FINE = "band='ring(low=0.3, high=1)'"


@dataclass(frozen=True)
class ResamplingResult:
    """Everything that a report on resampled images shows.

    Attributes:
        named: The given fields, and the files that they are from.
        kept: What was not changed: the images without the band.
        samples: `(N, B, C, H, W)`.
        band: The band that was drawn anew.
        b: Its values in `basis`, `(*coefficients)`.
        basis: That of the model's noise.
        edges: Radial band edges as fractions of the corner radius, `(K + 1,)`.
        share: Mean of `b` by radial band `(K,)`; NaN where empty.
        replaced: Share of all frequencies that lie in the band.
        spectra: "given", "resampled" -> mean power by radial band `(K,)`; NaN where empty.
        change_outside: Largest change of a coefficient outside the band, over the root mean square of all coefficients.
        files: What the files hold of the draws, once they are written.
    """

    named: Named
    kept: Tensor
    samples: Tensor
    band: Spectrum
    b: Tensor
    basis: Basis
    edges: Tensor
    share: Tensor
    replaced: float
    spectra: dict[str, Tensor]
    change_outside: float
    files: Held | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields."""
        return self.named.names

    @property
    def given(self) -> Tensor:
        """`(B, C, *spatial)`."""
        return self.named.x

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready summary; empty bands are None."""
        return {
            "names": list(self.names),
            "meaning": to_dict(self.named.meaning),
            "draws": len(self.samples),
            "band": str(self.band),
            "band_edges": self.edges.tolist(),
            "spectra": {name: listed(values) for name, values in self.spectra.items()},
            "change_outside": self.change_outside,
            "files": None if self.files is None else self.files.to_dict(),
        }


def resample_files(
    model: Trained,
    paths: Sequence[Path],
    band: Spectrum | str | None,
    sampling: SamplingConfig,
    count: int = 4,
    seed: int = 0,
    label: int | None = None,
    batch_size: int = 64,
    progress: bool = False,
    keep: bool = False,
) -> ResamplingResult:
    """Draw a band of image files anew.

    Args:
        model: A model trained with `denoiser.bands`.
        paths: Image files and folders.
        band: The band; None for the one that the model was trained for.
        sampling: Sampler, steps, grid, guidance.
        count: Draws per image.
        seed: Seed of the draws.
        label: Class of the images, of conditional models.
        batch_size: Draws per network call.
        progress: Show a progress bar.
        keep: Write floating point: that the results can be written so is tried first.

    Raises:
        InputError: If the model resamples nothing or not this band, or an image does not fit.
    """
    denoiser = model.resampler(sampling.guidance)
    if band is None and denoiser.law.bands == "random":
        raise InputError(f"the model takes any band: name one, e.g. {argument(_FINE)} for all fine detail")
    chosen = Spectrum.parse(denoiser.law.bands if band is None else band)
    named = read_named(paths, model.process.shape, model.meaning)
    require_like(named, keep)
    labels = None if label is None else torch.full((len(named.names),), label)
    samples = draw_band(
        denoiser,
        named.x,
        chosen,
        sampling,
        count=count,
        seed=seed,
        condition=labels,
        statistics=model.statistics,
        batch_size=batch_size,
        progress=progress,
    )
    return measured(named, samples, chosen, denoiser.law.basis)


def measured(named: Named, samples: Tensor, band: Spectrum, basis: Basis) -> ResamplingResult:
    """The result with its spectra, of `B` files and draws `(N, B, C, *spatial)`; the band is one of `basis`."""
    given = named.x
    b = mask(band, basis)
    rings = named.meaning.rings()
    drawn, share = samples, 1.0
    if named.known is not None:
        drawn, share = torch.where(named.known, samples, 0.0), float(named.known.double().mean())
    before, after = band_powers(given, rings, share), band_powers(drawn.flatten(0, 1), rings, share)
    return ResamplingResult(
        named=named,
        kept=given - basis.inverse(b * basis.forward(given.double())).to(given.dtype),
        samples=samples,
        band=band,
        b=b,
        basis=basis,
        edges=before.edges,
        share=radial_profile(b, basis, bands_of(basis), rings).values,
        replaced=share_of(b, basis),
        spectra={"given": before.values, "resampled": after.values},
        change_outside=max(change_outside(given, draw, b, basis) for draw in samples),
    )
