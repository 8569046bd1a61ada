"""Programs compiled for accelerators that are not here: what their texts say of loops, waits, memory and devices.

Whether they run there, and how fast, these tests can't know.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlp_jax.machine import accelerators
from mlp_jax.optimizers import OPTIMIZERS

DEVICES = ("h100", "tpu-v5e")
SECONDS = 600
IN_PIECES = ("in pieces", "full gradient")  # more rows than are differentiated at once: a loop over pieces
BESIDE = ("start", "evaluate", "noise")
TEMPORARY = {  # bytes for each of many trials at once
    "h100": {"together": 330_000, "evaluate": 310_000, "mnist": 1_000_000},
    "tpu-v5e": {"together": 550_000, "evaluate": 10_000, "mnist": 400_000},
}
RECORDED = {  # kernels a step, bytes a trial-step
    "h100": {"alone": (25.1, 2.68e6), "mapped": (25.1, 2.68e6), "together": (20.1, 1.85e6), "mnist": (28.2, 7.6e6)},
    "tpu-v5e": {"alone": (35.6, 0.62e6), "mapped": (34.6, 0.62e6), "together": (42.2, 0.82e6), "mnist": (54.3, 3.8e6)},
}


@pytest.fixture(scope="module")
def compiled() -> Iterator[Callable[[str], dict[str, Any]]]:
    """What the programs for a device come to; all of them are compiled at the same time, each in a process."""
    script, there = str(Path(__file__).parent / "programs.py"), filter(accelerators.has_compiler, DEVICES)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    running = {name: subprocess.Popen([sys.executable, script, name], env=environment, **pipes) for name in there}
    known: dict[str, dict[str, Any]] = {}

    def of(name: str) -> dict[str, Any]:
        if name not in running:
            pytest.skip(f"the compiler for {name} is not installed: pip install 'mlp-jax[accelerators]'")
        if name not in known:
            out, said = running[name].communicate(timeout=SECONDS)
            assert running[name].returncode == 0, said
            known[name] = json.loads(out.splitlines()[-1])
        return known[name]

    yield of
    for each in running.values():
        each.kill()


@pytest.fixture(params=DEVICES)
def device(request) -> str:
    return request.param


@pytest.fixture
def programs(compiled, device) -> dict[str, dict[str, Any]]:
    return compiled(device)["programs"]


@pytest.fixture
def advances(programs) -> dict[str, dict[str, Any]]:
    return {name: each for name, each in programs.items() if name not in BESIDE}


@pytest.mark.skipif(not accelerators.has_compiler("tpu-v5e"), reason="its compiler is not installed")
def test_two_processes_compile_for_a_tpu_at_the_same_time():
    ask = "from mlp_jax.machine import accelerators; print(len(accelerators.absent('tpu-v5e')), flush=True); input()"
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([sys.executable, "-c", ask], **pipes) for _ in range(2)]
    assert [each.stdout.readline() for each in both] == ["4\n", "4\n"], "each while the other is there"
    assert [each.communicate("\n", timeout=60)[1] for each in both] == [None, None]


def test_all_programs_compile(programs):
    assert {*OPTIMIZERS, *BESIDE, "alone", "mapped", "in blocks", "together", "sharing rows"} <= set(programs)


def test_steps_are_taken_in_blocks_of_known_length(advances):
    assert {name: each["steps"] for name, each in advances.items()} == dict.fromkeys(advances, 32) | {
        "full gradient": 12
    }


def test_states_are_donated(advances):
    assert {name: each["donated"] for name, each in advances.items() if each["donated"] < 1} == {}


def test_no_step_has_a_loop_over_rows_or_trials(advances):
    loops = {name: each["loops"] for name, each in advances.items() if each["loops"]}
    assert loops == dict.fromkeys(IN_PIECES, 1)


def test_a_gpu_s_host_waits_at_most_twice_in_32_steps(compiled):
    waits = {name: each["waits"] for name, each in compiled("h100")["programs"].items() if "waits" in each}
    assert {name: 32 * each for name, each in waits.items() if name not in IN_PIECES and 32 * each > 2} == {}


def test_each_trial_needs_few_bytes_besides_its_state(programs, device):
    most = TEMPORARY[device]
    needed = {name: programs[name]["temporary"] for name in most}
    assert {name: bytes_ for name, bytes_ in needed.items() if bytes_ > most[name]} == {}


def test_devices_wait_for_each_other_where_they_share_rows_and_nowhere_else(programs):
    waiting = {
        name: (each.get("collectives", 0) > 0, each["collectives_beside"] > 0)
        for name, each in programs.items()
        if each.get("collectives") or each["collectives_beside"]
    }
    assert waiting == {"sharing rows": (True, True)}
    assert programs["sharing rows"]["collectives"] == 1


def test_a_step_launches_and_moves_no_more_than_it_did(programs, device):
    for name, (kernels, bytes_) in RECORDED[device].items():
        assert programs[name]["kernels"] <= kernels, name
        assert programs[name]["bytes_per_trial_step"] <= bytes_, name


def test_many_trials_take_a_tpu_s_chip_in_blocks(compiled):
    assert compiled("tpu-v5e")["programs"]["mnist"]["block"] == 43
    assert compiled("h100")["programs"]["mnist"]["block"] == 0


def test_as_many_fit_as_the_program_of_all_says(compiled, device):
    """Into a memory that just holds the program of all, by what a program of fewer takes."""
    found = compiled(device)
    assert found["probed"] <= found["many"] / 4
    assert found["fitting"] == pytest.approx(found["many"], rel=0.15)
