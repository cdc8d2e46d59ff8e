"""Exclusive or: the smallest task that needs a hidden layer, and not every start solves it.

    python examples/xor.py

Two hidden units and one output, sigmoids, half squared errors, gradients summed over the four rows.
Gradient descent finds a minimum nearby, which need not be the lowest: so it begins 100 times.
"""

import argparse

import numpy as np

import fastbp
from fastbp.initializers import Uniform

INPUTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
TARGETS = np.array([0, 1, 1, 0])
EPOCHS = 10_000


def layer(units):
    """Return a layer of sigmoids that begins anywhere in [0, 1)."""
    start = Uniform(0, 1)
    return fastbp.Dense(
        units, activation="sigmoid", weights_initializer=start, bias_initializer=start
    )


def build(seed=0):
    """Return the untrained network: 9 parameters."""
    return fastbp.Network(
        [layer(2), layer(1)],
        input_shape=2,
        loss=fastbp.losses.HalfSquaredError(reduction="sum"),
        optimizer=fastbp.SGD(learning_rate=0.1),
        dtype="float64",
        seed=seed,
    )


def train(network):
    """Return the history of a training: losses, and the four outputs, of each epoch."""
    return network.fit(
        INPUTS, TARGETS, epochs=EPOCHS, shuffle=False, record_outputs=True, verbose=0
    )


def is_solved(outputs):
    """Whether each of four outputs is on the right side of one half."""
    return ((outputs > 0.5) == TARGETS).all()


def main(arguments=None):
    """Print what the best start comes to and how many solve it; return their number."""
    parser = argparse.ArgumentParser(description="Train a network on exclusive or, many times.")
    parser.add_argument("--starts", type=int, default=100)
    options = parser.parse_args(arguments)
    lasts = [train(build(seed)).outputs[-1, :, 0] for seed in range(options.starts)]
    best = min(lasts, key=lambda outputs: ((outputs - TARGETS) ** 2).sum())
    for (a, b), target, output in zip(INPUTS, TARGETS, best, strict=True):
        print(f"{a} xor {b} = {target}: {output:.4f}")
    solved = sum(map(is_solved, lasts))
    print(f"{solved} of {options.starts} starts solve it")
    return solved


if __name__ == "__main__":
    main()
