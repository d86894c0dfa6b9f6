"""What a convolutional network sees beyond the ends of an axis: sides that it can halve, and axes that close upon
themselves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from itertools import chain

import torch.nn.functional as F
from torch import Tensor, nn

from sagd.errors import InputError
from sagd.model.denoiser import as_tensor

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class Padded(nn.Module):
    """A network on sides that it cannot halve: data is padded to the next that it can, and its output cropped back.

    An axis goes on beyond its ends as its own mirror image, or, where it is periodic, from its other end. A periodic
    axis that is padded is therefore longer inside, and its output moves with its input nearly, and not exactly.

    >>> import torch
    >>> network = Padded(lambda x, t: x, (5, 8), 4, periodic=[0])
    >>> network(torch.zeros(2, 1, 5, 8), torch.zeros(2)).shape
    torch.Size([2, 1, 5, 8])

    Args:
        network: Called as `network(x, t, **condition)`, on sides that are multiples of `factor`.
        spatial: Sides of the data, each at least `factor`.
        factor: What the sides of the network are multiples of.
        periodic: Axes of the data that are periodic.
    """

    def __init__(self, network: nn.Module, spatial: Sequence[int], factor: int, periodic: Collection[int] = ()) -> None:
        super().__init__()
        self.network = network
        missing = [-side % factor for side in spatial]
        ends = [(short // 2, short - short // 2) for short in missing]
        self.kept = [(before, side) for (before, _), side in zip(ends, spatial, strict=True)]
        self.around = _amounts([pair if axis in periodic else (0, 0) for axis, pair in enumerate(ends)])
        self.mirrored = _amounts([(0, 0) if axis in periodic else pair for axis, pair in enumerate(ends)])

    def forward(self, x: Tensor, t: Tensor, **condition: Tensor) -> Tensor:
        """The network's output `(B, C, *spatial)` for `x` `(B, C, *spatial)` and `t` `(B,)`."""
        for amounts, mode in ((self.around, "circular"), (self.mirrored, "reflect")):
            x = F.pad(x, amounts, mode) if any(amounts) else x
        output = as_tensor(self.network(x, t, **condition))
        for axis, (start, length) in enumerate(self.kept, 2):
            output = output.narrow(axis, start, length)
        return output


def make_periodic(network: nn.Module, axes: Collection[int]) -> None:
    """Let every convolution of a network go on from the other end of some axes, in place of zeros.

    Its weights keep their names and values. An output then moves with its input along these axes, by any number of
    positions that all strides of the network divide.

    Args:
        network: Network, changed in place.
        axes: Spatial axes, from 0.

    Raises:
        InputError: If the network has transposed convolutions, or such as do not pad with a number of zeros.
    """
    for layer in network.modules():
        if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            _close(layer, axes)
        elif isinstance(layer, _TRANSPOSED):
            raise InputError(f"a network with {type(layer).__name__} cannot be periodic; use interpolation instead")


def _close(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d, axes: Collection[int]) -> None:
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        raise InputError(
            f"a convolution that pads by {layer.padding!r} with {layer.padding_mode} cannot be periodic; give a number"
            " of zeros"
        )
    padding = list(enumerate(layer.padding))
    amounts = _amounts([(width, width) if axis in axes else (0, 0) for axis, width in padding])
    if any(amounts):
        # torch pads all axes of a layer in one way. A hook leaves the names of its weights as they are.
        layer.padding = tuple(0 if axis in axes else width for axis, width in padding)
        layer.register_forward_pre_hook(partial(_from_other_end, amounts))


def _from_other_end(amounts: Sequence[int], _: nn.Module, arguments: tuple[Tensor, ...]) -> Tensor:
    return F.pad(arguments[0], amounts, "circular")


def _amounts(ends: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """What is added before and after each axis, as `torch.nn.functional.pad` takes it: the last axis first."""
    return tuple(chain.from_iterable(reversed(ends)))
