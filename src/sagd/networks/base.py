"""What a network is to a configuration: a description that builds a module."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import nn

from sagd.errors import InputError
from sagd.spec import Description

MOST_LAYERS = 4000
"""Layers of a network; the deepest that are published have some hundreds."""


class Network(Description, ABC, family="network", example="unet"):
    """A denoising network; members are frozen dataclasses with a `kind`, whose fields are its sizes.

    A conditional network has one embedding more than the data has classes: label `num_classes` means "no label", which
    training shows in place of labels it drops, and classifier-free guidance asks for ("Classifier-Free Diffusion
    Guidance", Ho & Salimans, 2022). All randomness of training is drawn by the trainer, so a network drops no labels.
    """

    @abstractmethod
    def build(self, inputs: int, outputs: int, spatial: Sequence[int], num_classes: int | None = None) -> nn.Module:
        """A module `F(x, timestep, class_labels=None)` from `(B, inputs, *spatial)` to `(B, outputs, *spatial)`.

        Its initial weights come from torch's global generator, which the caller has seeded. It may return a tensor or
        anything whose first item is one.

        Args:
            inputs: Channels of the input.
            outputs: Channels of the output.
            spatial: Sides of the data.
            num_classes: Classes of a conditional network, whose labels are `0..num_classes`, `(B,)`; None for an
                unconditional one, which is given no labels.

        Raises:
            InputError: If the network does not fit the data.
        """


def check_image(kind: str, spatial: Sequence[int]) -> tuple[int, int]:
    """Height and width of what a network for images is built for.

    Raises:
        InputError: On another number of sides.
    """
    if len(spatial) != 2:
        raise InputError(f"network {kind!r} is for images, got spatial shape {tuple(spatial)}; give (height, width)")
    return spatial[0], spatial[1]


def check_size(layers: int, weights: int, cure: str) -> None:
    """Refuse, before it is built, a network that takes minutes to build, or more memory than there is.

    Args:
        layers: About so many layers it would have.
        weights: About so many weights.
        cure: What to lower.

    Raises:
        InputError: Saying how large it would be.
    """
    if layers > MOST_LAYERS:
        raise InputError(
            f"the network would have about {layers:,} layers and {weights / 1e6:,.0f} million weights; at most"
            f" {MOST_LAYERS:,} layers are built: lower {cure}"
        )
    needed, there = 4 * weights / 2**30, _memory()
    if there is not None and needed > there:
        raise InputError(
            f"the network would have about {weights / 1e6:,.0f} million weights, which take {needed:,.0f} GiB, four"
            f" times as much in training; this machine has {there:.0f} GiB: lower {cure}"
        )


def _memory() -> float | None:
    """GiB of memory of this machine, where it tells."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, ValueError, OSError):  # Windows has no such call
        return None


def check_dropout(dropout: float) -> None:
    """Refuse what is no probability of dropout.

    Raises:
        InputError: Naming it.
    """
    if not 0 <= dropout < 1:
        raise InputError(f"network.dropout must lie in [0, 1), got {dropout}")
