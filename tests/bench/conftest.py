"""What the tests of the bench share: the least effort that measures anything."""

import pytest

from mlp_jax.bench.effort import Effort

TINY = Effort(
    batch_sizes=(1, 64),
    trials=(1, 9),
    rounds=1,
    seconds=1e-3,
    call_seconds=1e-3,
    width=16,
    numbers=64,
    precision_batch_size=8,
)


@pytest.fixture(scope="session")
def tiny() -> Effort:
    """An effort of milliseconds."""
    return TINY
