"""The command line: reads words, calls the library, prints what it returns. No logic of its own.

Progress goes to stderr, results to stdout; exit codes are those of `mlp_jax.entry`.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import tyro

import mlp_jax
from mlp_jax import tables
from mlp_jax.cli import entry
from mlp_jax.cli.checks import check
from mlp_jax.cli.lectures import lecture
from mlp_jax.cli.live import follow
from mlp_jax.cli.logs import Kind, logged
from mlp_jax.cli.machines import bench, compile
from mlp_jax.cli.progress import live_line
from mlp_jax.cli.studies import ASKED, study
from mlp_jax.data.options import Options
from mlp_jax.machine import cache, clocks, devices, files
from mlp_jax.model import Network
from mlp_jax.training.config import Config

DRAWN = Network(inputs=784, hidden=(128,), outputs=10)


def train(
    *,
    config: Annotated[Config, tyro.conf.arg(name="")],
    out: Path | None = None,
    resume: tyro.conf.FlagCreatePairsOff[bool] = False,
    mesh: tuple[int, int] | None = None,
    log: Kind | None = None,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """Train one network and say how good it is.

    Args:
        out: Directory for the configuration, the metrics and the checkpoints.
        resume: Go on with the run in --out from its newest checkpoint.
        mesh: 1 and how many devices share the rows of each mini-batch: all, or 1.
        log: Write curves and hyper-parameters to tensorboard/ in --out too, as training goes on.
        json: Print one JSON object on stdout.
    """
    from mlp_jax.training import run
    from mlp_jax.training.trials import Status

    if mesh is not None:
        devices.start_cpu_devices()
    cache.enable_compilation_cache()
    clock = clocks.Clock(startup=clocks.process_age())
    with entry.interrupts() as interrupted, logged(log, out) as callback, live_line(quiet=json) as show:
        told = {"progress": show, "callback": callback, "interrupted": interrupted}
        result = run.train(config, out=out, resume=resume, mesh=mesh, clock=clock, **told)
    shown = {}
    if out is not None and result.status != Status.INCOMPLETE:
        from mlp_jax.report import runs

        shown = {"report": str(runs.write(result, out))}
    entry.show(result.summary() | shown if json else "\n".join([result.table(), *map(": ".join, shown.items())]))
    return entry.interrupted(out) if result.status == Status.INCOMPLETE else 0


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
    """Print the label and the probabilities that a trained run gives to examples.

    Args:
        run: Directory that `mlp-jax train --out` wrote.
        index: Number of an example in the data set's test part.
        file: A table with the columns of the run's (names decide, not their order), a .npy file, a PNG or JPEG image.
        invert: The image has dark strokes on a light ground.
        data_dir: Where the data set is now, if not where it was.
        out: Write a CSV file with a row per prediction instead of printing them.
        json: Print one JSON object on stdout.
    """
    from mlp_jax.training import prediction

    cache.enable_compilation_cache()
    results = prediction.predict(run, index=index, file=file, invert=invert, data_dir=data_dir)
    if out is not None:
        files.replace(out, lambda path: prediction.table(results).to_csv(path, index=False))
        entry.show({"path": str(out), "count": len(results)} if json else f"{len(results):,} predictions: {out}")
        return 0
    entry.show({"predictions": [result._asdict() for result in results]} if json else "\n".join(map(str, results)))
    return 0


def export(run: Path, /, *, out: Path, json: tyro.conf.FlagCreatePairsOff[bool] = False) -> int:
    """Write a trained run as a file that needs nothing of this package.

    Args:
        run: Directory that `mlp-jax train --out` wrote.
        out: file.npz for the parameters as named arrays, or file.stablehlo for the network with its pre-processing as a
            program that jax.export reads.
        json: Print one JSON object on stdout.
    """
    from mlp_jax.training import export as exports

    path = str(exports.write(run, out))
    entry.show({"path": path} if json else path)
    return 0


def data(
    action: Literal["list", "prepare", "show"],
    name: str | None = None,
    /,
    *,
    data_dir: str | None = None,
    options: Annotated[Options, tyro.conf.arg(name="")] = ASKED,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """List the data sets there are, prepare one (download it, once), or show one: shapes, splits, class counts.

    Args:
        action: What to do.
        name: A name from the list, or a path; for prepare and show.
        data_dir: Folder with the data set's IDX files, or the folder above it.
        options: How a table or an archive is read.
        json: Print one JSON object on stdout.
    """
    from mlp_jax import data

    asked = dataclasses.asdict(options)

    if action != "list" and name is None:
        raise ValueError(f"data {action} needs the name of a data set; see mlp-jax data list")
    if action == "list":
        entries = data.catalogue()
        rows = [[entry[key] for key in ("name", "task", "source")] for entry in entries]
        entry.show({"datasets": entries} if json else tables.text((), rows))
    elif action == "prepare":
        path = str(data.prepare(str(name), data_dir=data_dir, **asked))
        entry.show({"path": path} if json else path)
    else:
        dataset = data.load(str(name), data_dir=data_dir, **asked)
        description = data.describe(dataset)
        entry.show(description if json else f"{data.sentence(dataset)}\n\n{_lines(description)}")
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
    entry.show({"path": str(out)} if json else str(out))
    return 0


def report(
    sources: tuple[Path, ...],
    /,
    *,
    target: float | None = None,
    definition: Literal["smoothed", "first-crossing"] = "smoothed",
    price: tuple[float, ...] = (),
    out: Path | None = None,
    live: tyro.conf.FlagCreatePairsOff[bool] = False,
    port: int | None = None,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """Write one page about a study, finished or running, or about several and about machines, side by side.

    Args:
        sources: Directories that `mlp-jax study` wrote, and records that `mlp-jax bench` wrote; those of `bench
            --study` predict the first study's seconds to target on their machines.
        target: Read steps to another target from the trials that are there; one that is easier to meet.
        definition: first-crossing: a trial has met the target at the first evaluation that meets it; smoothed: as the
            study has it.
        price: Of an hour of the first study's device and of that of each record of `bench --study`, in any currency.
        out: File for the page; its figures go to figures/ beside it (default: report.html, in the study if it is one).
        live: Serve the page of one study on this machine alone until the study is complete, whoever runs it; the
            address is printed on stderr.
        port: Port of the live page (default: one that is free).
        json: Print one JSON object on stdout.
    """
    from mlp_jax.report import page

    alone = len(sources) == 1 and sources[0].is_dir()
    reading = page.Reading(target, definition == "first-crossing")
    name = "-".join(
        ["report", *([f"{target:g}"] if target is not None else []), *[definition] * reading.first_crossing]
    )
    path = out or (sources[0] if alone else Path()) / f"{name}.html"
    if not live and port is not None:
        raise ValueError(f"port {port} is for the live page; add --live")
    if live and (len(sources) != 1 or sources[0].is_file() or price):
        raise ValueError("--live is for one study and no prices; name its directory alone")
    if not live:
        page.write(sources, path, reading, price)
    elif not follow(sources[0], path, reading, port):
        print("interrupted: this page ends, the study does not", file=sys.stderr)
        return 130
    entry.show({"report": str(path), **page.summaries(sources, reading, price)} if json else str(path))
    return 0


def plan(
    study: Path,
    /,
    *,
    width: float = 1.75,
    ratio: float = 1.5,
    price: float | None = None,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """Say how many trials, how much training and money a wished-for precision takes, from a study that is there.

    Args:
        study: Directory that `mlp-jax study` wrote, finished or a pilot of few rounds.
        width: The ratio of the ends of each interval of B_crit that is wished.
        ratio: The ratio of two optimizers that is to be seen, with a probability of 80 %.
        price: Of an hour of this machine, in any currency.
        json: Print one JSON object on stdout.
    """
    from mlp_jax.study import findings, forecast, read_plan, read_study

    rows = read_study(study)
    made = forecast.wishes(findings(rows, read_plan(study)), rows, width=width, ratio=ratio, price=price)
    entry.show({"study": str(study), **forecast.to_json(made)} if json else forecast.text(made))
    return 0


COMMANDS = (train, predict, export, study, plan, report, check, bench, compile, data, draw, lecture)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command of `mlp-jax` and exit with its code."""
    entry.program("mlp-jax", COMMANDS, arguments, mlp_jax.__doc__ or "")


def _lines(description: dict) -> str:
    width = max(map(len, description))
    shown = {key: value for key, value in description.items() if key not in ("columns", "why")}  # the sentence has them
    return "\n".join(f"{key:<{width}}  {value}" for key, value in shown.items())
