"""The lecture as a page: nothing outside it is needed, what was run stands in it."""

import re

import pytest

from mlp_jax.lecture import lessons, page
from mlp_jax.lecture.knobs import Knobs

ASKED = ("L3", "L9", "L14", "L20")


@pytest.fixture(scope="module")
def shown():
    return [(lesson, lessons.run(lesson, Knobs())) for lesson in map(lessons.find, ASKED)]


@pytest.mark.slow
def test_html_is_one_file_that_needs_nothing_else(shown, tmp_path):
    text = page.write(shown, tmp_path / "lecture.html").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["lecture.html"]
    assert re.findall(r"<h2 id='(L\d+)'", text) == list(ASKED)
    links = re.findall(r"(?:src|href)=[\"']([^\"']*)", text)
    assert all(link.startswith(("data:", "#")) for link in links)
    assert text.count("<svg") == 2
    assert "data:image/gif;base64," in text
    assert "Shusen Wang" in text
    assert "222.9" in text


@pytest.mark.slow
def test_markdown_has_its_figures_beside_it(shown, tmp_path):
    text = page.write(shown, tmp_path / "lecture.md").read_text()
    named = re.findall(r"!\[[^]]*\]\(([^)]*)\)", text)
    assert named == ["lecture_figures/L14.png", "lecture_figures/L14.gif", "lecture_figures/L20.png"]
    assert all((tmp_path / name).stat().st_size > 1000 for name in named)
    assert text.count("```") == 4 * len(ASKED)


def test_a_place_that_will_not_do_is_refused_first(tmp_path):
    with pytest.raises(ValueError, match=r"is no page; name a file that ends in .html or .md"):
        page.check(tmp_path / "lecture.pdf")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="name another place"):
        page.check(tmp_path / "file" / "lecture.html")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(OSError, match="it is a directory; name a file"):
        page.check(tmp_path / "folder.html")
