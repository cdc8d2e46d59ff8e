"""One neuron learns one number: 80,000 steps of gradient descent, each recorded.

    python examples/one_neuron.py [PICTURE]

Two inputs, a sigmoid, no bias, and the error (p - t)^2. Error and prediction of every step are on
record; a PICTURE such as neuron.png shows them, for which matplotlib is needed.
"""

import argparse

import fastbp
from fastbp import plotting
from fastbp.initializers import Uniform

INPUTS = [[0.1, 0.4]]
TARGET = 0.7
STEPS = 80_000


def build(seed=0):
    """Return the untrained neuron, its two weights uniform in [0, 1)."""
    return fastbp.Network(
        [fastbp.Dense(1, activation="sigmoid", use_bias=False, weights_initializer=Uniform(0, 1))],
        input_shape=2,
        loss="squared_error",
        optimizer=fastbp.SGD(learning_rate=0.01),
        dtype="float64",
        seed=seed,
    )


def train(neuron):
    """Return error and prediction of each step, from before its update."""
    history = neuron.fit(INPUTS, [TARGET], epochs=STEPS, record_outputs=True, verbose=0)
    predictions = history.outputs[:, 0, 0]
    errors = predictions - TARGET  # history["loss"] has them squared, as a list
    errors *= errors
    return errors, predictions


def draw(errors, predictions, path):
    """Write a picture of both."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.6), layout="constrained")
    plotting.descent(*figure.subplots(1, 2), errors, predictions[:, None], [TARGET])
    figure.savefig(path, dpi=150)


def main(arguments=None):
    """Train, print both ends, draw if asked to; return errors and predictions."""
    parser = argparse.ArgumentParser(description="Train one neuron, with a record of each step.")
    parser.add_argument("picture", nargs="?", help="a file to draw error and prediction to")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    errors, predictions = train(build(options.seed))
    for step in (0, STEPS - 1):
        print(f"step {step:6,}: prediction {predictions[step]:.10f}, error {errors[step]:.3g}")
    if options.picture:
        draw(errors, predictions, options.picture)
    return errors, predictions


if __name__ == "__main__":
    main()
