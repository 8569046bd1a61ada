"""A study run to its end: whole, interrupted, killed and shared among processes, the same table every time."""

import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pandas
import pytest
from pandas.testing import assert_frame_equal

from mlp_jax import trial
from mlp_jax.study import cells, contents, store
from mlp_jax.study.places import here
from mlp_jax.study.plan import Study, changed
from mlp_jax.study.spaces import Space
from mlp_jax.study.toml import to_toml
from mlp_jax.training import config as configs
from mlp_jax.training import population, timetable
from mlp_jax.training import run as single
from mlp_jax.training.config import Config

TINY = Study(
    workload=Config(dataset="iris", hidden=(4,), validation=0.2),
    optimizers=("sgd", "momentum"),
    batch_sizes=(16, "full"),
    rounds=1,
    fresh_seeds=2,
    max_epochs=10.0,
    target=0.8,
    evaluations=20,
    spaces={"sgd": {"learning_rate": Space(low=0.1, high=10)}, "momentum": {"learning_rate": Space(low=0.01, high=1)}},
)


def files(directory) -> dict:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def table(directory) -> pandas.DataFrame:
    """Return all rows but their clock, in one order."""
    rows = contents.read_study(directory).drop(columns="training_seconds")
    return rows.sort_values(["trial", "step"], ignore_index=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A study that was run in one go."""
    directory = tmp_path_factory.mktemp("whole")
    outcome = here.run(TINY, directory)
    assert outcome == (True, len(list(directory.rglob("*.parquet"))))
    return directory


@pytest.fixture(scope="module")
def parts(whole) -> int:
    """How many parts it has: of each of four cells the rounds of its tuning, and its winner."""
    return len(list(whole.rglob("*.parquet")))


@pytest.fixture(scope="module")
def all_cells() -> list:
    return list(cells.of(TINY, cells.facts(TINY, configs.load_data(TINY.workload))))


def test_every_trial_is_there_once(whole, all_cells, parts):
    rows = table(whole)
    assert not rows.duplicated(["trial", "step"]).any()
    trials = rows.groupby(["phase", "optimizer", "batch_size"])["trial"].nunique()
    assert len(trials) == 8
    assert set(trials["tuning"]) <= {16, 22, 26, 28, 32}
    assert (trials["tuning"] == 16).any()
    assert set(trials["winners"]) == {TINY.fresh_seeds}
    assert set(rows["cell"]) == {cell.id for cell in all_cells}
    assert rows.groupby("cell")["seed"].nunique().tolist() == rows.groupby("cell")["trial"].nunique().tolist()
    assert parts >= 12
    assert np.isfinite(rows["steps_to_target"]).any()


def test_no_partial_file_or_lock_is_left(whole, parts):
    assert not [path for path in whole.rglob("*") if path.is_dir() and path.name not in contents.PHASES]
    assert {path.suffix for path in files(whole)} == {".json", ".parquet"}
    assert len(list(whole.rglob("*.parquet"))) == parts


def test_a_second_run_makes_nothing_and_changes_no_byte(whole):
    before = files(whole)
    assert here.run(TINY, str(whole)) == (True, 0)
    assert files(whole) == before


def test_one_seed_starts_from_the_same_weights_for_every_optimizer(whole):
    rows = contents.read_study(whole)
    starts = rows[rows["step"] == 0].groupby("seed")["validation_loss"]
    assert starts.max().to_numpy() == pytest.approx(starts.min().to_numpy(), rel=1e-5)
    assert starts.ngroups < rows["trial"].nunique()
    assert starts.mean().nunique() == starts.ngroups


def test_the_test_set_is_not_read_while_tuning(whole):
    assert not [name for name in pandas.read_parquet(next((whole / "tuning").glob("*.parquet"))) if "test" in name]


@pytest.mark.slow
def test_winners_measure_their_noise_scale_where_that_is_asked(tmp_path, whole, all_cells, parts):
    assert here.run(dataclasses.replace(TINY, noise_scale=True), tmp_path) == (True, parts)
    assert_frame_equal(table(tmp_path).drop(columns=list(trial.NOISE)), table(whole))
    rows = contents.read_study(tmp_path)
    for name in trial.NOISE:
        np.testing.assert_array_equal(np.isfinite(rows[name]), rows["phase"] == "winners")
    own = rows[(rows["cell"] == all_cells[0].id) & (rows["phase"] == "winners")]
    seed, rate = int(own["seed"].iloc[0]), float(own["learning_rate"].iloc[0])
    alone = single.train(dataclasses.replace(all_cells[0].config, learning_rate=rate, seed=seed, noise_scale=True))
    for name in ("step", *trial.NOISE):
        np.testing.assert_array_equal(own.loc[own["seed"] == seed, name], [row[name] for row in alone.history])
    tuned, before = ({path.name for path in (where / "tuning").iterdir()} for where in (tmp_path, whole))
    assert tuned == before, "what is tuned does not depend on it"


class Killed(BaseException):
    """What no handler catches."""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.slow
def test_a_study_that_dies_at_every_second_write_ends_the_same(tmp_path, monkeypatch, whole, when, parts):
    replace, attempts = store.files.replace, 0

    def run() -> tuple:
        writes = iter(range(100))

        def dying(path, write, **how):
            in_progress = any(each.suffix == ".progress" for each in path.parents)
            last = not in_progress and next(writes) == 1
            if last and when == "before":
                raise Killed
            replace(path, write, **how)
            if last:
                raise Killed

        monkeypatch.setattr(store.files, "replace", dying)
        return here.run(TINY, tmp_path)

    complete = False
    while not complete and (attempts := attempts + 1) < 30:
        try:
            complete = run().complete
        except Killed:
            continue
    assert attempts > parts / 2
    assert_frame_equal(table(tmp_path), table(whole))


@pytest.mark.parametrize("asked", [7, *(pytest.param(each, marks=pytest.mark.slow) for each in (0, 1, 40, 150))])
def test_an_interrupted_study_goes_on_to_the_same_table(tmp_path, monkeypatch, whole, asked, parts):
    monkeypatch.setattr(timetable, "GLANCE", 1e-9)
    monkeypatch.setattr(timetable, "GLANCE_ALONE", 1e-9)
    questions = iter(range(10**9))
    first = here.run(TINY, tmp_path, interrupted=lambda: next(questions) >= asked)
    assert not first.complete
    assert first.made < parts
    assert len(list(tmp_path.rglob("*.parquet"))) == first.made
    assert here.run(TINY, tmp_path) == (True, parts - first.made)
    assert_frame_equal(table(tmp_path), table(whole))


def test_a_damaged_part_is_made_again(tmp_path, whole, parts):
    assert here.run(TINY, tmp_path) == (True, parts)
    for phase in contents.PHASES:
        path = next((tmp_path / phase).glob("*.parquet"))
        path.write_bytes(path.read_bytes()[:-50])
    with pytest.warns(UserWarning, match="set aside as .* and made again"):
        assert here.run(TINY, tmp_path) == (True, 2)
    assert len(list(tmp_path.rglob("*.damaged"))) == 2
    assert_frame_equal(table(tmp_path), table(whole))


@pytest.mark.slow
def test_a_part_that_is_deleted_meanwhile_is_made_again(tmp_path, monkeypatch, whole, parts):
    write, deleted = store.Store.write, []

    def write_and_delete(self, job, rows):
        write(self, job, rows)
        if job.phase == "tuning" and job.number == 2 and not deleted:
            deleted.append(next((tmp_path / "tuning").glob(f"{job.cell.id}-0-*.parquet")))
            deleted[0].unlink()

    monkeypatch.setattr(store.Store, "write", write_and_delete)
    assert here.run(TINY, tmp_path) == (True, parts + 1)
    assert deleted
    assert_frame_equal(table(tmp_path), table(whole))


def test_a_failure_gives_up_the_claims(tmp_path, monkeypatch, whole, parts):
    with monkeypatch.context() as patch:
        patch.setattr(population, "train_many", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError) as kept:  # its traceback holds what was running
            here.run(TINY, tmp_path)
    assert not list(tmp_path.rglob("*.lock"))
    assert here.run(TINY, tmp_path) == (True, parts)
    assert kept.type is ZeroDivisionError
    assert_frame_equal(table(tmp_path), table(whole))


def test_a_target_that_nobody_reaches_still_has_winners(tmp_path):
    study = changed(TINY, {}, {"target": 2.0, "optimizers": ("sgd",)})
    assert here.run(study, tmp_path) == (True, 6)
    rows = contents.read_study(tmp_path)
    assert np.isinf(rows["steps_to_target"]).all()
    last = rows[rows["phase"] == "tuning"].sort_values("step").groupby("trial").tail(1)
    for batch_size, own in last.groupby("batch_size"):
        winners = rows[(rows["batch_size"] == batch_size) & (rows["phase"] == "winners")]
        best = own.loc[own["validation_accuracy"] == own["validation_accuracy"].max(), "learning_rate"]
        assert winners["learning_rate"].iloc[0] in set(best)


def test_a_study_where_everything_diverges_still_ends(tmp_path):
    spaces = {"sgd": {"learning_rate": Space(choices=(1e30, 1e32))}}
    study = Study(
        workload=Config(dataset="diabetes", hidden=(4,), validation=0.2),
        optimizers=("sgd",), batch_sizes=("full",), spaces=spaces, fresh_seeds=2, max_epochs=3.0, target=1.0,
        evaluations=3,
    )  # fmt: skip
    assert here.run(study, tmp_path).complete
    assert set(contents.read_study(tmp_path)["status"]) == {"INFEASIBLE"}


def test_a_study_that_does_not_fit_its_data_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="batch size 97 is not allowed"):
        here.run(changed(TINY, {}, {"batch_sizes": (97,)}), tmp_path / "study")
    assert not (tmp_path / "study").exists()


DRIVER = """
import os, signal, sys, time, traceback
from mlp_jax.machine import cache
from mlp_jax.study import from_toml, run

def child(directory):
    pid = os.fork()
    if pid == 0:
        try:
            cache.enable_compilation_cache()
            made = run(from_toml(open(sys.argv[1]).read()), directory).made
            print(directory, made, flush=True)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    return pid

def kill(directory, delay):
    pid = child(directory)
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]

os.waitpid(child(sys.argv[2] + "/whole"), 0)
begin = time.monotonic()
os.waitpid(child(sys.argv[2] + "/warm"), 0)  # with all programs in the cache
whole = time.monotonic() - begin
print([kill(sys.argv[2] + "/killed", whole * float(share)) for share in sys.argv[3:]], flush=True)
os.waitpid(child(sys.argv[2] + "/killed"), 0)
for pid in [child(sys.argv[2] + "/shared") for _ in range(2)]:
    os.waitpid(pid, 0)
"""


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    """What processes leave that are killed at random moments, or two at once; and what they print."""
    directory = tmp_path_factory.mktemp("driven")
    (directory / "study.toml").write_text(to_toml(TINY))
    shares = np.random.default_rng().uniform(0.0, 0.8, 10).astype(str)
    command = [sys.executable, "-c", DRIVER, str(directory / "study.toml"), str(directory), *shares]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert "Traceback" not in done.stderr, done.stderr
    return directory, done.stdout.splitlines()


@pytest.mark.slow
def test_a_study_killed_ten_times_ends_the_same(driven):
    directory, printed = driven
    assert json.loads(next(line for line in printed if line.startswith("["))).count(9) >= 1, printed
    assert_frame_equal(table(directory / "killed"), table(directory / "whole"))
    left, expected = (
        sorted(path.relative_to(each) for path in each.rglob("*"))
        for each in (directory / "killed", directory / "whole")
    )
    assert left == expected


def test_a_directory_takes_no_cells_of_other_data(tmp_path, monkeypatch):
    dataset = configs.load_data(TINY.workload)
    here.run(TINY, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    changed_data = dataclasses.replace(dataset, train=dataset.train._replace(x=dataset.train.x + 1))
    monkeypatch.setattr(configs, "load_data", lambda _: changed_data)
    with pytest.raises(ValueError, match="holds a study of other data"):
        here.run(TINY, tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_two_processes_at_once_share_the_parts(driven, parts):
    directory, printed = driven
    made = [int(line.split()[1]) for line in printed if line.startswith(str(directory / "shared"))]
    assert len(made) == 2
    assert sum(made) == parts
    assert_frame_equal(table(directory / "shared"), table(directory / "whole"))


def test_a_space_over_a_whole_number_is_searched_at_whole_numbers(tmp_path):
    space = {"learning_rate": Space(choices=(0.1,)), "warmup_steps": Space(low=1, high=40)}
    study = dataclasses.replace(TINY, optimizers=("sgd",), batch_sizes=("full",), spaces={"sgd": space})
    assert here.run(study, tmp_path).complete
    steps = contents.read_study(tmp_path)["warmup_steps"].unique()
    assert set(steps) <= set(range(1, 401))
    assert len(steps) > 3


def grown() -> Study:
    return dataclasses.replace(TINY, optimizers=("sgd", "momentum", "adam"), batch_sizes=(16, 32, "full"), rounds=2)


@pytest.mark.parametrize("asked", [10**9, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_a_study_that_grows_makes_no_part_again_and_ends_as_if_it_was_asked_so_from_the_start(
    tmp_path, monkeypatch, whole, anew, asked
):
    monkeypatch.setattr(timetable, "GLANCE", 1e-9)
    shutil.copytree(whole, tmp_path / "study")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "study").rglob("*.parquet")}
    questions = iter(range(10**9))
    first = here.run(grown(), tmp_path / "study", interrupted=lambda: next(questions) >= asked)
    assert here.run(grown(), tmp_path / "study").complete
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert first.complete == (asked == 10**9)
    rows = table(tmp_path / "study")
    assert_frame_equal(rows, table(anew))


@pytest.fixture(scope="module")
def anew(tmp_path_factory):
    """A study that was asked from the start what another one grows to."""
    directory = tmp_path_factory.mktemp("anew")
    assert here.run(grown(), directory).complete
    return directory
