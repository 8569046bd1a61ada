"""Words, figures and tables laid out as a page of ours: one design for all of them.

Invariant: what is not markup is escaped, and a value that a template names and nobody gave is an error.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2


def render(name: str, values: Mapping[str, Any]) -> str:
    """Return the text of the page that the template `name` makes of `values`."""
    return _environment().get_template(f"{name}.html.jinja").render(values)


@cache
def _environment() -> jinja2.Environment:
    options = {"autoescape": True, "trim_blocks": True, "lstrip_blocks": True, "undefined": jinja2.StrictUndefined}
    return jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent), **options)
