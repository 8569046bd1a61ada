"""Lay out words, figures and tables as a page, with one design for all pages.

Invariant: what is not markup is escaped, and a value that a template needs but does not get is an error.
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

POLICY = "POLICY"  # the template's place for it


def render(name: str, values: Mapping[str, Any]) -> str:
    """Return the text of the page that the template `name` makes from `values`.

    A browser runs no scripts but those of the page and loads nothing; only a live page asks its server for more.
    Characters that would change how other text looks are written as codes.
    """
    text = controls.shown(_environment().get_template(f"{name}.html.jinja").render(values))
    return text.replace(POLICY, _policy(text, bool(values.get("live"))), 1)


def _policy(text: str, live: bool) -> str:
    """Return the policy of a page for browsers: run only the scripts in this text, show only what is in the file.

    A `live` page may also send requests to its server.
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
