"""The command line as a user meets it: results on stdout, one line of error, exit codes, nothing lost."""

import gzip
import json
import os
import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from mlp_jax import bench, cli
from mlp_jax.machine import environment, files

QUICK = ("--hidden", "16", "--epochs", "2", "--evaluations", "2")


def tree(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def idx_file(values: np.ndarray) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


@pytest.fixture
def images(tmp_path) -> Path:
    """A folder with four IDX files: 60 and 20 images of 4×4 in three classes."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part, count in (("train", 60), ("t10k", 20)):
        y = (np.arange(count) % 3).astype(np.uint8)
        x = (rng.integers(0, 60, (count, 4, 4)) + 60 * y[:, None, None]).astype(np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx_file(x))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx_file(y))
    return folder


def test_train_prints_one_json_object(call):
    code, out, err = call("train", *QUICK, "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert result["status"] == "COMPLETE"
    assert result["dataset"] == "digits"
    assert 0.2 < result["test_accuracy"] <= 1
    assert set(result["seconds"]) == {"startup", "io", "tracing", "compilation", "training", "evaluation", "total"}
    assert result["hyper"]["momentum"] == 0.9


def test_train_prints_a_table(call):
    code, out, err = call("train", *QUICK)
    assert (code, err) == (0, "")
    for text in ("hidden 1", "softmax", "COMPLETE after 81 steps of 32 examples", "accuracy", "seconds: startup"):
        assert text in out


def test_no_hidden_layer_is_the_softmax_classifier(call):
    result = json.loads(call("train", "--hidden", "--epochs", "1", "--json").out)
    assert result["parameters"] == 650


def test_help_names_the_options_and_exits_0(call):
    code, out, _ = call("train", "--help")
    assert code == 0
    for option in ("--batch-size", "--optimizer", "--learning-rate", "--resume", "--data-dir", "--noise-scale"):
        assert option in out
    assert call("--help").code == 0


def test_out_resume_and_predict(call, refused, tmp_path):
    run = tmp_path / "run"
    whole = json.loads(call("train", *QUICK, "--out", run, "--json").out)
    again = json.loads(call("train", *QUICK, "--out", run, "--resume", "--json").out)
    assert whole["test_loss"] == again["test_loss"]
    assert again["seconds"]["total"] > whole["seconds"]["total"]
    before = tree(run)
    assert "holds this run already; add --resume" in refused("train", *QUICK, "--out", run)
    message = refused("train", *QUICK, "--out", run, "--seed", "1", "--resume")
    assert "holds a run of another configuration (seed 0 there, 1 here)" in message
    (answer,) = json.loads(call("predict", run, "--index", "3", "--json").out)["predictions"]
    assert answer["label"] in answer["probabilities"]
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert "(truth: " in call("predict", run, "--index", "3").out
    assert "index 359 is not in the test part; give a whole number from 0 to 358" in refused(
        "predict", run, "--index", "359"
    )
    assert "needs either an index or a file" in refused("predict", run)
    assert "needs either an index or a file" in refused("predict", run, "--index", "0", "--file", "x.npy")
    assert tree(run) == before


def test_data_commands(call, refused, images):
    names = [entry["name"] for entry in json.loads(call("data", "list", "--json").out)["datasets"]]
    assert {"digits", "mnist", "diabetes", "emnist/letters"} <= set(names)
    assert "digits" in call("data", "list").out
    shown = json.loads(call("data", "show", "iris", "--json").out)
    assert (shown["inputs"], shown["task"]) == (4, "multiclass")
    assert sum(sum(counts) for counts in shown["class_counts"].values()) == 150
    assert "class_counts" in call("data", "show", images).out
    assert "data show needs the name of a data set" in refused("data", "show")


@pytest.mark.slow
def test_several_devices_share_one_trial_and_one_device_predicts_from_it(call, tmp_path):
    run = tmp_path / "run"
    one = json.loads(call("train", *QUICK, "--json").out)
    several = json.loads(call("train", *QUICK, "--mesh", "1", "8", "--out", run, "--json").out)
    assert several["test_loss"] == pytest.approx(one["test_loss"], rel=1e-4)
    alone = mlp_jax("predict", str(run), "--index", "3", "--json")  # a process of its own, which has one device
    assert (alone.returncode, alone.stderr) == (0, "")


@pytest.mark.slow
def test_folder_of_images_trains(call, images):
    result = json.loads(call("train", "--dataset", images, "--hidden", "8", "--epochs", "60", "--json").out)
    assert result["test_accuracy"] > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--dataset", "minst"), "unknown data set 'minst'; did you mean mnist"),
        (("--optimizer", "adma"), "unknown optimizer 'adma'; choose one of adabelief, adadelta"),
        (("--activation", "rleu"), "unknown activation 'rleu'; choose one of gelu"),
        (("--learning-rate", "-1"), "learning_rate -1.0 is not allowed; give a positive number"),
        (("--learning-rate", "nan"), "learning_rate nan is not allowed; give a positive number"),
        (("--learning-rate", "fast"), "learning-rate"),
        (("--batch-size", "0"), "batch size 0 is not allowed; give a whole number of at least 1"),
        (("--batch-size", "99999"), "batch size 99999 is not allowed; give a whole number from 1 to 1294"),
        (("--batch-size", "half"), "batch-size"),
        (("--hidden", "0"), "hidden width 0 is not allowed; give a whole number of at least 1"),
        (("--hidden", "-4"), "hidden width -4 is not allowed"),
        (("--hidden", "1000000000000"), "MiB free; choose narrower layers or a smaller batch"),
        (("--dataset", ""), "the data set has no name"),
        (("--epochs", "0"), "epochs 0.0 is not allowed; give a positive number"),
        (("--epochs", "nan"), "epochs nan is not allowed"),
        (("--validation", "1.5"), "validation"),
        (("--test", "-0.1"), "test"),
        (("--data-dir", "/no/such/folder"), "data_dir '/no/such/folder' is not a folder; name one that exists"),
        (("--loss", "binary_cross_entropy"), "does not fit output 'softmax'"),
        (("--output", "sigmoid"), "output 'sigmoid' does not fit 'digits', which has 10 classes"),
        (("--dataset", "none.npz"), "none.npz is not a file"),
        (("--dataset", "none.tar"), "none.tar can't be read"),
        (("--momentum", "0.9", "--optimizer", "adagrad"), "optimizer 'adagrad'"),
        (("--learning-rat", "1"), "learning-rat"),
        (("--seed", "4294967296"), "seed 4294967296 is not allowed"),
        (("--mesh", "1", "3"), "mesh 1 × 3 does not fit the 8 device(s) here; give one of 8 × 1, 4 × 2, 2 × 4, 1 × 8"),
        (("--mesh", "8", "1"), "mesh 8 × 1 is for many trials, and this is one; give 1 × 8, or 1 × 1"),
        (("--mesh", "8"), "mesh"),
        (("--resume",), "resume needs the directory of the run to go on with; give --out too"),
    ],
)
def test_bad_input_is_one_line(refused, arguments, message):
    assert message in refused("train", *arguments)


def test_damaged_files_are_one_line_and_stay_as_they_were(refused, images):
    x, y = images / "train-images-idx3-ubyte", images / "train-labels-idx1-ubyte"
    good = x.read_bytes()
    packed = images / "train-images-idx3-ubyte.gz"
    x.unlink()
    packed.write_bytes(gzip.compress(good)[:-100])
    before = tree(images)
    assert "train-images-idx3-ubyte.gz" in refused("train", "--dataset", images)
    assert tree(images) == before
    packed.unlink()
    x.write_bytes(b"\0\0\x0d" + good[3:])
    assert "magic" in refused("train", "--dataset", images)
    x.write_bytes(good)
    y.write_bytes(idx_file(np.zeros(59, np.uint8)))
    assert "60 images" in refused("train", "--dataset", images)
    y.unlink()
    assert "train-labels-idx1-ubyte" in refused("train", "--dataset", images)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,y\n" + "1,2,p\n3,,q\n" * 9, "row 3, column 'b': value is missing"),
        ("a,b,y\n" + "1,2,p\n3,4,q\n" * 9 + "5,six,p\n", "'six'"),
        ("a,b\n1,2\n", "no column 'y'"),
        ("", "empty"),
        ("a,b,y\n" + ",,p\n,,q\n" * 9, "no column beside 'y' (a is left out: it is empty; b is left out"),
        ("a,b,y\n" + "1,2,p\n" * 9, "column 'y' has one value only (p); give a target with at least two"),
    ],
)
def test_csv_faults(refused, tmp_path, text, message):
    (tmp_path / "table.csv").write_text(text)
    assert message in refused("train", "--dataset", tmp_path / "table.csv", "--column", "y", "--epochs", "1")


def test_data_that_can_not_be_are_one_line(refused, tmp_path):
    for name, message in (("folder.csv", "holds no IDX files"), ("folder.npz", "is a folder, not a file")):
        (tmp_path / name).mkdir()
        assert f"{name} {message}; " in refused("train", "--dataset", tmp_path / name)
    np.savez(tmp_path / "lengths.npz", x=np.zeros((5, 2)), y=np.arange(4))
    assert "x has shape (5, 2) and y (4,)" in refused("train", "--dataset", tmp_path / "lengths.npz")
    np.savez(tmp_path / "infinite.npz", x=np.full((5, 2), np.inf), y=np.arange(5) % 2)
    assert "x holds values that are not finite" in refused("train", "--dataset", tmp_path / "infinite.npz")


@pytest.mark.filterwarnings("default:.*not seen in training")
@pytest.mark.slow
def test_what_is_not_there_at_prediction_is_one_line(call, refused, tmp_path):
    rows = [f"{number % 7},{'Rome' if number % 2 else 'Oslo'},{'yes' if number % 2 else 'no'}" for number in range(60)]
    (tmp_path / "t.csv").write_text("a,town,y\n" + "\n".join(rows) + "\n")
    table = tmp_path / "table"
    assert call("train", "--dataset", tmp_path / "t.csv", "--column", "y", *QUICK, "--out", table).code == 0
    (tmp_path / "lacks.csv").write_text("town\nRome\n")
    message = "lacks.csv has no column 'a', which the run needs; it has town"
    assert message in refused("predict", table, "--file", tmp_path / "lacks.csv")
    (tmp_path / "unseen.csv").write_text("town,a\nBern,1\nRome,1\n")
    unseen = call("predict", table, "--file", tmp_path / "unseen.csv")
    assert "not seen in training, and taken for none of the categories: town Bern" in unseen.err
    assert (unseen.code, len(unseen.out.splitlines())) == (0, 2)
    for name in ("p.csv", "p.csv.gz"):
        assert call("predict", table, "--file", tmp_path / "unseen.csv", "--out", tmp_path / name).code == 0
    packed = (tmp_path / "p.csv.gz").read_bytes()
    assert gzip.decompress(packed) == (tmp_path / "p.csv").read_bytes()
    (tmp_path / "folder.csv").mkdir()
    assert "folder.csv is a folder; " in refused("predict", table, "--file", tmp_path / "folder.csv")


@pytest.mark.slow
def test_the_first_line_of_a_run_says_what_the_data_are_taken_for(tmp_path, call):
    np.savez(tmp_path / "d.npz", x=np.arange(60.0).reshape(20, 3), y=np.repeat([-1, 1], 10))
    arguments = ["train", "--dataset", str(tmp_path / "d.npz"), "--epochs", "1", "--batch-size", "4"]
    first = call(*arguments).out.splitlines()[0]
    assert "20 examples; 3 features; target 2 classes (2 different whole numbers; --task regression takes" in first
    told = json.loads(call(*arguments, "--task", "regression", "--json").out)
    assert "real numbers (task regression was asked for)" in told["data"]
    assert "test_rmse" in told


@pytest.mark.slow
def test_negative_targets_under_relu_warn(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 3))
    np.savez(tmp_path / "d.npz", x=x, y=x @ [1.0, 2.0, -1.0])
    arguments = ["train", "--dataset", str(tmp_path / "d.npz"), "--output", "relu", "--epochs", "1", "--json"]
    result = mlp_jax(*arguments)
    assert result.returncode == 0
    assert result.stderr.startswith("warning: output relu can't reach negative targets")
    assert len(result.stderr.splitlines()) == 1


def test_without_a_network_the_error_says_what_to_do(tmp_path):
    result = mlp_jax(
        "train",
        "--dataset",
        "kmnist",
        env={"https_proxy": "http://127.0.0.1:9", "HOME": str(tmp_path), "MLP_JAX_DATA_DIR": ""},
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: kmnist can't be downloaded")
    assert "--data-dir" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.slow
def test_plain_progress_lines_and_the_table_in_a_process_of_its_own(tmp_path):
    run = tmp_path / "run"
    result = mlp_jax("train", "--hidden", "256", "--seconds", "6", "--out", str(run))
    assert result.returncode == 0
    lines = result.stderr.splitlines()
    assert lines
    assert all(line.startswith("epoch ") and "examples/s" in line and "s left" in line for line in lines)
    assert {path.name for path in run.iterdir()} == {
        "config.json", "environment.json", "model.json", "metrics.parquet", "checkpoints", "report.html",
    }  # fmt: skip


@pytest.mark.slow
def test_the_clocks_of_a_default_run_account_for_all_of_it(tmp_path):
    runs = [mlp_jax("train", "--json", env={"MLP_JAX_CACHE_DIR": str(tmp_path)}).stdout for _ in range(3)]
    gaps = []
    for summary in map(json.loads, runs):
        assert summary["test_accuracy"] >= 0.95
        total = summary["seconds"].pop("total")
        gaps.append(abs(total - sum(summary["seconds"].values())) / total)
    assert min(gaps) < 0.05  # a busy machine only adds


def test_importing_is_cheap_and_starts_no_back_end():
    code = """
import sys, time
import jax, optax
begin = time.process_time()  # of this process alone, however busy the machine is
import mlp_jax
seconds = time.process_time() - begin
from jax._src import xla_bridge
heavy = {"pandas", "scipy.stats", "sklearn", "matplotlib", "tensorflow_datasets", "orbax", "tyro", "rich"}
print(seconds, bool(xla_bridge._backends), sorted(heavy & set(sys.modules)))
"""
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split(" ", 2)
        for _ in range(3)
    ]
    assert min(float(seconds) for seconds, _, _ in runs) < 0.2
    assert runs[0][1:] == ["False", "[]\n"]


def mlp_jax(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mlp_jax", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | (env or {}))


STUDY = ("--dataset", "iris", "--hidden", "8", "--optimizers", "sgd", "momentum", "--batch-sizes", "8", "full",
         "--rounds", "1", "--max-steps", "200", "--target", "0.8")  # fmt: skip


@pytest.mark.slow
def test_study_and_report(call, refused, tmp_path):
    out = tmp_path / "study"
    code, text, _ = call("study", *STUDY, "--out", out, "--json")
    assert code == 0
    result = json.loads(text)
    assert {"study", "report", "cells", "trials", "seconds", "steps_to_target", "critical_batch_size"} <= set(result)
    assert result["cells"] == 4
    assert result["trials"] >= 4 * 16 + 4 * 5
    assert result["intervals_hold"] == "tuning and seeds"
    assert set(result["steps_to_target"]) == {"sgd", "momentum"}
    assert {"low", "high", "value"} <= set(result["critical_batch_size"]["sgd"])
    before = tree(out)
    again = json.loads(call("study", *STUDY, "--out", out, "--json").out)
    assert {**again, "seconds": 0} == {**result, "seconds": 0}
    assert tree(out) == before
    table = call("study", *STUDY, "--out", out).out
    assert "best B (steps)" in table
    assert "together 95 %, Holm" in table
    page = call("report", out, "--out", tmp_path / "page.html").out.strip()
    assert "<svg" in Path(page).read_text()
    assert "holds another study (target 0.8 there, 0.9 here)" in refused(
        "study", *STUDY, "--target", "0.9", "--out", out
    )
    assert "holds no study" in refused("report", tmp_path / "none")


def test_study_files(call, refused, tmp_path):
    file = tmp_path / "study.toml"
    assert call("study", *STUDY, "--save-config", file).code == 0
    text = file.read_text()
    assert 'optimizers = ["sgd", "momentum"]' in text
    for change, message in (
        (("rounds = 1", "ruonds = 1"), "unknown key 'ruonds' in the study"),
        (("low = 0.001", "low = 1000.0"), "low 1000.0 is not below high 10.0"),
        (("fresh_seeds = 5", "fresh_seeds = 0"), "fresh_seeds 0 is not allowed"),
        (("rounds = 1", "rounds = "), "the study is not TOML"),
    ):
        (tmp_path / "wrong.toml").write_text(text.replace(*change))
        assert message in refused("study", tmp_path / "wrong.toml", "--out", tmp_path / "study")
    assert "batch size 9999 is not allowed" in refused("study", file, "--batch-sizes", "9999", "--out", tmp_path / "s")
    assert "none.toml" in refused("study", tmp_path / "none.toml")
    assert not (tmp_path / "study").exists()


def test_bench_prints_and_writes_the_record(call, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = {"flops_per_second": 1e12, "bytes_per_second": 1e11, "call_seconds": 1e-5, "turn_seconds": 1e-6}
    made = {
        "kind": bench.KIND,
        "version": bench.VERSION,
        "environment": environment.describe() | {"date": "2026-01-02"},
    }
    made |= {"effort": {}, "networks": {}, "precisions": {}, "ceilings": {"one_device": one, "all_devices": one}}
    monkeypatch.setattr(bench, "measure", lambda effort, say: made | {"effort": {"rounds": effort.rounds}})
    code, out, _ = call("bench", "--quick")
    assert code == 0
    assert out.splitlines()[-1] == "record: bench-quick-cpu-2026-01-02.json"
    assert bench.read(tmp_path / "bench-quick-cpu-2026-01-02.json")["effort"]["rounds"] == bench.QUICK.rounds
    code, out, _ = call("bench", "--json", "--out", tmp_path / "here" / "record.json")
    assert code == 0
    assert json.loads(out) == bench.read(tmp_path / "here" / "record.json")
    assert "is a folder; name a file" in refused("bench", "--out", tmp_path)


@pytest.mark.slow
def test_a_quick_bench_of_this_machine(tmp_path):
    command = [sys.executable, "-m", "mlp_jax", "bench", "--quick", "--json", "--out", str(tmp_path / "record.json")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert record == bench.read(tmp_path / "record.json")
    for network in record["networks"].values():
        assert all(row["share"] > 0 for row in network["batch"])
    assert record["precisions"]["highest"]["product_error"] < 1e-6


@pytest.mark.slow
def test_a_damaged_or_a_foreign_study_is_one_line(call, refused, tmp_path):
    out = tmp_path / "study"
    assert call("study", *STUDY, "--out", out).code == 0
    whole = tree(out)
    plan = files.parsed_json(out / "study.json")
    files.write_json(out / "study.json", plan | {"protocol": "0.9"})
    for arguments in (("report", out), ("study", *STUDY, "--out", out)):
        assert "is of protocol 0.9, and this is protocol" in refused(*arguments)
    for text, message in (
        ("[]", "holds no object"),
        ("{", "is damaged"),
        (json.dumps(plan | {"x": 1}), "unknown key 'x'"),
    ):
        (out / "study.json").write_text(text)
        assert message in refused("report", out)
    for name, content in whole.items():
        name.write_bytes(content)
    (out / "environment.json").write_text("[]")
    assert (
        "environment.json is damaged" in Path(call("report", out, "--out", tmp_path / "a.html").out.strip()).read_text()
    )


@pytest.mark.slow
def test_a_report_replaces_nothing_but_pages(refused, call, tmp_path):
    out = tmp_path / "study"
    assert call("study", *STUDY, "--out", out).code == 0
    before = tree(tmp_path)
    for path in (out / "study.json", tmp_path, "/dev/null"):
        assert "is no page; name a file that ends in .html" in refused("report", out, "--out", path)
    assert tree(tmp_path) == before


def test_a_study_file_from_a_windows_editor_is_read(call, refused, tmp_path):
    (tmp_path / "study.toml").write_bytes(b"\xef\xbb\xbfrounds = 1\r\n")
    assert call("study", tmp_path / "study.toml", "--save-config", tmp_path / "out.toml").code == 0
    assert "rounds = 1" in (tmp_path / "out.toml").read_text()
    assert "is a directory" in refused("study", "--save-config", tmp_path)
    assert f"can't read {tmp_path}: Is a directory; name a study.toml" in refused("study", tmp_path)


def test_more_than_the_memory_holds_is_one_line(refused, tmp_path, monkeypatch):
    def too_much(*_: object, **__: object) -> None:
        raise MemoryError("Unable to allocate 8.00 TiB for an array")

    monkeypatch.setattr("mlp_jax.study.cells.facts", too_much)
    message = refused("study", *STUDY[:9], "--out", tmp_path / "study")
    assert "not enough memory (Unable to allocate 8.00 TiB for an array); ask for less" in message
    assert not (tmp_path / "study").exists()


FULL = """
import resource, signal, sys
from mlp_jax.cli.commands import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
main(sys.argv[2:])
"""


@pytest.mark.slow
@pytest.mark.parametrize("room", [100, 3000, 30_000], ids=["no plan", "no part", "no page"])
def test_a_study_on_a_full_disk_stops_in_one_line_and_goes_on_later(call, tmp_path, room):
    """Small files still fit, as on a disk that is nearly full."""
    out = tmp_path / "study"
    environment = os.environ | {"MLP_JAX_CACHE_DIR": str(tmp_path / "file" / "none")}
    (tmp_path / "file").write_text("")  # so that no program is cached
    command = [sys.executable, "-c", FULL, str(room), "study", *STUDY, "--out", str(out)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: can't write ")
    assert line.endswith("name another place")
    assert "Traceback" not in result.stderr
    assert not [path for path in out.rglob("*") if path.suffix in (".partial", ".damaged")]
    assert call("study", *STUDY, "--out", out).code == 0
    assert json.loads(call("report", out, "--json").out)["studies"][0]["complete"]


@pytest.mark.parametrize(
    ("platform", "reason"),
    [("nonsense", "'nonsense' is not in the list of known backends"), ("cuda", "nothing for cuda is installed")],
)
def test_a_back_end_that_is_not_there_is_one_line(platform, reason):
    if platform == "cuda" and find_spec("jax_plugins") is not None:
        pytest.skip("JAX has a plugin here, for CUDA perhaps")
    command = [sys.executable, "-m", "mlp_jax", "train", "--epochs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"JAX_PLATFORMS": platform})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: JAX can't start its back end")
    assert done.stderr.count("\n") == 1
    assert reason in done.stderr
    assert "leave JAX_PLATFORMS unset" in done.stderr


def test_other_failures_keep_their_traceback(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("ours")

    monkeypatch.setattr("mlp_jax.training.run.train", fail)
    with pytest.raises(RuntimeError, match="ours"):
        cli.main(["train"])
