"""Restoring the damaged band of data with the model that left it out.

With a model of mode `fill`, `project` or `deconvolve` (see `sagd.build.schema.OmissionConfig`) and a damaged image `y`,

    x = y + b (x_hat - y)    frequency by frequency,

where `b` is the band and `x_hat` what the model knows of it: `E[x | y outside the band]` (fill), the mean of the data
(project), or `E[x | z]` with `z` the image under the floor of noise that the model always sees (deconvolve). Outside
the band the image stays as it is, to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from sagd.errors import InputError
from sagd.model.condition import Condition, Conditional
from sagd.model.denoiser import Denoiser
from sagd.noise.bands import mask
from sagd.noise.basis.base import Basis
from sagd.noise.operator import Diagonal
from sagd.noise.spectra.base import Spectrum
from sagd.noise.statistics import DataStatistics
from sagd.omission.checks import check_images
from sagd.process.base import Process
from sagd.process.spectral import SpectralProcess
from sagd.random import sample_generators

LEAST_LEVEL = 0.01
"""Noise-to-signal ratio outside the band at which images are restored: below what images of 8 bits resolve."""
DRAWS = 8
"""Draws of the floor noise over which a deconvolved image is averaged."""
_LARGEST_BAND = 4096
"""Real dimensions of a band whose posterior covariance is computed at most."""


@dataclass(frozen=True)
class Restoration:
    """Restored images.

    Attributes:
        images: `(B, C, *spatial)`.
        std: Posterior standard deviation of every value, likewise; None unless samples were drawn.
        samples: `(N, B, C, *spatial)`, or None.
    """

    images: Tensor
    std: Tensor | None = None
    samples: Tensor | None = None


def restore(
    denoiser: Denoiser,
    y: Tensor,
    band: Spectrum | str,
    statistics: DataStatistics,
    *,
    samples: int = 0,
    seed: int = 0,
    condition: Conditional = None,
    batch_size: int = 64,
    progress: bool = False,
) -> Restoration:
    """Replace the damaged band of images by what a model knows of it.

    Args:
        denoiser: Denoiser of a model that was trained to leave the band out.
        y: Damaged images `(B, C, *spatial)`, float, in the range of the training data.
        band: The band of the model, whose soft edges blend.
        statistics: Statistics of the training data.
        samples: Posterior samples per image. Only `deconvolve` knows a posterior: that of its band is drawn as the
            Gaussian with the exact mean and covariance (second-order Tweedie).
        seed: Seed of what is random; image `i` depends on `(seed, i)` alone.
        condition: What conditional models are told of each image: class numbers `(B,)`, or a mapping.
        batch_size: Images per network call.
        progress: Show a progress bar.

    Raises:
        InputError: On images of another shape, type or range, samples from a model that knows none, or a band that the
            model was not trained to leave out.
    """
    process = denoiser.process
    check_images(y, process, statistics, "restores")
    whole = denoiser.check(condition, len(y))
    if samples < 0 or batch_size < 1:
        raise InputError(f"samples must be at least 0 and batch_size at least 1, got {samples} and {batch_size}")
    deconvolved = _is_deconvolved(process)
    if samples and not deconvolved:
        raise InputError(
            "samples need a model of mode 'deconvolve': from damaged images alone, 'fill' learns the mean of its band"
            " and 'project' nothing; leave samples out"
        )
    basis = process.reference.basis if isinstance(process, SpectralProcess) else statistics.basis
    b = Diagonal(mask(band, basis), basis)
    _check_band(process, Spectrum.parse(band), b, deconvolved)
    q = band_vectors(b, y.shape[1]) if samples else None
    t = least_time(process)
    parts: list[tuple[Tensor, Tensor | None, Tensor | None]] = []
    quiet = None if progress else True
    with tqdm(total=len(y), desc="restoring", unit="image", disable=quiet, leave=False) as bar, torch.no_grad():
        for first in range(0, len(y), batch_size):
            x = y[first : first + batch_size].to(denoiser.device)
            told = whole[first : first + batch_size].to(denoiser.device)
            if deconvolved:
                parts.append(_deconvolve(denoiser, x, b, t, told, samples, q, seed, first))
            else:
                known = bool(process.unseen)
                x_hat = _final(denoiser, process.alpha(t, x) * x, t, told) if known else statistics.mean.to(x)
                parts.append((_blend(x, x_hat, b), None, None))
            bar.update(len(x))
            parts[-1] = tuple(None if z is None else z.to(y.device) for z in parts[-1])  # type: ignore[assignment]
    images, std, drawn = zip(*parts, strict=True)
    if not samples:
        return Restoration(torch.cat(images))
    return Restoration(torch.cat(images), torch.cat(std), torch.cat(drawn, dim=1))


def least_time(process: Process) -> float:
    """The time at which images are restored."""
    return float(process.time_at(torch.tensor(LEAST_LEVEL, dtype=torch.float64)))


def _final(denoiser: Denoiser, x: Tensor, t: float, condition: Condition) -> Tensor:
    """What the model makes of `x`, in the network's precision, like `x`."""
    return denoiser.final(x.to(denoiser.dtype or x.dtype), t, condition).to(x.dtype)


def _check_band(process: Process, band: Spectrum, b: Diagonal, deconvolved: bool) -> None:
    """Refuse a band that is not the model's: there, it was shown the damage, or knows nothing of the image."""
    replaced = b.values > 0
    if process.unseen.band is not None:
        own, fits = process.unseen.band.label, torch.equal(mask(process.unseen.band, b.basis) > 0, replaced)
    elif deconvolved:
        assert isinstance(process, SpectralProcess)
        damage = process.corruption(torch.zeros(1, *process.shape)).values > 0
        own, fits = str(process.evolution.corruption_spectrum), bool((damage & replaced).any())
    else:
        noisy = process.covariance.power_range(b.basis)[1] > 0
        own, fits = f"what {process.label} has no noise in", not bool((noisy & (b.values == 1)).any())
    if not fits:
        raise InputError(f"the model does not leave out the band {band.label}, but {own}; name its own band")


def _deconvolve(
    denoiser: Denoiser,
    y: Tensor,
    b: Diagonal,
    t: float,
    condition: Condition,
    samples: int,
    q: Tensor | None,
    seed: int,
    first: int,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Mean over draws of the floor noise; with `samples` and `q`, standard deviation and samples as well."""
    process = denoiser.process
    generators = sample_generators(seed, len(y), first)
    noisy = [process.perturb(y, t, generator=generators) for _ in range(DRAWS)]
    x_hat = sum((_final(denoiser, x_t, t, condition) for x_t in noisy), torch.zeros_like(y)) / DRAWS
    restored = _blend(y, x_hat, b)
    if q is None:
        return restored, None, None
    q = q.to(y)
    blended = (b.on(q) * q).to(q.dtype)
    std, drawn = torch.empty_like(y), y.new_empty(samples, *y.shape)
    for i, generator in enumerate(generators):
        root = _posterior_root(denoiser, noisy[0][i : i + 1], q, t, condition[i : i + 1])
        # Of soft edges, samples take the part that the mean takes.
        fields = (blended.flatten(1).T @ root).T.reshape(-1, *y.shape[1:])
        std[i] = fields.square().sum(0).sqrt()
        xi = torch.randn(samples, len(q), generator=generator).to(y)
        drawn[:, i] = restored[i] + torch.einsum("nm,m...->n...", xi, fields)
    return restored, std, drawn


def _posterior_root(denoiser: Denoiser, x_t: Tensor, q: Tensor, t: float, condition: Condition) -> Tensor:
    """A root `(m, m)` of the covariance of the band given `x_t`, in the coordinates `q`.

    Second-order Tweedie: `Cov[x | x_t] = S J^T / alpha`, `J = dE[x | x_t]/dx_t`, `S` the covariance of all noise in
    `x_t`.
    """
    process = denoiser.process
    total = _total_noise(process, x_t, t) / float(process.schedule.alpha(torch.tensor(t, dtype=torch.float64)))
    columns = []
    for v in q.split(64):
        with torch.enable_grad():
            at = x_t.expand(len(v), *x_t.shape[1:]).clone().requires_grad_()
            (slope,) = torch.autograd.grad(_final(denoiser, at, t, condition.expand(len(v))), at, v)
        columns.append(q.flatten(1) @ (total * slope).to(q.dtype).flatten(1).T)
    covariance = torch.cat(columns, dim=1).double()
    # Symmetric and not negative for the exact posterior mean; a network only comes near it.
    values, vectors = torch.linalg.eigh((covariance + covariance.T) / 2)
    return (vectors * values.clamp(min=0).sqrt()).to(q.dtype)


def _total_noise(process: Process, x: Tensor, t: float) -> Diagonal:
    """Variance of the noise in `x_t`, that of the damage included, as an operator."""
    assert isinstance(process, SpectralProcess)
    alpha, sigma = process.diagonal(t, x, process.basis)
    return sigma**2 + (alpha * process.corruption(x)) ** 2


def band_vectors(b: Diagonal, channels: int) -> Tensor:
    """An orthonormal basis `(m, C, *spatial)` of the real fields whose frequencies lie in a band, float64.

    Raises:
        InputError: If `m` exceeds what a dense covariance allows.
    """
    basis: Basis = b.basis
    support = (b.values > 0).expand(channels, *basis.coefficients)
    size = round(float((support * basis.multiplicity()).sum()))
    if size > _LARGEST_BAND:
        raise InputError(f"posterior samples of a band of {size} dimensions; at most {_LARGEST_BAND} are feasible")
    places = support.flatten().nonzero().flatten()
    unit = torch.zeros(len(places), support.numel(), dtype=torch.float64)
    unit[torch.arange(len(places)), places] = 1.0
    unit = unit.reshape(-1, *support.shape)
    waves = [basis.inverse(unit)]
    if basis.forward(torch.zeros(channels, *basis.spatial, dtype=torch.float64)).is_complex():
        waves = [basis.inverse(unit * factor) for factor in (torch.tensor(1 + 0j), torch.tensor(1j))]
    fields = torch.cat(waves)
    # The sine of a frequency that is its own mirror is nothing, and mirrored columns are stored twice.
    _, s, v = torch.linalg.svd(fields.flatten(1), full_matrices=False)
    return v[s > 1e-6 * s.max()].reshape(-1, *fields.shape[1:])


def _blend(y: Tensor, x_hat: Tensor, b: Diagonal) -> Tensor:
    return y + (b.on(y) * (x_hat - y)).to(y.dtype)


def _is_deconvolved(process: Process) -> bool:
    return isinstance(process, SpectralProcess) and process.evolution.corruption_spectrum is not None
