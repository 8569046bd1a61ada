"""Pages are laid out by templates that escape what is no markup and leave nothing out unsaid."""

import jinja2
import pytest

from mlp_jax.report import template
from mlp_jax.report.listings import Table, of_number, of_text

EMPTY = {"title": "a < b", "cautions": [], "blocks": [], "sections": [], "several": False, "labels": [],
         "environment": [], "live": False, "again": "mlp-jax report 'a & b'"}  # fmt: skip


def test_text_is_escaped_and_stands_in_the_one_design():
    text = template.render("page", EMPTY)
    assert "<h1>a &lt; b</h1>" in text
    assert "a &amp; b" in text
    assert text.startswith("<!doctype html>")
    assert "prefers-color-scheme: dark" in text


def test_a_value_that_nobody_gave_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="cautions"):
        template.render("page", {name: value for name, value in EMPTY.items() if name != "cautions"})


def test_a_table_can_be_sorted_and_scrolled_by_keyboard():
    table = Table("Cells", "Note.", ["name", "B"], [[of_text("<sgd>"), of_number(8)]])
    block = {"title": "All", "sentences": ["One."], "figures": [], "tables": [table]}
    text = template.render("page", EMPTY | {"blocks": [block]})
    assert '<th scope="col"><button type="button">name</button></th>' in text
    assert 'role="region" aria-label="Cells" tabindex="0"' in text
    assert '<td data-key="8.0" class="number">8</td>' in text
    assert "&lt;sgd&gt;" in text
