"""The HTML templates of the reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagd.optional import need


def fill(name: str, values: Mapping[str, Any]) -> str:
    """The page that a template of this package makes of `values`; what is not among them is an error."""
    need("jinja2")
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("sagd", "report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(name).render(values)
