"""The protocol of a cell, on valleys that are known: where its trials lie, when they end, and where it stops."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas
import pytest

from mlp_jax.study import bottoms, cells, protocol
from mlp_jax.study.cells import Facts, StudyCell
from mlp_jax.study.plan import Study
from mlp_jax.study.protocol import Job
from mlp_jax.study.spaces import Space
from mlp_jax.training.config import Config
from mlp_jax.training.trials import Cutoff, Status

STUDY = Study(workload=Config(dataset="iris", validation=0.2), optimizers=("sgd", "adam"), batch_sizes=(8, 32), seed=7)
FACTS = Facts("data", 96, "validation_accuracy")
SCORE = FACTS.score


def valley(best: float, least: float = 100.0, spread: float = 0.1, bend: float = 1.0) -> Callable[[dict, int], float]:
    """Steps to target that are least at a learning rate, with a spread that a trial's seed decides."""

    def steps(hyper: dict, seed: int) -> float:
        noise = np.random.default_rng(seed).normal(0, spread)
        return float(round(least * np.exp(bend * np.log(hyper["learning_rate"] / best) ** 2 + noise)))

    return steps


def train(job: Job, steps: Callable[[dict, int], float]) -> pandas.DataFrame:
    """Return the rows that a job's trials end with."""
    each = [
        {name: column[i] for name, column in job.hyper.items()} | {"seed": seed} for i, seed in enumerate(job.seeds)
    ]
    met = np.array([steps(one, one["seed"]) for one in each])
    met[met > job.cell.budget] = np.inf
    end = job.cutoff.at(met)
    met[met > end] = np.inf
    status = np.where(np.isfinite(met), Status.COMPLETE, Status.INCOMPLETE)
    trial = [f"{job.name}-{i}" for i in range(len(each))]
    ends = {
        "steps_to_target": met,
        "status": status,
        "step": 5,
        SCORE: [-abs(np.log(one["learning_rate"])) for one in each],
    }
    return pandas.DataFrame(each).assign(trial=trial, **ends)


def walk(study: Study, steps, cell: StudyCell | None = None, there: dict | None = None) -> tuple[list[Job], dict]:
    """Return the jobs of a cell when all that is asked is trained, and their rows by name."""
    cell = cell or next(iter(cells.of(study, FACTS)))
    rows = {} if there is None else there
    made = []
    while True:
        jobs = list(protocol.jobs(study, cell, SCORE, lambda job: rows.get(job.name)))
        if jobs[-1].name in rows:
            return jobs, rows
        made.append(jobs[-1])
        rows[jobs[-1].name] = train(jobs[-1], steps)


def rates(job: Job) -> np.ndarray:
    return np.array(job.hyper["learning_rate"])


def test_a_round_over_the_whole_space_is_followed_by_rounds_around_the_bottom_and_the_winner():
    jobs, _ = walk(STUDY, valley(0.3))
    assert [(job.phase, job.number, len(job.seeds)) for job in jobs] == [
        ("tuning", 0, 10), ("tuning", 2, 6), ("tuning", 3, 6), ("tuning", 4, 6), ("winners", 0, 5),
    ]  # fmt: skip
    space = STUDY.spaces["sgd"]["learning_rate"]
    gaps = np.diff(np.log10(rates(jobs[0])))
    np.testing.assert_allclose(gaps, (np.log10(space.high) - np.log10(space.low)) / 10)
    for job in jobs[1:4]:
        place = np.log10(rates(job))
        assert 1 / 6 * 2 * 5 / 6 - 1e-9 <= np.ptp(place) <= 1
        assert abs(place.mean() - np.log10(0.3)) < 0.25
    assert len(set(rates(jobs[4]))) == 1
    assert abs(np.log10(rates(jobs[4])[0] / 0.3)) < 0.1


def test_trials_end_at_four_times_the_least_and_later_at_four_times_the_bottom():
    jobs, rows = walk(STUDY, valley(0.3))
    assert jobs[0].cutoff == Cutoff(jobs[0].cell.budget, 4.0)
    assert jobs[0].cell.budget == min(STUDY.max_steps, 300 * 96 / 32)
    for number in range(1, 4):
        before = pandas.concat([rows[job.name] for job in jobs[:number]])
        fitted = bottoms.of(STUDY, STUDY.spaces["sgd"], before)
        assert fitted is not None
        assert jobs[number].cutoff == Cutoff(pytest.approx(4 * fitted.fit.steps))
    assert 4 * 80 < jobs[4].cutoff.steps < 4 * 125
    first = rows[jobs[0].name]["steps_to_target"]
    assert np.isinf(first).any()
    assert first[np.isfinite(first)].max() <= 4 * first.min()


def test_every_trial_has_a_seed_of_its_own_which_is_the_same_for_all_optimizers():
    seeds: dict[tuple, list] = {}
    for cell in cells.of(STUDY, FACTS):
        jobs, _ = walk(STUDY, valley(0.05), cell)
        every = [seed for job in jobs for seed in job.seeds]
        assert len(set(every)) == len(every)
        seeds[cell.optimizer, cell.batch_size] = [job.seeds for job in jobs]
    for size in (8, 32):
        for one, other in zip(seeds["sgd", size][:4], seeds["adam", size][:4]):
            assert one == other or len(one) != len(other), "one of them has a round more"
    flat = lambda name, size: {seed for each in seeds[name, size] for seed in each}
    assert not flat("sgd", 8) & flat("sgd", 32)
    other = walk(dataclasses.replace(STUDY, seed=8), valley(0.05))[0]
    assert not flat("sgd", 32) & {seed for job in other for seed in job.seeds}


def test_the_offset_of_the_first_rates_differs_between_cells_and_seeds():
    first = {
        (study.seed, cell.optimizer, cell.batch_size): walk(study, valley(0.05), cell)[0][0]
        for study in (STUDY, dataclasses.replace(STUDY, seed=8))
        for cell in cells.of(study, FACTS)
    }
    places = []
    for job in first.values():
        space = job.cell.space["learning_rate"]
        places.append(np.log(rates(job)[0] / space.low) / np.log(space.high / space.low))
    assert len(np.unique(np.round(places, 6))) == len(first)


def test_where_nothing_meets_the_target_another_grid_is_tried_and_then_the_best_score_runs():
    jobs, _ = walk(STUDY, lambda hyper, seed: np.inf)
    assert [(job.phase, job.number) for job in jobs] == [("tuning", 0), ("tuning", 1), ("winners", 0)]
    both = np.sort(np.concatenate([rates(jobs[0]), rates(jobs[1])]))
    np.testing.assert_allclose(np.diff(np.log10(both)), np.diff(np.log10(both))[0])
    best = both[np.argmin(np.abs(np.log(both)))]
    assert set(rates(jobs[2])) == {best}
    assert jobs[2].cutoff == Cutoff(jobs[2].cell.budget)


def test_a_first_grid_that_misses_is_followed_by_another_and_all_rounds():
    found = []

    def narrow(hyper, seed):
        found.append(hyper["learning_rate"])
        return valley(0.3)(hyper, seed) if len(found) > 10 else np.inf

    jobs, _ = walk(STUDY, narrow)
    assert [job.number for job in jobs] == [0, 1, 2, 3, 4, 0]


@pytest.mark.parametrize(("best", "end"), [(30.0, "high"), (3e-4, "low")])
def test_an_optimum_at_an_end_of_the_space_moves_it_by_a_decade_and_adds_a_round(best, end):
    jobs, _ = walk(STUDY, valley(best, bend=0.2))
    tuning = [job for job in jobs if job.phase == "tuning"]
    assert len(tuning) > 4
    assert abs(np.log10(rates(jobs[-1])[0] / best)) < 0.25
    space = STUDY.spaces["sgd"]["learning_rate"]
    every = np.concatenate([rates(job) for job in tuning])
    assert every.max() <= space.high * 10 ** (2 if end == "high" else 0) * 1.001
    assert every.min() >= space.low / 10 ** (2 if end == "low" else 0) / 1.001


def test_a_hyper_parameter_stays_inside_its_domain():
    space = {"momentum": {"learning_rate": Space(choices=(0.1,)), "momentum": Space(low=0.5, high=0.9, scale="linear")}}
    study = dataclasses.replace(STUDY, optimizers=("momentum",), spaces=space)

    def steps(hyper: dict, seed: int) -> float:
        return float(round(100 * np.exp(3 * (1.3 - hyper["momentum"]))))  # would be best beyond 1

    jobs, _ = walk(study, steps)
    assert [job.number for job in jobs] == [0, 2, 3, 4, 0]
    every = np.concatenate([job.hyper["momentum"] for job in jobs])
    assert every.min() >= 0.5
    assert every.max() <= 0.9


def test_a_longer_protocol_begins_with_the_jobs_of_a_shorter_one():
    short, rows = walk(STUDY, valley(0.3))
    before = set(rows)
    longer, both = walk(dataclasses.replace(STUDY, rounds=5), valley(0.3), there=rows)
    assert [job.name for job in longer[:4]] == [job.name for job in short[:4]]
    assert [job.number for job in longer] == [0, 2, 3, 4, 5, 6, 0]
    anew, _ = walk(dataclasses.replace(STUDY, rounds=5), valley(0.3))
    assert [job.name for job in anew] == [job.name for job in longer]
    assert set(both) > before


def test_more_fresh_seeds_come_after_those_that_are_there():
    short, rows = walk(STUDY, valley(0.3))
    more, rows = walk(dataclasses.replace(STUDY, fresh_seeds=8), valley(0.3), there=rows)
    most, _ = walk(dataclasses.replace(STUDY, fresh_seeds=9), valley(0.3), there=rows)
    lots = lambda jobs: [(job.number, len(job.seeds)) for job in jobs if job.phase == "winners"]
    assert (lots(short), lots(more), lots(most)) == ([(0, 5)], [(0, 5), (5, 3)], [(0, 5), (5, 3), (8, 1)])
    anew, _ = walk(dataclasses.replace(STUDY, fresh_seeds=9), valley(0.3))
    seeds = lambda jobs: [seed for job in jobs if job.phase == "winners" for seed in job.seeds]
    assert seeds(anew) == seeds(most)


def test_rows_decide_what_follows_and_their_order_does_not():
    jobs, rows = walk(STUDY, valley(0.3))
    mixed = {name: each.sample(frac=1, random_state=1) for name, each in rows.items()}
    again = list(protocol.jobs(STUDY, jobs[0].cell, SCORE, lambda job: mixed.get(job.name)))
    assert [job.name for job in again] == [job.name for job in jobs]
    rows[jobs[0].name] = rows[jobs[0].name].assign(steps_to_target=rows[jobs[0].name]["steps_to_target"] * 2)
    changed = list(protocol.jobs(STUDY, jobs[0].cell, SCORE, lambda job: rows.get(job.name)))
    assert changed[0].name == jobs[0].name
    assert changed[1].name != jobs[1].name


TWO = {
    "momentum": {
        "learning_rate": Space(low=1e-3, high=1),
        "momentum": Space(low=0.0, high=0.99, scale="log_complement"),
    }
}


def basin(spread: float) -> Callable[[dict, int], float]:
    """Steps that are least, 100, where the learning rate is 0.02 and the momentum 0.9."""

    def steps(hyper: dict, seed: int) -> float:
        rate, rest = np.log10(hyper["learning_rate"] / 0.02), np.log10((1 - hyper["momentum"]) / 0.1)
        noise = np.random.default_rng(seed).normal(0, spread)
        return float(100 * np.exp(3 * (rate - rest) ** 2 + 1.5 * rest**2 + noise))

    return steps


@pytest.mark.slow
def test_a_learning_rate_and_a_momentum_are_searched_around_their_bottom_and_its_interval_holds_it():
    """Of 20 studies of 52 trials at least 17 hold the steps, and as many the rate."""
    held, settled = {"steps": 0, "rate": 0}, 0
    for seed in range(20):
        study = dataclasses.replace(STUDY, optimizers=("momentum",), spaces=TWO, rounds=7, seed=seed)
        jobs, rows = walk(study, basin(0.2))
        assert [len(job.seeds) for job in jobs] == [10, *[6] * 7, 5]
        ends = pandas.concat([rows[job.name] for job in jobs[:-1]])
        bottom = bottoms.of(study, study.spaces["momentum"], ends, resamples=60)
        assert isinstance(bottom, bottoms.Basin)
        if bottom.settled:
            settled += 1
            winner = {name: jobs[-1].hyper[name][0] for name in TWO["momentum"]}
            assert winner == pytest.approx(bottom.point)
        low, high = np.quantile(bottom.fit.samples_steps, [0.025, 0.975])
        held["steps"] += low <= 100 <= high
        low, high = np.quantile(bottom.samples_of("learning_rate"), [0.025, 0.975])
        held["rate"] += low <= 0.02 <= high
    assert min(held.values()) >= 17, held
    assert settled >= 17


def test_too_few_trials_for_a_basin_leave_the_best_that_was_found():
    study = dataclasses.replace(STUDY, optimizers=("momentum",), spaces=TWO, rounds=1)
    jobs, rows = walk(study, basin(0.2))
    ends = pandas.concat([rows[job.name] for job in jobs[:-1]])
    best = ends.sort_values("steps_to_target", kind="stable").iloc[0]
    assert [jobs[-1].hyper[name][0] for name in TWO["momentum"]] == [best[name] for name in TWO["momentum"]]


def test_three_dimensions_take_the_next_points_of_a_sequence_and_the_best_that_was_found():
    space = {"momentum": TWO["momentum"] | {"weight_decay": Space(low=1e-6, high=1e-2)}}
    study = dataclasses.replace(STUDY, optimizers=("momentum",), spaces=space)
    jobs, rows = walk(study, valley(0.03))
    assert [len(job.seeds) for job in jobs] == [10, 6, 6, 6, 5]
    points = np.concatenate([np.stack([rates(job), job.hyper["momentum"]], axis=1) for job in jobs[:4]])
    assert len(np.unique(points, axis=0)) == 28
    ends = pandas.concat([rows[job.name] for job in jobs[:4]])
    best = (
        ends.loc[ends["steps_to_target"].idxmin()]
        if ends.index.is_unique
        else ends.sort_values("steps_to_target").iloc[0]
    )
    assert (rates(jobs[4])[0], jobs[4].hyper["momentum"][0]) == (best["learning_rate"], best["momentum"])
    assert bottoms.of(study, study.spaces["momentum"], ends) is None


def test_a_fixed_point_is_tried_with_many_seeds():
    study = dataclasses.replace(STUDY, optimizers=("sgd",), spaces={"sgd": {"learning_rate": Space(choices=(0.1,))}})
    jobs, _ = walk(study, valley(0.1))
    assert [len(job.seeds) for job in jobs] == [10, 6, 6, 6, 5]
    assert {rate for job in jobs for rate in rates(job)} == {0.1}


@pytest.mark.parametrize("method", ["halton", "sobol", "grid"])
def test_a_search_is_one_round_of_points_that_share_seeds_and_its_winner_has_the_least_median(method):
    study = dataclasses.replace(STUDY, method=method, points=7, seeds=3, racing=2)
    jobs, rows = walk(study, valley(0.3))
    tuning, won = jobs
    assert (tuning.racing, won.racing) == (2, None)
    assert len(tuning.seeds) == 21
    assert len(set(tuning.seeds)) == 3
    assert len(np.unique(rates(tuning))) == 7
    medians = rows[tuning.name].groupby("learning_rate")["steps_to_target"].median()
    assert set(rates(won)) == {medians.idxmin()}


@pytest.mark.parametrize(
    ("steps", "score", "kind", "point"),
    [
        ([9, 9, 1, 19], [1, 1, 1, 1], "accuracy", 0),  # 9 against 10
        ([1, np.inf, 30, 40], [1, 1, 0, 0], "accuracy", 1),  # a miss is not dropped
        ([np.inf] * 4, [0.2, 0.9, 0.5, 0.7], "accuracy", 1),
        ([np.inf] * 4, [0.2, 0.9, 0.5, 0.7], "rmse", 0),
        ([np.inf] * 4, [np.nan, 0.1, 7.0, 8.0], "loss", 1),
        ([np.inf] * 4, [np.nan, 0.9, 0.1, 0.1], "accuracy", 1),
        ([np.inf] * 4, [np.inf, np.inf, np.inf, 8.0], "rmse", 0),
    ],
)
def test_the_winner_of_a_search_has_the_least_median_steps_or_else_the_best_median_score(steps, score, kind, point):
    study = dataclasses.replace(STUDY, method="halton")
    (cell, *_) = cells.of(study, FACTS)
    rate = np.array([0.1, 0.2])[[0, 0, 1, 1]]
    trials = pandas.DataFrame({"steps_to_target": steps, f"validation_{kind}": score, "learning_rate": rate})
    for order in (trials, trials.iloc[::-1]):
        found, _ = protocol.winner(study, cell, order, f"validation_{kind}")
        assert found == {"learning_rate": [0.1, 0.2][point]}


def test_a_jobs_name_holds_all_that_was_asked():
    (first, *_), _ = walk(STUDY, valley(0.3))
    changes = {"hyper": {"learning_rate": [1.0] * 10}, "seeds": list(range(10)), "cutoff": Cutoff(5.0), "racing": 2,
               "noise_scale": True, "number": 1}  # fmt: skip
    names = {first.name, *(first._replace(**{name: value}).name for name, value in changes.items())}
    assert len(names) == 1 + len(changes)


def test_seeds_fit_the_programs_and_numbers_a_file():
    jobs, _ = walk(STUDY, valley(0.3))
    for job in jobs:
        assert all(0 <= seed < 2**31 for seed in job.seeds)
        assert all(isinstance(value, float) for column in job.hyper.values() for value in column)
