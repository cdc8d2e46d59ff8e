"""A classifier trained from files, of which no more than a few buffers are ever in memory.

    python examples/larger_than_memory.py FOLDER [--rows N]

Writes two .npy files to FOLDER, a part at a time: rows of 784 bytes, and the class of each, which
is where in the row the bright part is. Then trains on nine tenths of the rows and evaluates on the
last.
"""

import argparse
from pathlib import Path

import numpy as np

import fastbp

INPUTS, CLASSES, PART = 784, 10, 10_000


def draw(rng, rows):
    """Return rows of noise with one bright part each, and where it is."""
    labels = rng.integers(0, CLASSES, rows)
    x = rng.integers(0, 100, (rows, INPUTS), np.uint8)
    places = labels[:, None] * (INPUTS // CLASSES) + np.arange(INPUTS // CLASSES)
    np.put_along_axis(x, places, np.take_along_axis(x, places, 1) + 50, 1)
    return x, labels


def write(folder, rows):
    """Write both files without ever holding all rows; return them mapped into memory."""
    x = np.lib.format.open_memmap(folder / "x.npy", "w+", np.uint8, (rows, INPUTS))
    y = np.lib.format.open_memmap(folder / "y.npy", "w+", np.int64, (rows,))
    rng = np.random.default_rng(0)
    for start in range(0, rows, PART):
        part = slice(start, min(start + PART, rows))
        x[part], y[part] = draw(rng, part.stop - part.start)
    return x, y


def main(arguments=None):
    """Train for two epochs; return the figures of the rows that were kept apart."""
    parser = argparse.ArgumentParser(description="Train from files larger than memory.")
    parser.add_argument("folder", type=Path, help="where to write the files")
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args(arguments)
    x, y = write(options.folder, options.rows)
    kept = options.rows * 9 // 10
    network = fastbp.Network(
        [
            fastbp.Rescale(1 / 255),
            fastbp.Dense(32, activation="relu"),
            fastbp.Dense(CLASSES, activation="softmax"),
        ],
        input_shape=INPUTS,
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        seed=0,
    )
    network.fit(fastbp.Batches(x[:kept], y[:kept], batch_size=128), epochs=2, verbose=1)
    figures = network.evaluate(fastbp.Batches(x[kept:], y[kept:]))
    print(f"test loss: {figures['loss']:.4f}, test accuracy: {100 * figures['accuracy']:.2f} %")
    return figures


if __name__ == "__main__":
    main()
