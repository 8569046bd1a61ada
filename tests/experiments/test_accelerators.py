"""The study on every back end, in its quick form: here one CPU device against several, each in a process of its own."""

import json

import pytest

from mlp_jax.machine import devices


@pytest.fixture
def script(load_script):
    return load_script("experiments/accelerators.py")


@pytest.mark.slow
def test_the_quick_form_joins_one_device_with_several(script, tmp_path, capfd):
    options = script.Options(quick=True, out=tmp_path, figure=tmp_path / "figure.png")
    script.main(options)
    out = tmp_path / "accelerators"
    studies = sorted(path for path in out.iterdir() if (path / "study.json").exists())
    counts = [json.loads((path / "environment.json").read_text())["device_count"] for path in studies]
    if all(path.name.startswith("cpu-") for path in studies):
        assert counts == [1, 1, *[max(2, devices.cores())] * 2]
    said = capfd.readouterr().out
    assert "median [least, most] of 2 repeats" in said
    assert "\nIn 0 of 2 repeats the order of two optimizers" in said
    page = (out / "report.html").read_text(encoding="utf-8")
    assert 'id="joined-seconds"' in page
    assert options.figure.stat().st_size > 10_000
    assert all(path.name in page for path in studies if path.name.endswith("seed-0"))
    script.main(script.Options(quick=True, out=tmp_path, figure=options.figure, json=True))
    found = json.loads(capfd.readouterr().out)
    assert all(len(repeats) == 2 for repeats in found["seconds"].values())


def test_seconds_are_compared_repeat_by_repeat(script):
    one, two = ([{"tuning": value} for value in values] for values in ((2.0, 4.0, 8.0), (1.0, 3.0, 2.0)))
    head, line = script.table({"cpu-1-device": one, "gpu": two}).splitlines()
    assert [cell.strip() for cell in head.split("  ") if cell] == [
        "seconds",
        "CPU 1 device",
        "GPU",
        "GPU / CPU 1 device",
    ]
    assert [cell.strip() for cell in line.split("  ") if cell] == ["tuning", "4 [2, 8]", "2 [1, 3]", "0.5 [0.25, 0.75]"]


def found(script, monkeypatch, lines: str) -> dict:
    monkeypatch.setattr(script.subprocess, "run", lambda *_, **__: type("Done", (), {"stdout": lines, "returncode": 0}))
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


def test_what_a_child_ends_with_ends_the_script(script, monkeypatch):
    ends = iter((2, 130, 0))
    child = type("Child", (), {"__init__": lambda *_, **__: None, "wait": lambda *_: next(ends)})
    monkeypatch.setattr(script.subprocess, "Popen", child)
    with pytest.raises(ValueError, match=r"mlp_jax study x … ended with exit code 2"):
        script.run({}, "study", "x")
    with pytest.raises(SystemExit, match="130"):
        script.run({}, "study", "x")
    script.run({}, "study", "x")
