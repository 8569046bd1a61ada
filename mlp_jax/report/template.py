"""Words, figures and tables laid out as a page of ours: one design for all of them.

Invariant: what is not markup is escaped, and a value that a template names and nobody gave is an error.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from mlp_jax.machine import controls

POLICY = "POLICY"  # where the template leaves room for it


def render(name: str, values: Mapping[str, Any]) -> str:
    """Return the text of the page that the template `name` makes of `values`.

    No script runs in it but its own, and nothing is loaded, but by a live page from where it came. Characters that
    would change what other text looks like are written as codes.
    """
    text = controls.shown(_environment().get_template(f"{name}.html.jinja").render(values))
    return text.replace(POLICY, _policy(text, bool(values.get("live"))), 1)


def _policy(text: str, live: bool) -> str:
    """Return what a browser may do with a page: run the scripts that are in it now, and show what is in the file.

    A `live` page may ask whoever served it for more.
    """
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    sums = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts]
    allowed = " ".join(f"'sha256-{each}'" for each in sums) or "'none'"
    inside = "img-src data:; style-src 'unsafe-inline'"  # drawings are styled element by element
    asks = "; connect-src 'self'" if live else ""
    return f"default-src 'none'; script-src {allowed}; {inside}; base-uri 'none'; form-action 'none'{asks}"


@cache
def _environment() -> jinja2.Environment:
    options = {"autoescape": True, "trim_blocks": True, "lstrip_blocks": True, "undefined": jinja2.StrictUndefined}
    return jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent), **options)
