"""Networks that are no chains: what the tests of both engines go through."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import fastbp
from fastbp.graph import traced
from fastbp.layers import Activation, Add, Concatenate, Dense, Dropout, Flatten, Rescale
from fastbp.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Huber,
    Loss,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from fastbp.lowering import lower_graph
from fastbp.plan import Plan


class Case(NamedTuple):
    """What a network is made of, and what its outputs are to be."""

    inputs: Any
    outputs: Any
    losses: tuple[Loss, ...] = (MeanSquaredError(),)
    weights: tuple[float, ...] = (1.0,)

    def plan(self, dtype: Any) -> Plan:
        return lower_graph(traced(self.inputs, self.outputs), dtype, self.losses, self.weights)

    def network(self, Network: Any = fastbp.Network, **options: Any) -> Any:
        return Network(
            inputs=self.inputs, outputs=self.outputs, loss=self.losses, loss_weights=self.weights,
            **options,
        ) if len(self.losses) > 1 else Network(
            inputs=self.inputs, outputs=self.outputs, loss=self.losses[0],
            loss_weights=self.weights, **options,
        )  # fmt: skip


def residual(units: int, inputs: int = 5) -> Case:
    x = fastbp.Input(inputs)
    h = Dense(units, "tanh")(x)
    h = Add()([h, Dense(units)(Dense(units + 1, "relu")(h))])
    h = Add()([h, Dense(units, "relu")(h)])
    return Case(x, Dense(3, "tanh")(h), (Huber(),), (2.0,))


def two_inputs() -> Case:
    a, b = fastbp.Input(4), fastbp.Input((2, 3))
    pixels = Flatten()(Rescale(0.5)(b))
    joined = Concatenate()([Dense(6, "silu")(a), pixels, a])
    return Case((a, b), Dense(2, "sigmoid")(Dense(17, "gelu")(joined)), (BinaryCrossentropy(),))


def two_outputs() -> Case:
    x = fastbp.Input(6)
    h = Dense(19, "relu")(x)
    outputs = Dense(4, "softmax")(h), Dense(2)(Dense(7, "elu")(h))
    return Case(x, outputs, (SparseCategoricalCrossentropy(), MeanSquaredError()), (0.7, 1.5))


def diamond() -> Case:
    x = fastbp.Input(3)
    h = Dense(4, "tanh")(x)
    ways = Dense(5, "tanh")(h), Dense(5, "sigmoid")(h), Activation("softplus")(Dense(5)(h))
    return Case(x, Dense(2)(Add()(ways)))


def straight() -> Case:
    x = fastbp.Input(3)
    return Case(x, (x, Dense(3, "tanh")(x)), (MeanSquaredError(), Huber()), (0.5, 1.0))


def twice() -> Case:
    x = fastbp.Input(4)
    h = Dense(4, "tanh")(x)
    return Case(x, Dense(3)(Add()([h, x, h, x])))


def output_inside() -> Case:
    """Outputs that others read, one of them with a cross-entropy fused to its softmax."""
    x = fastbp.Input(5)
    h = Dense(6, "tanh")(x)
    y = Dense(4, "softmax")(h)
    z = Activation("sigmoid")(Dense(3)(Concatenate()([y, h])))
    end = Dense(2)(Concatenate()([z, y, z]))
    losses = MeanSquaredError(), CategoricalCrossentropy(), BinaryCrossentropy(), Huber()
    return Case(x, (h, y, z, end), losses, (0.3, 1.0, 0.8, 2.0))


def flat_and_not() -> Case:
    """One tensor as two outputs, in two shapes; a concatenation along the first axis of two."""
    a, b = fastbp.Input((2, 3)), fastbp.Input((2, 3))
    joined = Concatenate(1)([Rescale(2.0)(a), b, a])
    joined = Concatenate(-1)([joined, Activation("tanh")(joined)])
    losses = MeanSquaredError(), Huber(), MeanSquaredError()
    flat = Flatten()(joined)
    return Case((a, b), (joined, flat, Dense(4)(flat)), losses, (1.0, 0.5, 1.0))


def dropped() -> Case:
    x = fastbp.Input(6)
    h = Dense(20, "relu")(x)
    return Case(x, Dense(3)(Add()([Dropout(0.3)(h), Dropout(0.5)(h), Rescale(0.5)(h)])))


def thinned() -> Case:
    """Structured dropouts of what others read too, behind a layer, and without one to follow."""
    x = fastbp.Input(20)
    h = Dense(40, "relu")(x)
    ways = (
        Dense(18, "tanh")(Dropout(0.4, structured=True)(h)),
        Dense(18)(Dropout(0.3, structured=True)(Dense(33, "relu")(h))),
        Dropout(0.5, structured=True)(Dense(18)(Dropout(0.4, structured=True)(h))),
    )
    return Case(x, Dense(3)(Add()(ways)))


def penalized() -> Case:
    """What parameters cost does not depend on what the loss counts."""
    x = fastbp.Input(5)
    costly = {"weights_regularizer": "l2", "bias_regularizer": fastbp.regularizers.L1(0.02)}
    h = Dense(18, "tanh", **costly)(x)
    h = Add()([h, Dense(18, weights_constraint=fastbp.constraints.MaxNorm(1.0))(h)])
    return Case(x, Dense(3, "tanh")(h), (Huber(),), (2.0,))


def penalized_outputs() -> Case:
    """Parameters that cost something beside several outputs."""
    x = fastbp.Input(5)
    h = Dense(18, "tanh", weights_regularizer="l2")(x)
    shared = Dense(3, "softmax", bias_regularizer=fastbp.regularizers.L1L2(0.03, 0.02))
    outputs = shared(h), shared(Dense(18, "relu")(h)), Dense(2)(h)
    losses = SparseCategoricalCrossentropy(), CategoricalCrossentropy(), Huber()
    return Case(x, outputs, losses, (0.5, 0.0, 2.0))


def frozen() -> Case:
    """A branch without anything to train, one that ends before it, and one that is trained."""
    a, b = fastbp.Input(4), fastbp.Input(4)
    still = Dense(5, "tanh", trainable=False)(a)
    trained = Dense(5, "tanh")(b)
    joined = Add()([still, trained, Dense(5, bias_trainable=False)(still), trained])
    return Case((a, b), Dense(2)(Concatenate()([joined, still, Rescale(2.0)(still)])))


def wide() -> Case:
    x = fastbp.Input(130)
    h = Dense(130, "relu")(x)
    h = Add()([h, Dense(130, "tanh")(h), Dense(130)(Dense(3)(h))])
    return Case(x, (Dense(300)(h), Dense(2)(h)), (MeanSquaredError(), Huber()), (1.0, 3.0))


def long_terms() -> Case:
    """Sums of more than 256 terms, added to what others have left, by either way of a product."""
    x = fastbp.Input(9)
    h = Dense(40, "tanh")(x)
    return Case(x, Dense(3)(Concatenate()([Dense(520, "relu")(h), Dense(300)(h), h])))


def siamese() -> Case:
    """One layer, called on two inputs and on what it makes of one of them; and all of it twice."""
    a, b = fastbp.Input(18), fastbp.Input(18)
    shared, both = Dense(18, "tanh"), Dense(6, "gelu")
    h = both(Add()([shared(a), shared(b)]))
    other = both(Rescale(0.5)(shared(shared(b))))
    return Case((a, b), (h, Dense(3)(Concatenate()([h, other]))), (Huber(), MeanSquaredError()),
                (0.5, 1.0))  # fmt: skip


def recurrent(units: int, steps: int) -> Case:
    """A layer that goes on with what it has made, beside others and at last alone."""
    x = fastbp.Input(units)
    step = Dense(units, "tanh", weights_regularizer=0.01, weights_constraint=1.5)
    h = x
    for _ in range(steps):
        h = Add()([step(h), x])
    return Case(x, step(step(h)))


def shared_and_dropped() -> Case:
    """Calls of one layer, of which batches keep different units."""
    x = fastbp.Input(20)
    shared, still = Dense(20, "relu"), Dense(17, trainable=False)
    h = shared(Dropout(0.4, structured=True)(shared(x)))
    h = Dense(20, "tanh")(Dropout(0.3, structured=True)(h))
    return Case(x, Add()([still(Dropout(0.5, structured=True)(h)), still(h)]))


def deep(blocks: int = 66) -> Case:
    """Three operations a block."""
    x = fastbp.Input(4)
    h = Dense(6)(x)
    for _ in range(blocks):
        h = Rescale(0.7)(Add()([h, Dense(6, "tanh")(h)]))
    return Case(x, Dense(2)(h))


def grown(seed: int) -> Case:
    """A graph of every kind of layer, each drawn, as are its sizes and who reads whom."""
    rng = np.random.default_rng(seed)
    shapes = [(4,), (2, 3), (3, 1, 2), (17,)]
    inputs = [fastbp.Input(shapes[kind]) for kind in rng.integers(0, 4, rng.integers(1, 4))]
    tensors: list[Any] = list(inputs)
    for _ in range(rng.integers(4, 12)):
        tensors.append(_drawn_layer(rng, tensors))
    end = Dense(3)(Concatenate()([Flatten()(tensor) for tensor in tensors]))
    others = rng.choice(len(tensors), rng.integers(0, 3), replace=False)
    outputs = (*(tensors[other] for other in others), end)
    return Case(inputs, outputs, (MeanSquaredError(),) * len(outputs), (1.0,) * len(outputs))


def _drawn_layer(rng: Any, tensors: list[Any]) -> Any:
    """Return what a layer makes of some of the tensors."""
    x = tensors[rng.integers(len(tensors))]
    alike = [each for each in tensors if each.shape == x.shape]
    several = [alike[each] for each in rng.integers(0, len(alike), rng.integers(2, 5))]
    function = str(rng.choice(["tanh", "relu", "softmax", "gelu", "elu", "identity"]))
    return rng.choice(
        [
            lambda: Dense(int(rng.choice([1, 5, 8, 18])), function)(Flatten()(x)),
            lambda: Activation(function)(x),
            lambda: Rescale(float(rng.normal()))(x),
            lambda: Dropout(0.4, structured=bool(rng.integers(2)))(x),
            lambda: Flatten()(x),
            lambda: Add()(several),
            lambda: Concatenate(int(rng.integers(1, len(x.shape) + 1)))(several),
        ]
    )()


CASES = {
    "residual": residual(18),
    "narrow residual": residual(4),
    "two inputs": two_inputs(),
    "two outputs": two_outputs(),
    "diamond": diamond(),
    "straight": straight(),
    "twice": twice(),
    "output inside": output_inside(),
    "flat and not": flat_and_not(),
    "dropped": dropped(),
    "thinned": thinned(),
    "penalized": penalized(),
    "frozen": frozen(),
    "wide": wide(),
    "long terms": long_terms(),
    "deep": deep(),
    "siamese": siamese(),
    "recurrent": recurrent(5, 3),
    "wide recurrent": recurrent(140, 2),
    "shared and dropped": shared_and_dropped(),
    "penalized outputs": penalized_outputs(),
}
