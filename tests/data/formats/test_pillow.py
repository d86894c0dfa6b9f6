import io
import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from sagd.data.formats import Format
from sagd.errors import InputError

FORM = Format.parse("pillow")


def saved(path, values, **options):
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    image.save(path, **options)
    return path


def png(path, width, height, bits, colours, rows, *chunks):
    """A PNG by hand: filter 0 before each row of bytes."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    data = b"".join(b"\0" + row for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    body = b"".join(chunk(*c) for c in chunks) + chunk(b"IDAT", zlib.compress(data))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("ending", ["png", "bmp", "webp", "jp2"])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_lossless_pictures_keep_their_values(ending, shape, tmp_path, draw, again):
    values = draw("uint8", *shape)
    if ending == "webp" and len(shape) == 2:
        pytest.skip("WEBP is always colour")
    path = saved(tmp_path / f"a.{ending}", values, **({"lossless": True} if ending == "webp" else {}))
    (found,) = again(path)
    np.testing.assert_array_equal(found.values, values)
    assert (found.contents.axes, found.contents.limits) == ("YXC"[: len(shape)], (0, 255))


@pytest.mark.parametrize("ending", ["png", "jp2"])
def test_sixteen_bits_of_grey_stay(ending, tmp_path, draw, again):
    values = draw("uint16", 5, 7)
    (found,) = again(saved(tmp_path / f"a.{ending}", values))
    np.testing.assert_array_equal(found.values, values)
    assert found.contents.limits == (0, 65535)


@pytest.mark.parametrize("ending", ["png", "bmp"])
def test_one_bit_is_boolean(ending, tmp_path, draw, again):
    values = draw("bool", 5, 7)
    (found,) = again(saved(tmp_path / f"a.{ending}", values))
    np.testing.assert_array_equal(found.values, values)
    assert found.contents.limits == (0, 1)


def test_values_are_those_of_the_bytes(tmp_path):
    path = png(tmp_path / "a.png", 2, 2, 16, 0, [struct.pack(">2H", 1, 256), struct.pack(">2H", 65535, 7)])
    assert FORM.read(FORM.scan(path)[0]).tolist() == [[1, 256], [65535, 7]]


def test_few_bits_are_scaled_and_that_is_said(tmp_path):
    path = png(tmp_path / "a.png", 4, 1, 4, 0, [b"\x01\xf7"])
    (contents,) = FORM.scan(path)
    assert FORM.read(contents).tolist() == [[0, 17, 255, 119]]
    assert contents.notes == ("4 bits a channel, scaled to 8",)


@pytest.mark.parametrize(("colours", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_colours_of_sixteen_bits_are_refused(colours, channels, tmp_path):
    path = png(tmp_path / "a.png", 1, 1, 16, colours, [struct.pack(f">{channels}H", *range(channels))])
    with pytest.raises(InputError, match=r"^has 16 bits a channel, of which 8 would be read; save it as 16-bit TIFF$"):
        FORM.scan(path)


def test_palettes_are_looked_up(tmp_path, again):
    table = bytes(range(0, 27))
    path = png(tmp_path / "a.png", 3, 1, 8, 3, [b"\x08\x00\x02"], (b"PLTE", table))
    (found,) = again(path)
    assert found.values.tolist() == [[[24, 25, 26], [0, 1, 2], [6, 7, 8]]]
    assert found.contents.notes == ("colours of its palette are looked up, and written as they are",)


def test_transparency_is_laid_over_white(tmp_path, again):
    values = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 51]]], np.uint8)
    (found,) = again(saved(tmp_path / "a.png", values))
    assert found.values.tolist() == [[[10, 20, 30], [255, 255, 255], [204, 204, 204]]]
    assert found.contents.notes == ("transparency is laid over white",)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_orientation_is_applied_once(orientation, ending, tmp_path, again):
    upright = np.zeros((8, 16), np.uint8)
    upright[:, :8] = 200
    upright[:4] += 50
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright.T[::-1, ::-1],
        8: np.rot90(upright, 3),
    }[orientation]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Make] = "maker"
    (found,) = again(saved(tmp_path / f"a.{ending}", np.ascontiguousarray(stored), exif=exif), lossy=ending == "jpg")
    assert found.values.shape == (8, 16)
    assert np.abs(found.values.astype(int) - upright).mean() < 12
    with Image.open(found.written.path) as image:
        assert image.getexif().get(ExifTags.Base.Orientation, 1) == 1
        assert image.getexif()[ExifTags.Base.Make] == "maker"


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_colour_profile_and_resolution_are_kept(ending, tmp_path, draw, again):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = saved(tmp_path / f"a.{ending}", draw("uint8", 5, 7, 3), icc_profile=profile, dpi=(300, 300), quality=95)
    (found,) = again(path, lossy=True)
    assert found.contents.notes[0] == "its colour profile is kept and not applied"
    with Image.open(found.written.path) as image:
        assert image.info["icc_profile"] == profile
        if ending != "webp":
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)


def test_a_profile_of_inks_is_not_given_to_light(tmp_path, draw, again):
    path = saved(tmp_path / "a.jpg", Image.fromarray(draw("uint8", 8, 8, 3)).convert("CMYK"), icc_profile=b"inks")
    (found,) = again(path, lossy=True)
    assert "CMYK turned into RGB without a colour profile" in found.contents.notes
    with Image.open(found.written.path) as image:
        assert "icc_profile" not in image.info


def test_jpeg_is_lossy_and_says_so(tmp_path):
    smooth = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8)
    (contents,) = FORM.scan(saved(tmp_path / "a.jpg", smooth, quality=95))
    assert contents.notes == ("JPEG does not keep values as they are: what is written as JPEG differs a little",)
    FORM.write(tmp_path / "b.jpg", smooth, contents)
    read = FORM.read(FORM.scan(tmp_path / "b.jpg")[0])
    assert np.abs(read.astype(int) - smooth).max() <= 2
    assert ".jpg" in FORM.lossy
    assert ".png" not in FORM.lossy


def test_other_formats_are_named(tmp_path, draw):
    values = draw("uint8", 5, 7)
    for name in ("TIFF", "GIF", "PPM"):
        with pytest.raises(InputError, match=rf"^is {name}, whatever its ending says; give it that of {name}$"):
            FORM.scan(saved(tmp_path / "a.png", values, format=name))
    (contents,) = FORM.scan(saved(tmp_path / "a.png", values, format="BMP"))
    assert contents.notes == ("is BMP, though it ends in '.png'",)


def test_animations_are_their_first_picture_and_say_so(tmp_path, draw):
    first, second = (Image.fromarray(draw("uint8", 5, 7, seed=i)) for i in range(2))
    path = saved(tmp_path / "a.png", first, save_all=True, append_images=[second])
    (contents,) = FORM.scan(path)
    np.testing.assert_array_equal(FORM.read(contents), np.asarray(first))
    assert contents.notes == ("the first of 2 pictures; the others are left out",)


@pytest.mark.parametrize(
    ("name", "dtype", "shape", "axes", "message"),
    [
        ("a.jpg", "uint16", (5, 7), "YX", "uint16 values cannot be written so; it takes uint8"),
        ("a.png", "float32", (5, 7), "YX", "it takes bool, uint8, uint16"),
        ("a.png", "uint16", (5, 7, 3), "YXC", "3 channels of uint16 cannot be written as PNG"),
        ("a.png", "uint8", (5, 7, 2), "YXC", "2 channels of uint8"),
        ("a.png", "uint8", (5, 7), "ZX", "takes 'YX' or 'YXC'"),
        ("a.png", "uint8", (5, 7), "??", "takes 'YX' or 'YXC'"),
        ("a.png", "uint8", (2, 5, 7), "TYX", "takes 'YX' or 'YXC'"),
    ],
)
def test_what_it_cannot_hold_is_refused(name, dtype, shape, axes, message, tmp_path, draw, like):
    values = draw(dtype, *shape)
    with pytest.raises(InputError, match=message):
        FORM.write(tmp_path / name, values, like(values, axes))
    assert list(tmp_path.iterdir()) == []


def test_axes_are_brought_into_order(tmp_path, draw, like):
    values = draw("uint8", 1, 3, 5, 7)
    FORM.write(tmp_path / "a.png", values, like(values, "TCYX"))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), values[0].transpose(1, 2, 0))


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_colours_without_a_white_are_refused(mode, tmp_path):
    data = io.BytesIO()
    Image.new(mode, (4, 4)).save(data, "TIFF")
    (tmp_path / "a.png").write_bytes(data.getvalue())
    with pytest.raises(InputError):
        FORM.scan(tmp_path / "a.png")


def test_absurd_sizes_take_no_memory(tmp_path):
    path = png(tmp_path / "a.png", 2**31 - 1, 2**31 - 1, 8, 0, [b"\0"])
    with pytest.raises(InputError, match=r"megapixels, at most 537"):
        FORM.scan(path)
