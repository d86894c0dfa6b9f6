"""One thread for small arrays, and the usual number again, whoever entered and left in which order."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from sagd.omission.quick import quick_for


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield torch.get_num_threads
    torch.set_num_threads(before)


def test_small_arrays_have_one_thread(threads):
    with quick_for(100):
        assert threads() == 1
        with quick_for(100):
            assert threads() == 1
    assert threads() == 2
    with quick_for(2**30):
        assert threads() == 2


def test_errors_leave_it_as_it_was(threads):
    with pytest.raises(ValueError, match="broken"), quick_for(1):
        raise ValueError("broken")
    assert threads() == 2


def test_who_leaves_last_leaves_as_many_as_before(threads):
    one, other = quick_for(1), quick_for(1)
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        first.submit(one.__enter__).result()
        second.submit(other.__enter__).result()
        first.submit(one.__exit__, None, None, None).result()
        second.submit(other.__exit__, None, None, None).result()
        assert [first.submit(threads).result(), second.submit(threads).result(), threads()] == [2, 2, 2]
    with ThreadPoolExecutor(1) as later:
        assert later.submit(threads).result() == 2
