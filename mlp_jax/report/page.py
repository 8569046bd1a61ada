"""The report of one study or several: one HTML file that needs nothing else, and its figures as files beside it.

Invariant: the page says what is there, however little that is; nothing in it points out of the file.
"""

import io
import re
import shlex
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jinja2
import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from mlp_jax import records
from mlp_jax.report import answer, canvas, figures, noise
from mlp_jax.study import files, plan, store
from mlp_jax.study.findings import Findings, findings, to_json

if TYPE_CHECKING:
    import pandas

CAPTIONS = {  # figure: title, what it shows
    "steps": ("Steps to target", "Medians of the winners’ fresh seeds; bars go from the least to the greatest seed."),
    "examples": ("Examples to target", "Steps × batch size. Level where scaling is perfect, rising beyond B_crit."),
    "seconds": ("Seconds to target", "Training alone: without compilation, evaluation or start-up."),
    "learning_rates": ("Best learning rate", "The winner’s, with the linear and the square-root rule as guides."),
    "statuses": ("Every point that was tried", "Learning rate × batch size; a point counts as its median seed does."),
    "curves": ("Learning curves of the winners", "Median and range of the seeds; one that ended keeps its last value."),
    "noise_scale": (
        "Noise scale over training, and B_crit",
        "trΣ/|G|² of the gradients over all training examples, in one run of each cell; the marks at the ends of the "
        "runs are averages over the steps, and the bands are B_crit with its 95 % interval.",
    ),
    "profile": (
        "Performance profile",
        "How often an optimizer is within a factor τ of the best; the score is the mean up to 4.",
    ),
    "differences": (
        "Differences between optimizers",
        "At the best batch size of each, paired by seed, with 95 % intervals.",
    ),
}
SAME = {  # what should be equal for two studies to compare: field of environment.json, by concern
    "Precision": ("x64", "matmul_precision"),
    "Software": ("python", "jax", "jaxlib", "optax", "numpy", "commit", "dirty", "xla_flags"),
}


class Entry(NamedTuple):
    """One study as it lies on disk; `found` is None while it has no winner."""

    label: str
    directory: Path
    study: plan.Study
    rows: "pandas.DataFrame"
    found: Findings | None
    environment: dict[str, Any]
    damaged: list[str]


class Parts(NamedTuple):
    """How many parts of a study are there, and how many it will have: twice the number of its cells."""

    tuned: int
    won: int
    cells: int

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return self.tuned == self.won == self.cells


def write(directories: Sequence[Path], out: Path) -> Path:
    """Write the page about the studies in `directories` to `out`, and its figures to `figures/` beside it.

    Raises:
        ValueError: a directory holds no study, or one of another protocol version; `out` does not end in .html.
        OSError: it can't be written.
    """
    if not directories:
        raise ValueError("a report needs a study; name at least one directory")
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out {out} is no page; name a file that ends in .html")
    entries = _labelled([_read(Path(directory)) for directory in dict.fromkeys(directories)])
    records.make_folder(out.parent / "figures")
    several = len(entries) > 1
    sections = [_section(entry, f"{i}-" if several else "", out) for i, entry in enumerate(entries, 1)]
    joined = {entry.label: entry.found for entry in entries if entry.found}
    together = _shown("seconds", figures.seconds(joined), "joined-", out) if several and len(joined) > 1 else None
    again = shlex.join(["mlp-jax", "report", *map(str, directories), "--out", str(out)])
    page = {"sections": sections, "together": together, "cautions": cautions(entries), "again": again}
    text = _template().render(page, title=_title(entries), environment=_environment(entries), several=several)
    records.replace(out, lambda path: path.write_text(text, encoding="utf-8"))
    return out


def summary(directory: Path) -> dict[str, Any]:
    """Return what the page says about one study as plain values; without a winner, only how far it is."""
    entry = _read(Path(directory))
    there = parts(entry)
    counts = {"tuned": there.tuned, "won": there.won, "of": there.cells}
    progress = {"study": str(directory), "complete": there.complete, "parts": counts}
    return progress | (to_json(entry.found) if entry.found else {})


def cautions(entries: Sequence[Entry]) -> list[str]:
    """Return what does not compare between studies: precision, software, protocol, and what was asked."""
    said = []
    for concern, names in {"Protocol": ("protocol",), **SAME}.items():
        for name in names:
            values = {entry.label: str(_field(entry, name)) for entry in entries}
            if len(set(values.values())) > 1:
                shown = ", ".join(f"{value or 'none'} in {label}" for label, value in values.items())
                said.append(f"{concern} differs: {name.replace('_', ' ')} is {shown}.")
    plans = [plan.identity(entry.study) for entry in entries]
    if asked := sorted({name for each in plans for name in each if each[name] != plans[0][name]} - {"protocol"}):
        said.append(f"The studies do not ask the same: they differ in {', '.join(asked).replace('_', ' ')}.")
    return said


def parts(entry: Entry) -> Parts:
    """Count the parts of a study that are there."""
    done = {phase: len(set(figures.where(entry.rows, phase=phase)["cell"])) for phase in _phases(entry.rows)}
    sizes = {size for size in entry.study.batch_sizes if size != "full"}
    if "full" in entry.study.batch_sizes:
        sizes.add(_examples(entry.rows))
    return Parts(done.get("tuning", 0), done.get("winners", 0), len(sizes) * len(entry.study.optimizers))


def _read(directory: Path) -> Entry:
    study = store.read_plan(directory)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = store.read_study(directory)
    for each in caught:
        warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    damaged = [str(each.message) for each in caught if "is damaged" in str(each.message)]
    try:
        environment = records.read_json(directory, "environment.json", "study")
    except ValueError as error:
        environment, damaged = {}, [*damaged, str(error)]
    found = findings(rows) if "winners" in _phases(rows) else None
    return Entry(directory.name, directory, study, rows, found, environment, damaged)


def _phases(rows: "pandas.DataFrame") -> set[str]:
    return set() if rows.empty else set(rows["phase"])


def _labelled(entries: list[Entry]) -> list[Entry]:
    """Tell the studies apart by directory and device."""
    names = [entry.directory.name for entry in entries]
    label = lambda entry: str(entry.directory) if names.count(entry.directory.name) > 1 else entry.directory.name
    return [entry._replace(label=f"{label(entry)} ({_device(entry.environment)})") for entry in entries]


def _device(environment: dict[str, Any]) -> str:
    if environment.get("platform") == "cpu":
        return f"{environment.get('processor') or 'CPU'}, {environment.get('cores', '?')} cores"
    count = environment.get("device_count", 1)
    return f"{count} × " * (count != 1) + str(environment.get("device_kind", "unknown device"))


def _field(entry: Entry, name: str) -> Any:
    return entry.study.protocol if name == "protocol" else entry.environment.get(name, "")


def _examples(rows: "pandas.DataFrame") -> int:
    """The number of training examples, from where the longest trial stands; 0 while unknown."""
    if rows.empty:
        return 0
    examples, epochs = rows["examples"].to_numpy(float), rows["epoch"].to_numpy(float)
    last = examples.argmax()
    return round(examples[last] / epochs[last]) if epochs[last] > 0 else 0


def _title(entries: list[Entry]) -> str:
    datasets = list(dict.fromkeys(Path(entry.study.workload.dataset).name for entry in entries))
    return f"Batch size × optimizer: {', '.join(datasets)}"


def _section(entry: Entry, prefix: str, out: Path) -> dict[str, Any]:
    """Everything that the template says about one study."""
    study, found, rows = entry.study, entry.found, entry.rows
    section = {"label": entry.label, "study": study, "parts": parts(entry), "damaged": entry.damaged}
    section |= {"target": answer.target(study, rows), "n": _examples(rows), "toml": files.to_toml(study)}
    section |= {"max_steps": answer.max_steps(study)}
    section |= {"command": shlex.join(["mlp-jax", "study", "study.toml"]), "default": study == plan.Study()}
    section |= {"environment": entry.environment, "device": _device(entry.environment)}
    section["figures"] = [_shown(name, figure, prefix, out) for name, figure in _figures(entry)]
    section |= {"answer": [], "missed": "", "tables": []}
    if found:
        section["answer"], section["missed"] = answer.sentences(study, found, rows), answer.missed(found)
        section["tables"] = answer.tables(study, found)
    return section


def _figures(entry: Entry) -> Iterator[tuple[str, Figure]]:
    found, rows = entry.found, entry.rows
    if found:
        yield "steps", figures.steps(found)
        yield "examples", figures.examples(found)
        yield "seconds", figures.seconds({entry.label: found})
        yield "learning_rates", figures.learning_rates(entry.study, found)
    if "tuning" in _phases(rows):
        yield "statuses", figures.statuses(rows)
    if found:
        yield "curves", figures.curves(entry.study, rows)
        if noise.measured(found):
            yield "noise_scale", noise.noise_scale(found, rows)
        if answer.compared(found):
            yield "profile", figures.profile(found)
            yield "differences", figures.differences(found)


def _shown(name: str, figure: Figure, prefix: str, out: Path) -> dict[str, Any]:
    """Write a figure's files, and return it with its words for the page."""
    title, caption = CAPTIONS[name]
    for suffix in (".png", ".pdf"):
        canvas.save(figure, out.parent / "figures" / f"{prefix}{name}{suffix}")
    return {"name": prefix + name, "title": title, "caption": caption, "svg": inline(figure, prefix + name)}


def inline(figure: Figure, name: str) -> Markup:
    """Return the figure as an SVG element whose ids begin with `name`, so that several can stand in one page."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "mlp_jax"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'\b(id=")|(href="#)|(url\(#)', lambda found: f"{found[0]}{name}-", text)
    text = re.sub(r' width="[\d.]+pt"| height="[\d.]+pt"| xmlns(:xlink)?="[^"]*"', "", text, count=4)
    return Markup(text.replace("xlink:href", "href"))


def _environment(entries: list[Entry]) -> list[tuple[str, list[str]]]:
    names = dict.fromkeys(name for entry in entries for name in entry.environment)
    return [(name.replace("_", " "), [str(entry.environment.get(name, "–")) for entry in entries]) for name in names]


def _template() -> jinja2.Template:
    options = {"autoescape": True, "trim_blocks": True, "lstrip_blocks": True, "undefined": jinja2.StrictUndefined}
    return jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent), **options).get_template(
        "page.html.jinja"
    )
