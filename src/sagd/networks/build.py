"""The network that a configuration names, and its module."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from sagd.errors import InputError
from sagd.networks.adapter import Adapter
from sagd.networks.base import Network
from sagd.networks.config import NetworkConfig
from sagd.networks.dit import DiT
from sagd.networks.own import OwnNetwork
from sagd.networks.unet import UNet

__all__ = ["DiT", "Network", "UNet", "build_network", "network_of"]

_SECTION = ("name", "conditional")
"""Options of the section that belong to every network."""


def network_of(config: NetworkConfig) -> Network:
    """The network that a configuration describes: `name` is a kind, whose parameters may be options of the section.

    Or it is a class of one's own, as in `my_nets:Net(width=64)`, which takes what stands with its name alone.

    Raises:
        InputError: If the description cannot be read, or an option is given that the network does not take.
    """
    usual = {f.name: f.default for f in dataclasses.fields(config) if f.name not in _SECTION}
    options = {name: getattr(config, name) for name in usual}
    own = OwnNetwork.from_text(config.name)
    if own is None:
        return Network.from_section(config.name, "network", options, usual)
    for name, value in options.items():
        if value != usual[name]:
            raise InputError(f"network.{name} is no option of '{own}'; give what it takes as '{own}({name}=...)'")
    return own


def build_network(
    config: NetworkConfig,
    channels: int,
    spatial: Sequence[int],
    num_classes: int | None = None,
    seed: int = 0,
    beside: int = 0,
) -> Adapter:
    """A network `F(x, timestep, labels=None, image=None)` for data `(B, channels, *spatial)`, an `Adapter`.

    Args:
        config: Architecture.
        channels: Channels of input and output.
        spatial: Sides of the data.
        num_classes: Classes of a conditional network, whose labels are `0..num_classes` with `num_classes` for "no
            label"; None for an unconditional one.
        seed: Decides the initial weights; torch's global generator is left as it was.
        beside: Channels of the condition `image`, which is shown beside the input; 0 for networks without one.

    Raises:
        InputError: If the architecture does not fit the data.
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
