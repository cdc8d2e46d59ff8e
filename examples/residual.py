"""Read handwritten digits by a network with a residual block and two outputs.

The first output tells the digit, the second whether it is odd; both stand on the same hidden
layers, and the loss of the second counts a fifth.

    python examples/residual.py
"""

from __future__ import annotations

import fastbp
from fastbp import datasets


def build() -> fastbp.Network:
    """Return the network: 64 pixels, to ten probabilities and one."""
    pixels = fastbp.Input(64)
    hidden = fastbp.Dense(64, activation="relu")(fastbp.Rescale(1 / 16)(pixels))
    block = fastbp.Dense(64)(fastbp.Dense(32, activation="relu")(hidden))
    hidden = fastbp.Activation("relu")(fastbp.Add()([hidden, block]))
    return fastbp.Network(
        inputs=pixels,
        outputs=(
            fastbp.Dense(10, activation="softmax")(hidden),
            fastbp.Dense(1, activation="sigmoid")(hidden),
        ),
        loss=("sparse_categorical_crossentropy", "binary_crossentropy"),
        loss_weights=(1, 0.2),
        metrics=("accuracy", "accuracy"),
        seed=0,
    )


def main() -> dict[str, float]:
    """Train, print what came of it and return losses and accuracies on the last 397 digits."""
    x, y = datasets.digits()
    net = build()
    print(net.summary())
    net.fit(x[:1400], (y[:1400], y[:1400] % 2), epochs=20, verbose=0)
    values: dict[str, float] = net.evaluate(x[1400:], (y[1400:], y[1400:] % 2))
    for name, value in values.items():
        print(f"{name}: {value:.3f}")
    return values


if __name__ == "__main__":
    main()
