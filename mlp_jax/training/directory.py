"""The directory that training writes: config.json, environment.json, model.json, metrics.parquet, checkpoints.

Invariant: every file is written under a temporary name and renamed, so a reader never sees half a file; a directory
that holds other training, or training on other data, is never changed.
"""

import contextlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from filelock import Timeout

from mlp_jax import trial
from mlp_jax.machine import environment, parquet
from mlp_jax.machine.clocks import Clock
from mlp_jax.machine.files import finite, make_folder, read_json, write_json
from mlp_jax.machine.locks import PASSING, Lock
from mlp_jax.training import budget, prediction
from mlp_jax.training import config as configs
from mlp_jax.training.trials import Status, Trials

if TYPE_CHECKING:
    from mlp_jax.machine.checkpoint import Checkpoints

STATUSES = [status.value for status in Status]
COLUMNS = ("started", "steps", "failed", "steps_to_target", "next_point")


class Directory:
    """The directory of trials that are trained together.

    A `transient` directory exists only during training: it is made when there is something to save, and what it holds
    of other training is replaced.

    Raises:
        ValueError: the path is a file, holds something else, or holds training that must not go on: with another
            configuration, other trials or other data, or the same without `resume`.
        OSError: it can't be written.
    """

    _may_grow = False

    def __init__(self, directory: Path, trials: Trials, resume: bool, transient: bool = False) -> None:
        self.path, self.transient = directory, transient
        self._checkpoints: Checkpoints | None = None
        self._lock: Lock | None = None  # a transient directory is protected by the claim to its job
        if directory.exists():
            try:
                self._check(trials, resume)
            except ValueError:
                if not transient:
                    raise
                shutil.rmtree(directory)
        if not transient:
            self._claim(trials, resume)

    def _claim(self, trials: Trials, resume: bool) -> None:
        """Keep other processes from training here until `close`, and write what is trained."""
        make_folder(self.path)
        try:
            self._lock = Lock(self.path / "training.lock", wait=False)
        except Timeout as error:
            raise ValueError(
                f"--out {self.path} is where another process trains now; wait until it ends, or name another directory"
            ) from error
        try:
            self._check(trials, resume)  # another process may have been quicker
            self._keep_budget(trials)
            self._write_config(trials)
        except BaseException:
            self.close()
            raise

    def open(self, trials: Trials, clock: Clock) -> None:
        """Write files about the training, and restore `trials` and `clock` from the newest checkpoint."""
        if self.transient and not self.path.exists():
            return
        checkpoints = self._opened(trials, clock)
        with clock("io"):
            if checkpoints.latest is not None:
                clock.continue_from(self._restore(checkpoints, trials))

    def note(self, trials: Trials) -> None:
        """Save the results so far, if they are small."""

    def save(self, trials: Trials, clock: Clock) -> None:
        """Save the trials and their states as they are now."""
        checkpoints = self._opened(trials, clock)
        with clock("io"):
            self._keep(checkpoints, trials, clock.seconds)

    def end(self, trials: Trials, clock: Clock) -> None:
        """Save the trials as they are at the end, or when interrupted."""
        if not self.transient or (trials.status == Status.RUNNING).any():
            self.save(trials, clock)

    def close(self) -> None:
        """Wait until everything is written, and let other processes train here."""
        lock, self._lock = self._lock, None
        with contextlib.closing(lock) if lock else contextlib.nullcontext():
            if self._checkpoints is not None:
                self._checkpoints.close()

    def _opened(self, trials: Trials, clock: Clock) -> "Checkpoints":
        """Return the checkpoints; the first time, import their library and write the files about the training."""
        if self._checkpoints is not None:
            return self._checkpoints
        with clock("startup"):
            from mlp_jax.machine.checkpoint import Checkpoints
        with clock("io"):
            self._write_config(trials)
            for name, describe in (("environment.json", environment.describe), ("model.json", lambda: _model(trials))):
                if not (self.path / name).exists():
                    write_json(self.path / name, describe())
            self._checkpoints = Checkpoints(self.path / "checkpoints", prediction.identity(self.path))
        return self._checkpoints

    def _keep_budget(self, trials: Trials) -> None:
        """If a run gets a larger budget now, write the one with which it began into model.json, and remove its page."""
        if (self.path / "model.json").exists():
            had, model = (read_json(self.path, name) for name in ("config.json", "model.json"))
            had = {name: had[name] for name in budget.FIELDS}
            if had != {name: getattr(trials.config, name) for name in budget.FIELDS}:
                write_json(self.path / "model.json", {prediction.BEGUN: had} | model)
                (self.path / prediction.PAGE).unlink(missing_ok=True)  # it is about the smaller one

    def _write_config(self, trials: Trials) -> None:
        make_folder(self.path)
        write_json(self.path / "config.json", configs.to_dict(trials.config))

    def _keep(self, checkpoints: "Checkpoints", trials: Trials, seconds: dict[str, float]) -> None:
        if not self.transient:
            self._write_metrics(trials.history)
        rows = sorted(trials.states)
        states = [trials.states[row] for row in rows]
        stacked = {"states": jax.tree.map(lambda *leaves: np.stack(leaves), *states)} if rows else {}
        tree = {"known": _known(trials)} | stacked
        checkpoints.save((checkpoints.latest or 0) + 1, tree, {"rows": rows, "seconds": seconds})

    def _restore(self, checkpoints: "Checkpoints", trials: Trials) -> dict[str, float]:
        """Restore `trials` from the newest checkpoint, and return the clock's seconds."""
        one = jax.eval_shape(lambda: trial.start(trials.cell, _first(trials), jnp.uint32(0)))

        def like(note: dict) -> dict[str, Any]:
            shape = lambda leaf: jax.ShapeDtypeStruct((len(note["rows"]), *leaf.shape), leaf.dtype)
            return {"known": _known(trials)} | ({"states": jax.tree.map(shape, one)} if note["rows"] else {})

        tree, note = checkpoints.restore(like)
        rows, known = note["rows"], tree["known"]
        trials.status = np.array(STATUSES)[known["status"]]
        for name in COLUMNS:
            setattr(trials, name, known[name])
        trials.points = {name: known["points"][name] for name in trials.points}  # in their own order
        measured = {name: known["metrics"][name] for name in _metrics(trials)}
        trials.metrics = {name: column for name, column in measured.items() if not np.isnan(column).all()}
        states = tree.get("states")
        trials.states = {row: jax.tree.map(lambda leaf, n=n: leaf[n], states) for n, row in enumerate(rows)}
        return note["seconds"]

    def _write_metrics(self, columns: dict[str, Any]) -> None:
        """Write metrics.parquet, with a row for each evaluation."""
        parquet.write(self.path / "metrics.parquet", columns)

    def _check(self, trials: Trials, resume: bool) -> None:
        if not self.path.is_dir():
            raise ValueError(f"--out {self.path} is a file; name a new directory")
        if not any(entry for entry in self.path.iterdir() if entry.suffix not in PASSING):
            return
        before = read_json(self.path, "config.json")
        after = json.loads(json.dumps(configs.to_dict(trials.config)))
        names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        grown = self._may_grow and set(names) <= {*budget.FIELDS} and bool({*names} & {*budget.ENDS})
        if names and not (grown and resume):
            advice = "name another directory" + ", or add --resume to go on with a larger budget" * grown
            raise ValueError(
                f"--out {self.path} holds a run of another configuration ({names[0]} {before.get(names[0])!r} there, "
                f"{after.get(names[0])!r} here); {advice}"
            )
        if not resume:
            raise ValueError(f"--out {self.path} holds this run already; add --resume to go on with it")
        if grown:
            of_data = (len(trials.task.dataset.train.y), trials.cell.batch_size, trials.task.dataset.task)
            both = (configs.from_dict(before), trials.config)
            budget.check_growth(f"--out {self.path}", *both, trials.cell.schedule, *of_data)
        model = read_json(self.path, "model.json") if (self.path / "model.json").exists() else {}
        prediction.check_same(self.path, model, json.loads(json.dumps(finite(_model(trials)))))


class RunDirectory(Directory):
    """The directory of one trial, whose budget may grow; a checkpoint holds its state, and its history as a note."""

    _may_grow = True

    def note(self, trials: Trials) -> None:
        """Save the results so far."""
        rows = trials.rows_of(0)
        self._write_metrics({name: [row[name] for row in rows] for name in rows[0]} if rows else {})

    def end(self, trials: Trials, clock: Clock) -> None:
        """Save the trial if it has a state; of a trial that had ended before, save only the metrics."""
        if trials.rows_of(0):
            self.note(trials)
        if trials.states:
            super().end(trials, clock)

    def _keep(self, checkpoints: "Checkpoints", trials: Trials, seconds: dict[str, float]) -> None:
        note = {"history": trials.rows_of(0), "seconds": seconds}
        note |= {"status": str(trials.status[0]), "next_point": int(trials.next_point[0])}
        note |= finite({"steps_to_target": float(trials.steps_to_target[0])})
        checkpoints.save(int(trials.steps[0]), trials.states[0], note)

    def _restore(self, checkpoints: "Checkpoints", trials: Trials) -> dict[str, float]:
        like = jax.eval_shape(lambda: trial.start(trials.cell, _first(trials), jnp.uint32(0)))
        state, note = checkpoints.restore(lambda _: like)
        history = note["history"]
        unit = "training_seconds" if trials.task.total is None else "step"
        trials.make_room(tuple(float(row[unit]) for row in history))
        for number, row in enumerate(history):
            trials.note(np.array([0]), number, row)
        trials.started[0], trials.states[0] = True, state
        trials.steps[0], trials.failed[0] = state.step, state.failed
        trials.next_point[0] = note.get("next_point", len(history))
        last = history[-1]
        met = note.get("steps_to_target", last["step"] if _met(trials, last) else None)
        trials.steps_to_target[0] = np.inf if met is None else met
        status = note.get("status") or _status(trials, last)
        goes_on = status == Status.COMPLETE and trials.steps_to_target[0] == np.inf and _has_budget(trials, last)
        trials.status[0] = Status.RUNNING if goes_on else status
        return note["seconds"]


def _status(trials: Trials, last: dict) -> Status:
    """Return the status of a trial whose checkpoint does not hold it."""
    if trials.failed[0] >= 0:
        return Status.INFEASIBLE
    ended = trials.task.total is not None and last["step"] >= trials.task.total
    return Status.COMPLETE if ended or _met(trials, last) else Status.RUNNING


def _has_budget(trials: Trials, last: dict) -> bool:
    """Tell whether a trial, which may have had a smaller budget before, has some of its budget left."""
    total, seconds = trials.task.total, trials.config.seconds
    return (total is None or last["step"] < total) and (seconds is None or last["training_seconds"] < seconds)


def _met(trials: Trials, last: dict) -> bool:
    """Tell whether a trial met its target, judged by its last evaluation alone."""
    target, score = trials.config.stop_at, last[trials.task.score]
    return target is not None and (score <= target if trials.task.less_is_better else score >= target)


def _model(trials: Trials) -> dict[str, Any]:
    """Return the content of `model.json`; for several trials it has columns."""
    one = trials.size == 1
    hyper = {name: float(v[0]) if one else v.tolist() for name, v in trials.hyper.items()}
    dataset = trials.task.dataset
    extra = {"name": dataset.name, "fingerprint": dataset.fingerprint, "seeds": trials.seeds.tolist()}
    return prediction.remember(trials.cell, hyper, dataset) | extra


def _known(trials: Trials) -> dict[str, Any]:
    """Return all that is known about the trials, as arrays."""
    codes = np.array([STATUSES.index(status) for status in trials.status], np.int32)
    known = {name: getattr(trials, name) for name in COLUMNS}
    return known | {"status": codes, "points": trials.points, "metrics": _metrics(trials)}


def _metrics(trials: Trials) -> dict[str, np.ndarray]:
    """Return every metric of every split at the end of each trial, NaN if it is not known."""
    names = [f"{split}_{name}" for split in trials.task.splits for name in trials.task.metrics_of_one]
    return {name: trials.metrics.get(name, np.full(trials.size, np.nan)) for name in names}


def _first(trials: Trials) -> dict[str, float]:
    return {name: float(column[0]) for name, column in trials.hyper.items()}
