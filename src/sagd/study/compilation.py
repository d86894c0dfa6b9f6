"""Compiled networks, held against the plain ones before they are trusted."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from sagd.errors import InputError
from sagd.model.denoiser import as_tensor
from sagd.random import generator_for, rand, randn

_TOLERANCE = 0.02
"""Norm of the error of all gradients over that of the gradients: rounding, of TensorFloat-32 too, is far below."""


def compiled(
    network: nn.Module, batch: int, shape: tuple[int, ...], classes: int | None = None, beside: int = 0
) -> nn.Module:
    """`torch.compile(network)`, once its gradients on a random batch are those of the network.

    With some versions of torch and some processors they are not, and training would go wrong without a sign.

    Args:
        network: On its device, in its layout; its mode is kept.
        batch: Images per step.
        shape: `(C, height, width)`.
        classes: Classes of a conditional network, whose labels are up to that number; None for an unconditional one.
        beside: Channels of its condition `image`; 0 for a network without one.

    Raises:
        InputError: If the gradients differ by more than rounding.
    """
    device = next(network.parameters()).device
    g = generator_for(0, "compilation")
    x = randn((batch, *shape), g, device=device)
    t = 1000 * rand((batch,), g, device=device)
    condition = {} if classes is None else {"labels": (torch.arange(batch) % (classes + 1)).to(device)}
    if beside:
        condition["image"] = randn((batch, beside, *shape[1:]), g, device=device)
    weight = randn((batch, 1, *shape[1:]), g, device=device)
    fast, training = cast(nn.Module, torch.compile(network)), network.training
    # A dropped value is not the same value twice.
    network.train(training and not any(isinstance(m, nn.Dropout) and m.p > 0 for m in network.modules()))
    parameters = [p for p in network.parameters() if p.requires_grad]

    def gradients(called: nn.Module) -> list[Tensor | None]:
        value = (weight * as_tensor(called(x, t, **condition))).mean()
        return list(torch.autograd.grad(value, parameters, allow_unused=True))

    error = norm = 0.0
    for p, a, b in zip(parameters, gradients(network), gradients(fast), strict=True):
        own, other = (torch.zeros_like(p) if v is None else v for v in (a, b))
        error += float((own - other).double().square().sum())
        norm += float(own.double().square().sum())
    network.train(training)
    off = (error / norm) ** 0.5 if norm > 0 else 0.0
    if not off <= _TOLERANCE:
        raise InputError(
            f"training.compile: torch {torch.__version__} compiles this network to one whose gradients are off by"
            f" {100 * off:.0f} % on {device.type}; leave it out, or use another version of torch"
        )
    return fast
