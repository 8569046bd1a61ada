"""The report of studies and machines: one HTML file that needs no other, and its figures as files beside it.

Invariant: the page shows whatever results exist, however few; nothing in it refers to another file.
"""

import math
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from mlp_jax.drawing import canvas
from mlp_jax.machine import files
from mlp_jax.report import (
    answer,
    figures,
    joined,
    leading,
    listings,
    machines,
    noise,
    predicted,
    responses,
    seal,
)
from mlp_jax.report.entries import Entry, devices, labelled, read, records
from mlp_jax.report.machines import Machine
from mlp_jax.report.predicted import Device
from mlp_jax.report.progress import boxes, failures
from mlp_jax.report.reading import AS_ASKED, Reading
from mlp_jax.report.template import render
from mlp_jax.study import plan, toml
from mlp_jax.study.summary import to_json

if TYPE_CHECKING:
    import pandas

LONGEST = 500  # characters of what is said of a machine
CAPTIONS = {  # figure: title, what it shows
    "steps": ("Steps to target", "Each cell as tuned best, with 95 % intervals."),
    "examples": ("Examples to target", "Steps × batch size. Level where scaling is perfect, rising beyond B_crit."),
    "seconds": (
        "Seconds to target",
        "Steps × this device’s time of a step: training alone, without compilation, evaluation or start-up.",
    ),
    "responses": (
        "Every trial, and what was fitted",
        "Each trial is a point with a seed of its own. The line is the fit, over the rates that it was fitted to, and "
        "the large mark its bottom.",
    ),
    "definitions": (
        "B_crit against the definition of its target",
        "The same trials, read with easier targets, from fewer looks and without smoothing. A reading is left out "
        "where the line does not fit; the bars are 95 % intervals by the study’s own way of reading.",
    ),
    "learning_rates": ("Best learning rate", "With 95 % intervals, and the linear and the square-root rule as guides."),
    "statuses": ("Every rate that was tried", "Learning rate × batch size; a point shows the outcome of its trials."),
    "curves": ("Learning curves of the winners", "Median and range over the seeds; an ended one keeps its last value."),
    "noise_scale": (
        "Noise scale over training, and B_crit",
        "trΣ/|G|² of the gradients over all training examples, all fresh seeds of a cell together over the steps from "
        "k/1.25 to k; the marks at the ends are averages over a run, weighed by progress, with 95 % intervals over the "
        "seeds, and the bands are B_crit with its 95 % interval.",
    ),
    "differences": (
        "Differences between optimizers",
        "Ratios with intervals that hold for all of them together; filled where Holm’s test tells the two apart.",
    ),
    **machines.CAPTIONS,
}


def write(sources: Sequence[Path], out: Path, reading: Reading = AS_ASKED, prices: Sequence[float] = ()) -> Path:
    """Write the page about studies (directories) and records of machines to `out`, its figures to `figures/` beside it.

    Args:
        reading: how steps to target are read from the trials' histories.
        prices: the price of an hour of the first study's device, then of the device of each record of
            `mlp-jax bench --study`.

    Raises:
        ValueError: a source is no study or record of this version; `out` does not end in .html.
        OSError: the page can't be written.
    """
    if not sources:
        raise ValueError("a report needs a study or a machine's record; name at least one directory or file")
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out {out} is no page; name a file that ends in .html")
    asked = list(dict.fromkeys(map(Path, sources)))
    text, _ = _made(asked, out, reading, prices)
    files.replace(out, lambda path: path.write_text(text, encoding="utf-8"), follow=out.parent not in asked)
    return out


def watched(directory: Path, reading: Reading = AS_ASKED) -> tuple[str, bool]:
    """Return the page about a study as it is now, and whether the study is complete; a served page renews itself.

    No file is written and no part of the study is claimed.

    Raises:
        ValueError, OSError: as `write`.
    """
    text, (entry, *_) = _made([directory], None, reading, ())
    return text, entry.parts.complete


def _made(asked: list[Path], out: Path | None, reading: Reading, prices: Sequence[float]) -> tuple[str, list[Entry]]:
    """Return the text of a page and the studies in it; without `out` it is a live page, and figures are not files."""
    measured, timed = records(asked)
    entries = labelled([read(path, reading) for path in asked if not path.is_file()])
    on = devices(entries, timed, prices)
    if out is not None:
        files.make_folder(out.parent / "figures")  # not before: a source that is refused leaves nothing
    several = len(entries) > 1
    sections = [_section(entry, f"{i}-" if several else "", out) for i, entry in enumerate(entries, 1)]
    options = [*reading.options, *(["--price", *(f"{price:g}" for price in prices)] if prices else [])]
    to = ["--out", str(out)] if out else []
    again = shlex.join(["mlp-jax", "report", *map(str, asked), *options, *to])
    blocks = [*_predicted(on, out), *_blocks(entries, measured, out)]
    page = {"sections": sections, "blocks": blocks, "again": again, "several": several, "live": out is None}
    others = [*measured, *on[len(entries[:1]) :]]
    page |= {"cautions": cautions(entries, measured, on), "environment": _environment(entries, others)}
    page |= {"labels": [each.label for each in (*entries, *others)], "title": _title(entries)}
    made_from = seal.state([entry.state for entry in entries], options)
    return seal.sealed(render("page", page), made_from), entries


def summary(directory: Path, reading: Reading = AS_ASKED) -> dict[str, Any]:
    """Return what the page says about one study, as plain values; without a winner, only its progress."""
    entry = read(Path(directory), reading)
    counts = {"complete": entry.parts.done, "of": entry.parts.cells}
    progress = {"study": str(directory), "complete": entry.parts.complete, "cells_done": counts}
    return progress | (to_json(entry.found) if entry.found else {})


def summaries(sources: Sequence[Path], reading: Reading = AS_ASKED, prices: Sequence[float] = ()) -> dict[str, Any]:
    """Return what the page says about each study, each machine, and a study on many of them, as plain values."""
    measured, timed = records(sources)
    folders = [path for path in sources if not path.is_file()]
    studies = [summary(path, reading) for path in folders]
    said = {"studies": studies, "machines": [machines.summary(each) for each in measured]}
    on = devices(labelled([read(path, reading) for path in folders[:1]]), timed, prices)
    return said | ({"predicted": predicted.to_json(on)} if on else {})


def _predicted(on: list[Device], out: Path | None) -> list[dict[str, Any]]:
    """Return the first block of the page if a study is predicted for devices that it did not run on."""
    if not on:
        return []
    found = {f"{each.label}, {each.how}": leading.narrowed(each.found) for each in on}
    shown = [_shown("seconds", figures.seconds(found), "devices-", out)]
    title, said = "Seconds to target, device by device", predicted.sentences(on)
    return [{"title": title, "sentences": said, "figures": shown, "tables": predicted.tables(on)}]


def cautions(entries: Sequence[Entry], measured: Sequence[Machine] = (), on: Sequence[Device] = ()) -> list[str]:
    """Return a sentence for each difference that hinders comparison: precision, software, protocol, what was asked."""
    said = machines.differing({e.label: {"protocol": e.study.protocol} for e in entries}, {"Protocol": ("protocol",)})
    said += machines.cautions(measured)
    for entry in entries:
        kinds = {f"parts of {entry.label} ({number})": made for number, made in enumerate(entry.made_by, 1)}
        names = dict.fromkeys(name for made in entry.made_by for name in made)
        said += machines.differing(kinds, {"Software": list(names)})
    said += machines.differing({each.label: each.environment for each in (*entries, *measured, *on[1:])})
    if asked := _asked(entries):
        said.append(f"The studies do not ask the same: they differ in {', '.join(asked).replace('_', ' ')}.")
    return said


def _asked(entries: Sequence[Entry]) -> list[str]:
    """Return the fields of the studies' questions in which they differ."""
    plans = [plan.identity(entry.study) for entry in entries]
    return sorted({name for each in plans for name in each if each[name] != plans[0][name]} - {"protocol"})


def _examples(rows: "pandas.DataFrame") -> int:
    """Return the number of training examples, computed from the longest trial; 0 as long as it is unknown."""
    if rows.empty:
        return 0
    examples, epochs = rows["examples"].to_numpy(float), rows["epoch"].to_numpy(float)
    last = examples.argmax()
    return round(examples[last] / epochs[last]) if epochs[last] > 0 else 0


def _title(entries: list[Entry]) -> str:
    if not entries:
        return "Machines"
    datasets = list(dict.fromkeys(Path(entry.study.workload.dataset).name for entry in entries))
    return f"Batch size × optimizer: {', '.join(datasets)}"


def _blocks(entries: list[Entry], measured: list[Machine], out: Path | None) -> list[dict[str, Any]]:
    """Return the blocks above the studies: their comparison if there are several, and machines."""
    blocks, found = [], {entry.label: entry.found for entry in entries if entry.found}
    if len(found) > 1:
        spent = {entry.label: joined.spent(entry.histories.trials) for entry in entries if entry.parts.complete}
        said = joined.sentences(found, spent, asks_same=not _asked(entries))
        narrow = {label: leading.narrowed(each) for label, each in found.items()}
        shown = [_shown("seconds", figures.seconds(narrow), "joined-", out)]
        blocks.append({"title": "Seconds to target, study by study", "sentences": said, "figures": shown})
        blocks[-1]["tables"] = [] if _asked(entries) else joined.tables(found)
    if measured:
        shown = [_shown(name, figure, "", out) for name, figure in machines.draw(measured).items()]
        block = {"title": "Machines", "sentences": machines.sentences(measured), "figures": shown}
        blocks.append(block | {"tables": machines.tables(measured)})
    return blocks


def _section(entry: Entry, prefix: str, out: Path | None) -> dict[str, Any]:
    """Return all values about one study that the template needs."""
    study, found, rows = entry.study, entry.found, entry.histories.trials
    section = {"label": entry.label, "prefix": prefix, "study": study, "parts": entry.parts, "damaged": entry.damaged}
    section |= {"target": answer.target(study, rows), "n": _examples(rows), "toml": toml.to_toml(study)}
    section |= {"max_steps": answer.max_steps(study), "rounds": answer.rounds(study)}
    section |= {"command": shlex.join(["mlp-jax", "study", "study.toml"]), "default": study == plan.Study()}
    section |= {"environment": entry.environment, "device": machines.device(entry.environment)}
    section["figures"] = [_shown(name, figure, prefix, out) for name, figure in _figures(entry)]
    section |= {"progress": None if entry.parts.complete else boxes(entry.progress)}
    section |= {"failures": failures(rows)}
    section |= {"shown": "", "answer": [], "missed": "", "tables": [], "defined": "", "otherwise": ""}
    if found:
        section["answer"], section["missed"] = answer.sentences(study, found, rows), answer.missed(found)
        section |= {"tables": listings.tables(study, found), "shown": leading.said(found)}
        section |= {"defined": answer.defined(found), "otherwise": answer.otherwise(study, found, rows)}
    return section


def _figures(entry: Entry) -> Iterator[tuple[str, Figure]]:
    trials, winners = entry.histories.trials, entry.histories.winners
    found = entry.found and leading.narrowed(entry.found)
    if found:
        trials, winners = (leading.of(rows, list(found.scaling)) for rows in (trials, winners))
        yield "steps", figures.steps(found)
        yield "examples", figures.examples(found)
        yield "seconds", figures.seconds({entry.label: found})
    if fits := responses.fits(entry.study, trials, found):
        yield "responses", responses.valleys(leading.of_sizes(fits), trials)
    if found:
        if responses.lines(found):
            yield "definitions", responses.definitions(entry.study, entry.histories, found)
        yield "learning_rates", figures.learning_rates(entry.study, found)
    if not trials.empty:
        tried = leading.of(trials, leading.sizes(trials["batch_size"].tolist()), "batch_size")
        yield "statuses", figures.statuses(tried)
    if found:
        shown = leading.of(winners, leading.sizes(winners["batch_size"].tolist()), "batch_size")
        yield "curves", figures.curves(entry.study, shown, found.definition.target)
        if noise.measured(found):
            yield "noise_scale", noise.noise_scale(found, winners)
        if any(math.isfinite(pair.ratio.value) for pair in found.differences):
            yield "differences", figures.differences(found)


def _shown(name: str, figure: Figure, prefix: str, out: Path | None) -> dict[str, Any]:
    """Write the files of a figure if the page is a file, and return the figure and its texts for the page."""
    title, caption = CAPTIONS[name]
    for path in [out.parent / "figures" / f"{prefix}{name}{suffix}" for suffix in (".png", ".pdf")] if out else ():
        canvas.save(figure, path)
    return {"name": prefix + name, "title": title, "caption": caption, "svg": canvas.inline(figure, prefix + name)}


def _environment(entries: list[Entry], measured: Sequence[Machine | Device]) -> list[tuple[str, list[str]]]:
    every = [each.environment for each in (*entries, *measured)]
    names = dict.fromkeys(name for environment in every for name in environment)
    return [
        (name.replace("_", " "), [str(environment.get(name, "–"))[:LONGEST] for environment in every]) for name in names
    ]
