"""A network in one call: hidden layers of 7, 5 and 4 units learn the target of one sample.

    python examples/one_call.py

`fastbp.mlp` has the interface of a textbook's module; what `train` returns is a plain dictionary.
"""

import numpy as np

import fastbp.mlp as MLP  # noqa: N812 - as scripts of the original have it

X = np.array([0.1, 0.4, 4.1])
Y = np.array([0.2])


def main():
    """Train, print where it ended and what it makes of another sample; return the dictionary."""
    trained = MLP.MLP.train(
        X, Y, net_arch=[7, 5, 4], max_iter=500, tolerance=1e-7, learning_rate=0.7
    )
    print(f"layers of {trained['net_arch']} units, {trained['elapsed_iter']} iterations,")
    print(f"{trained['training_time_sec'] * 1e3:.2f} ms; error {trained['network_error'][0]:.1e}")
    print(f"{X} gives {MLP.MLP.predict(trained, X):.7f}")
    other = np.array([0.2, 3.1, 1.7])
    print(f"{other} gives {MLP.MLP.predict(trained, other):.7f}")
    return trained


if __name__ == "__main__":
    main()
