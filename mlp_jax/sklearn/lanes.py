"""Train many estimators on many folds as lanes of a few programs: the values of each lane, and its results.

Invariant: a lane has the seed, rows, constants and hyper-parameters of the estimator when fitted on its fold alone.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from sklearn.base import clone
from sklearn.utils import _safe_indexing

from mlp_jax import losses
from mlp_jax.machine import devices
from mlp_jax.sklearn import fitting, parameters
from mlp_jax.sklearn.fitted import Fitted
from mlp_jax.sklearn.fitting import Folds, Found, Many, Part, Plan, Rules
from mlp_jax.sklearn.mlp import MLP, held_out, seed
from mlp_jax.sklearn.parameters import Asked, Constants
from mlp_jax.training.config import Config

Place = tuple[int, int, int]  # the place of a fit among all: candidate, fold, seed


class Lane(NamedTuple):
    """One fit: its plan, and the number of its share of the data."""

    place: Place
    config: Config
    seed: int
    asked: Asked
    share: int


class Share(NamedTuple):
    """The data that some lanes have in common: rows that train, rows that decide the end, weights, constants, fold."""

    train: np.ndarray
    held: np.ndarray | None
    fold: tuple[np.ndarray, np.ndarray]
    weight: np.ndarray | None
    constants: Constants


class Trained(NamedTuple):
    """Scores by (candidate, fold, seed), NaN where a loss was not finite; `fitted` if parameters were asked for."""

    tested: np.ndarray
    trained: np.ndarray
    fitted: dict[Place, Fitted]

    def scores(self, scorer: Callable, asked: list, base: MLP, X: Any, y: Any, rows: list[np.ndarray]) -> np.ndarray:
        """Return the score that `scorer` gives each fit on the rows of its fold."""
        scores = np.full(self.tested.shape, np.nan)
        known = {name: value for name, value in vars(base).items() if name.endswith("_") or name == "_one_target"}
        for place, fitted in self.fitted.items():
            if np.isfinite(self.tested[place]):
                estimator, part = clone(asked[place[0]]), rows[place[1]]
                vars(estimator).update(known | {"_fitted": fitted})
                scores[place] = scorer(estimator, _safe_indexing(X, part), _safe_indexing(y, part))
        return scores


class Sweep:
    """The data of a search, and its fits as lanes, in groups that share a program."""

    def __init__(self, base: MLP, x: np.ndarray, target: np.ndarray, weight: Any, folds: list, learned: bool) -> None:
        self.base, self.x, self.target, self.folds, self.learned = base, x, target, folds, learned
        self.sample_weight = None if weight is None else np.asarray(weight, float)
        self.classes = base._class_count()
        self.whole = parameters.constants("standard", x, None, None)  # from all rows, so that X fits into 32 bits
        self.shares: dict[tuple, Share] = {}
        self.known: dict[
            tuple, tuple[Config, Asked]
        ] = {}  # checking the same parameters again for each fold would take time
        self.groups: dict[tuple, list[Lane]] = {}

    def add(self, place: Place, estimator: MLP, seed: int) -> None:
        """Add a lane for a fit to the group of its program."""
        given = estimator._parameters()
        early = seed if given["early_stopping"] else None
        key = (place[1], early, given["scaling"], repr(given.get("class_weight")))
        if key not in self.shares:
            self.shares[key] = self._share(estimator, place[1], seed)
        share = self.shares[key]
        each = 1.0 if share.weight is None else float(share.weight.mean())
        same = (place[0], len(share.train), each, place[1] if given.get("output") == "relu" else None)
        if same not in self.known:
            config = parameters.config(given, regression=not self.classes)
            seen = share.constants.target(self.target) if not self.classes else self.target
            cell = parameters.network_of(config, self.x, seen, self.classes)
            asked = parameters.asked(given, config, cell, len(share.train), len(self.x), each=each)
            self.known[same] = config, asked
        config, asked = self.known[same]
        plan = asked.plan
        group = (plan.cell, plan.shuffled, plan.early, tuple(asked.hyper), share.weight is None)
        self.groups.setdefault(group, []).append(Lane(place, config, seed, asked, list(self.shares).index(key)))

    def train(self, lanes: list[Lane], keep: bool) -> Found:
        """Train the lanes of a group in one program."""
        plan = lanes[0].asked.plan
        room = max(lane.asked.plan.room for lane in lanes)
        plan = Plan(cell=plan.cell, shuffled=plan.shuffled, early=plan.early, room=room)
        used = sorted({lane.share for lane in lanes})
        shares = [list(self.shares.values())[number] for number in used]
        column = lambda values: np.array(values, np.float32)
        many = Many(
            rules=Rules(
                np.array([lane.asked.rules.epochs for lane in lanes], np.int32),
                column([lane.asked.rules.tol for lane in lanes]),
                column([lane.asked.rules.patience for lane in lanes]),
            ),
            hyper={name: column([lane.asked.hyper[name] for lane in lanes]) for name in lanes[0].asked.hyper},
            seed=np.array([lane.seed for lane in lanes], np.uint32),
            fold=np.array([used.index(lane.share) for lane in lanes], np.int32),
        )
        x = self.whole.seen(self.x).astype(np.float32)
        return fitting.many(plan, devices.mesh(), x, self._folds(plan, shares), many, keep)

    def fitted(self, lane: Lane, params: Any) -> Fitted:
        """Return the Fitted that an estimator of this lane would hold."""
        constants = list(self.shares.values())[lane.share].constants
        return Fitted(lane.config, lane.asked.plan.cell, constants, self.classes, np.dtype(np.float32), params)

    def _share(self, estimator: MLP, fold: int, seed: int) -> Share:
        train = np.asarray(self.folds[fold][0])
        vars(estimator).update({name: value for name, value in vars(self.base).items() if name == "classes_"})
        weight = None if self.sample_weight is None else self.sample_weight[train]
        weight = estimator._weights(self.x[train], self.target[train], weight)
        held = None
        if estimator.early_stopping:
            train, weight, held = held_out(estimator, train, self.target[train], weight, seed)
        if weight is not None and not weight.all():
            train, weight = train[weight > 0], weight[weight > 0]
        y = None if self.classes else self.target[train]
        constants = parameters.constants(estimator.scaling, self.x[train], y, weight)
        if not self.classes and estimator.output == "relu":
            constants = constants._replace(target_center=0 * constants.target_center)
        return Share(train, held, self.folds[fold], weight, constants)

    def _folds(self, plan: Plan, shares: list[Share]) -> Folds:
        """Return the lanes' shares of the data in the form for the device."""
        n, real, whole = len(self.x), np.float32, plan.cell.batch_size == len(self.x)
        most = max(len(share.train) for share in shares)
        index = np.stack([np.resize(share.train, most) for share in shares]).astype(np.int32)
        count = np.array([len(share.train) for share in shares], np.int32)
        rows = lambda parts: np.stack([np.isin(np.arange(n), part) for part in parts]).astype(real)
        y = [self.target if self.classes else share.constants.target(self.target).astype(real) for share in shares]
        center = [(share.constants.center - self.whole.center) * self.whole.scale for share in shares]
        scale = [share.constants.scale / self.whole.scale for share in shares]
        weighted = whole or shares[0].weight is not None
        return Folds(
            part=Part(None if whole else index, count),
            y=np.stack(y),
            center=np.stack(center).astype(real),
            scale=np.stack(scale).astype(real),
            weight=np.stack([_weights(share, n, whole) for share in shares]).astype(real) if weighted else None,
            held=rows([share.held for share in shares]) if plan.early else None,
            tested=rows([share.fold[1] for share in shares]),
            trained=rows([share.fold[0] for share in shares]) if self.learned else None,
        )


def train(
    asked: list[MLP],
    base: MLP,
    x: np.ndarray,
    target: np.ndarray,
    weight: Any,
    folds: list,
    *,
    seeds: int,
    keep: bool,
    learned: bool,
) -> Trained:
    """Train each of the estimators `asked` on each of `folds`, with `seeds` seeds each.

    Args:
        base: an estimator that knows the classes; it made `x` and `target` from the data.
        weight: the weights of the rows, or None.
        folds: pairs of the rows that train and the rows that are tested.
        keep: return the fitted networks too.
        learned: score the rows that train too.
    """
    sweep = Sweep(base, x, target, weight, folds, learned)
    for candidate, estimator in enumerate(asked):
        first = seed(estimator.random_state)
        for fold in range(len(folds)):
            for number in range(seeds):
                sweep.add((candidate, fold, number), estimator, (first + number) % 2**32)
    tested = np.full((len(asked), len(folds), seeds), np.nan)
    trained = Trained(tested, tested.copy(), {})
    for lanes in sweep.groups.values():
        found = sweep.train(lanes, keep)
        places = tuple(np.array([lane.place for lane in lanes]).T)
        failed = found.failed >= 0 if not lanes[0].asked.plan.early else False
        for scores, sums in ((trained.tested, found.tested), (trained.trained, found.trained)):
            if sums is not None:
                scores[places] = np.where(failed, np.nan, losses.metrics(sums)["accuracy" if sweep.classes else "r2"])
        if keep:
            for number, lane in enumerate(lanes):
                params = jax.tree.map(lambda leaf, k=number: leaf[k], found.params)
                trained.fitted[lane.place] = sweep.fitted(lane, params)
    return trained


def _weights(share: Share, n: int, whole: bool) -> np.ndarray:
    """Return the weights of all rows: 1 on average over the rows that train, or with `whole` over all rows."""
    weight = np.zeros(n)
    own = np.ones(len(share.train)) if share.weight is None else share.weight / share.weight.mean()
    weight[share.train] = own * (n / len(share.train) if whole else 1)
    return weight
