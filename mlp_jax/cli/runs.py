"""The commands about a trained run: predict with it, export it, draw it."""

import gzip
from pathlib import Path
from typing import Annotated

import tyro

from mlp_jax.cli import entry
from mlp_jax.machine import cache, files
from mlp_jax.model import Network

DRAWN = Network(inputs=784, hidden=(128,), outputs=10)


def predict(
    run: Path,
    /,
    *,
    index: int | None = None,
    file: Path | None = None,
    invert: tyro.conf.FlagCreatePairsOff[bool] = False,
    data_dir: str | None = None,
    out: Path | None = None,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """Predict with a trained run: the label and the probabilities of examples.

      mlp-jax predict runs/a --index 7
      mlp-jax predict runs/houses --file new.csv --out predictions.csv

    Args:
        run: Directory that `mlp-jax train --out` wrote.
        index: Number of an example in the test part of the run's data set, from 0.
        file: A table with the same column names as the run's, in any order; a .npy file; a PNG or JPEG image.
        invert: Invert the image first: it has dark strokes on a light ground.
        data_dir: Folder in which the data set is now (default: where it was in training).
        out: Write the predictions to this CSV file, a row each, instead of printing them; .csv.gz is compressed.
        json: Print one JSON object on stdout.
    """
    from mlp_jax.training import prediction

    cache.enable_compilation_cache()
    results = prediction.predict(run, index=index, file=file, invert=invert, data_dir=data_dir)
    if out is not None:
        rows = prediction.table(results).to_csv(index=False).encode()
        content = gzip.compress(rows, mtime=0) if out.suffix.lower() == ".gz" else rows
        files.replace(out, lambda path: path.write_bytes(content))
        entry.show({"path": str(out), "count": len(results)} if json else f"{len(results):,} predictions: {out}")
        return 0
    entry.show({"predictions": [result._asdict() for result in results]} if json else "\n".join(map(str, results)))
    return 0


def export(run: Path, /, *, out: Path, json: tyro.conf.FlagCreatePairsOff[bool] = False) -> int:
    """Write a trained network as a file that other programs read without this package.

    Args:
        run: Directory that `mlp-jax train --out` wrote.
        out: Name of the file: .npz for the parameters as named arrays, .stablehlo for the network and its
            pre-processing as a program that jax.export reads.
        json: Print one JSON object on stdout.
    """
    from mlp_jax.training import export as exports

    path = str(exports.write(run, out))
    entry.show({"path": path} if json else path)
    return 0


def draw(
    run: Path | None = None,
    /,
    *,
    network: Annotated[Network, tyro.conf.arg(name="")] = DRAWN,
    out: Path = Path("network.svg"),
    weights: tyro.conf.FlagCreatePairsOff[bool] = False,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """Draw a network as nodes and edges, and as blocks.

    A trained network is drawn with its weights as colours; without a run, the options describe the network.

      mlp-jax draw --inputs 4 --hidden 3 2 --outputs 1 --out small.svg
      mlp-jax draw runs/a --weights

    Args:
        run: Directory that `mlp-jax train --out` wrote (default: draw what the options describe).
        network: The network.
        out: File for the drawing: .svg, .png or .pdf.
        weights: Draw the weights of a run's first layer as images instead.
        json: Print one JSON object on stdout.
    """
    from mlp_jax import drawing
    from mlp_jax.training import prediction

    if run is None and weights:
        raise ValueError("--weights needs a run; name a directory that mlp-jax train --out wrote")
    if run is not None and network != DRAWN:
        raise ValueError(f"the network is that of {run}; leave out the options that describe another")
    if run is None:
        figure = drawing.network(network)
    else:
        trained = prediction.read(run)
        shape = tuple(trained.data["shape"])
        figure = drawing.weights(trained.params, shape) if weights else drawing.network(trained.network, trained.params)
    drawing.save(figure, out)
    entry.show({"path": str(out)} if json else str(out))
    return 0
