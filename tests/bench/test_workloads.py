"""What is timed is training itself: the states are those of trial.advance, and a trial that fails is an error."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax import trial
from mlp_jax.bench import workloads
from mlp_jax.model import Network
from mlp_jax.trial import Cell

NETWORK = Network(inputs=6, hidden=(4,), outputs=3)
CELL = Cell(network=NETWORK, batch_size=8)
X, Y = workloads.noise(NETWORK, 40)
VALUES = trial.complete(CELL, learning_rate=0.1)


def advanced(seed: int, count: int) -> trial.TrialState:
    hyper = {name: jnp.float32(value) for name, value in VALUES.items()}
    state = trial.start(CELL, hyper, jnp.uint32(seed))
    return trial.advance(CELL, hyper, jnp.uint32(seed), workloads.held(X, Y), state, jnp.int32(count))


def test_noise_is_the_same_every_time_and_fits_the_network():
    again = workloads.noise(NETWORK, 40)
    np.testing.assert_array_equal(X, again[0])
    np.testing.assert_array_equal(Y, again[1])
    assert X.dtype == np.uint8
    assert X.shape == (40, 6)
    assert set(Y.tolist()) == {0, 1, 2}


@pytest.mark.slow
def test_a_trial_alone_takes_the_steps_of_training():
    alone = workloads.Alone(CELL, VALUES, workloads.held(X, Y))
    alone.run(2)
    alone.run(3)
    state = jax.tree.map(lambda leaf: leaf[0], alone.lanes.state)
    jax.tree.map(np.testing.assert_array_equal, state, advanced(0, 5))
    assert alone.seconds > 0


def test_given_weights_stay_whole():
    params = advanced(3, 1).params
    alone = workloads.Alone(CELL, VALUES, workloads.held(X, Y), params)
    jax.tree.map(lambda ours, given: np.testing.assert_array_equal(ours[0], given), alone.params, params)
    alone.run(1)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(params))


def test_trials_together_are_the_trials_of_their_seeds():
    together = workloads.Together(CELL, VALUES, workloads.held(X, Y), 3)
    together.run(4)
    assert together.lanes.state.step[:3].tolist() == [4, 4, 4]
    assert not together.lanes.state.step[3:].any(), "a lane without a trial must not run"
    for seed in range(3):
        own = jax.tree.map(lambda leaf: leaf[seed], together.params)  # noqa: B023
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), own, advanced(seed, 4).params)


def test_a_trial_that_fails_is_an_error():
    alone = workloads.Alone(CELL, VALUES | {"learning_rate": 1e30}, workloads.held(X, Y))
    with pytest.raises(ValueError, match="a trial of momentum at batch size 8 had a loss that is not finite"):
        alone.run(20)
