"""Write a trained run as a file that does not need this package: its arrays, or a program with pre-processing.

Invariant: a program takes examples in the data set's own units, one per row, and returns what the run would predict.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from mlp_jax import model
from mlp_jax.machine import files
from mlp_jax.training import prediction
from mlp_jax.training.prediction import Trained

KINDS = (".npz", ".stablehlo")
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def write(run: Path | str, out: Path | str) -> Path:
    """Write the trained network of a run as file.npz or file.stablehlo, and return its path.

    .npz has W1, b1, W2, … (z = Wx + b; no b if the network has none), center and scale of the features, target_center
    and target_scale, and the names of the classes, the activation and the output's function. .stablehlo can be read by
    `jax.export.deserialize`: its `call` takes float64 of (n, features), which needs jax_enable_x64, and returns
    `logits` (the values before the output's function) and `outputs` (probabilities, or values in the target's unit).

    Raises:
        ValueError: there is no run, nothing was saved in it, the file has another suffix, or flatbuffers is missing.
        OSError: the file can't be written.
    """
    path = Path(out)
    if path.suffix not in KINDS:
        raise ValueError(f"{path} is not a file to export to; give one that ends in {' or '.join(KINDS)}")
    if path.suffix == ".stablehlo" and find_spec("flatbuffers") is None:
        raise ValueError("a program is written with flatbuffers, which is not here; pip install 'mlp-jax[export]'")
    trained = prediction.read(Path(run))
    if path.suffix == ".npz":
        files.replace(path, lambda to: _write_arrays(to, arrays(trained)))
    else:
        data = program(trained)
        files.replace(path, lambda to: to.write_bytes(data))
    return path


def arrays(trained: Trained) -> dict[str, Any]:
    """Return the arrays and names that describe a trained network."""
    layers = enumerate(trained.params, 1)
    named = {f"{name}{k}": np.asarray(array) for k, layer in layers for name, array in layer._asdict().items()}
    known = {name: np.asarray(trained.data[name]) for name in ("center", "scale", "target_center", "target_scale")}
    words = {name: np.array(getattr(trained.network, name)) for name in ("activation", "output", "bias")}
    present = {name: array for name, array in named.items() if array.dtype != object}  # no b is None
    return present | known | words | {"classes": np.array(trained.data["classes"], str)}


def program(trained: Trained) -> bytes:
    """Return the program of a trained network for any number of rows, serialised by `jax.export`."""
    network, data = trained.network, trained.data
    params = jax.tree.map(np.asarray, trained.params)

    def predict(x: jax.Array) -> dict[str, jax.Array]:
        seen = ((x - np.asarray(data["center"], float)) * np.asarray(data["scale"], float)).astype(jnp.float32)
        logits = jax.vmap(lambda one: model.forward(network, params, one))(seen)
        outputs = jax.vmap(lambda z: model.output(network, z))(logits)
        if not data["classes"]:
            outputs = outputs.astype(x.dtype) * data["target_scale"] + data["target_center"]
        return {"logits": logits, "outputs": outputs}

    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        rows = jax.export.symbolic_shape("n")[0]
        shape = jax.ShapeDtypeStruct((rows, network.inputs), jnp.float64)
        return bytes(jax.export.export(jax.jit(predict), platforms=PLATFORMS)(shape).serialize())


def _write_arrays(path: Path, named: dict[str, Any]) -> None:
    with path.open("wb") as file:  # given a path, NumPy would add .npz
        np.savez(file, **named)
