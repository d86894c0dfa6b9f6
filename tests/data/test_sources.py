"""Every source of images: what is found, how labels are numbered, and the one-line errors of what cannot be used."""

import dataclasses
import hashlib
import io
import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from unittest.mock import MagicMock

import datasets
import huggingface_hub
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from sagd.data.config import DataConfig
from sagd.data.images import to_pixels
from sagd.data.load import load
from sagd.data.sources import ArrayRecords, Digits, Folder, Hub, Parquet, Source, anchored, open_source, source_of
from sagd.data.sources import base as sources
from sagd.errors import InputError


def encoded(values, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind)
    return file.getvalue()


def opened(**options):
    return open_source(DataConfig(**options))


def pixels(records, index):
    return to_pixels(records.open(index), 1)[0]


@pytest.fixture
def images(noise):
    return [noise(channels=1, seed=seed) for seed in range(4)]


@pytest.fixture
def parquet(tmp_path, images):
    """Write columns (default: one of images) to a parquet file."""

    def write(columns=None, name="some.parquet", **types):
        columns = {"image": [encoded(v) for v in images]} if columns is None else columns
        table = pa.table({name: pa.array(values, types.get(name)) for name, values in columns.items()})
        pq.write_table(table, tmp_path / name)
        return str(tmp_path / name)

    return write


# Digits -------------------------------------------------------------------------------------------------------------


def test_digits_are_split_alike_for_ever(connections):
    """Checksums of pixels and labels: experiments compare runs years apart, on whatever version of scikit-learn."""
    sums = {}
    for split in ("train", "test", "all"):
        records = opened(split=split)
        sums[split] = hashlib.sha256(records.pixels.tobytes() + records.labels.numpy().tobytes()).hexdigest()[:16]
    assert sums == {"train": "7531db42dd3ff2d2", "test": "a2fc2790f951761e", "all": "0b7e9c3202d7bcd2"}
    assert connections == []


def test_digits_split_is_a_stratified_partition():
    whole, train, test = (opened(split=split) for split in ("all", "train", "test"))
    assert (len(whole), len(train), len(test)) == (1797, 1437, 360)

    def rows(*parts):
        return sorted(
            (*p.flatten(), k) for part in parts for p, k in zip(part.pixels, part.labels.tolist(), strict=True)
        )

    assert rows(train, test) == rows(whole)
    share = torch.bincount(test.labels) / torch.bincount(whole.labels)
    assert (share - 0.2).abs().max() < 0.005
    assert train.classes == tuple("0123456789")


def test_digits_are_scaled_to_bytes():
    values = {0: 0, 1: 16, 4: 64, 8: 128, 15: 239, 16: 255}  # 255 v / 16 rounded, halves up
    from sklearn.datasets import load_digits

    counts, records = load_digits().images, opened(split="all")
    for count, byte in values.items():
        assert (records.pixels[counts == count] == byte).all()
    assert records.pixels.shape == (1797, 8, 8)
    assert np.array_equal(pixels(records, 3), records.pixels[3])


def test_digits_refuse_columns_and_other_splits():
    with pytest.raises(InputError, match="'digits' has no split 'validation'; available: train, test, all"):
        opened(split="validation")
    with pytest.raises(InputError, match="'digits' has no columns, so label_column 'x' cannot be chosen; leave it out"):
        opened(label_column="x")
    assert opened(label_column="none").labels is None


# Folders ------------------------------------------------------------------------------------------------------------


def test_folder_is_read_in_order_of_paths(write, images, connections):
    folder = write({"b.png": images[1], "a.PNG": images[0], "sub/c.bmp": images[2]})
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("")
    records = opened(source=str(folder))
    assert (records.name, len(records), records.labels, records.classes) == ("images", 3, None, None)
    for index in range(3):
        assert np.array_equal(pixels(records, index), images[index])
    assert records.describe(2) == repr(str(folder / "sub/c.bmp"))
    assert connections == []


def test_first_level_of_folders_gives_classes(write, images):
    folder = write({"dog/1.png": images[2], "cat/x/9.png": images[1], "cat/2.png": images[0]})
    records = opened(source=str(folder))
    assert (records.labels.tolist(), records.labels.dtype, records.classes) == ([0, 0, 1], torch.int64, ("cat", "dog"))
    assert opened(source=str(folder), label_column="none").labels is None


def test_an_image_outside_the_classes_means_no_labels(write, images):
    records = opened(source=str(write({"dog/1.png": images[0], "2.png": images[1]})))
    assert (len(records), records.labels) == (2, None)


def test_linked_folders_are_followed_once(write, images):
    folder = write({"real/cat/1.png": images[0], "data/dog/2.png": images[1]})
    (folder / "data/cat").symlink_to(folder / "real/cat")
    (folder / "data/dog/again").symlink_to(folder / "data")
    assert opened(source=str(folder / "data")).classes == ("cat", "dog")
    assert len(opened(source=str(folder / "data"))) == 2


def test_home_is_expanded(write, images, monkeypatch):
    monkeypatch.setenv("HOME", str(write({"1.png": images[0]}).parent))
    assert len(opened(source="~/images")) == 1


def test_folders_without_images(tmp_path):
    with pytest.raises(InputError, match=r"no data in '.*': found no files; known endings: .*\.png"):
        opened(source=str(tmp_path))
    (tmp_path / "a.doc").write_text("")
    with pytest.raises(InputError, match=r"found 1 other file\(s\), e.g. 'a.doc'"):
        opened(source=str(tmp_path))


def test_folder_of_splits_is_pointed_out(write, images):
    folder = write({"train/cat/1.png": images[0], "test/cat/1.png": images[1]})
    with pytest.raises(InputError, match=r"holds splits \(test, train\), not classes; name one: '.*images/train'"):
        opened(source=str(folder))
    assert opened(source=str(folder / "train")).classes == ("cat",)


def test_folder_refuses_splits_and_columns(write, images):
    folder = str(write({"1.png": images[0]}))
    with pytest.raises(InputError, match=r"images' has no split 'test'; available: train$"):
        opened(source=folder, split="test")
    with pytest.raises(InputError, match=r"images' has no columns, so image_column 'x' cannot be chosen"):
        opened(source=folder, image_column="x")


# Parquet ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        pa.binary(),
        pa.large_binary(),
        pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        pa.struct({"bytes": pa.binary()}),
    ],
)
def test_parquet_holds_bytes_or_structs(parquet, images, connections, kind):
    content = [encoded(v) for v in images]
    column = [{"bytes": c, "path": None} for c in content] if pa.types.is_struct(kind) else content
    path = parquet({"picture": column, "note": list("abcd")}, picture=kind)
    records = opened(source=path)
    assert (records.name, len(records), records.labels) == ("some", 4, None)
    for index, values in enumerate(images):
        assert np.array_equal(pixels(records, index), values)
    assert records.describe(2) == f"row 2 of {path!r}"
    assert connections == []


def test_parquet_may_hold_paths(parquet, write, images):
    folder = write({"1.png": images[0], "2.png": images[1]})
    column = [{"bytes": None, "path": str(folder / name)} for name in ("2.png", "1.png")]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    records = opened(source=parquet({"image": column}, image=kind))
    assert np.array_equal(pixels(records, 0), images[1])


def test_paths_may_lead_into_archives(parquet, tmp_path, images, connections):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for number in (0, 1):
            archive.writestr(f"{number}.png", encoded(images[number]))
    column = [{"bytes": None, "path": f"zip://{number}.png::{tmp_path / 'images.zip'}"} for number in (1, 0)]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    records = opened(source=parquet({"image": column}, image=kind))
    assert np.array_equal(pixels(records, 0), images[1])
    assert connections == []


@pytest.mark.parametrize(
    "metadata",
    [
        b"garbage",
        b"\xff\xfe",
        b"[" * 5000,
        b'{"info": {"features": {"label": {"names": 5, "_type": "ClassLabel"}}}}',
        b'{"info": {"features": {"label": {"_type": "os.system"}}}}',
        b'{"info": {"features": {"label": {"names": ["a", ["b"]], "_type": "ClassLabel"}}}}',
    ],
)
def test_metadata_that_cannot_be_read_is_one_line(metadata, tmp_path, images):
    table = pa.table({"image": [encoded(images[0])] * 2, "label": [0, 1]})
    pq.write_table(table.replace_schema_metadata({b"huggingface": metadata}), tmp_path / "odd.parquet")
    with pytest.raises(InputError, match=r"odd.parquet' has metadata 'huggingface' that cannot be read: .*; remove it"):
        open_source(DataConfig(source=str(tmp_path / "odd.parquet")))


def test_a_folder_with_the_name_of_a_protocol_is_a_folder(parquet, connections, tmp_path, images, monkeypatch):
    """The file system knows no protocols: 'ftp://host/x.zip' is a path below the folder 'ftp:'."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "ftp:" / "127.0.0.1:9"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        archive.writestr("1.png", encoded(images[1]))
    column = [{"bytes": None, "path": "zip://1.png::ftp://127.0.0.1:9/x.zip"}] * 2
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    records = opened(source=parquet({"image": column}, image=kind))
    assert np.array_equal(pixels(records, 0), images[1])
    assert connections == []


@pytest.mark.parametrize(
    "path",
    [
        "zip://1.png::https://example.org/images.zip",
        "ftp://127.0.0.1:9/x::{local}",
        "http://127.0.0.1:9/x.png::{local}",
        "github://owner:project@main/x.png::{local}",
        "zip://1.png::ftp://127.0.0.1:9/x.zip::{local}",
        "simplecache::http://127.0.0.1:9/x.png::{local}",
        "reference://x::{local}",
        "file://{local}::{local}",
    ],
)
def test_paths_that_come_with_data_open_local_archives_only(path, parquet, connections, tmp_path):
    """Chained protocols would open connections, or run what a file of references says."""
    local = tmp_path / "images.zip"
    with zipfile.ZipFile(local, "w") as archive:
        archive.writestr("1.png", b"")
    path = path.format(local=local)
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    source = parquet({"image": [{"bytes": None, "path": path}] * 2}, image=kind)
    with pytest.raises(InputError, match=rf"row 0 .*'{re.escape(path)}' is not in a local archive"):
        load(DataConfig(source=source))
    assert connections == []


@pytest.fixture
def shards(parquet, tmp_path, images):
    """Eleven files of two images each, whose labels count them; and a hidden one."""

    def write(names=None):
        folder = tmp_path / "shards.v1"
        folder.mkdir()
        names = names or [f"part-{k}.parquet" for k in range(11)]
        content = [encoded(v) for v in images]
        for k, name in enumerate(names):
            columns = {"image": [content[k % 4], content[(k + 1) % 4]], "label": [2 * k, 2 * k + 1]}
            Path(parquet(columns)).rename(folder / name)
        (folder / ".part.parquet").write_bytes(b"half")
        return folder

    return write


@pytest.mark.parametrize("limit", [2**30, 0])
def test_shards_are_one_data_set_in_natural_order(shards, images, monkeypatch, connections, limit):
    monkeypatch.setattr(sources, "MEMORY_LIMIT", limit)
    records = opened(source=str(shards()))
    assert records.labels.tolist() == list(range(22))
    assert records.name == "shards.v1"
    for k in (0, 1, 5, 20, 21):
        with records.open(k) as image:
            assert np.array_equal(np.asarray(image), images[(k // 2 + k % 2) % 4])
    assert re.fullmatch(r"row 1 of '.*part-10.parquet'", records.describe(21))
    assert re.fullmatch(r"row 0 of '.*part-0.parquet'", records.describe(0))
    assert connections == []


def test_shards_are_of_the_splits_that_they_are_named_by(shards):
    names = [f"train-0000{k}-of-00002.parquet" for k in range(2)] + ["test.parquet", "validation_1.parquet"]
    folder = str(shards(names))
    found = {split: opened(source=folder, split=split).classes for split in ("train", "test", "validation")}
    assert found == {"train": ("0", "1", "2", "3"), "test": ("4", "5"), "validation": ("6", "7")}
    with pytest.raises(InputError, match=r"shards.v1' has no split 'dev'; available: test, train, validation"):
        opened(source=folder, split="dev")


def test_shards_that_do_not_belong_together_are_refused(shards, parquet, images):
    folder = shards()
    Path(parquet({"image": [encoded(images[0])], "kind": ["a"]})).rename(folder / "part-3.parquet")
    with pytest.raises(
        InputError, match=r"'part-0.parquet' has columns image .*, label .*'part-3.parquet' image .*kind"
    ):
        opened(source=str(folder))
    (folder / "part-3.parquet").rename(folder / "test.parquet")
    with pytest.raises(InputError, match=r"'test.parquet' is named as a file of a split, 'part-0.parquet' in the same"):
        opened(source=str(folder))
    (folder / "test.parquet").write_bytes(b"PAR1")
    for path in folder.glob("part-*"):
        path.unlink()
    with pytest.raises(InputError, match=r"cannot read parquet file '.*/test.parquet'"):
        opened(source=str(folder), split="test")


def test_a_folder_of_pictures_and_a_table_stays_one_of_pictures(write, noise, parquet):
    folder = write({"1.png": noise(), "2.png": noise(seed=1)})
    Path(parquet()).rename(folder / "more.parquet")
    assert len(opened(source=str(folder))) == 2


@pytest.mark.parametrize("name", ["odd [1] name?.parquet", "UPPER.PARQUET", "label=3/part.parquet"])
def test_parquet_of_odd_names(parquet, tmp_path, name, monkeypatch):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    Path(parquet()).rename(tmp_path / name)
    assert len(opened(source=str(tmp_path / name))) == 4
    monkeypatch.setattr(sources, "MEMORY_LIMIT", 0)
    assert len(opened(source=str(tmp_path / name))) == 4


def test_large_parquet_is_mapped(parquet, images, monkeypatch, connections):
    path = parquet({"image": [encoded(v) for v in images], "label": list("bcab")})
    monkeypatch.setattr(sources, "MEMORY_LIMIT", 0)
    in_memory = pa.total_allocated_bytes()
    records = opened(source=path)
    assert pa.total_allocated_bytes() <= in_memory
    assert records.labels.tolist() == [1, 2, 0, 1]
    for index, values in enumerate(images):
        assert np.array_equal(pixels(records, index), values)
    assert connections == []


def test_data_frames_of_pandas(tmp_path, images):
    frame = pd.DataFrame({"image": [encoded(v) for v in images], "label": pd.Categorical(["b", "a", "b", "c"])})
    frame.to_parquet(tmp_path / "frame.parquet")
    records = opened(source=str(tmp_path / "frame.parquet"))
    assert (records.labels.tolist(), records.classes) == ([1, 0, 1, 2], ("a", "b", "c"))


@pytest.mark.parametrize(
    ("values", "numbers", "classes"),
    [
        ([10, 9, 10, 2], [2, 1, 2, 0], ("2", "9", "10")),
        (["b", "B", "a", "b"], [2, 0, 1, 2], ("B", "a", "b")),
        ([True, False, True, True], [1, 0, 1, 1], ("False", "True")),
        ([None] * 4, None, None),
    ],
)
def test_labels_are_numbered_in_order(parquet, images, values, numbers, classes):
    records = opened(source=parquet({"image": [encoded(v) for v in images], "label": values}))
    assert (None if records.labels is None else records.labels.tolist(), records.classes) == (numbers, classes)


def with_class_labels(tmp_path, images, labels):
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["zebra", "ant", "cow"])}
    )
    rows = {"image": [{"bytes": encoded(v), "path": None} for v in images], "label": labels}
    path = tmp_path / "classes.parquet"
    datasets.Dataset.from_dict(rows, features=features).to_parquet(path)
    return str(path)


def test_class_labels_keep_their_own_order(tmp_path, images):
    path = with_class_labels(tmp_path, images, [2, 0, 2, 2])
    records = opened(source=path)
    assert (records.labels.tolist(), records.classes) == ([2, 0, 2, 2], ("zebra", "ant", "cow"))
    assert opened(source=path, label_column="none").labels is None
    assert opened(source=with_class_labels(tmp_path, images, [-1] * 4)).labels is None
    with pytest.raises(InputError, match=r"row 1 of .* has no label in column 'label'; .*'none' for no labels"):
        opened(source=with_class_labels(tmp_path, images, [0, -1, 0, 0]))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            ["a", None, "b", "c"],
            r"row 1 of '.*' has no label in column 'label'; choose another data.label_column, or 'none'",
        ),
        ([0.5, 1.0, 2.0, 3.0], r"column 'label' of '.*' holds float, not whole numbers or text; choose another"),
        ([[1], [2], [3], [4]], r"column 'label' of '.*' holds list, not whole numbers or text"),
    ],
)
def test_unusable_labels(parquet, images, labels, message):
    path = parquet({"image": [encoded(v) for v in images], "label": labels})
    with pytest.raises(InputError, match=message):
        opened(source=path)
    assert opened(source=path, label_column="none").labels is None


def test_columns_can_be_chosen_and_must_exist(parquet, images):
    content = [encoded(v) for v in images]
    path = parquet({"one": content, "two": content[::-1], "kind": [1, 0, 1, 0], "label": [0, 0, 0, 0]})
    records = opened(source=path, image_column="two", label_column="kind")
    assert np.array_equal(pixels(records, 0), images[3])
    assert records.labels.tolist() == [1, 0, 1, 0]
    with pytest.raises(InputError, match=r"columns of images or sound; set data.image_column to one of one, two$"):
        opened(source=path)
    with pytest.raises(
        InputError, match=r"has no column 'three'; it has one \(binary\), two \(binary\), kind \(int64\)"
    ):
        opened(source=path, image_column="three")
    with pytest.raises(InputError, match=r"column 'kind' of '.*' holds no images, sound or arrays .*; it has one"):
        opened(source=path, image_column="kind")
    with pytest.raises(InputError, match=r"no label column 'class'; it has one \(binary\), .*, label \(int64\)$"):
        opened(source=path, image_column="one", label_column="class")


def test_parquet_without_images(parquet):
    with pytest.raises(
        InputError,
        match=r"no column of images, sound or arrays \(bytes, .* and path; lists of numbers\); it has text \(string\)",
    ):
        opened(source=parquet({"text": ["a", "b"]}))
    with pytest.raises(InputError, match="holds no rows"):
        opened(source=parquet({"image": []}, image=pa.binary()))


def test_parquet_has_one_split(parquet):
    with pytest.raises(InputError, match=r"some.parquet' has no split 'test'; available: train"):
        opened(source=parquet(), split="test")


@pytest.mark.parametrize(
    "damage", [lambda b: b"", lambda b: b[:-20], lambda b: b"PAR1" + b[4:-400] + b"PAR1", lambda b: b"x" * 99]
)
def test_damaged_parquet(parquet, damage, tmp_path):
    path = tmp_path / "damaged.parquet"
    path.write_bytes(damage(Path(parquet()).read_bytes()))
    with pytest.raises(InputError, match=r"cannot read parquet file '.*damaged.parquet': [^\n]+$"):
        opened(source=str(path))


# Names that are nothing ---------------------------------------------------------------------------------------------


def test_other_files_are_refused(tmp_path):
    (tmp_path / "data.doc").write_text("")
    with pytest.raises(InputError, match=r"no data in '.*data.doc': found 1 other file\(s\)"):
        opened(source=str(tmp_path / "data.doc"))


def test_paths_mean_the_same_wherever_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("x.npy").touch()
    Path("folder").mkdir()
    (Path("folder") / "a.png").touch()
    assert anchored("x.npy") == str(tmp_path / "x.npy")
    assert anchored("folder") == str(tmp_path / "folder")
    assert anchored("folder(path='folder')") == f"folder(path='{tmp_path / 'folder'}')"
    assert [anchored(text) for text in ("digits", "owner/name:part")] == ["digits", "owner/name:part"]


@pytest.mark.parametrize(
    "source",
    [
        *["/no/such/folder", "./missing", "../missing", "missing.parquet", "a/b.parquet", "a/b/c", "~no-such-user/x"],
        *["fields.npy", "data/fields.nc", "photo.PNG", "scan.nii.gz", ""],
    ],
)
def test_missing_paths_are_not_looked_for_on_the_hub(source, connections):
    with pytest.raises(
        InputError, match=r"^no data set '.*': it is not 'digits', and there is no file or folder '/.*hub name"
    ):
        opened(source=source)
    assert connections == []


# Sources of others --------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Fixed(Source):
    """Whatever it is given."""

    found: object

    def open(self, config):
        return self.found


def of_labels(labels, classes=("a", "b"), count=3):
    return ArrayRecords("fixed", labels, classes, np.zeros((count, 8, 8), np.uint8))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([1, 2], "must return Records, got list; for an array, ArrayRecords"),
        (None, "must return Records, got NoneType; for an array, ArrayRecords"),
        (of_labels(None, None, 0), "returned no records; let it raise InputError that says where they should be"),
        (of_labels([0, 1, 1]), r"must return labels torch.int64 \(3,\) or None, got list"),
        (of_labels(torch.zeros(2).long()), r"must return labels torch.int64 \(3,\) or None, got torch.int64 \(2,\)"),
        (of_labels(torch.zeros(3)), r"must return labels torch.int64 \(3,\) or None, got torch.float32 \(3,\)"),
        (of_labels(torch.arange(3)), r"returned labels 0\.\.2; they must number the classes \['a', 'b'\]"),
        (of_labels(torch.arange(3) - 1, None), r"returned labels -1\.\.1; they must number the classes \[\]"),
    ],
)
def test_what_a_source_of_others_opens_is_checked(found, message):
    with pytest.raises(InputError, match=rf"^\S*test_sources\.Fixed\.open {message}$"):
        Fixed(found).records(DataConfig())


def test_labels_without_names_are_numbers():
    assert Fixed(of_labels(torch.arange(3), None)).records(DataConfig()).classes is None
    assert Fixed(of_labels(torch.tensor([1, 0, 1]))).records(DataConfig(label_column="none")).labels is None


# The hub ------------------------------------------------------------------------------------------------------------


def test_hub_without_network_fails_at_once(monkeypatch, connections):
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail(f"slept {seconds} s"))
    with pytest.raises(
        InputError, match=r"no file or folder '/.*data', and the hub cannot be reached \([^\n]*\); .*OFFLINE=1$"
    ):
        opened(source="some/data")
    assert len(connections) <= 2  # the question itself, and a list that huggingface_hub fetches once per process


def test_hub_in_offline_mode_looks_in_the_cache_only(monkeypatch, connections):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"no file or folder '/.*data', nor a copy of a hub data set \([^\n]*\)$"):
        opened(source="some/data")
    assert connections == []


@pytest.fixture
def hub(monkeypatch, tmp_path, images):
    """A hub on which every name is one local data set with splits train and test."""
    for split in ("train", "test"):
        Path(with_class_labels(tmp_path, images if split == "train" else images[::-1], [0, 1, 2, 0])).rename(
            tmp_path / split
        )
    build, asked = datasets.load_dataset_builder, []

    def builder(name, subset):
        asked.append((name, subset))
        return build("parquet", data_files={split: str(tmp_path / split) for split in ("train", "test")})

    monkeypatch.setattr(datasets, "load_dataset_builder", builder)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda self, name, timeout: None)
    return asked


def test_hub_data_set_is_read(hub, images):
    records = opened(source="owner/data:sub", split="test")
    assert hub == [("owner/data", "sub")]
    assert (records.name, records.labels.tolist(), records.classes) == (
        "owner/data",
        [0, 1, 2, 0],
        ("zebra", "ant", "cow"),
    )
    assert np.array_equal(pixels(records, 0), images[3])
    assert records.describe(1) == "row 1 of 'owner/data:sub'"


def test_hub_data_set_refuses_splits_and_columns(hub):
    with pytest.raises(InputError, match="'data' has no split 'validation'; available: train, test"):
        opened(source="data", split="validation")
    with pytest.raises(InputError, match="'data' has no column 'x'; it has image"):
        opened(source="data", image_column="x")


def test_hub_errors_take_one_line(hub, monkeypatch):
    def fail(name, subset):
        raise ValueError("Config name is missing.\nPlease pick one among the available configs: ['a', 'b']")

    monkeypatch.setattr(datasets, "load_dataset_builder", fail)
    with pytest.raises(
        InputError, match=r"^cannot load hub data set 'o/d': Config .*: \['a', 'b'\]; choose one by 'name:subset'$"
    ):
        opened(source="o/d")


def test_unknown_hub_name_says_what_was_looked_for(monkeypatch):
    def missing(self, name, timeout):
        raise huggingface_hub.errors.RepositoryNotFoundError("no", response=MagicMock())

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", missing)
    with pytest.raises(
        InputError, match=r"not 'digits', and there is no file or folder '/.*/digit', nor a public data set"
    ):
        opened(source="digit")


# --- descriptions ---


def test_a_source_may_be_described(tmp_path, parquet, images):
    for i, values in enumerate(images):
        Image.fromarray(values).save(tmp_path / f"{i}.png")
    assert source_of("digits") == Digits()
    assert source_of(f"folder(path={str(tmp_path)!r})") == source_of(str(tmp_path)) == Folder(str(tmp_path))
    assert len(opened(source=f"folder(path={str(tmp_path)!r})")) == len(images)
    assert source_of(f"parquet(path={parquet()!r})") == source_of(parquet()) == Parquet(parquet())
    assert source_of("hub(name='owner/name', subset='b')") == source_of("owner/name:b") == Hub("owner/name", "b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shelf(path='x')", "unknown data source 'shelf'; known: digits, "),
        ("folder(path=3)", "data source 'folder': path must be text, got 3"),
        ("folder", "data source 'folder': missing 1 required positional argument: 'path'"),
        ("hub(name='a', subset=2)", "data source 'hub': subset must be text, got 2"),
    ],
)
def test_descriptions_that_are_none_are_refused(text, message):
    with pytest.raises(InputError, match=re.escape(message)):
        opened(source=text)


@pytest.fixture
def shelf():
    """A kind of data that knows files of its own, and looks for columns itself."""

    @dataclasses.dataclass(frozen=True)
    class Shelf(Source, kind="shelf"):
        path: str = "nowhere"

        @classmethod
        def recognise(cls, text):
            return cls(text) if text.endswith(".shelf") else None

        def open(self, config):
            pixels = np.arange(4 * 3, dtype=np.uint8).reshape(4, 3, 1).repeat(5, axis=2)
            return ArrayRecords(self.path, torch.tensor([0, 1, 0, 1]), ("a", "b"), pixels)

    yield Shelf
    del Source._members["shelf"]


def test_a_kind_of_ones_own_is_asked_before_the_hub(shelf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert source_of("some.shelf") == shelf("some.shelf")
    assert source_of("shelf") == shelf()
    assert source_of("shelf(path='a')") == shelf("a")
    (tmp_path / "shelf").mkdir()
    assert source_of("shelf") == Folder("shelf")
    data = load(DataConfig(source="some.shelf", size=2))
    assert (data.name, data.shape, data.classes) == ("some.shelf", (1, 2, 2), ("a", "b"))


def test_what_a_kind_does_not_heed_is_refused(shelf):
    with pytest.raises(InputError, match=r"'a.shelf' has no split 'test'; available: train"):
        opened(source="a.shelf", split="test")
    with pytest.raises(InputError, match=r"'a.shelf' has no columns, so image_column 'x' cannot be chosen"):
        opened(source="a.shelf", image_column="x")
    assert opened(source="a.shelf", label_column="none").labels is None


def test_nothing_that_another_command_has_imported_is_needed_to_ask_the_hub():
    code = (
        "from sagd.data.config import DataConfig; from sagd.data.sources.hub import _check_hub;"
        " _check_hub('a/b', DataConfig())"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


@pytest.mark.parametrize("name", ["photos/{}", "zip://{}::photos.zip"])
def test_paths_in_a_table_count_from_its_folder(parquet, tmp_path, images, name, monkeypatch):
    """Wherever the program is started; then from the current folder."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "elsewhere").mkdir()
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for i, image in enumerate(images[:2]):
            Image.fromarray(image).save(tmp_path / "photos" / f"{i}.png")
            archive.write(tmp_path / "photos" / f"{i}.png", f"{i}.png")
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    column = [{"bytes": None, "path": name.format(f"{i}.png")} for i in (1, 0)]
    path = parquet({"image": column}, image=kind)
    for folder in (tmp_path / "elsewhere", tmp_path):
        monkeypatch.chdir(folder)
        assert np.array_equal(pixels(opened(source=str(path)), 0), images[1])


def test_pipes_are_no_sources(tmp_path):
    for name in ("a.png", "a.parquet", "a"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(InputError, match=r"is a pipe, which may never end; a file or a folder is needed$"):
            opened(source=str(tmp_path / name))
    for source in (f"parquet(path='{tmp_path}/a.parquet')", f"file(path='{tmp_path}/a.png')"):
        with pytest.raises(InputError, match="is a pipe"):
            load(DataConfig(source=source))
