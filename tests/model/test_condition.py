"""Conditions: what they read, how they are cut, filled and dropped, and what is refused in one line."""

import pickle

import pytest
import torch

from sagd.errors import InputError
from sagd.model.condition import Condition

LABELS = torch.tensor([3, 1, 4])
IMAGE = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))


def both():
    return Condition.of({"labels": LABELS, "image": IMAGE})


def test_forms():
    assert not Condition.of(None)
    assert len(Condition.of(None)) == 0
    bare = Condition.of(LABELS)
    assert bare.labels is LABELS
    assert len(bare) == 3
    whole = both()
    assert Condition.of(whole) is whole
    assert whole.names == ("labels", "image")
    assert "image" in whole
    assert whole["image"] is IMAGE
    assert Condition.of({"image": IMAGE}).labels is None


def test_it_is_passed_on_by_name():
    assert (lambda x, **told: told)(0, **both()) == {"labels": LABELS, "image": IMAGE}


@pytest.mark.parametrize("part", [slice(1, 3), torch.tensor([1, 2]), [1, 2]], ids=["slice", "tensor", "list"])
def test_some_samples(part):
    some = both()[part]
    assert some.labels.tolist() == [1, 4]
    assert torch.equal(some["image"], IMAGE[1:])
    assert not Condition()[part]


def test_one_sample_for_many():
    many = both()[:1].expand(5)
    assert many.labels.tolist() == [3] * 5
    assert many["image"].shape == (5, 2, 4, 4)


def test_names_are_joined_and_left_out():
    joined = Condition.of(LABELS) | {"image": IMAGE} | {"labels": LABELS + 1}
    assert joined.labels.tolist() == [4, 2, 5]
    assert joined.without(["labels"]).names == ("image",)


def test_what_is_missing_is_filled_with_nothing():
    null = {"labels": torch.tensor(9), "embedding": torch.zeros(5)}
    filled = Condition.of(LABELS).filled(null, 3)
    assert filled.labels is LABELS
    assert filled["embedding"].shape == (3, 5)
    assert Condition().filled(null, 2).labels.tolist() == [9, 9]


def test_dropping_is_by_sample_and_of_what_may_be_left_out():
    told = Condition.of({"labels": LABELS, "embedding": torch.ones(3, 2, 5), "image": IMAGE})
    null = {"labels": torch.tensor(9), "embedding": torch.zeros(2, 5)}
    dropped = told.dropped(torch.tensor([True, False, True]), null)
    assert dropped.labels.tolist() == [9, 1, 9]
    assert dropped["embedding"].mean((1, 2)).tolist() == [0, 1, 0]
    assert torch.equal(dropped["image"], IMAGE)
    assert told.labels.tolist() == [3, 1, 4]


def test_devices_and_files():
    assert both().to("meta")["image"].device.type == "meta"
    again = pickle.loads(pickle.dumps(both()))
    assert again.labels.tolist() == LABELS.tolist()
    assert repr(again) == "Condition(labels (3,) int64, image (3, 2, 4, 4) float32)"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "a mapping of names to tensors, or a tensor of class numbers, got int"),
        ([1, 2], "got list"),
        (torch.randn(3, 5), r"labels must be whole numbers, one per sample, got shape \(3, 5\) and type float32; name"),
        (torch.tensor(3), "condition 'labels' must be a tensor with one value per sample, got a tensor without axes"),
        (torch.tensor([True]), "got shape .* and type bool"),
        ({"labels": [1, 2]}, "condition 'labels' must be a tensor with one value per sample, got list"),
        ({"labels": LABELS, "image": IMAGE[:2]}, "one value per sample of each name, got 3 labels, 2 image"),
        ({3: LABELS}, "names of a condition are those of arguments, like 'labels', got 3"),
        ({"no name": LABELS}, "got 'no name'"),
    ],
)
def test_what_is_no_condition(value, message):
    with pytest.raises(InputError, match=message) as refused:
        Condition.of(value)
    assert "\n" not in str(refused.value)
