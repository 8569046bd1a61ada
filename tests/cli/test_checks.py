"""`mlp-jax check`: a study or a run is looked at whole, and whatever is not as it was written is named."""

import json
import shutil
from pathlib import Path

import pytest

import mlp_jax
from mlp_jax import Config
from mlp_jax.cli import studies
from mlp_jax.cli.commands import main
from mlp_jax.machine.files import parsed_json, write_json
from mlp_jax.study import Study

STUDY = Study(
    workload=Config(dataset="iris", hidden=()),
    optimizers=("sgd",),
    batch_sizes=(8, 16),
    method="halton",
    points=2,
    seeds=1,
    fresh_seeds=1,
    max_steps=40,
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    studies.find(STUDY, folder / "study", quiet=True)
    mlp_jax.train(Config(dataset="iris", hidden=(4,), steps=20, evaluations=4), out=folder / "run")
    return folder


def check(directory: Path, capsys) -> tuple[int, list[dict]]:
    """Call the command, and see that it changes nothing."""
    state = lambda: {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in directory.rglob("*")}
    before = state()
    with pytest.raises(SystemExit) as stop:
        main(["check", str(directory), "--json"])
    assert state() == before
    return int(str(stop.value.code)), json.loads(capsys.readouterr().out)["found"]


@pytest.mark.parametrize("name", [pytest.param("study", marks=pytest.mark.slow), "run"])
def test_what_is_sound_is_said_to_be(kept, name, capsys):
    code, found = check(kept / name, capsys)
    assert code == 0
    assert not any(each["wrong"] for each in found)
    files = {path for path in (kept / name).glob("**/*.[jph]*") if path.is_file() and "checkpoints" not in path.parts}
    figures = {path for path in files if path.parent.name == "figures"}
    assert {Path(each["path"]) for each in found} >= files - figures


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 10] ^= 4  # in the body, not in a footer that has room for it
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [cut, flip])
@pytest.mark.parametrize(
    "name",
    ["study/study.json", "study/data.json", "study/environment.json", "study/report.html", "study/tuning/*",
     "study/winners/*", "run/config.json", "run/model.json", "run/environment.json", "run/metrics.parquet",
     "run/checkpoints/20/tree/d/*"],
)  # fmt: skip
def test_whatever_is_damaged_is_named(kept, tmp_path, capsys, name, harm):
    of, _, rest = name.partition("/")
    shutil.copytree(kept / of, tmp_path / of)
    path = max((tmp_path / of).glob(rest), key=lambda path: path.stat().st_size)
    harm(path)
    code, found = check(tmp_path / of, capsys)
    wrong = [each["path"] for each in found if each["wrong"]]
    assert code == 1
    assert any(path.is_relative_to(each) for each in wrong if each != str(tmp_path / of)), wrong


def test_what_the_next_study_makes_is_said(kept, tmp_path, capsys):
    shutil.copytree(kept / "study", tmp_path / "study")
    part = min((tmp_path / "study/tuning").iterdir())
    part.unlink()
    code, found = check(tmp_path / "study", capsys)
    assert code == 0, "unfinished is not wrong"
    said = {each["path"]: each["said"] for each in found}
    assert "the next study makes this part (tuning)" in said[str(part)]
    assert sum("belongs to no job that is due" in each for each in said.values()) == 1, "its winner's"
    assert "not made from what is there now" in said[str(tmp_path / "study/report.html")]


def test_the_part_of_another_study_is_named(kept, tmp_path, capsys):
    shutil.copytree(kept / "study", tmp_path / "study")
    first, second = sorted((tmp_path / "study/tuning").iterdir())
    shutil.copy(first, second)
    code, found = check(tmp_path / "study", capsys)
    assert code == 1
    assert [each["path"] for each in found if each["wrong"]] == [str(second)]


def test_the_memory_of_another_run_is_named(kept, tmp_path, capsys):
    shutil.copytree(kept / "run", tmp_path / "run")
    write_json(tmp_path / "run/model.json", parsed_json(tmp_path / "run/model.json") | {"name": "another"})
    code, found = check(tmp_path / "run", capsys)
    assert code == 1
    assert any("belongs to other training" in each["said"] for each in found)


def test_what_is_neither_is_bad_input(tmp_path, capsys):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(SystemExit) as stop:
            main(["check", str(path)])
        assert stop.value.code == 2
        assert capsys.readouterr().err.startswith("error: ")
