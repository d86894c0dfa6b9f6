import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset

from sagd.data.formats import Format, Step
from sagd.errors import InputError

FORM = Format.parse("dicom")


def dicom(path, values, *, colours="MONOCHROME2", bits=None, syntax=pydicom.uid.ExplicitVRLittleEndian, **elements):
    """A file with the elements that a picture needs; frames are the first axis if there are 3 of grey."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = syntax
    data = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3"
    data.PatientName = "Nobody"
    data.SamplesPerPixel = 3 if colours == "RGB" else 1
    if colours == "RGB":
        data.PlanarConfiguration = 0
    frames = values.ndim - 2 - (colours == "RGB")
    if frames:
        data.NumberOfFrames = len(values)
    data.Rows, data.Columns = values.shape[frames : frames + 2]
    data.PhotometricInterpretation = colours
    data.BitsAllocated = 8 * values.itemsize
    data.BitsStored = bits or data.BitsAllocated
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(values.dtype.kind == "i")
    for name, value in elements.items():
        setattr(data, name, value)
    data.PixelData = values.tobytes() + b"\0" * (values.nbytes % 2)
    data["PixelData"].VR = "OB" if values.itemsize == 1 else "OW"
    data.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_grey_of_every_type(dtype, tmp_path, draw, again):
    values = draw(dtype, 5, 7)
    (found,) = again(dicom(tmp_path / "a.dcm", values, PixelSpacing=[0.5, 0.25]))
    np.testing.assert_array_equal(found.values, values)
    assert (found.contents.axes, found.contents.steps) == ("YX", {"Y": Step(0.5, "mm"), "X": Step(0.25, "mm")})
    assert found.contents.limits == {"uint8": (0, 255), "uint16": (0, 65535)}.get(dtype)
    read = pydicom.dcmread(found.written.path)
    np.testing.assert_array_equal(read.pixel_array, values)
    assert read.PatientName == "Nobody"
    assert read.SOPInstanceUID != "1.2.3"
    assert read.SOPInstanceUID == read.file_meta.MediaStorageSOPInstanceUID


def test_colours(tmp_path, draw, again):
    values = draw("uint8", 5, 7, 3)
    (found,) = again(dicom(tmp_path / "a.dcm", values, colours="RGB"))
    np.testing.assert_array_equal(found.values, values)
    assert found.contents.axes == "YXC"


@pytest.mark.parametrize(
    ("elements", "axes", "steps"),
    [
        ({"FrameTime": 40}, "TYX", {"T": Step(0.04, "s")}),
        ({"SpacingBetweenSlices": 2.5}, "ZYX", {"Z": Step(2.5, "mm")}),
        ({"SliceThickness": 1.5}, "ZYX", {"Z": Step(1.5, "mm")}),
        ({}, "NYX", {}),
    ],
)
def test_frames(elements, axes, steps, tmp_path, draw, again):
    values = draw("uint16", 4, 5, 7)
    (found,) = again(dicom(tmp_path / "a.dcm", values, **elements))
    np.testing.assert_array_equal(found.values, values)
    assert (found.contents.axes, found.contents.steps) == (axes, steps)


def test_scaled_values_are_in_their_units(tmp_path, again):
    values = np.array([[0, 1000], [2000, 4095]], np.uint16)
    path = dicom(tmp_path / "a.dcm", values, bits=12, RescaleSlope=2, RescaleIntercept=-1024, RescaleType="HU")
    (found,) = again(path)
    assert found.values.tolist() == [[-1024, 976], [2976, 7166]]
    assert (found.contents.dtype, found.contents.limits, found.contents.quantity) == ("float64", None, "HU")
    np.testing.assert_array_equal(pydicom.dcmread(found.written.path).pixel_array, values)


def test_restored_values_are_rounded_to_what_is_stored_or_refused(tmp_path):
    path = dicom(tmp_path / "a.dcm", np.zeros((2, 2), np.uint16), bits=12, RescaleSlope=2, RescaleIntercept=-1024)
    (contents,) = FORM.scan(path)
    FORM.write(tmp_path / "b.dcm", np.full((2, 2), 975.3), contents)
    assert FORM.read(FORM.scan(tmp_path / "b.dcm")[0]).tolist() == [[976, 976], [976, 976]]
    for value in (-2000.0, 8000.0):
        with pytest.raises(InputError, match=r"are outside of what 12 bits of this header can hold"):
            FORM.write(tmp_path / "c.dcm", np.full((2, 2), value), contents)
    with pytest.raises(InputError, match=r"4 value\(s\) are NaN"):
        FORM.write(tmp_path / "c.dcm", np.full((2, 2), np.nan), contents)


@pytest.mark.parametrize(("dtype", "most"), [("uint16", 4095), ("int16", -1)])
def test_white_that_is_the_least_value_is_turned_round(dtype, most, tmp_path, again):
    values = np.array([[0, 1], [1000, 2047]], dtype)
    (found,) = again(dicom(tmp_path / "a.dcm", values, colours="MONOCHROME1", bits=12))
    np.testing.assert_array_equal(found.values, most - values)
    np.testing.assert_array_equal(pydicom.dcmread(found.written.path).pixel_array, values)


def test_compressed_files_are_written_without(tmp_path, draw, again):
    values = draw("uint16", 3, 5, 7)
    data = pydicom.dcmread(dicom(tmp_path / "a.dcm", values))
    data.compress(pydicom.uid.RLELossless)
    data.save_as(tmp_path / "a.dcm")
    (found,) = again(tmp_path / "a.dcm")
    np.testing.assert_array_equal(found.values, values)
    assert found.contents.notes == ("compressed as RLE Lossless; it is written without compression",)


def test_what_is_not_supported_is_said(tmp_path, draw):
    def refused(message, **elements):
        values = draw("uint8", 4, 6)
        with pytest.raises(InputError, match=message):
            FORM.scan(dicom(tmp_path / "a.dcm", values, **elements))

    refused("^its colours 'PALETTE COLOR' are not supported; MONOCHROME1", PhotometricInterpretation="PALETTE COLOR")
    refused("^has 1 bits a value; 8, 16 and 32 are supported$", BitsAllocated=1)
    refused(r"Modality LUT\), which is not supported$", ModalityLUTSequence=[pydicom.Dataset()])
    refused("promises 6000000 bytes of values", Rows=1000, Columns=6000)
    data = pydicom.dcmread(dicom(tmp_path / "a.dcm", draw("uint8", 4, 6)))
    data.file_meta.TransferSyntaxUID = pydicom.uid.MPEG4HP41
    data.PixelData = pydicom.encaps.encapsulate([b"x" * 10])
    data["PixelData"].VR = "OB"
    data.save_as(tmp_path / "a.dcm")
    with pytest.raises(InputError, match=r"^is compressed as MPEG-4 .*, which no installed package decodes"):
        FORM.scan(tmp_path / "a.dcm")


def test_files_without_a_picture_are_refused(tmp_path):
    data = pydicom.dcmread(dicom(tmp_path / "a.dcm", np.zeros((2, 2), np.uint8)))
    for name in ("Rows", "PixelData"):
        delattr(data, name)
    data.Modality = "SR"
    data.save_as(tmp_path / "a.dcm")
    with pytest.raises(InputError, match=r"^holds no picture; it is a DICOM file of modality 'SR'$"):
        FORM.scan(tmp_path / "a.dcm")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_files_that_are_cut_short_are_refused(part, tmp_path, draw):
    path = dicom(tmp_path / "a.dcm", draw("uint16", 20, 30))
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(InputError):
        FORM.read(FORM.scan(path)[0])
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"^is empty"):
        FORM.scan(path)
    path.write_bytes(b"x" * 500)
    with pytest.raises(InputError, match=r"^cannot be read as dicom: it does not begin as DICOM does$"):
        FORM.scan(path)


def test_names_need_not_be_text(tmp_path, draw):
    values = draw("uint8", 4, 6)
    path = dicom(tmp_path / "a.dcm", values).rename(tmp_path / "\udcff.dcm")
    np.testing.assert_array_equal(FORM.read(FORM.scan(path)[0]), values)


def test_a_header_is_needed(tmp_path, draw, like):
    values = draw("uint8", 5, 7)
    with pytest.raises(InputError, match=r"^DICOM needs the header of another DICOM file"):
        FORM.write(tmp_path / "a.dcm", values, like(values, "YX"))
    (contents,) = FORM.scan(dicom(tmp_path / "b.dcm", values))
    with pytest.raises(InputError, match=r"^uint16 values cannot be written with this header; it takes uint8$"):
        FORM.write(tmp_path / "a.dcm", values.astype(np.uint16), contents)
