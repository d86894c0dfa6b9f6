"""The table of docs/reliability.md, and how it is counted."""

import re

import pytest
from tests.faults.table import BEGIN, END, FAMILIES, HEAD, PAGE, table


def test_table_of_the_page():
    """A row for each family, in which every fault that was tried has passed."""
    text = PAGE.read_text(encoding="utf-8")
    written = text.partition(f"{BEGIN}\n")[2].partition(END)[0]
    assert written.startswith(HEAD)
    rows = re.findall(r"^\| (.*) \| (.*) \| (\d+) \| (\d+) \|$", written.removeprefix(HEAD), re.MULTILINE)
    assert [(name, what) for name, what, *_ in rows] == list(FAMILIES.items())
    assert all(int(tried) == int(passed) > 0 for *_, tried, passed in rows)


def test_counts_are_added_by_family():
    lines = table([("kills", 3, 3), ("signals", 2, 1), ("kills", 4, 4)]).splitlines()
    assert len(lines) == 2 + len(FAMILIES)
    assert lines[2].endswith("| 7 | 7 |")
    assert next(line for line in lines if line.startswith("| signals")).endswith("| 2 | 1 |")


def test_what_fails_is_counted_and_named(campaign):
    def both():
        with campaign("no family") as faults:
            with faults("first"):
                pass
            with faults("second"):
                raise ValueError("no")

    with pytest.raises(AssertionError, match="second: no"):
        both()
