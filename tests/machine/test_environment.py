"""The description of where a record was made: complete, JSON, and of the commit that the code is of."""

import json
import subprocess
from pathlib import Path

import jax
import pytest

from mlp_jax.machine import devices, environment


def test_description_is_complete_and_json():
    told = environment.describe()
    assert json.loads(json.dumps(told)) == told
    for key in ("platform", "device_kind", "device_count", "cores", "memory_bytes", "python", "jax", "jaxlib", "optax",
                "numpy", "matmul_precision", "xla_flags", "commit", "dirty"):  # fmt: skip
        assert key in told
    assert told["device_count"] == len(jax.devices())
    assert told["jax"] == jax.__version__
    assert told["cores"] == devices.cores()
    assert told["x64"] is False
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        told = environment.describe()
    assert (told["x64"], told["matmul_precision"]) == (True, "highest")


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A folder that the code would run from, were it installed there."""
    (tmp_path / "mlp_jax/machine").mkdir(parents=True)
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "mlp_jax/machine/environment.py"))
    return tmp_path


def git(where: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(where), *who, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_commit_is_that_of_the_checkout_and_dirty_where_a_file_of_it_has_changed(checkout):
    git(checkout, "init")
    (checkout / "file").write_text("one")
    git(checkout, "add", "file")
    git(checkout, "commit", "-m", "first")
    (checkout / "new").write_text("not part of the commit")
    assert environment.commit() == {"commit": git(checkout, "rev-parse", "HEAD"), "dirty": False}
    (checkout / "file").write_text("two")
    assert environment.commit() == {"commit": git(checkout, "rev-parse", "HEAD"), "dirty": True}


def test_an_installed_package_has_no_commit_nor_has_a_checkout_without_one_or_without_git(checkout, monkeypatch):
    unknown = {"commit": None, "dirty": None}
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(checkout.parent))
    assert environment.commit() == unknown
    git(checkout, "init")
    assert environment.commit() == unknown
    monkeypatch.setenv("PATH", "")
    assert environment.commit() == unknown


def test_a_package_that_is_installed_inside_another_checkout_has_not_the_commit_of_that(checkout, monkeypatch):
    git(checkout, "init")
    git(checkout, "commit", "--allow-empty", "-m", "first")
    monkeypatch.setattr(environment, "__file__", str(checkout / "venv/lib/mlp_jax/machine/environment.py"))
    (checkout / "venv/lib/mlp_jax/machine").mkdir(parents=True)
    assert environment.commit() == {"commit": None, "dirty": None}


def test_the_processor_is_named_where_the_system_tells_it(monkeypatch):
    text = "processor\t: 0\nmodel name\t: A : B 9000\nmodel name\t: other\n"
    monkeypatch.setattr(Path, "read_text", lambda self: text)
    assert environment._processor() == "A : B 9000"

    def missing(self):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    monkeypatch.setattr(environment.platform, "processor", lambda: "what it says")
    assert environment._processor() == "what it says"
