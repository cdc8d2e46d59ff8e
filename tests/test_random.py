"""Random draws: known answers, frozen streams, distributions, independence of chunks."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

import fastbp
from fastbp import initializers, random, reference
from fastbp.layers import Dense
from fastbp.lowering import lower

LARGEST = 2**32 - 1


def words(seed: int, stream: int, index: int, block: int) -> list[int]:
    return random.philox(seed, stream, index, np.array([block])).tolist()[0]


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((LARGEST,) * 4, (LARGEST,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),  # the digits of pi
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
    ids=["zeros", "ones", "pi"],
)
def test_philox_gives_the_published_answers(
    counter: tuple[int, ...], key: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    """The vectors of Random123, the authors' own library."""
    block, index_low, index_high, stream = counter
    got = words(key[0] | key[1] << 32, stream, index_low | index_high << 32, block)
    assert got == list(expected)


@pytest.mark.parametrize(
    ("stream", "index", "expected"),
    [
        (0, 0, [0x389D999A, 0x609CF517, 0x0570BB00, 0x99B16EDC]),
        (3, 0, [0xCE1E95D1, 0x2CA3E3ED, 0x32847273, 0xDF1CD9BE]),
        (random.ROW_ORDER_STREAM, 7, [0x73D721F0, 0x8DAF49AA, 0xC0DA5663, 0x6EA6464C]),
        (random.DROPOUT_STREAM + 2, 2**32 + 5, [0xFE7D3455, 0x68511BCE, 0x4E071EBC, 0xA75007B6]),
    ],
    ids=["initial values", "initial values of parameter 3", "row order", "dropout"],
)
def test_streams_are_frozen(stream: int, index: int, expected: list[int]) -> None:
    assert words(0x123456789ABCDEF0, stream, index, 1) == expected


def test_draws_are_frozen() -> None:
    """Bits, not values to within rounding: saved networks and other machines count on them."""
    assert [u.hex() for u in random.uniform(1, 2, 3, "float32").tolist()] == [
        "0x1.7f21200000000p-3",
        "0x1.ad71a40000000p-2",
        "0x1.18880c0000000p-2",
    ]
    assert [u.hex() for u in random.uniform(1, 2, 3, "float64").tolist()] == [
        "0x1.ad71a4ecbf908p-2",
        "0x1.f438b82918880p-2",
        "0x1.27df5f5cb293ep-2",
    ]
    assert [z.hex() for z in random.normal(1, 2, 3, "float32").tolist()] == [
        "-0x1.c707380000000p-1",
        "-0x1.a0bb960000000p-3",
        "-0x1.33a7e60000000p-1",
    ]
    assert [z.hex() for z in random.normal(1, 2, 3, "float64").tolist()] == [
        "-0x1.a0bb9ba101b9cp-3",
        "-0x1.d873c32e49985p-6",
        "-0x1.1cec3ad44606cp-1",
    ]
    assert [z.hex() for z in random.truncated_normal(1, 2, 3, "float32").tolist()] == [
        "-0x1.ac836c0000000p-1",
        "-0x1.8d86860000000p-3",
        "-0x1.23fca60000000p-1",
    ]
    assert [z.hex() for z in random.truncated_normal(1, 2, 3, "float64").tolist()] == [
        "-0x1.8d868b69976fcp-3",
        "-0x1.c2f32f2e91095p-6",
        "-0x1.0ea4af7016b8bp-1",
    ]
    orthogonal = random.draw(initializers.Orthogonal(), (3, 2), 1, 2, "float64")
    assert [v.hex() for v in orthogonal.ravel()[:3].tolist()] == [
        "-0x1.a3f0249f7e5dcp-3",
        "-0x1.4ab30a7644369p-5",
        "-0x1.1f1d3c11f2207p-1",
    ]
    assert random.row_order(1, 2, 8).tolist() == [7, 3, 1, 5, 2, 6, 0, 4]
    assert random.keep_mask(1, 2, 3, (2, 5), 0.5).astype(int).tolist() == [
        [1, 0, 1, 0, 1],
        [0, 0, 0, 1, 1],
    ]


def test_uniforms_are_made_of_the_words_that_are_documented() -> None:
    singles, doubles = random.uniform(9, 4, 6, "float32"), random.uniform(9, 4, 3, "float64")
    w = words(9, 4, 0, 0) + words(9, 4, 0, 1)
    assert singles.tolist() == [word / 256 // 1 * 2**-24 for word in w[:6]]
    pairs = [w[2 * e] | w[2 * e + 1] << 32 for e in range(3)]
    assert doubles.tolist() == [(pair >> 11) * 2**-53 for pair in pairs]


@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_bits_do_not_depend_on_chunks_or_on_how_many_are_drawn(
    chunk: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = random.uniform(5, 1, 10_000, dtype), random.normal(5, 1, 10_000, dtype)
    monkeypatch.setattr(random, "CHUNK", chunk)
    for drawn, draw in zip(whole, (random.uniform, random.normal), strict=True):
        for count in (0, 1, 6, 7, 501):
            np.testing.assert_array_equal(draw(5, 1, count, dtype), drawn[:count], strict=True)


def test_seed_stream_and_index_each_change_the_words() -> None:
    variants = {
        tuple(words(s, t, i, b))
        for s in (0, 1, 2**32)
        for t in (0, 1)
        for i in (0, 1, 2**32)
        for b in (0, 1)
    }
    assert len(variants) == 36


def test_uniforms_are_uniform(dtype: str) -> None:
    n = 100_000
    u = random.uniform(11, 0, n, dtype).astype(np.float64)
    assert u.min() >= 0
    assert u.max() < 1
    # Kolmogorov-Smirnov: sqrt(n) D exceeds 1.95 once in a thousand.
    steps = np.arange(n + 1) / n
    u.sort()
    assert max((steps[1:] - u).max(), (u - steps[:-1]).max()) * math.sqrt(n) < 1.95


def test_normals_are_the_quantiles_of_the_uniforms(dtype: str) -> None:
    """The normal distribution function, from the mathematics library, leads back."""
    n = 20_000
    u, z = random.uniform(12, 0, n, dtype), random.normal(12, 0, n, dtype)
    back = np.array([NormalDist().cdf(float(value)) for value in z])
    # z is rounded to the dtype, and |z| density(z) is at most 0.25.
    limit = 4 * np.finfo(dtype).eps
    assert np.abs(back - u.astype(np.float64)).max() < limit


def test_the_normal_quantile_is_exact_to_rounding_down_to_the_smallest_tail() -> None:
    mpmath = pytest.importorskip("mpmath")
    q = np.array([2.0**-54 - 0.5, 1e-15 - 0.5, 1e-11 - 0.5, 1e-3 - 0.5, -0.4251, -0.3, 1e-9, 0.45])
    with mpmath.workdps(40):
        exact = [float(mpmath.sqrt(2) * mpmath.erfinv(2 * mpmath.mpf(float(value)))) for value in q]
    np.testing.assert_allclose(random._normal_quantile(q), exact, rtol=8 * 2.0**-53)


def test_the_logarithm_is_within_two_units_of_the_last_place() -> None:
    x = 2.0 ** np.linspace(-60, 60, 5001)
    exact = np.array([math.log(value) for value in x])
    assert np.all(np.abs(random._log(x) - exact) <= 2 * np.spacing(np.abs(exact)))


@pytest.mark.parametrize(
    ("initializer", "mean", "variance"),
    [
        (initializers.Uniform(-1, 3), 1, 16 / 12),
        (initializers.Normal(2, 0.5), 2, 0.25),
        (initializers.LecunUniform(), 0, 1 / 300),
        (initializers.LecunNormal(), 0, 1 / 300),
        (initializers.TruncatedNormal(2, 0.5), 2, 0.25 * 0.8796256610342398**2),
        (initializers.VarianceScaling(), 0, 1 / 300),
        (initializers.VarianceScaling(2, "fan_out"), 0, 2 / 200),
        (initializers.VarianceScaling(0.5, "fan_avg", "normal"), 0, 0.5 / 250),
        (initializers.VarianceScaling(3, distribution="uniform"), 0, 3 / 300),
        (initializers.GlorotUniform(), 0, 2 / 500),
        (initializers.GlorotNormal(), 0, 2 / 500),
        (initializers.HeUniform(), 0, 2 / 300),
        (initializers.HeNormal(), 0, 2 / 300),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_initializers_have_their_mean_and_variance(
    initializer: initializers.Initializer, mean: float, variance: float, dtype: str
) -> None:
    values = random.draw(initializer, (300, 200), 3, 1, dtype)
    assert values.dtype == dtype
    # Four standard errors; the variance of the square is 2 sigma^4 for a normal, less for others.
    error = 4 * math.sqrt(variance / values.size)
    assert abs(float(values.mean(dtype=np.float64)) - mean) < error
    spread = float(((values.astype(np.float64) - mean) ** 2).mean())
    assert abs(spread / variance - 1) < 4 * math.sqrt(2 / values.size)


def test_truncated_normals_are_the_quantiles_of_the_uniforms(dtype: str) -> None:
    """The distribution function of what lies within two standard deviations leads back."""
    n = 20_000
    u, z = random.uniform(12, 0, n, dtype), random.truncated_normal(12, 0, n, dtype)
    assert 1.99 < np.abs(z).max() <= 2
    phi = NormalDist().cdf
    back = np.array([(phi(float(value)) - phi(-2)) / (phi(2) - phi(-2)) for value in z])
    assert np.abs(back - u.astype(np.float64)).max() < 4 * np.finfo(dtype).eps


def test_truncated_values_keep_within_two_standard_deviations(dtype: str) -> None:
    values = random.draw(initializers.TruncatedNormal(-1, 0.1), (300, 200), 5, 0, dtype)
    assert np.abs(values + 1).max() <= np.dtype(dtype).type(0.2) * (1 + 2 * np.finfo(dtype).eps)
    scaled = random.draw(initializers.VarianceScaling(4), (300, 200), 5, 0, dtype)
    assert np.abs(scaled).max() <= 2 * math.sqrt(4 / 300) / 0.8796


def test_variance_scaling_gives_what_has_a_name_of_its_own(dtype: str) -> None:
    for given, named in (
        ((1, "fan_in", "uniform"), initializers.LecunUniform()),
        ((1, "fan_in", "normal"), initializers.LecunNormal()),
        ((1, "fan_avg", "uniform"), initializers.GlorotUniform()),
        ((1, "fan_avg", "normal"), initializers.GlorotNormal()),
        ((2, "fan_in", "uniform"), initializers.HeUniform()),
        ((2, "fan_in", "normal"), initializers.HeNormal()),
    ):
        scaling = initializers.VarianceScaling(*given)
        got, expected = (random.draw(i, (7, 3), 2, 1, dtype) for i in (scaling, named))
        np.testing.assert_array_equal(got, expected, strict=True)


@pytest.mark.parametrize("name", initializers.INITIALIZERS)
def test_both_engines_start_from_the_same_values(name: str, dtype: str, core: None) -> None:
    layers = [Dense(4, weights_initializer=name, bias_initializer=name), Dense(3)]
    kinds = fastbp.Network, reference.Network
    nets = [kind(layers, input_shape=5, dtype=dtype, seed=7) for kind in kinds]
    assert nets[0].parameters.tobytes() == nets[1].parameters.tobytes()


def test_fans_of_a_bias_vector_are_its_length() -> None:
    biases = random.draw(initializers.GlorotUniform(), (6,), 0, 0, "float64")
    weights = random.draw(initializers.GlorotUniform(), (6, 6), 0, 0, "float64")
    np.testing.assert_array_equal(biases, weights[0])


@pytest.mark.parametrize("shape", [(1, 1), (40, 40), (70, 30), (30, 70), (9,)])
def test_orthogonal_matrices_are_orthogonal(shape: tuple[int, ...], dtype: str) -> None:
    values = random.draw(initializers.Orthogonal(gain=3), shape, 8, 0, dtype)
    assert values.shape == shape
    matrix = np.atleast_2d(values).astype(np.float64) / 3
    few = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    # Gram-Schmidt loses a factor of the matrix's condition number, here below 10^4.
    limit = {"float32": 8 * np.finfo(np.float32).eps, "float64": 1e4 * np.finfo(np.float64).eps}
    assert np.abs(few @ few.T - np.eye(len(few))).max() < limit[dtype]


def test_every_initializer_can_be_drawn(dtype: str) -> None:
    for kind in initializers.INITIALIZERS.values():
        values = random.draw(kind(), (3, 4), 0, 0, dtype)
        assert (values.shape, values.dtype) == ((3, 4), dtype)
    given = random.draw(initializers.Values([[1, 2]]), (1, 2), 0, 0, dtype)
    np.testing.assert_array_equal(given, np.array([[1, 2]], dtype), strict=True)


def test_uniform_stays_below_its_upper_end_after_rounding() -> None:
    """Between 1 and the next float32 there is no number but 1."""
    narrow = initializers.Uniform(1, float(np.nextafter(np.float32(1), np.float32(2))))
    assert set(random.draw(narrow, (1000,), 0, 0, "float32").tolist()) == {1.0}


def test_initial_values_are_drawn_from_the_stream_of_the_parameter(dtype: str) -> None:
    layer = Dense(3, weights_initializer="normal", bias_initializer="normal")
    plan = lower((layer, layer), (3,), dtype, None)
    for index, parameter in enumerate(plan.parameters):
        values = random.initial_values(plan, index, 4)
        expected = random.draw(initializers.Normal(), parameter.shape, 4, index, dtype)
        np.testing.assert_array_equal(values, expected, strict=True)


@pytest.mark.parametrize(
    "initializer", [initializers.Constant(1e300), initializers.Values([np.nan]), [1e39]]
)
def test_initial_values_that_are_not_finite_are_refused(initializer: object) -> None:
    plan = lower((Dense(1, bias_initializer=initializer),), (2,), "float32", None)
    random.initial_values(plan, 0, 0)
    with pytest.raises(ValueError, match=r"^bias_initializer: expected .* dense\.biases, got"):
        random.initial_values(plan, 1, 0)


def test_row_orders_are_permutations_that_differ_by_epoch_and_seed() -> None:
    orders = [random.row_order(seed, epoch, 101) for seed in (0, 1) for epoch in (0, 1)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(101))
    assert len({tuple(order.tolist()) for order in orders}) == 4


def test_row_orders_are_the_sort_of_one_word_per_row() -> None:
    n, seed, epoch = 7, 3, 2**33 + 1
    keys = []
    for row in range(n):
        w = words(seed, 0x40000000, epoch, row // 2)
        keys.append(w[2 * (row % 2)] | w[2 * (row % 2) + 1] << 32)
    assert random.row_order(seed, epoch, n).tolist() == sorted(range(n), key=keys.__getitem__)


def test_every_row_comes_first_equally_often() -> None:
    firsts = np.bincount([random.row_order(0, epoch, 8)[0] for epoch in range(4000)], minlength=8)
    # Chi-squared with 7 degrees of freedom exceeds 24.3 once in a thousand.
    assert ((firsts - 500) ** 2 / 500).sum() < 24.3


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_dropout_keeps_the_share_that_it_should(rate: float) -> None:
    kept = random.keep_mask(0, 1, 2, (400, 250), rate)
    error = 4 * math.sqrt(rate * (1 - rate) / kept.size)
    assert abs(kept.mean() - (1 - rate)) <= error


def test_a_units_mask_depends_on_its_place_alone() -> None:
    large = random.keep_mask(6, 0, 1, (50, 7), 0.5)
    np.testing.assert_array_equal(random.keep_mask(6, 0, 1, (20, 7), 0.5), large[:20])
    # Units of a row are counted in blocks of four, so another width below eight reads the same.
    np.testing.assert_array_equal(random.keep_mask(6, 0, 1, (50, 5), 0.5), large[:, :5])
    threshold, row, unit = 2**31, 13, 6
    word = words(6, 0x80000000, 1, row * 2 + unit // 4)[unit % 4]
    assert large[row, unit] == (word >= threshold)
