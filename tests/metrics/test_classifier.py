"""The built-in classifier: what it learns, that it is reproducible, and that its cache survives damage."""

import hashlib
import json
import os
import random
import stat
from pathlib import Path

import pytest
import safetensors.torch
import torch

from sagd.errors import InputError
from sagd.metrics import ClassifierFeatures, ClassifierRecipe, FeatureExtractor, classifier, frechet_distance
from sagd.metrics.cache import default_cache

QUICK = ClassifierRecipe(epochs=3)


def stripes(n=60, shape=(1, 8, 8), seed=0):
    """Two classes, horizontal and vertical stripes, in noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    wave = torch.arange(max(shape[1:])) % 2 - 0.5
    horizontal, vertical = wave[: shape[1], None].expand(shape[1:]), wave[None, : shape[2]].expand(shape[1:])
    clean = torch.where(labels.view(-1, 1, 1, 1) == 0, horizontal, vertical).expand(n, *shape)
    return (clean + 0.1 * torch.randn(n, *shape, generator=generator)).clamp(-1, 1), labels


def train(cache, seed=0, images=None, labels=None, recipe=QUICK):
    default = stripes()
    images, labels = default[0] if images is None else images, default[1] if labels is None else labels
    return ClassifierFeatures.train_or_load(images, labels, 2, cache, seed, progress=False, recipe=recipe)


@pytest.fixture
def no_training(monkeypatch):
    def refuse(*_):
        raise AssertionError("trained")

    monkeypatch.setattr(classifier, "_train", refuse)


def test_digits_are_learnt(digits, digit_features):
    images, labels = digits
    assert digit_features.accuracy > 0.93  # 100 held out; 0.97 expected
    assert digit_features.held_out == 100
    features = digit_features(images)
    centres = torch.stack([features[:1000][labels[:1000] == digit].mean(0) for digit in range(10)])
    nearest = torch.cdist(features[1000:], centres).argmin(1)
    assert (nearest == labels[1000:]).float().mean() > 0.9


def test_features_have_the_documented_scale(digits, digit_features):
    features = digit_features(digits[0][:1000])  # nine tenths of which fixed the scale
    assert features.mean(0).abs().max() < 0.1
    assert features.var(0).mean() == pytest.approx(1, rel=0.05)


def test_distance_grows_with_corruption(digits, digit_features):
    images, _ = digits
    generator = torch.Generator().manual_seed(0)
    real, other = digit_features(images[:800]), images[800:1600]
    noise = torch.randn(other.shape, generator=generator)
    distances = [frechet_distance(real, digit_features(other + level * noise)) for level in (0, 0.2, 0.4, 0.8)]
    assert distances == sorted(distances)
    assert distances[3] > 5 * distances[0]
    assert frechet_distance(real, digit_features(0.5 * other)) > 2 * distances[0]  # contrast is seen


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28), (2, 9, 13), (1, 70, 130)])
def test_any_channels_and_size_are_learnt_and_give_64_features(tmp_path, shape):
    images, labels = stripes(200, shape)
    extractor = train(tmp_path, images=images, labels=labels, recipe=ClassifierRecipe(epochs=4))
    assert extractor.accuracy > 0.9
    features = extractor(images[:7])
    assert features.shape == (7, 64)
    assert features.dtype == torch.float32
    assert isinstance(extractor, FeatureExtractor)


def test_features_do_not_depend_on_the_batch(tmp_path):
    extractor, (images, _) = train(tmp_path), stripes()
    torch.testing.assert_close(extractor(images, batch_size=7), extractor(images), rtol=1e-5, atol=1e-5)


def test_training_is_deterministic_and_leaves_the_global_state_alone(tmp_path):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = train(tmp_path / "one")
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    with torch.inference_mode():
        two = train(tmp_path / "two")
    assert one.identifier == two.identifier
    assert one.accuracy == two.accuracy
    assert train(tmp_path / "three", seed=1).identifier != one.identifier


def test_second_call_loads_the_same_classifier(tmp_path, monkeypatch, request):
    first = train(tmp_path)
    images, _ = stripes()
    expected = first(images)
    request.getfixturevalue("no_training")
    state = torch.get_rng_state()
    again = train(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(again(images), expected)
    assert (again.identifier, again.accuracy, again.held_out) == (first.identifier, first.accuracy, first.held_out)


def test_other_data_labels_seed_or_recipe_are_other_entries(tmp_path):
    images, labels = stripes()
    changed = images.clone()
    changed[0, 0, 0, 0] = 0
    train(tmp_path)
    train(tmp_path, seed=1)
    train(tmp_path, images=changed)
    train(tmp_path, labels=1 - labels)
    train(tmp_path, recipe=ClassifierRecipe(epochs=2))
    assert len(list(tmp_path.glob("*.json"))) == 5


def test_entries_are_complete_and_readable_by_others(tmp_path):
    extractor = train(tmp_path)
    index, weights = sorted(tmp_path.iterdir(), key=lambda p: p.suffix)
    assert (index.suffix, weights.suffix) == (".json", ".safetensors")  # no temporary file is left
    assert json.loads(index.read_text())["accuracy"] == extractor.accuracy
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(weights.stat().st_mode) == 0o666 & ~umask


def flip_a_bit(folder):
    path = next(folder.glob("*.safetensors"))
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "bit flipped": flip_a_bit,
    "weights gone": lambda folder: next(folder.glob("*.safetensors")).unlink(),
    "weights cut": lambda folder: os.truncate(next(folder.glob("*.safetensors")), 100),
    "index cut": lambda folder: os.truncate(next(folder.glob("*.json")), 20),
    "index not an object": lambda folder: next(folder.glob("*.json")).write_text("[]"),
    "index without accuracy": lambda folder: next(folder.glob("*.json")).write_text(
        json.dumps({k: v for k, v in json.loads(next(folder.glob("*.json")).read_text()).items() if k != "accuracy"})
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_entry_is_trained_again_with_a_warning(tmp_path, damage, request):
    first = train(tmp_path)
    damage(tmp_path)
    with pytest.warns(UserWarning, match="cached classifier .* is damaged; training it again"):
        again = train(tmp_path)
    assert again.identifier == first.identifier
    request.getfixturevalue("no_training")
    assert train(tmp_path).identifier == first.identifier


def weights_of(change):
    """Put other bytes in the place of the weights, with name and checksum made anew."""

    def damage(folder):
        index, weights = next(folder.glob("*.json")), next(folder.glob("*.safetensors"))
        content = change(safetensors.torch.load_file(weights))
        content = content if isinstance(content, bytes) else safetensors.torch.save(content)
        details = json.loads(index.read_text())
        before, details["sha256"] = details["sha256"], hashlib.sha256(content).hexdigest()
        weights.rename(folder / weights.name.replace(before[:16], details["sha256"][:16])).write_bytes(content)
        index.write_text(json.dumps(details))

    return damage


def index_with(**values):
    def damage(folder):
        index = next(folder.glob("*.json"))
        index.write_text(json.dumps(json.loads(index.read_text()) | values))

    return damage


def first(change):
    def changed(tensors):
        name = next(name for name, tensor in sorted(tensors.items()) if tensor.ndim >= 2)
        return tensors | {name: change(tensors[name]).contiguous()}

    return weights_of(changed)


REMADE = {
    "empty": weights_of(lambda _: b""),
    "random bytes": weights_of(lambda _: random.Random(0).randbytes(3000)),
    "pickle": weights_of(lambda _: b"\x80\x04\x95\x00"),
    "header beyond the file": weights_of(lambda _: b"\xff" * 7 + b"\x7f" + b"{}" * 50),
    "nothing in it": weights_of(lambda _: {}),
    "other names": weights_of(lambda tensors: {f"more.{name}": tensor for name, tensor in tensors.items()}),
    "one missing": weights_of(lambda tensors: dict(list(tensors.items())[1:])),
    "one more": weights_of(lambda tensors: tensors | {"more": torch.zeros(2)}),
    "other shape": first(lambda tensor: tensor[..., :-1]),
    "int64": first(torch.Tensor.long),
    "float16": first(torch.Tensor.half),
    "float64": first(torch.Tensor.double),
    "NaN": first(lambda tensor: tensor * torch.nan),
    "infinity": first(lambda tensor: tensor / 0),
    "nested": lambda folder: next(folder.glob("*.json")).write_text("[" * 50_000 + "]" * 50_000),
    "held_out infinite": index_with(held_out=float("inf")),
    "held_out a fraction": index_with(held_out=0.5),
    "held_out true": index_with(held_out=True),
    "held_out text": index_with(held_out="6"),
    "accuracy true": index_with(accuracy=True),
    "accuracy text": index_with(accuracy="0.5"),
    "accuracy NaN": index_with(accuracy=float("nan")),
    "checksum a list": index_with(sha256=["x"]),
    "checksum a mapping": index_with(sha256={}),
    "checksum no file name": index_with(sha256="a\0b"),
    "key of another kind": index_with(key=None),
}


@pytest.mark.parametrize("damage", REMADE.values(), ids=REMADE.keys())
def test_an_entry_with_other_content_is_trained_again_with_a_warning(tmp_path, damage, request):
    first = train(tmp_path)
    damage(tmp_path)
    with pytest.warns(UserWarning, match="is damaged; training it again") as caught:
        again = train(tmp_path)
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    assert str(tmp_path) in str(caught[0].message)
    assert again.identifier == first.identifier
    request.getfixturevalue("no_training")
    assert train(tmp_path).identifier == first.identifier


def test_a_failed_write_leaves_no_entry(tmp_path, monkeypatch):
    def full(self, _):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(InputError, match=r"cannot write classifiers to .*: No space left on device"):
            train(tmp_path)
    assert list(tmp_path.iterdir()) == []
    train(tmp_path)  # no warning: nothing half-written was found


def test_an_unwritable_cache_is_found_before_training(tmp_path, no_training):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write classifiers to '.*file': .*; set SAGD_CACHE"):
        train(tmp_path / "file")


def test_without_a_home_there_is_a_line(monkeypatch):
    for name in ("SAGD_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def nobody(_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", classmethod(nobody))
    with pytest.raises(InputError, match=r"^no home folder to keep the feature classifier in; set SAGD_CACHE"):
        default_cache()


def test_default_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("SAGD_CACHE", raising=False)
    train(None)
    assert list((tmp_path / "xdg" / "sagd").glob("*.json"))
    monkeypatch.setenv("SAGD_CACHE", str(tmp_path / "own"))
    train(None)
    assert list((tmp_path / "own").glob("*.json"))


IMAGES, LABELS = stripes()


@pytest.mark.parametrize(
    ("images", "labels", "classes", "message"),
    [
        (IMAGES, None, 2, "needs labels and the data has none"),
        (IMAGES[..., :7], LABELS, 2, r"sides of at least 8, got \(60, 1, 8, 7\)"),
        ((IMAGES * 127).byte(), LABELS, 2, r"floating-point images .* got \(60, 1, 8, 8\) torch.uint8"),
        (IMAGES * 255, LABELS, 2, r"images must be scaled to about \[-1, 1\], got -.* to .*; rescale"),
        (IMAGES.where(IMAGES < 0.6, torch.nan), LABELS, 2, "images hold non-finite values"),
        (IMAGES[:9], LABELS[:9], 2, "at least 10 images to hold a tenth out, got 9"),
        (IMAGES, LABELS[:50], 2, r"labels must be whole numbers of shape \(60,\), got \(50,\)"),
        (IMAGES, LABELS.float(), 2, r"got \(60,\) torch.float32"),
        (IMAGES, LABELS + 1, 2, "num_classes=2 and labels 1 to 2"),
        (IMAGES, LABELS * 0, 1, "need num_classes >= 2"),
    ],
)
def test_unusable_training_sets_are_refused(tmp_path, no_training, images, labels, classes, message):
    with pytest.raises(InputError, match=message):
        ClassifierFeatures.train_or_load(images, labels, classes, tmp_path)


def test_images_of_another_kind_are_refused(tmp_path):
    extractor = train(tmp_path)
    with pytest.raises(InputError, match=r"takes images \(N, 1, 8, 8\), got \(2, 3, 8, 8\)"):
        extractor(torch.zeros(2, 3, 8, 8))
    with pytest.raises(InputError, match=r"images hold non-finite values .* first in row 1"):
        extractor(torch.tensor([0, torch.nan]).view(2, 1, 1, 1).expand(2, 1, 8, 8))
    with pytest.raises(InputError, match="floating point"):
        extractor(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))


def test_single_bright_pixels_are_no_reason_to_refuse(tmp_path):
    """Images of 16 bits are scaled by the range that all but a thousandth of their values use."""
    images, labels = stripes()
    images[0, 0, 0, 0] = 12.0
    train(tmp_path, images=images, labels=labels)
