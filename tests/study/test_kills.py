"""A cell's tuning that is killed at random moments goes on to the very rows of one that was not."""

import json
import subprocess
import sys

import pytest
from pandas.testing import assert_frame_equal

from mlp_jax.study import Study, read_study, to_toml
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
study, folder, kills = from_toml(open(sys.argv[1]).read()), sys.argv[2], int(sys.argv[3])

def child(directory):
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
whole, number, killed, midway = time.monotonic() - begin, 0, 0, 0
while killed < kills:
    directory = f"{folder}/killed{number}"
    if ended(child(directory), time.monotonic() + random.uniform(0.1, 0.9) * whole):
        number += 1  # it came to its end: kill another one
    else:
        killed, midway = killed + 1, midway + bool(saved(directory))
os.waitpid(child(directory), 0)
print(json.dumps({"studies": number + 1, "midway": midway}))
"""


@pytest.mark.slow
def test_a_cell_killed_twenty_times_ends_bit_for_bit_as_the_one_that_was_not(tmp_path):
    (tmp_path / "study.toml").write_text(to_toml(STUDY))
    command = [sys.executable, "-c", DRIVER, str(tmp_path / "study.toml"), str(tmp_path), str(KILLS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=500)
    assert "Traceback" not in done.stderr, done.stderr
    said = json.loads(done.stdout)
    assert said["midway"] >= KILLS / 4, "most kills must find a training that has been saved"
    whole, names = tmp_path / "whole", [f"killed{number}" for number in range(said["studies"])]
    rows = lambda directory: read_study(directory).drop(columns="training_seconds").sort_values(["trial", "step"])
    files = lambda directory: sorted(path.relative_to(directory) for path in directory.rglob("*"))
    for name in names:
        if (tmp_path / name).exists():
            assert_frame_equal(rows(tmp_path / name), rows(whole), check_exact=True)
            assert files(tmp_path / name) == files(whole)
