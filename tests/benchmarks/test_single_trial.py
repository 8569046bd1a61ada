import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "single_trial.py"


def run(*options: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(SCRIPT), "--quick", *options], capture_output=True, text=True)


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("benchmarks/single_trial.py")


@pytest.mark.slow
def test_json_is_one_object_with_every_contender():
    result = run("--json", "--batch-sizes", "1", "32", "--without", "torch_compile")
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert set(record) == {"batch", "environment"}
    assert set(record["batch"]) == {"1", "32"}
    torch, sklearn = (importlib.util.find_spec(name) is not None for name in ("torch", "sklearn"))
    for row in record["batch"].values():
        assert set(row) == {"us", "torch_eager", "torch_compile", "sklearn", "ratio"}
        assert row["us"] > 0
        assert (row["torch_eager"] is not None) == torch
        assert (row["sklearn"] is not None) == sklearn
        assert row["torch_compile"] is None
        for name, ratio in row["ratio"].items():
            assert ratio == pytest.approx(row[name] / row["us"], rel=0.01)
    assert record["environment"]["device_kind"] == jax.devices()[0].device_kind
    assert {"jax", "torch", "scikit-learn", "cores", "date"} <= set(record["environment"])


@pytest.mark.slow
def test_a_missing_contender_is_none_and_a_note(script, monkeypatch, capsys):
    def missing(*_):
        raise ImportError("No module named 'torch'")

    monkeypatch.setitem(script.CONTENDERS, "torch_eager", missing)
    monkeypatch.setattr(script.contenders, "ROWS", 200)
    record = script.measure((8,), ["us", "torch_eager"], rounds=1, seconds=0.001)
    assert record["batch"]["8"]["torch_eager"] is None
    assert record["batch"]["8"]["us"] > 0
    assert "torch_eager is left out at batch size 8: No module named 'torch'" in capsys.readouterr().err
    assert "–" in script.table(record)


@pytest.mark.slow
def test_another_network_is_refused(script, monkeypatch):
    other = script.Contender(loss=lambda: 2.0, run=lambda count: None)
    monkeypatch.setitem(script.CONTENDERS, "sklearn", lambda *_: other)
    monkeypatch.setattr(script.contenders, "ROWS", 200)
    x, y = script.contenders.noise()
    with pytest.raises(ValueError, match=r"sklearn computes the loss 2\.0000000 where mlp_jax computes"):
        script.prepare(["us", "sklearn"], 8, x, y)


def test_the_record_is_named_by_device_and_date(script, monkeypatch, tmp_path):
    monkeypatch.setattr(script.records, "RESULTS", tmp_path / "results")
    path = script.records.write(
        "single_trial", {"batch": {}, "environment": {"device_kind": "NVIDIA H100", "date": "2026-01-02"}}
    )
    assert path.name == "single_trial-nvidia-h100-2026-01-02.json"
    assert json.loads(path.read_text())["batch"] == {}
