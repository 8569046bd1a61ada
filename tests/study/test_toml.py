"""A study as text: every one survives, written as people write it, and read with the file's name in every fault."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlp_jax import optimizers
from mlp_jax.study import plan, toml
from mlp_jax.study.plan import Study
from mlp_jax.study.spaces import Space
from mlp_jax.training.config import Config

SPACES = {
    "learning_rate": st.fixed_dictionaries({"low": st.floats(1e-6, 1e-3), "high": st.floats(0.01, 10)}),
    "momentum": st.fixed_dictionaries(
        {"choices": st.lists(st.just(0.0) | st.floats(1e-6, 0.999), min_size=1, max_size=3).map(tuple)}
    ),
    "decay": st.just({"low": 0.5, "high": 0.999, "scale": "log_complement"}),
}


FIELDS = {
    "batch_sizes": st.lists(st.integers(1, 99) | st.just("full"), min_size=1, max_size=4).map(tuple),
    "method": st.sampled_from(["halton", "sobol", "grid"]),
    "points": st.integers(1, 9),
    "max_epochs": st.floats(1e-3, 1e9) | st.integers(1, 99),
    "target": st.floats(-1e9, 1e9),
    "racing": st.none() | st.integers(2, 4),
}


WORKLOAD = {
    "dataset": st.text(min_size=1),
    "hidden": st.lists(st.integers(1, 9), max_size=3).map(tuple),
    "l2": st.none() | st.floats(1e-9, 1.0),
    "validation": st.integers(0, 50) | st.floats(0, 0.5),
}


@st.composite
def searches(draw) -> dict:
    """Optimizers, and spaces for some of them."""
    names = draw(st.lists(st.sampled_from(sorted(optimizers.BUILT_IN)), min_size=1, max_size=4, unique=True))
    tuned = draw(st.lists(st.sampled_from(names), unique=True))
    spaces = {name: {k: draw(v) for k, v in SPACES.items() if k in optimizers.table(name)} for name in tuned}
    return {"optimizers": tuple(names), "spaces": spaces}


def build(workload: dict, search: dict, fields: dict) -> Study:
    spaces = {name: {k: Space(**v) for k, v in of.items()} for name, of in search["spaces"].items()}
    return Study(workload=Config(**workload), optimizers=search["optimizers"], spaces=spaces, **fields)


@settings(deadline=None, max_examples=40)
@given(st.fixed_dictionaries(WORKLOAD), searches(), st.fixed_dictionaries(FIELDS))
def test_every_study_survives_toml_and_json(workload, search, fields):
    study = build(workload, search, fields)
    for again in (toml.from_toml(toml.to_toml(study)), plan.from_dict(json.loads(json.dumps(plan.to_dict(study))))):
        assert again == study
        assert again.id == study.id


def test_a_study_is_written_as_people_write_one():
    workload = Config(dataset="odd\n    ,\n]\x7f [é", hidden=())
    study = Study(workload=workload, optimizers=("sgd",), batch_sizes=(8, "full"), max_steps={"8": 9, "full": 7})
    text = toml.to_toml(study)
    assert toml.from_toml(text) == study
    for part in (
        'optimizers = ["sgd"]\nbatch_sizes = [8, "full"]\nmethod = "rounds"\nrounds = 3\n',
        "[max_steps]\n8 = 9\nfull = 7\n",
        '[spaces.sgd.learning_rate]\nlow = 0.001\nhigh = 10.0\nscale = "log"\n',
        "hidden = []\n",
    ):
        assert part in text
    assert "hidden = [3, 4]" in toml.to_toml(Study(workload=Config(hidden=(3, 4))))


def test_a_file_by_hand_needs_only_what_differs(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(
        'optimizers = ["sgd", "momentum"]\nbatch_sizes = [8, "full"]\nmax_epochs = 40\n[workload]\ndataset = "iris"\n'
        "hidden = []\n[spaces.momentum]\nmomentum = { choices = [0, 0.9] }\n[spaces.sgd]\n"
    )
    study = toml.from_file(path)
    assert study.workload == Config(dataset="iris", hidden=())
    assert study.batch_sizes == (8, "full")
    assert study.spaces["momentum"] == {"momentum": Space(choices=(0, 0.9))}
    assert list(study.spaces["sgd"]) == ["learning_rate"]
    assert study.seeds == Study().seeds
    path.write_text("")
    assert toml.from_file(path) == Study()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ponits = 3", "unknown key 'ponits' in the study; it has workload, optimizers"),
        ("[workload]\nlr = 3", "unknown field 'lr'"),
        ("[spaces.sgd]\nlearning_rate = { lo = 1, high = 2 }", "unknown key 'lo' in the space of sgd.learning_rate"),
        ("[spaces.sgd]\nlearning_rate = { low = 2.0, high = 1.0 }", "sgd.learning_rate: low 2.0 is not below high 1.0"),
        ("[spaces.sgd]\nmomentum = { low = 0.1, high = 0.9 }", "'sgd' has no hyper-parameter 'momentum'; it has learn"),
        ("[spaces.momentum]\nmomentum = { low = 0.5, high = 1.5 }", "momentum 1.5 is not allowed"),
        ("[spaces.adam]\nlearning_rate = { low = 0.1, high = 0.9 }", "'adam', which is not among the optimizers"),
        ('optimizers = ["adma"]', "unknown optimizer 'adma'; choose one of adabelief, adadelta"),
        ("optimizers = []", "give at least one of each"),
        ("batch_sizes = []", "give at least one of each"),
        ("batch_sizes = [0]", "batch size 0 is not allowed"),
        ('batch_sizes = ["half"]', "batch size 'half' is not allowed; give a whole number of at least 1, or full"),
        ("seeds = 0", "seeds 0 is not allowed; give a whole number of at least 1"),
        ("fresh_seeds = 3000000", "fresh_seeds 3000000 is not allowed; give at most 1,000,000"),
        ("points = -1", "points -1 is not allowed"),
        ("max_steps = 0", "max_steps 0 is not allowed"),
        ("max_epochs = 0.0", "max_epochs 0.0 is not allowed"),
        ("max_epochs = inf", "max_epochs inf is not allowed"),
        ("target = nan", "target nan is not allowed"),
        ("racing = 1", "racing 1 is not allowed"),
        ("seed = -1", "seed -1 is not allowed"),
        ('method = "random"', "unknown method 'random'"),
        ('protocol = "0.9"', "protocol 0.9, and this is protocol"),
        ("[workload]\nactivation = 'rleu'", "unknown activation 'rleu'"),
        ("seeds = = 3", "the study is not TOML"),
    ],
)
@pytest.mark.usefixtures("no_beartype")
def test_files_that_are_not_allowed_name_themselves_and_the_reason(tmp_path, text, message):
    path = tmp_path / "study.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as raised:
        toml.from_file(path)
    assert str(path) in str(raised.value)


def test_a_file_may_begin_with_the_mark_of_windows_editors_and_end_its_lines_as_they_do(tmp_path):
    path = tmp_path / "study.toml"
    path.write_bytes("\ufeffseeds = 7\r\n[workload]\r\ndataset = 'é'\r\n".encode())
    assert toml.from_file(path) == Study(seeds=7, workload=Config(dataset="é"))


@pytest.mark.parametrize(("name", "reason"), [("", "Is a directory"), ("none.toml", "No such file or directory")])
def test_a_file_that_can_not_be_read_is_named(tmp_path, name, reason):
    path = tmp_path / name
    with pytest.raises(OSError, match="^") as raised:
        toml.from_file(path)
    assert str(raised.value) == f"can't read {path}: {reason}; name a study.toml"
