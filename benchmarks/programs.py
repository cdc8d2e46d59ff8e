"""Programs of examples/ beside the NumPy loops that they replace, and `fastbp.mlp` by iteration.

    python -m benchmarks.programs

from the root of the repository. Both sides of a ratio begin at the same weights and take turns;
each stands with its fastest run, ours from a network that is built to errors and predictions as
arrays. The NumPy loop of exclusive or records nothing. What comes out is compared before it is
timed.
"""

from __future__ import annotations

import importlib.util
import time
from functools import partial
from pathlib import Path

import numpy as np

import fastbp
from fastbp import mlp
from fastbp.bench.peers import textbook

EXAMPLES = Path(__file__).parents[1] / "examples"
TURNS, RUNS = 5, 7  # a turn is one run of the loop and so many of ours
ORIGINAL = 500  # published microseconds an iteration of the original of fastbp.mlp
SAMPLE = np.array([0.1, 0.4, 4.1]), np.array([0.2])
ITERATIONS = 20_000


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def one_neuron():
    """Return the loop, ours and what builds it; the first two give errors, predictions, weights."""
    program = example("one_neuron")
    neuron = program.build()
    start = np.random.RandomState(0).rand(2)

    def loop():
        rate, target = 0.01, program.TARGET
        *w, errors, predictions = textbook.neuron(
            *start, *program.INPUTS[0], target, rate, program.STEPS
        )
        return errors, predictions, w

    def ours():
        neuron.set_parameters(start)
        return *program.train(neuron), neuron.parameters

    return loop, ours, program.build


def xor():
    """Return the loop, ours and what builds it; the first two give the parameters."""
    program = example("xor")
    network = program.build()
    start = np.random.RandomState(0).rand(9)
    w1, w2, b1, b2 = np.split(start, [4, 6, 8])
    x, y = program.INPUTS, program.TARGETS[:, None]

    def loop():
        matrices = w1.reshape(2, 2), b1[None], w2[:, None], b2[None]
        w_1, b_1, w_2, b_2 = textbook.xor(*matrices, x, y, 0.1, program.EPOCHS)
        return (np.concatenate([part.ravel() for part in (w_1, w_2, b_1, b_2)]),)

    def ours():
        network.set_parameters(start)
        program.train(network)
        return (network.parameters,)

    return loop, ours, program.build


def seconds(run, runs):
    """Return the processor time of the fastest of some runs: all of them work on one thread."""
    times = []
    for _ in range(runs):
        began = time.process_time()
        run()
        times.append(time.process_time() - began)
    return min(times)


def ratio(name, loop, ours, build):
    """Print both times and their ratio."""
    for right, got in zip(loop(), ours(), strict=True):
        np.testing.assert_allclose(got, right, rtol=0, atol=1e-12)
    pairs = [(seconds(loop, 1), seconds(ours, RUNS)) for _ in range(TURNS)]
    a, b = map(min, zip(*pairs, strict=True))
    print(
        f"{name}: NumPy loop {a * 1e3:.0f} ms, fastbp {b * 1e3:.2f} ms, ratio {a / b:.0f}", end=""
    )
    c = b + seconds(build, RUNS)
    print(f"; with the building of the network {c * 1e3:.2f} ms, ratio {a / c:.0f}")


def by_iteration():
    """Print what an iteration of 3-7-5-4-1 takes, beside its floor: the fit without a visit."""

    def train(**more):
        np.random.seed(0)  # noqa: NPY002 - what decides the weights there
        arguments = {"net_arch": [7, 5, 4], "max_iter": 500, "learning_rate": 0.7} | more
        return mlp.MLP.train(*SAMPLE, **arguments)

    trained = train()
    x, y = SAMPLE[0][None], SAMPLE[1]
    layers = [
        fastbp.Dense(len(w), activation="sigmoid", use_bias=False, weights_initializer=w.T)
        for w in map(np.atleast_2d, trained["initial_w"])
    ]
    network = fastbp.Network(
        layers, input_shape=3, loss="squared_error", optimizer=fastbp.SGD(0.7), dtype="float64"
    )
    count = trained["elapsed_iter"]
    rows = {
        "fit alone": (partial(network.fit, x, y, epochs=ITERATIONS, verbose=0), ITERATIONS),
        "to the tolerance, the call and all": (train, count),
        "many": (partial(train, max_iter=ITERATIONS, tolerance=-1), ITERATIONS),
        "faithful": (partial(train, faithful=True), train(faithful=True)["elapsed_iter"]),
    }
    for name, (run, iterations) in rows.items():
        taken = seconds(run, 3 * RUNS) / iterations * 1e6
        print(f"mlp, {name}: {taken:.2f} us an iteration, {ORIGINAL} us is {ORIGINAL / taken:.0f}")


def main():
    """Print all of them."""
    ratio("one neuron", *one_neuron())
    ratio("exclusive or", *xor())
    by_iteration()


if __name__ == "__main__":
    main()
