"""Results as lines of JSON, kept as they come: a kill costs the line that was being written at most."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read(path: Path) -> list[dict[str, Any]]:
    """The lines so far; one that a kill cut short is left out, and a file that is not there has none."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line; one that was cut short is ended first."""
    text = json.dumps(line, allow_nan=False) + "\n"
    cut_short = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" + text if cut_short else text)
