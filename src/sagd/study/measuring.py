"""What is measured of data before a training: its statistics, and the basis that its ends ask for."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

import torch

from sagd.build.objects import build_process, omission_mode, process_basis
from sagd.build.schema import AUTO_BASIS, NO_OMISSION, DenoiserConfig, OmissionConfig, ProcessConfig
from sagd.data.signals import Signals
from sagd.errors import InputError, argument
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.statistics import DataStatistics, channel_covariance, jumps, measure_with_scales, meets, most_measured
from sagd.omission.posterior import GaussianPrior

logger = logging.getLogger(__name__)

FOURIER = "fourier"
"""The basis of data that goes on from its other end, and of noise with a direction."""

_LOOKED_AT = 512
"""Fields by which the basis is chosen, at most."""
_SHOWN_JUMP = 1e4


def resolve_basis(
    process: ProcessConfig, data: Signals, denoiser: DenoiserConfig | None = None, found: str | None = None
) -> ProcessConfig:
    """The configuration with the basis that the data's ends ask for, where it is to be chosen.

    Args:
        process: Configuration.
        data: Training data.
        denoiser: How it is trained.
        found: What was chosen when the run was started.
    """
    if process.basis != AUTO_BASIS:
        return process
    return dataclasses.replace(process, basis=found or basis_for([process], data, denoiser))


def basis_for(processes: Sequence[ProcessConfig], data: Signals, denoiser: DenoiserConfig | None = None) -> str:
    """One basis for several processes that leave it to the data.

    A window of a longer record does not go on from its other end. In the Fourier basis its jump there has power at all
    frequencies, which hides what little the data has at high ones; in the cosine basis there is no jump. Where a band
    is left out or drawn anew, and for noise that has a direction, it is Fourier, which alone tells all directions
    apart.

    Args:
        processes: Their configurations.
        data: Training data.
        denoiser: How they are trained.
    """
    modes = [omission_mode(process.omission, data.meaning.grid()) for process in processes]
    banded = any(mode is not None and not mode.cleans for mode in modes)
    if banded or (denoiser is not None and denoiser.bands != "none"):
        return FOURIER
    some = data.at_most(_LOOKED_AT, "basis")
    far = jumps(some.tensor(), some.known())
    asked = _basis_of([axis for axis, jump in enumerate(far) if meets(jump)], len(far))
    if asked == FOURIER or not all(_fits(process, some, asked) for process in processes):
        return FOURIER
    ends = ", ".join(f"{jump:.0f}" if jump < _SHOWN_JUMP else f"over {_SHOWN_JUMP:g}" for jump in far)
    logger.info(
        f"basis: {asked}, since the data does not go on from its other end (jumps there have {ends} times the power of"
        " steps between neighbours, by axis)"
    )
    return asked


def _basis_of(periodic: Sequence[int], rank: int) -> str:
    """The basis of fields that close on themselves along some of their axes."""
    if len(periodic) == rank:
        return FOURIER
    return f"mixed(periodic={[*periodic]})" if periodic else "cosine"


def _fits(process: ProcessConfig, data: Signals, basis: str) -> bool:
    """Whether the noise can be had in a basis."""
    process = dataclasses.replace(process, basis=basis)
    try:
        build_process(process, data.shape, process_statistics(data, process), data.classes, data.meaning.grid())
    except InputError:
        return False
    return True


def measured_part(data: Signals) -> Signals:
    """As much of the data as is measured: all, or where that is too much for memory, a part at random."""
    return data.at_most(most_measured(data.shape))


def process_statistics(data: Signals, process: ProcessConfig) -> DataStatistics:
    """Statistics of the data in the basis of the noise, or of as much of it as memory allows."""
    some = measured_part(data)
    x = some.tensor()
    process = resolve_basis(process, data)
    if len(x) and x.min() == x.max():
        value = data.meaning.to_values(x.flatten()[:1].expand(1, *data.shape)).flatten()[0]
        raise InputError(f"{data.name!r} does not vary: all its values are {value:g}, of which nothing can be learnt")
    colours = channel_covariance(x) if process.channels == "decorrelated" else None
    return measure_with_scales(x, process_basis(process, data.shape, colours), some.known())


def shown_prior(data: Signals) -> GaussianPrior:
    """Mean and power of whole items, in the Fourier basis, by data of which each item lacks frequencies of its own.

    Raises:
        InputError: If too few items show some frequency.
    """
    every = torch.arange(len(data))
    missing = data.unobserved(every)
    assert missing is not None
    noise = torch.where(missing, torch.inf, 0.0)[:, None]
    return GaussianPrior.measured(data.batch(every)[0], noise, FourierBasis(data.shape[1:]))


def check_masks(data: Signals, omission: OmissionConfig) -> None:
    """Refuse masks of what was observed beside a mode that leaves one band out of all items.

    Raises:
        InputError: If there are both.
    """
    if data.observed is not None and omission.mode != NO_OMISSION:
        raise InputError(
            f"process.omission.mode {omission.mode!r} is for a band that all items have in common, and masks ("
            f"{argument('data.observed')}) say what each lacks; leave one of them out: laps of masks need mode none"
        )
