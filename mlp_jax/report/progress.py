"""The progress of an unfinished study, in words and as a box for each cell; and the failed trials, with the reason.

Invariant: what is not known yet is called so, and a complete study has no progress to show.
"""

import math
import time
from typing import TYPE_CHECKING, Any

from mlp_jax.report.listings import Table, of_number, of_text
from mlp_jax.study.evidence import ordered
from mlp_jax.study.progress import CellProgress, Progress
from mlp_jax.study.summary import number
from mlp_jax.training.trials import Status

if TYPE_CHECKING:
    import pandas

MOST = 200  # the most failed trials that are listed


def boxes(progress: Progress) -> dict[str, Any]:
    """Return the progress that the page shows: sentences, and a row for each optimizer with a box for each cell."""
    cells = {(cell.optimizer, cell.batch_size): cell for cell in progress.cells}
    sizes = sorted({cell.batch_size for cell in progress.cells}, reverse=True)
    rows = [(name, [_box(cells[name, size]) for size in sizes]) for name in ordered(name for name, _ in cells)]
    return {"sentences": _sentences(progress), "sizes": [f"{size:,}" for size in sizes], "rows": rows}


def _sentences(progress: Progress) -> list[str]:
    cells = progress.cells
    made, jobs = sum(cell.made for cell in cells), sum(cell.jobs for cell in cells)
    trials, failed = sum(cell.trials for cell in cells), sum(cell.failed for cell in cells)
    complete = sum(cell.made == cell.jobs for cell in cells)
    why = f", {failed:,} of them because their loss was not finite" if failed else ""
    said = [
        f"{complete} of {len(cells)} cells are complete, with {made} of about {jobs} rounds; {trials:,} trials have "
        f"ended{why}."
    ]
    if math.isfinite(progress.left):
        said.append(f"Roughly {duration(progress.left)} are left: batch sizes that have not begun may take longer.")
    else:
        said.append("How long it takes is not known yet.")
    return said


def _box(cell: CellProgress) -> dict[str, Any]:
    """Return what the box of one cell says."""
    done, met = cell.made == cell.jobs, math.isfinite(cell.fewest)
    state = "complete" if done else "at work" if cell.since else "begun" if cell.made else "waiting"
    said = [f"best trial {number(cell.fewest)} steps"] if met else ["target not met"] if cell.trials else []
    said += [f"{cell.failed} failed"] if cell.failed else []
    box = {"made": cell.made, "jobs": cell.jobs, "since": cell.since, "clock": _clock(cell.since)}
    return box | {"state": state, "said": ", ".join(said)}


def _clock(since: float | None) -> str:
    return "" if since is None else time.strftime("%H:%M:%S", time.localtime(since))


def duration(seconds: float) -> str:
    """Return a duration as text, in the unit in which it has one or two digits."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def failures(rows: "pandas.DataFrame") -> Table | None:
    """Return the table of the failed trials, with their rate relative to their cell's best; None if none failed."""
    failed = rows.loc[rows["status"] == Status.INFEASIBLE].drop_duplicates("trial") if len(rows) else rows
    if failed.empty:
        return None
    met = rows.loc[rows["steps_to_target"].map(math.isfinite)].sort_values("steps_to_target", kind="stable")
    best = met.drop_duplicates("cell").set_index("cell")["learning_rate"].to_dict()
    listed = []
    for row in failed.head(MOST).to_dict("records"):
        why = f"the loss was not finite at step {number(row['failed'])}"
        if row["cell"] in best:
            times = number(row["learning_rate"] / best[row["cell"]])
            why += f", at {times} times the learning rate of the best trial of its cell"
        names = (of_text(row["optimizer"]), of_number(row["batch_size"]), of_number(row["learning_rate"]))
        listed.append([*names, of_number(row["seed"]), of_text(why)])
    some = f"the first {MOST} of {len(failed):,}" if len(failed) > MOST else f"{len(failed):,} in all"
    note = f"A failure is a result, and nothing else stops for it ({some})."
    return Table("Trials that failed", note, ["optimizer", "B", "learning rate", "seed", "why"], listed)
