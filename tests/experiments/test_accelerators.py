"""The study on every back end, in its quick form: here one CPU device against several, each in a process of its own."""

import json

import pytest

from mlp_jax.machine import devices


@pytest.fixture
def script(load_script):
    return load_script("experiments/accelerators.py")


@pytest.mark.slow
def test_the_quick_form_joins_one_device_with_several(script, tmp_path, capfd):
    script.main(script.Options(quick=True, out=tmp_path, figure=tmp_path / "figure.png"))
    studies = sorted(path for path in tmp_path.iterdir() if (path / "study.json").exists())
    counts = [json.loads((path / "environment.json").read_text())["device_count"] for path in studies]
    if len(counts) == 2 and all(path.name.startswith("cpu-") for path in studies):
        assert counts == [1, max(2, devices.cores())]
    said = capfd.readouterr().out
    assert "First to finish is" in said
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'id="joined-seconds"' in page
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    assert all(path.name in page for path in studies)


def found(script, monkeypatch, lines: str) -> dict:
    monkeypatch.setattr(script.subprocess, "run", lambda *_, **__: type("Done", (), {"stdout": lines, "returncode": 2}))
    return script.back_ends()


def test_the_cpu_alone_is_compared_with_itself(script, monkeypatch):
    monkeypatch.setattr(script.devices, "cores", lambda: 4)
    there = found(script, monkeypatch, "cpu 1\n")
    assert list(there) == ["cpu-1-device", "cpu-4-devices"]
    assert there["cpu-4-devices"]["JAX_NUM_CPU_DEVICES"] == "4"


def test_every_back_end_is_run_where_there_are_several(script, monkeypatch):
    assert found(script, monkeypatch, "gpu 2\ncpu 1\n") == {
        "gpu": {"JAX_PLATFORMS": "gpu"},
        "cpu": {"JAX_PLATFORMS": "cpu"},
    }
    with pytest.raises(ValueError, match=r"mlp_jax study x … ended with exit code 2"):
        script.run({}, "study", "x")
