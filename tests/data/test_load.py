"""Loading whole data sets: shapes, values, labels, bad images, and the same answers in memory and on demand."""

import io
import logging
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from sagd.data import load as loading
from sagd.data.config import DataConfig
from sagd.data.load import LazyPixels, load
from sagd.data.meaning import Meaning
from sagd.data.signals import Signals
from sagd.data.sources import base as sources
from sagd.errors import InputError

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def loaded(source, **options):
    return load(DataConfig(source=str(source), **options))


def png(values):
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def lazily(monkeypatch):
    """Nothing fits in memory."""
    monkeypatch.setattr(sources, "MEMORY_LIMIT", 0)


@pytest.fixture
def classes(write, noise):
    """Five 6x8 images in two classes."""
    return write({f"{'ab'[i % 2]}/{i}.png": noise(6, 8, seed=i) for i in range(5)})


@pytest.fixture
def damaged(write, noise):
    """Six images of which the second has no header, and the fourth is cut off in its pixels."""
    folder = write({f"{'ab'[i % 2]}/{i}.png": noise(32, 32, seed=i) for i in range(6)})
    (folder / "a/2.png").write_bytes(b"not an image")
    (folder / "b/1.png").write_bytes((folder / "b/1.png").read_bytes()[:-1000])
    return folder


# Loading ------------------------------------------------------------------------------------------------------------


def test_values_are_those_of_the_files(classes, noise, connections):
    data = loaded(classes)
    assert (len(data), data.shape, data.name, data.classes) == (5, (3, 6, 8), "images", ("a", "b"))
    assert data.labels.tolist() == [0, 0, 0, 1, 1]
    x, labels = data.batch([3, 0])
    assert (x.dtype, labels.tolist()) == (torch.float32, [1, 0])
    expected = np.stack([noise(6, 8, seed=i).transpose(2, 0, 1) for i in (1, 0)]) / 127.5 - 1
    assert np.abs(x.numpy() - expected).max() < 1e-6
    assert torch.equal(data.tensor(), data.batch(range(5))[0])
    assert connections == []


def test_digits_load_without_network(connections):
    data = load(DataConfig())
    assert (len(data), data.shape, len(data.classes)) == (1437, (1, 8, 8), 10)
    assert data.tensor().aminmax() == (-1, 1)
    assert load(DataConfig(channels=3, size=16, limit=4)).shape == (3, 16, 16)
    assert connections == []


@pytest.mark.parametrize("options", [{}, {"channels": 1}, {"size": 5}, {"size": 12, "limit": 3}])
def test_in_memory_and_on_demand_agree(classes, monkeypatch, options):
    memory = loaded(classes, **options)
    monkeypatch.setattr(sources, "MEMORY_LIMIT", 0)
    lazy = loaded(classes, **options)
    assert isinstance(memory.stored, torch.Tensor)
    assert isinstance(lazy.stored, LazyPixels)
    indices, flips = torch.tensor([2, 0, 2, 1]), torch.tensor([True, False, False, True])
    for a, b in zip(memory.batch(indices, flips), lazy.batch(indices, flips), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(memory.tensor(), lazy.tensor())
    assert torch.equal(memory.labels, lazy.labels)
    for a, b in zip(memory.split_halves(3), lazy.split_halves(3), strict=True):
        assert torch.equal(a.tensor(), b.tensor())


def test_the_memory_limit_is_the_decoded_size(classes, monkeypatch):
    monkeypatch.setattr(sources, "MEMORY_LIMIT", 5 * 3 * 6 * 8)
    assert isinstance(loaded(classes).stored, torch.Tensor)
    monkeypatch.setattr(sources, "MEMORY_LIMIT", 5 * 3 * 6 * 8 - 1)
    assert isinstance(loaded(classes).stored, LazyPixels)


def test_large_images_are_decoded_in_threads_in_order(write, noise, monkeypatch):
    folder = write({f"{i:02d}.png": noise(128, 128, 1, seed=i) for i in range(20)})
    data = loaded(folder)
    monkeypatch.setattr(sources, "MEMORY_LIMIT", 0)
    monkeypatch.setattr(loading.os, "cpu_count", lambda: 3)
    lazy = loaded(folder)
    assert lazy.stored.threads == 3
    for i in range(20):
        assert np.array_equal(data.stored[i, 0].numpy(), noise(128, 128, 1, seed=i))
    assert torch.equal(lazy.tensor(), data.tensor())


def test_labels_do_not_depend_on_the_limit(tmp_path, noise):
    table = pa.table({"image": [png(noise(seed=i)) for i in range(4)], "label": ["d", "b", "a", "c"]})
    pq.write_table(table, tmp_path / "some.parquet")
    whole, data = loaded(tmp_path / "some.parquet"), loaded(tmp_path / "some.parquet", limit=2)
    assert data.classes == ("a", "b", "c", "d")
    assert torch.equal(data.labels, whole.labels[data.places])
    assert torch.equal(data.tensor(), whole.tensor()[data.places])


def sorted_by_class(tmp_path, counts):
    """A parquet file of grey images, class after class, each of the brightness of its class."""
    labels = [name for name, count in counts.items() for _ in range(count)]
    bytes_of = {name: png(np.full((8, 8), 20 * i, np.uint8)) for i, name in enumerate(counts)}
    table = pa.table({"image": [bytes_of[label] for label in labels], "label": labels})
    pq.write_table(table, tmp_path / "sorted.parquet")
    return tmp_path / "sorted.parquet"


def test_a_limit_is_a_sample_of_all(tmp_path, caplog):
    """400 of 4,000 sorted images: of each class its share, within five standard deviations, and in their order."""
    path = sorted_by_class(tmp_path, {"a": 2000, "b": 1000, "c": 1000})
    with caplog.at_level("INFO"):
        data, again = loaded(path, limit=400), loaded(path, limit=400)
    assert torch.equal(data.places, again.places)
    assert (data.places.diff() > 0).all()
    for count, share in zip(data.labels.bincount().tolist(), (0.5, 0.25, 0.25), strict=True):
        assert abs(count - 400 * share) < 5 * math.sqrt(400 * share * (1 - share))
    assert caplog.text == ""


def test_classes_that_a_limit_leaves_out_are_named(tmp_path, caplog):
    with caplog.at_level("INFO"):
        data = loaded(sorted_by_class(tmp_path, {"many": 500, "one": 1, "two": 1, "none left": 1}), limit=20)
    assert data.labels.unique().tolist() == [0]
    assert caplog.messages == ["data.limit leaves no image of 3 of 4 classes: 'none left', 'one', 'two'"]


def test_classes_of_bad_images_alone_are_named(tmp_path, noise, caplog):
    table = pa.table({"image": [png(noise(8, 8, seed=i)) for i in range(4)] + [b"junk"], "label": [*"aabb", "c"]})
    pq.write_table(table, tmp_path / "some.parquet")
    with caplog.at_level("INFO"):
        loaded(tmp_path / "some.parquet", skip_bad=True)
    assert caplog.messages[-1] == "data.skip_bad leaves no image of 1 of 3 classes: 'c'"


def test_class_names_are_quoted_in_part(tmp_path, caplog):
    """Names come with the data: they forge no line and write no escapes to a terminal."""
    forged = "one\nsagd: all is well\x1b[31m" + "z" * 5000
    with caplog.at_level("INFO"):
        loaded(sorted_by_class(tmp_path, {"many": 500, forged: 1}), limit=20)
    (message,) = caplog.messages
    assert "\n" not in message
    assert "\x1b" not in message
    assert len(message) < 200


def test_some_images_stand_for_all(tmp_path):
    data = loaded(sorted_by_class(tmp_path, {"a": 100, "b": 100, "c": 100}))
    some = data.some(60, 1)
    assert torch.equal(some.places_of(torch.arange(60)), data.some(60, 1).places_of(torch.arange(60)))
    assert len(set(some.places_of(torch.arange(60)).tolist())) == 60
    assert not torch.equal(some.labels, data.some(60, 2).labels)
    assert set(some.labels[:15].tolist()) == {0, 1, 2}  # the first of them as well
    assert len(data.some(1000)) == 300
    assert data.at_most(300) is data
    assert len(data.at_most(299)) == 299
    with pytest.raises(InputError, match="count must be at least 1, got 0"):
        data.some(0)


def test_damage_does_not_depend_on_the_limit(tmp_path, noise):
    table = pa.table({"image": [png(noise(8, 8, seed=i)) for i in range(30)]})
    pq.write_table(table, tmp_path / "some.parquet")
    whole, data = (
        loaded(tmp_path / "some.parquet", limit=limit, corruption="scan_lines(level=0.3)") for limit in (None, 7)
    )
    torch.testing.assert_close(data.tensor(), whole.tensor()[data.places], rtol=0, atol=1e-6)


# Bad images ---------------------------------------------------------------------------------------------------------


def test_unreadable_images_are_named(damaged):
    with pytest.raises(InputError) as raised:
        loaded(damaged)
    assert str(raised.value) == (
        f"cannot read '{damaged}/a/2.png': not an image of a known format; leave such images out with"
        " data.skip_bad=True"
    )
    (damaged / "a/2.png").unlink()
    with pytest.raises(InputError, match=r"^cannot read '.*/b/1.png': [^\n]*truncated[^\n]*; leave such images out"):
        loaded(damaged)


def test_rows_of_unreadable_images_are_named(tmp_path, noise):
    good = png(noise())
    for name, bad in (("cut", good[:100]), ("null", None), ("junk", b"junk"), ("empty", b"")):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"image": [good, good, bad]}), path)
        with pytest.raises(InputError, match=rf"^cannot read row 2 of '.*{name}.parquet': [^\n]+; leave such"):
            loaded(path)


def test_unreadable_images_are_left_out_on_request(damaged, noise, caplog):
    with caplog.at_level(logging.WARNING):
        data = loaded(damaged, skip_bad=True)
    assert [record.message for record in caplog.records] == [
        f"left out 2 of 6 images in '{damaged}'; the first: "
        f"cannot read '{damaged}/a/2.png': not an image of a known format"
    ]
    assert data.labels.tolist() == [0, 0, 1, 1]
    for i, seed in enumerate((0, 4, 3, 5)):
        assert np.array_equal(data.stored[i].numpy(), noise(32, 32, seed=seed).transpose(2, 0, 1))


@pytest.mark.usefixtures("lazily")
def test_unreadable_images_are_left_out_on_demand_too(damaged, noise):
    data = loaded(damaged, skip_bad=True)
    assert isinstance(data.stored, LazyPixels)
    assert data.labels.tolist() == [0, 0, 1, 1]
    for i, seed in enumerate((0, 4, 3, 5)):
        assert np.array_equal(data.stored.decode(i), noise(32, 32, seed=seed).transpose(2, 0, 1))


@pytest.mark.usefixtures("lazily")
def test_damage_found_on_demand_is_named(damaged):
    (damaged / "a/2.png").unlink()
    data = loaded(damaged)
    assert len(data.batch([0, 1])[0]) == 2
    with pytest.raises(InputError, match=r"^cannot read '.*/b/1.png': .*truncated"):
        data.batch([0, 2])


@pytest.mark.usefixtures("lazily")
def test_files_that_vanish_are_named(classes):
    data = loaded(classes)
    (classes / "b/3.png").unlink()
    with pytest.raises(InputError, match=r"^cannot read '.*/b/3.png': No such file or directory$"):
        data.batch([4])


@pytest.mark.usefixtures("lazily")
def test_files_that_change_shape_are_named(classes, noise):
    data = loaded(classes)
    Image.fromarray(noise(8, 8)).save(classes / "b/3.png")
    with pytest.raises(InputError, match=r"/b/3.png': decoded to shape \(3, 8, 8\), not \(3, 6, 8\)"):
        data.batch([4])


def test_too_few_images(write, noise):
    folder = write({"1.png": noise()})
    with pytest.raises(InputError, match=r"need at least two images, found 1 in '.*images'; windows of it are many"):
        loaded(folder)
    for name in ("2.png", "3.png"):
        (folder / name).write_bytes(b"")
    with pytest.raises(InputError, match=r"found 1 in '.*images'; 2 cannot be read, the first: cannot read '.*/2.png'"):
        loaded(folder, skip_bad=True)


# Channels and sizes -------------------------------------------------------------------------------------------------


def test_mixed_sizes_need_a_size(write, noise):
    folder = write({"1.png": noise(8, 10), "2.png": noise(8, 10), "{3}.png": noise(8, 12)})
    with pytest.raises(InputError) as raised:
        loaded(folder)
    assert str(raised.value) == (
        f"images differ in size (width x height): '{folder}/1.png' is 10x8, '{folder}/{{3}}.png' is 12x8;"
        " give all one with data.size"
    )
    assert loaded(folder, size=8).shape == (3, 8, 8)


def test_pictures_have_one_channel_or_three(write, noise):
    with pytest.raises(InputError, match=r"data.channels must be 1 \(grey\) or 3 \(RGB\) of images, got 2"):
        loaded(write({"1.png": noise(8, 10), "2.png": noise(8, 10)}), channels=2)


def test_what_decoding_does_not_keep_is_said(tmp_path, caplog):
    for i in range(3):
        image = Image.fromarray(np.zeros((4, 4, 4), np.uint8), "RGBA" if i == 0 else None)
        image.convert("RGB" if i else "RGBA").save(tmp_path / f"{i}.png", icc_profile=b"profile" if i == 2 else None)
    with caplog.at_level(logging.INFO):
        loaded(tmp_path)
    assert "note: 1 of 3 images have transparency, which is laid over white" in caplog.text
    assert "note: 1 of 3 images have a profile of colours (ICC), which is not applied" in caplog.text


def test_single_frames_are_images(tmp_path):
    for i in range(2):
        Image.fromarray(np.full((4, 6), 40 * i, np.uint8)).save(tmp_path / f"{i}.gif")
    data = loaded(tmp_path)
    assert (data.meaning.kind, data.shape) == ("image", (3, 4, 6))  # a palette, whatever its colours


def test_mixed_channels_need_a_choice(write, noise):
    folder = write({"1.png": noise(), "2.png": noise(channels=1)})
    with pytest.raises(
        InputError, match=r"in channels: '.*1.png' is colour, '.*2.png' is grey; choose with data.channels"
    ):
        loaded(folder)
    assert loaded(folder, channels=1).shape == (1, 8, 8)
    assert loaded(folder, channels=3).shape == (3, 8, 8)


def test_mixtures_are_found_before_any_image_is_decoded(write, noise, monkeypatch):
    folder = write({"1.png": noise(8, 10), "2.png": noise(8, 12)})
    monkeypatch.setattr(loading, "to_pixels", lambda *args: pytest.fail("decoded an image"))
    with pytest.raises(InputError, match="images differ in size"):
        loaded(folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, r"data.channels must be at least 1, got 0; e.g. 1 \(grey\) or 3 \(RGB\)"),
        ({"rate": -1.0}, r"data.rate must be positive and finite \(samples per second\), got -1.0"),
        ({"kind": "imge"}, "unknown kind of signal 'imge'; did you mean 'image'?"),
        ({"size": ()}, "data.size is an empty list; give one side, e.g. 32"),
        ({"size": 0}, "data.size must be at least 1, got 0; e.g. 32"),
        ({"limit": 1}, "data.limit must be at least 2, got 1"),
    ],
)
def test_bad_options_are_refused_before_the_source_is_opened(options, message):
    with pytest.raises(InputError, match=message):
        loaded("/no/such/folder", **options)


# Signals ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def numbered():
    """Seven 1x1 images of values 0..6, labels 0, 1, 0, 1, ..."""
    pixels = torch.arange(7, dtype=torch.uint8).reshape(7, 1, 1, 1)
    return Signals("numbers", pixels, torch.arange(7) % 2)


def values(data):
    return ((data.tensor().flatten() + 1) * 127.5).round().int().tolist()


def test_flips_mirror_the_chosen_images():
    data = Signals("stripes", torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8).repeat(3, 1, 2, 1))
    x, labels = data.batch([0, 1, 2], torch.tensor([True, False, True]))
    assert labels is None
    assert torch.equal(x[1], data.tensor()[1])
    assert x[0, 0, 0].tolist() == pytest.approx([1.0, -0.6, -1.0])
    assert torch.equal(x[0], x[2])


def test_subsets_of_subsets(numbered):
    part = numbered.subset([6, 4, 1]).subset(torch.tensor([2, 0]))
    assert (values(part), part.labels.tolist(), part.classes, len(part)) == ([1, 6], [1, 0], ("0", "1"), 2)
    assert part.stored is numbered.stored
    assert part.shape == (1, 1, 1)


def test_halves_are_disjoint_and_follow_the_seed(numbered):
    first, second = numbered.split_halves(seed=0)
    assert (len(first), len(second), len({*values(first), *values(second)})) == (3, 3, 6)
    assert values(numbered.split_halves(seed=0)[0]) == values(first)
    assert values(numbered.split_halves(seed=1)[0]) != values(first)
    for half in (first, second):
        assert half.labels.tolist() == [v % 2 for v in values(half)]


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([7], r"indices must be in 0\.\.6, got 7\.\.7"),
        ([-1, 2], r"indices must be in 0\.\.6, got -1\.\.2"),
        ([0.5], r"indices must be whole numbers \(B,\), got torch.float32"),
        (torch.ones(7, dtype=torch.bool), r"whole numbers \(B,\), got torch.bool \(7,\)"),
        (torch.zeros(2, 2, dtype=torch.long), r"got torch.int64 \(2, 2\)"),
    ],
)
def test_bad_indices(numbered, indices, message):
    with pytest.raises(InputError, match=message):
        numbered.batch(indices)
    with pytest.raises(InputError, match=message):
        numbered.subset(indices)


def test_bad_flips(numbered):
    with pytest.raises(InputError, match=r"flips must be bool \(2,\), got torch.bool \(3,\)"):
        numbered.batch([0, 1], torch.ones(3, dtype=torch.bool))


def test_float_pixels_are_handed_out_as_they_are():
    x = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Signals("x", x).batch([2, 0])[0], x[[2, 0]])


def test_empty_batches(numbered):
    x, labels = numbered.batch([])
    assert (x.shape, labels.shape) == ((0, 1, 1, 1), (0,))


def test_inconsistent_data_are_refused():
    pixels = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    with pytest.raises(InputError, match=r"image data must have shape \(N, C, Y, X\), got \(2, 4, 4\)"):
        Signals("x", pixels[:, 0])
    with pytest.raises(InputError, match=r"data must be uint8, or float32 as models see it, got torch.float64"):
        Signals("x", pixels.double())
    with pytest.raises(InputError, match=r"labels must be int64 \(2,\), got torch.int64 \(3,\)"):
        Signals("x", pixels, torch.tensor([0, 1, 0]))
    with pytest.raises(InputError, match=r"labels must be in 0\.\.1, got \[0, 2\]"):
        Signals("x", pixels, torch.tensor([0, 2]), ("a", "b"))


# The rest of the house ----------------------------------------------------------------------------------------------


def test_importing_is_light():
    heavy = ("datasets", "sklearn", "PIL", "pyarrow", "pandas", "huggingface_hub")
    code = f"import sys, sagd.data; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "count", "shape", "share"),
    [("mnist-test", 10_000, (1, 28, 28), 0.098), ("cifar10-test", 10_000, (3, 32, 32), 0.1)],
)
def test_benchmark_sets(name, count, shape, share, connections):
    path = SHARED / f"{name}.parquet"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in ../shared/data")
    data = loaded(path)
    assert (len(data), data.shape, data.classes[0]) == (count, shape, "0" if shape[0] == 1 else "airplane")
    assert (data.labels == 0).float().mean().item() == pytest.approx(share, abs=1e-6)
    with Image.open(io.BytesIO(pq.read_table(path)["image"][count - 1]["bytes"].as_py())) as last:
        expected = np.asarray(last)
    assert np.array_equal(data.stored[-1].permute(1, 2, 0).squeeze(-1).numpy(), expected)
    assert connections == []


def test_pixels_may_lie_on_a_device(numbered):
    """No GPU here: a copy on the CPU gives the same batches, and the shapes are right where nothing is computed."""
    flips = torch.tensor([True, False, True])
    near = numbered.on(torch.device("cpu"))
    for one, two in zip(numbered.batch([2, 0, 1], flips), near.batch([2, 0, 1], flips), strict=True):
        assert (one is None and two is None) or torch.equal(one, two)
    far = numbered.on(torch.device("meta"))
    x, _ = far.batch([2, 0, 1], flips)
    assert x.device.type == "meta"
    assert x.shape == (3, *numbered.shape)


def test_pictures_of_8_bits_are_not_taken_for_what_a_model_of_16_means(tmp_path):
    for i in range(2):
        Image.fromarray(np.full((8, 8), 200 + i, np.uint8)).save(tmp_path / f"{i}.png")
    deep = Meaning(offset=(2000.0,), scale=(900.0,), dtype="uint16", limits=(0.0, 65535.0))
    with pytest.raises(InputError, match="holds uint8 values from 0 to 255, the model is for uint16 from 0 to 65535"):
        load(DataConfig(source=str(tmp_path)), deep)
    dim = Meaning(offset=(100.0,), scale=(50.0,))
    x = load(DataConfig(source=str(tmp_path)), dim).tensor()
    assert x[:, 0, 0, 0].tolist() == pytest.approx([2.0, 2.02])


def test_single_fields_and_slices(numbered):
    x, label = numbered[-1]
    expected, labels = numbered.batch([len(numbered) - 1])
    assert torch.equal(x, expected[0])
    assert label == (None if labels is None else int(labels[0]))
    assert torch.equal(numbered[1:3].tensor(), numbered.batch([1, 2])[0])
    assert torch.equal(numbered[[2, 0]].tensor(), numbered.batch([2, 0])[0])
    assert len(list(numbered)) == len(numbered)
    with pytest.raises(IndexError, match="there is no number 999 among"):
        numbered[999]
