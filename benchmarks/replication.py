"""Draw whole studies from a dense table of real trials and count how often each interval holds the truth.

python benchmarks/replication.py                       # a table of shares, and a record in benchmarks/results/
python benchmarks/replication.py --table DIR           # DIR/<optimizer>.npz: rates, sizes, steps_<B>
python benchmarks/replication.py --studies 20 --json   # one JSON object on stdout
python benchmarks/replication.py --make sgd momentum --out DIR  # dense tables: DIR/<looks>/<optimizer>.npz
python benchmarks/replication.py --replicates 20 --out DIR      # whole studies, trained and scored by these tables

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

The same, no constant changed, on a dense table of a second data set (--second: 1,800 drawn rows, five classes) and of
the final definition of steps to target, 8 seeds at each of 49 rates:

                S   S_min  E_min  B_crit  ends   best rate  exponent  equals
    momentum  95.8     92     97      95  1.44       96.1        99      3.2
    rmsprop   96.6     98     98    99.5  1.38       82.8      93.5      2.6
    sgd       96.9     97     99    99.5  1.61       91.5      99.5      1.8

There the ratio of momentum and sgd at the largest batch size is held in 87 %, all others in 93.5 to 98 %.

Twenty replicates of the default study with adam besides, everything random drawn anew, against dense tables of digits
(49 rates, 16 or, of adam and rmsprop, 8 seeds; 240 looks): the reference, in how many percent B_crit was given and its
interval held it, and the reference by the number of looks:

              B_crit  given  held  ends  S held   120 looks  480 looks
    adagrad       49    100   100   1.5      96          48         50
    adam         298    100    95   1.6      99         301        310
    momentum     239    100    95   1.5      96         256        245
    rmsprop       95     10    50   1.5      98         103        103
    sgd           82     95   100   1.7      96          84         84

No two intervals of one optimizer lie apart and no two verdicts contradict each other; a verdict is the same in 90 to
100 % of the replicates, with rmsprop at B = 1 in 80 to 90 %: there it reaches the target with fewer than half of the
seeds, whatever the rate, so its reference is that of the other batch sizes.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import dense
import numpy as np
import records
import replicates

from mlp_jax import study as studies
from mlp_jax import tables
from mlp_jax.analysis import selftest, testbed
from mlp_jax.analysis.testbed import Design, Table
from mlp_jax.machine import cache, devices
from mlp_jax.study import Study
from mlp_jax.training import config as configs

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
            steps = np.stack([arrays[f"steps_{size:g}"] for size in arrays["sizes"]])
            found[path.stem] = Table(*(array.astype(float) for array in (arrays["sizes"], arrays["rates"], steps)))
        except KeyError as error:
            raise ValueError(f"{path}: {error.args[0]}; give rates, sizes and steps_<B> of each size") from error
    if not found:
        raise ValueError(f"{folder} has no .npz; give a folder with <optimizer>.npz")
    return found


def make(study: Study, names: list[str], out: Path, seeds: int) -> None:
    """Write dense tables of these optimizers to out/<looks>/<optimizer>.npz; one that is there is not made again."""
    dataset = configs.load_data(study.workload)
    for name in names:
        paths = {looks: out / str(looks) / f"{name}.npz" for looks in dense.LOOKS}
        if all(path.exists() for path in paths.values()):
            continue
        for looks, table in dense.make(study, name, dataset, seeds=seeds, said=say).items():
            paths[looks].parent.mkdir(parents=True, exist_ok=True)
            steps = {f"steps_{size:g}": of for size, of in zip(table.sizes, table.steps.astype(np.float32))}
            np.savez_compressed(paths[looks], rates=table.rates, sizes=table.sizes, **steps)


def say(text: str) -> None:
    """Tell on stderr how far it has come."""
    print(text, file=sys.stderr, flush=True)


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


def drawn(args: argparse.Namespace) -> tuple[dict, str]:
    """Score studies that are drawn from tables; return the result and its text."""
    dense_tables = testbed.shipped() if args.table is None else read(args.table)
    score = selftest.score(dense_tables, args.studies, Design(*args.design), resamples=args.resamples, seed=args.seed)
    result = {"table": "digits" if args.table is None else "/".join(args.table.parts[-2:])} | score
    result |= {"design": dict(zip(("coarse", "rounds", "each"), args.design))}
    return result, f"{score['studies']} studies, {score['trials_per_cell']} trials a cell\n\n{shown(score)}"


def asked(args: argparse.Namespace) -> Study:
    """Return the study to train, when the back end is ready for it."""
    if args.out is None:
        raise ValueError("--make and --replicates keep what they train; give its folder with --out")
    devices.start_cpu_devices()
    cache.enable_compilation_cache()
    if args.second:
        return dense.second(args.out)
    return Study() if args.study is None else studies.from_file(args.study)


def real(args: argparse.Namespace) -> tuple[dict, str]:
    """Train replicates of the study, score them against the dense tables; return the result and its text."""
    study = asked(args)
    by_looks = {looks: read(args.out / str(looks)) for looks in dense.LOOKS}
    names = tuple(by_looks[dense.LOOKS[0]])
    study = studies.changed(study, {}, {"optimizers": names})
    found = replicates.train(study, args.replicates, args.out / "replicates", say)
    result = replicates.score(by_looks[dense.LOOKS[0]], found) | {"b_crit_by_looks": replicates.looks(by_looks)}
    return result, replicates.shown(result)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, help="a folder of dense tables; the one of digits otherwise")
    parser.add_argument("--pack", type=Path, help="write the tables to this one .npz, as the package ships it, and end")
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--design", type=int, nargs=3, default=(10, 3, 6), metavar=("COARSE", "ROUNDS", "EACH"))
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--make", nargs="+", metavar="OPTIMIZER", help="make dense tables of these in --out, and end")
    parser.add_argument("--each", type=int, default=dense.SEEDS, help="trials at each rate, of --make")
    parser.add_argument("--replicates", type=int, help="train so many studies, and score them by the tables in --out")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--study", type=Path, help="a study.toml; the default study otherwise")
    what.add_argument("--second", action="store_true", help="the study of a second data set, written to --out")
    parser.add_argument("--out", type=Path, help="the folder of --make and --replicates, which go on in it")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, and no record")
    args = parser.parse_args()
    start = time.perf_counter()
    try:
        if args.make:
            return make(asked(args), args.make, args.out, args.each)
        if args.pack is not None:
            shipped = testbed.shipped() if args.table is None else read(args.table)
            np.savez_compressed(args.pack, **testbed.arrays(shipped))  # pyright: ignore[reportArgumentType]
            return None
        result, text = real(args) if args.replicates else drawn(args)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    result = {"environment": records.environment(), "seconds": round(time.perf_counter() - start, 1)} | result
    if args.json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        name = "replicates" if args.replicates else "replication"
        print(f"{text}\n\nrecord: {records.write(name, result)}")
    return None


if __name__ == "__main__":
    main()
