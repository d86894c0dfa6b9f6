"""What a damaged band holds, measured on whole arrays, and the Wiener gain that takes the damage out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor

from sagd.errors import InputError, check_squares
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.omission.removal.clipping import Arrays, Extremes, Limits, continued, each
from sagd.omission.removal.extend import crop, extend, extended_size, passed
from sagd.omission.removal.geometry import Part, parts_of
from sagd.omission.removal.local import strength, window_of
from sagd.omission.removal.spectra import SMALL, Powers, are_several, fit, profile
from sagd.omission.removal.structure import odd_phase, weighted_damage

LEAST = 8
"""Samples that arrays have along each axis, at least."""
_COLOURS = 3
"""Channels of images that are cleaned jointly where this promises less error, below `_BETTER` of what each has."""
_BETTER = 0.9
_NEAR, _FEWEST = 1.5, 256
"""Radii of a band, widened so many times, whose other frequencies say how much power arrays have, if these have so many
values there: their median then has an error of 8 %."""
_ARRAYS = 256
"""Arrays that are transformed at a time."""
_TOGETHER = 2**18
"""Samples of extended arrays that are cleaned at a time, or one array: more leave the caches of processors."""
_DOUBTFUL, _SURE = 0.25, 2.0
"""Damage over the clean power from which on there may be any, and excess over that which is damage."""
_LEAST_OF_REST = 0.5
"""Of the fitted power of damage, where it is not sure, at least: what is sure was picked out of the same powers."""
_ROUNDING = 1e-6
"""Part of the power of arrays that is what rounding makes of it."""
_CHANCE = 4.0
"""Power of the mean of arrays from which on they have something in common, in that which chance gives it."""
_HAS_COMMON = 0.1
"""Power of an array, over that of what arrays have in common, below which it does not have it."""
_TIMES, _TIMES_OF_SMALL = 1, 2
"""Times that arrays with values at limits are continued beyond these and measured again; small ones tell less each."""
_ROUNDS, _ROUNDS_OF_MANY = 3, 2
"""Times that it is decided which values are held at their limit: the last one gains a decibel at most, and takes long
of large arrays and of many small ones."""
_LARGE = 2**20
"""Places of an array from which on it is large."""
_LITTLE = 0.1
"""Power of what was cut off, over that of what is left of the damage, below which it does not matter."""
_OF_ITEM = 0.005
"""Share of the values of an array at limits from which on it is continued beyond these."""
_STRONG = 1 / 3
"""Clean power, in that of the damage, from which on a quarter or more of what is taken out is content."""


@dataclass(frozen=True)
class Removal:
    """The gain of a band on arrays of one size, and the spectra that it comes from.

    Attributes:
        band: Where the damage is.
        spatial: Size of the arrays.
        basis: Fourier basis of the extended arrays.
        gain: `g(f)` in [0, 1], `(C, *coefficients)`; exactly 1 outside the band.
        power: Measured power, likewise.
        smooth: The clean spectrum `S`, likewise: as it is beside the band inside it, by radius alone outside.
        damage: The spectrum `N` of the damage, 0 outside the band, likewise.
        width: Full width across of the narrowest shape of the band, in cycles per sample.
        turn: Orthogonal matrix `(C, C)` whose rows make of the channels those that gain and spectra are of: of colours,
            which share their content, grey and its differences.
        common: What several small items have in common beside their own means, `(C, *spatial)`, as digits and faces
            do: content, about which the rest is measured and cleaned; 0 of others, `(C, 1, ...)`.
        limits: Values at which the arrays were clipped, on which all else is measured as they are continued beyond.
        known: A large array and what it was continued to, if it was measured by itself: that takes long.
    """

    band: Spectrum
    spatial: tuple[int, ...]
    basis: FourierBasis
    gain: Tensor
    power: Tensor
    smooth: Tensor
    damage: Tensor
    width: float
    turn: Tensor
    common: Tensor
    limits: Limits | None = None
    known: tuple[Tensor, Tensor] | None = None

    @property
    def share(self) -> float:
        """Share of the frequencies at which anything is taken out."""
        weight = self.basis.multiplicity()
        return float((weight * (self.gain < 1)).sum() / (weight.sum() * len(self.gain)))

    @property
    def mixed(self) -> float:
        """Share of the power that is taken out which lies where the clean spectrum has a third of the damage's or more.

        There, part of what is taken out is content. Where frequencies are alike, that part is `S / (S + N)`.
        """
        taken = self.basis.multiplicity() * (1 - self.gain) ** 2 * self.power
        total = float(taken.sum())
        return float(taken[self.smooth > _STRONG * self.damage].sum()) / total if total > 0 else 0.0

    def noise_of(self, x: Tensor) -> Tensor:
        """The power of the damage in the Fourier basis of the arrays themselves, `(C, *coefficients)`, float64.

        At their borders damage breaks off, and leaks beside its band. Its shape is that on the extended arrays; its
        strength what arrays hold in the band over their clean spectrum there. In extended arrays both are weaker: by
        what is blended, and by all borders that are blank. Where several arrays hold far more than their clean spectrum
        the damage is what they hold more.

        Args:
            x: Arrays `(N, C, *spatial)`, those that were measured or others of the same damage.
        """
        noise, weight, clean, power = self._in_band(x)
        if not (total := (weight * noise).sum()) > 0:
            return noise
        excess = power - clean
        strength = ((weight * excess).sum() / total).clamp(min=1)
        if not are_several(len(x), self.spatial):
            return noise * strength
        sure = (noise > _DOUBTFUL * clean) & (excess > _SURE * clean)
        rest = weight * ~sure
        if (left := (rest * noise).sum()) > 0:  # whose shape is that of the fit, and whose power no more than there is
            strength = strength.minimum(((rest * excess).sum() / left).clamp(min=_LEAST_OF_REST))
        return torch.where(sure, excess, noise * strength)

    def share_of(self, x: Tensor) -> float:
        """Share of the power of arrays `(N, C, *spatial)` in the band that is over their clean spectrum there.

        The damage that is measured by level of the band may be more: of few frequencies some stand out by chance, which
        others make up for.
        """
        noise, weight, clean, power = self._in_band(x)
        every = (weight * power).sum()
        if not (weight * noise).sum() > 0 or not every > 0:
            return 0.0
        return float(((weight * (power - clean)).sum() / every).clamp(0, 1))

    def _in_band(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """In arrays as they are: the power of the damage as it was fitted, what each frequency counts in the band, the
        clean spectrum, and the mean power of these arrays."""
        own, power = FourierBasis(self.spatial), self.power_in(x)
        clean, noise = self._own(self.smooth), self._own(self.damage)
        radius = own.radius()
        inside = (mask(self.band, own) > 0) & (radius > 0)
        weight = own.multiplicity() * inside
        if not (weight * noise).sum() > 0:
            return noise, weight, clean, power
        beside = ~inside & (radius > 0)
        near = beside & (radius > radius[inside].min() / _NEAR) & (radius < radius[inside].max() * _NEAR)
        level = _level((power / clean)[:, near if len(x) * int(near.sum()) >= _FEWEST else beside], len(x))
        return noise, weight, level.reshape(-1, *(1,) * own.rank) * clean, power

    def level_of(self, x: Tensor) -> float:
        """Power of arrays `(N, C, *spatial)` in the band over that of clean ones, as they are."""
        own, varies = FourierBasis(self.spatial), self.power.flatten(1).amax(1) > 0
        inside = own.multiplicity() * mask(self.band, own) * (own.radius() > 0)
        held, clean = (float((inside * z[varies]).sum()) for z in (self.power_in(x), self._own(self.smooth)))
        return held / clean if clean > 0 else 0.0

    def power_in(self, x: Tensor) -> Tensor:
        """Mean power of arrays as they are, about their mean, `(C, *coefficients)`."""
        own = FourierBasis(self.spatial)
        power = torch.zeros(len(self.gain), *own.coefficients, dtype=torch.float64)
        for some in x.split(_ARRAYS):
            about = self._about(some.double())
            power += own.forward(about).abs().square().sum(0).to(power)
        return power / len(x)

    def _own(self, power: Tensor) -> Tensor:
        return windowed(torch.einsum("ic,i...->c...", self.turn.square(), power), self.basis, self.spatial)

    def power_of(self, x: Tensor | Iterable[Tensor]) -> Tensor:
        """The mean power of other arrays of that size, `(C, *coefficients)`, of the channels that the gain is of."""
        total, count = torch.zeros_like(self.power), 0
        for block in each(x):
            about = self._about(block)
            turned = torch.einsum("ij,j...->i...", self.turn.to(about), about)
            total = total + self.basis.forward(extend(turned, self.basis.spatial)).abs().square().double()
            count += 1
        return total / max(count, 1)

    def apply(self, x: Tensor) -> Tensor:
        """What is to be taken out of an array.

        Args:
            x: `(*, C, *spatial)` of the measured size, finite; each array is cleaned by itself.

        Returns:
            The damage, of the shape and type of `x`.

        Raises:
            InputError: If arrays have another shape.
        """
        one = (len(self.gain), *self.spatial)
        if tuple(x.shape[-len(one) :]) != one:
            expected = " x ".join(map(str, one))
            raise InputError(f"the gain was measured on arrays of {expected}, got {tuple(x.shape)}")
        if self.known is not None and x is self.known[0]:
            return self._of_block(x[None], self.known[1])[0]
        blocks = x.reshape(-1, *one).split(max(1, _TOGETHER // math.prod(self.basis.spatial)))
        return torch.cat([self._of_block(block, self.continued(block)) for block in blocks]).reshape(x.shape)

    def _of_block(self, x: Tensor, z: Tensor) -> Tensor:
        """What is to be taken out of arrays `(N, C, *spatial)`: of values at limits all but what is within these.

        Args:
            x: The arrays.
            z: They as they were before they were clipped.
        """
        turn = self.turn.to(x)
        turned = torch.einsum("ij,nj...->in...", turn, self._about(z))
        each = torch.stack([self._damage_of(*of) for of in zip(turned, self.gain, self.smooth, strict=True)])
        damage = torch.einsum("ji,jn...->ni...", turn, each)
        if self.limits is None:
            return damage
        below, above = self.limits.where(x)
        return torch.where(below | above, x - self.limits.clamp(z - damage), damage)

    def held(self, x: Tensor, y: Tensor) -> Tensor:
        """Arrays `x` within the limits where `y`, which they were made of, had been clipped."""
        if self.limits is None:
            return x
        below, above = self.limits.where(y)
        return torch.where(below | above, self.limits.clamp(x), x)

    def continued(self, x: Tensor) -> Tensor:
        """Arrays `(N, C, *spatial)` as they were before they were clipped, as likely as this can be told."""
        if self.limits is None:
            return x
        below, above = self.limits.where(x)
        some = (below | above).flatten(1).double().mean(1) >= _OF_ITEM
        if not some.any():
            return x
        about, power = self._about(x[some]), self.smooth + self.damage
        small = math.prod(self.spatial) < SMALL
        rounds = _ROUNDS_OF_MANY if small or math.prod(self.spatial) >= _LARGE else _ROUNDS
        z = continued(about, below[some], above[some], power, self.basis, self.turn, small, rounds)
        return x.index_put((some,), x[some] - about + z)

    def _about(self, x: Tensor) -> Tensor:
        """Arrays `(*, C, *spatial)` less their means and what they have in common; blank ones do not have it."""
        about = _about_mean(x, len(self.spatial))
        if not self.common.any():
            return about
        axes, common = tuple(range(-len(self.spatial), 0)), self.common.to(x)
        power, least = (v.square().mean(axes, keepdim=True) for v in (about, _HAS_COMMON**0.5 * common))
        return about - common * (power > least)

    def _damage_of(self, x: Tensor, gain: Tensor, smooth: Tensor) -> Tensor:
        """In one channel of each array, `(N, *spatial)`."""
        gain = gain.to(x.dtype)
        taken = 1 - gain
        if not taken.any():
            return torch.zeros_like(x)
        # Numbers about 1, of which no square is lost; a power of two changes no digit.
        unit = 2.0 ** round(math.log2(float(smooth.mean())) / 2)
        x, smooth = x / unit, (smooth / unit**2).to(x.dtype)
        _, c = passed(x, taken, self.basis)
        own = torch.zeros(self.basis.spatial, dtype=x.dtype)
        crop(own, self.spatial).fill_(1)
        multiplicity = self.basis.multiplicity().to(gain)
        phase = odd_phase(self.basis, multiplicity * taken)
        damage = torch.empty((len(x), *self.basis.spatial), dtype=x.dtype)
        for which, local in self._strengths(c, smooth, taken > 0, multiplicity):
            damage[which] = weighted_damage(c[which], own, self.basis, smooth, gain, phase, local)
        return unit * crop(damage, self.spatial)

    def _strengths(
        self, c: Tensor, smooth: Tensor, inside: Tensor, multiplicity: Tensor
    ) -> Iterator[tuple[Tensor | slice, Tensor | None]]:
        """Of the damage by time, and of which arrays; None of images, and where it is as strong everywhere."""
        length = window_of(self.width, self.spatial[0]) if len(self.spatial) == 1 else None
        if length is None:
            yield slice(None), None
            return
        filtered = crop(self.basis.inverse(inside * c * smooth.rsqrt()), self.spatial)
        share = float((multiplicity * inside).sum() / multiplicity.sum())
        found, by_time = strength(filtered, share, length)
        if by_time.any():
            yield by_time, extend(found[by_time], self.basis.spatial)
        if not by_time.all():
            yield ~by_time, None


def _level(over: Tensor, count: int) -> Tensor:
    """How much more power than the fit arrays have by channel, `(C,)`, of `(C, K)` beside a band; 1 if there is none.

    The median passes by what leaks beside the band, and is a little less than the mean.
    """
    if not over.shape[1]:
        return torch.ones(len(over), dtype=over.dtype)
    return over.median(1).values / median_of_mean(count)


def median_of_mean(count: int) -> float:
    """Of so many exponential powers of mean 1, nearly (Wilson and Hilferty, 1931)."""
    return (1 - 1 / (9 * count)) ** 3


def windowed(power: Tensor, basis: FourierBasis, spatial: Sequence[int]) -> Tensor:
    """The power that a field holds in windows of it, in the Fourier basis of these.

    With the covariance `r(l)` of the field that is `sum_l r(l) (1 - |l| / n) exp(-2 pi i f l)` along each axis, `l`
    from `1 - n` to `n - 1`.

    Args:
        power: Of the field, periodic and stationary, `(*, *coefficients)`.
        basis: Of its coefficients.
        spatial: Sides of the windows, none longer than the field.

    Returns:
        `(*, *coefficients)` of the windows.
    """
    axes = tuple(range(-basis.rank, 0))
    r = torch.fft.irfftn(power, s=basis.spatial, dim=axes)
    for axis, n in zip(axes, spatial, strict=True):
        place = torch.arange(n, device=r.device)
        share = (place.to(r.dtype) / n).reshape(-1, *(1,) * (-axis - 1))
        before = (r.shape[axis] + place - n) % r.shape[axis]
        r = (1 - share) * r.index_select(axis, place) + share * r.index_select(axis, before)
    return torch.fft.rfftn(r, dim=axes).real.clamp(min=0)


def measure(x: Arrays, band: Spectrum | str, clipped: bool = False, below: bool = True) -> Removal:
    """Measure what a band holds and the gain that cleans it.

    Args:
        x: An array `(C, *spatial)` of 1 to 3 spatial axes, or several of one size, whose powers are averaged: blocks of
            what does not fit memory; or what gives these as often as it is called.
        band: Mask of the damage, in cycles per sample. Its edges need not be exact: within it the gain follows the
            measurement.
        clipped: Whether values may have been cut off at limits, where they pile up: they count as at least so large, or
            so small (`sagd.omission.removal.clipping`). Where what was cut off is little beside what is left of the
            damage in any case they count as they are.
        below: Whether the least ones may have been cut off, too: not so of logarithms, as a gain leaves 0 what it is.

    Raises:
        InputError: If the band covers no or every frequency, or arrays cannot be used.
        TypeError: If arrays that may be clipped can be asked for but once.
    """
    if clipped and isinstance(x, Iterator):
        raise TypeError("arrays that may be clipped are asked for several times; give a list, or what gives them")
    band, extremes = Spectrum.parse(band), Extremes()
    removal = _measured(each(x), band, extremes.add if clipped else None)
    if not clipped:
        return removal
    limits = extremes.limits(x)
    limits = limits if below else limits.above_alone()
    if not limits or not _matters(extremes.share(limits), removal):
        return removal
    small = math.prod(removal.spatial) < SMALL
    for _ in range(_TIMES_OF_SMALL if small else _TIMES):
        if not removal.damage.any():
            return removal
        before = replace(removal, limits=limits)
        if (one := None if small else _only(x)) is not None:
            z = before.continued(one[None])
            return replace(_measured(z, band), limits=limits, known=(one, z))
        removal = _measured(_continued(before, each(x), small), band)
    return replace(removal, limits=limits)


def _matters(share: Tensor, removal: Removal) -> bool:
    """Whether what was cut off, of so much of each channel `(C, 1, ...)`, shows beside what is left of the damage."""
    damage = torch.einsum("ic,i...->c...", removal.turn.square(), removal.damage)
    left = (
        removal.smooth * removal.damage / (removal.smooth + removal.damage).clamp(min=torch.finfo(torch.float64).tiny)
    )
    left = torch.einsum("ic,i...->c...", removal.turn.square(), left)
    weight = removal.basis.multiplicity()
    cut, rest = ((weight * v).flatten(1).sum(1) for v in (damage, left))
    return bool((share.flatten() * cut > _LITTLE * rest).any())


def _only(x: Arrays) -> Tensor | None:
    """The array, if it is one."""
    if isinstance(x, Tensor):
        return x
    some = list(islice(each(x), 2))
    return some[0] if len(some) == 1 else None


def _continued(removal: Removal, arrays: Iterable[Tensor], small: bool) -> Iterator[Tensor]:
    """Arrays as they were before they were clipped, of small ones several at a time."""
    rest = iter(arrays)
    while some := list(islice(rest, _ARRAYS if small else 1)):
        yield from removal.continued(torch.stack(some))


def _measured(x: Iterable[Tensor], band: Spectrum, seen: Callable[[Tensor], None] | None = None) -> Removal:
    """The removal of arrays as they are, each of which is seen."""
    total, count, basis, largest = torch.empty(0), 0, FourierBasis((2,)), 0.0
    spatial: tuple[int, ...] = ()
    together = torch.zeros((), dtype=torch.float64)
    for block in x:
        check_array(block)
        if not count:
            spatial, basis = tuple(block.shape[1:]), FourierBasis(extended_size(block.shape[1:]))
        elif block.shape[1:] != spatial or len(block) != len(total):
            raise InputError(f"blocks must be of one size, got {tuple(block.shape)} after {(len(total), *spatial)}")
        if seen is not None:
            seen(block)
        about = _about_mean(block, len(spatial))
        largest = max(largest, float(about.max()), -float(about.min()))
        power = _power(basis.forward(extend(about, basis.spatial)))
        total, count = (power, 1) if not count else (total + power, count + 1)
        if math.prod(spatial) < SMALL:  # of larger ones a sum would be one more in memory
            together = together + about.double()
    if not count:
        raise InputError("there is no array to measure")
    check_squares("values", largest)
    power = total / count
    common = torch.zeros(len(power), *(1,) * len(spatial), dtype=torch.float64)
    if are_several(count, spatial):
        mean = together / count
        common = _in_common(mean, power, count, band, basis)
        if common.any():
            own, rest = (_power(basis.forward(extend(v, basis.spatial))) for v in (mean, mean - common))
            power = power - own + rest
    return replace(_removal(band, spatial, basis, power, count), common=common)


def _about_mean(x: Tensor, rank: int) -> Tensor:
    return x - x.mean(dim=tuple(range(-rank, 0)), keepdim=True)


def _in_common(mean: Tensor, power: Tensor, count: int, band: Spectrum, basis: FourierBasis) -> Tensor:
    """What arrays have in common, of their mean; 0 if that is not more than chance. A pattern in the band that is alike
    in all, as a sensor has, is taken out of it."""
    own = _power(basis.forward(extend(mean, basis.spatial)))
    of_mean, of_all = (float((basis.multiplicity() * _by_channel(v, basis)).sum()) for v in (own, power))
    if of_mean <= _CHANCE * of_all / count:
        return torch.zeros_like(mean)
    if of_all - of_mean <= _ROUNDING * of_all:
        return torch.zeros_like(mean)  # they are all but the same
    return mean - _removal(band, mean.shape[1:], basis, own, 1).apply(mean)


def _by_channel(power: Tensor, basis: FourierBasis) -> Tensor:
    """Of the power of each pair of channels that of each with itself."""
    return power.diagonal().movedim(-1, 0) if power.ndim > 1 + basis.rank else power


def _power(c: Tensor) -> Tensor:
    """Power of coefficients `(C, *coefficients)`, float64; of colours that of each pair of channels, `(C, C, ...)`."""
    if len(c) != _COLOURS or c.ndim != 3:
        return c.abs().square().double()
    return (c[:, None] * c.conj()).real.double()


def _turn(cross: Tensor, clean: Tensor, radius: Tensor) -> Tensor:
    """Principal axes of colours where the spectrum is clean, all frequencies alike: their power falls as `f^-2`."""
    weight = (clean * radius.square()).flatten()
    return torch.linalg.eigh(cross.flatten(2) @ weight).eigenvectors.T


def _removal(band: Spectrum, spatial: Sequence[int], basis: FourierBasis, power: Tensor, count: int) -> Removal:
    frequencies = basis.frequencies()
    radius = frequencies.square().sum(0).sqrt()
    b = torch.where(radius > 0, mask(band, basis).double().clamp(0, 1), 0.0)
    if b.ndim > radius.ndim:
        raise InputError(f"a band of damage is one for all channels, {band.label} differs by channel")
    weight = torch.where(radius > 0, basis.multiplicity(), 0.0)
    taken = b > 0
    if not taken.any():
        raise InputError(f"{band.label} holds nothing but the mean; widen it")
    if bool((taken | (radius == 0)).all()):
        raise InputError(f"{band.label} holds every frequency but the mean, so nothing is left to go by; narrow it")
    parts = [part for part in parts_of(band, frequencies) if part.inside.any()]
    turn = torch.eye(len(power), dtype=torch.float64)

    def fitted(power: Tensor) -> tuple[Tensor, Tensor]:
        return _fitted(power, parts, taken, radius, weight, count, 1 / max(basis.spatial), are_several(count, spatial))

    # What is left beside what arrays have in common may be below 0 by rounding.
    cross, power = power, _by_channel(power, basis).clamp(min=0)
    smooth, damage = fitted(power)
    if cross.ndim > power.ndim:
        other = _turn(cross, weight * ~taken, radius)
        turned = torch.einsum("ci,cj,ij...->c...", other, other, cross).clamp(min=0)
        s, n = fitted(turned)
        if _error(s, n, weight * b) < _BETTER * _error(smooth, damage, weight * b):
            turn, power, smooth, damage = other, turned, s, n
    gain = 1 - b * damage / (smooth + damage).clamp(min=torch.finfo(torch.float64).tiny)
    width = 2 * min(float(part.across[part.inside].max()) for part in parts)
    common = torch.zeros(len(power), *(1,) * len(spatial), dtype=torch.float64)
    return Removal(band, tuple(spatial), basis, gain, power, smooth, damage, width, turn, common)


def _error(smooth: Tensor, damage: Tensor, weight: Tensor) -> float:
    """What the Wiener gain is expected to leave of the damage and to take of the rest, in all channels."""
    return float((weight * smooth * damage / (smooth + damage).clamp(min=torch.finfo(torch.float64).tiny)).sum())


def _fitted(
    power: Tensor,
    parts: Sequence[Part],
    taken: Tensor,
    radius: Tensor,
    weight: Tensor,
    count: int,
    step: float,
    several: bool,
) -> tuple[Tensor, Tensor]:
    """`S` and `N` of channels `(C, *coefficients)`."""
    smooth, damage = torch.ones_like(power), torch.zeros_like(power)
    for channel, own in enumerate(power):
        if not own[radius > 0].max() > 0:
            continue  # constant
        floor = 1e-12 * float((weight * own).sum() / weight.sum())
        powers = Powers(radius, own.clamp(min=floor), weight, count, step, several)
        smooth[channel] = profile(powers, taken)
        for part in parts:
            inside = part.inside & (weight > 0)
            if not inside.any():
                continue
            s, n = fit(powers, part, taken)
            larger = n >= damage[channel][inside]
            smooth[channel][inside] = torch.where(larger, s, smooth[channel][inside])
            damage[channel][inside] = torch.where(larger, n, damage[channel][inside])
    return smooth, damage


def require_axes(x: Tensor) -> None:
    """Refuse what is no array of 1 to 3 spatial axes.

    Raises:
        InputError: On other shapes or types.
    """
    if x.ndim not in (2, 3, 4) or not x.is_floating_point() or not x.numel():
        raise InputError(
            f"an array must be floating point (C, *spatial) of 1 to 3 axes, got {x.dtype} {tuple(x.shape)}"
        )


def check_array(x: Tensor) -> None:
    """Refuse what cannot be measured.

    Raises:
        InputError: On other shapes or types, few samples, or values that are not finite.
    """
    require_axes(x)
    if min(x.shape[1:]) < LEAST:
        raise InputError(f"arrays need at least {LEAST} samples a side, got {' x '.join(map(str, x.shape[1:]))}")
    if not torch.isfinite(x).all():
        raise InputError("the array holds values that are not finite (NaN or infinity); interpolate them first")
