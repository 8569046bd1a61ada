"""What is logged beside runs and studies is asked by --log, and refused before training where it can't be."""

from pathlib import Path

import pytest

from mlp_jax import cli
from mlp_jax.cli import logs
from mlp_jax.report import tensorboard

pytest.importorskip("tensorboard")


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        cli.main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


@pytest.mark.slow
def test_a_run_is_logged_beside_it(tmp_path: Path, capsys) -> None:
    out = tmp_path / "run"
    assert (
        call("train", "--dataset", "iris", "--hidden", "4", "--steps", "8", "--out", out, "--log", "tensorboard") == 0
    )
    assert f"report: {out / 'report.html'}" in capsys.readouterr().out
    assert len(list((out / "tensorboard" / "momentum-B32-0").glob("*tfevents*"))) == 1


def test_a_log_needs_a_place_and_its_package(tmp_path: Path, capsys, monkeypatch) -> None:
    assert call("train", "--dataset", "iris", "--log", "tensorboard") == 2
    assert "--log tensorboard writes beside the run; give --out too" in capsys.readouterr().err

    def absent() -> None:
        raise ValueError(tensorboard.NEEDED)

    monkeypatch.setattr(tensorboard, "check_installed", absent)
    for command in ("train", "study"):
        assert call(command, "--dataset", "iris", "--out", tmp_path / "new", "--log", "tensorboard") == 2
        assert "pip install 'mlp-jax[tensorboard]'" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_what_is_not_asked_is_not_logged(tmp_path: Path) -> None:
    with logs.logged(None, None) as callback:
        assert callback is None
    logs.check(None)
    assert logs.log_study(None, tmp_path) == ""
    assert not list(tmp_path.iterdir())
