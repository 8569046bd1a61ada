"""Programs: compiled once for each kind of arguments and precision, awaited, and timed in the right part."""

import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax.machine import programs
from mlp_jax.machine.clocks import Clock
from mlp_jax.machine.programs import Program


@pytest.fixture
def product() -> Program:
    """x ↦ scale · x · xᵀ, with its scale static."""
    return Program(jax.jit(lambda scale, x: scale * x @ x.T, static_argnums=0), 3.0)


def call(program: Program, *arguments) -> jax.Array:
    return program("training", Clock(), *arguments)


def test_it_computes_what_its_function_computes(product):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(call(product, jnp.asarray(x)), 3 * x @ x.T)


def test_values_share_a_program_and_kinds_have_their_own(product):
    kinds = [jnp.ones((2, 3)), jnp.ones((3, 2)), jnp.ones((2, 3), jnp.int32), jnp.ones((2, 3), jnp.bfloat16)]
    for x in kinds:
        call(product, x)
        call(product, 2 * x)
    assert len(product.compiled) == len(kinds)


def test_another_precision_is_another_program(product):
    for name in ("highest", "default", "highest"):
        with jax.default_matmul_precision(name):
            call(product, jnp.ones((2, 3)))
    assert len(product.compiled) == 2


@pytest.mark.skipif(len(jax.devices()) < 2, reason="one device")
def test_another_device_is_another_program(product):
    for device in (*jax.devices()[:2], jax.devices()[0]):
        assert call(product, jax.device_put(np.ones((2, 3)), device)).devices() == {device}
    assert len(product.compiled) == 2


def test_numbers_of_numpy_go_where_the_arrays_are():
    program = Program(jax.jit(lambda x, count: x * count))
    for count in (2, 3):
        assert call(program, jnp.ones(2), np.int32(count)).tolist() == [count, count]
    assert len(program.compiled) == 1


def test_the_first_use_is_timed_apart_and_the_rest_counts_as_asked(product):
    first, second = Clock(), Clock()
    product("evaluation", first, jnp.ones((2, 3)))
    product("evaluation", second, jnp.ones((2, 3)))
    assert min(first["tracing"], first["compilation"], first["evaluation"]) > 0
    assert (second["tracing"], second["compilation"]) == (0, 0)
    assert second["evaluation"] > 0


def test_compiling_runs_nothing(product):
    clock = Clock()
    product.compile(clock, jnp.ones((2, 3)))
    call(product, jnp.ones((2, 3)))
    assert len(product.compiled) == 1
    assert clock["training"] == 0


def test_who_asks_for_the_same_function_shares_its_program():
    function, other = (jax.jit(lambda scale, x: scale * x, static_argnums=0) for _ in range(2))
    assert programs.shared(function, 1) is programs.shared(function, 1)
    assert programs.shared(function, 1) is not programs.shared(function, 2)
    assert programs.shared(function, 1) is not programs.shared(other, 1)


def test_a_key_is_for_a_function_that_makes_the_jitted_one():
    made = []

    def make(scale: float):
        made.append(scale)
        return jax.jit(lambda x: scale * x)

    for scale in (2.0, 3.0, 2.0):
        assert call(programs.shared(make, scale), jnp.ones(2)).tolist() == [scale, scale]
    assert made == [2.0, 3.0]


def test_the_programs_last_asked_for_are_kept(monkeypatch):
    monkeypatch.setattr(programs, "CAPACITY", 3)
    monkeypatch.setattr(programs, "_shared", {})
    function = jax.jit(lambda scale, x: scale * x, static_argnums=0)
    held = [programs.shared(function, scale) for scale in range(3)]
    for program in held:
        call(program, jnp.ones(2))
    assert programs.shared(function, 0) is held[0]
    call(programs.shared(function, 3), jnp.ones(2))
    assert programs.shared(function, 0) is held[0]
    assert programs.shared(function, 1) is not held[1]
    assert call(held[1], jnp.ones(2)).tolist() == [1, 1]


def test_who_needs_what_another_thread_compiles_waits_for_it():
    traced = []

    def slow(x):
        traced.append(1)
        time.sleep(0.5)
        return 2 * x

    program, clock, behind = Program(jax.jit(slow)), Clock(), Clock()
    thread = threading.Thread(target=program.compile, args=(behind, jnp.ones(2)))
    thread.start()
    while not traced:
        time.sleep(0.01)
    assert program("training", clock, jnp.ones(2)).tolist() == [2, 2]
    thread.join()
    assert traced == [1]
    assert behind["tracing"] >= 0.5
    assert clock["tracing"] == 0


@pytest.mark.parametrize(("platform", "options"), [("cpu", programs.CPU_OPTIONS), ("gpu", None)])
def test_the_options_of_a_cpu_are_for_a_cpu(platform, options, monkeypatch):
    device = type("Device", (), {"platform": platform})()
    monkeypatch.setattr(programs, "_devices", lambda leaf: frozenset([device]))
    assert programs._options((jnp.ones(2),)) == options


def test_no_other_thread_compiles_while_one_measures(product):
    """A compilation that has begun is waited for, one that is asked for is held off, and the measurer's own runs."""
    begun, go_on, order = threading.Event(), threading.Event(), []

    def trace(x):
        begun.set()
        assert go_on.wait(30)
        order.append("first compiled")
        return 2 * x

    def compile_second() -> None:
        Program(jax.jit(lambda x: order.append("second compiled") or 3 * x)).compile(Clock(), jnp.ones(4))

    first = threading.Thread(target=Program(jax.jit(trace)).compile, args=(Clock(), jnp.ones(3)))
    second, clock = threading.Thread(target=compile_second), Clock()
    first.start()
    assert begun.wait(30)
    threading.Timer(0.2, go_on.set).start()
    with programs.undisturbed(clock):
        order.append("measured")
        second.start()
        call(product, jnp.ones((2, 3)))
        second.join(0.2)
        order.append("measured to the end")
    second.join(30)
    first.join(30)
    assert order == ["first compiled", "measured", "measured to the end", "second compiled"]
    assert clock["compilation"] >= 0.1, "what it waited for counts"


def test_a_measurement_that_fails_holds_nobody_off(product):
    with pytest.raises(ZeroDivisionError), programs.undisturbed(Clock()):
        1 / 0  # noqa: B018
    thread = threading.Thread(target=call, args=(product, jnp.ones((2, 3))))
    thread.start()
    thread.join(30)
    assert len(product.compiled) == 1
