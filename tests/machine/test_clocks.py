"""Clocks: named parts, earlier runs, the age of the process."""

import contextlib
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from mlp_jax.machine import clocks
from mlp_jax.machine.clocks import PARTS, Clock


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch):
    """A function that lets time pass for the clocks, and no other time passes."""
    now = [100.0]

    def wait(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(clocks, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    return wait


def test_parts_take_what_their_blocks_took_even_when_they_fail(wait):
    clock = Clock(startup=1.0)
    with clock("training"):
        wait(5.0)
    wait(3.0)
    with contextlib.suppress(RuntimeError), clock("training"):
        wait(7.0)
        raise RuntimeError
    assert clock.seconds == dict.fromkeys(PARTS, 0.0) | {"startup": 1.0, "training": 12.0, "total": 16.0}


def test_an_interrupted_run_counts_too(wait):
    clock = Clock(startup=0.5)
    clock.continue_from(dict.fromkeys(PARTS, 2.0) | {"total": 12.0})
    with clock("evaluation"):
        wait(4.0)
    assert clock["evaluation"] == 6.0
    assert clock["startup"] == 2.5
    assert clock.seconds["total"] == 16.5


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells")
def test_the_age_of_a_process():
    code = "import time; time.sleep(0.5); from mlp_jax.machine.clocks import process_age; print(process_age())"
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
