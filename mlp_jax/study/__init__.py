"""A study: one workload, trained with every optimizer at every batch size, each tuned on its own; kept on disk."""

from mlp_jax.study.contents import read_histories, read_plan, read_study
from mlp_jax.study.evidence import Findings, findings
from mlp_jax.study.places.here import run
from mlp_jax.study.places.processes import run as run_together
from mlp_jax.study.plan import PROTOCOL, Study, changed
from mlp_jax.study.spaces import Space
from mlp_jax.study.summary import table, to_json
from mlp_jax.study.toml import from_file, from_toml, to_toml

__all__ = [
    "PROTOCOL", "Findings", "Space", "Study", "changed", "findings", "from_file", "from_toml", "read_histories",
    "read_plan", "read_study", "run", "run_together", "table", "to_json", "to_toml",
]  # fmt: skip
