"""Gradients of both engines against central differences, in float64.

Where a function has a kink a difference is no derivative: biases are set so that no net input comes
near 0, and targets so that no error comes near 0 or Huber's delta.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gradient_check import STEP, central_differences, check_backward, check_gradients, some_places
from loss_cases import UNLINKED, draw_targets, last_activation, pairs

import fastbp
from fastbp import Activation, Dense, Dropout, Flatten, Rescale, reference
from fastbp.activations import ACTIVATIONS, ELU, LeakyReLU
from fastbp.losses import LOSSES, CrossEntropy, Huber, Loss, ProbabilityLoss, Quantile
from fastbp.reference.activations import ACTIVATIONS as FUNCTIONS

# Far more than STEP times the change of any net input or error with any one number.
DISTANCE = 1e-3


def build(
    Network: type[fastbp.Network],
    layers: list[Any],
    inputs: Any,
    loss: Any = None,
    n_threads: int = 1,
) -> fastbp.Network:
    """Return a network with normal parameters, of about the same variance in every layer."""
    given = {"loss": loss, "dtype": "float64", "seed": 7, "n_threads": n_threads}
    net = Network(layers, input_shape=inputs, **given)
    rng = np.random.default_rng(0)
    for parameter, values in zip(net.plan.parameters, net.named_parameters().values(), strict=True):
        fan_in = parameter.shape[0] if parameter.role == "weights" else 4
        values[...] = rng.normal(0, 1.5 / np.sqrt(fan_in), parameter.shape)
    return net


def keep_from_kinks(net: fastbp.Network, x: np.ndarray) -> None:
    """Set biases of a chain of dense layers so that net inputs are on both sides of 0, not near."""
    for layer in net.layers:
        z = np.sort(x @ layer.weights, axis=0)
        widest = np.argmax(np.diff(z, axis=0), axis=0)
        columns = np.arange(z.shape[1])
        layer.biases[:] = -(z[widest, columns] + z[widest + 1, columns]) / 2
        z = x @ layer.weights + layer.biases
        assert np.abs(z).min() > DISTANCE
        assert (z > 0).any()
        assert (z < 0).any()
        f = layer.description.activation
        x = FUNCTIONS[f.name].forward(z, f.parameter)


def targets(net: fastbp.Network, x: np.ndarray) -> np.ndarray:
    """Return targets for a network's loss; errors are on all sides of a loss's kinks, not near."""
    rng = np.random.default_rng(1)
    y = net.predict(x)
    if net.loss.targets == "signs":
        t = rng.choice([-1.0, 1.0], y.shape)
        assert np.abs(1 - t * y).min() > DISTANCE
        return t
    if net.loss.targets != "values":
        return draw_targets(net.loss, rng, *y.shape)
    near, far = rng.uniform(0.2, 0.8, y.shape), rng.uniform(1.2, 1.9, y.shape)
    delta = net.loss.parameter or 1.0
    return y - delta * rng.choice([-1, 1], y.shape) * np.where(rng.random(y.shape) < 0.5, near, far)


def inputs(rows: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(2).normal(size=(rows, *shape))


def test_every_pair_is_there() -> None:
    """Seven losses follow everything; four want logits (9 activations) or probabilities; Poisson's
    wants logarithms, or rates (4 activations)."""
    assert len(pairs()) == 11 * 7 + 9 * 4 + 4 + 11 + 4


@pytest.mark.parametrize(("activation", "kind", "options"), pairs())
def test_gradients_of_every_activation_with_every_loss(
    Network: type[fastbp.Network], activation: str, kind: type[Loss], options: Any
) -> None:
    net = build(Network, [Dense(3, activation=activation)] * 2, 4, kind(**options))
    x = inputs(6, 4)
    keep_from_kinks(net, x)
    check_gradients(net, x, targets(net, x))


@pytest.mark.parametrize("activation", [*ACTIVATIONS, LeakyReLU(0.5), ELU(0.3)], ids=str)
def test_gradients_of_every_activation_with_respect_to_the_input(
    Network: type[fastbp.Network], activation: Any
) -> None:
    net = build(Network, [Dense(3, activation=activation), Dense(2, activation=activation)], 4)
    x = inputs(6, 4)
    keep_from_kinks(net, x)
    check_backward(net, x)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_of_activations_that_are_layers_of_their_own(
    Network: type[fastbp.Network], activation: str
) -> None:
    """A net input that an activation reads is then the output of another operation."""
    net = build(Network, [Dense(3), Activation(activation)], 4, "half_squared_error")
    x = inputs(6, 4)
    twin = build(Network, [Dense(3)], 4)
    keep_from_kinks(twin, x)
    net.set_parameters(twin.parameters)
    check_gradients(net, x, targets(net, x))
    check_backward(net, x)


LOGITS = [kind for kind in LOSSES.values() if issubclass(kind, ProbabilityLoss)]


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(
    ("kind", "more"),
    [(kind, {}) for kind in LOSSES.values()]
    + [(LOSSES[name], options) for name, options in UNLINKED.items()]
    + [(kind, {"label_smoothing": 0.3}) for kind in LOGITS if issubclass(kind, CrossEntropy)]
    + [(Quantile, {"quantile": 0.9})],
)
def test_gradients_under_reductions_and_sample_weights(
    Network: type[fastbp.Network], kind: Any, more: dict[str, Any], reduction: Any, weighted: bool
) -> None:
    activation = None if more == UNLINKED.get(kind.name) else last_activation(kind)
    layers = [Dense(3, activation="tanh"), Dense(9, activation=activation)]
    net = build(Network, layers, 3, kind(reduction, **more))
    x = inputs(7, 3)
    # One weight is 0, and they don't sum to 1.
    weights = np.array([0.0, 0.5, 2, 1, 3, 0.25, 1.5]) if weighted else None
    check_gradients(net, x, targets(net, x), weights)


@pytest.mark.parametrize("outputs", [1, 2, 20])
@pytest.mark.parametrize("own_layer", [False, True])
@pytest.mark.parametrize("kind", LOGITS)
def test_gradients_of_probabilities_fused_with_their_loss(
    Network: type[fastbp.Network], kind: Any, own_layer: bool, outputs: int
) -> None:
    """The loss goes back through them at once, backward() through them alone."""
    activation = kind.probability
    last = [Dense(outputs), Activation(activation)] if own_layer else [Dense(outputs, activation)]
    net = build(Network, [Rescale(2), Dropout(0.2), *last, Flatten()], 3, kind())
    assert net.plan.ops[-1].fused
    x = inputs(5, 3)
    check_gradients(net, x, targets(net, x))
    check_backward(net, x)


@pytest.mark.parametrize("delta", [0.3, 2.5])
def test_gradients_on_both_sides_of_hubers_delta(
    Network: type[fastbp.Network], delta: float
) -> None:
    net = build(Network, [Dense(3)], 3, Huber(delta=delta))
    x = inputs(8, 3)
    t = targets(net, x)
    sizes = np.abs(net.predict(x) - t)
    assert sizes.min() < delta < sizes.max()
    check_gradients(net, x, t)


def deep() -> list[Any]:
    """Twelve layers, each of a kind of its own as far as there are kinds."""
    smooth = ["tanh", "gelu", "silu", "mish", "softplus", "sigmoid", "softmax"]
    return [Dense(4 + i % 3, activation=smooth[i % 7]) for i in range(11)] + [Dense(2)]


STACKS: dict[str, tuple[Any, list[Any]]] = {
    "dropout": (3, [Dense(6, activation="tanh"), Dropout(0.4), Dense(3, activation="sigmoid")]),
    "dropout of the input": (3, [Dropout(0.3), Dense(3, activation="tanh")]),
    "dropout of the output": (3, [Dense(4, activation="tanh"), Dropout(0.3)]),
    "dropout twice": (3, [Dense(8), Dropout(0.5), Dense(8), Dropout(0.2), Dense(2)]),
    "structured dropout": (
        9,
        [
            Dropout(0.3, structured=True),
            *[Dense(12, activation="tanh"), Dropout(0.4, structured=True)],
            *[Dense(9, activation="silu"), Dropout(0.5, structured=True), Dense(2)],
        ],
    ),
    "rescale": (3, [Rescale(0.5), Dense(4, activation="tanh"), Rescale(-1.5), Dense(2)]),
    "flatten": ((2, 3), [Rescale(2), Flatten(), Dense(2, activation="silu"), Flatten()]),
    "softmax in between": (3, [Dense(4, activation="softmax"), Dense(3, activation="tanh")]),
    "softmax layer": (3, [Dense(9), Activation("softmax"), Dense(2), Activation("gelu")]),
    "activation first": (3, [Activation("softplus"), Dense(2)]),
    "activations in a row": (3, [Dense(2), Activation("silu"), Activation("gelu")]),
    "no biases": (3, [Dense(4, activation="softplus", use_bias=False), Dense(2, use_bias=False)]),
    "frozen first layer": (3, [Dense(4, activation="tanh", trainable=False), Dense(2)]),
    "frozen middle layer": (
        3,
        [Dense(4, activation="tanh"), Dense(3, activation="tanh", trainable=False), Dense(2)],
    ),
    "frozen biases": (
        3,
        [Dense(4, activation="tanh", bias_trainable=False), Dense(2, bias_trainable=False)],
    ),
    "frozen biases of the first layer": (
        3,
        [Dense(12, activation="tanh", bias_trainable=False), Dense(2)],
    ),
    "all frozen": (3, [Dense(2, trainable=False)]),
    "no parameters": (3, [Rescale(2), Activation("tanh")]),
    "flatten alone": ((2, 2), [Flatten()]),
    "deep": (3, deep()),
    "one unit after another": (1, [Dense(1, activation="tanh")] * 5),
    "narrow and not": (7, [Dense(8, activation="tanh"), Dense(7), Dense(7), Dense(9)]),
}


@pytest.mark.parametrize("stack", STACKS)
def test_gradients_of_stacks(Network: type[fastbp.Network], stack: str) -> None:
    shape, layers = STACKS[stack]
    net = build(Network, layers, shape, "half_squared_error")
    x = inputs(5, *(shape if isinstance(shape, tuple) else (shape,)))
    t = targets(net, x)
    check_gradients(net, x, t)
    if not any(isinstance(layer, Dropout) for layer in layers):
        return check_frozen_stays(net, x, t)
    # Masks belong to the batch: those of the next one differ, and stay for as long as it does.
    before = net.loss_and_gradients(x, t)[0]
    net.step()
    assert net.loss_and_gradients(x, t)[0] != before
    check_gradients(net, x, targets(net, x))
    return None


def check_frozen_stays(net: fastbp.Network, x: np.ndarray, t: np.ndarray) -> None:
    """Assert that a step changes all that is trainable, and nothing else."""
    before = net.parameters.copy()
    net.loss_and_gradients(x, t)
    net.step()
    changed = net.parameters != before
    for p in net.plan.parameters:
        assert changed[p.start : p.stop].all() == p.trainable
        assert changed[p.start : p.stop].any() == p.trainable


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("stack", STACKS)
def test_gradients_of_stacks_with_respect_to_the_input(
    Network: type[fastbp.Network], stack: str, training: bool
) -> None:
    """Backward goes down to the input, with gradients of all that is trainable on its way."""
    shape, layers = STACKS[stack]
    net = build(Network, layers, shape)
    x = inputs(5, *(shape if isinstance(shape, tuple) else (shape,)))
    places = [np.arange(p.start, p.stop) for p in net.plan.parameters if p.trainable]
    check_backward(net, x, training, np.concatenate([*places, np.array([], int)]))


# Inputs, units of each layer, rows. Up to 64 rows are one slot; there are at most 32 slots.
SIZES: dict[str, tuple[int, list[int], int]] = {
    "one row": (9, [12, 3], 1),
    "narrow, two slots": (5, [7, 3], 65),
    "tiled, two slots": (9, [12, 3], 65),
    "tiled, uneven slots": (17, [33, 5], 261),
    "more inputs than a chain": (300, [5, 3], 8),
    "more units than a chain": (4, [300, 2], 8),
    "wide": (129, [128, 3], 6),
    "wide between small ones": (5, [140, 120, 9, 2], 70),
    "wide and wide": (64, [260, 65], 6),
}
# From 8,193 rows on a slot holds more than one chain of 256, from 16,384 on a second one that spans
# several row blocks. What the reference computes does not depend on the number of rows.
LONG: dict[str, tuple[int, list[int], int]] = {
    "narrow, chain after chain": (3, [4, 2], 9000),
    "tiled, chain after chain": (9, [12, 3], 9000),
    "tiled, chains of several blocks": (9, [40, 3], 17_000),
    "wide, chain after chain": (129, [128, 3], 600),
    "wide between small ones, uneven slots": (5, [140, 120, 9, 2], 461),
}


def of_size(
    Network: type[fastbp.Network], size: tuple[int, list[int], int], n_threads: int = 1
) -> tuple[fastbp.Network, np.ndarray, np.ndarray]:
    """Return a network, inputs and targets."""
    n_inputs, units, rows = size
    layers = [Dense(n, activation="tanh") for n in units]
    net = build(Network, layers, n_inputs, "half_squared_error", n_threads)
    x = inputs(rows, n_inputs)
    return net, x, targets(net, x)


@pytest.mark.parametrize("size", SIZES)
def test_gradients_of_all_sizes(Network: type[fastbp.Network], size: str) -> None:
    net, x, t = of_size(Network, SIZES[size])
    places = some_places(net, 4)
    check_gradients(net, x, t, places=places)
    check_backward(net, x, places=places)


@pytest.mark.parametrize("size", ["narrow, two slots", "tiled, two slots", "wide"])
def test_gradients_by_two_threads(core: None, size: str) -> None:
    net, x, t = of_size(fastbp.Network, SIZES[size], n_threads=2)
    check_gradients(net, x, t, places=some_places(net, 2))


@pytest.mark.parametrize("size", SIZES | LONG)
def test_gradients_of_both_engines_agree(core: None, size: str) -> None:
    """In every element, where differences look at some."""
    made = [of_size(kind, (SIZES | LONG)[size]) for kind in (fastbp.Network, reference.Network)]
    a, b = (net.loss_and_gradients(x, t)[1] for net, x, t in made)
    for p in made[0][0].plan.parameters:
        part = slice(p.start, p.stop)
        assert np.abs(a[part] - b[part]).max() <= 1e-12 * np.abs(b[part]).max()


@pytest.mark.parametrize("n_threads", [2, 3])
@pytest.mark.parametrize("size", SIZES | LONG)
def test_gradients_have_the_same_bits_for_any_number_of_threads(
    core: None, size: str, n_threads: int
) -> None:
    bits = []
    for threads in (1, n_threads):
        net, x, t = of_size(fastbp.Network, (SIZES | LONG)[size], threads)
        loss, gradients = net.loss_and_gradients(x, t)
        bits.append([loss, gradients.tobytes()])
        net.forward(x)
        bits[-1] += [net.backward(t).tobytes(), net.gradients.tobytes()]
    assert bits[0] == bits[1]


def test_gradients_add_up_where_asked_to(Network: type[fastbp.Network]) -> None:
    net = build(Network, [Dense(3, activation="tanh"), Dense(2)], 4, "mse")
    x = inputs(70, 4)
    t = targets(net, x)
    _, live = net.loss_and_gradients(x, t)
    once = live.copy()
    net.loss_and_gradients(x, t, accumulate=True)
    np.testing.assert_array_equal(live, 2 * once)
    grad_output = 2 * (net.forward(x) - t) / t.size
    net.backward(grad_output, accumulate=True)
    np.testing.assert_allclose(live, 3 * once, rtol=0, atol=1e-13)
    net.backward(grad_output)
    np.testing.assert_allclose(live, once, rtol=0, atol=1e-13)


def test_two_halves_of_a_batch_add_up_to_the_whole(Network: type[fastbp.Network]) -> None:
    loss = fastbp.losses.HalfSquaredError(reduction="sum")
    net = build(Network, [Dense(3, activation="tanh"), Dense(2)], 4, loss)
    x = inputs(10, 4)
    t = targets(net, x)
    whole = net.loss_and_gradients(x, t)[1].copy()
    net.loss_and_gradients(x[:3], t[:3])
    net.loss_and_gradients(x[3:], t[3:], accumulate=True)
    np.testing.assert_allclose(net.gradients, whole, rtol=0, atol=1e-13)


def test_differences_of_a_cubic_are_as_wrong_as_the_checker_assumes() -> None:
    at = np.array([0.5, 3.0])
    differences = central_differences(lambda: float((at**3).sum()), at, np.arange(2))
    # The error of a cubic is STEP^2 f''' / 6 = STEP^2, beside roundings of f.
    limit = STEP**2 + 30 * np.finfo(np.float64).eps / STEP
    np.testing.assert_allclose(differences, 3 * at**2, rtol=0, atol=limit)
    np.testing.assert_array_equal(at, [0.5, 3.0])
