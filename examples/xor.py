"""Exclusive or: the smallest task that needs a hidden layer, and not every start solves it.

    python examples/xor.py [picture.png]

Two hidden units and one output, sigmoids, half squared errors, gradients summed over the four rows.
Gradient descent finds a minimum nearby, which need not be the lowest: so it begins 100 times.
"""

import argparse

import numpy as np

import fastbp
from fastbp.initializers import Uniform
from fastbp.insight import restarts

INPUTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
TARGETS = np.array([0, 1, 1, 0])
EPOCHS = 10_000
WRONG = 1 / 8  # what one output on the wrong side of one half costs at least


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


def main(arguments=None):
    """Print what the best start comes to and how many solve it; return their number."""
    parser = argparse.ArgumentParser(description="Train a network on exclusive or, many times.")
    parser.add_argument("picture", nargs="?", help="a file to draw the losses of all starts to")
    parser.add_argument("--starts", type=int, default=100)
    options = parser.parse_args(arguments)
    found = restarts(
        build(), INPUTS, TARGETS, n=options.starts, epochs=EPOCHS, shuffle=False, verbose=0
    )
    for (a, b), target, output in zip(INPUTS, TARGETS, found.best.predict(INPUTS), strict=True):
        print(f"{a} xor {b} = {target}: {output.item():.4f}")
    solved = int((found.losses < WRONG).sum())
    print(f"{solved} of {options.starts} starts solve it")
    if options.picture:
        found.plot().figure.savefig(options.picture)
    return solved


if __name__ == "__main__":
    main()
