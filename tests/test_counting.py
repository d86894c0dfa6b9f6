import itertools
import logging
import sys
import time

import pytest

from sagd.counting import Count, counted, counting, stage


def said(caplog):
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("shown", [True, False])
def test_a_log_has_lines_at_growing_intervals(shown, caplog, monkeypatch):
    now = itertools.count(step=0.5)
    monkeypatch.setattr("sagd.counting.time.monotonic", lambda: next(now))
    with caplog.at_level(logging.INFO), Count(2000, "sampling", "steps", shown) as steps:
        for _ in range(20):
            steps.done(100)
    lines = [
        "sampling: 400 of 2,000 steps, about 10 s left",
        "sampling: 700 of 2,000 steps, about 9 s left",
        "sampling: 1,300 of 2,000 steps, about 5 s left",
    ]
    assert said(caplog) == lines * shown


def test_work_that_takes_long_is_named_in_a_log(monkeypatch, caplog):
    monkeypatch.setattr("sagd.counting.SHORT", 0.05)
    monkeypatch.setattr("sagd.counting._GROWTH", 100)
    with caplog.at_level(logging.INFO, "sagd"):
        with stage("reading"):
            time.sleep(0.3)
        for _ in counted(range(3), "counting", "sheep"):
            time.sleep(0.04)
        with stage("hidden", shown=False):
            time.sleep(0.1)
        list(counted(range(3), "quick", "sheep"))
        with stage("quick"):
            pass
        time.sleep(0.1)
    assert said(caplog)[0] == "reading ..."
    assert said(caplog)[1:] in (["counting: 1 of 3 sheep, about 1 s left"], ["counting: 2 of 3 sheep, about 1 s left"])


def test_a_first_item_that_takes_long_is_named_too(monkeypatch, caplog):
    monkeypatch.setattr("sagd.counting.SHORT", 0.05)
    with caplog.at_level(logging.INFO, "sagd"):
        assert [time.sleep(0.3) for _ in counted([1], "counting", "sheep")] == [None]
    assert said(caplog) == ["counting: 0 of 1 sheep"]


def test_on_a_terminal_a_bar_is_shown_and_work_without_one_is_named(monkeypatch, caplog, capsys):
    monkeypatch.setattr("sagd.counting.SHORT", 0.05)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with caplog.at_level(logging.INFO, "sagd"):
        with stage("reading"):
            time.sleep(0.3)
        with stage("barred", barred=True):
            time.sleep(0.1)
        for _ in counted(range(3), "counting", "sheep"):
            time.sleep(0.2)
    assert said(caplog) == ["reading ..."]
    assert "counting" in capsys.readouterr().err


def test_nothing_is_said_of_nothing_and_of_the_end(monkeypatch, caplog):
    monkeypatch.setattr("sagd.counting.SHORT", 0.02)
    with caplog.at_level(logging.INFO, "sagd"):
        with Count(0, "none", "items"):
            time.sleep(0.1)
        with Count(1, "one", "items") as count:
            count.done()
            time.sleep(0.1)
    assert said(caplog) == []


def test_a_bar_is_there_before_the_first_item_is_done(monkeypatch, capsys):
    monkeypatch.setattr("sagd.counting.SHORT", 0.05)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Count(3, "counting", "sheep"):
        time.sleep(0.3)
        assert "counting" in capsys.readouterr().err
    with Count(3, "quick", "sheep") as count:
        count.done(3)
    assert "quick" not in capsys.readouterr().err


def test_parts_of_work_are_counted_by_one_count(monkeypatch, caplog):
    monkeypatch.setattr("sagd.counting.SHORT", 0.0)
    with caplog.at_level(logging.INFO, "sagd"), Count(4, "all", "draws") as whole:
        for _ in range(2):
            with counting(2, "part", "draws", whole) as count:
                assert count is whole
                count.done(2)
    assert {line.partition(":")[0] for line in said(caplog)} == {"all"}
