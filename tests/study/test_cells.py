"""The cells of a study: every optimizer treated alike, named by all that decides their results and nothing else."""

import dataclasses

import pytest

from mlp_jax.study import cells
from mlp_jax.study.cells import Facts
from mlp_jax.study.plan import Study
from mlp_jax.study.spaces import Space
from mlp_jax.training import config as configs
from mlp_jax.training.config import Config

IRIS = Config(dataset="iris", hidden=(4,), validation=0.2)
STUDY = Study(workload=IRIS, batch_sizes=(1, 8, "full"))
NAMED = [
    "5f72c0fd74875643",
    "499c42104936c1ba",
    "c8134feb04819539",
    "7c76fd09323a6444",
    "b9a1a8487f72bde5",
]  # by the first version of this protocol


@pytest.fixture(scope="module")
def iris():
    return configs.load_data(IRIS)


@pytest.fixture(scope="module")
def data(iris) -> Facts:
    return cells.facts(STUDY, iris)


def ids(study: Study, data: Facts) -> list[str]:
    return [cell.id for cell in cells.of(study, data)]


def test_a_cell_keeps_its_name_from_version_to_version():
    """So that a study that is there goes on; new fields decide nothing where they are at their defaults."""
    study = Study(optimizers=("sgd",), seed=1000)
    named = ids(study, Facts("x", 1150, "validation_accuracy"))
    assert named == NAMED, "if results are others now, so must be the protocol's number"
    weighted = dataclasses.replace(study, workload=dataclasses.replace(study.workload, class_weight="balanced"))
    assert not set(ids(weighted, Facts("x", 1150, "validation_accuracy"))) & set(named)


def test_how_weights_start_is_named_by_what_it_is_and_not_by_auto(data):
    """So that a study of a table, which began as pixels do before `auto` was, does not go on with others."""
    pixels, table = list(cells.of(STUDY, data._replace(pixels=True))), list(cells.of(STUDY, data))
    assert {cell.config.init for cell in pixels} == {"he"}
    assert {cell.config.init for cell in table} == {"glorot"}
    asked = dataclasses.replace(STUDY, workload=dataclasses.replace(IRIS, init="he"))
    assert ids(asked, data) == [cell.id for cell in pixels] != [cell.id for cell in table]


def test_the_facts_are_those_of_the_data(iris, data):
    assert data == (iris.fingerprint, 96, "validation_accuracy", False)
    assert cells.facts(dataclasses.replace(STUDY, target_metric="loss"), iris).score == "validation_loss"
    diabetes = Study(workload=Config(dataset="diabetes", validation=0.2), batch_sizes=(8,))
    assert cells.facts(diabetes, configs.load_data(diabetes.workload)).score == "validation_rmse"


def test_large_batches_come_first_and_full_is_counted_once(data):
    study = Study(workload=IRIS, optimizers=("sgd", "adam"), batch_sizes=(1, 96, "full", 8))
    assert [(cell.batch_size, cell.optimizer) for cell in cells.of(study, data)] == [
        (96, "sgd"), (96, "adam"), (8, "sgd"), (8, "adam"), (1, "sgd"), (1, "adam"),
    ]  # fmt: skip


def test_a_cell_is_what_the_study_and_the_workload_say_with_room_for_four_times_the_budget(data):
    study = Study(workload=IRIS, batch_sizes=(8,), max_steps=70, max_epochs=9.0, target=0.8, evaluations=5, smoothing=2)
    for cell in cells.of(study, data):
        assert cell.budget == 70
        assert cell.config == dataclasses.replace(
            IRIS, optimizer=cell.optimizer, batch_size=8, schedule="constant", steps=280, stop_at=0.8,
            stop_smoothing=2, evaluations=5, spacing="log", init="glorot",
        )  # fmt: skip
    assert {cell.budget for cell in cells.of(dataclasses.replace(study, max_epochs=1.5), data)} == {18}


def test_a_batch_size_larger_than_the_data_is_refused(iris):
    with pytest.raises(ValueError, match="batch size 97 is not allowed"):
        cells.check(Study(workload=IRIS, batch_sizes=(97,)), iris)


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer"])
def test_the_batch_sizes_that_nobody_gave_fit_the_data(name):
    workload = Config(dataset=name, validation=0.2)
    dataset = configs.load_data(workload)
    cells.check(Study(workload=workload), dataset)
    n, study = len(dataset.train.y), Study(workload=workload, optimizers=("sgd",))
    assert [cell.batch_size for cell in cells.of(study, cells.facts(study, dataset))] == [n, 64, 8, 1]


def test_a_regression_needs_a_target_in_its_own_unit():
    workload = Config(dataset="diabetes", validation=0.2)
    dataset = configs.load_data(workload)
    with pytest.raises(ValueError, match=r"needs a target; give target, the RMSE to reach: 77\.\d+ is that of"):
        cells.check(Study(workload=workload), dataset)
    for given in ({"target": 60.0}, {"target_metric": "rmse"}, {"target_metric": "loss"}):
        cells.check(Study(workload=workload, **given), dataset)


@pytest.mark.parametrize(
    "grown",
    [
        {"rounds": 9}, {"fresh_seeds": 7}, {"noise_scale": True}, {"optimizers": ("adam", *STUDY.optimizers)},
        {"batch_sizes": (2, 1, 8, "full")}, {"workload": dataclasses.replace(IRIS, data_dir="there")},
    ],
)  # fmt: skip
def test_what_a_study_may_grow_by_changes_no_cell_that_is_there(data, grown):
    assert set(ids(STUDY, data)) <= set(ids(dataclasses.replace(STUDY, **grown), data))


@pytest.mark.parametrize(
    "other",
    [
        {"target": 0.9}, {"target_metric": "loss"}, {"smoothing": 1.0}, {"evaluations": 120}, {"seed": 1},
        {"method": "halton"}, {"max_steps": 99}, {"max_epochs": 2.0}, {"workload": dataclasses.replace(IRIS, l2=0.1)},
    ],
)  # fmt: skip
def test_what_decides_results_changes_every_cell(data, other):
    assert not set(ids(STUDY, data)) & set(ids(dataclasses.replace(STUDY, **other), data))


def test_the_data_and_the_space_decide_cells_too(data):
    assert not set(ids(STUDY, data)) & set(ids(STUDY, data._replace(fingerprint="other")))
    space = {"sgd": {"learning_rate": Space(low=0.1, high=1.0)}}
    other = {cell.optimizer: cell.id for cell in cells.of(dataclasses.replace(STUDY, spaces=space), data)}
    before = {cell.optimizer: cell.id for cell in cells.of(STUDY, data)}
    assert {name for name in before if other[name] != before[name]} == {"sgd"}


@pytest.mark.parametrize("field", ["points", "seeds", "racing"])
def test_a_searchs_points_and_seeds_decide_its_cells_and_no_others(data, field):
    search = dataclasses.replace(STUDY, method="halton")
    assert not set(ids(search, data)) & set(ids(dataclasses.replace(search, **{field: 2}), data))
    if field != "racing":
        assert ids(STUDY, data) == ids(dataclasses.replace(STUDY, **{field: 2}), data)


def test_a_cell_knows_what_is_searched(data):
    space = {"momentum": {"learning_rate": Space(low=0.01, high=1), "momentum": Space(choices=(0.9,))}}
    study = Study(workload=IRIS, optimizers=("momentum",), batch_sizes=(8,), spaces=space)
    (cell,) = cells.of(study, data)
    assert cell.free == ["learning_rate"]
