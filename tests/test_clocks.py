"""Clocks: named parts, earlier runs, the age of the process."""

import contextlib
import subprocess
import sys
import time

import pytest

from mlp_jax import clocks
from mlp_jax.clocks import PARTS, Clock


def test_parts_take_what_their_blocks_took_even_when_they_fail():
    clock = Clock(startup=1.0)
    with clock("training"):
        time.sleep(0.05)
    with contextlib.suppress(RuntimeError), clock("training"):
        time.sleep(0.05)
        raise RuntimeError
    seconds = clock.seconds
    assert set(seconds) == {*PARTS, "total"}
    assert 0.1 <= seconds["training"] <= seconds["total"] - 1
    assert seconds["startup"] == 1.0
    assert seconds["total"] == pytest.approx(1 + seconds["training"], abs=0.5)


def test_an_interrupted_run_counts_too():
    clock = Clock(startup=0.5)
    clock.continue_from(dict.fromkeys(PARTS, 2.0) | {"total": 12.0})
    with clock("evaluation"):
        time.sleep(0.02)
    assert clock["evaluation"] == pytest.approx(2.02, abs=0.5)
    assert clock["startup"] == 2.5
    assert clock.seconds["total"] == pytest.approx(12.52, abs=0.5)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells")
def test_the_age_of_a_process():
    code = "import time; time.sleep(0.5); from mlp_jax.clocks import process_age; print(process_age())"
    begin = time.perf_counter()
    age = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert 0.45 < age < time.perf_counter() - begin + 0.05  # the system counts in hundredths


def test_a_first_use_is_not_timed():
    counts = []
    clocks.steps_in(counts.append, 1e-9)
    assert counts[0] == 1
    assert len(counts) >= 2


def test_a_median_is_taken_over_rounds_of_equal_steps():
    counts = []
    seconds = clocks.median_seconds(lambda count: counts.append(count) or time.sleep(1e-4 * count), 1e-2, 3)
    assert len(set(counts[-3:])) == 1
    assert seconds >= 1e-4
