"""What a drawn figure holds, found by the ids of its parts, and parameters that no two of are equal."""

import re
from functools import partial
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text

from mlp_jax import model
from mlp_jax.model import Network


def drawn(figure: Figure, pattern: str) -> list[Any]:
    return figure.findobj(lambda artist: re.fullmatch(pattern, artist.get_gid() or "") is not None)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def numbered(network: Network) -> model.Params:
    """Parameters that are all different: 1, −2, 3, … in the order of the leaves."""
    shapes = jax.eval_shape(partial(model.init, network=network), jax.random.key(0))
    leaves, tree = jax.tree.flatten(shapes)
    starts = np.cumsum([0, *(leaf.size for leaf in leaves)])
    signed = lambda start, leaf: (
        np.arange(start + 1, start + leaf.size + 1) * (-1.0) ** np.arange(start, start + leaf.size)
    )
    return jax.tree.unflatten(tree, [signed(n, leaf).reshape(leaf.shape) for n, leaf in zip(starts, leaves)])
