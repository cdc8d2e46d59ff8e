"""Derive the polynomials of math.inc.h and print them as a C table.

Each polynomial has the smallest largest weighted error on its interval (Remez exchange), where the
weight turns an error of the polynomial into a relative error of the function built on it. The
coefficients are then rounded to the working precision; the error given is that of the rounded ones.

Run as ``python polynomials.py > polynomials.inc.h``; needs mpmath.

References
----------
Remez 1934, "Sur la determination des polynomes d'approximation de degre donnee".
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from mpmath import mp, mpf

mp.dps = 60
REFINEMENT = 24  # grid points per coefficient; even, so that none is 0
TOLERANCE = mpf(10) ** -6  # on the largest error
SLACK = mpf(2) ** -16  # how far an argument may lie outside its interval by rounding
LOG_2 = mp.log(2)
TAIL_CENTER = {32: 3, 64: 5}  # the z that becomes v = 0, for the fewest coefficients


class Polynomial(NamedTuple):
    """One polynomial of math.inc.h, with `count` coefficients.

    `weight` makes the error of the polynomial a relative error of the function built on it.
    """

    name: str
    meaning: str
    function: Callable[[mpf], mpf]
    weight: Callable[[mpf], mpf]
    low: mpf
    high: mpf
    count: int


def exponential(name: str, low: mpf, high: mpf, bits: int) -> Polynomial:
    """Return the rest of e^r - 1 after its first term."""
    return Polynomial(
        name,
        f"(e^r - 1 - r) / r^2 for r in [{mp.nstr(low, 3)}, {mp.nstr(high, 3)}]",
        lambda r: (mp.expm1(r) - r) / r**2,
        lambda r: r**2 / abs(mp.expm1(r)),
        low - SLACK,
        high + SLACK,
        5 if bits == 32 else 10,
    )


def logarithm(name: str, s: mpf, count: int) -> Polynomial:
    """Return the rest of 2 atanh(s) after its first term, up to the given s."""
    return Polynomial(
        name,
        f"(2 atanh(s) / s - 2) / z, z = s^2, for |s| <= {mp.nstr(s, 3)}",
        lambda z: (2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 2) / z,
        lambda z: z / 2,
        mpf(0),
        s**2 + SLACK,
        count,
    )


def error_function(bits: int) -> Polynomial:
    """Return the rest of erf(x) after x, near 0."""
    return Polynomial(
        "ERF",
        "erf(x) / x - 1 as a function of u = x^2 for |x| <= 1",
        lambda u: mp.erf(mp.sqrt(u)) / mp.sqrt(u) - 1,
        lambda u: mp.sqrt(u) / mp.erf(mp.sqrt(u)),
        mpf(0),
        mpf(1),
        7 if bits == 32 else 13,
    )


def normal_tail(bits: int) -> Polynomial:
    """Return the factor of the normal distribution's tail that varies slowly."""
    c, reach = TAIL_CENTER[bits], mpf("13.3" if bits == 32 else "37.7")

    def function(v: mpf) -> mpf:
        z = c * (1 + v) / (1 - v)
        return (z + c) * mp.ncdf(-z) * mp.exp(z**2 / 2)

    return Polynomial(
        "TAIL",
        f"(z + {c}) Phi(-z) e^(z^2/2) as a function of v = (z - {c}) / (z + {c}), z <= {reach}",
        function,
        lambda v: 1 / function(v),
        mpf(-1),
        (reach - c) / (reach + c),
        10 if bits == 32 else 22,
    )


def sine() -> Polynomial:
    """Return the sine of a quarter turn's part, divided by the part."""
    return Polynomial(
        "SINE",
        "sin(pi y / 2) / y as a function of u = y^2 for |y| <= 1/2",
        lambda u: mp.sin(mp.pi * mp.sqrt(u) / 2) / mp.sqrt(u),
        lambda u: mp.sqrt(u) / mp.sin(mp.pi * mp.sqrt(u) / 2),
        mpf(0),
        mpf("0.25"),
        7,
    )


def polynomials(bits: int) -> list[Polynomial]:
    """Return the polynomials for numbers of `bits` bits."""
    return [
        exponential("EXP_UPWARD", mpf(0), LOG_2, bits),
        exponential("EXP_NEAREST", -LOG_2 / 2, LOG_2 / 2, bits),
        logarithm("LOG", (mp.sqrt(2) - 1) / (mp.sqrt(2) + 1), 3 if bits == 32 else 7),
        logarithm("LOG1P", mpf(1) / 3, 4 if bits == 32 else 9),
        error_function(bits),
        normal_tail(bits),
        *([sine()] if bits == 64 else []),
    ]


def rounded(value: mpf, bits: int) -> mpf:
    """Return `value` rounded to float32 or float64."""
    if bits == 64:
        return mpf(float(value))
    return mpf(struct.unpack("f", struct.pack("f", float(value)))[0])


def alternating(errors: list[mpf], count: int) -> list[int]:
    """Return the places of `count` extrema of alternating sign, the largest run of them."""
    places: list[int] = []
    for place, error in enumerate(errors):
        if places and (errors[places[-1]] > 0) == (error > 0):
            if abs(error) > abs(errors[places[-1]]):
                places[-1] = place
        else:
            places.append(place)
    while len(places) > count:
        places.pop(0 if abs(errors[places[0]]) < abs(errors[places[-1]]) else -1)
    return places


def weighted_errors(
    grid: list[mpf], values: list[mpf], weights: list[mpf], coefficients: list[mpf]
) -> list[mpf]:
    """Return the polynomial's weighted error at each grid point."""
    return [
        w * (y - mp.polyval(coefficients[::-1], x))
        for x, y, w in zip(grid, values, weights, strict=True)
    ]


def minimax(grid: list[mpf], values: list[mpf], weights: list[mpf], count: int) -> list[mpf]:
    """Return the `count` coefficients whose largest weighted error on the grid is smallest."""
    places = [i * (len(grid) - 1) // count for i in range(count + 1)]
    while True:
        rows = [
            [grid[p] ** k for k in range(count)] + [(-1) ** i / weights[p]]
            for i, p in enumerate(places)
        ]
        *coefficients, level = mp.lu_solve(mp.matrix(rows), mp.matrix([values[p] for p in places]))
        errors = weighted_errors(grid, values, weights, coefficients)
        if max(map(abs, errors)) <= abs(level) * (1 + TOLERANCE):
            return coefficients
        places = alternating(errors, count + 1)


def fit(polynomial: Polynomial, bits: int) -> tuple[list[mpf], mpf]:
    """Return rounded coefficients, lowest power first, and their largest weighted error."""
    middle, radius = (polynomial.high + polynomial.low) / 2, (polynomial.high - polynomial.low) / 2
    points = REFINEMENT * polynomial.count
    grid = [middle - radius * mp.cos(mp.pi * (2 * i + 1) / (2 * points)) for i in range(points)]
    values = [polynomial.function(x) for x in grid]
    weights = [polynomial.weight(x) for x in grid]
    coefficients = [rounded(c, bits) for c in minimax(grid, values, weights, polynomial.count)]
    return coefficients, max(map(abs, weighted_errors(grid, values, weights, coefficients)))


def hexadecimal(value: mpf, bits: int) -> str:
    """Return a C constant of exactly this value."""
    mantissa, exponent = float(value).hex().split("p")
    return f"{mantissa.rstrip('0')}p{exponent}{'f' if bits == 32 else ''}"


def table(polynomial: Polynomial, bits: int) -> str:
    """Return one polynomial as a C array."""
    coefficients, error = fit(polynomial, bits)
    units = mp.nstr(error * 2 ** (24 if bits == 32 else 53), 2)
    return "\n".join(
        [
            f"/* {polynomial.meaning}; error {units} */",
            f"static const real {polynomial.name}[{polynomial.count}] = {{",
            *(f"    {hexadecimal(c, bits)}," for c in coefficients),
            "};",
        ]
    )


def main() -> None:
    """Print the tables of both precisions."""
    print(
        "/* Printed by polynomials.py: the coefficients of math.inc.h, lowest power first. Errors"
    )
    print(" * are relative to the function, in units of 2^-24 (float) or 2^-53 (double). */")
    print("/* clang-format off */")
    for condition, bits in ("#if FBP_REAL_BITS == 32", 32), ("#else", 64):
        print(f"\n{condition}\n\n#define TAIL_CENTER {TAIL_CENTER[bits]}")
        for polynomial in polynomials(bits):
            print("\n" + table(polynomial, bits))
    print("\n#endif")


if __name__ == "__main__":
    main()
