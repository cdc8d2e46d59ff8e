"""Networks drawn at random, with data and options of a fit: what both engines are to agree on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from loss_cases import draw_targets

import fastbp
from fastbp import constraints, losses, regularizers, schedules
from fastbp.layers import Activation, Add, Concatenate, Custom, Dense, Dropout, Flatten, Rescale
from fastbp.tensors import Tensor

SMOOTH = ["tanh", "sigmoid", "softplus", "gelu", "silu", "mish"]
WIDTHS = [1, 2, 3, 5, 7, 8, 15, 16, 17, 20, 33]
OPTIMIZERS = {
    "sgd": lambda rate: fastbp.SGD(rate, momentum=0.5, nesterov=True),
    "plain": fastbp.SGD,
    "adam": lambda rate: fastbp.Adam(0.1 * rate),
    "adamw": lambda rate: fastbp.optimizers.AdamW(0.1 * rate, weight_decay=0.02),
    "clipped": lambda rate: fastbp.SGD(rate, momentum=0.9, clip_norm=0.3, weight_decay=0.01),
    "bounded": lambda rate: fastbp.optimizers.RMSprop(0.1 * rate, clip_value=0.05),
    "nadam": lambda rate: fastbp.optimizers.NAdam(0.1 * rate),
}


class Drawn(NamedTuple):
    """A network without an engine, and what it is trained with."""

    options: dict[str, Any]  # of Network
    x: tuple[np.ndarray, ...]
    y: tuple[np.ndarray, ...]
    fit: dict[str, Any]  # of fit

    def network(self, Network: Any = fastbp.Network, **options: Any) -> Any:
        return Network(**self.options | options)

    @property
    def data(self) -> tuple[Any, Any]:
        """x and y as `fit` takes them."""
        return alone(self.x), alone(self.y)


def alone(values: tuple[Any, ...]) -> Any:
    return values[0] if len(values) == 1 else values


def scaled(x: Any, factors: Any) -> Any:
    return x * factors


def scaled_back(x: Any, y: Any, dy: Any, factors: Any) -> Any:
    return dy * factors, (dy * x).sum(axis=0)


def gate(x: Any) -> Any:
    return x[0] * np.tanh(x[1])


def gate_back(x: Any, y: Any, dy: Any) -> Any:
    t = np.tanh(x[1])
    return dy * t, dy * x[0] * (1 - t * t)


def squashed(z: Any) -> Any:
    return np.sin(z)


def squashed_slope(z: Any) -> Any:
    return np.cos(z)


class Generator:
    """Draws a network from a seed; sizes are small, and everything smooth that can be."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.shared: list[tuple[Any, tuple[int, ...]]] = []  # layers, and rows that they take
        self.costly = True
        self.wide = [130] * 20 if self.chance(0.1) else []

    def pick(self, values: Any) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def dense(self, units: int) -> Dense:
        given: dict[str, Any] = {"activation": self.pick([*SMOOTH, None])}
        if self.chance(0.1):
            given["activation"] = fastbp.activations.Custom(squashed, squashed_slope)
        if self.chance(0.15):
            given["use_bias"] = False
        if self.chance(0.1):
            given["trainable"] = False
        if self.chance(0.1):
            given["bias_trainable"] = False
        if self.chance(0.15) and self.costly:
            given["weights_regularizer"] = regularizers.L2(0.01)
            given["bias_regularizer"] = regularizers.L1L2(0.001, 0.01)
        if self.chance(0.15) and self.costly:
            given["weights_constraint"] = constraints.MaxNorm(0.8, axis=self.pick([0, 1]))
        return Dense(units, **given)

    def grow(self, tensors: list[Tensor]) -> Tensor:
        """Return a tensor made of one of `tensors`, or of some."""
        h = self.pick(tensors)
        if len(h.shape) > 1:
            return self.pick([Flatten(), Rescale(0.5), Activation("tanh")])(h)
        alike = [t for t in tensors if t.shape == h.shape]
        kind = self.pick(
            ["dense"] * 5
            + ["shared"] * 2
            + ["add", "concatenate", "dropout", "structured", "rescale", "activation", "custom"]
        )
        if kind == "shared":
            known = [layer for layer, shape in self.shared if shape == h.shape]
            if known:
                return self.pick(known)(h)
        if kind in ("dense", "shared"):
            layer = self.dense(self.pick([*WIDTHS, *h.shape, *self.wide]))
            self.shared.append((layer, h.shape))
            return layer(h)
        if kind == "custom":
            if self.chance(0.5):
                start = fastbp.initializers.Constant(0.7)
                layer = Custom(scaled, scaled_back, parameters={"factors": (h.shape, start)})
                self.shared.append((layer, h.shape))
                return layer(h)
            return Custom(gate, gate_back)([h, self.pick(alike)])
        if kind == "add":
            return Add()([h, *(self.pick(alike) for _ in range(int(self.rng.integers(1, 3))))])
        if kind == "concatenate":
            return Concatenate()([h, self.pick([t for t in tensors if len(t.shape) == 1])])
        if kind in ("dropout", "structured"):
            return Dropout(self.pick([0.0, 0.2, 0.5]), structured=kind == "structured")(h)
        return Rescale(0.7)(h) if kind == "rescale" else Activation(self.pick(SMOOTH))(h)

    def output(self, h: Tensor) -> tuple[Tensor, losses.Loss]:
        """Return an output that reads a tensor, and its loss."""
        flat = h if len(h.shape) == 1 else Flatten()(h)
        n = int(self.rng.integers(1, 20))
        reduction = self.pick(["mean", "mean", "sum"])
        kind = self.pick(["labels", "classes", "yes", "numbers", "inside"])
        if kind == "labels":
            return Dense(n + 1, "softmax")(flat), losses.SparseCategoricalCrossentropy(
                reduction=reduction
            )
        if kind == "classes":
            return Dense(n + 1, "softmax")(flat), losses.CategoricalCrossentropy(
                reduction=reduction
            )
        if kind == "yes":
            return Dense(n, "sigmoid")(flat), losses.BinaryCrossentropy(reduction=reduction)
        loss = self.pick([losses.MeanSquaredError, losses.SquaredError])(reduction=reduction)
        return (Dense(n)(flat), loss) if kind == "numbers" else (h, loss)

    def network(self) -> Drawn:
        rng = self.rng
        optimizer = self.pick([*OPTIMIZERS, "lbfgs"])
        self.costly = optimizer != "lbfgs"
        shapes = [self.pick([(n,) for n in WIDTHS] + [(2, 3)]) for _ in range(rng.integers(1, 3))]
        inputs = [fastbp.Input(shape) for shape in shapes]
        tensors: list[Tensor] = list(inputs)
        for _ in range(int(rng.integers(1, 9))):
            tensors.append(self.grow(tensors))
        read = {source for tensor in tensors for source in tensor.inputs}
        ends = [tensor for tensor in tensors if tensor not in read]
        outputs = [self.output(end) for end in ends[:3]]
        rest = [t if len(t.shape) == 1 else Flatten()(t) for t in ends[3:]]
        if rest:
            outputs.append(self.output(Concatenate()(rest) if len(rest) > 1 else rest[0]))
        return self.drawn(tuple(inputs), outputs, optimizer)

    def drawn(self, inputs: Any, outputs: Any, optimizer: str) -> Drawn:
        rng, n_outputs = self.rng, len(outputs)
        n = int(rng.integers(3, 300 if self.chance(0.1) else 40))
        x = tuple(rng.normal(size=(n, *tensor.shape)) for tensor in inputs)
        y, weights, metrics = [], [], []
        for tensor, loss in outputs:
            width = int(np.prod(tensor.shape))
            t = draw_targets(loss, rng, n, width)
            y.append(t if t.ndim == 1 else t.reshape(n, *tensor.shape))
            weights.append(rng.uniform(0.1, 2, n) if self.chance(0.5) else None)
            metrics.append(self.pick(["accuracy", "mean_absolute_error", None]))
            if loss.labels and metrics[-1] == "mean_absolute_error":
                metrics[-1] = fastbp.metrics.TopKAccuracy(1)
        rate: Any = 0.02
        if self.chance(0.3) and optimizer in OPTIMIZERS:
            rate = self.pick(
                [
                    schedules.Exponential(0.02, 0.9, length=3),
                    schedules.Cosine(0.02, 4),
                ]
            )
            optimizer = "plain"
        made = OPTIMIZERS[optimizer](rate) if optimizer in OPTIMIZERS else optimizer
        several = n_outputs > 1
        options = {
            "inputs": inputs, "outputs": tuple(t for t, _ in outputs),
            "loss": tuple(loss for _, loss in outputs) if several else outputs[0][1],
            "loss_weights": tuple(float(self.pick([0.5, 1.0, 2.0])) for _ in outputs),
            "metrics": tuple(metrics) if several else [m for m in metrics if m],
            "optimizer": made, "dtype": "float64", "seed": int(rng.integers(1000)),
        }  # fmt: skip
        fit: dict[str, Any] = {
            "epochs": int(rng.integers(1, 4)), "batch_size": int(rng.integers(1, n + 3)),
            "shuffle": self.chance(0.7), "verbose": 0,
        }  # fmt: skip
        if any(w is not None for w in weights):
            fit["sample_weight"] = tuple(weights) if several else weights[0]
        classes = [loss.labels for _, loss in outputs]
        if any(classes) and self.chance(0.5):
            tables = tuple({0: 2.0, 1: 0.5} if labels else None for labels in classes)
            fit["class_weight"] = alone(tables)
        if self.chance(0.3):
            fit["validation_split"] = 0.34
        if self.chance(0.3):
            fit["gradient_accumulation_steps"] = 2
        return Drawn(options, x, tuple(y), fit)


def draw(seed: int) -> Drawn:
    """Return the network of a seed; some draws are no networks, and the next is taken."""
    while True:
        try:
            drawn = Generator(seed).network()
            drawn.network(fastbp.reference.Network)
        except ValueError as error:
            if "expected one that outputs depend on" not in str(error):
                raise
            seed += 1_000_003
            continue
        return drawn
