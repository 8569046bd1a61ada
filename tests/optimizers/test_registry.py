"""Optimizers of one's own: registered or named as module:NAME, followed, told apart, and refused in one sentence."""

import dataclasses
import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from own_optimizer import MODULE, steps

from mlp_jax import Config, cli, optimizers, train, train_many, trial
from mlp_jax.checks import FRACTION, NON_NEGATIVE
from mlp_jax.model import Network
from mlp_jax.optimizers import Hyperparameter, Links, Optimizer, Range
from mlp_jax.report.looks import LOOKS

OWN = "mine.own:OWN"
USED = {
    "beta1": 0.5,
    "beta2": 0.9,
    "threshold": 5.5,
    "epsilon": 1e-3,
    "epsilon_root": 1e-3,
    "clipping_threshold": 0.5,
}  # are felt
RATE = optimizers.rate(0.1, 1e-3, 1.0, "here")
pytestmark = pytest.mark.usefixtures("own_module")  # forgets what was registered


def test_an_optimizer_of_ones_own_follows_its_equation(own_module) -> None:
    own_module("mine.own", MODULE)
    sequence = np.random.default_rng(0).normal(size=(20, 3, 4))
    hyper = optimizers.complete(OWN, rho=0.3)
    assert hyper == {"learning_rate": 0.05, "rho": 0.3, "gamma": 1.0}
    with jax.enable_x64(True):
        params = jnp.zeros((3, 4))
        state, added = optimizers.build(OWN, "constant", hyper).init(params), []
        for grad in sequence:
            new, state = optimizers.update(OWN, "constant", hyper, jnp.asarray(grad), state, params)
            added.append(np.asarray(new - params))
            params = new
    np.testing.assert_allclose(added, steps(hyper, sequence), rtol=1e-10, atol=1e-14)


@pytest.mark.slow
def test_it_is_trained_and_swept_like_a_built_in_one(own_module) -> None:
    own_module("mine.own", MODULE)
    config = Config(dataset="iris", hidden=(4,), optimizer=OWN, hyper={"rho": 0.2, "gamma": 0.0}, steps=20, clip=1.0)
    own, plain = train(config), train(dataclasses.replace(config, optimizer="sgd", hyper={}, learning_rate=0.1))
    assert own.hyper["rho"] == 0.2
    swept = train_many(config, {"gamma": [0.0, 1.0], "learning_rate": [0.05, 0.05]}, [0, 0], keep_params=True)
    np.testing.assert_allclose(swept.params[0].W[0], own.params[0].W, rtol=1e-5, atol=1e-7)
    assert np.abs(swept.params[0].W[1] - swept.params[0].W[0]).max() > 1e-3
    assert own.metrics["test_loss"] != plain.metrics["test_loss"]


@pytest.mark.slow
def test_a_module_that_changes_makes_another_version_and_another_program(own_module, tmp_path: Path) -> None:
    own_module("mine.own", MODULE)
    config = Config(dataset="iris", hidden=(4,), optimizer=OWN, steps=5)
    losses, versions = [], []
    for text in (MODULE, MODULE.replace('g + h["gamma"]', 'g - h["gamma"]')):
        own_module("mine.own", text)
        losses.append(train(config, out=tmp_path / f"run{len(losses)}").metrics["train_loss"])
        versions.append(optimizers.version(OWN))
    assert losses[0] != losses[1]
    assert versions[0] != versions[1]
    with pytest.raises(ValueError, match="another version of its optimizer 'mine.own:OWN'; name another directory"):
        train(config, out=tmp_path / "run0", resume=True)
    own_module("mine.own", MODULE)
    assert optimizers.version(OWN) == versions[0]
    assert train(config, out=tmp_path / "run0", resume=True).metrics["train_loss"] == losses[0]


@pytest.mark.slow
def test_an_optimizer_that_knows_the_loss_and_evaluates_other_parameters() -> None:
    """Polyak's step asks for the loss; twice the parameters are what is evaluated and kept."""
    optimizers.register(
        "polyak",
        lambda h: optax.scale_by_polyak(max_learning_rate=h["largest"]),
        RATE | {"largest": Hyperparameter(1.0, NON_NEGATIVE, None, "step", "here")},
        evaluated=lambda state, params: jax.tree.map(lambda p: 2 * p, params),
    )
    run = train(Config(dataset="iris", hidden=(4,), optimizer="polyak", steps=10, evaluations=2, schedule="constant"))
    np.testing.assert_array_equal(run.params[0].W, 2 * run.state.params[0].W)
    cell = dataclasses.replace(run.cell)
    data = trial.Data(jnp.ones((4, 4)), jnp.zeros(4, jnp.int32), jnp.zeros(4), jnp.ones(4))
    state = trial.start(cell, run.hyper, jnp.uint32(0))
    loss, grads = trial.gradient(cell, {}, data, state.params, None)
    after = trial.step(cell, run.hyper, jnp.uint32(0), data, state, index=jnp.arange(4))
    norm = sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(grads))
    moved, rate = state.params[-1].b - after.params[-1].b, run.hyper["learning_rate"]
    np.testing.assert_allclose(moved, rate * min(1.0, float(loss) / norm) * grads[-1].b, rtol=1e-5)


def test_links_stand_where_they_are_put() -> None:
    """Doubling after the learning rate doubles the weight decay too; before it, the gradient alone."""
    two = optax.scale(2.0)
    for name, links, decayed in (("before", Links(before=[two]), 0.1), ("between", Links(between=[two]), 0.2)):
        optimizers.register(name, lambda h, links=links: links, RATE)
        hyper = optimizers.complete(name, weight_decay=1.0)
        W = jnp.ones((2, 2))
        new, _ = optimizers.update(name, "constant", hyper, 3 * W, optimizers.build(name, "constant", hyper).init(W), W)
        np.testing.assert_allclose(new, 1 - 0.1 * 6 - decayed, rtol=1e-6)


def test_registering_again_replaces() -> None:
    first = optimizers.register("again", lambda h: optax.identity(), RATE)
    second = optimizers.register("again", lambda h: optax.scale(2.0), RATE)
    assert optimizers.find("again") is second is not first
    look = LOOKS["again"]
    assert look not in [LOOKS[name] for name in optimizers.BUILT_IN]


def test_nothing_that_registers_starts_a_back_end(own_module) -> None:
    import subprocess
    import sys

    path = own_module("mine.own", MODULE)
    code = (
        f"import sys; sys.path.insert(0, {str(path.parents[1])!r}); from mlp_jax import Config; "
        f"Config(optimizer={OWN!r}); from jax._src import xla_bridge; sys.exit(xla_bridge.backends_are_initialized())"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def numbers(state) -> optax.GradientTransformation:
    return optax.GradientTransformation(lambda params: state, lambda grads, state, params=None: (grads, state))


def grows() -> optax.GradientTransformation:
    return optax.GradientTransformation(
        lambda params: jnp.zeros(1), lambda grads, state, params=None: (grads, jnp.concatenate([state, state]))
    )


def loses() -> optax.GradientTransformation:
    return optax.GradientTransformation(lambda params: (), lambda grads, state, params=None: (grads[:1], state))


@pytest.mark.parametrize(
    ("name", "direction", "rows", "message"),
    [
        ("sgd", lambda h: Links(), {}, "optimizer 'sgd' is built in; choose another name"),
        ("two words", lambda h: Links(), {}, "an optimizer can't be called 'two words'; use letters, digits"),
        ("a:b", lambda h: Links(), {}, "an optimizer can't be called 'a:b'"),
        ("", lambda h: Links(), {}, "an optimizer can't be called ''"),
        ("odd", lambda h: 5, {}, "its direction returns int; let it return an optax.GradientTransformation"),
        ("odd", lambda h: None, {}, "its direction returns NoneType"),
        ("odd", lambda h: [optax.identity(), "x"], {}, "its direction returns str"),
        ("odd", lambda h: h["beta"] * 2, {}, "raises KeyError"),
        ("odd", lambda: optax.identity(), {}, "raises TypeError"),
        ("odd", lambda h: numbers("text"), {}, "its state holds str; let it be a pytree of arrays"),
        ("odd", lambda h: numbers({"f": max}), {}, "its state holds builtin_function_or_method; let it be a pytree"),
        ("odd", lambda h: grows(), {}, "its state is of another kind after an update"),
        ("odd", lambda h: loses(), {}, "its updates are not shaped as the parameters"),
        ("odd", lambda h: optax.identity() if h["learning_rate"] > 1 else Links(), {}, "decides its structure"),
        ("odd", lambda h: [optax.identity()] * int(h["learning_rate"]), {}, "decides its structure"),
        ("odd", lambda h: optax.scale(np.sqrt(h["learning_rate"])), {}, "decides its structure"),
        ("odd", lambda h: Links(), {"clip": ("row", 1.0, NON_NEGATIVE, None)}, "'clip' is there already"),
        ("odd", lambda h: Links(), {"l2": ("row", 1.0, NON_NEGATIVE, None)}, "'l2' is there already"),
        ("odd", lambda h: Links(), {"seed": ("row", 1.0, NON_NEGATIVE, None)}, "'seed' is there already"),
        ("odd", lambda h: Links(), {"a b": ("row", 1.0, NON_NEGATIVE, None)}, "can't be called 'a b'"),
        ("odd", lambda h: Links(), {"rho": ("row", 2.0, FRACTION, None)}, "rho 2.0 is not allowed; give a number from"),
        ("odd", lambda h: Links(), {"rho": ("row", None, FRACTION, None)}, "'rho' needs a default"),
        ("odd", lambda h: Links(), {"rho": 0.5}, "'rho' needs a default; describe it by a Hyperparameter"),
        (
            "odd",
            lambda h: Links(),
            {"rho": ("row", 0.5, FRACTION, Range(0.1, 2.0))},
            "of rho goes to 2.0, which is out",
        ),
        (
            "odd",
            lambda h: Links(),
            {"rho": ("row", 0.5, FRACTION, Range(0.5, 0.1))},
            "the range of rho is .* give low b",
        ),
        ("odd", lambda h: Links(), {"rho": ("row", 0.5, FRACTION, Range(0.1, 0.5, "cubic"))}, "the range of rho is"),
        (
            "odd",
            lambda h: Links(),
            {"learning_rate": ("row", 0.5, FRACTION, None)},
            "needs .* learning_rate, with a ra",
        ),
    ],
)
@pytest.mark.usefixtures("no_beartype")
def test_what_can_not_be_an_optimizer_is_refused(name: str, direction, rows: dict, message: str) -> None:
    made = {
        key: Hyperparameter(*row[1:], unit="unit", source="here") if isinstance(row, tuple) else row
        for key, row in rows.items()
    }
    with pytest.raises(ValueError, match=message):
        optimizers.register(name, direction, RATE | made)
    assert name not in set(optimizers.OPTIMIZERS) - set(optimizers.BUILT_IN)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("nowhere.at.all:OWN", "", "there is no module 'nowhere'; start in the folder that holds it, or install it"),
        ("mine.nowhere:OWN", "", "there is no module 'mine.nowhere'"),
        ("mine.own:OWN", "1 / 0", "its module raises ZeroDivisionError (division by zero); mend it, or name another"),
        ("mine.own:OWN", "import no_such_thing", "its module raises ModuleNotFoundError (No module named"),
        ("mine.own:OWN", "raise SystemExit(3)", "its module raises SystemExit (3)"),
        ("mine.own:OWN", "def broken(:", "its module raises SyntaxError"),
        ("mine.own:OWN", "x = 1", "'OWN' of module 'mine.own' is not in it; make one with mlp_jax.optimizers.register"),
        ("mine.own:OWN", "OWN = 5", "'OWN' of module 'mine.own' is of type int, no optimizer; make one with"),
        ("mine.own:OTHER", MODULE, "'OTHER' of module 'mine.own' is not in it; choose OWN"),
        ("mine.own:OWN", MODULE.replace("return optax.GradientTransformation(init, update)", "return 5"),
         "optimizer 'own_remembering' can't be used: its direction returns int"),
        ("mine.own:", MODULE, "'mine.own:' names no optimizer; write my_package.my_module:NAME"),
        (":OWN", MODULE, "':OWN' names no optimizer"),
        ("mine/own.py:OWN", MODULE, "'mine/own.py:OWN' names no optimizer"),
        ("a:b:c", MODULE, "'a:b:c' names no optimizer"),
    ],
)  # fmt: skip
def test_the_command_line_refuses_in_one_line(own_module, capsys, name: str, text: str, message: str) -> None:
    own_module("mine.own", text)
    for command in (("train", "--optimizer", name, "--steps", "1"), ("study", "--optimizers", "sgd", name)):
        with pytest.raises(SystemExit) as stop:
            cli.main(list(command))
        captured = capsys.readouterr()
        assert (stop.value.code, captured.out) == (2, "")
        assert captured.err.startswith("error: ")
        assert message in captured.err
        assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rho=0.04", "rho=0.05"], "--hyper: rho is given twice"),
        (["rho"], "--hyper: 'rho' is no NAME=VALUE, as rho=0.04"),
        (["rho=much"], "--hyper: the value 'much' of rho is no number"),
        (["rho=2"], "rho 2.0 is not allowed; give a number from 0 up to but not including 1"),
        (["sigma=2"], "has no hyper-parameter 'sigma'; it has learning_rate, rho, gamma, clip"),
        (["learning_rate=2"], "hyper 'learning_rate' has an option of its own; give learning_rate there"),
    ],
)
def test_values_of_hyperparameters_are_checked(own_module, capsys, words: list[str], message: str) -> None:
    own_module("mine.own", MODULE)
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", "--optimizer", OWN, "--hyper", *words])
    captured = capsys.readouterr()
    assert (stop.value.code, captured.out, captured.err.count("\n")) == (2, "", 1)
    assert message in captured.err


@pytest.mark.slow
def test_the_command_line_passes_values_on(own_module, capsys) -> None:
    own_module("mine.own", MODULE)
    words = ["--dataset", "iris", "--hidden", "4", "--steps", "2", "--optimizer", OWN, "--hyper", "rho=0.25", "gamma=3"]
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", *words, "--json"])
    assert stop.value.code == 0
    assert json.loads(capsys.readouterr().out)["hyper"].items() >= {"rho": 0.25, "gamma": 3.0}.items()


QUICK = (OWN,)  # the others are built like it


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in optimizers.RECENT if n not in QUICK)]
)
def test_one_program_serves_all_values_each_is_used_and_lanes_equal_single_runs(own_module, name: str) -> None:
    own_module("mine.own", MODULE)
    cell = trial.Cell(network=Network(inputs=3, hidden=(4,), outputs=3), optimizer=name, batch_size=5)
    rng, traces = np.random.default_rng(0), 0
    links, own = {"clip": 5.0, "warmup_steps": 4.0, "weight_decay": 0.1}, optimizers.find(name).hyperparameters
    usual = optimizers.complete(name, **{key: links[key] for key in links if key in optimizers.table(name)})
    hyper = usual | {key: value for key, value in USED.items() if key in usual}
    others = [hyper] + [hyper | {key: hyper[key] * 0.75} for key in own]

    def run(data, hyper, seed):
        nonlocal traces
        traces += 1
        one = lambda t, state: trial.step(cell, hyper, seed, data, state, index=(5 * t + jnp.arange(5)) % 12)
        state = jax.lax.fori_loop(0, 12, one, trial.start(cell, hyper, seed))
        return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(trial.found(cell, state))])

    with jax.enable_x64(True):
        rows = jnp.asarray(rng.normal(size=(12, 3))), jnp.asarray(rng.integers(0, 3, 12), jnp.int32)
        data, seed = trial.Data(*rows, jnp.zeros(3), jnp.ones(3)), jnp.uint32(3)
        columns = {key: jnp.asarray([one[key] for one in others]) for key in hyper}
        lanes = jax.jit(jax.vmap(run, (None, 0, None)))(data, columns, seed)
        single, before = jax.jit(run), traces
        for lane, values in enumerate(others):
            alone = single(data, {key: jnp.asarray(value) for key, value in values.items()}, seed)
            np.testing.assert_allclose(alone, lanes[lane], rtol=1e-8, atol=1e-12)
    assert traces == before + 1
    for key, found in zip(own, lanes[1:]):
        assert np.abs(found - lanes[0]).max() > 1e-12, key


def test_rows_for_other_processes_are_taken_as_they_are(own_module) -> None:
    own_module("mine.own", MODULE)
    row = optimizers.find(OWN)
    own_module("mine.own", "")
    optimizers.put({OWN: row})
    assert optimizers.find(OWN) is row
    assert math.isclose(optimizers.complete(OWN)["gamma"], 1.0)
    assert isinstance(row, Optimizer)
