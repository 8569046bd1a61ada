"""Pages are laid out by templates that escape what is no markup and leave nothing out unsaid."""

import base64
import hashlib
import re

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


@pytest.mark.parametrize("live", [False, True])
def test_a_browser_may_run_the_pages_own_scripts_and_load_nothing(live):
    text = template.render("page", EMPTY | {"live": live})
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="(.*?)">', text)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    sums = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert rules.pop("script-src").split() == [f"'sha256-{each}'" for each in sums]
    assert rules.pop("connect-src", None) == ("'self'" if live else None)
    assert rules.pop("style-src") == "'unsafe-inline'"
    assert rules.pop("img-src") == "data:"
    assert set(rules.values()) == {"'none'"}
    assert {"default-src", "base-uri", "form-action"} == set(rules)


def test_a_name_can_not_turn_the_text_after_it_around():
    text = template.render("page", EMPTY | {"title": "a\u202eb\u2066c\x1bd"})
    assert "<h1>a\\u202eb\\u2066c\\u001bd</h1>" in text


def test_a_long_table_is_folded():
    rows = [[of_text("sgd"), of_number(size)] for size in range(1, 62)]
    folded, open_ = (
        template.render(
            "page", EMPTY | {"blocks": [{"title": "All", "sentences": [], "figures": [], "tables": [table]}]}
        )
        for table in (Table("Cells", "Note.", ["name", "B"], rows), Table("Cells", "Note.", ["name", "B"], rows[:60]))
    )
    assert "<details><summary>All 61 rows</summary>" in folded
    assert folded.count("<details") == folded.count("</details>") == 1
    assert "<details" not in open_
