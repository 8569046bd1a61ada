"""How a study grows: optimizers, batch sizes, rounds and fresh seeds are added to it.

Invariant: what the study has stays as it is; a request that would change it belongs to another study.
"""

import dataclasses
from collections.abc import Mapping

from mlp_jax.study.plan import Study, identity

GROWS = ("optimizers", "batch_sizes", "spaces", "versions", "rounds", "fresh_seeds", "max_steps", "noise_scale")


def grown(before: Study, asked: Study) -> Study:
    """Return the study `before` with all that is `asked` in addition.

    Optimizers and batch sizes are added to those of `before`; rounds and fresh seeds are the larger number of both.

    Raises:
        ValueError: `asked` contradicts `before`, and so is another study.
    """
    there, given = identity(before), identity(asked)
    same = sorted({*there, *given} - set(GROWS))
    differ = [(name, there.get(name), given.get(name)) for name in same if there.get(name) != given.get(name)]
    changed = [name for name, version in before.versions.items() if asked.versions.get(name, version) != version]
    differ += [(f"the module of {name}", before.versions[name], asked.versions[name]) for name in changed]
    for name in ("spaces", "max_steps"):
        old, new = ({"all": each} if not isinstance(each, Mapping) else each for each in (there[name], given[name]))
        differ += [
            (f"{name} of {key}", old[key], new[key]) for key in sorted(old.keys() & new.keys()) if old[key] != new[key]
        ]
        if ("all" in old) != ("all" in new):
            differ.append((name, there[name], given[name]))
    if differ:
        name, old, new = differ[0]
        raise ValueError(f"another study ({name} {old!r} there, {new!r} here)")
    steps = asked.max_steps if isinstance(before.max_steps, int) else before.max_steps | asked.max_steps  # pyright: ignore[reportOperatorIssue]
    return dataclasses.replace(
        before,
        optimizers=(*before.optimizers, *asked.optimizers),
        batch_sizes=(*before.batch_sizes, *asked.batch_sizes),
        spaces={**asked.spaces, **before.spaces},
        versions={**asked.versions, **before.versions},
        rounds=_larger_rounds(before, asked),
        fresh_seeds=max(before.fresh_seeds, asked.fresh_seeds),
        max_steps=steps,
        noise_scale=before.noise_scale or asked.noise_scale,
    )


def with_rounds(study: Study, rounds: Mapping[str, int]) -> Study:
    """Return `study` with these rounds of each optimizer, written as one number if all are equal."""
    counts = set(rounds.values())
    return dataclasses.replace(study, rounds=counts.pop() if len(counts) == 1 else dict(rounds))


def _larger_rounds(before: Study, asked: Study) -> int | dict[str, int]:
    if isinstance(before.rounds, int) and isinstance(asked.rounds, int):
        return max(before.rounds, asked.rounds)
    of = lambda study, name: study.rounds_of(name) if name in study.optimizers else 0
    rounds = {n: max(of(before, n), of(asked, n)) for n in dict.fromkeys((*before.optimizers, *asked.optimizers))}
    return rounds if len(set(rounds.values())) > 1 else next(iter(rounds.values()))
