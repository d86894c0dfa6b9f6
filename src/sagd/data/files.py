"""Single images and folders as one batch, for what is done to the images somebody names."""

from __future__ import annotations

import hashlib
import logging
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from sagd.data.corruption import Corruption, corrupt
from sagd.data.dataset import ImageData
from sagd.data.formats.find import walk
from sagd.data.images import EXTENSIONS, open_image, read_header, to_pixels, to_unit_range, write_image
from sagd.errors import InputError

logger = logging.getLogger(__name__)

_BATCH = 256
_LONGEST = 120
"""Bytes of a folder's name: file systems take 255."""
RESERVED = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])( *\..*)?", re.IGNORECASE | re.DOTALL)
"""Names that are devices on Windows, whatever their ending."""


@dataclass(frozen=True)
class NamedImages:
    """Images and where they are from.

    Attributes:
        names: Paths as text, relative to the folder that was named, or file names.
        images: float32 `(N, C, H, W)` in [-1, 1].
    """

    names: tuple[str, ...]
    images: Tensor


def read_images(paths: Sequence[Path], shape: tuple[int, ...]) -> NamedImages:
    """Read image files, and all that lie below folders, in natural order, as they are: none is scaled.

    Args:
        paths: Files or folders.
        shape: `(C, H, W)` that all must have; colour is turned into grey or grey into colour where `C` asks for it.

    Raises:
        InputError: Naming the file that is missing, no image, of another size, or named as another one.
    """
    named = find_images(paths).values()
    return NamedImages(tuple(name for name, _ in named), torch.stack([_read(file, shape) for _, file in named]))


def read_partners(names: Sequence[str], folder: Path, shape: tuple[int, ...]) -> Tensor:
    """The images of a folder that are named as others are, but for the ending, `(N, C, H, W)`; no other is read.

    Raises:
        InputError: As `read_images`, or naming the one that is missing.
    """
    found = find_images([folder])
    wanted = [_without_ending(name) for name in names]
    for name in wanted:
        if name not in found:
            raise InputError(f"no clean image {name!r} in {str(folder)!r}; names must be those of the damaged images")
    return torch.stack([_read(found[name][1], shape) for name in wanted])


def find_images(paths: Sequence[Path]) -> dict[str, tuple[str, Path]]:
    """Image files and all below folders, in natural order: name without ending -> name and file.

    Raises:
        InputError: If there is none, a path is missing, or two have the same name but for the ending.
    """
    if not paths:
        raise InputError("no images were named; give image files or folders of them")
    named: dict[str, tuple[str, Path]] = {}
    for path in paths:
        for name, file in _files(path):
            _, other = named.setdefault(_without_ending(name), (name, file))
            if other != file:
                raise InputError(
                    f"two images are named {_without_ending(name)!r}: {str(other)!r} and {str(file)!r}; rename one"
                )
    if not named:
        listed = ", ".join(repr(str(path)) for path in paths)
        raise InputError(f"no images in {listed}; known endings: {' '.join(EXTENSIONS)}")
    return named


def save_named(x: Tensor, names: Sequence[str], folder: Path) -> list[Path]:
    """Write images `(N, C, H, W)` in [-1, 1] as PNG under their names, sub-folders included; returns their paths.

    Raises:
        InputError: On non-finite values, a name that leads out of the folder, or a folder that cannot be written.
    """
    for name in names:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(
                f"image name {name!r} leads out of {str(folder)!r}; name it relative to that, without '..'"
            )
    paths = [folder / Path(name).with_suffix(".png") for name in names]
    for path, image in zip(paths, x, strict=True):
        write_image(image, path)
    return paths


def folder_name(label: str) -> str:
    r"""A class name as the name of one folder; different names give different folders.

    Letters of any language, digits, spaces and harmless signs stay. What a file system could take for something else is
    written as in URLs, devices of Windows among it, and the rest of a long name as its checksum. A file system that
    ignores case may yet take two names for one.

    >>> folder_name("fire engine"), folder_name("../../etc"), folder_name("a/b%"), folder_name("")
    ('fire engine', '%2E.%2F..%2Fetc', 'a%2Fb%25', '%')
    """

    def escaped(found: re.Match[str]) -> str:
        return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass"))

    name = re.sub(r"^[. ]|[. ]$|[^\w .,()+=@-]", escaped, label) or "%"
    if RESERVED.fullmatch(name):
        name = re.sub("^.", escaped, name)
    if sys.getfilesystemencoding() != "utf-8":
        name = re.sub(r"[^ -~]", escaped, name)
    if len(name.encode()) <= _LONGEST:
        return name
    start = name.encode()[: _LONGEST - 20].decode(errors="ignore")
    # No escape begins with '%-'.
    return f"{start}%-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def save_damaged(data: ImageData, corruption: Corruption, out: Path, contrast: float = 1.0, seed: int = 0) -> float:
    """Write every image of a data set as `out/clean/NAME.png` and, damaged, as `out/damaged/NAME.png`.

    The name is the image's place in its source, so that it and the damage do not depend on a limit.

    Args:
        data: Clean images; those of classes go to a folder per class, named by `folder_name`.
        corruption: The damage.
        out: An existing directory.
        contrast: Factor of the clean images, which leaves room for damage.
        seed: Seed of the damage.

    Returns:
        The share of damaged values that were clipped to [-1, 1].
    """
    folders = {name: folder_name(name) for name in data.classes or ()}
    if escaped := [name for name, folder in folders.items() if folder != name]:
        logger.info(
            "%d class name(s) cannot be names of folders as they are; e.g. %.60r is written %.60r",
            len(escaped),
            escaped[0],
            folders[escaped[0]],
        )
    clipped = 0
    for numbers in tqdm(torch.arange(len(data)).split(_BATCH), desc="writing", disable=None, leave=False):
        x, labels = data.batch(numbers)
        own = [""] * len(x) if labels is None else [f"{folders[(data.classes or ())[k]]}/" for k in labels.tolist()]
        places = data.places_of(numbers)
        names = [f"{folder}{place:06d}" for folder, place in zip(own, places.tolist(), strict=True)]
        damaged = corrupt(contrast * x, corruption, seed, places)
        save_named(contrast * x, names, out / "clean")
        save_named(damaged, names, out / "damaged")
        clipped += int((damaged.abs() > 1).sum())
    return clipped / (len(data) * math.prod(data.shape))


def _without_ending(name: str) -> str:
    return str(Path(name).with_suffix(""))


def _files(path: Path) -> list[tuple[str, Path]]:
    """Names and files at a path."""
    if path.is_file():
        return [(path.name, path)]
    if not path.is_dir():
        raise InputError(f"no image file or folder {str(path)!r}")
    files = (file for file in walk(path) if file.suffix.lower() in EXTENSIONS)
    return [(str(file.relative_to(path)), file) for file in files]


def _read(path: Path, shape: tuple[int, ...]) -> Tensor:
    """One image, float32 `(C, H, W)`."""
    try:
        with open_image(path) as image:
            header = read_header(image)
            pixels = to_pixels(image, shape[0]) if (header.height, header.width) == tuple(shape[1:]) else None
    except MemoryError:
        raise
    except Exception as error:  # on damaged files decoders raise errors of every kind
        raise InputError(f"cannot read {str(path)!r}: {' '.join(str(error).split()) or type(error).__name__}") from None
    if pixels is None:
        raise InputError(
            f"{str(path)!r} is {header.width} x {header.height}, the model is for {shape[2]} x {shape[1]} (width x"
            " height); crop or scale the image, or train a model of that size"
        )
    return to_unit_range(torch.from_numpy(pixels.copy()))
