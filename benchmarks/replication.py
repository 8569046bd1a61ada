"""Draw whole studies from a dense table of real trials and count how often each interval holds the truth.

python benchmarks/replication.py                       # a table of shares, and a record in benchmarks/results/
python benchmarks/replication.py --table DIR           # DIR/<optimizer>.npz: rates, sizes, steps_<B>
python benchmarks/replication.py --studies 20 --json   # one JSON object on stdout

A study gets 10 rates over the whole space and three rounds of 6 around the bottom, every trial with a seed of its own.
Measured with 200 studies of each optimizer on the shipped table of digits: how many percent of the intervals of a
stated 95 % hold the truth of the table, how far apart the ends of B_crit lie (median), and how many percent of equal
cells are called different:

                S   S_min  E_min  B_crit  ends   best rate  exponent  equals
    momentum  96.3   98.5     99      99  1.64       94.2        99      2.2
    rmsprop   97.3   98.5     96      98  1.84       94.7      97.5      2.6
    sgd       94.2   95.5   99.5      97  1.75       97.5         –      1.8

Intervals of the ratio of two optimizers hold it in 95.5 to 98.5 %. B_crit is counted as if every line fitted; rmsprop's
misses its steps by 28 %, so 96 % of its studies withhold B_crit. sgd has too few batch sizes up to its B_crit.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import records

from mlp_jax import tables
from mlp_jax.analysis import selftest, testbed
from mlp_jax.analysis.testbed import Design, Table

COLUMNS = (
    ("S", "steps"),
    ("S_min", "s_min"),
    ("E_min", "e_min"),
    ("B_crit", "b_crit"),
    ("high/low", "b_crit_high_over_low"),
    ("given", "b_crit_given"),
    ("best rate", "best_rate"),
    ("exponent", "exponent"),
    ("equals differ", "equals_called_different"),
    ("any of 4 equals", "any_of_four_equals_called_different"),
)


def read(folder: Path) -> dict[str, Table]:
    """Return the table of each optimizer from `<optimizer>.npz` in the folder.

    Raises:
        ValueError: the folder has none, or one of them holds other arrays.
    """
    found = {}
    for path in sorted(folder.glob("*.npz")):
        arrays = np.load(path)
        try:
            steps = np.stack([arrays[f"steps_{size}"] for size in arrays["sizes"]])
            found[path.stem] = Table(*(array.astype(float) for array in (arrays["sizes"], arrays["rates"], steps)))
        except KeyError as error:
            raise ValueError(f"{path}: {error.args[0]}; give rates, sizes and steps_<B> of each size") from error
    if not found:
        raise ValueError(f"{folder} has no .npz; give a folder with <optimizer>.npz")
    return found


def shown(score: dict) -> str:
    """Return the shares as two tables."""
    cell = lambda value: "–" if value is None else f"{value:.3g}"
    rows = [(name, *(cell(of[key]) for _, key in COLUMNS)) for name, of in score["optimizers"].items()]
    pairs = [
        (name, *(cell(of[end][key]) for end in ("smallest", "largest") for key in ("ratio", "held", "seen")))
        for name, of in score["differences"].items()
    ]
    headers = ("ratio at the smallest B", "held", "seen", "at the largest B", "held", "seen")
    one = tables.text(("%", *(title for title, _ in COLUMNS)), rows)
    return one + ("\n\n" + tables.text(("pair", *headers), pairs) if pairs else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, help="a folder of dense tables; the one of digits otherwise")
    parser.add_argument("--pack", type=Path, help="write the tables to this one .npz, as the package ships it, and end")
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--design", type=int, nargs=3, default=(10, 3, 6), metavar=("COARSE", "ROUNDS", "EACH"))
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, and no record")
    args = parser.parse_args()
    start = time.perf_counter()
    try:
        dense = testbed.shipped() if args.table is None else read(args.table)
        if args.pack is not None:
            np.savez_compressed(args.pack, **testbed.arrays(dense))  # pyright: ignore[reportArgumentType]
            return
        score = selftest.score(dense, args.studies, Design(*args.design), resamples=args.resamples, seed=args.seed)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    record = {
        "environment": records.environment(),
        "table": "digits" if args.table is None else args.table.name,
        "design": dict(zip(("coarse", "rounds", "each"), args.design)),
        "seconds": round(time.perf_counter() - start, 1),
        **score,
    }
    if args.json:
        print(json.dumps(record, ensure_ascii=False))
        return
    print(f"{score['studies']} studies, {score['trials_per_cell']} trials a cell, {record['seconds']:.0f} s\n")
    print(shown(score))
    print(f"\nrecord: {records.write('replication', record)}")


if __name__ == "__main__":
    main()
