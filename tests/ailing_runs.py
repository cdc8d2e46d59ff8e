"""Trainings by recipe: what is trained, how, and what came of it."""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from training_problems import Problem

import fastbp
from fastbp import Dense

ADAM = fastbp.Adam(0.005)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; what stands here as default is healthy."""

    problem: Problem
    hidden: tuple[int, ...] = (32,)
    activation: Any = "relu"
    initializer: Any = "glorot_uniform"
    bias: float = 0.0
    output_initializer: Any = "glorot_uniform"
    output_bias: float = 0.0
    loss: str = "cross_entropy"
    optimizer: Any = ADAM
    batch_size: int = 32
    epochs: int = 60
    shuffle: bool = True
    scale: float = 1.0  # of the inputs
    rescale: float = 1.0  # by a first layer
    penalty: float = 0.0
    dropout: float = 0.0
    stopping: Any = None  # keywords of EarlyStopping
    stop_at_loss: float | None = None
    class_weight: Any = None
    seed: int = 0

    def change(self, **fields: Any) -> Recipe:
        return replace(self, **fields)

    def at_rate(self, rate: float) -> Recipe:
        return replace(self, optimizer=dataclasses.replace(self.optimizer, learning_rate=rate))

    def targets(self, y: Any) -> Any:
        """Return targets as the loss takes them."""
        if self.problem.classes > 2 and self.loss != "cross_entropy":
            return np.eye(self.problem.classes)[y]
        return y

    def network(self) -> fastbp.Network:
        layers: list[Any] = [] if self.rescale == 1 else [fastbp.Rescale(self.rescale)]
        for width in self.hidden:
            layers.append(
                Dense(
                    width,
                    self.activation,
                    weights_initializer=self.initializer,
                    bias_initializer=fastbp.initializers.Constant(self.bias),
                    weights_regularizer=fastbp.regularizers.L2(self.penalty),
                )
            )
            if self.dropout:
                layers.append(fastbp.Dropout(self.dropout))
        activation, loss, metric = self.ending()
        layers.append(
            Dense(
                self.problem.outputs,
                activation,
                weights_initializer=self.output_initializer,
                bias_initializer=fastbp.initializers.Constant(self.output_bias),
            )
        )
        return fastbp.Network(
            layers,
            input_shape=self.problem.x.shape[1],
            loss=loss,
            optimizer=self.optimizer,
            metrics=metric,
            seed=self.seed,
        )

    def ending(self) -> tuple[str, str, list[str]]:
        """Return the last activation, the loss and the metrics."""
        if not self.problem.classes:
            return "identity", self.loss, ["r2"]
        if self.problem.classes == 2:
            loss = "binary_crossentropy" if self.loss == "cross_entropy" else self.loss
            return "sigmoid", loss, ["accuracy"]
        if self.loss == "cross_entropy":
            return "softmax", "sparse_categorical_crossentropy", ["accuracy"]
        return "sigmoid", self.loss, ["accuracy"]


@dataclass(frozen=True)
class Run:
    """What came of a recipe."""

    recipe: Recipe
    net: fastbp.Network
    history: Any
    data: Any

    @property
    def loss(self) -> float:
        """The loss over all rows it learned from."""
        return self._evaluated(self.recipe.problem.x, self.recipe.problem.y)["loss"]

    @property
    def test_loss(self) -> float:
        return self._evaluated(self.recipe.problem.test_x, self.recipe.problem.test_y)["loss"]

    def _evaluated(self, x: Any, y: Any) -> Any:
        return self.net.evaluate(x * self.recipe.scale, self.recipe.targets(y))

    @property
    def score(self) -> float:
        """How well it does with test rows: the mean recall of the classes, or R2."""
        problem = self.recipe.problem
        return self._score(problem.test_x, problem.test_y)

    @property
    def training_score(self) -> float:
        return self._score(self.recipe.problem.x, self.recipe.problem.y)

    def hidden_outputs(self) -> list[Any]:
        """Return the outputs of hidden layers of relu for the rows it learned from."""
        x, outputs = self.data[0], []
        for layer in self.net.layers[:-1]:
            x = np.maximum(x @ layer.weights + layer.biases, 0)
            outputs.append(x)
        return outputs

    def _score(self, x: Any, y: Any) -> float:
        outputs = self.net.predict(x * self.recipe.scale)
        classes = self.recipe.problem.classes
        if not classes:
            outputs = outputs.reshape(y.shape)
            return float(1 - ((outputs - y) ** 2).mean() / ((y - y.mean(0)) ** 2).mean())
        said = outputs.reshape(-1) > 0.5 if classes == 2 else outputs.argmax(1)
        return float(np.mean([(said[y == k] == k).mean() for k in range(classes)]))


def run(recipe: Recipe, monitor: Any = None) -> Run:
    """Train as the recipe says."""
    return train(recipe, [] if monitor is None else [monitor])


def train(recipe: Recipe, callbacks: list[Any]) -> Run:
    problem, net = recipe.problem, recipe.network()
    x, y = problem.x * recipe.scale, recipe.targets(problem.y)
    if recipe.stopping is not None:
        callbacks.append(fastbp.callbacks.EarlyStopping(**recipe.stopping))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastbp.DivergenceWarning)
        warnings.simplefilter("ignore", fastbp.ConvergenceWarning)
        history = net.fit(
            x,
            y,
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            shuffle=recipe.shuffle,
            validation_data=(problem.test_x * recipe.scale, recipe.targets(problem.test_y)),
            stop_at_loss=recipe.stop_at_loss,
            class_weight=recipe.class_weight,
            callbacks=callbacks,
            verbose=0,
        )
    return Run(recipe, net, history, (x, y))
