"""What a network is: a static description, a pytree of parameters, and the forward pass for ONE example.

A network without hidden layers is the softmax classifier; nothing treats it as a special case.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mlp_jax import checks, tables
from mlp_jax.checks import Count, Positive, choose

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "identity": lambda z: z,
    "gelu": jax.nn.gelu,
}
OUTPUTS: dict[str, Callable[[Array], Array]] = {
    "softmax": jax.nn.softmax,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "identity": lambda z: z,
    "relu": jax.nn.relu,
}
BIASES = ("all", "ones", "none")
INITIALIZERS = ("he", "glorot", "lecun", "truncated_normal", "zeros")


@dataclass(frozen=True, kw_only=True)
class Network:
    """The static description of a multi-layer perceptron.

    `bias` says where the constants are: `all` gives every layer its b, as in z = Wx + b; `ones` appends one
    feature of all ones to the input and has no other bias, as in x ∈ R^785; `none` has neither.
    `init_std` is the standard deviation that `init="truncated_normal"` draws with (cut at two of them), and
    `output_start` what the output layer's b starts at.

    Raises:
        ValueError: a width is not positive, or a name is not in its table.
    """

    inputs: Count
    hidden: tuple[Count, ...] = ()
    outputs: Count
    activation: str = "relu"
    output: str = "softmax"
    bias: str = "all"
    init: str = "he"
    init_std: Positive = 0.03
    output_start: float = 0.0

    def __post_init__(self) -> None:
        checks.fields(self, inputs="inputs width", hidden="hidden width", outputs="outputs width")
        choose("activation", self.activation, ACTIVATIONS)
        choose("output", self.output, OUTPUTS)
        choose("bias", self.bias, BIASES)
        choose("init", self.init, INITIALIZERS)

    @property
    def widths(self) -> tuple[int, ...]:
        """Length of x^(0), x^(1), …: what enters each layer, then what leaves the last; a ones feature counts."""
        return (self.inputs + (self.bias == "ones"), *self.hidden, self.outputs)


class Layer(NamedTuple):
    """One layer's parameters: z = Wx + b; `b` is None where the network has no biases."""

    W: Float[Array, "out in"]
    b: Float[Array, " out"] | None


Params = tuple[Layer, ...]


def init(key: Key[Array, ""], network: Network) -> Params:
    """Draw the parameters of `network` from `key`; biases start at zero, the last at `output_start`.

    He: N(0, 2/in) truncated; Glorot: uniform ±√(6/(in+out)); LeCun: N(0, 1/in) truncated, as `jax.nn.initializers`
    defines them. Layer k draws from `fold_in(key, k)`, so a deeper network starts with the same first layers.
    """
    draw = {
        "he": jax.nn.initializers.he_normal(in_axis=1, out_axis=0),
        "glorot": jax.nn.initializers.glorot_uniform(in_axis=1, out_axis=0),
        "lecun": jax.nn.initializers.lecun_normal(in_axis=1, out_axis=0),
        "truncated_normal": jax.nn.initializers.truncated_normal(network.init_std),
        "zeros": jax.nn.initializers.zeros,
    }[network.init]
    dtype = jnp.result_type(float)
    return tuple(
        Layer(
            W=draw(jax.random.fold_in(key, k), (width_out, width_in), dtype),
            b=jnp.full(width_out, network.output_start if k == len(network.hidden) else 0.0, dtype)
            if network.bias == "all"
            else None,
        )
        for k, (width_in, width_out) in enumerate(zip(network.widths, network.widths[1:]))
    )


def features(network: Network, x: Float[Array, " inputs"]) -> Float[Array, " features"]:
    """Return x^(0), which enters the first layer: x, with a feature of ones appended under `bias="ones"`."""
    return jnp.append(x, jnp.ones((), x.dtype)) if network.bias == "ones" else x


def affine(layer: Layer, x: Float[Array, " in"]) -> Float[Array, " out"]:
    """Return z = Wx + b."""
    z = layer.W @ x
    return z if layer.b is None else z + layer.b


def forward(network: Network, params: Params, x: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
    """Return z, what the output layer's function is applied to, for one example.

    Losses take z, since softmax and sigmoid followed by a logarithm are stable only together; `output` maps z to f(x).
    """
    x = features(network, x)
    for layer in params[:-1]:
        x = ACTIVATIONS[network.activation](affine(layer, x))
    return affine(params[-1], x)


def output(network: Network, z: Float[Array, " outputs"]) -> Float[Array, " outputs"]:
    """Return f(x), given z = forward(network, params, x)."""
    return OUTPUTS[network.output](z)


def parameter_count(network: Network) -> int:
    """Count the entries of all W and b: 785·d1 + d1·d2 + 10·d2 for the slides' network under `bias="ones"`."""
    return sum(_layer_sizes(network))


def summary(network: Network) -> str:
    """Return a table of the layers: name, width, activation, number of parameters."""
    functions = (*(network.activation,) * len(network.hidden), network.output)
    names = (*(f"hidden {k + 1}" for k in range(len(network.hidden))), "output")
    layers = [("input", network.inputs, "1 more, of ones" if network.bias == "ones" else "", 0)]
    layers += zip(names, network.widths[1:], functions, _layer_sizes(network))
    rows = [(name, f"{width:,}", function, f"{size:,}") for name, width, function, size in layers]
    rows.append(("total", "", "", f"{parameter_count(network):,}"))
    return tables.text(("layer", "width", "activation", "parameters"), rows)


def _layer_sizes(network: Network) -> list[int]:
    bias = int(network.bias == "all")
    return [out * (inp + bias) for inp, out in zip(network.widths, network.widths[1:])]
