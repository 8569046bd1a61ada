"""The command line: reads words, calls the library, prints what it returns. No logic of its own.

Progress goes to stderr, results to stdout; exit codes are those of `mlp_jax.cli.entry`.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import tyro

import mlp_jax
from mlp_jax import tables
from mlp_jax.cli import entry, signals
from mlp_jax.cli.checks import check
from mlp_jax.cli.lectures import lecture
from mlp_jax.cli.live import follow
from mlp_jax.cli.logs import Kind, logged
from mlp_jax.cli.machines import bench, compile
from mlp_jax.cli.progress import live_line
from mlp_jax.cli.runs import draw, export, predict
from mlp_jax.cli.studies import ASKED, study
from mlp_jax.data.options import Options
from mlp_jax.machine import cache, clocks, devices
from mlp_jax.training.config import Config


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

    Without options it trains a network with one hidden layer of 128 units on the digits that scikit-learn ships.

      mlp-jax train --hidden 64 32 --optimizer adam --epochs 10
      mlp-jax train --dataset table.csv --column price --out runs/houses
      mlp-jax train --hidden --batch-size full            the softmax classifier, full gradient

    Args:
        out: Directory for the configuration, the metrics and the checkpoints (default: keep nothing).
        resume: Go on with the run in --out from its newest checkpoint; with --schedule constant to a larger budget too.
        mesh: The number 1, and the number of devices that share the rows of each mini-batch: all of them, or 1
            (default: all for large mini-batches).
        log: Write curves and hyper-parameters to tensorboard/ in --out too, as training goes on.
        json: Print one JSON object on stdout.
    """
    from mlp_jax.training import run
    from mlp_jax.training.trials import Status

    if mesh is not None:
        devices.start_cpu_devices()
    cache.enable_compilation_cache()
    clock = clocks.Clock(startup=clocks.process_age())
    with signals.interrupts() as interrupted, logged(log, out) as callback, live_line(quiet=json) as show:
        told = {"progress": show, "callback": callback, "interrupted": interrupted}
        result = run.train(config, out=out, resume=resume, mesh=mesh, clock=clock, **told)
    shown = {}
    if out is not None and result.status != Status.INCOMPLETE:
        from mlp_jax.report import runs

        shown = {"report": str(runs.write(result, out))}
    entry.show(result.summary() | shown if json else "\n".join([result.table(), *map(": ".join, shown.items())]))
    return entry.interrupted(out) if result.status == Status.INCOMPLETE else 0


def data(
    action: Literal["list", "prepare", "show"],
    name: str | None = None,
    /,
    *,
    data_dir: str | None = None,
    options: Annotated[Options, tyro.conf.arg(name="")] = ASKED,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """List the data sets, download one (prepare), or say what is in one (show).

    `show` prints shapes, splits and class counts, and what each column of a table is taken for.

      mlp-jax data list
      mlp-jax data show table.csv --column price

    Args:
        action: What to do: list, prepare or show.
        name: For prepare and show: a name from the list, or a path.
        data_dir: Folder with the data set's IDX files, or the folder above it (default: $MLP_JAX_DATA_DIR).
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
    """Write an HTML page about studies and machines, side by side; it opens without a network.

    A study may still be running. Records that `mlp-jax bench --study` wrote on other machines predict the seconds that
    the first study would take there.

      mlp-jax report runs/study-0123456789abcdef
      mlp-jax report runs/mine runs/yours bench-study-h100.json --price 0.2 3.5

    Args:
        sources: Directories that `mlp-jax study` wrote, and records that `mlp-jax bench` wrote.
        target: Count the steps to this target instead, from the same trials; it must be easier to reach.
        definition: When a trial has met the target. first-crossing: at the first evaluation that meets it; smoothed: by
            several evaluations together, as in the study.
        price: Price of an hour of the first study's device, then of that of each record of `bench --study`, in any
            currency.
        out: File for the page; figures go to figures/ beside it (default: report.html, in the study if there is one).
        live: Serve the page of one study, to this machine alone, until the study is complete, wherever it runs; the
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
    """Say how many trials, how much training and money a desired precision would take.

    It is computed from an existing study, which may be a pilot with few rounds.

      mlp-jax plan runs/study-0123456789abcdef --width 1.5 --price 0.2

    Args:
        study: Directory that `mlp-jax study` wrote.
        width: How narrow the interval of each critical batch size should be: its upper end divided by its lower end.
        ratio: Which ratio between the steps of two optimizers should be seen, in 4 of 5 studies.
        price: Price of an hour of this machine, in any currency (default: count no money).
        json: Print one JSON object on stdout.
    """
    from mlp_jax.study import findings, forecast, read_plan, read_study

    rows = read_study(study)
    made = forecast.wishes(findings(rows, read_plan(study)), rows, width=width, ratio=ratio, price=price)
    entry.show({"study": str(study), **forecast.to_json(made)} if json else forecast.text(made))
    return 0


ABOUT = f"""{mlp_jax.__doc__}

words:
  trial     one training run: one setting of the hyper-parameters, one seed
  point     one setting of the hyper-parameters
  cell      one optimizer at one batch size, with all its trials
  target    what a trial must reach, such as 95 % validation accuracy
  study     tunes every cell, and counts the steps that it needs to the target
  critical batch size
            up to it a larger batch saves steps nearly in proportion, beyond it
            hardly

examples:
  mlp-jax train --hidden 64 32           how good is one network on the digits?
  mlp-jax study --optimizers sgd adam    which needs fewer steps at which batch?
  mlp-jax report runs/study-01234567     a page with figures about a study

`mlp-jax COMMAND --help` explains the options of a command.
"""

COMMANDS = (train, predict, export, study, plan, report, check, bench, compile, data, draw, lecture)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command of `mlp-jax` and exit with its code."""
    entry.program("mlp-jax", COMMANDS, arguments, ABOUT)


def _lines(description: dict) -> str:
    width = max(map(len, description))
    shown = {key: value for key, value in description.items() if key not in ("columns", "why")}  # the sentence has them
    return "\n".join(f"{key:<{width}}  {value}" for key, value in shown.items())
