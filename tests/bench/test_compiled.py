"""Training compiled for a device: the shares of a step, what fits, what limits it, and refusals in one sentence."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from mlp_jax.bench import compiled
from mlp_jax.bench.compiled import On, Step
from mlp_jax.machine import accelerators
from mlp_jax.machine.hlo import Module
from mlp_jax.study import Study
from mlp_jax.training.config import Config

H100, V5E = accelerators.ACCELERATORS["h100"], accelerators.ACCELERATORS["tpu-v5e"]
HERE = On(jax.devices()[0], None)
BLOCK = """
%kernel (k: f32[5]) -> f32[5] {{
  %k = f32[5]{{0}} parameter(0)
  ROOT %n = f32[5]{{0}} negate(%k), metadata={{op_name="a/one_step/neg"}}
}}

%cond (c: f32[5]) -> pred[] {{
  ROOT %c = f32[5]{{0}} parameter(0)
}}

%piece (e: f32[5]) -> f32[5] {{
  %e = f32[5]{{0}} parameter(0)
  ROOT %n3 = f32[5]{{0}} negate(%e), metadata={{op_name="a/one_step/while/neg"}}
}}

%step (s: f32[5]) -> f32[5] {{
  %s = f32[5]{{0}} parameter(0)
  %m = f32[5]{{0}} fusion(%s), kind=kLoop, calls=%kernel
  ROOT %l = f32[5]{{0}} while(%m), condition=%cond, body=%piece, metadata={{op_name="a/one_step/while"}}{pieces}
}}

%block (b: f32[5]) -> f32[5] {{
  %b = f32[5]{{0}} parameter(0)
  %d = f32[5]{{0}} negate(%b)
  ROOT %i = f32[5]{{0}} while(%d), condition=%cond, body=%step, metadata={{op_name="a/while"}}{steps}
}}

ENTRY %main (a: f32[5]) -> f32[5] {{
  %a = f32[5]{{0}} parameter(0)
  ROOT %o = f32[5]{{0}} while(%a), condition=%cond, body=%block, metadata={{op_name="while"}}
}}
"""
KNOWN = ', backend_config={{"known_trip_count":{{"n":"{}"}}}}'


def test_a_step_has_its_share_of_what_its_block_does_once():
    text = BLOCK.format(pieces=KNOWN.format(3), steps=KNOWN.format(32)).replace("{{", "{").replace("}}", "}")
    step = compiled.of_step(Module(text), 32)
    assert step == Step(1 + 3 + 1 / 32, 40 * (1 + 3 + 1 / 32), 1 / 32, 0.0, 1, 0)


def test_a_step_of_unknown_length_waits_each_time():
    text = BLOCK.format(pieces="", steps="").replace("{{", "{").replace("}}", "}")
    assert compiled.of_step(Module(text), 1) == Step(2, 80, 2, 0, 1, 0)
    with pytest.raises(ValueError, match="no loop over steps"):
        compiled.of_step(Module(text.replace("one_step", "other")), 1)


@pytest.mark.parametrize(
    ("step", "flops", "known", "limit"),
    [(Step(1, 1e9, 0, 0, 0, 0), 1, H100, "memory"), (Step(1, 1, 0, 0, 0, 0), 1e12, H100, "products"),
     (Step(500, 1, 0, 0, 0, 0), 1, H100, "kernels"), (Step(1, 1, 9, 0, 0, 0), 1, H100, "host"),
     (Step(1, 1, None, 1e6, 0, 0), 1, V5E, "cycles"), (Step(1e9, 1, None, 9, 0, 0), 1e9, V5E, "products")],
)  # fmt: skip
def test_what_takes_longest_limits(step, flops, known, limit):
    needs = compiled.seconds(step, flops, known)
    assert max(needs, key=lambda name: needs[name]) == limit
    assert needs["memory"] == step.bytes / known.bytes_per_second


def test_a_network_is_compiled_for_what_is_here():
    (made,) = compiled.of_network(HERE, (5, 4, 3), ("adam",), (8,), 6, 90)
    assert (made.cell.optimizer, made.asked, made.lanes, made.at_once, made.fit, made.limit) == (
        "adam",
        6,
        6,
        1,
        None,
        "–",
    )
    state = 4 * 3 * (6 * 4 + 5 * 3) + 4 * 4  # parameters and two averages; counts of steps, loss, failed
    assert made.floor == 2 * state + 8 * 5
    assert 90 * (5 + 4) < made.bytes < 1e7
    assert compiled.to_json(made)["fits"] is None
    assert "5-4-3" in compiled.table([made], "here")


@pytest.mark.slow
def test_a_study_s_cells_are_compiled():
    told = []
    study = Study(
        workload=Config(dataset="iris", hidden=(4,), validation=0.2),
        optimizers=("sgd", "adam"), batch_sizes=(8, "full"), target=0.8,
    )  # fmt: skip
    made = compiled.of_study(On(jax.devices()[0], None, told.append), study)
    assert [(each.cell.optimizer, each.cell.batch_size, each.asked) for each in made] == [
        ("sgd", 96, 10), ("adam", 96, 10), ("sgd", 8, 10), ("adam", 8, 10),
    ]  # fmt: skip
    assert len(told) == 4


def test_what_does_not_fit_is_halved_until_it_does():
    (whole,) = compiled.of_network(HERE, (5, 4, 3), ("sgd",), (8,), 3, 90)
    asked = []

    def make(trials: int):
        asked.append(trials)
        if trials > 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 9 GB of 8")
        engine = SimpleNamespace(cell=whole.cell, lanes=lambda trials: trials, block=0, shards=1, mesh=None)
        took = SimpleNamespace(
            argument_size_in_bytes=900, output_size_in_bytes=0, alias_size_in_bytes=0, temp_size_in_bytes=0
        )
        return engine, SimpleNamespace(memory_analysis=lambda: took)

    data = compiled.rows(whole.cell.network, 9)
    found = compiled.found(None, make, 9, data)
    assert asked == [9, 5, 3, 2]
    assert (found.asked, found.lanes) == (9, 2)
    none = lambda trials: (_ for _ in ()).throw(jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 9 GB of 8\nmore"))
    with pytest.raises(ValueError, match="not even one trial fits: RESOURCE_EXHAUSTED: 9 GB of 8$"):
        compiled.found(None, none, 9, data)
    other = lambda trials: (_ for _ in ()).throw(jax.errors.JaxRuntimeError("INTERNAL: a fault"))
    with pytest.raises(jax.errors.JaxRuntimeError):
        compiled.found(None, other, 9, data)


@pytest.mark.parametrize(
    ("widths", "names", "sizes", "trials", "examples", "said"),
    [((784,), ("sgd",), (8,), 1, 90, "widths .784. are no network"), ((5, 0, 3), ("sgd",), (8,), 1, 90, "hidden"),
     ((5, 3), ("sgdd",), (8,), 1, 90, "unknown optimizer 'sgdd'"), ((5, 3), ("sgd",), (91,), 1, 90, "batch size 91"),
     ((5, 3), ("sgd",), (0,), 1, 90, "batch size 0"), ((5, 3), ("sgd",), (8,), 0, 90, "trials 0 is not allowed"),
     ((5, 3), ("sgd",), (8,), 1, -9, "examples -9 is not allowed")],
)  # fmt: skip
def test_bad_networks_are_refused(no_beartype, widths, names, sizes, trials, examples, said):
    with pytest.raises(ValueError, match=said):
        compiled.of_network(HERE, widths, names, sizes, trials, examples)


def test_the_full_gradient_may_be_asked_for():
    (made,) = compiled.of_network(HERE, (5, 3), ("sgd",), ("full",), 1, 90)
    assert made.cell.batch_size == 90
    assert np.isfinite(made.floor)
