"""A population that is killed at any moment goes on to the very numbers of one that was not."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

KILLS = 20
SWEEP = """
import sys
import numpy as np
from mlp_jax import Config, devices, train_many
from mlp_jax.machine import cache
from mlp_jax.training import loop, timetable

devices.start_cpu_devices(2)
cache.enable_compilation_cache()
loop.CHECKPOINT_SECONDS, timetable.GLANCE = 0.2, 0.05
config = Config(hidden=(64, 64), steps=3000, batch_size=16, evaluations=30)
found = train_many(config, {"learning_rate": np.geomspace(1e-3, 0.3, 12)}, np.arange(12), evaluation_share=1.0,
                   trials_at_once=8, keep_params=True, out=sys.argv[1], resume=True)
import jax
np.savez(sys.argv[2], *jax.tree.leaves(found.params), *found.metrics.values(), found.steps, found.history["step"],
         found.history["validation_loss"])
"""


def start(out: Path, result: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", SWEEP, str(out), str(result)])


@pytest.mark.slow
def test_a_population_killed_twenty_times_is_the_population_that_was_not(tmp_path):
    assert start(tmp_path / "whole", tmp_path / "whole.npz").wait() == 0  # its programs are cached from here on
    begin = time.monotonic()
    assert start(tmp_path / "again", tmp_path / "again.npz").wait() == 0
    seconds, rng, kills, directory = time.monotonic() - begin, np.random.default_rng(0), 0, 0
    while kills < KILLS:
        out, result = tmp_path / f"killed{directory}", tmp_path / f"killed{directory}.npz"
        process = start(out, result)
        try:
            assert process.wait(timeout=rng.uniform(0.3, 1.0) * seconds) == 0
            directory += 1  # it came to its end: kill another one
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
    assert start(out, result).wait() == 0
    for name in [f"killed{number}" for number in range(directory)] + [result.stem]:
        with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / f"{name}.npz") as killed:
            assert whole.files == killed.files
            for part in whole.files:
                np.testing.assert_array_equal(whole[part], killed[part])
    assert not list(tmp_path.rglob("*.partial"))
