"""Shared set-up of the suite."""

import inspect

import pytest

# Failures inside the shipped contracts then show the compared values.
pytest.register_assert_rewrite("sagd.testing")

_BITS = ("torch.equal(", "read_bytes() ==", "hexdigest()", "tobytes()", "resume=True", "bit_for_bit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that assert equal bits, which `make test-bits` runs under several kinds of arithmetic.

    Those that do so through helpers bear the mark themselves.
    """
    for item in items:
        if isinstance(item, pytest.Function) and any(text in inspect.getsource(item.function) for text in _BITS):
            item.add_marker(pytest.mark.bits)
