"""The scalar example against jax.grad, against numbers worked out by hand, and against its own rules."""

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlp_jax.lecture import scalar

NUMBER = st.floats(-3, 3).map(lambda value: round(value, 3))
BY_HAND = {
    "z^(1)": 1.0, "x^(1)": 1.0, "z^(2)": 3.0, "x^(2)": 3.0, "z^(3)": 6.0, "L": 12.5, "∂L/∂z^(3)": 5.0,
    "∂z^(3)/∂x^(2)": 2.0, "∂x^(2)/∂z^(2)": 1.0, "∂z^(3)/∂z^(2)": 2.0, "∂L/∂z^(2)": 10.0, "∂z^(3)/∂w^(2)": 3.0,
    "∂L/∂w^(2)": 15.0, "new w^(2)": 0.5, "∂z^(2)/∂x^(1)": 3.0, "∂x^(1)/∂z^(1)": 1.0, "∂z^(2)/∂z^(1)": 3.0,
    "∂L/∂z^(1)": 30.0, "∂z^(2)/∂w^(1)": 1.0, "∂L/∂w^(1)": 10.0, "new w^(1)": 2.0, "∂z^(1)/∂w^(0)": 2.0,
    "∂L/∂w^(0)": 60.0, "new w^(0)": -5.5, "new x^(1)": 0.0, "new x^(2)": 0.0, "new z^(3)": 0.0, "new L": 0.5,
}  # fmt: skip


def values(trace: tuple[scalar.Step, ...]) -> dict[str, float]:
    return {step.name: step.value for step in trace if step.value is not None}


@jax.jit
@jax.value_and_grad
def oracle(w, x, y):
    """The loss, and its gradient with respect to (w0, w1, w2)."""
    return 0.5 * (w[2] * jax.nn.relu(w[1] * jax.nn.relu(w[0] * x)) - y) ** 2


@settings(max_examples=100, deadline=None, derandomize=True)
@given(w=st.tuples(NUMBER, NUMBER, NUMBER), x=NUMBER, y=NUMBER, learning_rate=st.floats(0.001, 1))
def test_derivatives_equal_jax_grad(w: tuple[float, float, float], x: float, y: float, learning_rate: float) -> None:
    got = values(scalar.trace(*w, x, y, learning_rate))
    with jax.enable_x64(True):
        loss, grads = oracle(jnp.asarray(w, jnp.float64), jnp.float64(x), jnp.float64(y))
    assert got["L"] == pytest.approx(float(loss), rel=1e-12, abs=1e-300)
    for k in range(3):
        assert got[f"∂L/∂w^({k})"] == pytest.approx(float(grads[k]), rel=1e-12, abs=1e-300)
        assert got[f"new w^({k})"] == pytest.approx(w[k] - learning_rate * float(grads[k]), rel=1e-12, abs=1e-12)


def test_every_value_of_one_iteration_by_hand() -> None:
    trace = scalar.trace(w0=0.5, w1=3.0, w2=2.0, x=2.0, y=1.0, learning_rate=0.1)
    shown = [step for step in trace if step.part != "given" and step.name != "x^(0)"]
    names = [step.name for step in shown if step.kind != "free"]
    assert names == list(BY_HAND)  # the slides' order
    got = values(trace)
    assert got == pytest.approx({**got, **BY_HAND})


def test_closed_unit_passes_nothing_back() -> None:
    got = values(scalar.trace(w0=-0.5, w1=3.0, w2=2.0, x=2.0, y=1.0, learning_rate=0.1))
    assert got["∂x^(1)/∂z^(1)"] == 0
    assert got["∂L/∂w^(0)"] == got["∂L/∂w^(1)"] == got["∂L/∂w^(2)"] == 0
    assert (got["new w^(0)"], got["new w^(1)"], got["new w^(2)"]) == (-0.5, 3.0, 2.0)


def test_numbers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match=r"w\^\(1\) nan is not allowed; give a finite number"):
        scalar.trace(1.0, float("nan"), 1.0, 1.0, 1.0, 0.1)


def test_table_has_a_line_for_every_value() -> None:
    trace = scalar.trace(0.5, 3.0, 2.0, 2.0, 1.0, 0.1)
    lines = scalar.table(trace).splitlines()
    assert [line for line in lines if not line.startswith("  ")] == ["given", "forward", "backward", "after"]
    assert len(lines) == len(trace) + 4
    assert "∂L/∂z^(2) = ∂z^(3)/∂z^(2) · ∂L/∂z^(3) = 2 · 5 = 10" in [" ".join(line.split()) for line in lines]


SLIDES = (  # of each layer, from the last: what is computed, then released, then updated and released
    ("∂L/∂z^(3)", "∂L/∂z^(2)", "∂L/∂w^(2)", "free ∂L/∂z^(3)", "new w^(2)", "free ∂L/∂w^(2)"),
    ("∂L/∂z^(1)", "∂L/∂w^(1)", "free ∂L/∂z^(2)", "new w^(1)", "free ∂L/∂w^(1)"),
    ("∂L/∂w^(0)", "free ∂L/∂z^(1)", "new w^(0)", "free ∂L/∂w^(0)"),
)


def test_each_weight_is_updated_as_soon_as_its_derivative_exists() -> None:
    trace = scalar.trace(0.5, 3.0, 2.0, 2.0, 1.0, 0.1)
    names = [f"free {step.name}" if step.kind == "free" else step.name for step in trace if step.part == "backward"]
    assert [name for name in names if "∂L" in name or "new" in name] == [name for layer in SLIDES for name in layer]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(w=st.tuples(NUMBER, NUMBER, NUMBER), x=NUMBER, y=NUMBER)
def test_a_step_along_the_gradient_lowers_the_loss_when_it_is_small(w, x, y) -> None:
    got = values(scalar.trace(*w, x, y, 1e-6))
    assert got["new L"] <= got["L"] * (1 + 1e-9)


def test_frames_show_only_what_is_known() -> None:
    trace = scalar.trace(0.5, 3.0, 2.0, 2.0, 1.0, 0.1)
    stages = scalar.stages(trace)
    assert stages[-1][1] == trace
    lengths = [len(known) for _, known in stages]
    assert lengths == sorted(set(lengths))
    assert all(known == trace[: len(known)] for _, known in stages)
    assert len(stages) == 2 + 3 * 3 + 1


def test_drawing_shows_values_and_derivatives() -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    axes = figure.subplots()
    scalar.draw(scalar.trace(0.5, 3.0, 2.0, 2.0, 1.25, 0.1), axes)
    texts = [text.get_text() for text in axes.texts]
    for shown in ("$z^{(1)}$", "$w^{(2)}$", "$L$", "11.3", "4.75", "9.5", "57"):
        assert shown in texts
    figure.canvas.draw()  # the formulas can be set
