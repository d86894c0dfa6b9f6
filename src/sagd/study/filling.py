"""Items filled in by a model of whole ones: frequencies that were never observed, or a band that is damaged.

What is hidden is drawn from its posterior given all that is shown, several times, and the mean is the result; see
`sagd.omission.posterior`. Any model that leaves no band out will do, those of training in laps above all.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sagd.build.objects import omission_mode
from sagd.build.schema import NO_OMISSION
from sagd.counting import Count
from sagd.data.config import Order
from sagd.data.files import Named, masks_named, read_named, read_partners, require_like
from sagd.data.kinds import Kind
from sagd.data.masks import CENTRED, beside_line, power_beside, reordered
from sagd.errors import InputError, argument
from sagd.model.condition import Conditional
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.omission.checks import check_images, within_reach
from sagd.omission.guard import unguarded
from sagd.omission.modes import Restoration
from sagd.omission.posterior import filled
from sagd.omission.removal import Removal, measure
from sagd.omission.removal.measurement import LEAST
from sagd.omission.trial import CLEAN, CLEANED, DAMAGED, Trial, damaged_draws, some_of, tried, weights_of
from sagd.store.model import Trained
from sagd.study.restoration import Method, RestorationResult, compared, sides_of, without_network
from sagd.study.sides import BEST, WAYS, Sides, asks_network

logger = logging.getLogger(__name__)

DRAWS = 8
"""Posterior draws whose mean is the result, where nobody asks for their number."""
TRYING = "trying the ways on draws of the model"
_DELETED = 0.1
"""Power of a band, in that of clean items, below which it holds nothing any more."""
_TOLD = (
    "What is hidden of each was <b>drawn</b> from its posterior given what is shown, {draws} times, and the mean is the"
    " result: it is nearest to the truth on average, and smoother than it where the model is not sure."
)
_FROM_CLEANED = (
    " The model was given what <b>cleaning</b> had left, which came nearer in trials on draws of its own under damage"
    " like this."
)
_ONE = "What is hidden of each was <b>drawn</b> once from its posterior given what is shown: other draws would differ."


@dataclass(frozen=True)
class Hidden:
    """Which frequencies of items a model is to fill in.

    Attributes:
        band: The same in all, as text; "" if each has a mask.
        observed: Name of the masks; None with a band.
        order: Their order.
    """

    band: str = ""
    observed: str | None = None
    order: Order = "fft"

    @staticmethod
    def of(
        model: Trained, band: str | None = None, observed: str | None = None, order: Order | None = None
    ) -> Hidden | None:
        """What somebody says, or what was hidden in the data that a model of whole items learnt from.

        None if that is the band that the model was trained to leave out, or nothing.

        Raises:
            InputError: On a band and masks.
        """
        if band is not None and order is not None:
            raise InputError(f"{argument('observed_order')} is of masks, and {argument('band')} has none; leave it out")
        if band is not None and observed is not None:
            raise InputError(
                f"{argument('band')} is hidden in all items, {argument('observed')} says what each shows; give one"
            )
        if band is not None:
            return Hidden(band)
        if observed is not None:
            return Hidden("", observed, order or "fft")
        if "process" not in model.configuration:
            return None
        config, own = model.config, omission_mode(model.omission, model.meaning.grid())
        if own is not None and not (own.cleans and config.process.omission.laps):
            return None
        if config.data.observed is not None:
            if not config.process.omission.laps:
                logger.warning(
                    "the model was trained without laps on items that lack frequencies, and learnt 0 for these; train"
                    " with %s",
                    argument("process.omission.laps"),
                )
            return Hidden("", config.data.observed, order or config.data.observed_order)
        mode = omission_mode(config.process.omission, model.meaning.grid())
        return None if mode is None else Hidden(str(mode.place))


@dataclass(frozen=True)
class Damage:
    """What items lack, or show under noise.

    Attributes:
        noise: Its power `N(f)`, `(B|1, C|1, *coefficients)`: infinite where nothing is known, 0 where all is.
        basis: Of the coefficients.
        where: What is to be replaced, in [0, 1], likewise: a band, without what leaks beside it.
        removal: How the damage is taken out of the band without a network; None of masks and of too few samples.
    """

    noise: Tensor
    basis: FourierBasis
    where: Tensor
    removal: Removal | None = None

    def continued(self, y: Tensor, model: Trained) -> Tensor:
        """Items `(B, C, *spatial)` as they were before they were clipped, as a model may see them."""
        return y if self.removal is None else continued(y, self.removal, model)

    def held(self, images: Tensor, y: Tensor) -> Tensor:
        """Images within the limits where the items that they were made of had been clipped."""
        return images if self.removal is None else self.removal.held(images, y)

    @property
    def is_shown(self) -> bool:
        """Whether something is known of all that is damaged."""
        return bool(self.noise.isfinite().all())

    @staticmethod
    def by_masks(observed: Tensor, spatial: Sequence[int]) -> Damage:
        """What was not observed, from bool `(B, *coefficients)` of the Fourier basis of `spatial`."""
        noise = torch.where(observed, 0.0, torch.inf)[:, None]
        return Damage(noise, FourierBasis(tuple(spatial)), (noise > 0).double())

    @staticmethod
    def of_band(model: Trained, band: str, y: Tensor) -> Damage:
        """Of a band: as strong as it stands out of the items `(B, C, *spatial)` together, with a line on that.

        Raises:
            InputError: If it holds none of the frequencies, or all.
        """
        place = Spectrum.parse(band).on(model.meaning.grid())
        damage, line = Damage.measured(place, y, band, "the network and cleaning leave")
        logger.info(line)
        return damage

    @staticmethod
    def measured(place: Spectrum, y: Tensor, band: str, left: str = "the network leaves") -> tuple[Damage, str]:
        """Likewise, of a band on the grid of items, which is called `band`; and a sentence on it.

        Where next to nothing is left in the band, or items have too few samples to tell, nothing of it is known. `left`
        says who leaves a band alone of which nothing stands out.
        """
        basis, band = FourierBasis(tuple(y.shape[2:])), Spectrum.parse(band).label
        inside = (mask(place, basis) > 0).double().reshape(1, -1, *basis.coefficients)
        removal = measure(list(y), place, clipped=True) if min(basis.spatial) >= LEAST else None
        if removal is None:
            line = f"items of so few samples do not tell the damage in {band}: all of it is filled in"
            return Damage(torch.where(inside > 0, torch.inf, 0.0), basis, inside), line
        if not (y.flatten(2).amax(2) > y.flatten(2).amin(2)).any():
            line = "nothing varies in the items, and nothing is filled in"
            return Damage(torch.zeros_like(inside), basis, inside), line
        y = removal.continued(y)
        if removal.level_of(y) < _DELETED:
            line = f"next to nothing is left in {band}: all of it is filled in"
            return Damage(torch.where(inside > 0, torch.inf, 0.0), basis, inside, removal), line
        noise = removal.noise_of(y)
        if not noise.any():
            line = (
                f"nothing of a damage stands out of {band} for certain: {left} it next to unchanged; if there is"
                " damage, name its own band, as sagd inspect finds it"
            )
        else:  # content of which the band has more than what lies beside it cannot be told from damage
            share = 100 * removal.share_of(y)
            told = f"{share:.0f} %" if share >= 1 else "less than 1 %"
            line = (
                f"{told} of the power in {band} stands out of what lies beside it, and is taken for damage; what the"
                " band still shows is weighed in"
            )
        return Damage(noise[None], basis, inside, removal), line


def fill_files(
    model: Trained,
    paths: Sequence[Path],
    hidden: Hidden,
    samples: int = 0,
    seed: int = 0,
    clean: Path | None = None,
    label: int | None = None,
    batch_size: int = 64,
    progress: bool = False,
    keep: bool = False,
    take: str = BEST,
) -> RestorationResult:
    """Fill in files, and measure what has changed; arguments as for `sagd.study.restoration.restore_files`.

    Args:
        hidden: What is to be filled in.

    Raises:
        InputError: If an item does not fit, has no mask or values missing, or a clean one is missing.
    """
    Sides((), {}, {}, take)
    if take in WAYS[1:] and hidden.observed is not None:
        raise InputError(
            f"{argument('take')} {take} takes damage out of a band that all items have in common, and these have masks;"
            f" leave {argument('take')} out"
        )
    if take in WAYS[1:] and samples:
        raise InputError(
            f"{argument('take')} {take} is made without the network, and samples are drawn by it; leave one of them out"
        )
    named = read_named(paths, model.process.shape, model.meaning, hidden.observed, unread={})
    require_like(named, keep)
    if named.known is not None:
        raise InputError("the files have missing values (NaN), so that no frequency of them is known; fill them first")
    known = None if clean is None else read_partners(named, clean)
    if hidden.observed is None:
        damage = Damage.of_band(model, hidden.band, named.x)
    else:
        damage = Damage.by_masks(masks_named(paths, named, hidden.observed, hidden.order), named.x.shape[2:])
        _say_beside(named, damage, hidden.order)
    others = None
    if hidden.observed is None and not samples and take != WAYS[0]:
        others = without_network(named, Spectrum.parse(hidden.band).on(model.meaning.grid()), take, damage.removal)
    doubt = doubt_of(model)
    asked = asks_network(take, doubt, known is not None)
    if others is not None and not asked:
        own, images = sides_of(named, None, known, others, take, doubt)
        method = method_of(hidden.band, from_cleaned=False)
        return compared(named, Restoration(images), known, method, damage.where, damage.basis, own, on_grid=False)
    labels = None if label is None else torch.full((len(named.names),), label)
    if not samples and asked:
        start = start_of(model, named.x, damage, seed, labels, batch_size, progress)
    else:
        start = Start(damage.continued(named.x, model), damage)
    result = fill(model, start.y, start.damage, samples, seed, labels, batch_size, progress)
    result = dataclasses.replace(result, images=damage.held(result.images, named.x))
    method = method_of(hidden.band, start.from_cleaned, samples)
    sides: Sides | None = None
    if others is not None:
        sides, images = sides_of(named, result.images, known, others, take, doubt, errors_of(start.trial))
        result = result if sides.taken == WAYS[0] else Restoration(images)
    return compared(
        named, result, known, method, damage.where, damage.basis, sides, sides is None or sides.taken == WAYS[0]
    )


def method_of(band: str, from_cleaned: bool, samples: int = 0) -> Method:
    """How a model of whole items restores, for people.

    Args:
        band: What is filled in; "" of masks.
        from_cleaned: Whether the model is given what cleaning left.
        samples: Draws that are kept.
    """
    told = _ONE if samples == 1 else _TOLD.format(draws=samples or DRAWS)
    kind = "one draw" if samples == 1 else "posterior mean"
    named = str(unguarded(Spectrum.parse(band))) if band else ""
    return Method(kind, named, told + (_FROM_CLEANED if from_cleaned else ""), leaks=bool(band))


def doubt_of(model: Trained) -> str:
    """Why cleaning is taken before a model that no lap has made: it knows no more than what that left; else ""."""
    if model.omission.mode == NO_OMISSION:
        return ""
    laps = "process" in model.configuration and model.config.process.omission.laps
    return "no lap of this model was kept" if laps else "the model learnt from damaged data, without laps"


def require_whole(model: Trained) -> None:
    """Refuse a model that is no use for filling in.

    Raises:
        InputError: If it leaves a band out.
    """
    if model.process.unseen:
        mode = omission_mode(model.omission, model.meaning.grid())
        of = "a band" if mode is None else repr(mode.place.label)
        raise InputError(
            f"the model was trained to leave out {of}, and fills in that band alone; leave"
            f" {argument('band')} and {argument('observed')} out, or take a model of whole items"
        )


@dataclass(frozen=True)
class Start:
    """What a model starts from to restore damaged items.

    Attributes:
        y: `(B, C, *spatial)`: as they were before they were clipped, or what cleaning leaves, as `Left.shown` has it.
        damage: What is wrong with them.
        trial: In which that was found to be the better; None if there was none.
    """

    y: Tensor
    damage: Damage
    trial: Trial | None = None

    @property
    def from_cleaned(self) -> bool:
        """Whether that is cleaned."""
        return self.trial is not None and self.trial.from_cleaned


def errors_of(trial: Trial | None) -> dict[str, Tensor]:
    """Errors in a trial, of the network as it is used and of cleaning; {} without one."""
    if trial is None:
        return {}
    return {WAYS[0]: trial.errors[CLEANED if trial.from_cleaned else DAMAGED], WAYS[1]: trial.errors[CLEAN]}


def start_of(
    model: Trained,
    y: Tensor,
    damage: Damage,
    seed: int = 0,
    condition: Conditional = None,
    batch_size: int = 64,
    progress: bool = False,
) -> Start:
    """Damaged items as they are, or cleaned, by what the network makes nearer to the truth in a trial.

    Args:
        model: A model of whole items.
        y: Damaged items `(B, C, *spatial)`, as it sees them.
        damage: What is damaged in them; cleaned are those alone that show all under damage which was measured.
        seed: Seed of the draws.
        condition: What conditional models are told of each.
        batch_size: Items per network call.
        progress: Show a bar.
    """
    removal, y = damage.removal, damage.continued(y, model)
    if removal is None or not damage.is_shown or not damage.noise.any():
        return Start(y, damage)
    some = some_of(len(y))
    every = model.denoiser.check(condition, len(y))

    with Count(draws_of_trial(len(some), 2 * len(some)), TRYING, "draws", progress) as count:

        def network(z: Tensor, noise: Tensor, draws: int = 0, own: int = seed) -> Tensor:
            # A draw of a model that has hardly learnt may be anywhere.
            z, own_damage = within_reach(z, model.statistics), dataclasses.replace(damage, noise=noise)
            told = every[some.repeat(len(z) // len(some))]
            return fill(model, z, own_damage, draws, own, told, batch_size, count).images

        draws = network(y[some], damage.noise, 1, seed + 1)
        require_finite(draws)
        taken = removal.apply(y[some].double()).to(y)
        z = damaged_draws(y[some], draws, taken)
        # Each kind of damage by itself, as the items are: of twice as many more is known.
        halves = (half.double() for half in z.chunk(2))
        clean = torch.cat([half - measure(iter(half), removal.band).apply(half) for half in halves]).to(z)
        weight = weights_of(taken, damage.noise, damage.basis, len(some))
        trial = tried(torch.cat([draws, draws]), z, clean, damage.noise, damage.where, network, weight=weight)
    say_start(trial, len(z))
    if not trial.from_cleaned:
        return Start(y, damage, trial)
    shown = within_reach(trial.left.shown(cleaned(y, removal, model)), model.statistics)
    return Start(shown, dataclasses.replace(damage, noise=trial.left.noise), trial)


def draws_of_trial(draws: int, items: int) -> int:
    """Draws of a trial: so many to try the ways on, and of each of the items both ways of the network."""
    return draws + 2 * items * DRAWS


def require_finite(draws: Tensor) -> None:
    """Refuse a model whose draws are of no use.

    Raises:
        InputError: If they are not finite.
    """
    if not draws.isfinite().all():
        raise InputError("the model draws values that are not finite: it has diverged; train it again, more slowly")


def say_start(trial: Trial, count: int) -> None:
    """A line if so many trials found that the network had better be given what was cleaned."""
    if trial.from_cleaned:
        logger.info(
            "the network is given cleaned items: in %d trials where the truth is known, its error is %.0f %% of that"
            " from damaged ones",
            *(count, 100 * trial.mean(CLEANED) / trial.mean(DAMAGED)),
        )


def continued(y: Tensor, removal: Removal, model: Trained) -> Tensor:
    """Items `(B, C, *spatial)` as they were before they were clipped, as a model may see them."""
    return y if removal.limits is None else within_reach(removal.continued(y), model.statistics)


def cleaned(y: Tensor, removal: Removal, model: Trained) -> Tensor:
    """Items `(B, C, *spatial)` without their measured damage, as a model may see them."""
    return within_reach(y - removal.apply(y.double()).to(y), model.statistics)


def _say_beside(named: Named, damage: Damage, order: Order) -> None:
    """A line for items that hold something where their masks say that nothing was observed."""
    missing, other = damage.noise[:, 0] > 0, "fft" if order == CENTRED else CENTRED

    def share(lacking: Tensor) -> float:
        beside, power = (float(z.sum()) for z in power_beside(named.x, lacking))
        return beside / power if power else 0.0

    name = f"{len(named.names)} {Kind.member(named.meaning.kind).item[1]}"
    turned = share(reordered(missing, named.x.shape[-1], order))
    line = beside_line(name, share(missing), turned, argument(f"observed_order={other}"), "replaced")
    if line is not None:
        logger.warning(line)


def fill(
    model: Trained,
    y: Tensor,
    damage: Damage,
    samples: int = 0,
    seed: int = 0,
    condition: Conditional = None,
    batch_size: int = 64,
    progress: bool | Count = False,
    first: int = 0,
) -> Restoration:
    """Items filled in by a model, with samples also their standard deviation and the draws.

    Args:
        model: A model that leaves no band out.
        y: `(B, C, *spatial)`, as it sees them.
        damage: What is to be filled in.
        samples: Draws that are kept; of 0 the mean of some.
        seed: Seed of the draws.
        condition: What conditional models are told of each.
        batch_size: Items per network call.
        progress: Whether to show how far it is, or what counts the draws.
        first: Number of the first item, by which each has draws of its own.

    Raises:
        InputError: If the model leaves a band out, or items and damage do not fit it.
    """
    require_whole(model)
    if samples < 0 or batch_size < 1:
        raise InputError(f"samples must be at least 0 and batch_size at least 1, got {samples} and {batch_size}")
    y = y.cpu()
    check_images(y, model.process, model.statistics, "fills in")
    if len(damage.noise) not in (1, len(y)):
        raise InputError(f"there are {len(damage.noise)} masks for {len(y)} items; give one for each")
    try:
        model.process.diagonal(1.0, y[:1], damage.basis)
    except InputError:
        raise InputError(
            "what is filled in is of Fourier frequencies, and the noise of the model is coloured in the"
            f" {model.statistics.basis.kind} basis; take a model of white noise, or train one with"
            f" {argument('process.basis=fourier')}"
        ) from None
    return filled(
        model.denoiser, y, damage.noise, model.statistics.on(damage.basis), draws=samples or DRAWS, keep=samples > 0,
        seed=seed, condition=condition, batch_size=batch_size, progress=progress, first=first,
    )  # fmt: skip
