"""What is read ahead: the same values, errors where they belong, and no thread that stays."""

import threading
import time

import pytest
import torch

from sagd.errors import InputError
from sagd.training.ahead import RUN, Ahead


def own_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("sagd-ahead")]


class Slow:
    """The number of an item and its square; knows what was read, in which order and by whom."""

    def __init__(self, seconds=0.0, bad=()):
        self.seconds, self.bad = seconds, bad
        self.read, self.threads = [], set()

    def __call__(self, numbers):
        self.threads.add(threading.current_thread().name)
        for number in numbers.tolist():
            time.sleep(self.seconds)
            if number in self.bad:
                raise InputError(f"item {number} is bad")
            self.read.append(number)
        return numbers.float()[:, None], numbers**2


@pytest.fixture
def ahead():
    made = []

    def make(read, threads=1):
        made.append(Ahead(read, threads))
        return made[-1]

    yield make
    for one in made:
        one.close()
    assert not own_threads()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("count", [1, RUN, 5 * RUN + 3])
@pytest.mark.parametrize("begun", [True, False])
def test_what_is_taken_is_what_was_asked_for(ahead, threads, count, begun):
    indices = torch.randint(1000, (count,), generator=torch.Generator().manual_seed(count))  # some of them twice
    slow = Slow()
    one = ahead(slow, threads)
    if begun:
        one.begin(indices)
    x, squares = one.take(indices)
    assert torch.equal(x, indices.float()[:, None])
    assert torch.equal(squares, indices**2)
    assert sorted(slow.read) == sorted(indices.tolist())
    if threads == 1:
        assert slow.read == sorted(slow.read)
    assert all(name.startswith("sagd-ahead") for name in slow.threads)


def test_others_than_were_begun_are_read_all_the_same(ahead):
    slow = Slow(0.01)
    one = ahead(slow)
    one.begin(torch.arange(20 * RUN))
    assert one.take(torch.tensor([3, 1]))[1].tolist() == [9, 1]
    assert len(slow.read) <= 2 * RUN  # what was begun is given up
    one.begin(torch.tensor([5]))
    assert one.take(torch.tensor([5]))[1].tolist() == [25]


def test_work_of_others_goes_on_meanwhile(ahead):
    one = ahead(Slow(0.02), 2)
    one.begin(torch.arange(4 * RUN))
    time.sleep(1.0)
    begun = time.perf_counter()
    one.take(torch.arange(4 * RUN))
    assert time.perf_counter() - begun < 0.3


def test_errors_are_raised_when_the_items_are_taken(ahead):
    slow = Slow(bad={7, 3 * RUN})
    one = ahead(slow, 2)
    one.begin(torch.arange(4 * RUN))
    time.sleep(0.1)
    with pytest.raises(InputError, match="item 7 is bad"):
        one.take(torch.arange(4 * RUN))
    assert one.take(torch.tensor([1]))[1].tolist() == [1]


def test_closing_gives_up_what_was_begun(ahead):
    slow = Slow(0.01)
    one = ahead(slow, 2)
    one.begin(torch.arange(1000))
    begun = time.perf_counter()
    one.close()
    assert time.perf_counter() - begun < 2
    assert len(slow.read) <= 4 * RUN
    assert not own_threads()


def test_threads_end_with_whoever_has_them():
    one = Ahead(Slow())
    one.take(torch.tensor([1]))
    assert own_threads()
    thread = own_threads()[0]
    del one
    thread.join(5)
    assert not thread.is_alive()
