"""What a study is: fields that are checked, ids that decide it, cells that treat every optimizer alike."""

import dataclasses
import json

import pytest

from mlp_jax import optimizers
from mlp_jax.study import cells, growth, plan, toml
from mlp_jax.study.cells import Facts
from mlp_jax.study.plan import Study
from mlp_jax.study.spaces import Space
from mlp_jax.training.config import Config

OVER = "max_steps of batch size 8 2147483648"
STEPS, SIZE = "a whole number from 1 to 2**31 - 1", "a whole number of at least 1, or full"
IRIS = Config(dataset="iris", hidden=(4,), validation=0.2)
DATA = Facts("data", 96, "validation_accuracy")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('seeds = "3"', "seeds '3' is not allowed; give a whole number of at least 1"),
        ("seeds = 1.5", "seeds 1.5 is not allowed; give a whole number of at least 1"),
        ("seeds = true", "seeds True is not allowed; give a whole number of at least 1"),
        ("optimizers = 3", "optimizers 3 is not allowed; give a list, each entry text"),
        ('optimizers = "sgd"', "optimizers 'sgd' is not allowed; give a list, each entry text"),
        ("batch_sizes = [[8]]", "batch size [8] is not allowed; give a whole number of at least 1, or full"),
        ("max_epochs = 'many'", "max_epochs 'many' is not allowed; give a positive number"),
        (
            "max_steps = 0",
            f"max_steps 0 is not allowed; give {STEPS}, or a table, each entry {STEPS}",
        ),
        ("batch_sizes = [8]\nmax_steps = { 8 = 2147483648 }", f"{OVER} is not allowed; give {STEPS}"),
        ('target = "high"', "target 'high' is not allowed; give the metric to reach"),
        ("noise_scale = 3", "noise_scale 3 is not allowed; give true or false"),
        ('racing = "2"', "racing '2' is not allowed; give a whole number of at least 2"),
        ("workload = 3", "workload 3 is not allowed; give a table"),
        ("spaces = 3", "spaces 3 is not allowed; give a table"),
        ("[spaces]\nsgd = 3", "the space of sgd 3 is not allowed; give a table"),
        ("protocol = 1.0", "protocol 1.0 is not allowed; give text"),
        ("seed = 1.5", "seed 1.5 is not allowed; give a whole number of at least 0"),
        ("[spaces.sgd]\nlearning_rate = 0.1", "the space of sgd learning_rate 0.1 is not allowed; give a table"),
        (
            "[spaces.sgd]\nlearning_rate = { low = 'a', high = 'b' }",
            "sgd.learning_rate: low 'a' is not allowed; give a number",
        ),
        (
            "[spaces.sgd]\nlearning_rate = { choices = 1.0 }",
            "sgd.learning_rate: choices 1.0 is not allowed; give a list, each entry a number",
        ),
        (
            "[spaces.sgd]\nlearning_rate = { choices = [0.1, nan, 0.2] }",
            "learning_rate nan is not allowed; give a positive number",
        ),
        ("[workload]\nhidden = 64", "hidden 64 is not allowed; give a list, each entry a whole number of at least 1"),
    ],
)
@pytest.mark.usefixtures("no_beartype")
def test_a_value_of_another_kind_is_refused_in_one_sentence(text, message):
    with pytest.raises(ValueError, match="^") as raised:
        toml.from_toml(text)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"workload": {}}, "workload {} is not allowed; give a Config"),
        ({"max_steps": {8: 3}}, "max_steps, the key 8 is not allowed; give text"),
        ({"spaces": {"sgd": None}}, "the space of sgd None is not allowed; give a table, each entry a Space"),
        ({"optimizers": None}, "optimizers None is not allowed; give a list, each entry text"),
        ({"seeds": None}, "seeds None is not allowed; give a whole number of at least 1"),
        ({"batch_sizes": "full"}, "batch_sizes 'full' is not allowed; give a list, each entry " + SIZE),
        ({"racing": 2.0}, "racing 2.0 is not allowed; give a whole number of at least 2"),
    ],
)
@pytest.mark.usefixtures("no_beartype")
def test_python_is_checked_as_a_file_is(fields, message):
    with pytest.raises(ValueError, match="^") as raised:
        Study(**fields)
    assert str(raised.value) == message


OWNED = {"learning_rate": 0.1, "momentum": 0.5, "decay": 0.5, "beta1": 0.5, "beta2": 0.5, "epsilon": 0.1, "seed": 1,
         "initial_accumulator": 0.5, "optimizer": "sgd", "schedule": "constant", "batch_size": 64, "epochs": 3.0,
         "steps": 3, "seconds": 3.0, "stop_at": 0.5, "stop_metric": "loss", "stop_smoothing": 2.0, "evaluations": 3,
         "spacing": "log",
         "evaluate_on": ("train",), "noise_scale": True, "hyper": {"alpha": 2.0}}  # fmt: skip
TAKER = {
    "hyper": "ademamix", "decay": "rmsprop", "beta1": "adam", "beta2": "adam", "epsilon": "adam",
    "initial_accumulator": "adagrad",
}  # fmt: skip


def test_what_the_study_decides_must_be_left_out_of_the_workload():
    assert set(plan.OWNED) == set(OWNED)
    for name, value in OWNED.items():
        taker = {"optimizer": TAKER[name]} if name in TAKER else {}
        with pytest.raises(ValueError, match="is decided by the study; leave it out of the workload"):
            Study(workload=Config(**{**taker, name: value}))


CHANGES = {"workload": Config(dataset="wine"), "optimizers": ("sgd",), "batch_sizes": (8,), "method": "sobol",
           "spaces": {"sgd": {"learning_rate": Space(choices=(0.1,))}}, "points": 9, "seeds": 4, "fresh_seeds": 6,
           "max_steps": 4999, "max_epochs": 299.5, "target": 0.9, "evaluations": 61, "racing": 2, "seed": 1,
           "noise_scale": True, "rounds": 4, "target_metric": "loss", "smoothing": 1.5,
           "protocol": plan.PROTOCOL + ".1", "schedule": "cosine", "versions": {"sgd": "0123"}}  # fmt: skip


def with_method(name: str, value) -> dict:
    """Racing is for a search alone."""
    return {name: value} | ({"method": "halton"} if name == "racing" else {})


def test_the_id_changes_with_every_field_and_with_every_field_of_the_workload():
    assert set(CHANGES) == {field.name for field in dataclasses.fields(Study)}
    ids = [Study().id, *(Study(**with_method(name, value)).id for name, value in CHANGES.items())]
    given = {"hidden": (3,), "validation": 0.3, "split_seed": 1, "l2": 0.1, "clip": 1.0, "activation": "tanh"}
    ids += [Study(workload=Config(**{name: value})).id for name, value in given.items()]
    assert len(set(ids)) == len(ids)


def test_a_study_survives_json_whatever_is_changed():
    for name, value in CHANGES.items():
        study = Study(**with_method(name, value))
        assert plan.from_dict(json.loads(json.dumps(plan.to_dict(study)))) == study


def test_equal_studies_have_equal_ids_and_cells_however_they_are_written():
    both = {"learning_rate": Space(low=1, high=10), "momentum": Space(choices=(0, 0.9))}
    same = {"momentum": Space(choices=(0.0, 0.9)), "learning_rate": Space(low=1.0, high=10.0)}
    first = Study(workload=IRIS, optimizers=("momentum",), batch_sizes=(8,), max_epochs=40, spaces={"momentum": both})
    second = Study(
        workload=IRIS, optimizers=("momentum",) * 2, batch_sizes=(8, 8), max_epochs=40.0, spaces={"momentum": same}
    )
    assert first == second
    assert first.id == second.id
    assert [part.id for part in cells.of(first, DATA)] == [part.id for part in cells.of(second, DATA)]


def test_every_batch_size_may_have_a_budget_of_its_own(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(
        'batch_sizes = [1, 8, "full"]\nmax_steps = { full = 40, 1 = 900, 8 = 200 }\n[workload]\ndataset = "iris"'
    )
    study = toml.from_file(path)
    assert toml.from_toml(toml.to_toml(study)) == study
    budgets = {part.batch_size: part.budget for part in cells.of(study, DATA)}
    assert budgets == {1: 900, 8: 200, 96: 40}
    same = dataclasses.replace(study, batch_sizes=(8,), max_steps=200)
    ids = {part.id for part in cells.of(study, DATA)}
    assert {part.id for part in cells.of(same, DATA)} <= ids
    for wrong, message in (
        ({"1": 9, "8": 9}, "max_steps and the batch sizes differ in full; give one number, or one for each"),
        ({"1": 9, "8": 9, "full": 9, "64": 9}, "differ in 64"),
        ({"1": 9, "8": 0, "full": 9}, "max_steps of batch size 8 0 is not allowed"),
        ({"1": 9, "8": True, "full": 9}, "max_steps of batch size 8 True is not allowed"),
    ):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(study, max_steps=wrong)


RATES = {"sgd": (1e-3, 10.0), "momentum": (1e-4, 1.0), "nesterov": (1e-4, 1.0), "adagrad": (1e-3, 1.0),
         "rmsprop": (1e-4, 0.1), "adadelta": (1e-2, 10.0), "adam": (1e-4, 0.1), "adamax": (1e-4, 0.1),
         "nadam": (1e-4, 0.1), "amsgrad": (1e-4, 0.1)}  # fmt: skip


def test_every_optimizer_has_a_default_space_around_its_default_rate():
    """Studies that were made before have these spaces: another one makes their cells anew."""
    assert set(RATES) == set(optimizers.CLASSICAL)
    study = Study(optimizers=tuple(optimizers.BUILT_IN))
    for name, space in study.spaces.items():
        default = optimizers.table(name)["learning_rate"].default
        assert list(space) == ["learning_rate"]
        if name in RATES:
            assert space["learning_rate"] == Space(low=RATES[name][0], high=RATES[name][1], scale="log")
        assert space["learning_rate"].low < default < space["learning_rate"].high


def test_changes_leave_the_rest_and_drop_the_spaces_of_dropped_optimizers():
    before = Study(spaces={"sgd": {"learning_rate": Space(choices=(0.1,))}})
    assert plan.changed(before, {"hidden": None}, {"points": None}) == before
    after = plan.changed(before, {"dataset": "iris"}, {"optimizers": ("momentum", "adam"), "points": 3})
    assert (after.workload.dataset, after.workload.hidden, after.points) == ("iris", (64,), 3)
    assert list(after.spaces) == ["momentum", "adam"]
    assert plan.changed(before, {}, {"optimizers": ("sgd",)}).spaces["sgd"] == before.spaces["sgd"]
    space = {"momentum": {"learning_rate": Space(choices=(0.2,))}}
    assert plan.changed(before, {}, {"spaces": space}).spaces == before.spaces | space


def test_racing_is_for_a_search_alone():
    with pytest.raises(ValueError, match="racing is for a search of points; choose method halton, sobol or grid"):
        Study(racing=2)


SMALL = Study(workload=IRIS, optimizers=("sgd",), batch_sizes=(8, "full"), max_steps={"8": 90, "full": 9})


def test_a_study_grows_by_what_is_asked_besides():
    asked = dataclasses.replace(
        SMALL, optimizers=("adam",), spaces={}, batch_sizes=(16, 8), rounds=5, fresh_seeds=2,
        max_steps={"8": 90, "16": 50}, noise_scale=True,
    )  # fmt: skip
    found = growth.grown(SMALL, asked)
    assert (found.optimizers, found.batch_sizes) == (("sgd", "adam"), (8, "full", 16))
    assert found.max_steps == {"8": 90, "full": 9, "16": 50}
    assert (found.rounds, found.fresh_seeds, found.noise_scale) == (5, 5, True)
    assert growth.grown(found, SMALL) == found
    assert growth.grown(SMALL, SMALL) == SMALL


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": 0.9}, "another study (target 0.95 there, 0.9 here)"),
        ({"seed": 3}, "another study (seed 0 there, 3 here)"),
        ({"smoothing": 1.0}, "another study (smoothing 1.25 there, 1.0 here)"),
        ({"method": "halton"}, "another study (method 'rounds' there, 'halton' here)"),
        ({"max_steps": {"8": 91, "full": 9}}, "another study (max_steps of 8 90 there, 91 here)"),
        ({"max_steps": 9}, "another study (max_steps"),
        ({"spaces": {"sgd": {"learning_rate": Space(low=0.1, high=1.0)}}}, "another study (spaces of sgd"),
        ({"workload": dataclasses.replace(IRIS, l2=0.1)}, "another study (workload"),
    ],
)
def test_what_contradicts_is_another_study(changes, message):
    with pytest.raises(ValueError, match="^") as raised:
        growth.grown(SMALL, dataclasses.replace(SMALL, **changes))
    assert message in str(raised.value)


def test_rounds_may_differ_between_optimizers():
    study = dataclasses.replace(SMALL, optimizers=("sgd", "adam"), spaces={}, rounds={"sgd": 2, "adam": 4})
    assert (study.rounds_of("sgd"), study.rounds_of("adam")) == (2, 4)
    assert toml.from_toml(toml.to_toml(study)) == study
    assert growth.grown(study, dataclasses.replace(study, rounds=3)).rounds == {"sgd": 3, "adam": 4}
    assert growth.grown(SMALL, study).rounds == {"sgd": 3, "adam": 4}
    assert growth.with_rounds(study, {"sgd": 2, "adam": 2}).rounds == 2
    assert plan.changed(study, {}, {"optimizers": ("sgd",)}).rounds == 4
    with pytest.raises(ValueError, match="rounds and the optimizers differ in adam; give one number, or one for each"):
        dataclasses.replace(study, rounds={"sgd": 2})
    for wrong in (0, {"sgd": 0, "adam": 1}):
        with pytest.raises(ValueError, match="is not allowed; give a whole number of at least 1"):
            dataclasses.replace(study, rounds=wrong)
