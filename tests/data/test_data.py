"""Where data sets are found, what `prepare` says of it, and that nothing is downloaded that should be at hand."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from idx_format import write_folder

from mlp_jax.data import DataError, catalogue, downloads, load, prepare

EMBEDDED = [entry["name"] for entry in catalogue() if entry["source"] == "embedded"]


@pytest.fixture
def offline(monkeypatch):
    """No test here may ask the network."""
    monkeypatch.setattr(downloads, "fetch", lambda name: pytest.fail(f"the network was asked for {name}"))


@pytest.mark.parametrize("name", EMBEDDED)
def test_prepare_names_the_file_that_an_embedded_set_is_read_from(name):
    path = prepare(name)
    content = path.read_bytes()
    lines = (gzip.decompress(content) if path.suffix == ".gz" else content).decode().splitlines()
    dataset = load(name, validation=0, test=0)
    assert len(lines) - len(dataset.train.y) in (0, 1)  # with or without a header
    assert "sklearn" in path.parts


def test_prepare_names_the_users_own_file_or_folder(tmp_path, monkeypatch, offline):
    np.savez(tmp_path / "file.npz", x=np.eye(3), y=np.arange(3))
    assert prepare(str(tmp_path / "file.npz")) == tmp_path / "file.npz"
    (tmp_path / "table.csv").write_text("a,b\n1,2\n3,4\n")
    assert prepare(str(tmp_path / "table.csv"), column="b") == tmp_path / "table.csv"
    write_folder(tmp_path / "kmnist")
    assert prepare(str(tmp_path / "kmnist")) == tmp_path / "kmnist"
    assert prepare("kmnist", data_dir=tmp_path) == tmp_path / "kmnist"
    monkeypatch.setenv("MLP_JAX_DATA_DIR", str(tmp_path))
    assert prepare("kmnist") == tmp_path / "kmnist"


def test_environment_names_the_folder_too(tmp_path, monkeypatch):
    write_folder(tmp_path / "things")
    monkeypatch.setenv("MLP_JAX_DATA_DIR", str(tmp_path))
    assert load("things").name == "things"


def test_environment_that_is_no_folder_is_refused(tmp_path, monkeypatch, offline):
    monkeypatch.setenv("MLP_JAX_DATA_DIR", str(tmp_path / "nowhere"))
    for name in ("mnist", "emnist/letters", "things"):
        with pytest.raises(DataError, match="MLP_JAX_DATA_DIR holds '.*nowhere', which is not a folder; .* unset it"):
            load(name)
    write_folder(tmp_path / "here" / "kmnist")
    assert load("kmnist", data_dir=tmp_path / "here").name == "kmnist", "what is said comes first"
    assert load("digits").name == "digits", "what needs no folder asks for none"


def test_environment_without_the_data_set_is_refused(tmp_path, monkeypatch, offline):
    write_folder(tmp_path / "kmnist")
    monkeypatch.setenv("MLP_JAX_DATA_DIR", str(tmp_path))
    with pytest.raises(DataError, match=r"a folder without mnist's IDX files; put .* into .*/mnist, or unset it"):
        load("mnist")
    sources = {entry["name"]: entry["source"] for entry in catalogue()}
    assert (sources["kmnist"], sources["mnist"]) == ("local folder", "not in $MLP_JAX_DATA_DIR")


def test_the_command_names_the_same_path(tmp_path, capsys):
    from mlp_jax.cli import commands

    write_folder(tmp_path / "kmnist")
    for name in ("digits", "kmnist"):
        data_dir = None if name == "digits" else str(tmp_path)
        assert commands.data("prepare", name, data_dir=data_dir) == 0
        assert Path(capsys.readouterr().out.strip()) == prepare(name, data_dir=data_dir)


def test_a_large_table_comes_from_the_cache_until_it_changes(tmp_path, monkeypatch):
    from mlp_jax import data
    from mlp_jax.data import table

    path = tmp_path / "t.csv"
    path.write_text("a,town,y\n" + "1,Rome,u\n2,Oslo,v\n" * 20)
    plain = load(str(path), column="y")
    monkeypatch.setattr(data, "CACHED_BYTES", 1)
    load(str(path), column="y")
    with monkeypatch.context() as patch:
        patch.setattr(table, "read_table", lambda *_: pytest.fail("read again"))
        again = load(str(path), column="y")
    assert again.fingerprint == plain.fingerprint
    assert (again.columns, again.classes, again.why) == (plain.columns, plain.classes, plain.why)
    assert load(str(path), column="town").classes == ("Oslo", "Rome"), "other options are another table"
    path.write_text("a,town,y\n" + "1,Bern,u\n2,Oslo,v\n" * 20)
    assert load(str(path), column="y").columns[1].categories == ("Bern", "Oslo")
