"""An image classifier: 28 x 28 bytes, 128 hidden units with dropout, 10 probabilities.

    python examples/mnist.py FOLDER

FOLDER holds MNIST, or a set in the same format such as Fashion-MNIST: the images and labels of a
"train" and a "t10k" part in four IDX files, compressed with gzip or not.
"""

import argparse
from pathlib import Path

import fastbp
from fastbp.datasets import read_idx


def load(folder, part):
    """Return images and labels of the files whose names begin with `part`."""
    return tuple(
        read_idx(find(folder, f"{part}*-{kind}-ubyte*")) for kind in ("images-idx3", "labels-idx1")
    )


def find(folder, pattern):
    """Return the one file of `folder` that matches `pattern`."""
    files = sorted(Path(folder).glob(pattern))
    if len(files) != 1:
        raise SystemExit(f"{folder}: expected one file {pattern}, found {len(files)}")
    return files[0]


def build(seed=0):
    """Return the untrained network: 101,770 parameters."""
    return fastbp.Network(
        [
            fastbp.Rescale(1 / 255),
            fastbp.Flatten(),
            fastbp.Dense(128, activation="relu"),
            fastbp.Dropout(0.2),
            fastbp.Dense(10, activation="softmax"),
        ],
        input_shape=(28, 28),
        loss="sparse_categorical_crossentropy",
        optimizer="adam",
        metrics=["accuracy"],
        seed=seed,
    )


def main(arguments=None):
    """Train on the "train" part for 5 epochs, evaluate on the other; return the test figures."""
    parser = argparse.ArgumentParser(description="Train a classifier of 28 x 28 images.")
    parser.add_argument("folder", help="where the IDX files are")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    network = build(options.seed)
    print(network.summary())
    network.fit(*load(options.folder, "train"), epochs=5, verbose=1)
    figures = network.evaluate(*load(options.folder, "t10k"))
    print(f"test loss: {figures['loss']:.4f}, test accuracy: {100 * figures['accuracy']:.2f} %")
    return figures


if __name__ == "__main__":
    main()
