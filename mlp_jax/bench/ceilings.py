"""What a machine can do at most: XLA's own matrix products, passes over memory, gathers of rows, calls, loop turns.

Invariant: everything is timed on all devices of a mesh at the same time, as in training, and every turn of a loop
depends on the one before, so that XLA can neither hoist nor drop its work.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mlp_jax.machine.clocks import Clock, Steps, steps_in, time_of
from mlp_jax.machine.programs import Program
from mlp_jax.model import Network, parameter_count

LARGE = 2048
SEARCH_SECONDS, SEARCH_ROUNDS = 0.003, 4  # for each orientation of each product


class Product(NamedTuple):
    """out = left · right, of shape (m, k, n): out is m × n, left m × k, right k × n."""

    out: str
    left: str
    right: str
    shape: tuple[int, int, int]


class Orientation(NamedTuple):
    """How a product is computed: left is stored k × m, right is stored n × k, the result is stored n × m."""

    left_transposed: bool
    right_transposed: bool
    swapped: bool


ORIENTATIONS = [Orientation(*choice) for choice in itertools.product((False, True), repeat=3)]


def products(network: Network, batch_size: int) -> list[Product]:
    """Return the products of a step: forward z = xWᵀ; backward, in each layer, the gradients g (of W) and d (of x)."""
    widths = network.widths
    forward = [
        Product(f"z{k}", f"z{k - 1}", f"W{k}", (batch_size, widths[k - 1], widths[k])) for k in range(1, len(widths))
    ]
    backward = []
    for k in reversed(range(1, len(widths))):
        d = f"z{k}" if k == len(widths) - 1 else f"d{k}"
        backward.append(Product(f"g{k}", d, f"z{k - 1}", (widths[k], batch_size, widths[k - 1])))
        if k > 1:
            backward.append(Product(f"d{k - 1}", d, f"W{k}", (batch_size, widths[k], widths[k - 1])))
    return forward + backward


def flops(of: Sequence[Product]) -> int:
    """Count multiplications and additions."""
    return sum(2 * math.prod(product.shape) for product in of)


def parts(mesh: Mesh, network: Network, x: np.ndarray, batch_size: int, together: int) -> dict[str, Steps]:
    """Return the three parts of the limit, each to be timed; one step of a part serves `together` trials per device."""
    chain = products(network, batch_size)
    return {
        "products": _chain(mesh, chain, [fastest(mesh, product, together) for product in chain], together),
        "update": update(mesh, 2 * parameter_count(network), together),
        "gather": _gather(mesh, x, batch_size * together),
    }


def large(mesh: Mesh, width: int, orientation: Orientation | None = None) -> Steps:
    """Return a product of two width × width matrices on each device, in the fastest orientation by default."""
    product = square(width)
    return _chain(mesh, [product], [orientation or fastest(mesh, product, 1)], 1)


def square(width: int) -> Product:
    """Return the product of two width × width matrices."""
    return Product("c", "a", "b", (width, width, width))


def call() -> Steps:
    """Return calls of a compiled program that does almost nothing; each call is awaited."""
    x = jnp.float32(0)
    compiled = jax.jit(lambda x: x + 1).lower(x).compile()

    def run(count: int) -> None:
        for _ in range(count):
            jax.block_until_ready(compiled(x))

    return run


def fastest(mesh: Mesh, product: Product, together: int) -> Orientation:
    """Return the orientation in which XLA computes the product alone in the least time."""
    m, k, n = product.shape
    if k == 1:  # an outer product only writes
        return ORIENTATIONS[0]
    alone = product._replace(left="a", right="b")
    different = [each for each in ORIENTATIONS if m != n or not each.swapped]  # square: swapped is the same
    runs = {each: _chain(mesh, [alone], [each], together) for each in different}
    counts = {each: steps_in(run, SEARCH_SECONDS) for each, run in runs.items()}
    rounds = SEARCH_ROUNDS if max(counts.values()) > 1 else 1
    return min((time_of(run, counts[each]), each) for _ in range(rounds) for each, run in runs.items())[1]


def _multiply(product: Product, orientation: Orientation, left: Any, right: Any) -> Any:
    """Return the product of two arrays, each read as it is stored in the orientation, whatever its shape."""
    m, k, n = product.shape
    a = left.reshape((k, m) if orientation.left_transposed else (m, k))
    b = right.reshape((n, k) if orientation.right_transposed else (k, n))
    a, b = (a, int(not orientation.left_transposed)), (b, int(orientation.right_transposed))
    (first, i), (second, j) = (b, a) if orientation.swapped else (a, b)
    return jax.lax.dot_general(first, second, (((i,), (j,)), ((), ())))


def _chain(mesh: Mesh, chain: list[Product], orientations: list[Orientation], together: int) -> Steps:
    """Return a loop over the products of `chain`: the first operand, and so each product, needs the turn before."""
    fed = chain[0].left
    operands = {name for product in chain for name in (product.left, product.right)}
    results = [product.out for product in chain if product.out not in operands]
    feeding = [product.out for product in chain if product.out in operands] or results  # on the way from `fed`

    def multiply(given: dict) -> dict:
        now = dict(given)
        for product, orientation in zip(chain, orientations):
            now[product.out] = _multiply(product, orientation, now[product.left], now[product.right])
        return now

    def step(given: dict, _, carry: dict) -> dict:
        now = multiply(given | {fed: carry[fed]})
        entry = jnp.where(now[feeding[-1]][:1, 0] > 0, 0.5, 0.25)
        return {name: now[name] for name in results} | {fed: jax.lax.dynamic_update_slice(now[fed], entry, (0,))}

    def run(given: dict, count) -> dict:
        shapes = jax.eval_shape(multiply, given)
        empty = {name: jnp.zeros(shapes[name].shape) for name in results}
        return jax.lax.fori_loop(0, count, partial(step, given), {fed: given[fed]} | empty)

    return _compiled(mesh, run, _operands(chain), together)


def _operands(chain: list[Product]) -> dict[str, np.ndarray]:
    """Return noise for each operand that no product of the chain computes, scaled so that results are near one."""
    rng = np.random.default_rng(0)
    made = {product.out for product in chain}
    sizes = {product.right: (product.shape[1], product.shape[2]) for product in reversed(chain)}
    sizes[chain[0].left] = (1, chain[0].shape[0] * chain[0].shape[1])
    return {
        name: rng.normal(0, k**-0.5, k * n).astype(np.float32) for name, (k, n) in sizes.items() if name not in made
    }


def update(mesh: Mesh, numbers: int, together: int = 1) -> Steps:
    """Return a pass that reads and writes `numbers` float32 values for each trial; for 1, it times a loop's turn."""

    def run(given: dict, count) -> dict:
        pass_over = lambda _, values: values * given["keep"] + given["add"]
        return {"values": jax.lax.fori_loop(0, count, pass_over, given["values"])}

    values = np.ones(numbers, np.float32)
    return _compiled(mesh, run, {"values": values, "keep": np.float32(0.9), "add": np.float32(0.1)}, together)


def _gather(mesh: Mesh, x: np.ndarray, rows: int) -> Steps:
    """Return the gather of `rows` random rows of uint8 and their conversion to float32."""
    order = np.resize(np.random.default_rng(0).permutation(len(x)).astype(np.int32), len(x) + rows)

    def step(given: dict, turn, _) -> Any:
        index = jax.lax.dynamic_slice_in_dim(given["order"], turn * rows % len(x), rows)
        return given["x"][index].astype(jnp.float32) * given["scale"]

    def run(given: dict, count) -> dict:
        return {"rows": jax.lax.fori_loop(0, count, partial(step, given), jnp.zeros((rows, x.shape[1])))}

    return _compiled(mesh, run, {"x": x, "order": order, "scale": np.float32(1 / 255)}, 1)


def _compiled(mesh: Mesh, function: Callable, given: dict[str, Any], together: int) -> Steps:
    """Return the compiled `function` of `given` and a count, for `together` trials on each device at the same time.

    A result with the same name as an entry of `given` replaces that entry in the next call, and its memory is used
    again: to allocate memory for results would take longer than a pass over them.
    """
    each, everywhere = PartitionSpec("trial"), PartitionSpec()
    carried = set(jax.eval_shape(function, given, jnp.int32(0))) & set(given)

    def on_device(moving: dict, fixed: dict, count) -> dict:
        of_one = lambda moving, fixed: function(moving | fixed, count)
        if together > 1:
            return jax.vmap(of_one)(moving, fixed)
        return jax.tree.map(lambda array: array[None], of_one(*jax.tree.map(lambda array: array[0], (moving, fixed))))

    spread = jax.shard_map(on_device, mesh=mesh, in_specs=(each, each, everywhere), out_specs=each, check_vma=False)
    copies = {name: np.broadcast_to(array, (mesh.size * together, *np.shape(array))) for name, array in given.items()}
    held = jax.device_put(copies, NamedSharding(mesh, each))
    moving, fixed = ({name: held[name] for name in names} for names in (carried, set(held) - carried))
    turns = lambda count: jax.device_put(np.int32(count), NamedSharding(mesh, everywhere))
    program, clock = Program(jax.jit(spread, donate_argnums=0)), Clock()
    program.compile(clock, moving, fixed, turns(0))

    def run(count: int) -> None:
        nonlocal moving
        done = program("training", clock, moving, fixed, turns(count))
        moving = {name: done[name] for name in moving}

    return run
