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
from dataclasses import dataclass

from mpmath import mp, mpf

mp.dps = 60
REFINEMENT = 24  # grid points per coefficient; even, so that none is 0
TOLERANCE = mpf(10) ** -6  # on the largest error
HALF_LOG_2 = mp.log(2) / 2
SLACK = mpf(2) ** -16  # how far an argument may lie outside its interval by rounding

Function = Callable[[mpf], mpf]


@dataclass(frozen=True)
class Polynomial:
    """One polynomial of math.inc.h.

    Attributes
    ----------
    name : str
        Name of the table in C.
    meaning : str
        What it approximates and where.
    function, weight : callable
        The function approximated, and the factor that makes its error a relative one of the result.
    interval : tuple of mpf
        Where it is used.
    """

    name: str
    meaning: str
    function: Function
    weight: Function
    interval: tuple[mpf, mpf]


def exponential_rest(r: mpf) -> mpf:
    return (mp.expm1(r) - r) / r**2


def exponential_weight(r: mpf) -> mpf:
    return r**2 / abs(mp.expm1(r))


def logarithm_rest(z: mpf) -> mpf:
    return (2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 2) / z


def error_function_rest(u: mpf) -> mpf:
    return mp.erf(mp.sqrt(u)) / mp.sqrt(u) - 1


def mills(center: mpf) -> Function:
    """(z + center) Phi(-z) e^(z^2 / 2) as a function of v = (z - center) / (z + center)."""

    def ratio(v: mpf) -> mpf:
        z = center * (1 + v) / (1 - v)
        return (z + center) * mp.erfc(z / mp.sqrt(2)) / 2 * mp.exp(z * z / 2)

    return ratio


def tail_center(bits: int) -> mpf:
    """Return the z that the argument of TAIL maps to 0, chosen for the smallest degree."""
    return mpf(3 if bits == 32 else 5)


def polynomials(bits: int) -> list[tuple[Polynomial, int]]:
    """Return each polynomial with its number of coefficients for numbers of `bits` bits."""
    single = bits == 32
    center, reach = tail_center(bits), mpf("13.3") if single else mpf("37.7")
    return [
        (
            Polynomial(
                "EXP_UPWARD",
                "(e^r - 1 - r) / r^2 for r in [0, log 2]",
                exponential_rest,
                exponential_weight,
                (-SLACK, 2 * HALF_LOG_2 + SLACK),
            ),
            5 if single else 10,
        ),
        (
            Polynomial(
                "EXP_NEAREST",
                "(e^r - 1 - r) / r^2 for |r| <= log(2) / 2",
                exponential_rest,
                exponential_weight,
                (-HALF_LOG_2 - SLACK, HALF_LOG_2 + SLACK),
            ),
            5 if single else 10,
        ),
        (
            Polynomial(
                "LOG",
                "(2 atanh(s) / s - 2) / z, z = s^2, for s = f / (2 + f), 1 + f in [sqrt 1/2, sqrt 2]",
                logarithm_rest,
                lambda z: z / 2,
                (mpf(0), mpf("0.0295")),
            ),
            3 if single else 7,
        ),
        (
            Polynomial(
                "LOG1P",
                "the same for f in [0, 1]",
                logarithm_rest,
                lambda z: z / 2,
                (mpf(0), mpf("0.1112")),
            ),
            4 if single else 9,
        ),
        (
            Polynomial(
                "ERF",
                "erf(x) / x - 1 as a function of x^2 for |x| <= 1",
                error_function_rest,
                lambda u: 1 / (1 + error_function_rest(u)),
                (mpf(0), mpf(1)),
            ),
            7 if single else 13,
        ),
        (
            Polynomial(
                "TAIL",
                f"(z + {int(center)}) Phi(-z) e^(z^2/2) as a function of "
                f"v = (z - {int(center)}) / (z + {int(center)}) "
                f"for z in [0, {mp.nstr(reach, 3)}]",
                mills(center),
                lambda v: 1 / mills(center)(v),
                (mpf(-1), (reach - center) / (reach + center)),
            ),
            10 if single else 22,
        ),
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


def fit(polynomial: Polynomial, count: int, bits: int) -> tuple[list[mpf], mpf]:
    """Return rounded coefficients, lowest power first, and their largest weighted error."""
    low, high = polynomial.interval
    points = REFINEMENT * count
    grid = [
        (low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * points))
        for i in range(points)
    ]
    values = [polynomial.function(x) for x in grid]
    weights = [polynomial.weight(x) for x in grid]
    coefficients = [rounded(c, bits) for c in minimax(grid, values, weights, count)]
    return coefficients, max(weighted_errors(grid, values, weights, coefficients), key=abs)


def hexadecimal(value: mpf, bits: int) -> str:
    return float(value).hex() + ("f" if bits == 32 else "")


def table(polynomial: Polynomial, count: int, bits: int) -> str:
    """Return one polynomial as a C array with its error, in units of 2^-24 or 2^-53."""
    coefficients, error = fit(polynomial, count, bits)
    units = mp.nstr(abs(error) * mpf(2) ** (24 if bits == 32 else 53), 2)
    lines = [f"/* {polynomial.meaning}; error {units} */"]
    lines.append(f"static const real {polynomial.name}[{count}] = {{")
    lines += [f"    {hexadecimal(c, bits)}," for c in coefficients]
    return "\n".join([*lines, "};"])


def main() -> None:
    print("/* Printed by polynomials.py: the coefficients of math.inc.h, lowest power first. Errors are")
    print(" * relative errors of the function, in units of 2^-24 (float) or 2^-53 (double). */")
    for bits, keyword in ((32, "#if"), (64, "#else")):
        print(f"\n{keyword} FBP_REAL_BITS == 32" if bits == 32 else f"\n{keyword}")
        for polynomial, count in polynomials(bits):
            print("\n" + table(polynomial, count, bits))
        print(f"#define TAIL_CENTER {int(tail_center(bits))}")
    print("\n#endif")


if __name__ == "__main__":
    main()
