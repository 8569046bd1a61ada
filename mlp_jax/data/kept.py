"""Turn what was read from a table into arrays that can be cached, and back."""

import json

import numpy as np

from mlp_jax.data.dataset import Column, Source

WORDS = ("shape", "classes", "levels", "columns", "column", "why")


def arrays(source: Source) -> dict[str, np.ndarray]:
    """Return a Source, which must have no validation or test part, as arrays."""
    words = json.dumps({name: getattr(source, name) for name in WORDS})
    return {"x": source.x, "y": source.y, "words": np.frombuffer(words.encode(), np.uint8)}


def restored(arrays: dict[str, np.ndarray]) -> Source:
    """Return the Source of which `arrays` made these arrays."""
    words = json.loads(bytes(arrays["words"]))
    columns = tuple(Column(name, kind, tuple(values), *rest) for name, kind, values, *rest in words.pop("columns"))
    words |= {"shape": tuple(words["shape"]), "classes": tuple(words["classes"])}
    return Source(arrays["x"], arrays["y"], None, columns=columns, **words)
