"""How much the places of a grid count: areas of the cells of a map, and masks of what is valid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sagd.errors import InputError


def area_weights(latitudes: Tensor | Sequence[float], spatial: Sequence[int], axis: int = 0) -> Tensor:
    """Areas of the cells of a map of latitudes and longitudes, of mean 1: `(1, *spatial)`, float64.

    A cell reaches half-way to its neighbours, and not beyond the poles; between equal steps its area is proportional to
    `cos(latitude)`.

    >>> W = area_weights([60.0, 30.0, 0.0, -30.0, -60.0], (5, 2))[0, :, 0]
    >>> W / W.max()
    tensor([0.5000, 0.8660, 1.0000, 0.8660, 0.5000], dtype=torch.float64)

    Args:
        latitudes: Of the rows, in degrees, from north to south or from south to north.
        spatial: Sides of the grid.
        axis: The spatial axis of the latitudes, from 0.

    Raises:
        InputError: If the latitudes are not those of the axis, or not in order within [-90, 90].
    """
    degrees = torch.as_tensor(latitudes, dtype=torch.float64).cpu()
    if not 0 <= axis < len(spatial) or tuple(degrees.shape) != (spatial[axis],):
        raise InputError(
            f"area_weights needs a latitude for each place of axis {axis} of {tuple(spatial)}, got shape"
            f" {tuple(degrees.shape)}"
        )
    steps = degrees.diff()
    if not (degrees.abs() <= 90).all() or not ((steps > 0).all() or (steps < 0).all()):
        raise InputError("latitudes must lie in [-90, 90] degrees, from north to south or from south to north")
    if len(steps):
        ends = [degrees[:1] - steps[:1] / 2, degrees[:-1] + steps / 2, degrees[-1:] + steps[-1:] / 2]
        areas = torch.sin(torch.deg2rad(torch.cat(ends).clamp(-90, 90))).diff().abs()
    else:
        areas = torch.ones_like(degrees)
    along = [1] * len(spatial)
    along[axis] = -1
    return (areas / areas.mean()).reshape(1, *along).expand(1, *spatial).clone()


def checked_weights(weights: Tensor, name: str = "weight_field") -> Tensor:
    """Weights of places, `(1|C, *spatial)`, of a floating-point type.

    Raises:
        InputError: If they are no tensor of that many axes, negative or not finite anywhere, or zero everywhere.
    """
    if not isinstance(weights, Tensor) or weights.ndim < 2:
        got = tuple(weights.shape) if isinstance(weights, Tensor) else type(weights).__name__
        raise InputError(f"{name} must be a tensor (1 or C, *spatial), got {got}")
    weights = weights.detach() if weights.is_floating_point() else weights.detach().double()
    if not torch.isfinite(weights).all() or weights.min() < 0 or weights.max() == 0:
        raise InputError(f"{name} must be finite, nowhere negative and somewhere positive")
    return weights


def require_places(name: str, places: Tensor, shape: Sequence[int]) -> None:
    """Refuse what is not a value for each place of fields `(C, *spatial)`, for all channels or each.

    Args:
        name: What to call it.
        places: `(N, 1|C, *spatial)`.
        shape: `(C, *spatial)`.

    Raises:
        InputError: Naming the shape.
    """
    own = tuple(places.shape[1:])
    if own not in ((1, *shape[1:]), tuple(shape)):
        wanted = f"(1 or {shape[0]}, {', '.join(map(str, shape[1:]))})"
        raise InputError(f"{name} must have shape {wanted} for each sample, got {own}")
