"""Every row of the lecture against a calculation of its own: NumPy in float64, decimals, fractions."""

import json
import re
from decimal import Decimal, getcontext
from fractions import Fraction
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlp_jax
from mlp_jax import model
from mlp_jax.lecture import lessons
from mlp_jax.lecture.knobs import Knobs
from mlp_jax.machine.files import finite

SLIDE_Z = "-55.7 -141.4 18.1 188.3 -91.3 -26.8 -183.6 411.2 -142.1 96.2"
QUICK = {"L1": Knobs(dataset="digits"), "L6": Knobs(dataset="digits")}
SLOW = ("L4", "L6", "L17")  # they train


@cache
def run(name: str, knobs: Knobs) -> lessons.Shown:
    return lessons.run(lessons.LESSONS[name], knobs)


def shown(name: str, **knobs) -> lessons.Shown:
    return run(name, Knobs(**knobs))


def with_ones(dataset, rows: np.ndarray) -> np.ndarray:
    """The features of digits as float64: pixels from 0 to 16, then a one."""
    return np.append(rows.astype(float) / 16, np.ones((len(rows), 1)), axis=1)


def softmax(z: np.ndarray) -> np.ndarray:
    return np.exp(z - z.max()) / np.exp(z - z.max()).sum()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in lessons.LESSONS]
)
@pytest.mark.slow
def test_every_row_runs_and_says_what_it_did(name):
    lesson = lessons.LESSONS[name]
    each = run(name, QUICK.get(name, Knobs()))
    text = lessons.text(lesson, each)
    assert text.startswith(f"{name}  {lesson.slide}")
    assert each.text in text
    assert lesson.code
    assert "<-" not in text
    json.dumps(finite(lessons.to_json(lesson, each)), allow_nan=False)
    assert "-0 " not in text
    assert not any(line != line.rstrip() for line in each.text.splitlines())


@pytest.mark.slow
def test_batch_sizes_reach_the_target():
    rows = shown("L17").values["rows"]
    assert [row["batch_size"] for row in rows] == [1, 64, 1294] * 2
    assert all(row["steps"] for row in rows)


def test_the_code_that_is_shown_is_python():
    for lesson in lessons.LESSONS.values():
        lines = [line.rstrip(":").removeprefix("for ") for line in lesson.code.splitlines()]
        assert all(line and "#" not in line for line in lines), lesson.name


def test_l3_against_decimals():
    getcontext().prec = 400
    values = shown("L3").values
    z = [Decimal(each) for each in SLIDE_Z.split()]
    total = sum(each.exp() for each in z)
    for got, each in zip(values["f"], z, strict=True):
        assert got == pytest.approx(float(each.exp() / total), rel=1e-11, abs=0)  # down to 1e-259
    assert values["argmax"] == 7
    assert values["one_hot"] == [0, 0, 0, 0, 0, 0, 0, 1, 0, 0]
    right, wrong = (float(-(z[y].exp() / total).ln()) for y in (7, 3))
    assert values["cross_entropy"] == {"7": pytest.approx(right, abs=1e-15), "3": pytest.approx(wrong, rel=1e-14)}
    assert wrong == pytest.approx(222.9)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(z=st.lists(st.floats(-300, 300), min_size=2, max_size=8), data=st.data())
def test_l3_for_any_scores_and_label(z, data):
    label = data.draw(st.integers(0, len(z) - 1))
    values = shown("L3", z=tuple(z), label=label).values
    scores = np.array(z)
    expected = np.log(np.exp(scores - scores.max()).sum()) + scores.max() - scores[label]
    assert values["cross_entropy"][str(label)] == pytest.approx(expected, rel=1e-9, abs=1e-9)
    np.testing.assert_allclose(values["f"], softmax(scores), rtol=1e-10)
    assert values["argmax"] == np.argmax(scores)


@pytest.mark.parametrize(("rate", "beta"), [(0.1, 0.9), pytest.param(0.5, 0.0, marks=pytest.mark.slow)])
def test_l7_against_numpy(rate, beta):
    steps = shown("L7", rate=rate, momentum=beta, seed=3).values["steps"]
    data = mlp_jax.load("digits")
    x, y = with_ones(data, data.train.x), data.train.y
    W = V = np.zeros((10, 65))
    for step in steps:
        j = step["j"]
        f = softmax(W @ x[j])
        assert step["y"] == y[j]
        assert step["L"] == pytest.approx(-np.log(f[y[j]]), rel=1e-5)
        G = np.outer(f - np.eye(10)[y[j]], x[j])
        V = beta * V + G
        W = W - rate * V
        got = [step[name] for name in ("G", "V", "W", "L_after")]
        after = -np.log(softmax(W @ x[j])[y[j]])
        np.testing.assert_allclose(got, [*map(np.linalg.norm, (G, V, W)), after], rtol=2e-5, atol=1e-6)
    assert len({step["j"] for step in steps}) > 1
    assert shown("L7").values["difference"] < 1e-6  # the slides' lines are what training does


def pass_by_hand(params, x, y):
    """Loss, and every derivative by its name in the slides' order, of a ReLU network without b, in float64."""
    W, xs, zs = [np.asarray(layer.W, float) for layer in params], [x], []
    for k, each in enumerate(W):
        zs.append(each @ xs[-1])
        xs.append(np.maximum(zs[-1], 0) if k < len(W) - 1 else softmax(zs[-1]))
    dz = xs[-1] - np.eye(len(xs[-1]))[y]
    found = {f"∂L/∂z^({len(W)})": dz}
    for k in reversed(range(len(W))):
        outer = np.outer(dz, xs[k])
        if k > 0:
            dz = (W[k].T @ dz) * (zs[k - 1] > 0)
            found[f"∂L/∂z^({k})"] = dz
        found[f"∂L/∂W^({k})"] = outer
    return -np.log(xs[-1][y]), found


def by_hand(hidden, seed, j, rate):
    data = mlp_jax.load("digits")
    network = mlp_jax.Network(inputs=64, hidden=hidden, outputs=10, bias="ones")
    params = model.init(jax.random.key(seed), network)
    x, y = with_ones(data, data.train.x)[j], int(data.train.y[j])
    loss, found = pass_by_hand(params, x, y)
    moved = [layer._replace(W=np.asarray(layer.W) - rate * found[f"∂L/∂W^({k})"]) for k, layer in enumerate(params)]
    return loss, found, pass_by_hand(moved, x, y)[0]


@pytest.mark.parametrize(
    ("hidden", "seed", "rate"),
    [
        ((5, 4, 3), 2, 0.01),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in (((32, 16), 0, 0.1), ((7,), 1, 0.3), ((), 0, 1.0))),
    ],
)
def test_l13_against_numpy(hidden, seed, rate):
    values = shown("L13", hidden=hidden, seed=seed, rate=rate).values
    loss, found, after = by_hand(hidden, seed, 0, rate)
    assert [each["name"] for each in values["derivatives"]] == list(found)
    for each in values["derivatives"]:
        assert tuple(each["shape"]) == found[each["name"]].shape
        assert each["norm"] == pytest.approx(np.linalg.norm(found[each["name"]]), rel=2e-5)
    assert values["loss"] == pytest.approx(loss, rel=1e-5)
    assert values["loss_after"] == pytest.approx(after, rel=1e-5, abs=1e-6)


def test_l13_holds_less_than_all_derivatives_and_ends_with_none():
    text, values = shown("L13").text, shown("L13").values
    rows = [line for line in text.splitlines() if line.startswith("free ")]
    assert [row.split()[1] for row in rows] == [
        "∂L/∂z^(3)", "∂L/∂W^(2)", "∂L/∂z^(2)", "∂L/∂W^(1)", "∂L/∂z^(1)", "∂L/∂W^(0)",
    ]  # fmt: skip
    assert rows[-1].split()[-1] == "0"
    assert values["held"] == 32 * 65 + 32  # ∂L/∂W^(0) beside ∂L/∂z^(1)


NUMBER = st.fractions(-3, 3, max_denominator=8)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(w=st.tuples(NUMBER, NUMBER, NUMBER), x=NUMBER, y=NUMBER, rate=NUMBER)
def test_l14_against_fractions(w, x, y, rate):
    got = shown("L14", w=tuple(map(float, w)), x=float(x), y=float(y), rate=float(rate)).values
    for name, value in exact(w, x, y, rate).items():
        assert got[name] == pytest.approx(float(value), rel=1e-12, abs=1e-12), name


def exact(w, x, y, rate) -> dict[str, Fraction]:
    """Every value of the slides' example from its formula, by matrix-free calculus on fractions."""
    relu, step = (lambda z: max(Fraction(0), z)), (lambda z: Fraction(z > 0))
    f = lambda w: w[2] * relu(w[1] * relu(w[0] * x))
    z1 = w[0] * x
    z2 = w[1] * relu(z1)
    error = f(w) - y
    grads = [error * w[2] * step(z2) * w[1] * step(z1) * x, error * w[2] * step(z2) * relu(z1), error * relu(z2)]
    new = [each - rate * grad for each, grad in zip(w, grads)]
    found = {f"∂L/∂w^({k})": grad for k, grad in enumerate(grads)} | {
        f"new w^({k})": each for k, each in enumerate(new)
    }
    found |= {"z^(1)": z1, "z^(2)": z2, "z^(3)": f(w), "∂L/∂z^(3)": error, "∂L/∂z^(2)": error * w[2] * step(z2)}
    return found | {"L": error**2 / 2, "new L": (f(new) - y) ** 2 / 2}


@pytest.mark.parametrize(
    ("hidden", "seed", "rate"), [pytest.param((32, 16), 0, 0.1, marks=pytest.mark.slow), ((), 5, 0.5)]
)
def test_l15_against_numpy(hidden, seed, rate):
    values = shown("L15", hidden=hidden, seed=seed, rate=rate).values
    loss, found, after = by_hand(hidden, seed, values["j"], rate)
    assert values["label"] == mlp_jax.load("digits").train.y[values["j"]]
    assert values["loss"] == pytest.approx(loss, rel=1e-5)
    assert values["loss_after"] == pytest.approx(after, rel=1e-5, abs=1e-6)
    norms = [np.linalg.norm(found[f"∂L/∂W^({k})"]) for k in range(len(hidden) + 1)]
    np.testing.assert_allclose(values["gradient_norms"], norms, rtol=2e-5)
    np.testing.assert_allclose(values["update_norms"], rate * np.array(norms), rtol=1e-4)
    assert values["difference"] < 1e-6


def test_l9_counts_as_the_slides_do():
    assert shown("L9", hidden=(500, 200)).values["parameters"] == 785 * 500 + 500 * 200 + 10 * 200
    assert "785·500 + 500·200 + 200·10" in shown("L9", hidden=(500, 200)).text


@pytest.mark.slow
def test_l11_collapses_and_l2_agrees():
    values = shown("L11").values
    assert values["difference"] < 1e-5 < 0.1 < values["relu_difference"]
    assert shown("L2").values["difference"] < 1e-5


@pytest.mark.slow
def test_l16_falls_as_the_root():
    spread = shown("L16").values["spread"]
    assert spread["1"] / spread["64"] == pytest.approx(8, rel=0.25)
    assert shown("L16").values["difference"] < 1e-5


def test_l18_gives_sgd_the_gradient_itself_and_adam_its_sign():
    moves = shown("L18").values["moves"]
    np.testing.assert_allclose(moves["sgd"], [[0.1, 10]] * 2, rtol=1e-5)
    np.testing.assert_allclose(moves["momentum"], [[0.1, 10], [0.19, 19]], rtol=1e-5)
    np.testing.assert_allclose(moves["adam"], np.ones((2, 2)), rtol=1e-4)
    np.testing.assert_allclose(moves["adagrad"][0], [0.1 / np.sqrt(0.11), 10 / np.sqrt(100.1)], rtol=1e-5)


def test_l19_lists_every_field_with_what_it_allows():
    import dataclasses

    values = shown("L19").values
    assert sorted(values) == sorted(field.name for field in dataclasses.fields(mlp_jax.Config))
    assert list(values)[:2] == ["hidden", "activation"]  # as the slide begins
    assert "rmsprop" in values["optimizer"]["allowed"]
    assert "0 up to but not including 1" in values["momentum"]["allowed"]
    assert "momentum, nesterov, rmsprop" in values["momentum"]["allowed"]
    for name in values["optimizer"]["allowed"].split(", "):
        mlp_jax.Config(optimizer=name)


def test_the_help_of_training_names_every_choice(capsys):
    from mlp_jax import cli, losses, optimizers, sampling

    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    words = set(re.findall(r"\w+", capsys.readouterr().out))
    tables = (model.ACTIVATIONS, model.OUTPUTS, model.BIASES, model.INITIALIZERS, losses.LOSSES)
    tables += (optimizers.BUILT_IN, optimizers.SCHEDULES, sampling.SAMPLINGS)
    assert words >= {name for table in tables for name in table}


@pytest.mark.parametrize(
    ("name", "knobs", "said"),
    [
        ("L3", {"label": 10}, "label 10 is not among the 10 classes; give a whole number from 0 to 9"),
        ("L7", {"dataset": "diabetes"}, "data set 'diabetes' has real labels"),
        ("L5", {"index": 100_000}, "test example 100000 is not there"),
        ("L16", {"batch_size": 100_000}, "batch size 100000 is not allowed"),
    ],
)
def test_values_that_do_not_fit_are_refused(name, knobs, said):
    with pytest.raises(ValueError, match=said):
        shown(name, **knobs)


def test_knobs_are_checked_where_they_are_made(no_beartype):
    with pytest.raises(ValueError, match="w has 2 numbers; give three"):
        Knobs(w=(1.0, 2.0))
    with pytest.raises(ValueError, match="rate nan is not allowed; give a finite number"):
        Knobs(rate=float("nan"))
    with pytest.raises(ValueError, match="L14 has no --label; its options: --w, --x, --y, --rate"):
        lessons.check([lessons.find("l14")], Knobs(label=1))


def test_numbers_have_one_minus_and_no_negative_zero():
    from mlp_jax.lecture.lessons.lesson import number

    assert number(-0.0) == "0"
    assert number(jnp.float32(-1.5)) == "−1.5"
