"""What is exported says without this package what the run says with it."""

import subprocess
import sys

import numpy as np
import pytest

from mlp_jax.training import export, prediction, run
from mlp_jax.training.config import Config

ALONE = """
import sys
sys.modules["mlp_jax"] = None
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
x, out = np.load(sys.argv[2]), sys.argv[3]
if sys.argv[1].endswith(".npz"):
    net = np.load(sys.argv[1])
    z = (x - net["center"]) * net["scale"]
    for k in range(1, 1 + sum(name.startswith("W") for name in net)):
        z = (np.maximum(z, 0) if k > 1 else z) @ net[f"W{k}"].T.astype(float) + net[f"b{k}"]
    np.savez(out, logits=z)
else:
    with open(sys.argv[1], "rb") as file:
        np.savez(out, **jax.export.deserialize(bytearray(file.read())).call(x))
"""


@pytest.mark.parametrize("kind", [".npz", ".stablehlo"])
@pytest.mark.parametrize("dataset", ["iris", pytest.param("diabetes", marks=pytest.mark.slow)])
def test_it_says_the_same_where_this_package_is_not(tmp_path, kind, dataset):
    if kind == ".stablehlo":
        pytest.importorskip("flatbuffers")
    trained = run.train(Config(dataset=dataset, hidden=(8,), steps=50), out=tmp_path / "run")
    x = trained.dataset.test.x.astype(np.float64)
    np.save(tmp_path / "x.npy", x)
    export.write(tmp_path / "run", tmp_path / f"net{kind}")
    paths = [str(tmp_path / name) for name in (f"net{kind}", "x.npy", "out.npz")]
    done = subprocess.run([sys.executable, "-c", ALONE, *paths], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "out.npz")
    logits = prediction._forward(prediction.read(tmp_path / "run"), x)
    np.testing.assert_allclose(found["logits"], logits, rtol=1e-6, atol=1e-5 if kind == ".npz" else 1e-6)
    if kind == ".stablehlo":
        said = prediction.predict(tmp_path / "run", file=tmp_path / "x.npy")
        expected = [list(one.probabilities.values()) if one.probabilities else [one.label] for one in said]
        np.testing.assert_allclose(found["outputs"], expected, rtol=1e-5)


def test_a_program_without_flatbuffers_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="which is not here; pip install"):
        export.write(tmp_path, tmp_path / "net.stablehlo")


def test_what_can_not_be_exported_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"net.onnx is not a file to export to; give one that ends in .npz or .stable"):
        export.write(tmp_path, tmp_path / "net.onnx")
    with pytest.raises((ValueError, OSError), match="run"):
        export.write(tmp_path / "no run", tmp_path / "net.npz")
