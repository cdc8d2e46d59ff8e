"""fastbp.sklearn's classifier beside scikit-learn's: fits of some epochs, and predictions.

    python -m benchmarks.estimators [TEXT]

from the root of the repository, with scikit-learn installed: all rows, or those whose names have
the text in them. Both make the same batches from the
same weights. Each runs on each number of threads that the machine has use for, in turn, and has the
least time of some rounds on the best of them. float64 is what both work in if nothing else is said;
for float32, inputs are float32.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.ndimage import zoom
from sklearn import __version__ as version
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier as TheirClassifier
from threadpoolctl import threadpool_limits

from fastbp.bench.machine import cores, facts
from fastbp.sklearn import MLPClassifier

ROUNDS = 9
CALLS = 200  # of a prediction in a round
REST = 0.1  # seconds: so long, at most, OpenBLAS's threads keep waiting at full speed after a fit
KINDS = {"scikit-learn": TheirClassifier, "fastbp": MLPClassifier}


DENSITIES = 0.001, 0.004, 0.02, 0.1


class Fit(NamedTuple):
    """Data and parameters of a fit."""

    name: str
    x: Any
    y: Any
    parameters: dict[str, Any]


class Time(NamedTuple):
    """The least time of a job, and the number of threads that it had."""

    seconds: float
    threads: int


def digits() -> tuple[Any, Any]:
    """Return 1,797 digits of 8 x 8 pixels."""
    x, y = load_digits(return_X_y=True)
    return x / 16, y


def images(n: int) -> tuple[Any, Any]:
    """Return n digits of 28 x 28 pixels: those of 8 x 8, enlarged, with noise."""
    x, y = digits()
    rng = np.random.default_rng(0)
    large = zoom(x.reshape(-1, 8, 8), (1, 3.5, 3.5), order=1).reshape(len(x), 784)
    drawn = rng.integers(len(x), size=n)
    return large[drawn] + 0.1 * rng.random((n, 784)), y[drawn]


def documents(density: float) -> tuple[Any, Any]:
    """Return 1,000 sparse rows of 20,000 numbers, of three classes."""
    rng = np.random.default_rng(0)
    x = sparse.random_array((1000, 20_000), density=density, rng=rng, format="csr")
    return x, np.arange(1000) % 3


def fits() -> Iterator[Fit]:
    """Go through what is fitted."""
    small, large = digits(), images(10_000)
    few: dict[str, Any] = {"max_iter": 20}
    yield Fit("digits, 100 units", *small, few)
    yield Fit("digits, 100 units, batches of 32", *small, {"max_iter": 10, "batch_size": 32})
    yield Fit("digits, 16 units", *small, few | {"hidden_layer_sizes": (16,)})
    yield Fit("digits, 100 units, sgd", *small, few | {"solver": "sgd"})
    yield Fit("digits, 100 units, early stopping", *small, few | {"early_stopping": True})
    yield Fit("digits, 2 units", *small, {"max_iter": 1, "hidden_layer_sizes": (2,)})
    yield Fit("digits, 100 units, lbfgs", *small, few | {"solver": "lbfgs"})
    yield Fit("10,000 x 784, 100 units", *large, {"max_iter": 2})
    for density in DENSITIES:
        for solver in ("adam", "lbfgs"):
            for units in (16, 100):
                name = f"sparse, {100 * density:g} %, {units} units, {solver}"
                given = {"max_iter": 2, "hidden_layer_sizes": (units,), "solver": solver}
                yield Fit(name, *documents(density), given)


def best(jobs: dict[str, Callable[[int], Any]], counts: list[int]) -> dict[str, Time]:
    """Return the least time of each job, which takes a number of threads.

    They run in turn, each on a machine that those before have left to it.
    """
    found = {name: Time(np.inf, 0) for name in jobs}
    for _ in range(ROUNDS):
        for name, job in jobs.items():
            for threads in counts:
                time.sleep(REST)
                with threadpool_limits(threads):
                    began = time.perf_counter()
                    job(threads)
                    found[name] = min(found[name], Time(time.perf_counter() - began, threads))
    return found


def compare_fits(fit: Fit, counts: list[int]) -> None:
    """Print a row: seconds, ratios, and the share of the rows that each gets right."""
    single = fit.x.astype(np.float32)
    jobs, models = {}, {}
    for name, kind in KINDS.items():
        for x in (fit.x, single):
            model = kind(random_state=0, **fit.parameters)
            label = f"{name} {x.dtype}"
            models[label] = model
            jobs[label] = lambda threads, model=model, x=x: model.fit(x, fit.y)
    times = best(jobs, counts)
    cells = [f"{1e3 * times[label].seconds:.1f} ({times[label].threads})" for label in jobs]
    ratios = [
        f"{times[f'scikit-learn {theirs}'].seconds / times[f'fastbp {ours}'].seconds:.1f}"
        for theirs, ours in (("float64", "float64"), ("float32", "float32"), ("float64", "float32"))
    ]
    scores = [f"{100 * model.score(fit.x, fit.y):.2f}" for model in models.values()]
    print(f"| {fit.name} | {' | '.join([*cells, *ratios, ', '.join(scores)])} |", flush=True)


def repeated(ask: Callable[[Any], Any], x: Any, calls: int) -> Callable[[int], None]:
    """Return a job that asks for the same again and again."""

    def run(threads: int) -> None:
        for _ in range(calls):
            ask(x)

    return run


def compare_predictions(counts: list[int], text: str) -> None:
    """Print rows: microseconds and ratio of a prediction."""
    compare_predictions_of("", *digits(), counts, text)
    compare_predictions_of("sparse, 0.4 %, ", *documents(0.004), counts, text)


def compare_predictions_of(kind: str, x: Any, y: Any, counts: list[int], text: str) -> None:
    """Print those of some data."""
    models = {name: kind(max_iter=5, random_state=0).fit(x, y) for name, kind in KINDS.items()}
    for method in ("predict", "predict_proba"):
        for rows in (1, 1000):
            name = f"{kind}{method} of {rows} row{'s' * (rows > 1)}"
            if text not in name:
                continue
            calls = max(1, CALLS // rows)
            jobs = {
                each: repeated(getattr(model, method), x[:rows], calls)
                for each, model in models.items()
            }
            theirs, ours = (one.seconds / calls * 1e6 for one in best(jobs, counts).values())
            print(f"| {name} | {theirs:.1f} | {ours:.1f} | {theirs / ours:.1f} |", flush=True)


def main(text: str = "") -> None:
    """Print both tables."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    counts = sorted({1, cores()})
    print(
        "; ".join(f"{key} {value}" for key, value in facts().items()), f"; scikit-learn {version}"
    )
    print("\nMilliseconds (threads), ratios, percent right in the order of the times:\n")
    print("| fit | scikit-learn float64 | float32 | fastbp float64 | float32 "
          "| ratio float64 | float32 | float64 to float32 | score |")  # fmt: skip
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for fit in fits():
        if text in fit.name:
            compare_fits(fit, counts)
    print("\nMicroseconds:\n\n| prediction | scikit-learn | fastbp | ratio |")
    print("| --- | --- | --- | --- |")
    compare_predictions(counts, text)


if __name__ == "__main__":
    main(*sys.argv[1:])
