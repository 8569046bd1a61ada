"""A study on a Ray cluster of two nodes: the table of a study run here, whatever dies; and addresses that are none."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pandas
import pytest
from pandas.testing import assert_frame_equal

from mlp_jax import cli
from mlp_jax.study import Study, read_study, run, to_toml
from mlp_jax.study.places import ray_connection
from mlp_jax.training.config import Config

PATIENCE = 400  # seconds for what takes about twenty on an idle machine
STUDY = Study(
    workload=Config(dataset="digits", hidden=(32,), validation=0.2),
    optimizers=("sgd", "momentum"),
    batch_sizes=(16, 64, 256),
    method="halton",
    points=2,
    seeds=2,
    fresh_seeds=2,
    max_steps=1500,
    max_epochs=1000.0,
    target=2.0,  # is never met, so every trial takes its time
    evaluations=5,
)
PARTS = 12  # six cells, each tuned and its winner run
CLUSTER = """
import sys
from ray.cluster_utils import Cluster
node = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
nodes = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
second = nodes.add_node(**node)
print("address", nodes.address, flush=True)
if sys.stdin.readline():
    nodes.remove_node(second, allow_graceful=False)
    print("killed", flush=True)
sys.stdin.read()
nodes.shutdown()
"""


def refused(capsys, *arguments: str) -> str:
    """Run a command that must fail as bad input does, and return its one line."""
    with pytest.raises(SystemExit) as stop:
        cli.main(list(arguments))
    captured = capsys.readouterr()
    assert (stop.value.code, captured.out) == (2, "")
    assert captured.err.startswith("error: ")
    assert len(captured.err.splitlines()) == 1
    return captured.err


def test_without_ray_one_line_names_the_extra(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install 'mlp-jax[ray]'" in refused(capsys, "study", "--out", str(tmp_path / "study"), "--ray")
    assert not (tmp_path / "study").exists()


def test_two_addresses_are_refused(capsys):
    assert "one address at most" in refused(capsys, "study", "--ray", "a:1", "b:1")


def test_two_ways_to_share_a_study_are_refused(capsys):
    assert "choose one of them" in refused(capsys, "study", "--ray", "--distributed")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own, when it is imported
@pytest.mark.parametrize(("address", "reason"), [("127.0.0.1:9", "within 5 s"), ("nonsense", "Invalid address format")])
def test_an_address_that_does_not_answer_is_given_up(capsys, monkeypatch, tmp_path, address, reason):
    pytest.importorskip("ray")
    monkeypatch.setattr(ray_connection, "ANSWER", 5.0)
    begin = time.monotonic()
    line = refused(capsys, "study", "--out", str(tmp_path / "study"), "--ray", address)
    assert f"no Ray cluster answers at '{address}'" in line
    assert reason in line
    assert time.monotonic() - begin < 60  # Ray alone would try for many minutes
    assert not (tmp_path / "study").exists()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> pandas.DataFrame:
    """The rows of a study that was run here, in one go."""
    directory = tmp_path_factory.mktemp("whole")
    assert run(STUDY, directory) == (True, PARTS)
    return rows(directory)


def rows(directory: Path) -> pandas.DataFrame:
    """Return all rows but their clock, in one order."""
    found = read_study(directory).drop(columns="training_seconds")
    assert not found.duplicated(["trial", "step"]).any()
    return found.sort_values(["trial", "step"], ignore_index=True)


class TwoNodes:
    """A cluster of two nodes of one core each, held by a process of its own."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", CLUSTER]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = self._word("address")

    def kill_one(self) -> None:
        """Kill the node that is not the head."""
        print(file=self.process.stdin, flush=True)
        self._word("killed")

    def end(self) -> None:
        self.process.communicate(timeout=PATIENCE)

    def _word(self, name: str) -> str:
        assert self.process.stdout is not None
        return next(line.split()[-1] for line in self.process.stdout if line.startswith(name))


@pytest.fixture
def two_nodes(monkeypatch):
    """A cluster that asks for a token of its own."""
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    nodes = TwoNodes()
    yield nodes
    nodes.end()


class Driver:
    """`mlp-jax study --ray` in a process of its own."""

    def __init__(self, address: str, directory: Path) -> None:
        file, self.out = directory / "study.toml", directory / "study"
        file.write_text(to_toml(STUDY))
        command = [sys.executable, "-m", "mlp_jax", "study", str(file), "--out", str(self.out), "--json"]
        self.process = subprocess.Popen(
            [*command, "--ray", address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
        )

    def wait_for(self, count: int) -> None:
        """Wait until so many parts are there, and others are being made."""
        begin = time.monotonic()
        while len(self.parts()) < count or not list(self.out.rglob("*.lock")):
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() - begin < PATIENCE
            time.sleep(0.05)

    def parts(self) -> list[Path]:
        return list(self.out.rglob("*.parquet"))

    def end(self) -> tuple[int, str, str]:
        """Return the exit code, and what it printed on stdout and stderr."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


@pytest.mark.slow
def test_a_node_that_dies_loses_and_doubles_no_row(two_nodes, tmp_path, whole):
    driver = Driver(two_nodes.address, tmp_path)
    driver.wait_for(2)
    two_nodes.kill_one()
    assert len(driver.parts()) < PARTS
    code, out, err = driver.end()
    assert code == 0, err
    assert json.loads(out)["cells"] == 6
    assert_frame_equal(rows(driver.out), whole)
    assert not list(driver.out.rglob("*.lock"))
    environment = json.loads((driver.out / "environment.json").read_text())
    assert environment["device_count"] == environment["ray"]["num_cpus"] == 1
    assert environment["ray"]["nodes"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_driver_that_ends_early_is_started_again(two_nodes, tmp_path, whole, number):
    first = Driver(two_nodes.address, tmp_path)
    first.wait_for(2)
    first.process.send_signal(number)
    code, out, err = first.end()
    assert (code, out) == (-9 if number == signal.SIGKILL else 130, "")
    assert ("run the same command to go on" in err) == (number != signal.SIGKILL)
    made = {path: path.read_bytes() for path in first.parts()}
    assert 2 <= len(made) < PARTS
    again = Driver(two_nodes.address, tmp_path)
    assert again.end()[0] == 0
    assert {path: path.read_bytes() for path in made} == made
    assert_frame_equal(rows(again.out), whole)


@pytest.mark.slow
def test_two_drivers_share_the_parts(two_nodes, tmp_path, whole):
    code = (
        "import sys; from mlp_jax.study import from_toml; from mlp_jax.study.places import ray_cluster; "
        "print(ray_cluster.run(from_toml(sys.argv[1]), sys.argv[2], address=sys.argv[3]).made)"
    )
    command = [sys.executable, "-c", code, to_toml(STUDY), str(tmp_path / "study"), two_nodes.address]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    made = [int(process.communicate(timeout=PATIENCE)[0]) for process in both]
    assert sum(made) == PARTS
    assert_frame_equal(rows(tmp_path / "study"), whole)
