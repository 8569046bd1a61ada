"""Processes on the loopback address: one study, the same tables; whatever goes wrong, each ends with one line."""

import contextlib
import dataclasses
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal

from mlp_jax import cli
from mlp_jax import study as studies
from mlp_jax.machine import hosts
from mlp_jax.study import contents, to_toml
from mlp_jax.study.plan import Study
from mlp_jax.training.config import Config

TINY = Study(
    workload=Config(dataset="iris", hidden=(4,), validation=0.2),
    optimizers=("sgd", "momentum"),
    batch_sizes=(16, "full"),
    method="halton",
    points=2,
    seeds=2,
    fresh_seeds=2,
    max_epochs=10.0,
    target=0.9,
    evaluations=5,
)
PARTS = 8  # four cells, each tuned and its winner run


def free_port() -> int:
    """Return a port of the loopback address that the system does not give to others soon."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def start(study: Path, out: Path, port: int, process: int, count: int = 2, *options: str) -> subprocess.Popen:
    """Start one process of a study."""
    where = ["--coordinator", f"127.0.0.1:{port}", "--num-processes", str(count), "--process-id", str(process)]
    return launch(study, out, *where, *options)


def launch(study: Path, out: Path, *options: str, **variables: str) -> subprocess.Popen:
    """Start a process of a study with these environment variables."""
    code = "from mlp_jax import cli; from mlp_jax.machine import devices; devices.cores = lambda: 2; cli.main()"
    command = [sys.executable, "-c", code, "study", str(study), "--out", str(out), "--distributed", *options]
    pipe, environment = subprocess.PIPE, os.environ | variables
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)


def ends(*processes: subprocess.Popen) -> list[tuple[int, str, str]]:
    """Await processes and return code, stdout and stderr of each."""
    try:
        said = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, out, err) for process, (out, err) in zip(processes, said)]


def table(directory: Path):
    """Return all rows but their clock, in one order."""
    rows = contents.read_study(directory).drop(columns="training_seconds")
    return rows.sort_values(["trial", "step"], ignore_index=True)


@pytest.fixture
def file(tmp_path) -> Path:
    """A study.toml of the tiny study."""
    path = tmp_path / "study.toml"
    path.write_text(to_toml(TINY))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The tables of one process."""
    directory = tmp_path_factory.mktemp("whole")
    assert studies.run(TINY, directory).complete
    return table(directory)


def shares(text: str) -> list[int]:
    """Return how many parts each process says it made."""
    return [int(made) for made in re.findall(r"process \d of 2 \(2 devices\): (\d+) of 8 parts", text)]


@pytest.mark.slow
def test_two_processes_give_the_tables_of_one_and_process_0_alone_writes(file, whole, tmp_path):
    port, outs = free_port(), (tmp_path / "of-0", tmp_path / "of-1")
    first, second = ends(*(start(file, out, port, number, 2, "--json") for number, out in enumerate(outs)))
    assert (first[0], second[0]) == (0, 0), (first, second)
    assert_frame_equal(table(outs[0]), whole, rtol=1e-6)
    assert len(list(outs[0].rglob("*.parquet"))) == PARTS
    assert not outs[1].exists()
    assert first[1].startswith("{")
    assert first[1].count("\n") == 1
    assert second[1] == ""
    assert sum(shares(first[2] + second[2])) == PARTS


@pytest.mark.slow
def test_in_a_cluster_that_jax_knows_the_processes_find_each_other(file, whole, tmp_path):
    """What SLURM sets for two tasks on this machine; the port follows from the number of the job."""
    job = {"SLURM_JOB_ID": str(free_port()), "SLURM_STEP_NODELIST": "127.0.0.1", "SLURM_NTASKS": "2"}
    tasks = [job | {"SLURM_PROCID": str(number), "SLURM_LOCALID": str(number)} for number in range(2)]
    first, second = ends(*(launch(file, tmp_path / "out", **task) for task in tasks))
    assert (first[0], second[0]) == (0, 0), (first, second)
    assert_frame_equal(table(tmp_path / "out"), whole, rtol=1e-6)
    assert sum(shares(first[2] + second[2])) == PARTS


@pytest.mark.slow
def test_a_study_of_other_processes_is_refused_by_all(file, tmp_path):
    port = free_port()
    first = start(file, tmp_path / "out", port, 0)
    second = start(file, tmp_path / "out", port, 1, 2, "--points", "3")
    (code, _, own), (other_code, _, other) = ends(first, second)
    assert (code, other_code) == (2, 2)
    assert "error: process 1 of 2 was given another study" in other
    assert "error: process 1 of 2 failed: process 1 of 2 was given another study" in own


@pytest.mark.slow
def test_processes_of_different_counts_end(file, tmp_path):
    port = free_port()
    first, second = ends(start(file, tmp_path / "out", port, 0), start(file, tmp_path / "out", port, 1, 3))
    assert second[0] == 2
    assert "process 0 was started with --num-processes 2, process 1 of 3 with 3" in second[2]
    assert first[0] == 2
    assert "process 1 was started with --num-processes 3, process 0 of 2 with 2" in first[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "sent", "code", "said"),
    [
        (0, signal.SIGKILL, 1, "error: another process of this run has ended"),
        (1, signal.SIGKILL, 1, "error: another process of this run has ended"),
        (1, signal.SIGINT, 130, "interrupted: "),
    ],
)
def test_the_end_of_one_is_that_of_all_and_one_goes_on(number, sent, code, said, tmp_path):
    long = dataclasses.replace(TINY, max_epochs=2000.0, target=2.0)
    file, out, port = tmp_path / "study.toml", tmp_path / "out", free_port()
    file.write_text(to_toml(long))
    processes = [start(file, out, port, each) for each in range(2)]
    while not list(out.rglob("*.parquet")):
        assert processes[0].poll() is None
        time.sleep(0.05)
    processes[number].send_signal(sent)
    begin = time.monotonic()
    [(ended, _, text)] = ends(processes[1 - number])
    assert ended == code
    assert text.splitlines()[-1].startswith(said)
    assert time.monotonic() - begin < 60
    ends(processes[number])
    there = len(list(out.rglob("*.parquet")))
    assert studies.run(long, out) == (True, PARTS - there)
    studies.run(long, tmp_path / "whole")
    assert_frame_equal(table(out), table(tmp_path / "whole"), rtol=1e-6)


def test_an_address_where_no_one_answers_is_given_up_after_the_stated_time():
    begin = time.monotonic()
    with pytest.raises(OSError, match=r"no coordinator answers at 127.0.0.1:\d+ \(tried for 1 s: Connection refused\)"):
        hosts.start(f"127.0.0.1:{free_port()}", 2, 1, seconds=1)
    assert time.monotonic() - begin >= 1


def test_a_port_that_is_taken_is_refused():
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(OSError, match=f"process 0 can't listen at port {port} .*in use"):
            hosts.start(f"127.0.0.1:{port}", 2, 0, seconds=1)


CODE = "import sys; from mlp_jax.machine import hosts; hosts.start(sys.argv[1], 2, int(sys.argv[2]), seconds=2)"


@pytest.mark.slow
@pytest.mark.parametrize("process", [0, 1])
def test_processes_that_never_come_are_given_up(process):
    """Process 0 waits for another; process 1 finds something at the address that is no coordinator."""
    port = free_port()
    with contextlib.ExitStack() as open_:
        if process == 1:
            open_.enter_context(socket.create_server(("127.0.0.1", port)))
        command = [sys.executable, "-c", CODE, f"127.0.0.1:{port}", str(process)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the processes of this run did not come together in 2 s")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("127.0.0.1:9", None, None), "--num-processes is missing; give all of"),
        ((None, 2, None), "--coordinator is missing; give all of"),
        (("127.0.0.1:9", 2, 2), "--process-id 2 is not allowed; 2 process(es) have the numbers from 0 to 1"),
        (("127.0.0.1:9", 2, -1), "--process-id -1 is not allowed"),
        (("127.0.0.1:9", 0, 0), "--num-processes 0 is not allowed"),
        (("127.0.0.1", 2, 0), "is not an address; give HOST:PORT"),
        (("127.0.0.1:65536", 2, 0), "is not an address; give HOST:PORT"),
    ],
)
def test_options_that_are_not_allowed_are_refused(given, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        hosts.start(*given)


def test_where_there_is_no_cluster_the_options_are_asked_for():
    command = [sys.executable, "-m", "mlp_jax", "study", "--distributed"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("error: JAX finds no cluster here")
    assert done.stderr.count("\n") == 1


def test_the_options_are_for_distributed_alone(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["study", "--coordinator", "127.0.0.1:9"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "error: --coordinator, --num-processes and --process-id are for --distributed; add it\n"
    )
