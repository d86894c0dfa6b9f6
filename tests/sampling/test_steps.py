import itertools
import logging

import pytest

from sagd.sampling.steps import Steps


@pytest.mark.parametrize("shown", [True, False])
def test_a_log_has_lines_at_growing_intervals(shown, caplog, monkeypatch):
    now = itertools.count()
    monkeypatch.setattr("sagd.sampling.steps.time.monotonic", lambda: float(next(now)))
    with caplog.at_level(logging.INFO), Steps(10, "sampling", shown) as steps:
        for _ in range(10):
            steps.done()
    lines = [record.message for record in caplog.records]
    assert (
        lines
        == [
            "sampling: step 2 of 10, about 8 s left",
            "sampling: step 4 of 10, about 6 s left",
            "sampling: step 7 of 10, about 3 s left",
        ]
        * shown
    )
