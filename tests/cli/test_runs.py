"""The commands about a trained run, and drawings of any network."""

import contextlib
import json

import pytest

from mlp_jax.cli import commands
from mlp_jax.training import loop

QUICK = ("--hidden", "16", "--epochs", "2", "--evaluations", "2")


@pytest.mark.slow
def test_draw(call, refused, tmp_path):
    run, out = tmp_path / "run", tmp_path / "network.png"
    assert call("draw", "--inputs", "3", "--hidden", "4", "4", "--outputs", "2", "--out", out).out == f"{out}\n"
    plain = out.read_bytes()
    assert plain.startswith(b"\x89PNG")
    call("train", *QUICK, "--out", run)
    assert json.loads(call("draw", run, "--out", out, "--json").out) == {"path": str(out)}
    assert out.read_bytes() != plain
    assert call("draw", run, "--weights", "--out", tmp_path / "weights.svg").code == 0
    assert "<svg" in (tmp_path / "weights.svg").read_text()
    assert "--weights needs a run" in refused("draw", "--weights")
    assert "leave out the options that describe another" in refused("draw", run, "--hidden", "7")
    assert "svg" in refused("draw", "--out", tmp_path / "network.gif")
    assert "unknown activation 'rlu'" in refused("draw", "--activation", "rlu")
    assert "holds no run" in refused("draw", tmp_path / "none")


def stopped(monkeypatch):
    monkeypatch.setattr(commands.signals, "interrupts", lambda: contextlib.nullcontext(lambda: True))


def killed(monkeypatch):
    def end(*_):
        raise OSError("as if it were killed")

    monkeypatch.setattr(loop.Loop, "_run", end)


@pytest.mark.parametrize(("ended", "code"), [(stopped, 130), (killed, 2)])
def test_the_page_of_a_run_goes_where_the_run_has_gone_on_and_has_not_ended(call, tmp_path, monkeypatch, ended, code):
    asked = ("train", "--dataset", "iris", "--hidden", "4", "--schedule", "constant", "--out", tmp_path / "run")
    assert call(*asked, "--steps", "4").code == 0
    assert (tmp_path / "run" / "report.html").exists()
    ended(monkeypatch)
    assert call(*asked, "--steps", "8", "--resume").code == code
    assert not (tmp_path / "run" / "report.html").exists()
