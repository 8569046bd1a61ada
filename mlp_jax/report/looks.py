"""The colour and the marker of an optimizer.

Invariant: an optimizer has one look in every figure of a page, and no two have the same. The classical ones all differ
in colour and all differ in marker, and so do any nine others that follow each other in the table.
"""

from mlp_jax.optimizers import OPTIMIZERS

CLASSICAL = {  # Okabe & Ito's colours first, then darker ones: distinct for every kind of colour blindness
    "sgd": ("#0072b2", "o"), "momentum": ("#d55e00", "s"), "adagrad": ("#009e73", "^"), "rmsprop": ("#cc79a7", "D"),
    "adam": ("#e69f00", "v"), "nesterov": ("#56b4e9", "P"), "adadelta": ("#882255", "X"), "adamax": ("#999933", "<"),
    "nadam": ("#332288", ">"), "amsgrad": ("#66717c", "h"),
}  # fmt: skip


class Looks(dict[str, tuple[str, str]]):
    """Looks by name: those given, and for any other optimizer a pair of colour and marker that is not used yet."""

    def __missing__(self, name: str) -> tuple[str, str]:
        others = [other for other in OPTIMIZERS if other not in CLASSICAL]
        (*colours, _), markers = zip(*CLASSICAL.values())  # the last colour is for misses of the target
        number = others.index(name)
        return colours[number % len(colours)], markers[number % len(markers) - 1]  # pairs that no classical one has


LOOKS = Looks(CLASSICAL)
