"""The page of one run, as one file: how it learned, what it gets right and wrong, what its first layer looks at.

Invariant: the page only reads what the run left and changes nothing on which training depends; nothing in it refers to
another file.
"""

import math
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mlp_jax import drawing, model
from mlp_jax.data import Split, sentence
from mlp_jax.drawing import canvas
from mlp_jax.machine import files
from mlp_jax.report import outcomes, seal
from mlp_jax.report.listings import Table, of_number, of_text
from mlp_jax.report.outcomes import Wrong
from mlp_jax.report.template import render
from mlp_jax.study.summary import number
from mlp_jax.training import classes
from mlp_jax.training import config as configs
from mlp_jax.training.config import SPLITS
from mlp_jax.training.prediction import PAGE
from mlp_jax.training.run import Run
from mlp_jax.training.trials import Status

SHOWN = 24  # wrong examples
CAPTIONS = {
    "loss": (
        "Loss",
        "Mean over the examples of a split, and of the mini-batch of that step. Points are the splits at the end.",
    ),
    "score": ("{metric}", "Of each split that was evaluated during training; points are all splits at the end."),
    "confusion": (
        "Who is taken for whom",
        "Examples of the {split} part: a row for each true class, a column for each predicted one, at most {classes} "
        "classes. Blue is right, orange is wrong; a colour is as strong as the square root of its share of the row.",
    ),
    "wrong": (
        "What it got wrong",
        "Examples of the {split} part, the surest mistakes first: truth → prediction, and its probability.",
    ),
    "predicted": ("Predictions against the truth", "Examples of the {split} part, in the target’s unit."),
    "weights": (
        "What the first layer looks at",
        "Weights of each hidden unit as an image: orange is positive, blue is negative; all have one scale.",
    ),
    "network": ("The network", "Edges have the colours of their weights; wide layers are abbreviated."),
}


def write(run: Run, directory: Path) -> Path:
    """Write the page of a run to `report.html` in its directory.

    Raises:
        OSError: the page can't be written.
    """
    out, split, cell = directory / PAGE, _last_split(run), run.cell
    page = {"title": f"{Path(run.config.dataset).name}: {cell.optimizer}, B = {cell.batch_size:,}", "live": False}
    page |= {"data": sentence(run.dataset), "asked": _asked(run), "again": ""}
    page |= {"network": model.summary(cell.network), "metrics": _metrics(run)}
    page |= {"sentences": [_ended(run)], "tables": []}
    page |= {"seconds": ", ".join(f"{name} {number(value)}" for name, value in run.seconds.items())}
    page |= {"environment": files.read_json(directory, "environment.json").items()}
    drawn = dict(_of_training(run))
    if run.status != Status.INFEASIBLE:
        found = _of_classes(run, split) if run.dataset.classes else _of_values(run, split)
        page["sentences"].append(found[0])
        page["tables"], drawn = found[1], drawn | found[2]
        if split == "test":
            page["again"] = shlex.join(["mlp-jax", "predict", str(directory), "--index", "0"])
    drawn |= _of_network(run)
    words = {"split": split, "metric": _metric(run).capitalize().replace("Rmse", "RMSE")}
    words |= {"classes": str(outcomes.CLASSES)}
    page["figures"] = [_shown(name, figure, words) for name, figure in drawn.items()]
    text = seal.sealed(render("run", page), seal.run_state(directory))
    files.replace(out, lambda path: path.write_text(text, encoding="utf-8"), follow=False)
    return out


def _last_split(run: Run) -> str:
    """Return the name of the part that says most about new examples."""
    return next(name for name in reversed(SPLITS) if len(getattr(run.dataset, name).y))


def _metric(run: Run) -> str:
    return configs.usual_metric(run.dataset)


def _ended(run: Run) -> str:
    epochs = run.steps * run.cell.batch_size / len(run.dataset.train.y)
    steps = f"{run.steps:,} steps of {run.cell.batch_size:,} examples ({number(epochs)} epochs)"
    said = f"Training is {run.status} after {steps}."
    if run.failed is not None:
        said += f" The loss was not finite at step {run.failed:,}: try a smaller learning rate."
    return said


def _asked(run: Run) -> list[tuple[str, str]]:
    """Return the options that differ from their defaults, and every hyper-parameter."""
    default, asked = configs.to_dict(configs.Config()), configs.to_dict(run.config)
    changed = {name: value for name, value in asked.items() if name not in default or value != default[name]}
    hyper = {name: number(value) for name, value in run.hyper.items()}
    return [(name.replace("_", " "), str(value)) for name, value in (changed | hyper).items()]


def _metrics(run: Run) -> Table:
    names = list(dict.fromkeys(name.split("_", 1)[1] for name in run.metrics))
    rows = []
    for split in dict.fromkeys(name.split("_", 1)[0] for name in run.metrics):
        count = len(getattr(run.dataset, split).y)
        rows.append([of_text(split), of_number(count), *(of_number(run.metrics[f"{split}_{name}"]) for name in names)])
    columns = ["part", "examples", *(name.replace("rmse", "RMSE").replace("mae", "MAE") for name in names)]
    return Table("Every part of the data", "At the end of training.", columns, rows)


def _of_training(run: Run) -> Iterator[tuple[str, Figure]]:
    if len(run.history) > 1:
        yield "loss", outcomes.curves(run.history, run.metrics, "loss")
        yield "score", outcomes.curves(run.history, run.metrics, _metric(run))


def _of_classes(run: Run, name: str) -> tuple[str, list[Table], dict[str, Figure]]:
    """Return the results for each class: a sentence, tables and figures."""
    split, names = getattr(run.dataset, name), [str(each) for each in run.dataset.classes]
    z = classes.scores(run.cell.network, run.params, run.dataset, split)
    counts = classes.counted(run.cell.network, z, run.dataset, split)
    shares, label = classes.probabilities(run.cell.network, z), classes.predicted(run.cell.network, z)
    wrong = _wrong(shares, label, split, names)
    figures = {"confusion": outcomes.confusion(counts, names)}
    listed = wrong[:SHOWN]
    if listed and _are_pictures(run):
        images = split.x[[each.number for each in listed]].reshape(-1, *run.dataset.shape)
        figures["wrong"] = outcomes.wrong(images, listed, run.dataset.levels)
    said = f"Of {len(split.y):,} {name} examples {len(wrong):,} are taken for another class."
    if wrong:
        mistaken = counts - np.diag(np.diag(counts))
        truth, label = np.unravel_index(mistaken.argmax(), mistaken.shape)
        most = f"{mistaken[truth, label]:,} of {counts[truth].sum():,}"
        said += f" Most often {names[truth]} is taken for {names[label]}: {most}."
    return said, [_per_class(counts, names, name), *([_listed(listed, len(wrong), name)] if wrong else [])], figures


def _wrong(shares: np.ndarray, label: np.ndarray, split: Split, names: list[str]) -> list[Wrong]:
    """Return the examples that were taken for another class, those with the highest probability first."""
    (which,) = np.nonzero(label != split.y)
    which = which[np.argsort(-shares[which, label[which]], kind="stable")]
    return [
        Wrong(int(i), names[split.y[i]], names[label[i]], float(shares[i, label[i]]), float(shares[i, split.y[i]]))
        for i in which
    ]


def _per_class(counts: np.ndarray, names: list[str], split: str) -> Table:
    found, rows = classes.results(counts, tuple(names)), []
    for i, name in enumerate(names):
        others = np.where(np.arange(len(names)) == i, 0, counts[i])
        most = f"{names[others.argmax()]} ({others.max():,})" if others.any() else "–"
        made = [of_text(name), of_number(counts[i].sum()), of_number(found["precision"][name])]
        rows.append([*made, of_number(found["recall"][name]), of_text(most)])
    note = (
        "Precision: the share of the examples taken for this class that belong to it. Recall: the share of the class’s "
        "examples that were taken for it. "
    )
    note += f"Both of the {split} part."
    return Table("Every class", note, ["class", "examples", "precision", "recall", "most often taken for"], rows)


def _listed(wrong: list[Wrong], count: int, split: str) -> Table:
    rows = []
    for each in wrong:
        shares = [of_number(round(each.of_label, 4)), of_number(round(each.of_truth, 4))]
        rows.append([of_number(each.number), of_text(each.truth), of_text(each.label), *shares])
    note = f"{len(wrong)} of {count:,}, the surest mistakes first; examples are numbered in the {split} part."
    columns = ["example", "truth", "prediction", "its probability", "probability of the truth"]
    return Table("What it got wrong", note, columns, rows)


def _of_values(run: Run, name: str) -> tuple[str, list[Table], dict[str, Figure]]:
    """Return the results for real targets: a sentence, a table of the largest errors, and a figure."""
    split, unit = getattr(run.dataset, name), lambda v: v * run.dataset.target_scale + run.dataset.target_center
    z = classes.scores(run.cell.network, run.params, run.dataset, split)
    truth = unit(split.y.astype(float))
    answer = unit(classes.outputs(run.cell.network, z)[:, 0].astype(float))
    error, spread = math.sqrt(np.mean((answer - truth) ** 2)), truth.std()
    said = (
        f"On the {name} part the RMSE is {number(error)}; predicting the mean there would be off by {number(spread)}."
    )
    rows = [
        [of_number(i), of_number(truth[i]), of_number(answer[i]), of_number(answer[i] - truth[i])]
        for i in np.argsort(-abs(answer - truth), kind="stable")[:SHOWN]
    ]
    note = f"The {len(rows)} of {len(truth):,} {name} examples with the largest errors."
    tables = [Table("Where it is furthest off", note, ["example", "truth", "prediction", "difference"], rows)]
    return said, tables, {"predicted": outcomes.against_truth(truth, answer)}


def _of_network(run: Run) -> dict[str, Figure]:
    network, params = run.cell.network, run.params
    drawn = {"network": drawing.network(network, params)}
    if _are_pictures(run):
        drawn = {"weights": drawing.weights(params, tuple(run.dataset.shape))} | drawn
    return drawn


def _are_pictures(run: Run) -> bool:
    """Tell whether examples are pixels in rows, with few channels that come last where there are any."""
    shape = run.dataset.shape
    return run.dataset.levels > 0 and (len(shape) == 2 or (len(shape) == 3 and shape[2] <= 4))


def _shown(name: str, figure: Figure, words: dict[str, str]) -> dict[str, Any]:
    title, caption = (text.format(**words) for text in CAPTIONS[name])
    return {"name": name, "title": title, "caption": caption, "svg": canvas.inline(figure, name)}
