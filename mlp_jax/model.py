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
    """The description of a multi-layer perceptron; it holds no parameters.

    >>> network = Network(inputs=784, hidden=(256, 128), outputs=10)
    >>> network.widths, parameter_count(network)
    ((784, 256, 128, 10), 235146)

    Raises:
        ValueError: a width is not positive, or a name is not in its table.
    """

    inputs: Count
    """Number of features of one example."""
    hidden: tuple[Count, ...] = ()
    """Widths of the hidden layers, the first one first."""
    outputs: Count
    """Number of outputs: of classes, or of numbers to predict."""
    activation: str = "relu"
    """Activation function of the hidden layers: relu, tanh, sigmoid, identity or gelu."""
    output: str = "softmax"
    """Function of the output layer: softmax, sigmoid, tanh, identity or relu."""
    bias: str = "all"
    """all: every layer has a bias b, as in z = Wx + b. ones: the input gets a feature that is always 1 and there is no
    other bias, as in x ∈ R^785. none: neither."""
    init: str = "he"
    """How the weights start: he, glorot, lecun, truncated_normal or zeros."""
    init_std: Positive = 0.03
    """Standard deviation of the weights at the start, for init truncated_normal, which cuts them at two of these."""
    output_start: float = 0.0
    """Value at which the biases of the output layer start."""

    def __post_init__(self) -> None:
        checks.fields(self, inputs="inputs width", hidden="hidden width", outputs="outputs width")
        choose("activation", self.activation, ACTIVATIONS)
        choose("output", self.output, OUTPUTS)
        choose("bias", self.bias, BIASES)
        choose("init", self.init, INITIALIZERS)

    @property
    def widths(self) -> tuple[int, ...]:
        """Lengths of x^(0), x^(1), …: the inputs of each layer, then the outputs of the last; a ones feature counts."""
        return (self.inputs + (self.bias == "ones"), *self.hidden, self.outputs)


class Layer(NamedTuple):
    """One layer's parameters: z = Wx + b; `b` is None where the network has no biases."""

    W: Float[Array, "out in"]
    b: Float[Array, " out"] | None


Params = tuple[Layer, ...]


def init(key: Key[Array, ""], network: Network) -> Params:
    """Draw the parameters of `network` from `key`; biases start at zero, those of the output layer at `output_start`.

    He: N(0, 2/in) truncated; Glorot: uniform ±√(6/(in+out)); LeCun: N(0, 1/in) truncated, as `jax.nn.initializers`
    defines them. Layer k draws from `fold_in(key, k)`, so a deeper network starts with the same first layers; 32 bits
    are drawn in 64 bits too, so that a key means the same weights.

    >>> params = init(jax.random.key(0), Network(inputs=4, hidden=(8,), outputs=3))
    >>> [layer.W.shape for layer in params]
    [(8, 4), (3, 8)]
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
            W=draw(jax.random.fold_in(key, k), (width_out, width_in), jnp.float32).astype(dtype),
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
    """Return z for one example: what the last layer gives before its function is applied.

    `output` turns z into f(x). Losses take z, since a softmax or a sigmoid and the logarithm that follows it are exact
    only when they are computed together. `jax.vmap` maps it over many examples.

    >>> network = Network(inputs=4, hidden=(8,), outputs=3)
    >>> params = init(jax.random.key(0), network)
    >>> forward(network, params, jnp.ones(4)).shape
    (3,)
    >>> jax.vmap(lambda x: forward(network, params, x))(jnp.ones((32, 4))).shape
    (32, 3)
    """
    x = features(network, x)
    for layer in params[:-1]:
        x = ACTIVATIONS[network.activation](affine(layer, x))
    return affine(params[-1], x)


def output(network: Network, z: Float[Array, " outputs"]) -> Float[Array, " outputs"]:
    """Return f(x), given z = forward(network, params, x)."""
    return OUTPUTS[network.output](z)


def parameter_count(network: Network) -> int:
    """Count the entries of all W and b: 785·d1 + d1·d2 + 10·d2 for the slides' network under `bias="ones"`.

    >>> parameter_count(Network(inputs=784, hidden=(300, 100), outputs=10, bias="ones"))
    266500
    """
    return sum(_layer_sizes(network))


def summary(network: Network) -> str:
    """Return a table of the layers: name, width, activation, number of parameters.

    >>> print(summary(Network(inputs=4, hidden=(8,), outputs=3)))
    layer     width  activation  parameters
    input         4                       0
    hidden 1      8  relu                40
    output        3  softmax             27
    total                                67
    """
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
