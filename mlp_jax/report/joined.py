"""Studies side by side: which device finishes first, and whether the ranking of the optimizers changes with it.

Invariant: only studies that ask the same are compared; a change is stated only if two devices contradict each other.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlp_jax.analysis import family
from mlp_jax.analysis.family import Pair
from mlp_jax.report.listings import Cell, Table, of_text
from mlp_jax.study.evidence import Findings, best_batch_sizes, seconds_apart, where
from mlp_jax.study.summary import interval, number

if TYPE_CHECKING:
    import pandas

COST = "seconds"  # it differs between devices; steps and examples do not, except for rounding


class Spent(NamedTuple):
    """Training seconds of a study: of its tuning, where trials run together, and of its winners, each alone."""

    tuning: float
    winners: float

    @property
    def total(self) -> float:
        """The seconds of both together."""
        return self.tuning + self.winners


def spent(rows: "pandas.DataFrame") -> Spent:
    """Add up a study's clocks: the trials of a round run together, so the latest counts; winners run one by one."""

    def last(phase: str, by: list[str]) -> float:
        latest = where(rows, phase=phase).groupby(by)["training_seconds"].max()
        return float(np.sum(np.asarray(latest, float)))

    return Spent(last("tuning", ["cell", "round"]), last("winners", ["trial"]))


def ranking(found: Findings) -> list[str]:
    """Return the optimizers by their least seconds to target; one that misses the target has no rank."""
    least = {}
    for name in found.scaling:
        values = where(found.cells, optimizer=name)[COST].to_numpy(float)
        if best_batch_sizes(found.cells, name)[COST] is not None:
            least[name] = float(np.min(values))
    return sorted(least, key=lambda name: least[name])


def changes(found: Mapping[str, Findings]) -> list[tuple[str, str, str]]:
    """Return each quantity and pair of optimizers for which two devices give opposite verdicts."""
    contradicted = {family.FIRST_LESS, family.SECOND_LESS}
    return [what for what, by_label in _pairs(found).items() if contradicted <= {p.verdict for p in by_label.values()}]


def sentences(found: Mapping[str, Findings], seconds: Mapping[str, Spent], asks_same: bool) -> list[str]:
    """Say which study's training took least, and whether the optimizers rank alike in all studies.

    Args:
        found: what each study found, by label.
        seconds: the training seconds of each complete study, by label.
        asks_same: whether all studies ask the same.
    """
    if not asks_same:
        return ["The studies do not ask the same, so neither their times nor their rankings are compared."]
    said = []
    if len(seconds) > 1:
        order = sorted(seconds, key=lambda label: seconds[label].total)
        first, rest = order[0], order[1:]
        others = ", ".join(f"{_took(seconds[at])} on {at} ({_times(seconds, at, first)})" for at in rest)
        said.append(f"First to finish is {first}: {_took(seconds[first])}; {others}.")
    else:
        said.append("Fewer than two of the studies are complete, so none is said to finish first.")
    if len(found) > 1:
        said.append(ranked(found))
    return said


def tables(found: Mapping[str, Findings]) -> list[Table]:
    """Return the table of comparisons in seconds, a column for each study; [] if there is nothing to compare."""
    pairs = _pairs(found)
    if not pairs:
        return []
    rows, changed = [], changes(found)
    for (quantity, a, b), by_label in pairs.items():
        shown = [_cell(by_label.get(label)) for label in found]
        said = "changes" if (quantity, a, b) in changed else "no change found"
        rows.append([of_text(quantity), of_text(f"{a} / {b}"), *shown, of_text(said)])
    note = (
        "Seconds to target at each batch size: ratio, with an interval that holds for all of a study’s together (95 %)."
    )
    return [Table("Optimizers on each device", note, ["what", "first / second", *found, "ranking"], rows)]


def _pairs(found: Mapping[str, Findings]) -> dict[tuple[str, str, str], dict[str, Pair]]:
    pairs: dict[tuple[str, str, str], dict[str, Pair]] = {}
    for label, each in found.items():
        for pair in seconds_apart(each):
            pairs.setdefault((pair.quantity, pair.first, pair.second), {})[label] = pair
    return pairs


def ranked(found: Mapping[str, Findings]) -> str:
    """Say how the optimizers rank on each device, and where their order changes beyond the intervals."""
    rankings = {label: ", ".join(ranking(each)) or "none reached it" for label, each in found.items()}
    if len(set(rankings.values())) == 1:
        text = f"By their least seconds to target the optimizers rank alike everywhere: {next(iter(rankings.values()))}"
    else:
        ranks = "; ".join(f"{names} on {label}" for label, names in rankings.items())
        text = f"By their least seconds to target the optimizers rank {ranks}"
    pairs = [f"{a} and {b} in {quantity}" for quantity, a, b in changes(found)]
    said = f"the order of {', '.join(pairs)} changes with the device" if pairs else "no change is beyond the intervals"
    return f"{text}; {said}."


def _cell(pair: Pair | None) -> Cell:
    if pair is None:
        return Cell("–", float("inf"))
    words = {family.FIRST_LESS: f"{pair.first} takes less", family.SECOND_LESS: f"{pair.second} takes less"}
    said = words.get(pair.verdict, pair.verdict)
    return Cell(f"{interval(pair.ratio)}: {said}", float(np.nan_to_num(pair.ratio.value, nan=np.inf)))


def _took(seconds: Spent) -> str:
    parts = f"{number(seconds.tuning)} tuning, {number(seconds.winners)} winners"
    return f"{number(seconds.total)} s of training ({parts})"


def _times(seconds: Mapping[str, Spent], label: str, first: str) -> str:
    least = seconds[first].total
    return f"{number(seconds[label].total / least)} times as long" if least > 0 else "no ratio"
