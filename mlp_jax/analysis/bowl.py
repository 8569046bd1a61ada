"""Steps to target against two hyper-parameters: a bowl and its bottom.

Invariant: the coordinates straighten the valley, so that a full quadratic fits it: for a learning rate η and a momentum
β they are log₁₀(η/(1 − β)) and log₁₀(1 − β). Heights are natural logarithms of steps, inf for a trial that missed.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

from mlp_jax.analysis import bootstrap, valley

UNKNOWNS = 6  # of a full quadratic in two coordinates
LEAST = 24  # trials that must remain when the quadratic is fitted again to those near its bottom
KEPT = float(np.log(2.0))  # the next quadratic is fitted to trials at most this much above the bottom of the last
BASE = 0.1  # the first base is this quantile of the trials that met the target: the least alone may be luck


class Bowl(NamedTuple):
    """The bottom: its steps, its place, and both in each resample; inf and NaN where there is none.

    `trials` is the number of trials that the quadratic was fitted to. It is 0 if fewer than 12 trials met the target
    within 4 times the base: then the best trial gives `steps` and `place`, and so it does in each resample.
    """

    steps: float
    place: tuple[float, float]
    samples_steps: Float[np.ndarray, " resamples"]
    samples_place: Float[np.ndarray, "resamples 2"]
    trials: int


def momentum_places(
    rate: Real[np.ndarray, " trials"], momentum: Real[np.ndarray, " trials"]
) -> Float[np.ndarray, "trials 2"]:
    """Return log₁₀(η/(1 − β)) and log₁₀(1 − β): the coordinates in which momentum's valley lies along an axis."""
    return np.stack([np.log10(rate / (1 - momentum)), np.log10(1 - momentum)], axis=1)


def momentum_values(place: Float[np.ndarray, "points 2"]) -> tuple[np.ndarray, np.ndarray]:
    """Undo `momentum_places`: return the learning rates and the momenta of places."""
    rest = 10.0 ** place[:, 1]
    return 10.0 ** place[:, 0] * rest, 1 - rest


def fit(
    place: Float[np.ndarray, "trials 2"], steps: Real[np.ndarray, " trials"], *, resamples: int = 300, seed: int = 0
) -> Bowl:
    """Fit a robust quadratic of log steps over both coordinates and find its bottom; `response.fit` is for one.

    Raises:
        ValueError: there is no trial, or a number of steps is not positive.
    """
    if not steps.size or len(place) != steps.size or not np.all(steps > 0):
        raise ValueError("places and positive numbers of steps do not pair; give one of both per trial, inf for a miss")
    order = np.lexsort((steps, *place.T))
    place, height = place[order], np.log(steps[order].astype(float))
    if np.isinf(height).all():
        return Bowl(np.inf, (np.nan, np.nan), np.full(resamples, np.inf), np.full((resamples, 2), np.nan), 0)
    bottom, at, kept = _bottom(place, height)
    size = max(round(steps.size * (1 - UNKNOWNS / kept)), -(-steps.size // 2)) if kept else steps.size
    own = bootstrap.draws(steps.size, resamples, seed)[:, :size] if resamples else np.zeros((0, size), int)
    drawn = [_bottom(place[each], height[each]) for each in own]
    samples, places = np.exp([one[0] for one in drawn]), np.array([one[1] for one in drawn]).reshape(-1, 2)
    return Bowl(float(np.exp(bottom)), (float(at[0]), float(at[1])), samples, places, kept)


def _bottom(place: np.ndarray, height: np.ndarray) -> tuple[float, np.ndarray, int]:
    """Return the height and the place of the bottom, and the number of trials that the quadratic was fitted to."""
    known = np.sort(height[np.isfinite(height)])
    if not known.size:
        return np.inf, np.full(2, np.nan), 0
    base, best = float(known[int(BASE * (known.size - 1))]), place[height.argmin()]
    inside = height <= base + valley.BAD
    if inside.sum() < 2 * UNKNOWNS:
        return float(known[0]), best, 0
    kept = inside
    base, at, predicted = _lowest(place, height, kept)
    for _ in range(valley.PASSES - 1):
        near = (height <= base + valley.BAD) & (predicted <= base + KEPT)
        kept = near if near.sum() >= LEAST else kept
        base, at, predicted = _lowest(place, height, kept)
    return base, at, int(kept.sum())


def next_places(bowl: Bowl, count: int, half: float = 0.5, seed: int = 0) -> Float[np.ndarray, "count 2"]:
    """Return `count` places spread evenly over a square around the bottom, `half` a decade to each side.

    Raises:
        ValueError: there is no bottom, or `count` is below 1.
    """
    if count < 1 or not np.isfinite(bowl.steps):
        raise ValueError(f"{count!r} next places are not possible; give at least 1, after a trial has met the target")
    from scipy.stats import qmc

    spread = qmc.Halton(2, rng=np.random.default_rng(seed)).random(count)
    return np.array(bowl.place) + half * (2 * spread - 1)


def _powers(place: np.ndarray) -> np.ndarray:
    x, y = place.T
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)


def _huber(place: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Return the six coefficients by least squares with Huber's weights; curvature is added as in `valley.huber`."""
    middle = place.mean(axis=0)
    powers, weight = _powers(place - middle), np.ones_like(height)
    held, toward = (
        valley.TRUST * np.diag([0, 1e-6, 1e-6, 1, 1, 1]),
        valley.TRUST * valley.BEND * np.array([0, 0, 0, 1, 1, 0]),
    )
    solve = lambda: np.linalg.solve((powers.T * weight) @ powers + held, (powers.T * weight) @ height + toward)
    solution = solve()
    for _ in range(valley.REWEIGHTS):
        error = np.abs(height - powers @ solution)
        limit = max(valley.HUBER * 1.4826 * float(np.median(error)), valley.SMALL)
        weight = np.minimum(1, limit / np.maximum(error, valley.SMALL))
        solution = solve()
    c, bx, by, xx, yy, xy = solution
    mx, my = middle
    return np.array(
        [
            c - bx * mx - by * my + xx * mx**2 + yy * my**2 + xy * mx * my,
            bx - 2 * xx * mx - xy * my,
            by - 2 * yy * my - xy * mx,
            xx,
            yy,
            xy,
        ]
    )


def _lowest(place: np.ndarray, height: np.ndarray, kept: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Fit the trials that are kept; return the bottom's height and place, and the quadratic's height at every trial.

    The bottom is that of the quadratic if it lies among the trials kept, otherwise the lowest of the heights at these.
    """
    coefficients, among = _huber(place[kept], height[kept]), place[kept]
    _, bx, by, xx, yy, xy = coefficients
    bend, predicted = np.array([[2 * xx, xy], [xy, 2 * yy]]), _powers(place) @ coefficients
    at = among[(_powers(among) @ coefficients).argmin()]
    if xx > 0 and np.linalg.det(bend) > 1e-9:
        turn = np.linalg.solve(bend, [-bx, -by])
        at = turn if np.all((turn >= among.min(axis=0)) & (turn <= among.max(axis=0))) else at
    return float(_powers(at[None])[0] @ coefficients), at, predicted
