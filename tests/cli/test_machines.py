"""The commands about machines as a user meets them: `compile` and `bench --study`, and what they refuse."""

import json

import pytest
from study_by_hand import study

from mlp_jax import bench, cli
from mlp_jax.bench import timings
from mlp_jax.machine import accelerators
from mlp_jax.machine.files import parsed_json

SMALL = """
optimizers = ["sgd", "adam"]
batch_sizes = [8]
target = 0.8
[workload]
dataset = "iris"
hidden = [4]
validation = 0.2
"""


@pytest.fixture
def call(capsys):
    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def toml(tmp_path):
    (tmp_path / "study.toml").write_text(SMALL)
    return tmp_path / "study.toml"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return study(tmp_path_factory.mktemp("study"))


def test_a_study_is_compiled_for_what_is_here(call, toml):
    code, out, err = call("compile", toml)
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()[2:]] == ["sgd", "adam"]
    assert err.splitlines() == ["sgd, batch size 8", "adam, batch size 8"]
    code, out, _ = call("compile", "--widths", 5, 4, 3, "--optimizers", "sgd", "--trials", 3, "--json")
    assert code == 0
    (program,) = json.loads(out)["programs"]
    assert (program["network"], program["trials"], program["batch_size"]) == ([5, 4, 3], 3, 32)
    assert program["estimated_seconds_per_trial_step"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--for", "h9000"), "error: unknown device 'h9000'; choose one of h100, tpu-7x"),
     (("x.toml", "--widths", "5", "3"), "error: --widths are of another network than x.toml's; leave one of them out"),
     (("--examples", "9"), "error: --examples are for a network; give --widths too, or leave them out"),
     (("--widths", "5"), "error: widths [5] are no network; give inputs, hidden layers and outputs, at least two"),
     (("--widths", "5", "3", "--trials", "0"), "error: trials 0 is not allowed"),
     (("--trials", "0"), "error: trials 0 is not allowed"),
     (("--widths", "5", "3", "--examples", "0"), "error: examples 0 is not allowed"),
     (("--optimizers", "sgdd"), "error: unknown optimizer 'sgdd'"), (("nowhere",), "error: ")],
)  # fmt: skip
def test_what_can_t_be_compiled_is_one_line(call, words, said):
    code, out, err = call("compile", *words)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(said)


def test_an_absent_compiler_names_the_extra(call, monkeypatch):
    monkeypatch.setattr(accelerators, "_installed", lambda module: False)
    code, out, err = call("compile", "--for", "tpu-v5e")
    assert (code, out) == (2, "")
    assert err == (
        "error: the compiler for tpu-v5e is not installed; pip install 'mlp-jax[accelerators]', or choose another "
        "device\n"
    )


def test_a_study_s_cells_are_measured_and_kept(call, toml, tmp_path, monkeypatch):
    seen = []
    made = {"kind": timings.KIND, "environment": {"device_kind": "cpu", "date": "2026-01-02"}}
    monkeypatch.setattr(timings, "measure", lambda study, effort, say: seen.append((study, effort)) or made)
    monkeypatch.setattr(timings, "table", lambda record: "the table")
    monkeypatch.chdir(tmp_path)
    code, out, _ = call("bench", "--study", toml, "--quick")
    assert code == 0
    assert out.splitlines() == ["the table", "", "record: bench-study-quick-cpu-2026-01-02.json"]
    assert seen[0][0].optimizers == ("sgd", "adam")
    assert seen[0][1] == timings.QUICK
    code, out, _ = call("bench", "--study", toml, "--json", "--out", "record.json")
    assert json.loads(out) == parsed_json(tmp_path / "record.json") == made
    assert seen[1][1] == timings.FULL
    code, out, err = call("bench", "--study", "nowhere")
    assert (code, out) == (2, "")
    assert "nowhere" in err


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"kind": "mlp_jax bench", "device": "' + "x" * 2**24 + '"}', "are allowed"),
        ('{"kind": "mlp_jax bench", "version": ' + "9" * 400 + "}", "too large"),
        ('{"kind": ' + "[" * 100 + "]" * 100 + "}", "nested"),
        ("[" * 100_000, ""),
        ('{"kind": "mlp_jax bench", "version": 1e999}', "too large"),
        ('{"kind": "other"}', "is not a record of"),
        ('["mlp_jax bench"]', "it holds no object"),
        ("\ufeff{", ""),
    ],
)  # fmt: skip
def test_a_damaged_record_is_one_line_that_names_it(call, whole, tmp_path, text, reason):
    record = tmp_path / "record.json"
    record.write_text(text)
    code, out, err = call("report", whole, record)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert str(record) in err
    assert len(err.splitlines()) == 1
    assert reason in err


def test_a_price_that_is_no_number_is_one_line(call, tmp_path):
    code, out, err = call("report", tmp_path, "--price", "much")
    assert (code, out) == (2, "")
    assert err.startswith("error: --price 'much' is not allowed")
    assert bench.KIND != timings.KIND
