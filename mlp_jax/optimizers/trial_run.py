"""Try an optimizer on a small network by shapes alone, so that its errors show before any training.

Invariant: nothing is computed, and no back end is started.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from mlp_jax.model import Layer
from mlp_jax.optimizers import chain
from mlp_jax.optimizers.optimizer import Optimizer

DECIDES = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)


def check(row: Optimizer) -> None:
    """Try one update of a network with one hidden layer.

    Raises:
        ValueError: the direction fails, returns no links, or has a structure that depends on values; or its state is
            not arrays of the same kind at every step.
    """
    real = jnp.result_type(float)
    number = jax.ShapeDtypeStruct((), real)
    shape = lambda *size: jax.ShapeDtypeStruct(size, real)
    params = tuple(Layer(shape(2, inputs), shape(2)) for inputs in (3, 2))  # pyright: ignore[reportArgumentType]
    try:
        jax.eval_shape(lambda *given: _once(row, *given), dict.fromkeys(row.hyperparameters, number), params, number)
    except DECIDES as error:
        raise ValueError(
            "a hyper-parameter decides its structure, so it can't be traced; fix that value, and register a name for "
            "each choice: each is a cell of its own"
        ) from error
    except ValueError:
        raise
    except Exception as error:  # a user's code may raise anything
        why = " ".join(str(error).split())[:200]
        raise ValueError(f"its update of a small network raises {type(error).__name__} ({why}); mend it") from error


def _once(row: Optimizer, hyper: dict[str, Any], params: PyTree, loss: Any) -> Any:
    """Make one update, and compare the results' structure, shapes and types with those of the arguments."""
    made = optax.with_extra_args_support(chain.links(row, "constant", hyper))
    state = made.init(params)
    if wrong := [leaf for leaf in jax.tree.leaves(state) if not _is_array(leaf)]:
        raise ValueError(f"its state holds {type(wrong[0]).__name__}; let it be a pytree of arrays")
    updates, after = made.update(params, state, params, value=loss)
    if _kinds(updates) != _kinds(params):
        raise ValueError("its updates are not shaped as the parameters; return one for each of them")
    if _kinds(after) != _kinds(state):
        raise ValueError("its state is of another kind after an update; keep its structure, shapes and types")
    if row.evaluated is not None and _kinds(row.evaluated(after, params)) != _kinds(params):
        raise ValueError("what it evaluates is not shaped as the parameters; return one for each of them")
    return updates, after


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | int | float) or hasattr(leaf, "__jax_array__") or hasattr(leaf, "dtype")


def _kinds(tree: PyTree) -> tuple:
    leaves, structure = jax.tree.flatten(tree)
    return structure, [(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves]
