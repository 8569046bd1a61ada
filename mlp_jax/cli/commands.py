"""The command line: reads words, calls the library, prints what it returns. No logic of its own.

Progress goes to stderr, results to stdout; exit codes are those of `mlp_jax.entry`.
"""

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import tyro

import mlp_jax
from mlp_jax.cli import entry
from mlp_jax.cli.progress import live_line, live_table
from mlp_jax.machine import cache, clocks, devices, files, hosts
from mlp_jax.model import Network
from mlp_jax.training.config import Config

DRAWN = Network(inputs=784, hidden=(128,), outputs=10)


def _address(words: list[str]) -> str:
    """Return the address after --ray; an empty one when there is none."""
    if len(words) > 1:
        raise ValueError("one address at most")
    return words[0] if words else ""


Ray = Annotated[
    str | None,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=(0, 1),
        metavar="[ADDRESS]",
        instance_from_str=_address,
        is_instance=lambda value: value is None or isinstance(value, str),
        str_from_instance=lambda value: ["None"] if value is None else [value],
    ),
]


def train(
    *,
    config: Annotated[Config, tyro.conf.arg(name="")],
    out: Path | None = None,
    resume: tyro.conf.FlagCreatePairsOff[bool] = False,
    mesh: tuple[int, int] | None = None,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """Train one network and say how good it is.

    Args:
        out: Directory for the configuration, the metrics and the checkpoints.
        resume: Go on with the run in --out from its newest checkpoint.
        mesh: 1 and how many devices share the rows of each mini-batch: all, or 1.
        json: Print one JSON object on stdout.
    """
    from mlp_jax.training import run

    if mesh is not None:
        devices.start_cpu_devices()
    cache.enable_compilation_cache()
    clock = clocks.Clock(startup=clocks.process_age())
    with entry.interrupts() as interrupted, live_line(quiet=json) as show:
        result = run.train(
            config, out=out, resume=resume, mesh=mesh, progress=show, interrupted=interrupted, clock=clock
        )
    _print(result.summary() if json else result.table())
    return _interrupted(out) if result.status == "INCOMPLETE" else 0


def predict(
    run: Path,
    /,
    *,
    index: int | None = None,
    file: Path | None = None,
    invert: tyro.conf.FlagCreatePairsOff[bool] = False,
    data_dir: str | None = None,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """Print the label and the probabilities that a trained run gives to examples.

    Args:
        run: Directory that `mlp-jax train --out` wrote.
        index: Number of an example in the data set's test part.
        file: A .npy file with one example or several, or a PNG or JPEG image.
        invert: The image has dark strokes on a light ground.
        data_dir: Where the data set is now, if not where it was.
        json: Print one JSON object on stdout.
    """
    from mlp_jax.training import prediction

    cache.enable_compilation_cache()
    results = prediction.predict(run, index=index, file=file, invert=invert, data_dir=data_dir)
    _print({"predictions": [result._asdict() for result in results]} if json else "\n".join(map(str, results)))
    return 0


def data(
    action: Literal["list", "prepare", "show"],
    name: str | None = None,
    /,
    *,
    data_dir: str | None = None,
    target: str | None = None,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """List the data sets there are, prepare one (download it, once), or show one: shapes, splits, class counts.

    Args:
        action: What to do.
        name: A name from the list, or a path; for prepare and show.
        data_dir: Folder with the data set's IDX files, or the folder above it.
        target: The column of a CSV file to predict.
        json: Print one JSON object on stdout.
    """
    from mlp_jax import data

    if action != "list" and name is None:
        raise ValueError(f"data {action} needs the name of a data set; see mlp-jax data list")
    if action == "list":
        entries = data.catalogue()
        _print({"datasets": entries} if json else "\n".join(map(_catalogue_line, entries)))
    elif action == "prepare":
        path = str(data.prepare(str(name), data_dir=data_dir, target=target))
        _print({"path": path} if json else path)
    else:
        description = data.describe(data.load(str(name), data_dir=data_dir, target=target))
        _print(description if json else _table(description))
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
    """Draw a network as nodes and edges and as blocks: any one, or a trained one with its weights as colours.

    Args:
        run: Directory that `mlp-jax train --out` wrote; without it, the options describe the network.
        network: The network.
        out: File for the drawing: .svg, .png or .pdf.
        weights: Draw the first layer's weights as images instead; needs a run.
        json: Print one JSON object on stdout.
    """
    from mlp_jax.report import drawing
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
    _print({"path": str(out)} if json else str(out))
    return 0


def study(
    file: Path | None = None,
    /,
    *,
    dataset: str | None = None,
    data_dir: str | None = None,
    hidden: tuple[int, ...] | None = None,
    optimizers: tuple[str, ...] | None = None,
    batch_sizes: tuple[int | Literal["full"], ...] | None = None,
    points: int | None = None,
    seeds: int | None = None,
    max_steps: int | None = None,
    max_epochs: float | None = None,
    target: float | None = None,
    noise_scale: tyro.conf.FlagCreatePairsOff[bool] = False,
    ray: Ray = None,
    out: Path | None = None,
    save_config: Path | None = None,
    mesh: tuple[int, int] | None = None,
    distributed: tyro.conf.FlagCreatePairsOff[bool] = False,
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """Tune every optimizer at every batch size and say what each is best at; goes on wherever it was left.

    Args:
        file: A study.toml; options given here replace its values. Without it, a study of the digits.
        dataset: A name from `mlp-jax data list`, or a path.
        data_dir: Folder with the data set's IDX files, or the folder above it.
        hidden: Widths of the hidden layers.
        optimizers: Optimizers to compare.
        batch_sizes: Batch sizes; full is the full gradient.
        points: Number of points of each optimizer and batch size.
        seeds: Number of seeds of each point.
        max_steps: Budget of a trial in steps.
        max_epochs: Budget of a trial in epochs; the first to run out binds.
        target: Validation accuracy to reach (regression: RMSE).
        noise_scale: Measure the gradient noise scale too, in the first winner's run of each cell.
        ray: Hand the cells to the Ray cluster at host:port; without an address, to the one that runs here, or else to
            one that is started here and ends with the study. A cell takes one core, and one GPU where there are any.
        out: Directory of the study (default: runs/study- and a hash of what is asked).
        save_config: Write the study.toml of this study, and run nothing.
        mesh: How many devices of a process take trials of their own, and how many share the rows of each (default:
            chosen by the number of trials and the batch size).
        distributed: Share the study with the other processes of a cluster, each started with this same command; process
            0 alone reads and writes --out. In a cluster that JAX knows (SLURM, Open MPI, Kubernetes, TPU pods) nothing
            else is needed, elsewhere the next three.
        coordinator: HOST:PORT at which process 0 listens; all processes must come together within 60 s.
        num_processes: How many processes there are.
        process_id: Which of them this is, from 0.
        json: Print one JSON object on stdout.
    """
    from mlp_jax import study as studies
    from mlp_jax.study import places

    workload = {"dataset": dataset, "data_dir": data_dir, "hidden": hidden}
    fields = {"optimizers": optimizers, "batch_sizes": batch_sizes, "points": points, "seeds": seeds}
    fields |= {"max_steps": max_steps, "max_epochs": max_epochs, "target": target}
    fields |= {"noise_scale": noise_scale or None}
    asked = studies.changed(studies.from_file(file) if file else studies.Study(), workload, fields)
    if save_config:
        files.replace(save_config, lambda path: path.write_text(studies.to_toml(asked)))
        return 0
    devices.start_cpu_devices()
    run = places.choose(ray, mesh, distributed, coordinator, num_processes, process_id)
    cache.enable_compilation_cache()
    clock, directory = clocks.Clock(startup=clocks.process_age()), out or Path("runs") / f"study-{asked.id}"
    # what Ray has to say about nodes that died it prints on stdout
    with entry.interrupts() as interrupted, live_table(quiet=json) as show, contextlib.redirect_stdout(sys.stderr):
        outcome = run(asked, directory, progress=show, interrupted=interrupted)
    if not outcome.complete:
        return _interrupted(directory, "run the same command")
    if hosts.index() > 0:
        return 0  # process 0 has all of it
    found, path = studies.findings(studies.read_study(directory)), directory / "report.html"
    if outcome.made or not path.exists():
        from mlp_jax.report import page

        page.write((directory,), path)
    if json:
        result = {"study": str(directory), "report": str(path), "seconds": clock.seconds["total"]}
        _print(result | studies.to_json(found))
    else:
        _print(f"{studies.table(found)}\n\nstudy: {directory}\nreport: {path}")
    return 0


def report(
    sources: tuple[Path, ...],
    /,
    *,
    out: Path | None = None,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """Write one page about a study, finished or running, or about several and about machines, side by side.

    Args:
        sources: Directories that `mlp-jax study` wrote, and records that `mlp-jax bench` wrote.
        out: File for the page; its figures go to figures/ beside it (default: report.html, in the study if it is one).
        json: Print one JSON object on stdout.
    """
    from mlp_jax.report import page

    alone = len(sources) == 1 and sources[0].is_dir()
    path = page.write(sources, out or (sources[0] / "report.html" if alone else Path("report.html")))
    _print({"report": str(path), **page.summaries(sources)} if json else str(path))
    return 0


def bench(
    *,
    quick: tyro.conf.FlagCreatePairsOff[bool] = False,
    out: Path | None = None,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """Measure this machine: what training reaches at each batch size, beside what products and memory allow.

    Args:
        quick: Few and short measurements, in about 20 seconds.
        out: File for the record (default: bench-DEVICE-DATE.json, in benchmarks/results/ where that is).
        json: Print one JSON object on stdout, the record.
    """
    from mlp_jax import bench as benches

    if out:
        benches.prepare(out)
    devices.start_cpu_devices()
    record = benches.measure(benches.QUICK if quick else benches.FULL, lambda text: print(text, file=sys.stderr))
    path = out or benches.default_path(record, quick)
    benches.write(record, path)
    _print(record if json else f"{benches.table(record)}\n\nrecord: {path}")
    return 0


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command of `mlp-jax` and exit with its code."""
    entry.program("mlp-jax", (train, predict, study, report, bench, data, draw), arguments, mlp_jax.__doc__ or "")


def _interrupted(out: Path | None, again: str = "add --resume") -> int:
    saved = f"saved in {out}; {again} to go on" if out else "nothing is kept without --out"
    print(f"interrupted: {saved}", file=sys.stderr)
    return 130


def _print(result: dict | str) -> None:
    print(result if isinstance(result, str) else json.dumps(files.finite(result), allow_nan=False))


def _catalogue_line(entry: dict) -> str:
    return "  ".join(f"{entry[key]!s:<{width}}" for key, width in (("name", 20), ("task", 11), ("source", 0)))


def _table(description: dict) -> str:
    width = max(map(len, description))
    return "\n".join(f"{key:<{width}}  {value}" for key, value in description.items())
