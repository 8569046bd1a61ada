"""Backpropagation written out: from ∂L/∂z of the output back through the layers, updating each W as soon as possible.

Invariant: no derivative here is taken by JAX, except in the ordinary step that `memory` compares with.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Num

from mlp_jax import losses, model
from mlp_jax.model import Layer, Network, Params

Smoothing = Float[Array, ""] | float


def _gelu(z: Array, x: Array) -> Array:
    c = (2 / jnp.pi) ** 0.5
    t = jnp.tanh(c * (z + 0.044715 * z**3))
    return (1 + t) / 2 + z / 2 * (1 - t**2) * c * (1 + 3 * 0.044715 * z**2)


DERIVATIVES: dict[str, Callable[[Array, Array], Array]] = {  # ∂x/∂z, given z and x; if x is enough, z need not be kept
    "relu": lambda z, x: (x > 0).astype(x.dtype),  # x > 0 where z > 0
    "tanh": lambda z, x: 1 - x**2,
    "sigmoid": lambda z, x: x * (1 - x),
    "identity": lambda z, x: jnp.ones_like(x),
    "gelu": _gelu,
}


class Pass(NamedTuple):
    """What a forward pass keeps: the inputs x^(0), x^(1), … of the layers, and their outputs z^(1), z^(2), …."""

    x: tuple[Float[Array, "..."], ...]
    z: tuple[Float[Array, "..."], ...]


class Backward(NamedTuple):
    """The derivatives at layer k of the backward pass: ∂L/∂z^(k+1), ∂L/∂z^(k) (None for k = 0), and ∂L/∂W^(k)."""

    k: int
    dz: Float[Array, "..."]
    below: Float[Array, "..."] | None
    grads: Layer


def forward(network: Network, params: Params, x: Float[Array, " inputs"]) -> Pass:
    """Compute z^(k+1) = W^(k) x^(k) + b^(k) and x^(k) = activation(z^(k)), and keep them all."""
    xs, zs = [model.features(network, x)], []
    for layer in params[:-1]:
        zs.append(model.affine(layer, xs[-1]))
        xs.append(model.ACTIVATIONS[network.activation](zs[-1]))
    zs.append(model.affine(params[-1], xs[-1]))
    return Pass(tuple(xs), tuple(zs))


def slope(
    network: Network, loss: str, z: Float[Array, " outputs"], y: Num[Array, "*outputs"], smoothing: Smoothing = 0.0
) -> Float[Array, " outputs"]:
    """Return ∂L/∂z of the output layer.

    It is f(x) − y for cross-entropy with one-hot y, for binary cross-entropy, and for the squared loss with an identity
    output. Binary cross-entropy is differentiated with respect to its margin, so that no digits are lost for f(x) near
    y.
    """
    f = model.output(network, z)
    if loss == "cross_entropy":
        target = jax.nn.one_hot(y, network.outputs, dtype=z.dtype) if jnp.ndim(y) == 0 else y.astype(z.dtype)
        return f - ((1 - smoothing) * target + smoothing / network.outputs)
    if loss == "binary_cross_entropy":
        y = jnp.reshape(y, z.shape).astype(z.dtype)
        of_margin = 2 * y if network.output == "tanh" else 2 * y - 1  # the margin is this times z
        return of_margin * (smoothing / 2 - jax.nn.sigmoid(-of_margin * z))
    residual = f - jnp.reshape(y, z.shape)
    return (residual if loss == "squared" else jnp.sign(residual)) * DERIVATIVES[network.output](z, f)


def gradient(
    network: Network,
    loss: str,
    params: Params,
    x: Float[Array, " inputs"],
    y: Num[Array, "*outputs"],
    smoothing: Smoothing = 0.0,
) -> tuple[Float[Array, ""], Params]:
    """Return L of one example and ∂L/∂W^(k), ∂L/∂b^(k) of every layer.

    Raises:
        ValueError: `loss` does not fit the network's output.
    """
    losses.check(network, loss)
    kept = forward(network, params, x)
    steps = list(backward(network, loss, params, kept, y, smoothing))
    return losses.LOSSES[loss](network, kept.z[-1], y, smoothing), tuple(step.grads for step in reversed(steps))


def backward(
    network: Network, loss: str, params: Params, kept: Pass, y: Num[Array, "*outputs"], smoothing: Smoothing = 0.0
) -> Iterator[Backward]:
    """Yield the derivatives of each layer, from the output layer back to the first.

    Once layer k has been yielded, W^(k) is no longer needed and may be updated.

    Args:
        kept: what `forward` returned for this example.
    """
    dz, below = slope(network, loss, kept.z[-1], y, smoothing), None
    for k in reversed(range(len(params))):
        if k > 0:
            below = DERIVATIVES[network.activation](kept.z[k - 1], kept.x[k]) * (params[k].W.T @ dz)
        grads = Layer(W=jnp.outer(dz, kept.x[k]), b=None if params[k].b is None else dz)
        yield Backward(k, dz, below if k > 0 else None, grads)
        dz = dz if below is None else below


def start(optimizer: optax.GradientTransformation, params: Params) -> tuple[Any, ...]:
    """Return an optimizer state for each layer, in the form for `update_as_you_go`."""
    return tuple(optimizer.init(layer) for layer in params)  # pyright: ignore[reportArgumentType]


def update_as_you_go(
    network: Network,
    loss: str,
    optimizer: optax.GradientTransformation,
    params: Params,
    opt_state: tuple[Any, ...],
    x: Float[Array, "n inputs"],
    y: Num[Array, "n *outputs"],
    smoothing: Smoothing = 0.0,
) -> tuple[Float[Array, ""], Params, tuple[Any, ...]]:
    """Take one step on the mean gradient of n examples; a layer is updated as soon as its gradient exists.

    It equals the ordinary step (all gradients, then the update) for every optimizer that treats layers separately, but
    not for one that clips by the norm of the whole gradient. If it is compiled with `params` and `opt_state` donated,
    W^(k) is overwritten in place, after the old W^(k) was used to compute ∂L/∂z^(k).

    Args:
        opt_state: a state for each layer, from `start`.

    Returns:
        The mean loss before the step, the new parameters and the new states.

    Raises:
        ValueError: `loss` does not fit the network's output.
    """
    losses.check(network, loss)
    xs, zs = jax.vmap(partial(forward, network, params))(x)
    dz = jax.vmap(lambda z, y: slope(network, loss, z, y, smoothing))(zs[-1], y) / len(x)
    layers, states = list(params), list(opt_state)
    for k in reversed(range(len(params))):
        dx = dz @ params[k].W if k > 0 else jnp.zeros((), dz.dtype)
        grads = Layer(W=_after(dx, dz).T @ xs[k], b=None if params[k].b is None else jnp.sum(dz, axis=0))
        layers[k], states[k] = _apply(optimizer, grads, opt_state[k], params[k])
        if k > 0:
            dz = _after(grads.W[:1], DERIVATIVES[network.activation](zs[k - 1], xs[k]) * dx)
    return jnp.mean(losses.each(network, loss, zs[-1], y, smoothing)), tuple(layers), tuple(states)


class Memory(NamedTuple):
    """Bytes that a step takes besides parameters, optimizer state and mini-batch, as the compiler plans them.

    `gradients_first` is a program that returns all gradients; another program, which needs no more bytes, applies them.
    `ordinary` does both in one program: its compiler may update a layer before the next layer's gradient exists, and
    does so if the optimizer allows it.
    """

    gradients_first: int
    ordinary: int
    as_you_go: int


def memory(network: Network, loss: str, optimizer: optax.GradientTransformation, batch_size: int) -> Memory:
    """Compile a step in three ways, with parameters and optimizer state donated, and return the bytes of each.

    Raises:
        ValueError: `loss` does not fit the network's output, or the back end does not say what memory a program takes.
    """
    losses.check(network, loss)
    x = jax.ShapeDtypeStruct((batch_size, network.inputs), jnp.result_type(float))
    y = jax.ShapeDtypeStruct((batch_size, network.outputs), x.dtype)
    if not losses.is_regression(loss):
        y = jax.ShapeDtypeStruct((batch_size,), jnp.int32)
    params = jax.eval_shape(partial(model.init, network=network), jax.random.key(0))
    opt_state, states = jax.eval_shape(optimizer.init, params), jax.eval_shape(partial(start, optimizer), params)
    of_batch = jax.value_and_grad(lambda params, x, y: losses.total(network, loss, params, x, y) / batch_size)

    def ordinary(params, opt_state, x, y):
        value, grads = of_batch(params, x, y)
        return value, _apply(optimizer, grads, opt_state, params)

    return Memory(
        gradients_first=_planned(of_batch, (), params, x, y),
        ordinary=_planned(ordinary, (0, 1), params, opt_state, x, y),
        as_you_go=_planned(partial(update_as_you_go, network, loss, optimizer), (0, 1), params, states, x, y),
    )


def _after(first: Array, then: Array) -> Array:
    """Return `then` in a form that can't be computed before `first`.

    XLA's CPU compiler drops `optimization_barrier` before it decides what to copy, but keeps 0·Σ, which may be NaN.
    """
    return then + 0 * jnp.sum(first)


def _apply(optimizer: optax.GradientTransformation, grads: Any, opt_state: Any, params: Any) -> tuple[Any, Any]:
    updates, opt_state = optimizer.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state


def _planned(program: Callable, donated: tuple[int, ...], *shapes: Any) -> int:
    plan = jax.jit(program, donate_argnums=donated).lower(*shapes).compile().memory_analysis()
    if plan is None:
        raise ValueError(f"back end {jax.default_backend()!r} does not plan memory ahead; use JAX_PLATFORMS=cpu")
    return plan.temp_size_in_bytes + plan.output_size_in_bytes - plan.alias_size_in_bytes
