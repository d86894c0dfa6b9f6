"""Pictures as data URIs, so that a page needs no other file: plots as SVG, pixels as PNG."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sagd.data.images import image_grid
from sagd.errors import InputError
from sagd.optional import need
from sagd.report.figures import to_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

_LEAST_WIDTH = 900
"""Pixels across a picture, so that browsers scale it down, which is smooth, and not up, which blurs."""
_PIXEL_BUDGET = 2**17
"""Image pixels in one grid of samples, which keeps the page light: 64 images of 45 x 45."""


@dataclass(frozen=True)
class Picture:
    """An image of the page.

    Attributes:
        source: Data URI.
        alt: What it shows, for those who cannot see it.
        kind: "plot" (dark lines with nothing behind them) or "pixels".
    """

    source: str
    alt: str
    kind: str


def plot(figure: Figure, alt: str) -> Picture:
    """A matplotlib figure as SVG."""
    return Picture(data_uri("image/svg+xml", to_svg(figure)), alt, "plot")


def pixels(images: Tensor, columns: int, alt: str) -> Picture:
    """Images `(N, C, H, W)`, floating point in [-1, 1] or uint8, in a grid enlarged by a whole factor.

    Raises:
        InputError: On another shape or non-finite values.
    """
    grid = image_grid(images, columns)
    factor = -(-_LEAST_WIDTH // grid.width)
    return picture(grid.resize((grid.width * factor, grid.height * factor), resample=0), alt)


def sample_columns(images: Tensor) -> int:
    """Images per row and column of a square grid of samples `(N, C, H, W)` that keeps the page light."""
    area = images.shape[2] * images.shape[3]
    return next((side for side in (8, 6, 4, 3) if side * side * area <= _PIXEL_BUDGET), 2)


def noise_colours(noise: Tensor, limit: float) -> Tensor:
    """Noise fields `(N, C, H, W)` as images: one channel from blue (`-limit`) over grey to red, three as they are.

    Raises:
        InputError: On another shape or non-finite values.
    """
    if noise.ndim != 4 or not torch.isfinite(noise).all():
        raise InputError(f"noise must be finite fields (N, C, H, W), got shape {tuple(noise.shape)}")
    if noise.shape[1] != 1:
        return noise / limit
    need("matplotlib")
    from matplotlib import colormaps

    colours = colormaps["coolwarm"]((noise[:, 0].numpy() / limit + 1) / 2, bytes=True)[..., :3]
    return torch.from_numpy(np.moveaxis(colours, -1, 1).copy())


def reach(x: Tensor) -> float:
    """Magnitude that 99.5 % of values stay within."""
    return float(x.abs().flatten().quantile(0.995))


def picture(image: Image.Image, alt: str) -> Picture:
    """A Pillow image as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return png(buffer.getvalue(), alt)


def png(content: bytes, alt: str) -> Picture:
    """A PNG file's content, with colours of its own on a white ground."""
    return Picture(data_uri("image/png", content), alt, "pixels")


def data_uri(kind: str, content: bytes) -> str:
    """A file's content as the address that stands for it in a page; `kind` is its media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
