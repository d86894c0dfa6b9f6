import math
import random
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from sagd.data.corruption import Corruption
from sagd.data.signals import SignalReader
from sagd.errors import DataMismatchError, InputError
from sagd.training.batches import Shuffled, as_batch, batches_of, in_single


def shuffled(data, size, seed, flip=False, rank=0, world=1):
    return Shuffled(SignalReader(data, seed, flip, rank), size, seed, rank, world)


@pytest.mark.parametrize("batch_size", [1, 6, 7, 40])
def test_every_epoch_shows_every_image_once_in_another_order(data, batch_size):
    batches = shuffled(data, batch_size, seed=0)
    steps = 3 * len(data) // batch_size + 1
    sequence = torch.cat([batches.indices(step) for step in range(1, steps + 1)])[: 3 * len(data)]
    epochs = sequence.reshape(3, len(data))
    assert torch.equal(epochs.sort(dim=1).values, torch.arange(len(data)).expand(3, -1))
    assert not torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[1], epochs[2])


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_the_batch_of_one(data, world):
    whole = shuffled(data, 12, seed=1)
    shares = [shuffled(data, 12, seed=1, rank=rank, world=world) for rank in range(world)]
    for step in range(1, 9):
        assert torch.equal(torch.cat([share.indices(step) for share in shares]), whole.indices(step))


def test_a_batch_depends_on_seed_and_step_alone(data):
    def batch(seed, step, before=()):
        batches = shuffled(data, 8, seed=seed, flip=True)
        for earlier in before:
            batches(earlier)
        return batches(step)

    x, told = batch(0, 9)
    again, told_again = batch(0, 9, before=(1, 2, 30, 8))
    assert torch.equal(x, again)
    assert torch.equal(told.labels, told_again.labels)
    assert not torch.equal(x, batch(1, 9)[0])
    assert not torch.equal(x, batch(0, 10)[0])


def test_flips_are_half_of_the_images_and_differ_between_processes(data):
    plain = shuffled(data, 40, seed=0)
    flipping = shuffled(data, 40, seed=0, flip=True)
    flipped = 0
    for step in range(1, 26):
        x, mirrored = plain(step)[0], flipping(step)[0]
        is_same = (x == mirrored).flatten(1).all(1)
        is_flipped = (x.flip(-1) == mirrored).flatten(1).all(1)
        assert (is_same | is_flipped).all()
        flipped += int((is_flipped & ~is_same).sum())
    # 1000 fair flips (no image is its own mirror image): 500 +- 4 standard deviations of 15.8.
    assert 437 < flipped < 563
    ranks = [shuffled(data, 40, seed=0, flip=True, rank=rank, world=2) for rank in (0, 1)]
    choices = [(b(1)[0] == data.batch(b.indices(1))[0]).flatten(1).all(1) for b in ranks]
    assert not torch.equal(*choices)


class Augmented(torch.utils.data.Dataset):
    """Fields that are flipped, or not, whenever they are read; the first readings of an item may well agree."""

    def __init__(self, fields, share):
        self.fields, self.share, self.flips = fields, share, torch.Generator().manual_seed(0)

    def __len__(self):
        return len(self.fields)

    def __getitem__(self, i):
        x = self.fields[i]
        return x.flip(-1) if i and torch.rand((), generator=self.flips) < self.share else x


@pytest.mark.parametrize("share", [0.5, 0.05])
def test_data_that_changes_as_it_is_read_is_not_taken_for_other_data(share):
    x = torch.randn(24, 1, 8, generator=torch.Generator().manual_seed(1))
    batches = batches_of(Augmented(x, share), 8, seed=0)
    for step in range(1, 3 + 1):
        batches(step)
    early, _ = batches.snapshot()
    for step in range(4, 31):
        batches(step)
    assert not batches.snapshot()[0]["digests"].any()
    resumed = batches_of(Augmented(x, 0.5), 8, seed=0)
    resumed.restore({"digests": early["digests"].clone()}, None)
    for step in range(4, 31):
        resumed(step)


def test_an_item_that_changed_between_two_runs_is_noticed_when_its_turn_comes():
    x = torch.randn(64, 1, 8, generator=torch.Generator().manual_seed(1))
    first = batches_of(x, 64, seed=0)
    first(1)
    other = x.clone()
    other[1] += 1  # not among the items that are read again first
    resumed = batches_of(other, 64, seed=0)
    resumed.restore(first.snapshot()[0], None)
    with pytest.raises(DataMismatchError, match="item 1 of the data is not what the run was started with"):
        resumed(2)


class Loader:
    """Batches of 4 numbered fields, five in a pass; knows how many it has given."""

    def __init__(self):
        self.at = 0

    def __iter__(self):
        while self.at < 5:
            self.at += 1
            yield torch.arange(4 * (self.at - 1), 4 * self.at).float().reshape(4, 1, 1)
        self.at = 0

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


def numbers(batch):
    return batch[0].flatten().int().tolist()


def test_what_a_loader_is_measured_on_ends_with_the_loader():
    batches = batches_of(Loader(), 4, 0)
    assert numbers(batches.peek()) == [0, 1, 2, 3]
    assert numbers(batches.some(6, 0)) == list(range(6))
    assert numbers(batches.some(1000, 0)) == list(range(20))
    assert numbers(batches.some(1000, 0)) == list(range(20))
    # A batch stays a batch, and no step misses one.
    assert numbers(batches.peek()) == [0, 1, 2, 3]
    assert [numbers(batches(step))[0] for step in range(1, 9)] == [0, 4, 8, 12, 16, 0, 4, 8]


@pytest.mark.parametrize("ahead", [1, 9, 1000])
@pytest.mark.parametrize("done", range(9))
def test_a_loader_that_was_read_ahead_goes_on_where_its_steps_were(ahead, done):
    whole, first, resumed = (batches_of(Loader(), 4, 0) for _ in range(3))
    first.some(ahead, 0)
    for step in range(1, done + 1):
        assert numbers(first(step)) == numbers(whole(step))
    resumed.some(ahead, 0)
    resumed.restore(*first.snapshot())
    for step in range(done + 1, done + 13):
        assert numbers(resumed(step)) == numbers(whole(step))


class Drawing:
    """A loader that draws from every global generator."""

    def __iter__(self):
        for _ in range(3):
            drawn = [random.random(), np.random.rand(), float(torch.rand(()))]
            yield torch.tensor([drawn], dtype=torch.float64)[:, None]


def test_what_a_loader_draws_depends_on_seed_step_and_process_alone():
    def drawn(seed, rank):
        batches = batches_of(Drawing(), 1, seed, rank, 2)
        return torch.cat([batches(step)[0] for step in range(1, 5)])

    one = drawn(0, 0)
    random.seed(7), np.random.seed(7), torch.manual_seed(7)
    state = torch.get_rng_state()
    assert torch.equal(drawn(0, 0), one)
    assert torch.equal(torch.get_rng_state(), state)
    others = torch.stack([one, drawn(1, 0), drawn(0, 1)]).flatten(0, 1)[:, 0]
    assert all(len(column.unique()) == 12 for column in others.T)


def test_items_one_after_the_other_are_no_batches():
    class Stream(torch.utils.data.IterableDataset):
        def __len__(self):
            return 3

        def __iter__(self):
            return iter(torch.zeros(3, 1, 8, 8))

    with pytest.raises(InputError, match=r"Stream gives items, not batches; give .*DataLoader\(data, batch_size=2\)"):
        batches_of(Stream(), 2, 0)


IMAGES, SOUNDS = torch.zeros(8, 3, 16, 16), torch.zeros(8, 1, 64)


@pytest.mark.parametrize(
    "data",
    [
        [IMAGES, IMAGES],
        [IMAGES[:, :1]] * 20,
        [SOUNDS, SOUNDS],
        (IMAGES, torch.zeros(8).long()),
        [(IMAGES, torch.zeros(8).long())] * 20,
        [(torch.zeros(8, 16, 4, 4), torch.zeros(8).long())] * 20,
        [{"image": IMAGES, "label": torch.zeros(8).long()}] * 20,
        [IMAGES.numpy()] * 20,
    ],
)
def test_a_list_of_batches_is_no_list_of_items(data):
    with pytest.raises(
        InputError, match=r"first item, \(8, .*\), looks like a batch .*: join them by torch\.cat"
    ) as told:
        batches_of(data, 2, 0)
    assert "left out" not in str(told.value)


@pytest.mark.parametrize("shape", [(1, 64), (2, 4), (3, 16, 16), (1, 4, 4, 6), (3, 4, 16, 16), (16, 8, 8), (4, 4, 4)])
def test_a_list_of_items_is_read_as_that(shape):
    x = torch.rand(6, *shape)
    for data in (
        list(x),
        [(a, torch.tensor(1)) for a in x],
        list(x.numpy()),
        [{"x": a, "embedding": torch.zeros(len(a))} for a in x],
    ):
        assert batches_of(data, 2, 0)(1)[0].shape == (2, *shape)


def test_hashes_of_images_in_memory_are_those_of_each(data, monkeypatch):
    monkeypatch.setattr("sagd.data.signals._HASHED", 7)
    indices = torch.tensor([3, 39, 0])
    _, found = SignalReader(data, 0).read(indices, 1)
    assert torch.equal(found, data.digests(data.values(indices), indices))


class OnDemand:
    """Fields of a tensor that are read when they are asked for, by whom is noted; some cannot be."""

    def __init__(self, stored, threads=1, bad=()):
        self.stored, self.threads, self.bad = stored, threads, bad
        self.shape, self.readers = stored.shape, []

    def __len__(self):
        return len(self.stored)

    def __getitem__(self, indices):
        self.readers.append(threading.current_thread().name)
        if set(indices.tolist()) & set(self.bad):
            raise InputError("a field cannot be read")
        return self.stored[indices]


def on_demand(data, **options):
    return replace(data, stored=OnDemand(data.stored, **options))


def training(data, steps, corruption=None, seed=0):
    """Fields, conditions and hashes of the steps of a loop that expects each batch but the first."""
    batches = shuffled(replace(data, corruption=corruption), 7, seed, flip=True)
    found = []
    for step in range(1, steps + 1):
        found.append(batches(step))
        batches.expect(step + 1)
        random.random(), np.random.random(), torch.rand(3)
    batches.close()
    return found, batches.snapshot()[0]["digests"]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("corruption", [None, Corruption.parse("rain(level=0.4)")])
def test_what_is_read_ahead_is_what_is_in_memory(data, threads, corruption):
    """Two epochs and a half, which ends of batches lie across."""
    lazy = on_demand(data, threads=threads)
    (memory, hashed), (read, hashed_so) = (training(d, 15, corruption) for d in (data, lazy))
    for (x, told), (y, told_so) in zip(memory, read, strict=True):
        assert torch.equal(x, y)
        assert torch.equal(told.labels, told_so.labels)
    assert torch.equal(hashed, hashed_so)
    assert all(name.startswith("sagd-ahead") for name in lazy.stored.readers)


def test_reading_ahead_leaves_global_generators_alone(data):
    def drawn(data):
        random.seed(1), np.random.seed(1), torch.manual_seed(1)
        batches = shuffled(data, 8, 0)
        values = []
        for step in range(1, 6):
            batches(step)
            batches.expect(step + 1)
            values.append((random.random(), np.random.random(), torch.rand(()).item()))
        batches.close()
        return values

    assert drawn(data) == drawn(on_demand(data))


def test_an_item_that_cannot_be_read_stops_the_step_it_belongs_to(data):
    batches = shuffled(on_demand(data), 8, 0)
    bad = int(batches.indices(3)[5])
    batches.reader.data.stored.bad = (bad,)
    for step in (1, 2):
        batches(step)
        batches.expect(step + 1)
    with pytest.raises(InputError, match="a field cannot be read"):
        batches(3)
    batches.close()


def test_a_run_that_read_ahead_is_resumed_bit_for_bit(data):
    whole = training(data, 9)[0]
    first = shuffled(on_demand(data), 7, 0, flip=True)
    for step in range(1, 5):
        first(step)
        first.expect(step + 1)
    kept = first.snapshot()
    first.close()
    resumed = shuffled(on_demand(data), 7, 0, flip=True)
    resumed.restore(*kept)
    for step in range(5, 10):
        assert torch.equal(resumed(step)[0], whole[step - 1][0])
        resumed.expect(step + 1)
    resumed.close()


def test_fields_in_memory_need_no_threads(data):
    batches = shuffled(data, 8, 0)
    batches(1)
    batches.expect(2)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sagd-ahead")]


@pytest.mark.parametrize(("offset", "scale"), [(1e6, 1e-2), (1e9, 1.0), (0.0, 1e39), (0.0, 1e-300)])
def test_what_single_precision_does_not_tell_apart_is_refused(offset, scale):
    x = offset + scale * torch.randn(8, 1, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with pytest.raises(
        InputError, match=r"^the batch holds values from .* to .*, which single precision does not tell"
    ):
        as_batch(x)


@pytest.mark.parametrize("offset", [0.3, 1000.0])
def test_fields_that_are_blank_but_for_rounding_are_taken(offset):
    x = offset * (1 + 1e-15 * torch.arange(8, dtype=torch.float64).reshape(1, 1, 8))
    torch.testing.assert_close(as_batch(x)[0], torch.full((1, 1, 8), offset))


def test_whole_numbers_that_single_precision_does_not_tell_apart_are_refused():
    with pytest.raises(InputError, match="which single precision does not tell"):
        in_single(torch.arange(8) + 2**40, "the data")


@pytest.mark.parametrize("value", [0.1, 0.0, math.nan, math.inf])
def test_constant_and_missing_values_are_taken_as_they_are(value):
    x = torch.full((2, 1, 4), value, dtype=torch.float64)
    torch.testing.assert_close(as_batch(x)[0], x.float(), equal_nan=True)
