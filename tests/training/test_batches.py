import pytest
import torch

from sagd.data.dataset import ImageReader
from sagd.training.batches import Shuffled


def shuffled(data, size, seed, flip=False, rank=0, world=1):
    return Shuffled(ImageReader(data, seed, flip, rank), size, seed, rank, world)


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
