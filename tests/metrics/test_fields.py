"""Sets of fields: chosen and masked without a copy, in batches whose size changes nothing."""

import math

import pytest
import torch

from sagd.errors import InputError
from sagd.metrics import fields as module
from sagd.metrics.fields import Fields, channel_scale, field_sets


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def small(monkeypatch):
    """Batches of three fields of 16 values."""
    monkeypatch.setattr(module, "_VALUES", 50)


def test_what_is_chosen_comes_in_its_order_and_in_batches(small):
    x, index = draw(20, 1, 4, 4), torch.tensor([7, 3, 11, 0, 5, 19, 2])
    chosen = Fields(x).taken(index)
    batches = [batch for batch, _ in chosen.batches()]
    assert [len(b) for b in batches] == [3, 3, 1]
    assert torch.equal(torch.cat(batches), x[index].double())
    assert torch.equal(torch.cat(list(chosen[2:5].rows())), x[index[2:5]])
    assert torch.equal(torch.cat(list(chosen[4:].taken(torch.tensor([2, 0])).rows())), x[[2, 5]])
    assert len(chosen[1:]) == 6


def test_no_view_holds_a_copy():
    x = draw(8, 1, 4)
    assert next(Fields(x).rows()).data_ptr() == x.data_ptr()


def test_masked_places_may_hold_anything(small):
    x = draw(5, 2, 4)
    mask = torch.ones(5, 1, 4, dtype=torch.bool)
    mask[1, 0, 2:] = False
    spoilt = torch.where(mask, x, torch.nan)
    got = torch.cat([batch for batch, _ in Fields(spoilt, mask).batches()])
    assert torch.equal(got, torch.where(mask, x, 0).double())
    filled = torch.cat(list(Fields(spoilt, mask).rows(torch.tensor([1.0, -1.0]))))
    assert filled[1, :, 2:].tolist() == [[1, 1], [-1, -1]]
    with pytest.raises(InputError, match="images hold non-finite values"):
        list(Fields(spoilt).batches())


@pytest.mark.parametrize("masked", [False, True])
def test_scale_of_channels(small, masked):
    x = 3 * draw(9, 2, 4, 4) + torch.tensor([1e4, -2.0]).reshape(2, 1, 1)
    mask = draw(9, 2, 4, 4, seed=1) > -0.5 if masked else None
    got = channel_scale(Fields(x, mask))
    for c in range(2):
        values = x[:, c].double() if mask is None else x[:, c][mask[:, c]].double()
        expected = [values.mean(), values.std(), values.min(), values.max()]
        assert [float(v[c]) for v in vars(got).values()] == pytest.approx([float(e) for e in expected], rel=1e-9)


def test_equal_values_have_no_spread():
    assert channel_scale(Fields(torch.full((5, 1, 3), 0.1))).std.tolist() == [0.0]


def test_channels_need_two_valid_values():
    mask = torch.zeros(5, 1, 3, dtype=torch.bool)
    with pytest.raises(InputError, match="channel 0 has 0 valid values"):
        channel_scale(Fields(draw(5, 1, 3), mask))


@pytest.mark.parametrize(
    "mask", [torch.ones(5, 1, 3), torch.ones(4, 1, 3, dtype=torch.bool), torch.ones(5, 3, 3, dtype=torch.bool)]
)
def test_masks_that_do_not_fit_are_refused(mask):
    with pytest.raises(InputError, match=r"the mask of fields \(5, 2, 3\) must be bool"):
        Fields(draw(5, 2, 3), mask)


def test_pairs_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"samples \(5, 1, 3\) and reference \(5, 1, 4\) must both be"):
        field_sets(draw(5, 1, 3), draw(5, 1, 4))
    with pytest.raises(InputError, match="must each hold at least 6"):
        field_sets(draw(5, 1, 3), draw(9, 1, 3), least=6)
    assert math.isfinite(float(channel_scale(field_sets(draw(5, 1, 3), draw(9, 1, 3))[1]).std))
