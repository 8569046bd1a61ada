"""What experiments share: options, parts and studies that are kept as soon as they are made, and printing a result.

Invariant: a part has the value that its JSON holds, whether it was made now or read from an earlier start.
"""

import ast
import dataclasses
import functools
import hashlib
import inspect
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_args, get_origin

import numpy as np
import tyro

from mlp_jax import checks, data
from mlp_jax.analysis.bootstrap import Estimate
from mlp_jax.checks import Domain
from mlp_jax.cli import entry, progress, signals, studies
from mlp_jax.drawing import canvas
from mlp_jax.machine import files
from mlp_jax.study import Findings, Study

APART = ("out", "json", "figure", "data_dir")  # options on which no result depends
QUIET_SECONDS = 2.0  # the least time between two lines about parts


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options that every experiment has."""

    out: Path = Path("runs")
    """Folder under which finished parts are kept, so that a second start goes on."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print one JSON object on stdout."""


class Parts:
    """The parts of one experiment, each made once: call it with the name of a part and a function that makes the part.

    Parts are kept under `out`, in a folder of the script's name. They are made anew if the script or an option changes,
    but not if the library changes: remove the folder then.
    """

    def __init__(self, options: Asked, module: Any) -> None:
        source = Path(inspect.getsourcefile(module) or "")
        asked = {name: str(value) for name, value in dataclasses.asdict(options).items() if name not in APART}
        text = json.dumps(asked, sort_keys=True) + _code(source.read_text(encoding="utf-8"))
        self.folder = options.out / source.stem / hashlib.sha256(text.encode()).hexdigest()[:12]
        files.make_folder(self.folder)
        self._told = time.monotonic()

    def __call__(self, name: str, make: Callable[[], Any]) -> Any:
        """Return the part `name`: read it if it was kept, otherwise make it with `make`."""
        path = self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:12]}.json"
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))["made"]
        if signals.swallowed():
            raise KeyboardInterrupt
        if time.monotonic() - self._told > QUIET_SECONDS:
            print(name, file=sys.stderr, flush=True)
            self._told = time.monotonic()
        text = json.dumps({"part": name, "made": make()})
        files.replace(path, lambda to: to.write_text(text, encoding="utf-8"), follow=False)
        return json.loads(text)["made"]


def found(options: Asked, name: str, study: Study) -> tuple[Findings, Path]:
    """Run a study's missing parts in a folder named by `name` and its id; return the findings and the page's path.

    Raises:
        SystemExit: it was interrupted; finished parts are kept, and a line on stderr says how to go on.
        ValueError, OSError: as `studies.find`.
    """
    folder = options.out / f"{name}-{study.id}"
    with signals.interrupts() as interrupted:
        whole = studies.find(study, folder, interrupted=interrupted, quiet=options.json)
    if whole.findings is None or whole.page is None:
        raise SystemExit(entry.interrupted(folder, "run the same command"))
    return whole.findings, whole.page


def first_examples(options: Any, name: str, count: int) -> Path:
    """Return an archive under `out` with the first `count` examples of a data set, and all of its test part.

    Args:
        options: have `out`, and the `data_dir` of the data set.
    """
    path = options.out / f"{name}-{count}.npz"
    if path.exists():
        return path
    dataset = data.load(name, data_dir=options.data_dir, validation=0)
    train, test = dataset.train, dataset.test
    arrays = {"x_train": train.x[:count], "y_train": train.y[:count], "x_test": test.x, "y_test": test.y}

    def write(partial: Path) -> None:
        with partial.open("wb") as file:  # to a path, numpy would append the ending .npz
            np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]

    files.make_folder(path.parent)
    files.replace(path, write)
    return path


def script(function: Callable[[Any], None], options: type[Asked]) -> NoReturn:
    """Run an experiment's `function` on the options that its command line gives, checked, as `entry.script` does.

    If it is interrupted, it says where the finished parts are kept, and how to go on.
    """

    @functools.wraps(function)
    def checked(given: Asked) -> None:
        check(given)
        try:
            with progress.never_silent():
                function(given)
        except KeyboardInterrupt:
            raise SystemExit(entry.interrupted(given.out, "run the same command")) from None

    entry.script(checked, options)


def check(options: Any) -> None:
    """Refuse values outside their domain, empty lists, and places where the figure or the parts can't be written.

    Raises:
        ValueError: a value is not allowed.
        OSError: the figure or a part can't be written.
    """
    for field in dataclasses.fields(options):
        given = getattr(options, field.name)
        if given == () and field.default != ():
            raise ValueError(f"{field.name} has no value; give at least one")
        if _has_domain(field.type):
            checks.value(field.name, given, field.type)
        if field.name == "figure":
            checks.choose("suffix of a figure", given.suffix.lower(), canvas.METADATA)
            files.check_place(given)
        if field.name == "out":
            files.check_place(given / "part")


def show(options: Asked, result: dict[str, Any], text: str, quick: str | None = None) -> None:
    """Print a result as JSON or as text; if this is the quick form, `quick` says what it changes."""
    if options.json:
        entry.show(result | ({"quick": quick} if quick else {}))
        return
    note = f"quick form: {quick}; the numbers in this script's docstring are of other data and budgets\n\n"
    entry.show((note if quick else "") + text)


def spread(values: Sequence[float] | np.ndarray) -> Estimate:
    """Return the median, least and largest of one value per seed; the range of 5 contains the true median in 94 %."""
    return Estimate(*np.quantile(np.asarray(values, float), (0.5, 0, 1)).tolist())


def written(estimate: Estimate, digits: int) -> str:
    """Return an estimate as text such as 3.4 [3.2, 3.7], with so many digits after the point."""
    value, low, high = (f"{round(each, digits) + 0.0:,.{digits}f}".replace("-", "−") for each in estimate)
    return f"{value} [{low}, {high}]"


def _code(source: str) -> str:
    """Return a script without its docstring and comments, on which the results do not depend."""
    tree = ast.parse(source)
    return ast.dump(ast.Module(tree.body[ast.get_docstring(tree) is not None :], []))


def _has_domain(hint: Any) -> bool:
    if get_origin(hint) is Annotated:
        return isinstance(get_args(hint)[1], Domain)
    return any(map(_has_domain, get_args(hint)))
