"""What experiments share: options, parts and studies that are kept as they are made, and how a result is shown.

Invariant: a part is what its JSON holds, whether it was made now or read from an earlier start.
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
from mlp_jax.cli import entry, progress, studies
from mlp_jax.machine import files
from mlp_jax.report import canvas
from mlp_jax.study import Findings, Study

APART = ("out", "json", "figure", "data_dir")  # options that no number depends on
QUIET_SECONDS = 2.0  # at least so long between two lines about parts


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What every experiment may be asked."""

    out: Path = Path("runs")
    """Folder under which finished parts are kept, so that a second start goes on."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print one JSON object on stdout."""


class Parts:
    """The parts of one experiment, made once each: call it with a part's name and what makes it.

    Parts are kept under `out`, in a folder of the script's name; they are made anew when the script or an option
    changes, but not when the library does: remove the folder then.
    """

    def __init__(self, options: Asked, module: Any) -> None:
        source = Path(inspect.getsourcefile(module) or "")
        asked = {name: str(value) for name, value in dataclasses.asdict(options).items() if name not in APART}
        text = json.dumps(asked, sort_keys=True) + _code(source.read_text(encoding="utf-8"))
        self.folder = options.out / source.stem / hashlib.sha256(text.encode()).hexdigest()[:12]
        files.make_folder(self.folder)
        self._told = time.monotonic()

    def __call__(self, name: str, make: Callable[[], Any]) -> Any:
        """Return the part `name`, read where it was kept, made by `make` otherwise."""
        path = self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:12]}.json"
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))["made"]
        if entry.swallowed():
            raise KeyboardInterrupt
        if time.monotonic() - self._told > QUIET_SECONDS:
            print(name, file=sys.stderr, flush=True)
            self._told = time.monotonic()
        text = json.dumps({"part": name, "made": make()})
        files.replace(path, lambda to: to.write_text(text, encoding="utf-8"))
        return json.loads(text)["made"]


def found(options: Asked, name: str, study: Study) -> tuple[Findings, Path]:
    """Run what is missing of a study, in a folder of this name and the study's id, and return what it shows, its page.

    Raises:
        SystemExit: it was interrupted; what is there is kept, and it is said how to go on.
        ValueError, OSError: as `studies.find`.
    """
    folder = options.out / f"{name}-{study.id}"
    with entry.interrupts() as interrupted:
        whole = studies.find(study, folder, interrupted=interrupted, quiet=options.json)
    if whole.findings is None or whole.page is None:
        raise SystemExit(entry.interrupted(folder, "run the same command"))
    return whole.findings, whole.page


def first_examples(options: Any, name: str, count: int) -> Path:
    """Return the file under `out` that has the first examples of a data set, and all of its test part, as an archive.

    Args:
        options: with `out`, and the `data_dir` of the data set.
    """
    path = options.out / f"{name}-{count}.npz"
    if path.exists():
        return path
    dataset = data.load(name, data_dir=options.data_dir, validation=0)
    train, test = dataset.train, dataset.test
    arrays = {"x_train": train.x[:count], "y_train": train.y[:count], "x_test": test.x, "y_test": test.y}

    def write(partial: Path) -> None:
        with partial.open("wb") as file:  # a name would be given the ending .npz once more
            np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]

    files.make_folder(path.parent)
    files.replace(path, write)
    return path


def script(function: Callable[[Any], None], options: type[Asked]) -> NoReturn:
    """Run an experiment's `function` on the options that its command line gives, checked, as `entry.script` does.

    Interrupted, it says where what is done is kept, and how to go on.
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
    """Refuse options that no experiment can do: values outside their domain, empty lists, no place for figure or parts.

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
    """Print a result as JSON or as text; `quick` says what a quick form has changed."""
    if options.json:
        entry.show(result | ({"quick": quick} if quick else {}))
        return
    note = f"quick form: {quick}; the numbers in this script's docstring are of other data and budgets\n\n"
    entry.show((note if quick else "") + text)


def spread(values: Sequence[float] | np.ndarray) -> Estimate:
    """Return the median of values, one for each seed, with the least and the most: 5 hold the median with 94 %."""
    return Estimate(*np.quantile(np.asarray(values, float), (0.5, 0, 1)).tolist())


def written(estimate: Estimate, digits: int) -> str:
    """Return an estimate with so many digits after the point, as 3.4 [3.2, 3.7]."""
    value, low, high = (f"{round(each, digits) + 0.0:,.{digits}f}".replace("-", "−") for each in estimate)
    return f"{value} [{low}, {high}]"


def _code(source: str) -> str:
    """Return a script without its docstring and comments: what is measured does not depend on them."""
    tree = ast.parse(source)
    return ast.dump(ast.Module(tree.body[ast.get_docstring(tree) is not None :], []))


def _has_domain(hint: Any) -> bool:
    if get_origin(hint) is Annotated:
        return isinstance(get_args(hint)[1], Domain)
    return any(map(_has_domain, get_args(hint)))
