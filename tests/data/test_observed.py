"""Masks of observed frequencies: where they are found, that they are no items, and what is said and refused."""

import csv
import dataclasses
import logging
import re
import zipfile

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from sagd.data.config import DataConfig
from sagd.data.load import load
from sagd.errors import InputError

COUNT, SIDES = 6, (8, 6)


def mask_of(number, spatial=SIDES):
    drawn = np.random.default_rng(number).random(spatial) < 0.5
    drawn[(0,) * drawn.ndim] = True
    return drawn | np.roll(np.flip(drawn), 1, tuple(range(drawn.ndim)))


@pytest.fixture
def masks():
    return np.stack([mask_of(k) for k in range(COUNT)])


@pytest.fixture
def items(masks):
    """What numpy leaves of smooth items, with no more at other frequencies than rounding."""
    x = np.random.default_rng(0).normal(size=(COUNT, *SIDES)).cumsum(-1).cumsum(-2)
    return np.fft.ifft2(np.fft.fft2(x) * masks).real.astype(np.float32)


@pytest.fixture
def folder(tmp_path, items, masks):
    """`folder(named)`: items as .npy files, their masks by `named(number)`."""

    def write(named="scan-{:02d}.mask.npy", items=items, masks=masks):
        (tmp_path / "scans" / "masks").mkdir(parents=True)
        for k, (item, mask) in enumerate(zip(items, masks, strict=True)):
            np.save(tmp_path / "scans" / f"scan-{k:02d}.npy", item)
            np.save(tmp_path / "scans" / named.format(k), mask)
        return tmp_path / "scans"

    return write


def check(data, items, masks):
    """Items as they are, and the masks of their half spectra."""
    values = data.meaning.to_values(data.tensor()).numpy()
    np.testing.assert_allclose(values.reshape(items.shape), items, atol=1e-5)
    observed = ~data.unobserved(torch.arange(len(data))).numpy()
    np.testing.assert_array_equal(observed, masks[..., : masks.shape[-1] // 2 + 1])


def test_files_beside_items(folder, items, masks):
    where = folder()
    check(load(DataConfig(str(where), observed="mask")), items, masks)
    some = load(DataConfig(str(where), observed="mask", limit=3))
    assert torch.equal(some.observed, load(DataConfig(str(where), observed="mask")).observed[some.places])


def test_items_that_cannot_be_read_take_their_masks_along(folder, items, masks):
    where = folder()
    (where / "scan-02.npy").write_bytes(b"nothing")
    good = [0, 1, 3, 4, 5]
    check(load(DataConfig(str(where), observed="mask", skip_bad=True)), items[good], masks[good])


def test_masks_that_nobody_asked_for_are_no_items(folder, items, caplog):
    caplog.set_level(logging.INFO)
    where = folder()
    data = load(DataConfig(str(where)))
    assert len(data) == COUNT
    assert data.observed is None
    assert "left out 6 file(s) that are called as masks" in caplog.text
    (where / "alone.mask.npy").write_bytes((where / "scan-00.npy").read_bytes())
    assert len(load(DataConfig(str(where)))) == COUNT + 1


def test_a_table_beside_items(folder, items, masks):
    where = folder("masks/m{}.npy")
    with (where / "metadata.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerows([("file_name", "seen"), *((f"scan-{k:02d}.npy", f"masks/m{k}.npy") for k in range(COUNT))])
    check(load(DataConfig(str(where), observed="seen")), items, masks)
    (where / "masks/m3.npy").unlink()
    with pytest.raises(InputError, match=r"row 4 of .* must name a file .* and that of its mask"):
        load(DataConfig(str(where), observed="seen"))


@pytest.mark.parametrize("ending", ["npz", "h5"])
def test_arrays_in_files(tmp_path, items, masks, ending):
    for k, (item, mask) in enumerate(zip(items, masks, strict=True)):
        path = tmp_path / f"scan-{k}.{ending}"
        if ending == "npz":
            np.savez(path, image=item, mask=mask.astype(np.float64))
        else:
            with h5py.File(path, "w") as file:
                file["exchange/data"], file["exchange/mask"] = item, mask.astype(np.uint8)
    data = load(DataConfig(str(tmp_path), observed="mask" if ending == "npz" else "exchange/mask"))
    assert data.shape == (1, *SIDES)
    check(data, items, masks)


@pytest.mark.parametrize("each", [True, False])
def test_one_file_of_many_items(tmp_path, items, masks, each):
    items = items if each else np.fft.ifft2(np.fft.fft2(items) * masks[0]).real.astype(np.float32)
    np.save(tmp_path / "scans.npy", items)
    np.save(tmp_path / "scans.mask.npy", masks if each else masks[0])
    data = load(DataConfig(str(tmp_path / "scans.npy"), observed="mask"))
    check(data, items, masks if each else np.repeat(masks[:1], COUNT, 0))
    np.save(tmp_path / "scans.mask.npy", masks[:4])
    with pytest.raises(InputError, match=r"scans.mask.npy.*holds 4 masks for 6 item\(s\)"):
        load(DataConfig(str(tmp_path / "scans.npy"), observed="mask"))


def test_axes_of_masks_are_those_of_the_files(tmp_path, items, masks):
    np.save(tmp_path / "scans.npy", items.transpose(2, 1, 0))
    np.save(tmp_path / "scans.mask.npy", masks.transpose(0, 2, 1))
    data = load(DataConfig(str(tmp_path / "scans.npy"), observed="mask", axes="XYN"))
    check(data, items, masks)


@pytest.mark.parametrize("form", ["arrays", "paths"])
def test_columns_of_tables(folder, tmp_path, items, masks, form):
    where = folder()
    told = [m.tolist() for m in masks] if form == "arrays" else [f"scans/scan-{k:02d}.mask.npy" for k in range(COUNT)]
    table = pa.table({"image": [x.tolist() for x in items], "mask": told})
    pq.write_table(table, tmp_path / "scans.parquet")
    check(load(DataConfig(str(tmp_path / "scans.parquet"), observed="mask")), items, masks)
    assert where.is_dir()
    with pytest.raises(InputError, match="no column 'seen' of masks"):
        load(DataConfig(str(tmp_path / "scans.parquet"), observed="seen"))
    pq.write_table(table.set_column(1, "mask", [list(range(COUNT))]), tmp_path / "scans.parquet")
    with pytest.raises(InputError, match=r"column 'mask' \(int64\) holds no masks"):
        load(DataConfig(str(tmp_path / "scans.parquet"), observed="mask"))


def test_pictures_in_a_table_and_in_files(tmp_path, masks):
    pixels = [np.random.default_rng(k).integers(0, 256, SIDES, dtype=np.uint8) for k in range(COUNT)]
    for k, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / f"{k}.png")
        np.save(tmp_path / f"{k}.mask.npy", masks[k])
    column = [{"bytes": (tmp_path / f"{k}.png").read_bytes(), "path": None} for k in range(COUNT)]
    pq.write_table(pa.table({"image": column, "seen": [m.tolist() for m in masks]}), tmp_path / "all.parquet")
    files = load(DataConfig(str(tmp_path), kind="image", observed="mask"))
    rows = load(DataConfig(str(tmp_path / "all.parquet"), observed="seen"))
    assert torch.equal(files.tensor(), rows.tensor())
    expected = np.fft.ifft2(np.fft.fft2(np.stack(pixels) / 127.5 - 1) * masks).real
    np.testing.assert_allclose(files.tensor()[:, 0].numpy(), expected, atol=1e-5)
    with pytest.raises(InputError, match=r"leave data.size, data.fit and data.resample out"):
        load(DataConfig(str(tmp_path), kind="image", observed="mask", size=4))


def test_sound_has_masks_of_its_times(tmp_path):
    x, masks = np.random.default_rng(0).normal(size=(3, 40)), np.stack([mask_of(k, (40,)) for k in range(3)])
    for k in range(3):
        np.save(tmp_path / f"{k}.npy", x[k])
        np.save(tmp_path / f"{k}.mask.npy", masks[k])
    data = load(DataConfig(str(tmp_path), kind="series", observed="mask"))
    np.testing.assert_array_equal(data.observed.numpy(), masks[:, :21])


@pytest.mark.parametrize(("noise", "said"), [(0.0, None), (1e-2, "rounding or noise"), (2.0, "see that masks")])
def test_what_lies_beside_masks_is_told(folder, items, masks, caplog, noise, said):
    caplog.set_level(logging.INFO)
    noisy = items + noise * np.random.default_rng(1).normal(size=items.shape)
    data = load(DataConfig(str(folder(items=noisy.astype(np.float32))), observed="mask"))
    outside = np.fft.fft2(data.meaning.to_values(data.tensor())[:, 0].numpy() - np.array(data.meaning.offset))
    assert np.abs(outside[~masks]).max() < 1e-3
    told = [line for line in caplog.text.splitlines() if "lies where nothing was observed" in line]
    assert len(told) == (said is not None)
    assert said is None or said in told[0]


@pytest.mark.parametrize(("written", "read"), [("centred", "fft"), ("fft", "centred")])
def test_the_wrong_order_is_noticed(folder, masks, items, caplog, written, read):
    caplog.set_level(logging.INFO)
    turned = masks if written == "fft" else np.fft.fftshift(masks, (1, 2))
    where = folder(masks=turned)
    load(DataConfig(str(where), observed="mask", observed_order=read))
    assert f"with data.observed_order={written} it would be" in caplog.text
    check(load(DataConfig(str(where), observed="mask", observed_order=written)), items, masks)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"source": "digits"}, "'digits' has no masks"),
        ({"corruption": "hum"}, "two damages"),
        ({"missing": "mask"}, "items with gaps"),
        ({"observed": ""}, "is the name of a column"),
        ({"observed": "seen"}, r"mask.npy' has no mask: there is no file 'scan-00.mask.seen.npy' beside it"),
        ({"kind": "field", "size": (4, 4)}, "leave data.size"),
        ({"kind": "field", "fit": "crop", "size": SIDES}, "leave data.size"),
    ],
)
def test_what_goes_with_no_masks_is_refused(folder, options, said):
    with pytest.raises(InputError, match=said) as error:
        load(DataConfig(**{"source": str(folder()), "observed": "mask"} | options))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (np.ones((8, 8)), "the mask is 8 x 8, items are 8 x 6"),
        (np.full(SIDES, 0.5), "holds 0.5"),
        (np.ones(SIDES, complex), "holds complex numbers"),
    ],
)
def test_a_bad_mask_is_named(folder, mask, said):
    where = folder()
    np.save(where / "scan-04.mask.npy", mask)
    with pytest.raises(InputError, match=rf"scan-04.mask.npy'.*{said}"):
        load(DataConfig(str(where), observed="mask"))


def test_shapes_of_masks_are_compared_before_any_is_read(folder, monkeypatch):
    where = folder()
    np.save(where / "scan-04.mask.npy", np.ones((8, 8)))

    def never(mask):
        raise AssertionError

    monkeypatch.setattr("sagd.data.fields.Mask.read", never)
    with pytest.raises(InputError, match=r"scan-04.mask.npy'.*the mask is 8 x 8"):
        load(DataConfig(str(where), observed="mask"))


def spoilt_archive(path, member):
    """An archive of which one array is damaged."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo(f"{member}.npy").header_offset
    content[start + 180 : start + 190] = b"\xff" * 10
    path.write_bytes(content)


@pytest.mark.parametrize("damage", ["mask", "all"])
def test_archives_with_damaged_masks_are_left_out(tmp_path, items, masks, damage, caplog):
    for k in range(COUNT):
        np.savez(tmp_path / f"scan-{k}.npz", image=items[k], mask=masks[k].astype(np.float64))
    if damage == "mask":
        spoilt_archive(tmp_path / "scan-2.npz", "mask")
    else:
        (tmp_path / "scan-2.npz").write_bytes((tmp_path / "scan-2.npz").read_bytes()[:300])
    with pytest.raises(InputError, match=r"scan-2.npz'.*; leave such items out with data.skip_bad=True"):
        load(DataConfig(str(tmp_path), observed="mask"))
    good = [0, 1, 3, 4, 5]
    check(load(DataConfig(str(tmp_path), observed="mask", skip_bad=True)), items[good], masks[good])
    (line,) = [line for line in caplog.text.splitlines() if "left out 1 of 6" in line]
    assert "scan-2.npz" in line


@pytest.mark.parametrize("form", ["beside", "table", "pictures"])
def test_files_of_damaged_masks_leave_their_items_out(folder, tmp_path, items, masks, form, caplog):
    good = [0, 1, 2, 3, 5]
    where = folder()
    (where / "scan-04.mask.npy").write_bytes(b"nothing")
    config = DataConfig(str(where), observed="mask", skip_bad=True)
    if form == "table":
        told = [f"scans/scan-{k:02d}.mask.npy" for k in range(COUNT)]
        pq.write_table(pa.table({"image": [x.tolist() for x in items], "mask": told}), tmp_path / "scans.parquet")
        config = dataclasses.replace(config, source=str(tmp_path / "scans.parquet"))
    if form == "pictures":
        for k in range(COUNT):
            Image.fromarray(np.full(SIDES, 40 * k, np.uint8)).save(where / f"scan-{k:02d}.png")
            (where / f"scan-{k:02d}.npy").unlink()
        assert len(load(config)) == 5
    else:
        check(load(config), items[good], masks[good])
    assert re.search("left out 1 of 6 (fields|images) in", caplog.text)
    assert "scan-04.mask.npy" in caplog.text
    with pytest.raises(InputError, match=r"scan-04.mask.npy.*; leave such items out with data.skip_bad=True"):
        load(dataclasses.replace(config, skip_bad=False))
    for k in (0, 1, 2, 5):
        (where / f"scan-{k:02d}.mask.npy").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"need at least two (fields|images), found 1 in .*; 5 cannot be read"):
        load(config)
    (where / "scan-03.mask.npy").unlink()
    with pytest.raises(InputError, match=r"scan-03"):  # a mask that is not there is no damaged one
        load(config)


def test_a_mask_that_is_no_array_is_named(folder):
    where = folder()
    (where / "scan-04.mask.npy").write_bytes(b"")
    with pytest.raises(InputError, match=r"scan-04.mask.npy"):
        load(DataConfig(str(where), observed="mask"))
