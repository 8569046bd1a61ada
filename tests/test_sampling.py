"""The order of the examples: exact permutations for every n, no example lost between epochs, and fair statistics."""

import math
from collections import Counter
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlp_jax import sampling

LARGEST = 2**31
FAIR = 1e-3  # the seeds are fixed, so that a fair generator passes always


def permutations(n: int, epochs: int, seed: int = 0, ahead: bool = False) -> np.ndarray:
    """Row e is permutation e of 0…n−1."""
    return np.asarray(_permutations(n, ahead, jnp.uint32(seed), jnp.arange(epochs, dtype=jnp.uint32)))


@partial(jax.jit, static_argnums=(0, 1))
def _permutations(n: int, ahead: bool, seed, epochs):
    index = jnp.arange(n, dtype=jnp.uint32)
    return jax.vmap(lambda epoch: sampling.permute(seed, jnp.full(n, epoch), index, n, ahead))(epochs)


def stream(n: int, batch_size: int, steps: int, seed: int = 0, first: int = 0, sampling: str = "epochs") -> np.ndarray:
    """Row t is mini-batch first + t."""
    numbers = jnp.arange(steps, dtype=jnp.uint32) + jnp.uint32(first)
    return np.asarray(_stream(n, batch_size, sampling, jnp.uint32(seed), numbers))


@partial(jax.jit, static_argnums=(0, 1, 2))
def _stream(n: int, batch_size: int, kind: str, seed, steps):
    draw = partial(sampling.minibatch, n=n, batch_size=batch_size, sampling=kind)
    return jax.vmap(draw, (None, 0))(seed, steps)


def mix(value: int) -> int:
    value = ((value ^ (value >> 16)) * 0x7FEB352D) % 2**32
    value = ((value ^ (value >> 15)) * 0x846CA68B) % 2**32
    return value ^ (value >> 16)


def permute(seed: int, epoch: int, index: int, n: int) -> int:
    """The permutation in Python's unlimited integers."""
    if n == 1:
        return 0
    bits = (n - 1).bit_length()
    low_bits, key = bits // 2, mix(mix(seed) ^ epoch)
    while True:
        high, low = index >> low_bits, index % 2**low_bits
        for number in range(1, (16 if bits <= 6 else 8) + 1):
            salt = number * 0x9E3779B9 % 2**32
            if number % 2:
                high ^= mix(low ^ key ^ salt) % 2 ** (bits - low_bits)
            else:
                low ^= mix(high ^ key ^ salt) % 2**low_bits
        index = high << low_bits | low
        if index < n:
            return index


@pytest.mark.parametrize("bits", range(1, 10))
def test_every_n_up_to_300_is_permuted(bits: int) -> None:
    """All n that need this many bits in one program; `permute` differs in that its n is static."""
    size = 2**bits
    walk = jax.jit(jax.vmap(partial(sampling._walk, bits=bits), (0, 0, 0)))
    ns = np.arange(size // 2 + 1, min(size, 300) + 1)
    index = np.arange(size) % ns[:, None]
    for key in (0, 12345, 2**32 - 1):
        keys = jnp.full(index.shape, key, jnp.uint32)
        image = np.asarray(walk(keys, jnp.asarray(index, jnp.uint32), jnp.asarray(ns, jnp.uint32)))
        for n, row in zip(ns, image, strict=True):
            np.testing.assert_array_equal(np.sort(row[:n]), np.arange(n), err_msg=f"n = {n}")


@pytest.mark.parametrize("n", [1, 2, 3, 64, 65, 300])
def test_permute_equals_the_definition(n: int) -> None:
    ours = permutations(n, 3, seed=4_000_000_000)
    np.testing.assert_array_equal(np.sort(ours, axis=1), np.tile(np.arange(n), (3, 1)))
    expected = [[permute(4_000_000_000, epoch, index, n) for index in range(n)] for epoch in range(3)]
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("n", [1, 65, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 3, 64, 300, 1438))])
def test_what_is_mapped_ahead_is_where_it_would_have_been(n: int) -> None:
    np.testing.assert_array_equal(permutations(n, 5, 7, ahead=True), permutations(n, 5, 7))


@pytest.mark.parametrize("n", [65, 100, 127, 33_000, 54_000, LARGEST // 2 + 1])
def test_hardly_an_image_is_outside_after_enough_turns(n: int) -> None:
    bits = (n - 1).bit_length()
    outside = (2**bits - n) / 2**bits
    assert 2**20 * outside ** sampling._enough(n, bits) <= 0.01
    assert 2**20 * outside ** (sampling._enough(n, bits) - 1) > 0.01
    assert sampling._enough(2**bits, bits) == 0


@settings(max_examples=8, deadline=None, derandomize=True)
@given(n=st.integers(301, LARGEST), seed=st.integers(0, 2**32 - 1), epoch=st.integers(0, 2**32 - 1))
@example(n=LARGEST, seed=0, epoch=0)
@example(n=LARGEST - 1, seed=1, epoch=2)
@example(n=LARGEST // 2 + 1, seed=2**32 - 1, epoch=2**32 - 1)  # cycles are walked longest just above a power of two
@example(n=60_000, seed=0, epoch=0)
def test_large_n_maps_indices_one_to_one(n: int, seed: int, epoch: int) -> None:
    some = np.random.default_rng(n).integers(0, n, 500)
    index = np.unique(np.concatenate([some, [0, 1, n - 2, n - 1]]))
    padded = np.resize(index, 504)  # one shape
    image = sampling.permute(jnp.uint32(seed), jnp.full(504, epoch, jnp.uint32), jnp.asarray(padded, jnp.uint32), n)
    image = np.asarray(image)[: len(index)]
    assert image.min() >= 0
    assert image.max() < n
    assert len(np.unique(image)) == len(index)
    assert image[:20].tolist() == [permute(seed, epoch, i, n) for i in index[:20].tolist()]


def test_a_large_n_is_permuted_exactly() -> None:
    n = 60_000
    np.testing.assert_array_equal(np.sort(permutations(n, 2), axis=1), np.tile(np.arange(n), (2, 1)))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = np.concatenate([permutations(32, 30, seed) for seed in (0, 1, 2**31, 2**32 - 1)])
    assert len({tuple(order) for order in orders}) == len(orders)
    np.testing.assert_array_equal(permutations(32, 30), orders[:30])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data(), n=st.integers(1, LARGEST), step=st.integers(0, 2**32 - 1))
def test_position_equals_unlimited_integers(data: st.DataObject, n: int, step: int) -> None:
    batch_size = data.draw(st.integers(1, n) | st.integers(1, min(n, 300)))
    epoch, start = sampling.position(jnp.uint32(step), n, batch_size)
    quotient, remainder = divmod(step * batch_size, n)
    assert (int(epoch), int(start)) == (quotient % 2**32, remainder)


@pytest.mark.parametrize(
    ("n", "batch_size"),
    [(1, 1), (LARGEST, LARGEST), (LARGEST, LARGEST - 1), (LARGEST - 1, LARGEST - 2), (55_000, 32_768)],
)
def test_position_at_the_largest_steps(n: int, batch_size: int) -> None:
    for step in (0, 1, LARGEST - 1, LARGEST, 2**32 - 2, 2**32 - 1):
        epoch, start = sampling.position(jnp.uint32(step), n, batch_size)
        assert (int(epoch), int(start)) == (step * batch_size // n % 2**32, step * batch_size % n)


@settings(max_examples=5, deadline=None, derandomize=True)
@given(n=st.integers(2, 40), share=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
@example(n=10, share=0.3, seed=0)
@example(n=1, share=1, seed=0)
def test_every_epoch_holds_every_example_once(n: int, share: float, seed: int) -> None:
    batch_size = max(1, round(share * n))
    epochs = 4
    steps = -(-epochs * n // batch_size)
    indices = stream(n, batch_size, steps, seed).ravel()[: epochs * n].reshape(epochs, n)
    np.testing.assert_array_equal(np.sort(indices, axis=1), np.tile(np.arange(n), (epochs, 1)))
    expected = [[permute(seed, epoch, place, n) for place in range(n)] for epoch in range(epochs)]
    np.testing.assert_array_equal(indices, expected)


def test_the_stream_does_not_depend_on_the_batch_size() -> None:
    n = 21
    whole = stream(n, n, 4).ravel()
    for batch_size in (1, 4, 20):
        ours = stream(n, batch_size, 4 * n // batch_size).ravel()
        np.testing.assert_array_equal(ours, whole[: len(ours)])


def test_mini_batches_are_a_function_of_seed_and_step() -> None:
    np.testing.assert_array_equal(stream(50, 8, 10, seed=3)[4:], stream(50, 8, 10, seed=3, first=4)[:6])
    assert np.any(stream(50, 8, 10, seed=3) != stream(50, 8, 10, seed=4))


def test_late_steps_of_the_largest_data_set_are_in_range() -> None:
    """Near the ends of 32 bits nothing wraps around."""
    first, n, batch_size = 2**32 - 3, LARGEST, 5
    indices = stream(n, batch_size, 3, seed=1, first=first)
    places = [divmod(step * batch_size + k, n) for step in range(first, first + 3) for k in range(batch_size)]
    assert indices.ravel().tolist() == [permute(1, epoch % 2**32, place, n) for epoch, place in places]


@pytest.mark.parametrize(("n", "epochs"), [(2, 2000), (5, 4000), (7, 4000), (10, 4000), (37, 8000), (100, 20_000)])
def test_places_and_neighbours_are_uniform(n: int, epochs: int) -> None:
    orders = permutations(n, epochs, seed=1)
    for place in (0, 1, n // 2, n - 1):
        assert scipy.stats.chisquare(np.bincount(orders[:, place], minlength=n)).pvalue > FAIR, place
    if n > 2:
        for place in (0, n // 2, n - 2):
            apart = (orders[:, place + 1] - orders[:, place]) % n
            assert scipy.stats.chisquare(np.bincount(apart, minlength=n)[1:]).pvalue > FAIR, place
    following = n * orders[:-1:2, 0] + orders[1::2, 0]  # the same place in epoch 2e and in epoch 2e + 1
    if n <= 10:
        assert scipy.stats.chisquare(np.bincount(following, minlength=n * n)).pvalue > FAIR


def test_the_first_index_is_uniform_over_seeds() -> None:
    n, seeds = 10, 4000
    first = jax.jit(jax.vmap(lambda seed: sampling.permute(seed, jnp.uint32(0), jnp.uint32(0), n)))
    counts = np.bincount(np.asarray(first(jnp.arange(seeds, dtype=jnp.uint32))), minlength=n)
    assert scipy.stats.chisquare(counts).pvalue > FAIR


@pytest.mark.parametrize("n", [3, 4, 5])
def test_every_order_is_equally_likely(n: int) -> None:
    counts = Counter(map(tuple, permutations(n, 60 * math.factorial(n), seed=2)))
    assert len(counts) == math.factorial(n)
    assert scipy.stats.chisquare(list(counts.values())).pvalue > FAIR


def test_replacement_is_uniform_and_independent() -> None:
    n, batch_size, steps = 10, 8, 2500
    indices = stream(n, batch_size, steps, sampling="replacement")
    assert (indices.min(), indices.max()) == (0, n - 1)
    assert scipy.stats.chisquare(np.bincount(indices.ravel(), minlength=n)).pvalue > FAIR
    for first, second in ((indices[:, 0], indices[:, 1]), (indices[:-1:2, -1], indices[1::2, 0])):
        assert scipy.stats.chisquare(np.bincount(n * first + second, minlength=n * n)).pvalue > FAIR
    distinct = np.array([len(set(row)) for row in indices.tolist()])
    expected = n * (1 - (1 - 1 / n) ** batch_size)  # an index may come again
    assert abs(distinct.mean() - expected) < 4 * distinct.std() / steps**0.5


def test_replacement_is_a_function_of_seed_and_step() -> None:
    ours = stream(1000, 8, 10, seed=3, sampling="replacement")
    np.testing.assert_array_equal(ours[4:], stream(1000, 8, 10, seed=3, first=4, sampling="replacement")[:6])
    for other in (stream(1000, 8, 10, seed=4, sampling="replacement"), stream(1000, 8, 10, seed=3)):
        assert np.mean(ours == other) < 0.1
    assert all(np.any(row != following) for row, following in pairwise(ours))


@pytest.mark.parametrize("n", [LARGEST, LARGEST - 1])
def test_replacement_reaches_all_of_the_largest_data_set(n: int) -> None:
    indices = stream(n, 64, 50, sampling="replacement").ravel()
    assert indices.min() >= 0
    assert scipy.stats.kstest(indices / n, "uniform").pvalue > FAIR


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n": 0}, r"0 training examples are not allowed; give 1 to 2\*\*31"),
        ({"n": LARGEST + 1}, r"2147483649 training examples are not allowed"),
        (
            {"batch_size": 0},
            r"batch size 0 is not allowed; give a whole number from 1 to 10 \(all that train\) or full",
        ),
        ({"batch_size": -1}, r"batch size -1 is not allowed"),
        ({"batch_size": 11}, r"batch size 11 is not allowed"),
        ({"batch_size": True}, r"batch size True is not allowed"),
        ({"sampling": "shuffle"}, r"unknown sampling 'shuffle'; choose one of epochs, replacement"),
    ],
)
def test_errors_say_what_is_allowed(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sampling.minibatch(jnp.uint32(0), jnp.uint32(0), **({"n": 10, "batch_size": 2} | given))


def test_other_seeds_and_steps_compile_nothing() -> None:
    traces = 0

    @jax.jit
    def draw(seed, step):
        nonlocal traces
        traces += 1
        return sampling.minibatch(seed, step, n=10, batch_size=3)

    seen = {
        tuple(np.asarray(draw(jnp.uint32(seed), jnp.uint32(step))).tolist()) for seed in range(3) for step in range(4)
    }
    assert traces == 1
    assert len(seen) > 10
