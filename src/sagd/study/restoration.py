"""Restored image files: images before and after, their spectra, and errors where clean ones are known."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sagd.build.objects import omission_mode
from sagd.build.schema import NO_OMISSION
from sagd.build.text import to_dict
from sagd.data.files import Named, read_named, read_partners, require_like
from sagd.errors import InputError, argument
from sagd.noise.bands import mask
from sagd.noise.basis.base import Basis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.grid import Grid
from sagd.noise.spectra.base import Spectrum
from sagd.noise.statistics import RadialProfile, radial_profile
from sagd.omission.alarm import excess
from sagd.omission.guard import unguarded
from sagd.omission.modes import Mode, Restoration
from sagd.omission.modes.cleaned import Cleaned
from sagd.omission.removal import SMALL, Removal, measure
from sagd.omission.restore import restore
from sagd.omission.split import band_part
from sagd.store.model import Trained
from sagd.study.findings import told
from sagd.study.held import Held
from sagd.study.sides import BEST, WAYS, Sides, asks_network

logger = logging.getLogger(__name__)

_APART = 64
"""Fields of a model's own size that are told one by one; of more, all together."""
UNBELIEVED = "nothing that the network says is believed"
"""Why a network is not believed whose word on its band bore out nothing when it was calibrated."""
BANDS, _LINES = 20, 200
"""Radial bands of spectra and errors; of records as many as there are frequencies, up to the second number."""


@dataclass(frozen=True)
class Method:
    """How fields were restored, for people.

    Attributes:
        kind: In a word or two: the mode of omission of the model, or what else.
        band: What was replaced; "" if that is other frequencies in every one.
        told: What that means, sentences as HTML.
        leaks: Whether what leaks beside the band is taken out too.
    """

    kind: str
    band: str
    told: str
    leaks: bool = False

    @staticmethod
    def of(mode: Mode) -> Method:
        """By a mode of omission."""
        return Method(mode.kind, str(unguarded(mode.place)), mode.told)


@dataclass(frozen=True)
class RestorationResult:
    """Everything that a report on restored images shows.

    Attributes:
        named: The damaged fields, and the files that they are from.
        restoration: Restored images, and with samples their spread.
        clean: The clean images, if they are known.
        method: How the fields were restored, for people.
        b: Where what was replaced lies in `basis`, `(*coefficients)`, in [0, 1]; the largest of all channels, the mean
            of all fields.
        basis: That of the model's noise.
        edges: Radial band edges as fractions of the corner radius, `(K + 1,)`.
        share: Mean of `b` by radial band `(K,)`; NaN where empty.
        replaced: Share of all frequencies that were replaced.
        spectra: "damaged", "restored" and, if known, "clean" -> mean power by radial band `(K,)`; NaN where empty.
        errors: "damaged", "restored" -> mean squared error by radial band `(K,)`, where clean images are known.
        psnr: "damaged", "restored" -> peak signal-to-noise ratio of the values, in dB, likewise.
        change_outside: Largest change of a coefficient that was not replaced, over the root mean square of all
            coefficients; None of parts of larger files, and of what was not restored on the grid of the model.
        sides: The model's result beside those without one, and which was taken; None if there are no others.
        files: What the files hold of the result, once they are written.
    """

    named: Named
    restoration: Restoration
    clean: Tensor | None
    method: Method
    b: Tensor
    basis: Basis
    edges: Tensor
    share: Tensor
    replaced: float
    spectra: dict[str, Tensor]
    errors: dict[str, Tensor]
    psnr: dict[str, float]
    change_outside: float | None
    sides: Sides | None = None
    files: Held | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields."""
        return self.named.names

    @property
    def damaged(self) -> Tensor:
        """`(N, C, *spatial)`."""
        return self.named.x

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready summary; empty bands are None."""
        return {
            "names": list(self.names),
            "meaning": to_dict(self.named.meaning),
            "mode": self.method.kind,
            "band": self.method.band,
            "band_edges": self.edges.tolist(),
            "spectra": {name: listed(values) for name, values in self.spectra.items()},
            "errors": {name: listed(values) for name, values in self.errors.items()},
            "psnr": self.psnr,
            "change_outside": self.change_outside,
            "files": None if self.files is None else self.files.to_dict(),
            "sides": None if self.sides is None else self.sides.to_dict(),
        }


def restore_files(
    model: Trained,
    paths: Sequence[Path],
    samples: int = 0,
    seed: int = 0,
    clean: Path | None = None,
    label: int | None = None,
    batch_size: int = 64,
    progress: bool = False,
    keep: bool = False,
    take: str = BEST,
) -> RestorationResult:
    """Restore image files and folders with a model, and measure what has changed.

    Args:
        model: A model that was trained by a mode of omission.
        paths: Image files and folders.
        samples: Posterior samples per image.
        seed: Seed of what is random.
        clean: Folder with clean images of the same names, if there are.
        label: Class of the images, of conditional models.
        batch_size: Images per network call.
        progress: Show a progress bar.
        keep: Write floating point: that the results can be written so is tried first.
        take: "network", or "clean" or "removal", which need none, or the "best" of them; with samples, and where the
            band or the size of the images allows no other, the network's.

    Raises:
        InputError: If the model leaves no band out, an image does not fit, a clean image is missing, or what is to be
            taken cannot be had.
    """
    mode = mode_of_model(model)
    Sides((), {}, {}, take)
    if samples and take in WAYS[1:]:
        raise InputError(
            f"{argument('take')} {take} is made without the network, and samples are drawn by it; leave one of them out"
        )
    damaged = read_named(paths, model.process.shape, model.meaning, unread={})
    require_like(damaged, keep)
    known = None if clean is None else read_partners(damaged, clean)
    others = None if samples or take == WAYS[0] else without_network(damaged, mode.place, take)
    warn_of_doubts(model)
    doubt = "" if believes(model, mode) else UNBELIEVED
    if others is not None and not asks_network(take, doubt, known is not None):
        sides, images = sides_of(damaged, None, known, others, take, doubt)
        return measured(damaged, Restoration(images), known, mode, model.statistics.basis, sides)
    labels = None if label is None else torch.full((len(damaged.names),), label)
    result = restore(
        model.denoiser,
        damaged.x,
        mode,
        model.statistics,
        samples=samples,
        seed=seed,
        condition=labels,
        batch_size=batch_size,
        progress=progress,
    )
    if others is None:
        return measured(damaged, result, known, mode, model.statistics.basis)
    sides, images = sides_of(damaged, result.images, known, others, take, doubt)
    own = result if sides.taken == WAYS[0] else Restoration(images)
    return measured(damaged, own, known, mode, model.statistics.basis, sides)


def mode_of_model(model: Trained) -> Mode:
    """The mode of omission by which a model was trained.

    Raises:
        InputError: If it hides no band.
    """
    mode = omission_mode(model.omission, model.meaning.grid())
    if mode is None:
        raise InputError(
            f"the model was trained with omission {NO_OMISSION!r}, which restores no band; say what it is to fill in"
            f" ({argument('band')}, or {argument('observed')} with masks), or train one with"
            f" {argument('process.omission.mode')} {Mode.example} on the damaged images"
        )
    if mode.cleans:
        raise InputError(
            f"the model was trained with omission {mode.kind!r}, on data of which the damage had been taken out, and"
            f" fills in no band; take it out of files without a model: {removal_command(model)} --out cleaned"
        )
    return mode


def removal_command(model: Trained) -> str:
    """What takes the damage out of files as it was taken out of the data of a model."""
    omission, grid = model.omission, model.meaning.grid()
    mode = omission_mode(omission, grid)
    assert mode is not None
    log = " --log yes" if isinstance(mode, Cleaned) and mode.log == "yes" else ""
    together = " --together" if math.prod(model.process.shape[1:]) < SMALL else ""
    return f'sagd clean FILES --band "{told(mode.place, grid)}"{log}{together}'


def believes(model: Trained, mode: Mode) -> bool:
    """Whether anything of what a model says of its band was believed when it was calibrated, or the images' own band is
    weighed in."""
    if model.calibration is None or mode.weighing != "none":
        return True
    return bool((model.calibration * (mask(mode.place, model.statistics.basis) > 0)).any())


def warn_of_doubts(model: Trained) -> None:
    """A warning, in one line, of what was found against the model's word on its band when it was trained."""
    mode, doubt = omission_mode(model.omission, model.meaning.grid()), model.doubt
    if not doubt and mode is not None and mode.calibrates and not believes(model, mode):
        doubt = "nothing of what the model says of the band was believed"  # models of before doubts were kept
    if doubt:
        logger.warning("when the model was trained: %s", doubt)


@dataclass(frozen=True)
class Others:
    """Fields restored in the ways that need no network, and the gain that was measured on them."""

    removal: Removal
    images: dict[str, Tensor]


def without_network(named: Named, band: Spectrum, take: str, removal: Removal | None = None) -> Others | None:
    """Fields of a model's own size restored without it; None, with a line, where band or size do not allow that.

    Args:
        named: The fields.
        band: Their band.
        take: What is to be taken.
        removal: What was measured of the band, if it was.

    Raises:
        InputError: If it is that which is to be taken.
    """
    damaged = named.x.double()
    try:
        removal = removal or measure(list(damaged), band, clipped=True)
        clean = damaged - removal.apply(damaged)
        return Others(removal, {"clean": clean, "removal": torch.stack([x - band_part(x, band) for x in damaged])})
    except InputError as error:
        if take != BEST:
            raise InputError(f"{argument('take')} {take} cannot be had here: {error}; take network") from None
        logger.info("no other way to restore beside the network's: %s", error)
        return None


def sides_of(
    named: Named,
    restored: Tensor | None,
    clean: Tensor | None,
    others: Others,
    take: str,
    doubt: str = "",
    trial: Mapping[str, Tensor] | None = None,
) -> tuple[Sides, Tensor]:
    """Fields of a model's own size restored in all ways: figures, and the fields that are taken.

    The network's are None where it was not asked.
    """
    damaged, removal, band = named.x.double(), others.removal, others.removal.band
    images = ({} if restored is None else {WAYS[0]: restored.double()}) | others.images
    stages = {"damaged": damaged} | images
    groups = [[k] for k in range(len(damaged))] if len(damaged) <= _APART else [list(range(len(damaged)))]
    errors = {}
    if clean is not None:
        known = ~clean.isnan() if named.known is None else named.known & ~clean.isnan()
        squares = {way: torch.where(known, x - clean, 0.0).square() for way, x in stages.items()}
        errors = {way: tuple(float(v[g].sum() / known[g].sum()) for g in groups) for way, v in squares.items()}
    over = {way: tuple(excess(iter(x[g]), band, removal) for g in groups) for way, x in stages.items()}
    names = named.names if len(groups) > 1 or len(damaged) == 1 else (f"{len(damaged)} files",)
    trials = {way: tuple(values.tolist()) for way, values in (trial or {}).items()}
    sides = Sides(names, errors, over, take, doubt, trials)
    return sides, images[sides.taken].to(named.x.dtype)


def measured(
    named: Named,
    restoration: Restoration,
    clean: Tensor | None,
    mode: Mode,
    basis: Basis,
    sides: Sides | None = None,
) -> RestorationResult:
    """The result of a mode, whose band is one of `basis`; see `compared`."""
    on_grid = sides is None or sides.taken == WAYS[0]
    b = mask(mode.place, basis)
    return compared(named, restoration, clean, Method.of(mode), b, basis, sides, on_grid)


def compared(
    named: Named,
    restoration: Restoration,
    clean: Tensor | None,
    method: Method,
    b: Tensor,
    basis: Basis,
    sides: Sides | None = None,
    on_grid: bool = True,
) -> RestorationResult:
    """The result with its spectra and, where clean images `(N, C, H, W)` are known, its errors.

    Values that are missing, in the damaged or the clean images, count in none of them. Spectra and errors are those of
    the Fourier basis, which all images share.

    Args:
        named: The damaged fields.
        restoration: Restored ones.
        clean: The clean ones, if they are known.
        method: How they were restored.
        b: Where what was replaced lies, `([N|1,] [C|1,] *coefficients)` of `basis`, in [0, 1].
        basis: That of the model's noise.
        sides: The result beside others.
        on_grid: Whether it was replaced on the grid of `basis`, so that all else is as it was.
    """
    damaged, restored = named.x, restoration.images
    stages = {"damaged": damaged, "restored": restored} | ({} if clean is None else {"clean": clean})
    rings, known = named.meaning.rings(), named.known
    if clean is not None and clean.isnan().any():
        known = ~clean.isnan() if known is None else known & ~clean.isnan()
    share = 1.0 if known is None else float(known.double().mean())
    if known is not None:
        stages = {name: torch.where(known, x, 0.0) for name, x in stages.items()}
    spectra = {name: band_powers(x, rings, share) for name, x in stages.items()}
    errors, psnr = {}, {}
    if clean is not None:
        for name in ("damaged", "restored"):
            difference = stages[name] - stages["clean"]
            errors[name] = band_powers(difference, rings, share).values
            psnr[name] = 10 * math.log10(4 / max(float(difference.square().mean()) / share, 1e-12))
    each = _each(b, basis)
    b = each.double().amax(1).mean(0)
    return RestorationResult(
        named=named,
        restoration=restoration,
        clean=stages.get("clean"),
        method=method,
        b=b,
        basis=basis,
        edges=spectra["damaged"].edges,
        replaced=sum(share_of(own.amax(0), basis) for own in each) / len(each),
        share=radial_profile(b, basis, bands_of(basis), rings).values,
        spectra={name: profile.values for name, profile in spectra.items()},
        errors=errors,
        psnr=psnr,
        change_outside=change_outside(damaged, restored, each, basis) if on_grid else None,
        sides=sides,
    )


def change_outside(damaged: Tensor, restored: Tensor, b: Tensor, basis: Basis) -> float:
    """Largest change of a coefficient where `b` is 0, over the root mean square of all coefficients.

    Args:
        damaged: `(N, C, *spatial)`.
        restored: Likewise.
        b: `([N|1,] [C|1,] *coefficients)`.
        basis: Of `b`.
    """
    largest, power = 0.0, 0.0
    each = _each(b, basis)
    each = each.expand(len(damaged), *each.shape[1:])
    for x, y, own in zip(damaged.split(256), restored.split(256), each.split(256), strict=True):
        largest = max(largest, float((basis.forward((y - x).double()).abs() * (own == 0)).max()))
        power += float(x.double().square().sum())
    # The basis is unitary: values and coefficients have the same mean square.
    return largest / max(math.sqrt(power / damaged.numel()), 1e-12)


def _each(b: Tensor, basis: Basis) -> Tensor:
    """`([N|1,] [C|1,] *coefficients)` with all of its axes."""
    return b.reshape(*(1,) * (2 + len(basis.coefficients) - b.ndim), *b.shape)


def band_powers(x: Tensor, rings: Grid | None = None, share: float = 1.0) -> RadialProfile:
    """Mean power of fields by radial band, all channels together; not about a mean, so that single ones have one.

    With a grid, radii are those of the world; see `radial_profile`. Of fields that are 0 where values are missing,
    `share` is that of the values which are not: the mean over all bands is then their mean square.
    """
    basis = FourierBasis(tuple(x.shape[2:]))
    power = torch.zeros(basis.coefficients, dtype=torch.float64)
    for batch in x.split(256):
        power += basis.forward(batch.double()).abs().square().sum((0, 1))
    return radial_profile(power / (len(x) * x.shape[1] * share), basis, bands_of(basis), rings)


def bands_of(basis: Basis) -> int:
    """Number of radial bands: more of records, so that narrow lines stay."""
    return BANDS if basis.rank > 1 else max(BANDS, min(basis.size // 2, _LINES))


def share_of(b: Tensor, basis: Basis) -> float:
    """Share of all frequencies where `b` is above 0."""
    return float(((b > 0) * basis.multiplicity()).sum() / basis.multiplicity().sum())


def listed(values: Tensor) -> list[float | None]:
    """Numbers for JSON; NaN is None."""
    return [None if math.isnan(v) else v for v in values.tolist()]
