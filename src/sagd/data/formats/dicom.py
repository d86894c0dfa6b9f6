"""DICOM: single pictures and series of frames, by pydicom."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sagd.data.formats.base import Contents, Format, Region, Step
from sagd.data.formats.checks import arranged, holds_bytes
from sagd.data.formats.values import to_type
from sagd.errors import InputError
from sagd.optional import need

if TYPE_CHECKING:
    from pydicom import Dataset

_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


@dataclass(frozen=True)
class Dicom(Format, kind="dicom"):
    """DICOM pictures and frames, grey or colour; compressed ones if a package that decodes them is installed.

    Values of modalities with a scale (CT, PET) are in its units, and others in which the least is white (MONOCHROME1)
    are turned round. Frames are `T` if they have a time, `Z` if they have a distance, else `N`. A file is written
    without compression, with the header of another one and a number of its own, and needs such a header.
    """

    endings: ClassVar[tuple[str, ...]] = (".dcm", ".dicom")
    floats: ClassVar[bool] = False
    streams: ClassVar[bool] = True
    inherits: ClassVar[bool] = True

    def look(self, path: Path) -> Sequence[Contents]:  # noqa: D102
        need("pydicom")
        import pydicom

        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except pydicom.errors.InvalidDicomError:
            raise ValueError("it does not begin as DICOM does") from None
        _check(header, path)
        frames, axes = int(header.get("NumberOfFrames", 1) or 1), "YX"
        shape: tuple[int, ...] = (int(header.Rows), int(header.Columns))
        steps = _steps(header)
        if frames > 1:
            letter = next((letter for letter in "TZ" if letter in steps), "N")
            shape, axes = (frames, *shape), letter + axes
        if header.SamplesPerPixel > 1:
            shape, axes = (*shape, int(header.SamplesPerPixel)), f"{axes}C"
        scaled = _scaling(header) is not None
        stored = _stored(header)
        limits = None if scaled or header.PixelRepresentation else (0, 2 ** int(header.BitsStored) - 1)
        return [
            Contents(
                path,
                "",
                shape,
                axes,
                "float64" if scaled else stored.name,
                limits,
                {letter: step for letter, step in steps.items() if letter in axes},
                str(header.get("RescaleType", "")) if scaled else "",
                notes=tuple(_notes(header)),
                kept={self.kind: header},
            )
        ]

    def load(self, contents: Contents, region: Region) -> np.ndarray:  # noqa: D102
        need("pydicom")
        from pydicom.pixels import pixel_array

        header = contents.kept[self.kind]
        if contents.axes[0] in "TZN":
            frames = range(region[0].start, region[0].stop, region[0].step)
            stored = np.stack([pixel_array(contents.path, index=index) for index in frames])[:, *region[1:]]
        else:
            stored = pixel_array(contents.path)[region]
        if (scaling := _scaling(header)) is not None:
            return stored.astype(np.float64) * scaling[0] + scaling[1]
        return _turned(stored, header) if header.PhotometricInterpretation == "MONOCHROME1" else stored

    def save(self, path: Path, values: np.ndarray, like: Contents) -> None:  # noqa: D102
        need("pydicom")
        import pydicom

        if self.kind not in like.kept:
            raise InputError("DICOM needs the header of another DICOM file, of a patient and an examination")
        header = copy.deepcopy(like.kept[self.kind])
        values, order = arranged(values, like.axes, *(like.axes, "YX", "YXC"))
        codes = _codes(values, header)
        grey = not order.endswith("C")
        header.Rows, header.Columns = (values.shape[order.index(letter)] for letter in "YX")
        if order[0] in "TZN":
            header.NumberOfFrames = len(values)
        header.PhotometricInterpretation = header.PhotometricInterpretation if grey else "RGB"
        if not grey:
            header.SamplesPerPixel, header.PlanarConfiguration = values.shape[-1], 0
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        header.PixelData = codes.astype(codes.dtype.newbyteorder("<")).tobytes() + b"\0" * (codes.nbytes % 2)
        header["PixelData"].VR = "OB" if codes.itemsize == 1 else "OW"
        header.save_as(path, enforce_file_format=True, little_endian=True, implicit_vr=False)


def _check(header: Dataset, path: Path) -> None:
    """Refuse what has no picture, or one that is not read in full."""
    if "Rows" not in header or "BitsAllocated" not in header:
        raise InputError(f"holds no picture; it is a DICOM file of modality {header.get('Modality', 'unknown')!r}")
    colours = header.PhotometricInterpretation
    if colours not in (*_GREY, *_COLOUR):
        raise InputError(f"its colours {colours!r} are not supported; {', '.join((*_GREY, *_COLOUR))} are")
    if header.BitsAllocated not in (8, 16, 32):
        raise InputError(f"has {header.BitsAllocated} bits a value; 8, 16 and 32 are supported")
    if "ModalityLUTSequence" in header:
        raise InputError("its values are looked up in a table (Modality LUT), which is not supported")
    syntax = header.file_meta.TransferSyntaxUID
    if not syntax.is_compressed:
        count = int(header.Rows) * int(header.Columns) * int(header.SamplesPerPixel)
        frames = int(header.get("NumberOfFrames", 1) or 1)
        holds_bytes(path.stat().st_size, count * frames * int(header.BitsAllocated) // 8)
        return
    _decodable(syntax)


def _decodable(syntax: Any) -> None:
    """Refuse a compression that no installed package decodes."""
    need("pydicom")
    from pydicom.pixels import get_decoder

    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    if not available:
        raise InputError(
            f"is compressed as {syntax.name}, which no installed package decodes; install pylibjpeg with its plug-ins,"
            " or save the file without compression"
        )


def _stored(header: Dataset) -> np.dtype:
    return np.dtype(f"{'i' if header.PixelRepresentation else 'u'}{int(header.BitsAllocated) // 8}")


def _scaling(header: Dataset) -> tuple[float, float] | None:
    """Slope and intercept if they change anything."""
    scaling = float(header.get("RescaleSlope", 1)), float(header.get("RescaleIntercept", 0))
    return None if scaling == (1, 0) else scaling


def _turned(stored: np.ndarray, header: Dataset) -> np.ndarray:
    """Black for white and white for black."""
    return ~stored if header.PixelRepresentation else (2 ** int(header.BitsStored) - 1) - stored


def _codes(values: np.ndarray, header: Dataset) -> np.ndarray:
    """Values as they are stored."""
    bits, stored = int(header.BitsStored), _stored(header)
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if header.PixelRepresentation else (0, 2**bits - 1)
    scaling = _scaling(header)
    if scaling is None and values.dtype != stored:
        raise InputError(f"{values.dtype.name} values cannot be written with this header; it takes {stored.name}")
    codes = values if scaling is None else (values.astype(np.float64) - scaling[1]) / scaling[0]
    typed, clipped = to_type(codes, stored, (least, most)) if codes.dtype.kind == "f" else (codes, 0)
    if clipped or typed.min() < least or typed.max() > most:
        raise InputError(
            f"values from {values.min():g} to {values.max():g} are outside of what {bits} bits of this header can hold"
        )
    turned = scaling is None and header.PhotometricInterpretation == "MONOCHROME1"
    return _turned(typed, header).astype(stored) if turned else typed


def _steps(header: Dataset) -> dict[str, Step]:
    """Distances of pixels and frames."""
    spacing = header.get("PixelSpacing") or header.get("ImagerPixelSpacing") or ()
    steps = {letter: Step(float(size), "mm") for letter, size in zip("YX", spacing, strict=False)}
    if header.get("FrameTime"):
        steps["T"] = Step(float(header.FrameTime) / 1000, "s")
    distance = header.get("SpacingBetweenSlices") or header.get("SliceThickness")
    if distance:
        steps["Z"] = Step(abs(float(distance)), "mm")
    return steps


def _notes(header: Dataset) -> list[str]:
    notes = []
    if (scaling := _scaling(header)) is not None:
        notes.append(f"stored values times {scaling[0]:g}, plus {scaling[1]:g}")
    if header.PhotometricInterpretation == "MONOCHROME1":
        kept = "left as they are, being in units" if scaling is not None else "turned round"
        notes.append(f"its least value is white (MONOCHROME1): values are {kept}")
    if header.file_meta.TransferSyntaxUID.is_compressed:
        notes.append(f"compressed as {header.file_meta.TransferSyntaxUID.name}; it is written without compression")
    if "PerFrameFunctionalGroupsSequence" in header:
        notes.append("what its header says of single frames is not made use of")
    return notes
