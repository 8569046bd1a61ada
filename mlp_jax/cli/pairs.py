"""Names with values on the command line: `--hyper rho=0.04 gamma=2`.

Invariant: a name is given once, and its value is a number.
"""

from collections.abc import Mapping

from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

PAIRS = ConstructorRegistry()


def read(words: list[str]) -> dict[str, float]:
    """Return the numbers by their names.

    >>> read(["rho=0.04", "gamma=2"])
    {'rho': 0.04, 'gamma': 2.0}
    """
    pairs: dict[str, float] = {}
    for word in words:
        name, there, value = word.partition("=")
        if not there or not name:
            raise ValueError(f"{word!r} is no NAME=VALUE, as rho=0.04")
        if name in pairs:
            raise ValueError(f"{name} is given twice")
        try:
            pairs[name] = float(value)
        except ValueError:
            raise ValueError(f"the value {value!r} of {name} is no number") from None
    return pairs


@PAIRS.primitive_rule
def _rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    if info.type != Mapping[str, float]:
        return None
    return PrimitiveConstructorSpec(
        nargs="*",
        metavar="[NAME=VALUE ...]",
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, Mapping),
        str_from_instance=lambda value: [f"{name}={number:g}" for name, number in value.items()],
    )
