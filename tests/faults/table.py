"""The table of docs/reliability.md: families of faults, and how many were tried and passed in the long form."""

import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
SHARDS = ROOT / "runs" / "faults"
SHARD = tuple(int(number) for number in os.environ.get("SAGD_SHARD", "1/1").split("/"))
"""Which part of how many of the long form this is."""

BEGIN, END = "<!-- written by `make faults` -->", "<!-- end -->"
HEAD = "| fault | what is done | tried | passed |\n|---|---|---|---|\n"
FAMILIES = {
    "kills": "the work ends at an event of the disk (a file opened, flushed, renamed, removed), as by SIGKILL or a"
    " power cut, and the command is given again",
    "full disks": "from each event of the disk on there is no space; commands on a disk of some hundred kilobytes",
    "damaged files": "each file of models, runs and data in turn is cut, flipped in a bit, emptied, removed, a folder,"
    " a pickle",
    "mutations": "configurations, descriptions of models and command lines are altered at random",
    "signals": "SIGINT and SIGTERM at random moments",
    "hostile data": "pipes, devices, sockets, loops of links, names that are no text, headers that claim too much,"
    " bombs, pickles",
    "surroundings": "streams that know ASCII alone, or are full or closed, no home, no user, no network",
    "company": "several processes in one directory, and one of several that train together is killed",
}
"""What is done in each family, in the order of the table."""


def write_table(counted: Sequence[tuple[str, int, int]]) -> None:
    """Write what was counted into the page, once all shards have been."""
    part, parts = SHARD
    SHARDS.mkdir(parents=True, exist_ok=True)
    (SHARDS / f"{part}-of-{parts}.json").write_text(json.dumps(list(counted)))
    paths = [SHARDS / f"{i}-of-{parts}.json" for i in range(1, parts + 1)]
    if all(path.exists() for path in paths):
        rows = table([row for path in paths for row in json.loads(path.read_text())])
        page = PAGE.read_text(encoding="utf-8")
        written = re.sub(rf"(?s)(?<={re.escape(BEGIN)}\n).*?(?={re.escape(END)})", lambda _: rows, page)
        PAGE.write_text(written, encoding="utf-8")


def table(counted: Sequence[tuple[str, int, int]]) -> str:
    """Rows of Markdown, a family each."""
    tried: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    for family, faults, good in counted:
        tried[family] += faults
        passed[family] += good
    rows = "".join(f"| {name} | {what} | {tried[name]} | {passed[name]} |\n" for name, what in FAMILIES.items())
    return HEAD + rows
