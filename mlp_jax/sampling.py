"""Which examples make mini-batch t: a pure function of (seed, step), so there is nothing to store or to shuffle.

Invariant: under `epochs`, the stream of indices is permutation 0, permutation 1, … of 0…n−1, one after the other, and
mini-batch t holds positions t·B … t·B+B−1 of it. Where B does not divide n, a mini-batch runs on across the end of
an epoch: every example is seen exactly once an epoch and none is dropped. `replacement` draws each index on its own,
as in the slides' "randomly pick j".
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Integer, UInt32

from mlp_jax.checks import choose

SAMPLINGS = ("epochs", "replacement")
LARGEST = 2**31
AT_ONCE = 2**20  # images that are looked for together: 32 steps of 256 trials at batch size 128
Count = int | Int[Array, ""]


def minibatch(
    seed: UInt32[Array, ""],
    step: Integer[Array, ""],
    *,
    n: int,
    batch_size: int,
    sampling: str = "epochs",
    ahead: bool = False,
) -> Int[Array, " batch_size"]:
    """Return the indices, in 0…n−1, of mini-batch number `step`.

    Epochs are numbered modulo 2³²; `step` must be below 2³². `ahead` is explained in `permute`.

    Raises:
        ValueError: n is not in 1…2³¹, batch_size not in 1…n, or sampling not in SAMPLINGS.
    """
    choose("sampling", sampling, SAMPLINGS)
    check_size(batch_size, n)
    if sampling == "replacement":
        seed, step = jnp.asarray(seed, jnp.uint32), jnp.asarray(step, jnp.uint32)
        key = jax.random.fold_in(jax.random.key(_mix(seed)), step)  # not a key that the weights are drawn from
        return jax.random.randint(key, (batch_size,), 0, n, jnp.int32) if n < LARGEST else _any_31_bits(key, batch_size)
    return of_epochs(seed, step, n, n, batch_size, ahead=ahead)


def of_epochs(
    seed: UInt32[Array, ""],
    step: Integer[Array, ""],
    n: Count,
    most: int,
    batch_size: int,
    shuffled: bool = True,
    ahead: bool = False,
) -> Int[Array, " batch_size"]:
    """Return what `minibatch` returns under `epochs`, for an `n` that may be traced, from `batch_size` to `most`.

    The indices are the same if n − 1 and `most` − 1 have equally many binary digits. Without `shuffled`, the rows come
    in their own order.
    """
    seed, step = jnp.asarray(seed, jnp.uint32), jnp.asarray(step, jnp.uint32)
    epoch, start = position(step, n, batch_size)
    offset = start + jnp.arange(batch_size, dtype=jnp.uint32)
    wraps = offset >= jnp.uint32(n)
    index = jnp.where(wraps, offset - jnp.uint32(n), offset)
    return permute(seed, epoch + wraps, index, n, ahead, most) if shuffled else index.astype(jnp.int32)


def check_size(batch_size: int, n: int) -> None:
    """Raise a ValueError unless 1 ≤ batch_size ≤ n ≤ 2³¹."""
    if not 1 <= n <= LARGEST:
        raise ValueError(f"{n} training examples are not allowed; give 1 to 2**31")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or not 1 <= batch_size <= n:
        raise ValueError(
            f"batch size {batch_size!r} is not allowed; give a whole number from 1 to {n} (all that train) or full"
        )


def position(step: UInt32[Array, ""], n: Count, batch_size: int) -> tuple[UInt32[Array, ""], UInt32[Array, ""]]:
    """Return (step · batch_size) divided by n, and the remainder, without ever leaving 32 bits.

    step = a·n + r gives a·batch_size whole epochs; r·batch_size is built bit by bit, reduced modulo n as it grows.
    """
    n_ = jnp.uint32(n)
    whole, r = step // n_, step % n_
    quotient, remainder = jnp.uint32(0), jnp.uint32(0)
    for bit in bin(batch_size)[2:]:
        quotient, remainder = _carry(2 * quotient, 2 * remainder, n_)
        if bit == "1":
            quotient, remainder = _carry(quotient, remainder + r, n_)
    return whole * jnp.uint32(batch_size) + quotient, remainder


def permute(
    seed: UInt32[Array, ""],
    epoch: UInt32[Array, "*k"],
    index: UInt32[Array, "*k"],
    n: Count,
    ahead: bool = False,
    most: int | None = None,
) -> Int[Array, "*k"]:
    """Map `index` in 0…n−1 to its image under the permutation that (seed, epoch) selects.

    A Feistel network permutes 0…2^bits−1, the smallest such range that holds n (`most`, where n is traced), by
    alternately mixing each half into the other; an image outside 0…n−1 is mapped again until it is inside (cycle
    walking; less than twice on average), which leaves a permutation of 0…n−1. Luby & Rackoff 1988; Black &
    Rogaway 2002.

    With `ahead`, a loop of known length first maps each image as often as nearly all of them need: in a loop of unknown
    length, the host of a GPU waits at every turn.
    """
    most = int(n) if most is None else most
    if most == 1:
        return jnp.zeros(jnp.shape(index), jnp.int32)
    keys = _mix(_mix(jnp.asarray(seed, jnp.uint32)) ^ jnp.asarray(epoch, jnp.uint32))
    bits = (most - 1).bit_length()
    turns = _enough(most, bits) if ahead else 0
    return _walk(keys, jnp.asarray(index, jnp.uint32), jnp.uint32(n), bits, turns).astype(jnp.int32)


def _enough(n: int, bits: int) -> int:
    """Return after how many turns all of AT_ONCE images lie inside 0…n−1, in about 99 of 100 cases."""
    outside = 1 - n / 2**bits
    return math.ceil(math.log(100 * AT_ONCE) / -math.log(outside)) if outside > 0 else 0


def _carry(quotient, remainder, n):
    """Restore remainder < n, given remainder < 2n ≤ 2³²."""
    over = remainder >= n
    return quotient + over, jnp.where(over, remainder - n, remainder)


def _walk(
    keys: UInt32[Array, "*k"], value: UInt32[Array, "*k"], n: UInt32[Array, ""], bits: int, turns: int = 0
) -> UInt32[Array, "*k"]:
    """Apply the Feistel network to each value until it is below n (may be traced); `turns` turns are not checked."""
    again = lambda value: jnp.where(value >= n, _feistel(keys, value, bits), value)
    value = _feistel(keys, value, bits)
    value = jax.lax.fori_loop(0, turns, lambda _, value: again(value), value) if turns else value
    return jax.lax.while_loop(lambda value: jnp.any(value >= n), again, value)


def _feistel(keys: UInt32[Array, "*k"], value: UInt32[Array, "*k"], bits: int) -> UInt32[Array, "*k"]:
    low_bits = bits // 2
    high_mask, low_mask = jnp.uint32((1 << (bits - low_bits)) - 1), jnp.uint32((1 << low_bits) - 1)
    high, low = value >> low_bits, value & low_mask
    for round_ in range(8 if bits > 6 else 16):  # short halves mix less per round; the statistical tests need so many
        salt = jnp.uint32(0x9E3779B9 * (round_ + 1) % 2**32)
        if round_ % 2:
            low ^= _mix(high ^ keys ^ salt) & low_mask
        else:
            high ^= _mix(low ^ keys ^ salt) & high_mask
    return (high << low_bits) | low


def _mix(value: UInt32[Array, "*k"]) -> UInt32[Array, "*k"]:
    """A bijective hash of 32 bits: lowbias32 (Wellons 2018)."""
    value = (value ^ (value >> 16)) * jnp.uint32(0x7FEB352D)
    value = (value ^ (value >> 15)) * jnp.uint32(0x846CA68B)
    return value ^ (value >> 16)


def _any_31_bits(key, batch_size: int) -> Int[Array, " batch_size"]:
    """`randint` can't take the bound 2³¹ in int32."""
    return (jax.random.bits(key, (batch_size,), jnp.uint32) >> 1).astype(jnp.int32)
