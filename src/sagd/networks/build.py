"""The network that a configuration names, and its module."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import nn

from sagd.errors import InputError
from sagd.networks.adapter import Adapter
from sagd.networks.base import Network
from sagd.networks.config import NetworkConfig
from sagd.networks.dit import DiT
from sagd.networks.unet import UNet

_WITH_OPTIONS = (UNet, DiT)
"""Networks whose parameters are options of the section as well."""
_SECTION = ("name", "conditional")
"""Options of the section that belong to every network."""


def network_of(config: NetworkConfig) -> Network:
    """The network that a configuration describes.

    `name` is a kind with its parameters; those of U-Net and DiT may be given by the section's other options instead.

    Raises:
        InputError: If the description cannot be read, or an option is given that the network does not take.
    """
    told = Network.read(config.name)
    member = Network.member(told.get("kind"))
    takes = {f.name for f in dataclasses.fields(member)} if member in _WITH_OPTIONS else set()
    options = {f.name: f for f in dataclasses.fields(config) if f.name not in _SECTION}
    for name, option in options.items():
        given = getattr(config, name) != option.default
        if given and name not in takes:
            raise InputError(
                f"network.{name} is no option of network {config.name!r}; leave it out, or give the network's own"
                f" parameters with its name, as in {str(member.kind) + '(...)'!r}"
            )
        if given and name in told:
            raise InputError(f"network.name {config.name!r} and network.{name} both give {name}; leave one out")
    own = {name: getattr(config, name) for name in options if name in takes}
    return Network.from_dict(own | told)


def build_network(
    config: NetworkConfig,
    channels: int,
    spatial: Sequence[int],
    num_classes: int | None = None,
    seed: int = 0,
    beside: int = 0,
) -> Adapter:
    """A network `F(x, timestep, labels=None, image=None)` for images `(B, channels, *spatial)`, an `Adapter`.

    Args:
        config: Architecture.
        channels: Channels of input and output.
        spatial: `(height, width)`.
        num_classes: Classes of a conditional network, whose labels are `0..num_classes` with `num_classes` for "no
            label"; None for an unconditional one.
        seed: Decides the initial weights; torch's global generator is left as it was.
        beside: Channels of the condition `image`, which is shown beside the input; 0 for networks without one.

    Raises:
        InputError: If the architecture does not fit the images.
    """
    if config.conditional != (num_classes is not None):
        have, need = (
            ("no labels", "network.conditional=false") if config.conditional else ("labels", "num_classes=None")
        )
        raise InputError(f"network.conditional is {config.conditional} but the data has {have}; use {need}")
    network = network_of(config)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Adapter(network.build(channels + beside, channels, tuple(spatial), num_classes))
