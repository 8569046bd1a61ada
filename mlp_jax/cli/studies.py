"""A study from start to end: run it with its progress shown, write its page, return what it found.

Invariant: what exists already is neither made nor written again.
"""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import tyro

from mlp_jax.cli import entry, logs, signals
from mlp_jax.cli.logs import Kind
from mlp_jax.cli.progress import live_table
from mlp_jax.data.options import Options
from mlp_jax.machine import cache, clocks, devices, files, hosts
from mlp_jax.report import seal
from mlp_jax.study import Findings, Study

ASKED = Options()
SELF_TESTS, SELF_TEST_RESAMPLES = 40, 200
MOST_ROUNDS = 7


class Found(NamedTuple):
    """How a study ended here: whether it is complete; in the process that keeps its parts, also the findings."""

    complete: bool
    findings: Findings | None = None
    page: Path | None = None


def find(
    study: Study,
    out: Path,
    *,
    run: Callable | None = None,
    interrupted: Callable[[], bool] = lambda: False,
    quiet: bool = False,
    write: bool = True,
) -> Found:
    """Run the missing parts of `study` in `out`, and return the findings of the whole study and the page about it.

    Args:
        run: the function that runs the study (default: `mlp_jax.study.run`).
        quiet: show no progress.
        write: write the page, if it is not up to date.

    Raises:
        ValueError, OSError: as `run`.
    """
    from mlp_jax import study as studies

    # Ray prints messages about dead nodes on stdout
    with live_table(quiet=quiet) as show, contextlib.redirect_stdout(sys.stderr):
        outcome = (run or studies.run)(study, out, progress=show, interrupted=interrupted)
    if not outcome.complete or hosts.index() > 0:
        return Found(outcome.complete)
    (histories, read), path = studies.read_histories(out), out / "report.html"
    found = studies.findings(histories, read.study)
    if write and seal.made_from(path) != seal.state([read.state]):  # a killed process may leave an older one
        from mlp_jax.report import page

        page.write((out,), path)
    for folder in (out, path.parent / "figures"):
        files.remove_leftovers(folder)  # left by a process that was killed while it wrote the page
    return Found(True, found, path)


def find_until(study: Study, out: Path, width: float, most: int, **how: Any) -> tuple[Found, str]:
    """Add rounds to `study` until each B_crit is known within a factor `width`; return the findings and a sentence.

    Args:
        most: the most rounds of any optimizer.
        how: as for `find`.

    Raises:
        ValueError, OSError: as `find`, or this study can't be run for a width.
    """
    from mlp_jax.study import until

    last = Found(False)

    def look(asked: Study) -> Findings | None:
        nonlocal last
        last = find(asked, out, write=False, **how)
        return last.findings

    reached = until.reach(study, width, most, look)
    if reached is None:
        return last, ""
    (out / "report.html").unlink(missing_ok=True)  # it is about fewer rounds
    return find(reached.study, out, **how), until.said(reached)


def self_test(json: bool) -> int:
    """Draw studies from the tables in the package, and print how often their intervals contain the truth."""
    from mlp_jax import tables
    from mlp_jax.analysis import selftest, testbed

    found = selftest.score(testbed.shipped(), SELF_TESTS, resamples=SELF_TEST_RESAMPLES)
    if json:
        entry.show(found)
        return 0
    heads = ("optimizer", "S", "S_min", "E_min", "B_crit", "exponent", "B_crit high/low", "equals called different")
    keys = ("steps", "s_min", "e_min", "b_crit", "exponent", "b_crit_high_over_low", "equals_called_different")
    shown = lambda value: "–" if value is None else f"{value:g}"
    rows = [(name, *(shown(of[key]) for key in keys)) for name, of in found["optimizers"].items()]
    said = f"how often (%) a 95 % interval holds the truth, in {SELF_TESTS} studies drawn from real trials on digits"
    entry.show(f"{said}:\n\n{tables.text(heads, rows)}")
    return 0


def _watched(
    live: bool, directory: Path, port: int | None
) -> contextlib.AbstractContextManager[Callable[[Path], object]]:
    """Serve the page of a study while it runs, if asked to, from the process that keeps its parts."""
    if port is not None and not live:
        raise ValueError(f"port {port} is for the live page; add --live")
    if not live or hosts.index() > 0:
        return contextlib.nullcontext(lambda page: None)
    from mlp_jax.cli.live import beside

    return beside(directory, port)


def _address(words: list[str]) -> str:
    """Return the address after --ray, or "" if there is none."""
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


def study(
    file: Path | None = None,
    /,
    *,
    dataset: str | None = None,
    data_dir: str | None = None,
    options: Annotated[Options, tyro.conf.arg(name="")] = ASKED,
    hidden: tuple[int, ...] | None = None,
    optimizers: tuple[str, ...] | None = None,
    batch_sizes: tuple[int | Literal["full"], ...] | None = None,
    schedule: str | None = None,
    method: str | None = None,
    rounds: int | None = None,
    points: int | None = None,
    seeds: int | None = None,
    fresh_seeds: int | None = None,
    max_steps: int | None = None,
    max_epochs: float | None = None,
    target: float | None = None,
    target_metric: Literal["accuracy", "rmse", "loss"] | None = None,
    seed: int | None = None,
    noise_scale: tyro.conf.FlagCreatePairsOff[bool] = False,
    until: float | None = None,
    selftest: tyro.conf.FlagCreatePairsOff[bool] = False,
    ray: Ray = None,
    out: Path | None = None,
    live: tyro.conf.FlagCreatePairsOff[bool] = False,
    port: int | None = None,
    log: Kind | None = None,
    save_config: Path | None = None,
    mesh: tuple[int, int] | None = None,
    distributed: tyro.conf.FlagCreatePairsOff[bool] = False,
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """Tune every optimizer at every batch size, and say what each is best at.

    The same command continues a study that was stopped. With the same --out, a study grows by more optimizers, batch
    sizes, rounds or fresh seeds.

      mlp-jax study                             the digits, four optimizers
      mlp-jax study --optimizers momentum adam --batch-sizes 8 64 512 --until 1.75
      mlp-jax study study.toml --out results

    Args:
        file: A study.toml; options that are given here replace its values (default: a study of the digits).
        dataset: A name from `mlp-jax data list`, or a path (default: digits).
        data_dir: Folder with the data set's IDX files, or the folder above it (default: $MLP_JAX_DATA_DIR).
        options: How a table or an archive is read.
        hidden: Widths of the hidden layers (default: 64).
        optimizers: Optimizers to compare; one of your own as my_package.my_module:NAME (default: sgd momentum adagrad
            rmsprop).
        batch_sizes: Batch sizes; full is the full gradient (default: 1 8 64 512 full, as far as the data go).
        schedule: How the learning rate falls by the end of a trial's budget: linear, cosine, exponential or step
            (default: constant).
        method: How a cell is tuned. rounds: 10 trials over the search space, then rounds of 6 around the best; halton,
            sobol or grid: a search of points that share seeds (default: rounds).
        rounds: Number of rounds after the first 10 trials (default: 3).
        points: Number of points of each cell, for a search (default: 8).
        seeds: Number of seeds of each point, for a search (default: 3).
        fresh_seeds: Number of seeds with which the best point of each cell is run again (default: 5).
        max_steps: Budget of a trial in steps, within which it must first reach the target (default: 40000).
        max_epochs: The same in passes over the data; the first to run out ends a trial (default: 300).
        target: Validation accuracy to reach (default: 0.95); for a regression the RMSE, which must be given.
        target_metric: What the target is compared with (default: the accuracy, or the RMSE of a regression).
        seed: Seed of everything that is random; another seed makes a replicate (default: 0).
        noise_scale: Measure the gradient noise scale too, in the runs of each best point.
        until: Add rounds until the upper end of the interval of each critical batch size is at most this many times its
            lower end, such as 1.75. --rounds limits the number of rounds (default: 7).
        selftest: Run no study, but draw 40 from real trials and say how often their intervals hold the truth.
        ray: Hand the cells to the Ray cluster at this address, or without one to the cluster that runs here, or else to
            one that is started for this study. A cell takes one core, and one GPU where there are any.
        out: Directory of the study (default: runs/study- and a hash of what is asked).
        live: Serve the page on this machine alone while the study runs; the address is printed on stderr.
        port: Port of the live page (default: one that is free).
        log: Write curves and hyper-parameters of each winner's runs to tensorboard/ in --out too.
        save_config: Write the study.toml of this study, and run nothing.
        mesh: Number of devices that take trials of their own, and number of devices that share the rows of each
            mini-batch (default: chosen by the number of trials and the batch size).
        distributed: Share the study with the other processes of a cluster, each started with this same command; process
            0 alone reads and writes --out. A cluster that JAX knows (SLURM, Open MPI, Kubernetes, TPU pods) needs no
            other option, others need the next three.
        coordinator: Address at which process 0 listens; all processes must come together within 60 s.
        num_processes: Number of processes.
        process_id: Number of this process, from 0.
        json: Print one JSON object on stdout.
    """
    from mlp_jax import study as studies
    from mlp_jax.study import places

    if selftest:
        return self_test(json)
    logs.check(log)
    given = {name: v for name, v in vars(options).items() if v != getattr(ASKED, name)}
    workload = {"dataset": dataset, "data_dir": data_dir, "hidden": hidden, **given}
    fields = {"optimizers": optimizers, "batch_sizes": batch_sizes, "method": method, "rounds": rounds}
    fields |= {"points": points, "seeds": seeds, "fresh_seeds": fresh_seeds, "max_steps": max_steps, "seed": seed}
    fields |= {"schedule": schedule}
    fields |= {"max_epochs": max_epochs, "target": target, "target_metric": target_metric}
    fields |= {"noise_scale": noise_scale or None}
    asked = studies.changed(studies.from_file(file) if file else studies.Study(), workload, fields)
    if save_config:
        files.replace(save_config, lambda path: path.write_text(studies.to_toml(asked), encoding="utf-8"))
        return 0
    devices.start_cpu_devices()
    run = places.choose(ray, mesh, distributed, coordinator, num_processes, process_id)
    cache.enable_compilation_cache()
    clock, directory = clocks.Clock(startup=clocks.process_age()), out or Path("runs") / f"study-{asked.id}"
    took = ""
    with signals.interrupts() as interrupted, _watched(live, directory, port) as finish:
        how = {"run": run, "interrupted": interrupted, "quiet": json}
        if until is None:
            found = find(asked, directory, **how)
        else:
            found, took = find_until(asked, directory, until, rounds or MOST_ROUNDS, **how)
        if found.page:
            finish(found.page)
    if not found.complete:
        return entry.interrupted(directory, "run the same command")
    if found.findings is None:
        return 0  # process 0 has all of it
    written = logs.log_study(log, directory)
    if json:
        result = {"study": str(directory), "report": str(found.page), "seconds": clock.seconds["total"]}
        result |= {name: said for name, said in (("until", took), ("log", written)) if said}
        entry.show(result | studies.to_json(found.findings))
    else:
        paths = f"study: {directory}\nreport: {found.page}" + (f"\nlog: {written}" if written else "")
        parts = (studies.table(found.findings), took, paths)
        entry.show("\n\n".join(filter(None, parts)))
    return 0
