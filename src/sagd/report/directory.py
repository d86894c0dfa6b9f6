"""The report of a comparison's directory."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from sagd.errors import InputError
from sagd.paths import read_bytes, require_file
from sagd.report.render import render


def render_directory(out: Path) -> Path:
    """Draw `out/report.html` from `out/results.json` and `out/arrays.safetensors`; returns its path.

    Raises:
        InputError: If either file is missing or unreadable, or the page cannot be written.
    """
    try:
        results = json.loads(read_bytes(out / "results.json"))
        require_file(out / "arrays.safetensors")
        arrays = load_file(out / "arrays.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{str(out)!r} holds no finished comparison ({error}); run sagd compare") from None
    page = out / "report.html"
    render(results, arrays, page)
    return page
