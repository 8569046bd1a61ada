"""The text of a compiled program: loops, launches and bytes are counted as they were by hand."""

import jax
import jax.numpy as jnp
import pytest

from mlp_jax.machine import hlo
from mlp_jax.machine.hlo import Module

TEXT = """HloModule jit_advance, is_scheduled=true

%fused_gather (p.0: u8[500,7], p.1: s32[3], p.2: f32[]) -> f32[3,7] {
  %p.0 = u8[500,7]{1,0} parameter(0)
  %p.1 = s32[3]{0} parameter(1)
  %p.2 = f32[] parameter(2)
  %bitcast.1 = u8[500,7]{1,0} bitcast(%p.0)
  %gather.1 = u8[3,7]{1,0} gather(%bitcast.1, %p.1), offset_dims={1}, metadata={op_name="jit(advance)/while/one_step/gather"}
  %convert.1 = f32[3,7]{1,0} convert(%gather.1)
  %broadcast.1 = f32[3,7]{1,0} broadcast(%p.2), dimensions={}
  ROOT %multiply.1 = f32[3,7]{1,0} multiply(%convert.1, %broadcast.1)
}

%fused_put (q.0: f32[10,7], q.1: f32[1,7], q.2: s32[]) -> f32[10,7] {
  %q.0 = f32[10,7]{1,0} parameter(0)
  %q.1 = f32[1,7]{1,0} parameter(1)
  %q.2 = s32[] parameter(2)
  ROOT %put.1 = f32[10,7]{1,0} dynamic-update-slice(%q.0, %q.1, %q.2, %q.2)
}

%step_cond (s.0: (s32[], f32[10,7])) -> pred[] {
  %s.0 = (s32[], /*index=1*/f32[10,7]{1,0}) parameter(0)
  %n.0 = s32[] get-tuple-element(%s.0), index=0
  ROOT %less.0 = pred[] compare(%n.0, %n.0), direction=LT
}

%step (s.1: (s32[], f32[10,7])) -> (s32[], f32[10,7]) {
  %s.1 = (s32[], f32[10,7]{1,0}) parameter(0)
  %n.1 = s32[] get-tuple-element(%s.1), index=0
  %w.1 = f32[10,7]{1,0} get-tuple-element(%s.1), index=1
  %data = u8[500,7]{1,0} constant({...})
  %index = s32[3]{0} constant({...})
  %scale = f32[] constant(1)
  %rows = f32[3,7]{1,0} fusion(%data, %index, %scale), kind=kLoop, calls=%fused_gather, backend_config={"estimated_cycles":"40"}
  %fetch = (f32[10,7]{1,0:T(8,128)S(1)}, f32[10,7]{1,0}, u32[]{:S(2)}) copy-start(%w.1)
  %fetched = f32[10,7]{1,0:T(8,128)S(1)} copy-done(%fetch)
  %line = f32[1,7]{1,0} slice(%rows), slice={[0:1], [0:7]}
  %new = f32[10,7]{1,0} fusion(%w.1, %line, %n.1), kind=kLoop, calls=%fused_put, backend_config={"estimated_cycles":"60"}
  ROOT %out.1 = (s32[], f32[10,7]{1,0}) tuple(%n.1, %new)
}

%yes (y: f32[10,7]) -> f32[10,7] {
  %y = f32[10,7]{1,0} parameter(0)
  ROOT %summed = f32[10,7]{1,0} all-reduce(%y), to_apply=%step_cond
}

%no (z: f32[10,7]) -> f32[10,7] {
  ROOT %z = f32[10,7]{1,0} parameter(0)
}

%block (b: (s32[], f32[10,7])) -> (s32[], f32[10,7]) {
  %b = (s32[], f32[10,7]{1,0}) parameter(0)
  %inner = (s32[], f32[10,7]{1,0}) while(%b), condition=%step_cond, body=%step, metadata={op_name="jit(advance)/while/body/while"}, backend_config={"known_trip_count":{"n":"32"}}
  %i.2 = s32[] get-tuple-element(%inner), index=0
  %w.2 = f32[10,7]{1,0} get-tuple-element(%inner), index=1
  %chosen = f32[10,7]{1,0} conditional(%i.2, %w.2, %w.2), branch_computations={%yes, %no}
  ROOT %out.2 = (s32[], f32[10,7]{1,0}) tuple(%i.2, %chosen)
}

ENTRY %main (a: s32[], w: f32[10,7]) -> (s32[], f32[10,7]) {
  %a = s32[] parameter(0)
  %w = f32[10,7]{1,0} parameter(1)
  %t = (s32[], f32[10,7]{1,0}) tuple(%a, %w)
  ROOT %outer = (s32[], f32[10,7]{1,0}) while(%t), condition=%step_cond, body=%block, metadata={op_name="jit(advance)/while"}
}
"""  # noqa: E501
ROWS = 3 * 7 + 4 * 3 + 4 + 4 * 3 * 7  # gathered bytes, their numbers, the scale, and what is written
FETCH, LINE, PUT = 4 * 70, 4 * (21 + 7), 4 * 7 + 4 + 4 * 7
STEP = ROWS + FETCH + LINE + PUT


@pytest.fixture
def module() -> Module:
    return Module(TEXT)


def test_loops_are_found_outer_ones_first(module):
    assert [(loop.name, loop.turns, module.body(loop)) for loop in module.loops()] == [
        ("outer", None, "block"), ("inner", 32, "step"),
    ]  # fmt: skip


def test_a_kernel_s_inside_tells_where_it_comes_from(module):
    assert module.mentions("step", "one_step")
    assert module.mentions("block", "one_step")
    assert not module.mentions("yes", "one_step")


def test_bytes_are_those_that_kernels_touch_outside_fast_memory(module):
    """Of a gather the rows, of an update what is put, of a fetch into fast memory one side."""
    moved = {each.name: module.moved(module.computations["step"], each) for each in module.inside("step")}
    assert {name: bytes_ for name, bytes_ in moved.items() if bytes_} == {
        "rows": ROWS, "fetch": FETCH, "line": LINE, "new": PUT,
    }  # fmt: skip


def test_what_is_in_a_loop_counts_as_often_as_it_turns(module):
    turns_condition = 32 * 1
    assert module.total("step", hlo.launched) == 4
    assert module.total("block", hlo.launched) == 32 * 4 + turns_condition + 1
    assert module.total("block", hlo.cycles) == 32 * 100
    assert module.total("block", module.moved) == 32 * (STEP + 1 + 2 * 4) + 2 * 280
    (outer, inner) = module.loops()
    assert module.within(inner, module.moved) == 32 * (STEP + 9)
    assert module.within(outer, hlo.launched) == 32 * 5 + 1 + 1


def test_a_host_waits_at_choices_and_at_loops_of_unknown_length(module):
    assert module.total("step", hlo.waits) == 0
    assert module.total("block", hlo.waits) == 1
    assert module.total("main", hlo.waits) == 2


def test_devices_wait_at_collectives(module):
    assert [each.name for each in module.inside("main") if each.collective] == ["summed"]


@pytest.mark.parametrize(
    ("shape", "all_", "slow"),
    [("f32[2,3]{1,0}", 24, 24), ("pred[5]", 5, 5), ("s32[]", 4, 4), ("bf16[4]{0:S(1)}", 8, 0), ("s4[3]", 2, 2),
     ("(f32[2]{0}, u8[3]{0:T(8)S(1)}, f64[0])", 11, 8), ("token[]", 0, 0)],
)  # fmt: skip
def test_sizes_of_shapes(shape, all_, slow):
    assert (hlo.size(shape), hlo.slow(shape)) == (all_, slow)


def test_the_text_of_a_program_of_this_machine_is_read():
    def run(x, count):
        return jax.lax.fori_loop(0, count, lambda _, x: jnp.tanh(x @ x), x)

    text = jax.jit(run).lower(jnp.ones((8, 8)), 3).compile().as_text()
    assert text is not None
    (loop,) = Module(text).loops()
    assert loop.turns is None
    assert Module(text).total(Module(text).body(loop), hlo.launched) >= 1
