"""Random numbers from counters: every number is a function of the seed and of its place.

So numbers can be drawn in any order and on any thread, and a training that resumes goes on with the
same ones. Philox4x32-10 turns a key and a counter into four random words. The key is the seed, the
counter (block, index low, index high, stream):

=================  ==================  ============
stream             index               drawn
=================  ==================  ============
position of a      0                   its initial values
parameter
0x40000000         number of an epoch  the order of its rows
0x40000001         number of an epoch  the order of its blocks of rows
0x80000000 +       number of a batch   its dropout mask
position of an op
=================  ==================  ============

A structured dropout has one mask for all rows of a batch: that of row 0.

Initial values have the same bits on every machine: on the way to them are integers, + - * /, square
roots, powers of two and sums in a fixed order. (NumPy's log, and its sums of many elements, depend
on the processor.)

References
----------
Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", section 5.3.
Wichura 1988, "Algorithm AS 241: the percentage points of the normal distribution".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from fastbp.calls import drawn
from fastbp.initializers import Initializer, VarianceScaling
from fastbp.plan import Plan
from fastbp.tensors import Shape

if TYPE_CHECKING:
    import numpy.typing as npt

Array: TypeAlias = "npt.NDArray[Any]"

ROW_ORDER_STREAM = 0x40000000
BLOCK_ORDER_STREAM = 0x40000001
DROPOUT_STREAM = 0x80000000

# What gives a parameter its initializer, by its role; of a custom layer it is `parameters`.
ARGUMENTS = {"weights": "weights_initializer", "biases": "bias_initializer"}

# Numbers are made in pieces that stay in the cache; the size has no influence on them.
CHUNK = 1 << 14

# The probability that a standard normal lies in [-2, 2], and the standard deviation of one that
# does: sqrt(1 - 4 phi(2) / NORMAL_WITHIN_2), phi the density.
NORMAL_WITHIN_2 = 0.95449973610364158560
STDDEV_WITHIN_2 = 0.87962566103423975041


def philox(seed: int, stream: int, index: int, blocks: Array) -> npt.NDArray[np.uint32]:
    """Return the four random words of each block.

    Parameters
    ----------
    seed : int
        The key, in [0, 2**64).
    stream : int
        What the words are for, in [0, 2**32).
    index : int
        Which drawing of the stream, in [0, 2**64).
    blocks : ndarray of int, shape (n,)
        Numbers of the blocks, each in [0, 2**32).

    Returns
    -------
    ndarray of uint32, shape (n, 4)
        The words.
    """
    low_half = 0xFFFFFFFF
    key_0, key_1 = seed & low_half, seed >> 32
    c_0: Array = blocks.astype(np.uint64)
    c_1, c_2, c_3 = (np.full_like(c_0, c) for c in (index & low_half, index >> 32, stream))
    for _ in range(10):
        product_0, product_1 = c_0 * 0xD2511F53, c_2 * 0xCD9E8D57
        c_0, c_1 = (product_1 >> 32) ^ c_1 ^ key_0, product_1 & low_half
        c_2, c_3 = (product_0 >> 32) ^ c_3 ^ key_1, product_0 & low_half
        key_0, key_1 = (key_0 + 0x9E3779B9) & low_half, (key_1 + 0xBB67AE85) & low_half
    return np.stack((c_0, c_1, c_2, c_3), axis=-1).astype(np.uint32)


def _words(
    seed: int, stream: int, index: int, count: int, first: int = 0
) -> npt.NDArray[np.uint32]:
    """Return `count` words of a stream, from word number `first` on."""
    start, stop = first // 4, -(-(first + count) // 4)
    words = np.empty((stop - start, 4), np.uint32)
    for at in range(start, stop, CHUNK):
        blocks = np.arange(at, min(at + CHUNK, stop))
        words[at - start : at - start + CHUNK] = philox(seed, stream, index, blocks)
    return words.reshape(-1)[first - 4 * start :][:count]


def _long_words(
    seed: int, stream: int, index: int, count: int, first: int = 0
) -> npt.NDArray[np.uint64]:
    """Return 64-bit words of a stream, from number `first` on: pairs of words, low half first."""
    words: Array = _words(seed, stream, index, 2 * count, 2 * first).astype(np.uint64)
    return words[0::2] | words[1::2] << 32


def uniform(seed: int, stream: int, count: int, dtype: npt.DTypeLike) -> Array:
    """Return the first `count` numbers of a stream of uniforms in [0, 1).

    They are multiples of 2**-24 in float32 and of 2**-53 in float64.
    """
    if np.dtype(dtype) == np.float32:
        return (_words(seed, stream, 0, count) >> 8).astype(np.float32) * np.float32(2**-24)
    return (_long_words(seed, stream, 0, count) >> 11).astype(np.float64) * 2**-53


def normal(seed: int, stream: int, count: int, dtype: npt.DTypeLike) -> Array:
    """Return the first `count` numbers of a stream of standard normals."""
    return _quantiles(seed, stream, count, dtype, 1.0)


def _quantiles(seed: int, stream: int, count: int, dtype: npt.DTypeLike, share: float) -> Array:
    """Return standard normals of the middle of the distribution, which has so much of it."""
    uniforms = uniform(seed, stream, count, dtype)
    # From the middle of the interval that a uniform stands for, so that none gives infinity.
    half_step = 2**-25 if uniforms.dtype == np.float32 else 2**-54
    normals = np.empty_like(uniforms)
    for start in range(0, count, CHUNK):
        piece = slice(start, start + CHUNK)
        centred = uniforms[piece].astype(np.float64) - 0.5 + half_step
        normals[piece] = _normal_quantile(share * centred)
    return normals


def truncated_normal(seed: int, stream: int, count: int, dtype: npt.DTypeLike) -> Array:
    """Return the first `count` numbers of a stream of standard normals in [-2, 2]."""
    return _quantiles(seed, stream, count, dtype, NORMAL_WITHIN_2)


def row_order(seed: int, epoch: int, n: int, first: int = 0) -> npt.NDArray[np.intp]:
    """Return the order in which epoch number `epoch` takes `n` rows.

    Each place of an epoch has a word of its own; rows are sorted by theirs. Rows that come in
    chunks are sorted chunk by chunk: `first` rows of the epoch came before these.
    """
    return np.argsort(_long_words(seed, ROW_ORDER_STREAM, epoch, n, first), kind="stable")


def block_order(seed: int, epoch: int, n: int) -> npt.NDArray[np.intp]:
    """Return the order in which epoch number `epoch` takes `n` blocks of rows."""
    return np.argsort(_long_words(seed, BLOCK_ORDER_STREAM, epoch, n), kind="stable")


def keep_mask(
    seed: int, op: int, batch: int, shape: tuple[int, int], rate: float
) -> npt.NDArray[np.bool_]:
    """Return which elements of a batch a dropout keeps.

    Parameters
    ----------
    seed : int
        The network's seed.
    op : int
        Position of the dropout in the plan's ops.
    batch : int
        Number of the batch since the last reset.
    shape : (int, int)
        Rows of the batch and units of a row. A row's mask does not depend on the number of rows; a
        structured dropout takes one row for all.
    rate : float
        Probability with which an element is dropped.
    """
    rows, units = shape
    width = -(-units // 4) * 4
    words = _words(seed, DROPOUT_STREAM + op, batch, rows * width).reshape(rows, width)
    return words[:, :units] >= math.floor(rate * 2**32)


def initial_values(plan: Plan, parameter: int, seed: int) -> Array:
    """Return what a parameter starts from.

    Parameters
    ----------
    plan : Plan
        The plan.
    parameter : int
        Position of the parameter in ``plan.parameters``.
    seed : int
        The network's seed.

    Returns
    -------
    ndarray
        Values in the shape of the parameter and the plan's dtype.

    Raises
    ------
    ValueError
        If a value is not finite in that dtype.
    """
    described = plan.parameters[parameter]
    values = draw(described.initializer, described.shape, seed, parameter, plan.dtype)
    if not np.isfinite(values).all():
        argument = ARGUMENTS.get(described.role, f"parameters[{described.role!r}]")
        raise ValueError(
            f"{argument}: expected values that are finite in {plan.dtype} for {described.name}, "
            f"got {described.initializer!r}"
        )
    return values


def draw(
    initializer: Initializer, shape: Shape, seed: int, stream: int, dtype: npt.DTypeLike
) -> Array:
    """Return an array of `shape` and `dtype` as `initializer` describes it.

    The arithmetic is float64; a float32 array starts from float32 uniforms and is rounded once, at
    the end.
    """
    source = _Source(shape, seed, stream, np.dtype(dtype))
    # An overflow leaves an infinity, for the caller to refuse.
    with np.errstate(over="ignore", invalid="ignore"):
        return _DRAWS[initializer.name](initializer, source).astype(dtype)


class _Source(NamedTuple):
    """Where an initializer gets its numbers from: float64, in the shape of the parameter."""

    shape: Shape
    seed: int
    stream: int
    dtype: np.dtype[Any]

    @property
    def fan_in(self) -> int:
        return self.shape[0]

    @property
    def fan_out(self) -> int:
        return self.shape[-1]

    @property
    def mean_fan(self) -> float:
        return (self.shape[0] + self.shape[-1]) / 2

    def uniform(self, low: float, high: float) -> Array:
        """Numbers in [low, high), also after they are rounded to the dtype."""
        u = uniform(self.seed, self.stream, math.prod(self.shape), self.dtype).astype(np.float64)
        below_high = np.nextafter(self.dtype.type(high), self.dtype.type(low)).astype(np.float64)
        return np.minimum(low * (1 - u) + high * u, below_high).reshape(self.shape)

    def normal(self, mean: float, stddev: float) -> Array:
        z = normal(self.seed, self.stream, math.prod(self.shape), self.dtype).astype(np.float64)
        return (mean + stddev * z).reshape(self.shape)

    def truncated_normal(self, mean: float, stddev: float) -> Array:
        """As `normal`; `stddev` is that before the tails are cut off at twice of it."""
        count = math.prod(self.shape)
        z = truncated_normal(self.seed, self.stream, count, self.dtype).astype(np.float64)
        return (mean + stddev * z).reshape(self.shape)

    def centred_uniform(self, variance: float) -> Array:
        """U[-r, r) has the variance r^2 / 3."""
        r = math.sqrt(3 * variance)
        return self.uniform(-r, r)

    def scaled(self, i: VarianceScaling) -> Array:
        fan = {"fan_in": self.fan_in, "fan_out": self.fan_out, "fan_avg": self.mean_fan}[i.mode]
        variance = i.scale / fan
        if i.distribution == "uniform":
            return self.centred_uniform(variance)
        if i.distribution == "normal":
            return self.normal(0, math.sqrt(variance))
        return self.truncated_normal(0, math.sqrt(variance) / STDDEV_WITHIN_2)


# A new initializer is a line here.
_DRAWS: dict[str, Callable[[Any, _Source], Array]] = {
    "zeros": lambda i, source: np.zeros(source.shape),
    "constant": lambda i, source: np.full(source.shape, float(i.value)),
    "uniform": lambda i, source: source.uniform(i.low, i.high),
    "normal": lambda i, source: source.normal(i.mean, i.stddev),
    "truncated_normal": lambda i, source: source.truncated_normal(i.mean, i.stddev),
    "variance_scaling": lambda i, source: source.scaled(i),
    "lecun_uniform": lambda i, source: source.centred_uniform(1 / source.fan_in),
    "lecun_normal": lambda i, source: source.normal(0, math.sqrt(1 / source.fan_in)),
    "glorot_uniform": lambda i, source: source.centred_uniform(1 / source.mean_fan),
    "glorot_normal": lambda i, source: source.normal(0, math.sqrt(1 / source.mean_fan)),
    "he_uniform": lambda i, source: source.centred_uniform(2 / source.fan_in),
    "he_normal": lambda i, source: source.normal(0, math.sqrt(2 / source.fan_in)),
    "orthogonal": lambda i, source: i.gain * _orthonormal(source.normal(0, 1)),
    "values": lambda i, source: i.values,
    "custom": lambda i, source: drawn(i, source.shape, source.seed, source.stream),
}


def _orthonormal(matrix: Array) -> Array:
    """Return a matrix whose rows or columns, whichever are fewer, are orthonormal.

    The modified Gram-Schmidt process on those of `matrix`. A vector counts as one row.
    """
    result = np.array(matrix, ndmin=2)
    vectors = result if result.shape[0] <= result.shape[1] else result.T
    for i, vector in enumerate(vectors):
        vector /= np.sqrt(_tree_sum(vector * vector))
        rest = vectors[i + 1 :]
        rest -= _tree_sum(rest * vector)[:, None] * vector
    return result.reshape(matrix.shape)


def _tree_sum(terms: Array) -> Array:
    """Return the sums over the last axis, its second half added to its first until one is left.

    `terms` is overwritten.
    """
    n = terms.shape[-1]
    while n > 1:
        half = (n + 1) // 2
        terms[..., : n - half] += terms[..., half:n]
        n = half
    return terms[..., 0]


def _log(x: Array) -> Array:
    """Return the natural logarithm of positive numbers, within two units of the last place.

    log(m 2^e) = e log 2 + 2 artanh(s), s = (m - 1) / (m + 1), m in [sqrt(1/2), sqrt(2)); the series
    of artanh, s (1 + s^2/3 + s^4/5 + ...), is cut where its terms are below 2^-60.
    """
    m, e = np.frexp(x)
    small = m < math.sqrt(0.5)
    m, e = np.where(small, 2 * m, m), e - small
    s = (m - 1) / (m + 1)
    series = _polynomial([1 / k for k in range(1, 23, 2)], s * s)
    return e * 0.693147180559945309417232 + 2 * s * series


def _polynomial(coefficients: Sequence[float], x: Array) -> Array:
    """Return c_0 + c_1 x + c_2 x^2 + ... by Horner's rule."""
    result = np.full_like(x, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        result = result * x + c
    return result


# Numerator and denominator of each range of AS 241, PPND16, constant terms first.
_CENTRE = (
    (
        3.3871328727963666080e0,
        1.3314166789178437745e2,
        1.9715909503065514427e3,
        1.3731693765509461125e4,
        4.5921953931549871457e4,
        6.7265770927008700853e4,
        3.3430575583588128105e4,
        2.5090809287301226727e3,
    ),
    (
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    ),
)
_TAIL = (
    (
        1.42343711074968357734e0,
        4.63033784615654529590e0,
        5.76949722146069140550e0,
        3.64784832476320460504e0,
        1.27045825245236838258e0,
        2.41780725177450611770e-1,
        2.27238449892691845833e-2,
        7.74545014278341407640e-4,
    ),
    (
        1.0,
        2.05319162663775882187e0,
        1.67638483018380384940e0,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ),
)
_FAR_TAIL = (
    (
        6.65790464350110377720e0,
        5.46378491116411436990e0,
        1.78482653991729133580e0,
        2.96560571828504891230e-1,
        2.65321895265761230930e-2,
        1.24266094738807843860e-3,
        2.71155556874348757815e-5,
        2.01033439929228813265e-7,
    ),
    (
        1.0,
        5.99832206555887937690e-1,
        1.36929880922735805310e-1,
        1.48753612908506148525e-2,
        7.86869131145613259100e-4,
        1.84631831751005468180e-5,
        1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    ),
)


def _normal_quantile(q: Array) -> Array:
    """Return the standard normal quantile of the probabilities 1/2 + q, by AS 241."""

    def ratio(of: tuple[Sequence[float], Sequence[float]], r: Array) -> Array:
        return _polynomial(of[0], r) / _polynomial(of[1], r)

    quantile = q * ratio(_CENTRE, 0.425**2 - q * q)
    outside = np.abs(q) > 0.425
    r = np.sqrt(-_log(0.5 - np.abs(q[outside])))
    tail = np.where(r <= 5, ratio(_TAIL, r - 1.6), ratio(_FAR_TAIL, r - 5))
    quantile[outside] = np.copysign(tail, q[outside])
    return quantile
