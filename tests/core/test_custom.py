"""Custom parts in both engines: the same answers, and the same bits on any number of threads.

The values are those of the same built-in parts in test_custom.py one floor up.
"""

from __future__ import annotations

from typing import Any

import custom_parts as parts
import numpy as np
import pytest
from engine_pair import Pair

import fastbp
from fastbp.layers import Activation, Dense, Dropout, Rescale
from fastbp.losses import MeanSquaredError
from fastbp.optimizers import SGD, Adam

pytestmark = pytest.mark.usefixtures("core")

TANH, SILU = parts.ACTIVATIONS.values()
# Where functions stand: at either end, in a row, behind narrow layers and wide ones.
CHAINS: dict[str, list[Any]] = {
    "inside": [Dense(6, TANH), Dense(4)],
    "first": [Activation(TANH), Dense(4)],
    "last": [Dense(4), Activation(SILU)],
    "two in a row": [Dense(6, TANH), Activation(SILU), Dense(4, "tanh"), Dropout(0.3), Dense(4)],
    "layers": [parts.dense(6), Dropout(0.3), parts.dense(5), Rescale(0.5), Dense(4)],
    "layers alone": [parts.dense(4)],
    "no parameters": [Dense(7, "relu"), parts.SOFTMAX, Dense(4)],
    "frozen": [Dense(5), parts.dense(5, trainable=False), Dense(4)],
    "frozen before": [parts.dense(5, trainable=False), Activation(TANH), Dense(4)],
    "wide": [Dense(180), Activation(TANH), Dense(120, TANH), Dense(4)],
}


@pytest.mark.parametrize("rows", [1, 70])
@pytest.mark.parametrize("chain", CHAINS)
def test_engines_agree(chain: str, rows: int, dtype: str, n_threads: int) -> None:
    Pair(CHAINS[chain], 5, MeanSquaredError(), dtype=dtype, n_threads=n_threads, rows=rows).check()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", parts.LOSSES)
def test_engines_agree_on_losses(loss: str, weighted: bool, dtype: str, n_threads: int) -> None:
    for chain in ([Dense(6, "tanh"), Dense(4)], [Dense(6, TANH), Dropout(0.2), Dense(4)]):
        Pair(
            chain, 5, parts.LOSSES[loss][0], dtype=dtype, n_threads=n_threads, weighted=weighted
        ).check()


@pytest.mark.parametrize("chain", ["two in a row", "layers", "wide"])
def test_engines_agree_after_training(chain: str, dtype: str) -> None:
    pair = Pair(CHAINS[chain], 5, parts.SQUARES, Adam(0.01), dtype=dtype, rows=70, n_threads=2)
    records = pair.fit(epochs=3, batch_size=16, validation=pair.data)
    limit = 1e-4 if dtype == "float32" else 1e-9
    for name, curve in records[0].curves.items():
        pair.agree(name, curve, records[1].curves[name], limit)
    pair.agree_by_tensor("parameter", lambda e: e.parameters, limit)


@pytest.mark.parametrize("chain", CHAINS)
def test_any_number_of_threads_gives_the_same_bits(chain: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 5)), rng.normal(size=(300, 4))
    answers = set()
    for n_threads in (1, 2, 3, 8):
        net = fastbp.Network(
            CHAINS[chain],
            input_shape=5,
            loss=parts.SQUARES,
            optimizer=Adam(0.01, clip_norm=1.0),
            dtype=dtype,
            seed=1,
            n_threads=n_threads,
        )
        net.fit(x, y, epochs=2, batch_size=130, validation_data=(x, y))
        net.loss_and_gradients(x, y)
        answers.add(net.parameters.tobytes() + net.gradients.tobytes() + net.predict(x).tobytes())
    assert len(answers) == 1


def test_layers_around_a_function_have_the_bits_of_a_plan_without(isa: str, dtype: str) -> None:
    """Copying is exact: so the other layers compute what they do without it."""
    same = fastbp.layers.Custom(lambda x: x, lambda x, y, dy: dy)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 5)), rng.normal(size=(300, 4))
    answers = set()
    for between in ([], [same], [same, same]):
        chain = [*between, Dense(7, "tanh"), *between, Dense(150, "relu"), *between, Dense(4)]
        for n_threads in (1, 2):
            net = fastbp.Network(
                chain,
                input_shape=5,
                loss="mse",
                optimizer=SGD(0.05, momentum=0.9),
                dtype=dtype,
                seed=1,
                n_threads=n_threads,
            )
            net.fit(x, y, epochs=2, batch_size=130)
            answers.add(net.parameters.tobytes() + net.predict(x).tobytes())
    assert len(answers) == 1


@pytest.mark.parametrize("chain", CHAINS)
def test_gradients_agree_with_central_differences(chain: str) -> None:
    from gradient_check import check_gradients

    layers = [layer for layer in CHAINS[chain] if not isinstance(layer, Dropout)]
    rng = np.random.default_rng(0)
    net = fastbp.Network(layers, input_shape=5, loss=parts.SQUARES, dtype="float64", seed=1)
    places = np.unique(rng.integers(0, net.n_parameters, 40))
    check_gradients(net, rng.normal(size=(7, 5)), rng.normal(size=(7, 4)), places=places)


def test_a_planted_error_in_a_derivative_is_seen() -> None:
    from gradient_check import check_gradients

    wrong = fastbp.activations.Custom(np.tanh, lambda z: 1.001 - np.tanh(z) ** 2)
    net = fastbp.Network(
        [Dense(6, wrong), Dense(4)], input_shape=5, loss="mse", dtype="float64", seed=1
    )
    rng = np.random.default_rng(0)
    with pytest.raises(AssertionError, match="gradients"):
        check_gradients(net, rng.normal(size=(7, 5)), rng.normal(size=(7, 4)))


def branches(tanh: Any, scale: Any, engine: Any, losses: tuple[Any, Any]) -> Any:
    """Return a graph whose functions stand in branches that meet again, with two outputs."""
    x = fastbp.Input(5)
    shared = Dense(6, tanh)(x)
    left = Dense(6)(Activation(tanh)(shared))
    right = Dense(6, trainable=False)(scale(shared))
    both = fastbp.Add()([left, shared, right])
    outputs = [Dense(4)(both), Dense(2)(Activation(tanh)(both))]
    return engine(inputs=x, outputs=outputs, loss=losses, loss_weights=(1, 0.5), seed=2,
                  dtype="float64", n_threads=2)  # fmt: skip


@pytest.mark.parametrize("engine", [fastbp.Network, fastbp.reference.Network])
def test_functions_in_branches_are_like_built_in_parts(engine: Any) -> None:
    halve = fastbp.layers.Custom(lambda x: x / 2, lambda x, y, dy: dy / 2)
    own = branches(TANH, halve, engine, (parts.SQUARES, "mse"))
    like = branches("tanh", Rescale(0.5), engine, ("mse", "mse"))
    np.testing.assert_array_equal(own.parameters, like.parameters)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(70, 5)), (rng.normal(size=(70, 4)), rng.normal(size=(70, 2)))
    for net in (own, like):
        net.fit(x, y, epochs=3, batch_size=16, validation_data=(x, y))
        net.loss_and_gradients(x, y)
    np.testing.assert_allclose(own.gradients, like.gradients, rtol=0, atol=1e-11)
    for net in (own, like):
        net.forward(x)
    back = [net.backward(y) for net in (own, like)]
    np.testing.assert_allclose(*back, rtol=0, atol=1e-11)
    np.testing.assert_allclose(own.parameters, like.parameters, rtol=0, atol=1e-11)
    for a, b in zip(own.predict(x), like.predict(x), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)
