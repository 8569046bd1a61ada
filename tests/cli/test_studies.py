"""A study that a command or a script runs: found once, kept, and nothing returned where it is not whole."""

from mlp_jax import Config
from mlp_jax.cli import studies
from mlp_jax.study import Study

STUDY = Study(
    workload=Config(dataset="iris", hidden=()),
    optimizers=("sgd",),
    batch_sizes=(8,),
    method="halton",
    points=2,
    seeds=1,
    max_steps=40,
)


def test_what_is_there_is_found_again_and_its_page_is_left_alone(tmp_path, capsys):
    assert not studies.find(STUDY, tmp_path, interrupted=lambda: True, quiet=True).complete
    _, found, page = studies.find(STUDY, tmp_path, quiet=True)
    assert found is not None
    assert page is not None
    assert list(found.scaling) == ["sgd"]
    page.write_text("as it was")
    again = studies.find(STUDY, tmp_path, quiet=True).findings
    assert again is not None
    assert again.cells.equals(found.cells)
    assert page.read_text() == "as it was"
    page.unlink()
    studies.find(STUDY, tmp_path, quiet=True)
    assert "<svg" in page.read_text()
    assert capsys.readouterr().out == ""
