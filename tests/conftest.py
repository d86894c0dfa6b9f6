"""Shared set-up of the suite."""

import pytest

# Failures inside the shipped contracts then show the compared values.
pytest.register_assert_rewrite("sagd.testing")
