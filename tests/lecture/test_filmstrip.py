"""The iteration as a strip and as a film: a frame for each stage, nothing before its time, colours that tell."""

import io

import pytest
from PIL import Image

from mlp_jax.lecture import filmstrip, scalar

TRACE = scalar.trace(0.5, 1.2, 0.8, 2.0, 1.5, 0.1)


def test_a_frame_of_the_strip_holds_what_its_stage_knows():
    figure = filmstrip.strip(TRACE)
    shown = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert len(shown) == len(scalar.stages(TRACE))
    texts = [[text.get_text() for text in axes.texts] for axes in shown]
    assert "0.146" not in texts[0]
    assert "0.146" in texts[1]
    assert "−0.648" not in texts[1]
    assert all("−0.648" in each for each in texts[2:])


def test_nodes_edges_and_what_was_freed_have_their_colours():
    figure = filmstrip.strip(TRACE)
    colors = lambda axes, said: {text.get_color() for text in axes.texts if text.get_text() == said}
    before, after = figure.axes[2], figure.axes[-1]
    assert colors(before, "−0.648") == {scalar.NODE}
    assert colors(after, "−0.648") == {scalar.RELEASED}
    assert colors(before, "−0.54") == {scalar.NODE, scalar.EDGE}  # ∂L/∂z^(3) is both
    assert len({scalar.VALUE, scalar.NODE, scalar.EDGE, scalar.RELEASED}) == 4


@pytest.mark.slow
def test_film_has_a_picture_for_each_stage(tmp_path):
    filmstrip.save_film(TRACE, tmp_path / "a" / "film.gif")
    with Image.open(tmp_path / "a" / "film.gif") as film:
        assert film.n_frames == len(scalar.stages(TRACE))
        assert film.info["loop"] == 0
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["film.gif"]
    with pytest.raises(ValueError, match=r"unknown suffix of a film '.png'"):
        filmstrip.save_film(TRACE, tmp_path / "film.png")
    again = filmstrip.film(TRACE)
    assert again == (tmp_path / "a" / "film.gif").read_bytes()
    Image.open(io.BytesIO(again)).verify()
