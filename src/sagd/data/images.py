"""One image at a time: image files to pixels, pixels to the range of the model, and pictures of batches.

Pixels are uint8 `(C, H, W)` with `C` 1 (grey) or 3 (RGB). Models see `x = u / 127.5 - 1` in [-1, 1]; rounding inverts
that exactly: `to_uint8(to_unit_range(u)) == u`.
"""

from __future__ import annotations

import functools
import io
import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sagd.errors import InputError, argument
from sagd.optional import need
from sagd.paths import require_file

if TYPE_CHECKING:
    from PIL import Image

CHANNELS = (1, 3)
"""Numbers of channels an image can have: grey and RGB."""

EXTENSIONS = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".gif", ".bmp", ".dib"),
    *(".tif", ".tiff", ".pbm", ".pgm", ".ppm", ".pnm", ".jp2", ".j2k"),
)
"""File name endings taken for images in a folder, in any case."""

# Named, because Pillow would otherwise also try formats that run other programs (EPS starts Ghostscript).
_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM", "JPEG2000")
SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's modes of 16-bit grey."""
_GREY = ("1", "L", "LA", "La", *SIXTEEN_BIT)
_COLOUR = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")

MOST_PIXELS = 2**29
"""Pixels of a picture that is decoded, which in colour take 1.5 GiB: cameras have some hundred million; a small file
may promise any number."""
_OPENING = threading.Lock()
"""Held while Pillow's own limit is off, which holds for all of a process and takes a large photograph for an attack."""
_READABLE_SIDE = 64
_GAP = 2


def to_unit_range(pixels: Tensor) -> Tensor:
    """uint8 of any shape as float32 in [-1, 1]: `u / 127.5 - 1`.

    >>> to_unit_range(torch.tensor([0, 255], dtype=torch.uint8)).tolist()
    [-1.0, 1.0]

    Raises:
        InputError: If `pixels` is not uint8.
    """
    if pixels.dtype != torch.uint8:
        raise InputError(f"pixels must be uint8 in [0, 255], got {pixels.dtype}")
    return pixels.float().div_(127.5).sub_(1)


def to_uint8(x: Tensor) -> Tensor:
    """Inverse of `to_unit_range`: floating point of any shape to uint8, clamped to [-1, 1] and rounded to nearest.

    >>> to_uint8(torch.tensor([-1.5, 0.0, 1.0])).tolist()
    [0, 128, 255]

    Raises:
        InputError: If `x` holds NaN or infinity.
    """
    if not torch.isfinite(x).all():
        raise InputError("images hold non-finite values (NaN or infinity), which no pixel value stands for")
    return x.float().add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)


def image_grid(x: Tensor, columns: int | None = None) -> Image.Image:
    """Draw images `(N, C, H, W)` in [-1, 1] row by row on white, small ones enlarged by a whole factor.

    Args:
        x: Images; floating point in [-1, 1] or uint8, with 1 or 3 channels.
        columns: Images per row; default: as near to a square of images as can be.

    Raises:
        InputError: On another shape, no images, `columns < 1` or non-finite values.
    """
    need("PIL")
    from PIL import Image

    pixels = _checked_pixels(x)
    count, channels, height, width = pixels.shape
    columns = math.ceil(math.sqrt(count)) if columns is None else columns
    if columns < 1:
        raise InputError(f"columns must be at least 1, got {columns}")
    columns = min(columns, count)
    scale = max(1, _READABLE_SIDE // max(height, width))
    pixels = pixels.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)
    step_y, step_x = height * scale + _GAP, width * scale + _GAP
    rows = math.ceil(count / columns)
    canvas = torch.full((channels, rows * step_y + _GAP, columns * step_x + _GAP), 255, dtype=torch.uint8)
    for i, tile in enumerate(pixels):
        top, left = _GAP + i // columns * step_y, _GAP + i % columns * step_x
        canvas[:, top : top + height * scale, left : left + width * scale] = tile
    return Image.fromarray(_pillow_layout(canvas))


def as_png(image: Image.Image) -> bytes:
    """A Pillow image as the content of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _checked_pixels(x: Tensor) -> Tensor:
    """`x` as uint8 on the CPU if it is a batch of grey or RGB images."""
    if x.ndim != 4 or len(x) == 0 or x.shape[1] not in CHANNELS:
        raise InputError(f"need images (N, C, H, W) with C = 1 or 3, got shape {tuple(x.shape)}")
    return (x if x.dtype == torch.uint8 else to_uint8(x.detach())).cpu()


def _pillow_layout(pixels: Tensor) -> np.ndarray:
    """`(C, H, W)` as `(H, W)` or `(H, W, 3)`."""
    return (pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0)).contiguous().numpy()


@dataclass(frozen=True)
class Header:
    """What a file says of its image before it is decoded: size as displayed, 1 or 3 channels, if it has over 8 bits,
    transparency, or a profile of colours."""

    width: int
    height: int
    channels: int
    deep: bool = False
    transparent: bool = False
    profiled: bool = False


def open_image(source: str | Path | bytes) -> Image.Image:
    """A Pillow image of a file or of its bytes, its header read and its pixels not yet decoded.

    Raises:
        InputError: If it has more than `MOST_PIXELS`, whatever Pillow's own limit is.
        OSError: Also if it is a pipe, device or socket.
    """
    need("PIL")
    from PIL import Image

    if not isinstance(source, bytes):
        require_file(source)
    with _OPENING:
        most, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=_readable())
        finally:
            Image.MAX_IMAGE_PIXELS = most
    width, height = image.size
    if width * height > MOST_PIXELS:
        image.close()
        tiled = f"{argument('data.fit=tile')} {argument('data.size=64')}"
        raise InputError(
            f"{width} x {height} are {width * height / 1e6:,.0f} megapixels, at most {MOST_PIXELS / 1e6:,.0f} are"
            f" decoded at once; cut it into pieces, or save it as TIFF and read windows of that: {tiled}"
        )
    return image


@functools.cache
def _readable() -> tuple[str, ...]:
    """The formats that this Pillow has: some lack AVIF or WEBP, and opening a file would fail for all."""
    need("PIL")
    from PIL import Image

    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def read_header(image: Image.Image) -> Header:
    """Size and channels of an opened image, without decoding it.

    Raises:
        InputError: If its pixels have no defined white (32-bit integers, floating point) or another colour space.
    """
    if image.mode in _GREY or _is_wide_netpbm(image):
        channels = 1
    elif image.mode in _COLOUR:
        channels = 3
    else:
        raise InputError(f"pixel format {image.mode!r} is not supported; save as 8- or 16-bit grey, or as RGB")
    width, height = image.size
    deep = image.mode in SIXTEEN_BIT or image.mode == "I"
    sides = (height, width) if _is_rotated(image) else (width, height)
    return Header(*sides, channels, deep, image.has_transparency_data, "icc_profile" in image.info)


def to_pixels(image: Image.Image, channels: int, size: int | None = None) -> np.ndarray:
    """Decode an opened image to uint8 `(C, H, W)`.

    The EXIF orientation is applied; transparency is laid over white; 16-bit grey is scaled to 8 bits; an animation is
    its first frame; RGB becomes grey by ITU-R 601 luma and grey becomes RGB by repetition.

    Args:
        image: An opened image that `read_header` accepts.
        channels: 1 or 3.
        size: If given, the shorter side is scaled to it (Lanczos, antialiased) and the longer one cropped at the
            centre. Where the shorter side has that length already, pixels stay bit for bit.
    """
    from PIL import ImageOps

    ImageOps.exif_transpose(image, in_place=True)
    image = to_mode(image, "L" if channels == 1 else "RGB")
    if size is not None and image.size != (size, size):
        image = _scale_and_crop(image, size)
    pixels = np.asarray(image)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def to_mode(image: Image.Image, mode: str) -> Image.Image:
    """8-bit grey ("L") or "RGB": transparency is laid over white, 16-bit grey scaled to 8 bits."""
    from PIL import Image

    if image.mode in SIXTEEN_BIT or image.mode == "I":
        # Rounded division by 257 = 65535 / 255; Pillow's own conversion clips at 255 instead.
        image = Image.fromarray(((np.asarray(image).astype(np.int64) + 128) // 257).astype(np.uint8))
    elif image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def _scale_and_crop(image: Image.Image, size: int) -> Image.Image:
    from PIL import Image

    short = min(image.size)
    if short == size:
        left, top = (image.width - size) // 2, (image.height - size) // 2
        return image.crop((left, top, left + size, top + size))
    x, y = (image.width - short) / 2, (image.height - short) / 2
    # Scaling only the central square costs no memory for the rest; the filter still sees the pixels around it.
    return image.resize((size, size), Image.Resampling.LANCZOS, box=(x, y, x + short, y + short))


def _is_wide_netpbm(image: Image.Image) -> bool:
    """Netpbm files of more than 8 bits are scaled to 16 and held in Pillow's 32-bit mode."""
    return image.mode == "I" and image.format == "PPM"


def _is_rotated(image: Image.Image) -> bool:
    """Whether the EXIF orientation swaps width and height of the size that Pillow reports."""
    from PIL import ExifTags

    if image.format == "TIFF":  # Pillow swaps them itself
        return False
    if image.format == "PNG" and "exif" not in image.info:  # asking further would decode the image
        return False
    return image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
