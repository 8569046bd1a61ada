"""What a table gave, as arrays that can be filed, and back."""

import json

import numpy as np

from mlp_jax.data.dataset import Column, Source

WORDS = ("shape", "classes", "levels", "columns", "column", "why")


def arrays(source: Source) -> dict[str, np.ndarray]:
    """Return a Source without parts of its own as arrays."""
    words = json.dumps({name: getattr(source, name) for name in WORDS})
    return {"x": source.x, "y": source.y, "words": np.frombuffer(words.encode(), np.uint8)}


def restored(arrays: dict[str, np.ndarray]) -> Source:
    """Undo `arrays`."""
    words = json.loads(bytes(arrays["words"]))
    columns = tuple(Column(name, kind, tuple(values), *rest) for name, kind, values, *rest in words.pop("columns"))
    words |= {"shape": tuple(words["shape"]), "classes": tuple(words["classes"])}
    return Source(arrays["x"], arrays["y"], None, columns=columns, **words)
