"""Pixels of image files and pictures of batches, against values known in advance and numpy's own transpositions."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, UnidentifiedImageError, features

from sagd.data.images import (
    Header,
    image_grid,
    open_image,
    read_header,
    to_pixels,
    to_uint8,
    to_unit_range,
)
from sagd.errors import InputError


def noise(height, width, channels=3, seed=0):
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def reopened(image, kind="PNG", **options):
    """The image as a file of that kind, opened again."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return open_image(file.getvalue())


# Range --------------------------------------------------------------------------------------------------------------


def test_unit_range_is_inverted_exactly():
    pixels = torch.arange(256, dtype=torch.uint8)
    x = to_unit_range(pixels)
    assert x.dtype == torch.float32
    assert (x[0], x[51], x[255]) == (-1.0, pytest.approx(-0.6), 1.0)
    assert torch.equal(to_uint8(x), pixels)
    assert torch.equal(to_uint8(x.double()), pixels)


def test_to_uint8_clamps_and_rounds():
    x = torch.tensor([-7.0, -1.0, -1 + 0.4 / 127.5, -1 + 0.6 / 127.5, 1.0, 1.0001, 9.0])
    assert to_uint8(x).tolist() == [0, 0, 0, 1, 255, 255, 255]


def test_to_uint8_leaves_its_input_alone():
    x = torch.tensor([0.5])
    to_uint8(x)
    assert x.item() == 0.5


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_to_uint8_refuses_non_finite_values(bad):
    with pytest.raises(InputError, match="non-finite"):
        to_uint8(torch.tensor([0.0, bad]))


def test_to_unit_range_refuses_other_types():
    with pytest.raises(InputError, match=r"uint8.*got torch\.float32"):
        to_unit_range(torch.zeros(2))


# Pixel formats ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_files_keep_their_values(kind, channels):
    values = noise(5, 7, channels)
    image = reopened(Image.fromarray(values), kind)
    assert read_header(image) == Header(7, 5, channels)
    assert np.array_equal(to_pixels(image, channels), values[None] if channels == 1 else values.transpose(2, 0, 1))


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {}), ("WEBP", {"lossless": True}), ("AVIF", {"quality": 95})])
def test_other_formats_open(kind, options):
    if not features.check(kind.lower().replace("jpeg", "jpg")):
        pytest.skip(f"this Pillow has no {kind}")
    image = reopened(Image.new("RGB", (6, 4), (200, 100, 50)), kind, **options)
    assert read_header(image) == Header(6, 4, 3)
    expected = np.broadcast_to(np.array([200, 100, 50])[:, None, None], (3, 4, 6))
    assert np.abs(to_pixels(image, 3).astype(int) - expected).max() <= 4


def test_header_is_read_without_decoding():
    file = io.BytesIO()
    Image.fromarray(noise(40, 60)).save(file, "PNG")
    assert read_header(open_image(file.getvalue()[:100])) == Header(60, 40, 3)


def test_grey_and_colour_are_converted_on_request():
    grey = noise(4, 4, 1)
    assert np.array_equal(to_pixels(reopened(Image.fromarray(grey)), 3), np.stack([grey] * 3))
    colours = Image.new("RGB", (1, 1), (255, 0, 0))
    assert to_pixels(reopened(colours), 1).item() == 76  # 0.299 * 255


def test_alpha_is_laid_over_white():
    image = Image.new("RGBA", (3, 1))
    for x, alpha in enumerate((0, 255, 51)):  # 51 / 255 = 1 / 5
        image.putpixel((x, 0), (100, 200, 50, alpha))
    pixels = to_pixels(reopened(image), 3)[:, 0].T.tolist()
    assert pixels == [[255, 255, 255], [100, 200, 50], [224, 244, 214]]


def test_grey_with_alpha_stays_grey():
    image = Image.new("LA", (2, 1), (100, 51))
    image.putpixel((1, 0), (100, 255))
    image = reopened(image)
    assert read_header(image).channels == 1
    assert to_pixels(image, 1).tolist() == [[[224, 100]]]


def test_palette_becomes_its_colours_and_its_transparency_white():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    opened = reopened(image)
    assert read_header(opened).channels == 3
    assert to_pixels(opened, 3)[:, 0].T.tolist() == [[10, 20, 30], [40, 50, 60]]
    assert to_pixels(reopened(image, transparency=0), 3)[:, 0].T.tolist() == [[255, 255, 255], [40, 50, 60]]


def test_cmyk_becomes_rgb():
    image = Image.new("CMYK", (8, 8), (0, 0, 0, 0))
    opened = reopened(image, "TIFF")
    assert read_header(opened).channels == 3
    assert to_pixels(opened, 3).min() == 255
    assert to_pixels(reopened(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF"), 3)[:, 0, 0].tolist() == [255, 0, 0]


def test_bitmaps_are_black_and_white():
    opened = reopened(Image.fromarray(np.array([[True, False]])))
    assert read_header(opened).channels == 1
    assert to_pixels(opened, 1).tolist() == [[[255, 0]]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_sixteen_bits_are_scaled_not_clipped(kind):
    values = np.array([[0, 257, 257 * 128], [257 * 7 + 100, 257 * 7 + 150, 65535]], np.uint16)
    opened = reopened(Image.fromarray(values), kind)
    assert read_header(opened).channels == 1
    assert to_pixels(opened, 1).tolist() == [[[0, 1, 128], [7, 8, 255]]]
    assert to_pixels(reopened(Image.fromarray(values), kind), 3).shape == (3, 2, 3)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_pixels_without_a_defined_white_are_refused(dtype):
    opened = reopened(Image.fromarray(np.zeros((2, 2), dtype)), "TIFF")
    with pytest.raises(InputError, match=r"pixel format '[IF]' is not supported; save as 8- or 16-bit grey, or as RGB"):
        read_header(opened)


def test_formats_that_run_other_programs_are_not_opened():
    with pytest.raises(UnidentifiedImageError):
        open_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n%%EOF\n")


def test_an_animation_is_its_first_frame():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    opened = reopened(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert to_pixels(opened, 3)[:, 0, 0].tolist() == [255, 0, 0]


# What must be done to stored pixels so that they display upright, by the EXIF standard's table.
UPRIGHT = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(kind, orientation):
    values = noise(4, 6)
    exif = Image.Exif()
    exif[0x0112] = orientation
    opened = reopened(Image.fromarray(values), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    expected = UPRIGHT[orientation](values)
    assert read_header(opened) == Header(expected.shape[1], expected.shape[0], 3)
    assert np.array_equal(to_pixels(opened, 3), expected.transpose(2, 0, 1))


def test_exif_orientation_of_jpeg():
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(8, 16)).save(file, "JPEG", exif=exif)
    stored = np.asarray(Image.open(io.BytesIO(file.getvalue())))
    opened = open_image(file.getvalue())
    assert read_header(opened) == Header(8, 16, 3)
    assert np.array_equal(to_pixels(opened, 3), np.rot90(stored, -1).transpose(2, 0, 1))


# Size ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_the_size_are_untouched(channels):
    values = noise(9, 9, channels)
    image = Image.fromarray(values)
    assert np.array_equal(to_pixels(image, channels, 9), to_pixels(image, channels))


def test_a_matching_shorter_side_is_only_cropped():
    values = noise(6, 11, 1)
    assert np.array_equal(to_pixels(Image.fromarray(values), 1, 6)[0], values[:, 2:8])
    assert np.array_equal(to_pixels(Image.fromarray(values.T.copy()), 1, 6)[0], values.T[2:8])


@pytest.mark.parametrize(("height", "width", "size"), [(16, 32, 8), (32, 16, 8), (6, 12, 24), (21, 7, 5)])
def test_scaling_then_cropping(height, width, size):
    y, x = np.indices((height, width))
    smooth = (120 + 60 * np.cos(0.3 * x + 1) + 40 * np.sin(0.2 * y)).astype(np.float32)
    scale = size / min(height, width)
    whole = Image.fromarray(smooth).resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)
    top, left = (whole.height - size) // 2, (whole.width - size) // 2
    expected = np.asarray(whole)[top : top + size, left : left + size]
    image = Image.fromarray(smooth.round().astype(np.uint8))
    # Rounding to 8 bits before, between and after the passes along the two axes.
    assert np.abs(to_pixels(image, 1, size)[0] - expected).max() <= 1.5


def test_shrinking_is_antialiased():
    checkerboard = (np.indices((32, 32)).sum(0) % 2 * 255).astype(np.uint8)
    inner = to_pixels(Image.fromarray(checkerboard), 1, 8)[0, 1:-1, 1:-1]
    assert np.abs(inner.astype(int) - 127.5).max() <= 3


def test_extreme_shapes_cost_no_memory():
    assert to_pixels(Image.new("L", (60_000, 1), 7), 1, 256).tolist() == np.full((1, 256, 256), 7).tolist()


# Pictures -----------------------------------------------------------------------------------------------------------


def test_grid_places_and_enlarges_images():
    x = to_unit_range(torch.arange(3, dtype=torch.uint8)[:, None, None, None].expand(3, 1, 8, 8) * 50)
    grid = image_grid(x)
    assert (grid.mode, grid.size) == ("L", (2 + 2 * (64 + 2), 2 + 2 * (64 + 2)))
    pixels = np.asarray(grid)
    assert (pixels[2:66, 2:66] == 0).all()
    assert (pixels[2:66, 68:132] == 50).all()
    assert (pixels[68:132, 2:66] == 100).all()
    assert (pixels[68:132, 68:132] == 255).all()
    assert (pixels[:2] == 255).all()


def test_grid_enlarges_by_repetition():
    tile = torch.from_numpy(noise(16, 16)).permute(2, 0, 1)[None]
    assert np.array_equal(np.asarray(image_grid(tile))[2:-2:4, 2:-2:4], tile[0].permute(1, 2, 0).numpy())


def test_grid_columns_and_large_images():
    x = torch.zeros(5, 3, 100, 80)
    assert image_grid(x, columns=5).size == (2 + 5 * 82, 2 + 102)
    assert image_grid(x, columns=2).size == (2 + 2 * 82, 2 + 3 * 102)
    assert image_grid(x, columns=9).size == image_grid(x, columns=5).size


@pytest.mark.parametrize("shape", [(3, 8, 8), (0, 1, 8, 8), (2, 2, 8, 8)])
def test_grids_of_other_shapes_are_refused(shape):
    with pytest.raises(InputError, match=r"\(N, C, H, W\) with C = 1 or 3, got shape"):
        image_grid(torch.zeros(shape))


def test_grids_have_a_column():
    with pytest.raises(InputError, match="columns must be at least 1, got 0"):
        image_grid(torch.zeros(1, 1, 8, 8), columns=0)


def promise(width, height):
    """The start of a PNG file that says so much of itself."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    head = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + head + struct.pack(">I", 1) + b"IDAT" + bytes(5)


def test_large_photographs_are_no_attack():
    limit = Image.MAX_IMAGE_PIXELS
    assert open_image(promise(14000, 14000)).size == (14000, 14000)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_what_no_memory_holds_is_refused_by_its_size():
    with pytest.raises(InputError, match=r"^40000 x 40000 are 1,600 megapixels, at most 537 are decoded"):
        open_image(promise(40000, 40000))


def test_pipes_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(OSError, match="it is a pipe"):
        open_image(tmp_path / "a.png")
