"""Pictures that pillow reads and writes in full: PNG, JPEG, WEBP, AVIF, BMP, JPEG 2000."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sagd.data.formats.base import Contents, Format, Region
from sagd.data.formats.checks import arranged, full_scale, typed
from sagd.data.images import SIXTEEN_BIT, open_image, read_header, to_mode
from sagd.errors import InputError
from sagd.optional import need

if TYPE_CHECKING:
    from PIL import Image

_ENDINGS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "AVIF": (".avif",),
    "BMP": (".bmp", ".dib"),
    "JPEG2000": (".jp2", ".j2k"),
}
_NAMES = {ending: name for name, endings in _ENDINGS.items() for ending in endings}
_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"lossless": True},
}
_TYPES = {"PNG": ("bool", "uint8", "uint16"), "BMP": ("bool", "uint8"), "JPEG2000": ("uint8", "uint16")}
_HEAD = 1 << 16


@dataclass(frozen=True)
class Pillow(Format, kind="pillow"):
    """Pictures: PNG, JPEG, WEBP, AVIF, BMP and JPEG 2000, of 1, 8 or (grey) 16 bits.

    The EXIF orientation is applied, transparency laid over white, and colours of a palette looked up; an animation is
    its first picture. Pictures of more bits than pillow reads are refused. JPEG and AVIF are written with quality 95.
    """

    called: ClassVar[str] = "a picture"
    endings: ClassVar[tuple[str, ...]] = tuple(_NAMES)
    floats: ClassVar[bool] = False
    lossy: ClassVar[tuple[str, ...]] = (*_ENDINGS["JPEG"], *_ENDINGS["AVIF"])

    def look(self, path: Path) -> Sequence[Contents]:  # noqa: D102
        with open_image(path) as image:
            _refuse_what_is_cut(image, path)
            header = read_header(image)
            dtype = "bool" if image.mode == "1" else "uint16" if image.mode in SIXTEEN_BIT else "uint8"
            size = (header.height, header.width)
            return [
                Contents(
                    path,
                    "",
                    size if header.channels == 1 else (*size, 3),
                    "YX" if header.channels == 1 else "YXC",
                    dtype,
                    full_scale(np.dtype(dtype)),
                    notes=tuple(_notes(image, path)),
                    kept={self.kind: _kept(image)},
                )
            ]

    def load(self, contents: Contents, region: Region) -> np.ndarray:  # noqa: D102
        need("PIL")
        from PIL import ImageOps

        with open_image(contents.path) as image:
            _refuse_what_is_cut(image, contents.path)
            ImageOps.exif_transpose(image, in_place=True)
            whole = contents.dtype != "uint8"
            pixels = np.asarray(image if whole else to_mode(image, "L" if contents.axes == "YX" else "RGB"))
        return pixels[region]

    def save(self, path: Path, values: np.ndarray, like: Contents) -> None:  # noqa: D102
        need("PIL")
        from PIL import Image

        name = _NAMES[path.suffix.lower()]
        Image.init()
        if name not in Image.SAVE:
            raise InputError(f"the installed Pillow cannot write {name}; update it, or choose another ending")
        typed(values, *_TYPES.get(name, ("uint8",)))
        values, order = arranged(values, like.axes, "YX", "YXC")
        if order == "YXC" and (values.shape[2] != 3 or values.dtype.name != "uint8"):
            raise InputError(
                f"{values.shape[2]} channels of {values.dtype.name} cannot be written as {name}; it takes 3 of uint8,"
                " and TIFF takes any"
            )
        kept = like.kept.get(self.kind, {})
        Image.fromarray(np.ascontiguousarray(values)).save(path, name, **_OPTIONS.get(name, {}), **kept)


def _refuse_what_is_cut(image: Image.Image, path: Path) -> None:
    """Refuse other formats, and pictures of which pillow would read the upper 8 bits."""
    if image.format not in _ENDINGS:
        raise InputError(f"is {image.format}, whatever its ending says; give it that of {image.format}")
    bits = _bits(image.format, _head(path))
    if bits > 8 and image.mode not in SIXTEEN_BIT:
        raise InputError(f"has {bits} bits a channel, of which 8 would be read; save it as 16-bit TIFF")


def _notes(image: Image.Image, path: Path) -> Iterator[str]:
    """What of the file is not in the values, or no longer."""
    suffix, name = path.suffix.lower(), str(image.format)
    if _NAMES.get(suffix) != name:
        yield f"is {name}, though it ends in {suffix!r}"
    bits = _bits(name, _head(path))
    if image.mode not in ("1", "P") and bits not in (8, 16):
        yield f"{bits} bits a channel, scaled to {8 if bits < 8 else 16}"
    if image.mode == "P":
        yield "colours of its palette are looked up, and written as they are"
    if image.info.get("icc_profile"):
        yield "its colour profile is kept and not applied"
    if image.mode in SIXTEEN_BIT and "transparency" in image.info:
        yield "its transparent value is not applied"
    elif image.has_transparency_data:
        yield "transparency is laid over white"
    if image.mode in ("CMYK", "YCbCr"):
        yield f"{image.mode} turned into RGB without a colour profile"
    if getattr(image, "n_frames", 1) > 1:
        yield f"the first of {getattr(image, 'n_frames', 1)} pictures; the others are left out"
    if name in ("JPEG", "AVIF"):
        yield f"{name} does not keep values as they are: what is written as {name} differs a little"


def _kept(image: Image.Image) -> dict[str, Any]:
    """Options of pillow that write colour profile, resolution and EXIF again."""
    need("PIL")
    from PIL import ExifTags

    kept = {name: image.info[name] for name in ("icc_profile", "dpi") if image.info.get(name)}
    if image.mode == "CMYK":  # its profile says nothing of the RGB values that are written
        kept.pop("icc_profile", None)
    if image.info.get("exif"):
        exif = image.getexif()
        exif.pop(ExifTags.Base.Orientation, None)
        kept["exif"] = exif.tobytes()
    return kept


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _bits(name: str, head: bytes) -> int:
    """Bits a channel as the file says them; pillow tells them of no format."""
    if name == "PNG" and head[25] != 3:  # of a palette they are those of the index
        return head[24]
    if name == "JPEG2000" and (start := head.find(b"\xff\x4f\xff\x51")) >= 0:
        channels = int.from_bytes(head[start + 40 : start + 42], "big")
        return max((head[start + 42 + 3 * i] & 0x7F) + 1 for i in range(channels))
    if name == "AVIF" and (start := head.find(b"pixi")) >= 0:
        return max(head[start + 9 : start + 9 + head[start + 8]])
    return 8
