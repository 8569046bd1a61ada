"""Ray is connected and let go again, with nothing of this process changed; what does not answer is said in a line."""

import importlib
import logging
import os
import signal
import sys
import textwrap
import threading
import time
from pathlib import Path
from types import ModuleType

import pytest

import mlp_jax
from mlp_jax.study.places import ray_connection
from mlp_jax.study.places.ray_connection import connected

FAKE = """
import sys, time

def init(address, **options):
    if address == "silent:1":
        time.sleep(60)
    if address == "refused:1":
        print("a word before", file=sys.stderr)
        raise ConnectionError("nobody lives here")
    if address == "dead:1":
        sys.exit(3)
"""


class Ray(ModuleType):
    """Ray as far as a connection needs it; it notes what it is asked for, and takes the signal as Ray does."""

    def __init__(self, initialized: bool = False) -> None:
        super().__init__("ray")
        self.initialized, self.inits, self.shutdowns = initialized, [], 0

    def is_initialized(self) -> bool:
        return self.initialized

    def init(self, address, **options) -> None:
        self.initialized = True
        self.inits.append((address, options))
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda *_: None)

    def shutdown(self) -> None:
        self.initialized, self.shutdowns = False, self.shutdowns + 1


@pytest.fixture
def install(monkeypatch):
    """Let `import ray` give this one, here; and the other one in processes that are started."""

    def use(fake: Ray) -> Ray:
        for name in ("ray.util", "ray.util.scheduling_strategies"):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        monkeypatch.setitem(sys.modules, "ray", fake)
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        return fake

    return use


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "ray.py").write_text(textwrap.dedent(FAKE))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))


def test_without_ray_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"Ray is not installed; run pip install 'mlp-jax\[ray\]'"), connected(None):
        pass


@pytest.mark.parametrize("address", [None, "local"])
def test_it_is_started_in_silence_with_the_code_that_runs_here_and_ended(install, monkeypatch, address):
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    fake = install(Ray())
    with connected(address) as ray:
        assert ray is fake
        assert fake.initialized
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    ((given, options),) = fake.inits
    assert given == address
    assert options["runtime_env"] == {"py_modules": [mlp_jax]}
    assert (options["include_dashboard"], options["log_to_driver"]) == (False, False)
    assert options["logging_level"] == logging.ERROR
    assert (fake.initialized, fake.shutdowns) == (False, 1)


def test_what_a_person_says_about_usage_stays(install, monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    install(Ray())
    with connected(None):
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "1"


@pytest.mark.parametrize("in_thread", [False, True])
def test_the_handler_of_a_signal_is_as_it_was_and_another_thread_may_connect(install, in_thread):
    fake, own, seen = install(Ray()), lambda *_: None, []

    def connect() -> None:
        with connected(None):
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.signal(signal.SIGTERM, own)
    try:
        if in_thread:
            thread = threading.Thread(target=connect)
            thread.start()
            thread.join()
        else:
            connect()
        assert seen == [own], "already while it is connected"
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)
    assert fake.shutdowns == 1


def test_a_failure_within_lets_go(install):
    fake = install(Ray())
    with pytest.raises(KeyboardInterrupt), connected(None):
        raise KeyboardInterrupt
    assert fake.shutdowns == 1


def test_a_program_that_has_connected_already_stays_with_its_own_cluster(install):
    fake = install(Ray(initialized=True))
    with connected("silent:1") as ray:
        assert ray is fake
    assert (fake.inits, fake.shutdowns, fake.initialized) == ([], 0, True)


@pytest.mark.parametrize("named", [True, False])
def test_an_address_that_answers_is_connected_whether_given_or_in_the_environment(
    install, elsewhere, monkeypatch, named
):
    fake = install(Ray())
    monkeypatch.setenv("RAY_ADDRESS", "silent:1" if named else "good:1")
    with connected("good:1" if named else None):
        pass
    assert [address for address, _ in fake.inits] == ["good:1"]


@pytest.mark.parametrize(
    ("address", "reason"),
    [("silent:1", "nothing was heard"), ("refused:1", "ConnectionError: nobody lives here"), ("dead:1", "exit code 3")],
)
def test_an_address_that_does_not_answer_is_never_connected_to(install, elsewhere, monkeypatch, address, reason):
    monkeypatch.setattr(ray_connection, "ANSWER", 2.0)
    fake, begin = install(Ray()), time.monotonic()
    with pytest.raises(ConnectionError) as error, connected(address):
        pass
    assert str(error.value).startswith(f"no Ray cluster answers at '{address}' within 2 s ({reason}); give the host")
    assert len(str(error.value).splitlines()) == 1
    assert time.monotonic() - begin < 30
    assert (fake.inits, fake.shutdowns) == ([], 0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own, when it is imported
def test_rays_workers_run_the_code_that_runs_here(capfd):
    pytest.importorskip("ray")
    before = signal.getsignal(signal.SIGTERM)
    with connected("local") as ray:
        code = lambda: Path(importlib.import_module("mlp_jax.trial").__file__).read_text()
        assert ray.get(ray.remote(code).remote()) == Path(mlp_jax.__file__).with_name("trial.py").read_text()
        assert signal.getsignal(signal.SIGTERM) is before
    assert not ray.is_initialized()
    assert capfd.readouterr().out == ""
