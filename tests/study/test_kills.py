"""A study that is killed at random moments, also while it grows, ends with the very rows of one that was not."""

import json
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
from pandas.testing import assert_frame_equal

from mlp_jax.study import Study, changed, read_study, to_toml
from mlp_jax.training.config import Config

KILLS = 20
STUDY = Study(
    workload=Config(dataset="digits", hidden=(32,), validation=0.2),
    optimizers=("momentum",),
    batch_sizes=(16,),
    method="halton",
    points=12,
    seeds=3,
    fresh_seeds=3,
    max_steps=2500,
    max_epochs=1000.0,
    target=2.0,  # is never met, so every trial takes its time
    evaluations=8,
)
DRIVER = """
import json, os, random, signal, sys, time, traceback
from mlp_jax.machine import cache, devices
from mlp_jax.study import from_toml, run
from mlp_jax.training import loop, timetable

loop.CHECKPOINT_SECONDS, timetable.GLANCE = 0.1, 0.05
stages, folder, kills = [from_toml(text) for text in json.loads(sys.argv[1])], sys.argv[2], int(sys.argv[3])

def child(directory, study=stages[-1]):
    pid = os.fork()
    if pid == 0:
        try:
            devices.start_cpu_devices(2)
            cache.enable_compilation_cache()
            assert run(study, directory).complete
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    return pid

def ended(pid, at):
    while time.monotonic() < at:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False

def saved(directory):
    return [path for path, folders, _ in os.walk(directory) if path.endswith("checkpoints") and folders]

os.waitpid(child(folder + "/whole"), 0)
begin = time.monotonic()
os.waitpid(child(folder + "/warm"), 0)  # with all programs in the cache
stage = (time.monotonic() - begin) / len(stages)
number, asked, killed, midway = 0, 0, 0, 0
while killed < kills:
    directory = f"{folder}/killed{number}"
    if ended(child(directory, stages[asked]), time.monotonic() + random.uniform(0.1, 0.9) * stage):
        asked += 1  # it came to its end: let it grow, or kill another one
        number, asked = number + asked // len(stages), asked % len(stages)
    else:
        killed, midway = killed + 1, midway + bool(saved(directory))
for study in stages[asked:]:
    os.waitpid(child(directory, study), 0)
print(json.dumps({"studies": number + 1, "midway": midway}))
"""


GROWING = Study(
    workload=Config(dataset="digits", hidden=(16,), validation=0.2),
    optimizers=("sgd",),
    batch_sizes=(64,),
    rounds=1,
    fresh_seeds=2,
    max_steps=1500,
    target=0.9,
)
ADDED = (
    {"optimizers": ("sgd", "momentum")},
    {"batch_sizes": (64, 256)},
    {"rounds": 2},
    {"fresh_seeds": 4},
)


def killed_at_random(stages: list[Study], folder: Path) -> tuple[Path, list[Path], int]:
    """Return the study that was not killed, those that were, and how many kills found a training that was saved.

    A study is asked for the stages, one after another, each killed any number of times.
    """
    texts = json.dumps([to_toml(study) for study in stages])
    command = [sys.executable, "-c", DRIVER, texts, str(folder), str(KILLS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=500)
    assert "Traceback" not in done.stderr, done.stderr
    said = json.loads(done.stdout)
    there = [folder / f"killed{number}" for number in range(said["studies"])]
    return folder / "whole", [path for path in there if path.exists()], said["midway"]


def rows_of(directory: Path) -> pandas.DataFrame:
    """Return what a study holds, without its clocks, in one order; a trial's name says which part it is in."""
    rows = read_study(directory).drop(columns=["training_seconds", "trial", "round"])
    return rows.sort_values(["phase", "cell", "seed", "learning_rate", "step"], ignore_index=True)


def files_of(directory: Path) -> list[Path]:
    return sorted(path.relative_to(directory) for path in directory.rglob("*"))


def kinds_of(directory: Path) -> set[tuple[Path, str]]:
    return {(path.parent, path.suffix) for path in files_of(directory)}


@pytest.mark.slow
def test_a_cell_killed_twenty_times_ends_bit_for_bit_as_the_one_that_was_not(tmp_path):
    whole, killed, midway = killed_at_random([STUDY], tmp_path)
    assert midway >= KILLS / 4, "most kills must find a training that has been saved"
    for directory in killed:
        assert_frame_equal(rows_of(directory), rows_of(whole), check_exact=True)
        assert files_of(directory) == files_of(whole)


@pytest.mark.slow
def test_a_growing_study_killed_twenty_times_ends_as_one_that_was_asked_so_from_the_start(tmp_path):
    stages = [GROWING]
    for added in ADDED:
        stages.append(changed(stages[-1], {}, added))
    whole, killed, _ = killed_at_random(stages, tmp_path)
    for directory in killed:
        grown, asked = rows_of(directory), rows_of(whole)
        assert_frame_equal(grown[list(asked)], asked, check_exact=True)
        assert kinds_of(directory) == kinds_of(whole), (
            "nothing is left over; a stage's fresh seeds are a part of their own"
        )
