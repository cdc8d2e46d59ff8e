"""The elementary functions in C: errors, limits and recorded bits, measured by math_scan.c."""

from __future__ import annotations

import math
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable
from pathlib import Path

import mpmath
import numpy as np
import pytest

import fastbp
from fastbp import Activation

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "csrc"
DTYPES = {32: np.float32, 64: np.float64}
INSTRUCTIONS = {"plain": [], "fma": ["-mavx2", "-mfma"]}

# Largest error allowed, in units in the last place: what is promised for float32 and float64; the
# normal distribution's cdf is promised to be accurate relative to itself, to a few units.
LIMITS = {
    "exp": (2, 3),
    "expm1": (3, 3),
    "log": (2, 3),
    "log1p": (3, 3),
    "sigmoid": (2, 3),
    "tanh": (2, 3),
    "erf": (2, 3),
    "normal_cdf": (8, 12),
    "tanh_softplus": (4, 4),
}

# Digests of the results at every 65,537th float32 and every 2^48 + 12,289th float64 (of those
# from 0 to 1 for log1p). Where they change, trained networks change: see CHANGELOG.md, Numerics.
RECORDED = {
    "exp": ("4caf57f555dae431", "bc6f4ff89deb2d3c"),
    "expm1": ("bcdd9b309469860a", "2342da4689b1db0a"),
    "log": ("0236804619f2d021", "1ff4891c73e80069"),
    "log1p": ("1f616d143c16fb00", "23837796f453fb60"),
    "sigmoid": ("d77ca2e82f91d826", "52f6e27cbd3c926c"),
    "tanh": ("daca2b4419d03352", "62719febb41f2bd8"),
    "erf": ("8f8902fbe471b8dc", "05c7e4d86573686d"),
    "normal_cdf": ("03303db6e3c65126", "b7335948d19d964b"),
    "tanh_softplus": ("8e0acc33bb35c368", "21c79247cc5c9f36"),
}

Scan = Callable[[str, int, Iterable[str]], list[tuple[int, float, str, str]]]


def has_fma() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return {"avx2", "fma"} <= set(flags)


def compiler() -> list[str]:
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    if not shutil.which(command[0]):
        pytest.skip(f"no C compiler {command[0]!r}")
    return command


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Path]:
    """A function that builds math_scan.c for an instruction set and a precision, once."""
    folder = tmp_path_factory.mktemp("math_scan")

    def build(instructions: str, bits: int) -> Path:
        if instructions == "fma" and not has_fma():
            pytest.skip("needs AVX2 and FMA")
        path = folder / f"math_scan_{instructions}_{bits}"
        if not path.exists():
            flags = "-std=c11 -O3 -ffp-contract=off -fno-math-errno -fno-trapping-math"
            strict = "-Wall -Wextra -Werror"
            paths = [f"-I{CSRC / 'simd'}", f"-I{CSRC / 'kernels'}", "-o", str(path)]
            definitions = [f"-DFBP_REAL_BITS={bits}", '-DFBP_SIMD="scalar.h"']
            arguments = [*flags.split(), *strict.split(), *INSTRUCTIONS[instructions]]
            source = str(Path(__file__).with_name("math_scan.c"))
            subprocess.run(
                [*compiler(), *arguments, *definitions, *paths, source, "-lm"], check=True
            )
        return path

    return build


@pytest.fixture(scope="module")
def scan(program: Callable[[str, int], Path]) -> Scan:
    """A function that measures ranges of arguments: count, largest error, its place, digest."""

    def scan(instructions: str, bits: int, ranges: Iterable[str]) -> list:
        answer = subprocess.run(
            [program(instructions, bits)],
            input="\n".join(ranges),
            capture_output=True,
            text=True,
            check=True,
        )
        rows = [line.split() for line in answer.stdout.splitlines()]
        return [(int(count), float(error), place, digest) for count, error, place, digest in rows]

    return scan


@pytest.fixture(scope="module")
def evaluate(program: Callable[[str, int], Path]) -> Callable[[str, np.ndarray], np.ndarray]:
    """A function that applies one of the C functions to an array."""

    def evaluate(name: str, x: np.ndarray) -> np.ndarray:
        path = program("plain", x.dtype.itemsize * 8)
        answer = subprocess.run([path, name], input=x.tobytes(), capture_output=True, check=True)
        return np.frombuffer(answer.stdout, x.dtype)

    return evaluate


@pytest.fixture
def fast_instructions() -> str:
    return "fma" if has_fma() else "plain"


def bits_of(x: float, bits: int) -> int:
    return int(np.array(x, DTYPES[bits]).view(f"u{bits // 8}"))


def everywhere(name: str, bits: int, step: int) -> str:
    """Every `step`-th number of the function's domain, NaNs included, as a line for math_scan."""
    last = bits_of(1.0, bits) if name == "log1p" else 2**bits - 1
    return f"{name} 0 {last:x} {step:x}"


def sparse(name: str, bits: int) -> str:
    return everywhere(name, bits, 65_537 if bits == 32 else 2**48 + 12_289)


def dense(name: str, bits: int) -> str:
    return everywhere(
        name, bits, 4_099 if bits == 32 else (2**44 if name != "log1p" else 2**41) - 1
    )


def boundaries(name: str, bits: int) -> list[float]:
    """Arguments where a function changes from one power of 2, or one formula, to the next."""
    log_2, powers = math.log(2), range(1, 127 if bits == 32 else 1022)
    steps = [sign * k * log_2 / 2 for k in powers for sign in (1, -1)]
    return {
        "exp": [2 * s for s in steps] + [float(np.log(np.finfo(DTYPES[bits]).max))],
        "expm1": [*steps, -60.0, float(np.log(np.finfo(DTYPES[bits]).max))],
        "log": [2.0**k * f for k in powers for f in (1, 2**0.5)] + [1.0, 0.5**0.5],
        "log1p": [0.25, 0.5],
        "sigmoid": [*steps, 87.0, 708.0, -87.4, -708.4],
        "tanh": [*steps[:80], 9.1, 19.1],
        "erf": [1.0, -1.0, 4.0, 6.0],
        "normal_cdf": [1.0, -1.0, -13.0, -13.25, -37.4, -37.65],
        "tanh_softplus": [*(2 * s for s in steps), 11.0, 21.0, -87.3, -87.9, -708.3, -708.9],
    }[name]


@pytest.mark.parametrize("bits", DTYPES)
@pytest.mark.parametrize("name", LIMITS)
def test_errors_stay_within_their_limits_everywhere(
    name: str, bits: int, scan: Scan, fast_instructions: str
) -> None:
    check_errors(scan(fast_instructions, bits, [dense(name, bits)]), name, bits)


@pytest.mark.parametrize("bits", DTYPES)
@pytest.mark.parametrize("name", LIMITS)
def test_errors_stay_within_their_limits_where_formulas_meet(
    name: str, bits: int, scan: Scan, fast_instructions: str
) -> None:
    places = [bits_of(x, bits) for x in boundaries(name, bits)]
    ranges = [f"{name} {place - 100:x} {place + 100:x} 1" for place in places]
    check_errors(scan(fast_instructions, bits, ranges), name, bits)


@pytest.mark.thorough
@pytest.mark.parametrize("name", LIMITS)
def test_errors_stay_within_their_limits_for_every_float32(
    name: str, scan: Scan, fast_instructions: str
) -> None:
    check_errors(scan(fast_instructions, 32, [everywhere(name, 32, 1)]), name, 32)


def check_errors(measures: list[tuple[int, float, str, str]], name: str, bits: int) -> None:
    if bits == 64 and np.finfo(np.longdouble).nmant <= 52:
        pytest.skip("long double is no wider than double here")
    for _, error, place, _ in measures:
        assert error <= LIMITS[name][bits == 64], f"{name} at bits {place}"


@pytest.mark.parametrize("bits", DTYPES)
def test_builds_with_and_without_fma_instructions_give_the_same_bits(bits: int, scan: Scan) -> None:
    ranges = [dense(name, bits) for name in LIMITS]
    assert scan("plain", bits, ranges) == scan("fma", bits, ranges)


@pytest.mark.parametrize("bits", DTYPES)
def test_results_are_the_recorded_ones(bits: int, scan: Scan, fast_instructions: str) -> None:
    measures = scan(fast_instructions, bits, [sparse(name, bits) for name in LIMITS])
    digests = dict(zip(LIMITS, (digest for *_, digest in measures), strict=True))
    assert digests == {name: recorded[bits == 64] for name, recorded in RECORDED.items()}


MPMATH = {
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
    "log": lambda x: mpmath.log(abs(x)),
    "log1p": lambda x: mpmath.log1p(abs(x) / 16),
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "tanh": mpmath.tanh,
    "erf": mpmath.erf,
    "normal_cdf": mpmath.ncdf,
    "tanh_softplus": lambda x: mpmath.tanh(mpmath.log1p(mpmath.exp(x))),
}


@pytest.mark.parametrize("name", LIMITS)
def test_float64_results_agree_with_mpmath(
    name: str, evaluate: Callable[[str, np.ndarray], np.ndarray]
) -> None:
    x = np.random.default_rng(0).uniform(-16, 16, 500)
    arguments = {"log": abs(x), "log1p": abs(x) / 16}.get(name, x)
    with mpmath.workdps(40):
        exact = [MPMATH[name](mpmath.mpf(float(value))) for value in x]
        units = [
            abs(mpmath.mpf(float(y)) - e) / float(np.spacing(abs(float(e))))
            for y, e in zip(evaluate(name, arguments), exact, strict=True)
        ]
    assert max(units) <= LIMITS[name][1]


inf, nan = math.inf, math.nan
SPECIAL = {
    "exp": [(0, 1), (-0.0, 1), (1e4, inf), (-1e4, 0), (inf, inf), (-inf, 0), (1e-40, 1)],
    "expm1": [(0, 0), (1e4, inf), (-1e4, -1), (inf, inf), (-inf, -1)],
    "log": [(0, -inf), (-0.0, -inf), (1, 0), (-1, nan), (-inf, nan), (inf, inf), (1e-310, -inf)],
    "log1p": [(0, 0), (1, math.log(2))],
    "sigmoid": [(0, 0.5), (1e4, 1), (-1e4, 0), (inf, 1), (-inf, 0)],
    "tanh": [(0, 0), (-0.0, -0.0), (1e4, 1), (-1e4, -1), (inf, 1), (-inf, -1)],
    "erf": [(0, 0), (-0.0, -0.0), (1e4, 1), (-1e4, -1), (inf, 1), (-inf, -1)],
    "normal_cdf": [(0, 0.5), (1e4, 1), (-1e4, 0), (inf, 1), (-inf, 0)],
    "tanh_softplus": [(0, 0.6), (1e4, 1), (-1e4, 0), (inf, 1), (-inf, 0)],
}


@pytest.mark.parametrize("bits", DTYPES)
@pytest.mark.parametrize("name", LIMITS)
def test_special_arguments_give_the_limits(
    name: str, bits: int, evaluate: Callable[[str, np.ndarray], np.ndarray]
) -> None:
    dtype = DTYPES[bits]
    x, expected = np.array([*SPECIAL[name], (nan, nan)], dtype).T
    y = evaluate(name, x)
    np.testing.assert_array_equal(y, expected)
    if name in ("tanh", "erf"):
        np.testing.assert_array_equal(np.signbit(y[:-1]), np.signbit(expected[:-1]))


def test_coefficients_are_those_the_program_prints() -> None:
    program = CSRC / "kernels" / "polynomials.py"
    printed = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert printed.stdout == program.with_suffix(".inc.h").read_text()


def units(y: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Return the error of y in units in the last place of the exact results, where normal."""
    spacing = np.spacing(np.abs(exact).astype(y.dtype)).astype(exact.dtype)
    errors = np.abs(y - exact) / spacing
    return np.where(np.abs(exact) < np.finfo(y.dtype).tiny, 0, errors)


def network_of(name: str, z: np.ndarray) -> fastbp.Network:
    pytest.importorskip("fastbp._core")
    layers = [Activation(name)]
    return fastbp.Network(layers, input_shape=z.shape[1], dtype=str(z.dtype), seed=0)


def activated(name: str, z: np.ndarray) -> np.ndarray:
    return network_of(name, z).predict(z)


def slopes(name: str, z: np.ndarray) -> np.ndarray:
    network = network_of(name, z)
    network.forward(z)
    return network.backward(np.ones_like(z))


@pytest.mark.parametrize("scale", [1, 10, 60])
@pytest.mark.parametrize("n", [1, 2, 10, 17, 1000])
@pytest.mark.parametrize("dtype", DTYPES.values())
def test_softmax_errors_stay_within_the_derived_bound(n: int, scale: float, dtype: type) -> None:
    # Largest share of the bound seen: 0.79 in float32, 0.94 in float64, far below the maximum.
    if np.finfo(np.longdouble).nmant <= 52:
        pytest.skip("long double is no wider than double here")
    z = (np.random.default_rng(0).normal(size=(20_000 // n, n)) * scale).astype(dtype)
    distance = z.max(axis=1, keepdims=True).astype(np.longdouble) - z
    terms = np.exp(-distance)
    exact = terms / terms.sum(axis=1, keepdims=True)
    lanes = 64 // z.itemsize
    bound = distance + math.log(n) + math.ceil(n / lanes) + 12
    assert np.all(units(activated("softmax", z), exact) <= bound)


def test_gelu_errors_stay_within_the_derived_bound_in_float32() -> None:
    # Largest error seen: 5.97.
    rng = np.random.default_rng(0)
    small = rng.choice([-1, 1], 50_000) * 2.0 ** rng.uniform(-30, 3, 50_000)
    z = np.concatenate([rng.uniform(-12.9, 13, 100_000), small]).astype("float32")
    exact = [x * math.erfc(-x / math.sqrt(2)) / 2 for x in z.tolist()]
    assert units(activated("gelu", z[:, None])[:, 0], np.array(exact)).max() <= 16.5


def test_gelu_errors_stay_within_the_derived_bound_in_float64() -> None:
    # Largest error seen: 4.62, at twenty times as many points.
    z = np.random.default_rng(0).uniform(-37.4, 9, 2_000)
    results = activated("gelu", z[:, None])[:, 0].tolist()
    with mpmath.workdps(40):
        for x, y in zip(z.tolist(), results, strict=True):
            error = abs(mpmath.mpf(y) - x * mpmath.ncdf(x)) / math.ulp(y)
            assert error <= 24.5, x


def of_mish(dtype: type) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arguments of mish for which e^z is normal; its factor t and z t', exact."""
    if np.finfo(np.longdouble).nmant <= 52:
        pytest.skip("long double is no wider than double here")
    rng = np.random.default_rng(0)
    lowest = -87.3 if dtype is np.float32 else -708.3
    small = rng.choice([-1, 1], 50_000) * 2.0 ** rng.uniform(-30, 3, 50_000)
    z = np.concatenate([rng.uniform(lowest, 30, 150_000), rng.uniform(-5, 5, 50_000), small])
    z = z.astype(dtype)
    e = np.exp(z.astype(np.longdouble))
    h = e + e * e / 2
    return z, h / (1 + h), z * e * (1 + e) / (1 + h) ** 2


@pytest.mark.parametrize(("dtype", "bound"), [(np.float32, 7.5), (np.float64, 9.5)])
def test_mish_errors_stay_within_the_derived_bound(dtype: type, bound: float) -> None:
    # Largest error seen, at a thousand times as many points: 3.95 in float32, 3.89 in float64.
    z, t, _ = of_mish(dtype)
    assert units(activated("mish", z[:, None])[:, 0], z * t).max() <= bound


@pytest.mark.parametrize(("dtype", "bound"), [(np.float32, 14), (np.float64, 16)])
def test_errors_of_the_slope_of_mish_stay_within_the_derived_bound(
    dtype: type, bound: float
) -> None:
    # In units of the sum of its two terms' sizes, which cancel at z = -1.19: at most twice the
    # error of exp, 2 or 3, and ten roundings, each a unit at most. Largest error seen: 4.71, 4.63.
    z, t, bend = of_mish(dtype)
    errors = abs(slopes("mish", z[:, None])[:, 0] - (t + bend))
    sizes = t + abs(bend)
    assert (errors / np.spacing(sizes.astype(dtype)).astype(np.longdouble)).max() <= bound


@pytest.mark.parametrize("dtype", DTYPES.values())
def test_mish_is_a_line_far_from_zero(dtype: type) -> None:
    z = np.array([[21.0, 40.0, 1e4, 1e30, -1e4, -1e30]], dtype)
    np.testing.assert_array_equal(activated("mish", z), np.where(z > 0, z, 0))
    np.testing.assert_array_equal(slopes("mish", z), z > 0)
