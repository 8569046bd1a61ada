"""How a report reads steps to target from the trials of a study: by the study's own definition, or by another.

Invariant: a reading that the trials' histories can't give is refused, never guessed.
"""

from typing import TYPE_CHECKING, NamedTuple

from mlp_jax.analysis.crossing import Definition
from mlp_jax.study.evidence import definition_of
from mlp_jax.study.plan import Study

if TYPE_CHECKING:
    import pandas


class Reading(NamedTuple):
    """What differs from the study's own reading: another target, or the first crossing; None keeps the study's."""

    target: float | None = None
    first_crossing: bool = False

    def of(self, study: Study, rows: "pandas.DataFrame") -> Definition:
        """Return the definition of steps to target."""
        own = definition_of(study, rows)
        target = own.target if self.target is None else self.target
        return own._replace(target=target, smoothing=1.0 if self.first_crossing else own.smoothing)

    @property
    def options(self) -> list[str]:
        """The options of `mlp-jax report` that give this reading."""
        target = [] if self.target is None else ["--target", f"{self.target!r}"]
        return [*target, *(["--definition", "first-crossing"] if self.first_crossing else [])]


AS_ASKED = Reading()
