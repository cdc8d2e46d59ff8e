"""Bad input: each case raises an error that names the argument, and changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from fastbp import (
    SGD,
    Activation,
    Adam,
    Callback,
    Dense,
    Dropout,
    Flatten,
    Rescale,
    activations,
    constraints,
    initializers,
    losses,
    metrics,
    optimizers,
    regularizers,
)
from fastbp.callbacks import EarlyStopping

N = 8
X = np.linspace(-1, 1, N * 3).reshape(N, 3)
Y = np.linspace(0, 1, N * 2).reshape(N, 2)
LABELS = np.arange(N) % 2


def spoiled(array, value, place=(2, 1)):
    """Return a copy of `array` with one value replaced."""
    array = np.array(array, dtype=float)
    array[place[: array.ndim]] = value
    return array


# Inputs that no method takes: (x, error, what the message says).
INPUTS = {
    "a feature more": (np.ones((N, 4)), ValueError, r"expected shape \(rows, 3\), got \(8, 4"),
    "a feature less": (np.ones((N, 2)), ValueError, r"expected shape \(rows, 3\)"),
    "rank 3": (np.ones((N, 3, 1)), ValueError, r"expected shape \(rows, 3\)"),
    "a number": (1.5, ValueError, r"expected shape \(rows, 3\), got \(\)"),
    "no rows": (np.ones((0, 3)), ValueError, r"at least one row, got shape \(0, 3\)"),
    "an empty list": ([], ValueError, r"expected shape \(rows, 3\), got \(0,\)"),
    "NaN": (spoiled(X, np.nan), ValueError, r"expected finite numbers.* got nan at \[2, 1\]"),
    "infinity": (spoiled(X, np.inf), ValueError, r"got inf at \[2, 1\]"),
    "float32 overflow": (spoiled(X, 1e39), ValueError, r"range of float32, got 1e\+39 at \[2, 1\]"),
    "objects": (X.astype(object), TypeError, "real numbers, got ndarray of dtype object"),
    "None": (None, TypeError, "real numbers, got NoneType"),
    "strings": (X.astype(str), TypeError, "real numbers"),
    "a string": ("data.csv", TypeError, "real numbers, got str"),
    "complex": (X + 1j, TypeError, "real numbers, got ndarray of dtype complex128"),
    "dates": (np.zeros((N, 3), "M8[s]"), TypeError, "real numbers"),
    "records": (np.zeros(N, [("a", "f8")]), TypeError, "real numbers"),
    "ragged lists": ([[1, 2, 3], [1, 2]], ValueError, "expected an array of real numbers"),
    "masked": (np.ma.masked_less(X, 0), ValueError, "without a mask"),
}  # fmt: skip

# Targets that a loss of values does not take.
TARGETS = {
    "an output more": (np.ones((N, 3)), ValueError, r"expected shape \(rows, 2\), got \(8, 3\)"),
    "a vector": (np.ones(N), ValueError, r"expected shape \(rows, 2\), got \(8,\)"),
    "a row less": (Y[1:], ValueError, "expected 8 rows as in x, got 7"),
    "no rows": (Y[:0], ValueError, "at least one row"),
    "NaN": (spoiled(Y, np.nan), ValueError, r"got nan at \[2, 1\]"),
    "infinity": (spoiled(Y, -np.inf), ValueError, r"got -inf at \[2, 1\]"),
    "float32 overflow": (spoiled(Y, -1e39), ValueError, "range of float32"),
    "objects": (Y.astype(object), TypeError, "real numbers"),
    "None": (None, TypeError, "real numbers, got NoneType"),
    "complex": (Y + 0j, TypeError, "real numbers"),
}  # fmt: skip

# Class numbers that a loss of labels over two classes does not take.
CLASS_NUMBERS = {
    "too large": (spoiled(LABELS, 2), ValueError, r"class numbers from 0 to 1, got 2.0 at \[2\]"),
    "negative": (LABELS - 1, ValueError, r"class numbers from 0 to 1, got -1 at \[0\]"),
    "fractions": (spoiled(LABELS, 0.5), ValueError, r"whole class numbers.* got 0.5 at \[2\]"),
    "NaN": (spoiled(LABELS, np.nan), ValueError, r"got nan at \[2\]"),
    "one-hot rows": (np.eye(2)[LABELS], ValueError, "use loss='categorical_cross"),
    "a row more": (np.arange(9) % 2, ValueError, "expected 8 rows as in x, got 9"),
    "strings": (LABELS.astype(str), TypeError, "real numbers"),
}  # fmt: skip

WEIGHTS = {
    "a row less": (np.ones(N - 1), ValueError, "expected 8 rows as in x, got 7"),
    "a matrix": (np.ones((N, 1)), ValueError, r"expected shape \(8,\), got \(8, 1\)"),
    "negative": (spoiled(np.ones(N), -1), ValueError, r"at least 0, got -1.0 at \[2\]"),
    "NaN": (spoiled(np.ones(N), np.nan), ValueError, r"got nan at \[2\]"),
    "all zero": (np.zeros(N), ValueError, "sum above 0, got 0.0"),
    "an overflowing sum": (np.full(N, 1e308), ValueError, "finite sum above 0, got inf"),
    "strings": (np.array(["a"] * N), TypeError, "real numbers"),
}  # fmt: skip

CLASS_WEIGHTS = {
    "a class less": ([1.0], ValueError, r"class_weight: expected shape \(2,\), got \(1,\)"),
    "an unknown class": ({2: 1.0}, ValueError, r"class_weight: expected an integer in \[0, 1\]"),
    "a class by name": ({"yes": 1.0}, TypeError, "class_weight: expected an integer"),
    "negative": ({1: -1.0}, ValueError, r"class_weight\[1\]: expected a number of at least 0"),
    "NaN": ([np.nan, 1], ValueError, r"class_weight: expected finite.* got nan at \[0\]"),
    "all zero": ([0, 0], ValueError, "class_weight: expected weights with a finite sum above 0"),
    "strings": (["a", "b"], TypeError, "class_weight: expected an array of real numbers"),
}  # fmt: skip

FIT_OPTIONS = {
    "no epochs": ({"epochs": 0}, ValueError, "epochs: expected an integer at least 1, got 0"),
    "half an epoch": ({"epochs": 0.5}, TypeError, "epochs: expected an integer, got float"),
    "an empty batch": ({"batch_size": 0}, ValueError, "batch_size: expected an integer"),
    "a negative batch": ({"batch_size": -4}, ValueError, "batch_size: expected an integer"),
    "no accumulation": (
        {"gradient_accumulation_steps": 0}, ValueError,
        "gradient_accumulation_steps: expected an integer at least 1",
    ),
    "half an accumulation": (
        {"gradient_accumulation_steps": 1.5}, TypeError,
        "gradient_accumulation_steps: expected an integer",
    ),
    "shuffle by name": ({"shuffle": "yes"}, TypeError, "shuffle: expected True or False"),
    "verbose": ({"verbose": "loud"}, ValueError, "verbose: expected 'auto', 0 or 1"),
    "stop at NaN": ({"stop_at_loss": np.nan}, ValueError, "stop_at_loss: expected a finite"),
    "stop at text": ({"stop_at_loss": "low"}, TypeError, "stop_at_loss: expected a real"),
    "record by name": ({"record_outputs": 2}, TypeError, "record_outputs: expected True"),
    "validation x": (
        {"validation_data": (X[:, :2], Y)}, ValueError, r"validation_data\[0\]: expected shape",
    ),
    "validation y": (
        {"validation_data": (X, Y[1:])}, ValueError, r"validation_data\[1\]: expected 8 rows",
    ),
    "validation weights": (
        {"validation_data": (X, Y, -np.ones(N))}, ValueError, r"validation_data\[2\]: expected fin",
    ),
    "validation of x": ({"validation_data": (X,)}, ValueError, "validation_data: expected a tu"),
    "validation array": ({"validation_data": X}, ValueError, "validation_data: expected a tuple"),
    "a callback alone": ({"callbacks": Callback()}, TypeError, "callbacks: expected a list, got C"),
    "no callback": ({"callbacks": [print]}, TypeError, "callbacks: expected callbacks, got <built"),
    "a class of callbacks": (
        {"callbacks": [EarlyStopping]}, TypeError, r"callbacks: .* write EarlyStopping\(\)",
    ),
}  # fmt: skip

NETWORKS = {
    "no layers": ({"layers": []}, ValueError, "layers: expected at least one"),
    "a layer alone": ({"layers": Dense(2)}, TypeError, "layers: expected a list, got Dense"),
    "a layer by name": ({"layers": ["dense"]}, TypeError, r"layers\[0\]: expected a layer"),
    "no inputs": ({"input_shape": 0}, ValueError, "input_shape: expected an integer at least 1"),
    "negative inputs": ({"input_shape": (3, -1)}, ValueError, "input_shape: expected an integer"),
    "empty shape": ({"input_shape": ()}, ValueError, "input_shape: expected at least one size"),
    "half an input": ({"input_shape": 2.5}, TypeError, "input_shape: expected an integer"),
    "images into Dense": ({"input_shape": (2, 3)}, ValueError, r"layers: .*Flatten\(\)"),
    "unknown loss": ({"loss": "squared_eror"}, ValueError, "loss: .*mean 'squared_error'"),
    "loss of another kind": ({"loss": 2}, TypeError, "loss: expected one of"),
    "unknown optimizer": ({"optimizer": "adamm"}, ValueError, "optimizer: .*mean 'adam'"),
    "unknown metric": ({"metrics": ["acuracy"]}, ValueError, "metrics: .*mean 'accuracy'"),
    "precision of which of three": (
        {"layers": [Dense(3)], "metrics": ["precision"]}, ValueError,
        "metrics: precision with average='binary' expects .* got 3 outputs",
    ),
    "more places than outputs": (
        {"metrics": [metrics.TopKAccuracy(3)]}, ValueError,
        "metrics: top_k_accuracy expects at least k=3 outputs, got 2",
    ),
    "confusion of several questions": (
        {
            "layers": [Dense(2, activation="sigmoid")], "loss": "binary_crossentropy",
            "metrics": ["confusion_matrix"],
        }, ValueError, "metrics: confusion_matrix expects rows of one class each, got the 2 yes",
    ),
    "errors from class numbers": (
        {
            "loss": losses.SparseCategoricalCrossentropy(from_logits=True), "metrics": ["mse"],
        }, ValueError, "metrics: mean_squared_error expects a target for each output, got class",
    ),
    "metrics by name": ({"metrics": "accuracy"}, TypeError, "metrics: expected a list"),
    "unknown dtype": ({"dtype": "float16"}, ValueError, "dtype: expected one of 'float32'"),
    "no dtype": ({"dtype": None}, TypeError, "dtype: expected one of 'float32'"),
    "negative seed": ({"seed": -1}, ValueError, "seed: expected an integer"),
    "seed of 65 bits": ({"seed": 2**64}, ValueError, "seed: expected an integer"),
    "seed of half": ({"seed": 0.5}, TypeError, "seed: expected an integer"),
    "no threads": ({"n_threads": 0}, ValueError, "n_threads: expected an integer at least 1"),
    "threads by name": ({"n_threads": "all"}, TypeError, "n_threads: expected an integer"),
    "sizes that overflow": (
        {"layers": [Dense(2**40), Dense(2**40)]}, ValueError, "layers: expected sizes within",
    ),
    "inputs that overflow": ({"input_shape": 2**63}, ValueError, "layers: expected sizes within"),
    "probabilities missing": (
        {"loss": "categorical_crossentropy"}, ValueError, "loss: .*activation='softmax'",
    ),
    "rates that may be negative": (
        {"loss": "poisson"}, ValueError, "loss: .*ends in identity.*'softplus'.*log_input=True",
    ),
    "divergence from no softmax": ({"loss": "kl_divergence"}, ValueError, "loss: .*'softmax'"),
    "sigmoid missing": ({"loss": "binary_crossentropy"}, ValueError, "loss: .*'sigmoid'"),
    "softmax and logits": (
        {
            "layers": [Dense(2, activation="softmax")],
            "loss": losses.SparseCategoricalCrossentropy(from_logits=True),
        }, ValueError, "loss: .*from_logits=True expects net inputs",
    ),
    "initial weights of another shape": (
        {"layers": [Dense(2, weights_initializer=np.ones((2, 3)))]}, ValueError,
        r"weights_initializer: expected an array of shape \(3, 2\)",
    ),
    "initial biases of another shape": (
        {"layers": [Dense(2, bias_initializer=[1.0])]}, ValueError, "bias_initializer: expected",
    ),
    "initial NaN": (
        {"layers": [Dense(2, bias_initializer=[np.nan, 0])]}, ValueError, "bias_initializer: exp",
    ),
    "initial overflow": (
        {"layers": [Dense(2, weights_initializer=initializers.Constant(1e39))]}, ValueError,
        "weights_initializer: expected",
    ),
    "a constraint on a line search": (
        {"layers": [Dense(2, weights_constraint="non_neg")], "optimizer": "lbfgs"}, ValueError,
        r"optimizer: .*line search, since dense.weights has the constraint NonNeg\(\), got LBFGS",
    ),
}  # fmt: skip

DESCRIPTIONS = {
    "no units": (lambda: Dense(0), ValueError, "units: expected an integer at least 1, got 0"),
    "negative units": (lambda: Dense(-3), ValueError, "units: expected an integer"),
    "half a unit": (lambda: Dense(1.5), TypeError, "units: expected an integer"),
    "True units": (lambda: Dense(True), TypeError, "units: expected an integer"),
    "unknown activation": (lambda: Dense(1, activation="rleu"), ValueError, "mean 'relu'"),
    "activation object": (lambda: Activation(3), TypeError, "activation: expected one of"),
    "unknown initializer": (
        lambda: Dense(1, weights_initializer="he_nrmal"), ValueError,
        "weights_initializer: .*mean 'he_normal'",
    ),
    "unknown regularizer": (
        lambda: Dense(1, weights_regularizer="l3"), ValueError,
        "weights_regularizer: expected one of 'l1', 'l1_l2', 'l2', got 'l3'",
    ),
    "regularizer object": (
        lambda: Dense(1, bias_regularizer=[1]), TypeError, "bias_regularizer: expected one of",
    ),
    "regularizer flag": (
        lambda: Dense(1, bias_regularizer=True), TypeError, "bias_regularizer: expected one of",
    ),
    "negative penalty": (
        lambda: Dense(1, weights_regularizer=-0.1), ValueError,
        "weights_regularizer: expected a number of at least 0, got -0.1",
    ),
    "penalty NaN": (
        lambda: Dense(1, bias_regularizer=np.nan), ValueError, "bias_regularizer: expected a fin",
    ),
    "negative l1": (lambda: regularizers.L1(-1), ValueError, "l1: expected a number of at least 0"),
    "l1 NaN": (lambda: regularizers.L1(np.nan), ValueError, "l1: expected a finite number"),
    "negative l2": (lambda: regularizers.L2(-1), ValueError, "l2: expected a number of at least 0"),
    "infinite l2": (lambda: regularizers.L2(np.inf), ValueError, "l2: expected a finite number"),
    "l1 of both": (lambda: regularizers.L1L2("1", 0), TypeError, "l1: expected a real number"),
    "l2 of both": (lambda: regularizers.L1L2(0, -1), ValueError, "l2: expected a number of at"),
    "unknown constraint": (
        lambda: Dense(1, weights_constraint="maxnorm"), ValueError,
        "weights_constraint: .*mean 'max_norm'",
    ),
    "constraint class": (
        lambda: Dense(1, bias_constraint=constraints.NonNeg), TypeError,
        "bias_constraint: expected one of",
    ),
    "maximum norm 0": (
        lambda: Dense(1, weights_constraint=0), ValueError,
        "weights_constraint: expected a number above 0, got 0",
    ),
    "max_value 0": (
        lambda: constraints.MaxNorm(0), ValueError, "max_value: expected a number above 0, got 0",
    ),
    "max_value NaN": (
        lambda: constraints.MaxNorm(np.nan), ValueError, "max_value: expected a finite number",
    ),
    "max_value text": (lambda: constraints.MaxNorm("3"), TypeError, "max_value: expected a real"),
    "third axis": (
        lambda: constraints.MaxNorm(1, axis=2), ValueError, r"axis: expected an integer in \[0, 1",
    ),
    "axis of a vector": (
        lambda: Dense(1, bias_constraint=constraints.MaxNorm(1, axis=1)), ValueError,
        "bias_constraint: expected axis 0",
    ),
    "complex initial values": (
        lambda: Dense(1, bias_initializer=[1j]), TypeError, "expected real numbers",
    ),
    "bias flag": (lambda: Dense(1, use_bias="no"), TypeError, "use_bias: expected True or False"),
    "rate 1": (lambda: Dropout(1.0), ValueError, r"rate: expected a number in \[0, 1\)"),
    "negative rate": (lambda: Dropout(-0.1), ValueError, "rate: expected"),
    "rate NaN": (lambda: Dropout(np.nan), ValueError, "rate: expected a finite"),
    "infinite factor": (lambda: Rescale(np.inf), ValueError, "factor: expected a finite"),
    "negative slope": (lambda: activations.LeakyReLU(-1), ValueError, "negative_slope: expected"),
    "negative learning rate": (
        lambda: SGD(-0.1), ValueError, "learning_rate: expected a number of at least 0, got -0.1",
    ),
    "learning rate NaN": (lambda: Adam(np.nan), ValueError, "learning_rate: expected a finite"),
    "momentum 1": (lambda: SGD(0.1, momentum=1), ValueError, "momentum: expected"),
    "beta 1": (lambda: Adam(beta_2=1.0), ValueError, "beta_2: expected"),
    "epsilon 0": (lambda: Adam(epsilon=0), ValueError, "epsilon: expected a number above 0"),
    "weight decay": (
        lambda: SGD(weight_decay=-1), ValueError, "weight_decay: expected a number of at least 0",
    ),
    "kind of decay": (
        lambda: SGD(decoupled_weight_decay=1), TypeError, "decoupled_weight_decay: expected True",
    ),
    "clip norm 0": (lambda: SGD(clip_norm=0), ValueError, "clip_norm: expected a number above 0"),
    "clip value": (lambda: Adam(clip_value="1"), TypeError, "clip_value: expected a real number"),
    "positional decay": (lambda: SGD(0.1, 0.9, False, 0.1), TypeError, "positional"),
    "rho 1": (lambda: optimizers.RMSprop(rho=1), ValueError, "rho: expected"),
    "centred": (lambda: optimizers.RMSprop(centred="yes"), TypeError, "centred: expected True"),
    "momentum decay": (
        lambda: optimizers.NAdam(momentum_decay=-1), ValueError, "momentum_decay: expected",
    ),
    "accumulator": (
        lambda: optimizers.Adagrad(initial_accumulator_value=-1), ValueError,
        "initial_accumulator_value: expected a number of at least 0",
    ),
    "eta_minus 1": (lambda: optimizers.Rprop(eta_minus=1), ValueError, "eta_minus: expected"),
    "eta_minus 0": (lambda: optimizers.Rprop(eta_minus=0), ValueError, "eta_minus: expected"),
    "eta_plus below 1": (lambda: optimizers.Rprop(eta_plus=0.9), ValueError, "eta_plus: expected"),
    "longest step first": (
        lambda: optimizers.Rprop(min_step=2, max_step=1), ValueError,
        "min_step: expected at most max_step, 1, got 2",
    ),
    "mu 0": (lambda: optimizers.Quickprop(mu=0), ValueError, "mu: expected a number above 0"),
    "huber delta": (lambda: losses.Huber(delta=0), ValueError, "delta: expected"),
    "quantile 0": (lambda: losses.Quantile(quantile=0), ValueError, "quantile: expected"),
    "quantile 1": (lambda: losses.Quantile(quantile=1.0), ValueError, "quantile: expected"),
    "a log_input of 1": (
        lambda: losses.Poisson(log_input=1), TypeError, "log_input: expected True or False",
    ),
    "half a label ignored": (
        lambda: losses.SparseCategoricalCrossentropy(ignore_label=0.5), TypeError,
        "ignore_label: expected an integer",
    ),
    "the best of none": (lambda: metrics.TopKAccuracy(0), ValueError, "k: expected an integer"),
    "an unknown average": (
        lambda: metrics.F1("marco"), ValueError, "average: .*mean 'macro'",
    ),
    "all smoothed": (
        lambda: losses.BinaryCrossentropy(label_smoothing=1), ValueError,
        r"label_smoothing: expected a number in \[0, 1\)",
    ),
    "smoothing by name": (
        lambda: losses.CategoricalCrossentropy(label_smoothing="little"), TypeError,
        "label_smoothing: expected a real number",
    ),
    "reduction": (
        lambda: losses.SquaredError(reduction="men"), ValueError, "reduction: .*mean 'mean'",
    ),
    "truncated stddev": (
        lambda: initializers.TruncatedNormal(0, -1), ValueError, "stddev: expected a number of at",
    ),
    "scale 0": (lambda: initializers.VarianceScaling(0), ValueError, "scale: expected a number"),
    "mode": (lambda: initializers.VarianceScaling(1, "fan"), ValueError, "mode: .* 'fan_avg'"),
    "distribution": (
        lambda: initializers.VarianceScaling(1, "fan_in", "norm"), ValueError,
        "distribution: .*mean 'normal'",
    ),
    "low above high": (lambda: initializers.Uniform(1, 0), ValueError, "low: expected at most"),
}  # fmt: skip

PARAMETERS = {
    "too short": (np.zeros(3), ValueError, r"parameters: expected shape \(8,\), got \(3,\)"),
    "a matrix": (np.zeros((8, 1)), ValueError, r"parameters: expected shape \(8,\)"),
    "NaN": (np.full(8, np.nan), ValueError, r"parameters: expected finite.* nan at \[0\]"),
    "overflow": (np.full(8, 1e39), ValueError, "parameters: expected finite.*range of float32"),
    "complex": (np.full(8, 1j), TypeError, "parameters: expected an array of real numbers"),
    "an unknown name": (
        {"dense.weights": np.zeros((3, 2)), "dense.bias": [0, 0]}, ValueError,
        "parameters: .*mean 'dense.biases'",
    ),
    "a number for a name": ({0: np.zeros(8)}, TypeError, "parameters: expected one of"),
    "one wrong shape": (
        {"dense.weights": np.zeros((3, 2)), "dense.biases": [0]}, ValueError,
        r"parameters\['dense.biases'\]: expected shape \(2,\), got \(1,\)",
    ),
    "one infinity": (
        {"dense.weights": np.zeros((3, 2)), "dense.biases": [0, np.inf]}, ValueError,
        r"parameters\['dense.biases'\]: expected finite",
    ),
}  # fmt: skip


def cases(table):
    return pytest.mark.parametrize("case", table.values(), ids=table.keys())


@pytest.fixture
def net(Network):
    """A network that has been trained a little."""
    net = Network([Dense(2)], input_shape=3, loss="squared_error", optimizer="adam", seed=0)
    net.fit(X, Y, epochs=2)
    return net


@pytest.fixture
def classifier(Network):
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    net = Network([Dense(2)], input_shape=3, loss=loss, seed=0)
    net.fit(X, LABELS)
    return net


@pytest.fixture
def refuses(standing):
    """Check that an act raises, that the message begins so, and that the network stays."""

    def refuses(net, error, message, act):
        before = standing(net)
        with pytest.raises(error, match=f"^{message}") as caught:
            act()
        assert type(caught.value) is error
        assert standing(net) == before

    return refuses


METHODS_OF_X = {
    "fit": lambda net, x: net.fit(x, Y),
    "train_on_batch": lambda net, x: net.train_on_batch(x, Y),
    "loss_and_gradients": lambda net, x: net.loss_and_gradients(x, Y),
    "evaluate": lambda net, x: net.evaluate(x, Y),
    "predict": lambda net, x: net.predict(x),
    "call": lambda net, x: net(x),
    "forward": lambda net, x: net.forward(x),
}

METHODS_OF_XY = {
    "fit": lambda net, y, w=None: net.fit(X, y, sample_weight=w),
    "train_on_batch": lambda net, y, w=None: net.train_on_batch(X, y, sample_weight=w),
    "loss_and_gradients": lambda net, y, w=None: net.loss_and_gradients(X, y, sample_weight=w),
    "evaluate": lambda net, y, w=None: net.evaluate(X, y, sample_weight=w),
}


@cases(INPUTS)
def test_inputs(net, refuses, case):
    x, error, message = case
    for method in METHODS_OF_X.values():
        refuses(net, error, f"x: .*{message}", lambda method=method: method(net, x))


# The first fit takes any number of features.
@cases({name: case for name, case in INPUTS.items() if not name.startswith("a feature")})
def test_inputs_of_the_first_fit(Network, refuses, case):
    x, error, _ = case
    net = Network([Dense(2)], loss="squared_error")
    refuses(net, error, "(x|layers): ", lambda: net.fit(x, Y))
    with pytest.raises(RuntimeError):
        _ = net.parameters


@cases(TARGETS)
def test_targets(net, refuses, case):
    y, error, message = case
    for method in METHODS_OF_XY.values():
        refuses(net, error, f"y: .*{message}", lambda method=method: method(net, y))


@cases(CLASS_NUMBERS)
def test_class_numbers(classifier, refuses, case):
    y, error, message = case
    for method in METHODS_OF_XY.values():
        refuses(classifier, error, f"y: .*{message}", lambda method=method: method(classifier, y))


@cases(WEIGHTS)
def test_sample_weights(net, refuses, case):
    weights, error, message = case
    for method in METHODS_OF_XY.values():
        act = lambda method=method: method(net, Y, weights)  # noqa: E731
        refuses(net, error, f"sample_weight: .*{message}", act)


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
@pytest.mark.parametrize("loss", ["binary_crossentropy", "categorical_crossentropy"])
def test_targets_that_are_no_probabilities(Network, refuses, loss, value):
    last = "sigmoid" if loss == "binary_crossentropy" else "softmax"
    net = Network([Dense(2, activation=last)], input_shape=3, loss=loss)
    act = lambda: net.fit(X, spoiled(Y, value))  # noqa: E731
    refuses(net, ValueError, rf"y: expected targets from 0 to 1, got {value} at \[2, 1\]", act)


@cases(CLASS_WEIGHTS)
def test_class_weights(classifier, refuses, case):
    weights, error, message = case
    for name in METHODS_OF_XY:
        act = lambda name=name: getattr(classifier, name)(X, LABELS, class_weight=weights)  # noqa: E731
        refuses(classifier, error, message, act)


def test_class_weights_where_rows_have_no_class(Network, refuses):
    layers = [Dense(2, activation="sigmoid")]
    net = Network(layers, input_shape=3, loss="binary_crossentropy")
    message = "class_weight: expected rows of one class each, got the 2 yes-or-no outputs"
    refuses(net, ValueError, message, lambda: net.fit(X, Y, class_weight=[1, 2]))


def test_no_label_to_learn_from(Network, refuses):
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_label=-1)
    net = Network([Dense(2)], input_shape=3, loss=loss)
    for y, weights, message in (
        (np.full(N, -1), None, "y: expected a label to learn from, got ignore_label in all rows"),
        (np.r_[0, [-1] * 7], np.r_[0, [1] * 7], "y: expected weights with a finite sum above 0"),
        (LABELS - 2, None, r"y: expected whole class numbers from 0 to 1, got -2 at \[0\]"),
    ):
        act = lambda y=y, weights=weights: net.fit(X, y, sample_weight=weights)  # noqa: E731
        refuses(net, ValueError, message, act)


# Targets outside a loss's domain: (last activation, loss, targets, message).
DOMAINS = {
    "negative count": ("softplus", "poisson", spoiled(Y, -1), r"at least 0.* got -1.0 at \[2, 1\]"),
    "infinite count": ("softplus", "poisson", spoiled(Y, np.inf), r"got inf at \[2, 1\]"),
    "count above float32": ("softplus", "poisson", spoiled(Y, 1e39), "range of float32, got 1e.39"),
    "NaN count": ("softplus", "poisson", spoiled(Y, np.nan), r"got nan at \[2, 1\]"),
    "negative share": ("softmax", "kl_divergence", spoiled(Y, -0.5), "from 0 to 1, got -0.5"),
    "rows of other sums": (
        "softmax", "kl_divergence", np.full((N, 2), 0.6),
        "add up to 1 in each row, got a sum of 1.2 in row 0",
    ),
    "half a yes": (
        None, "hinge", spoiled(np.ones((N, 2)), 0.5), r"1 for yes and -1 or 0 for no, got 0.5 at",
    ),
    "yes twice over": (None, "hinge", np.full((N, 2), 2), r"1 for yes.* got 2 at \[0, 0\]"),
    "NaN for yes": (None, "hinge", spoiled(Y, np.nan), "1 for yes"),
    "no in two ways": (
        None, "hinge", np.resize([0, 1, -1, 1], (N, 2)), "1 for yes.* got both -1 and 0",
    ),
}  # fmt: skip


@cases(DOMAINS)
def test_targets_outside_the_domain_of_their_loss(Network, refuses, case):
    last, loss, y, message = case
    net = Network([Dense(2, activation=last)], input_shape=3, loss=loss)
    for method in METHODS_OF_XY.values():
        refuses(net, ValueError, f"y: expected .*{message}", lambda method=method: method(net, y))


def test_class_numbers_for_a_loss_of_probabilities(Network, refuses):
    layers = [Dense(2, activation="softmax")]
    net = Network(layers, input_shape=3, loss="categorical_crossentropy")
    message = "y: .*use loss='sparse_categorical_crossentropy'"
    refuses(net, ValueError, message, lambda: net.fit(X, LABELS))


@cases(FIT_OPTIONS)
def test_options_of_fit(net, refuses, case):
    options, error, message = case
    refuses(net, error, message, lambda: net.fit(X, Y, **options))


def test_too_many_outputs_to_record(net, refuses):
    x, y = np.ones((33, 3)), np.ones((33, 2))
    message = "record_outputs: expected at most 64 outputs .* got 66"
    refuses(net, ValueError, message, lambda: net.fit(x, y, record_outputs=True))


def test_everything_after_x_and_y_is_keyword_only(net, refuses):
    for method in (net.fit, net.evaluate, net.train_on_batch, net.loss_and_gradients):
        refuses(net, TypeError, "", lambda method=method: method(X, Y, 5))
    for method in (net.predict, net.forward, net.backward):
        refuses(net, TypeError, "", lambda method=method: method(X, True))


def test_training_without_a_loss(Network, refuses):
    net = Network([Dense(2)], input_shape=3)
    for method in METHODS_OF_XY.values():
        act = lambda method=method: method(net, Y)  # noqa: E731
        refuses(net, ValueError, "loss: expected a loss", act)


@cases(NETWORKS)
def test_networks(Network, case):
    options, error, message = case
    made_of = {"layers": [Dense(2)], "input_shape": 3, "loss": "squared_error"} | options
    with pytest.raises(error, match=f"^{message}"):
        Network(**made_of)


@cases(DESCRIPTIONS)
def test_descriptions(case):
    describe, error, message = case
    with pytest.raises(error, match=message):
        describe()


def test_a_network_larger_than_memory(Network):
    with pytest.raises(MemoryError):
        Network([Dense(2**40)], input_shape=2**8)


def test_a_first_fit_larger_than_memory_leaves_the_network_without_sizes(Network):
    net = Network([Dense(2**46)], loss="sparse_categorical_crossentropy")
    with pytest.raises((MemoryError, ValueError)):
        net.fit(X, LABELS)
    with pytest.raises(RuntimeError, match="input_shape"):
        _ = net.parameters


@cases(PARAMETERS)
def test_parameters(net, refuses, case):
    values, error, message = case
    refuses(net, error, message, lambda: net.set_parameters(values))


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        ([[0.0, 0.0]] * N, TypeError, "expected a NumPy array, got list"),
        (np.zeros((N, 3), np.float32), ValueError, "expected shape"),
        (np.zeros(2 * N, np.float32), ValueError, "expected shape"),
        (np.zeros((N, 2)), ValueError, "expected shape .* and dtype float32"),
        (np.zeros((N, 2), ">f4"), ValueError, "expected shape .* and dtype float32"),
        (np.zeros((2, N), np.float32).T, ValueError, "C-contiguous"),
        (np.zeros((N, 4), np.float32)[:, ::2], ValueError, "C-contiguous"),
        (np.broadcast_to(np.float32(0), (N, 2)), ValueError, "writeable"),
    ],
)
@pytest.mark.parametrize("ask", ["predict", "__call__"])
@pytest.mark.parametrize("x", [X, X.astype(np.float32)], ids=["float64", "float32"])
def test_out(net, refuses, ask, x, out, error, message):
    refuses(net, error, f"out: .*{message}", lambda: getattr(net, ask)(x, out=out))


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        ([0.0, 0.0], TypeError, "expected a NumPy array, got list"),
        (np.zeros(3, np.float32), ValueError, r"expected shape \(2,\)"),
        (np.zeros((1, 2), np.float32), ValueError, r"expected shape \(2,\)"),
        (np.zeros(2), ValueError, "expected shape .* and dtype float32"),
        (np.zeros(4, np.float32)[::2], ValueError, "C-contiguous"),
        (np.zeros(9, np.uint8)[1:].view(np.float32), ValueError, "another layout"),
        (np.broadcast_to(np.float32(0), (2,)), ValueError, "writeable"),
    ],
)
def test_out_of_one_row(net, refuses, out, error, message):
    for x in (X[0], X[0].astype(np.float32), X[0].tolist()):
        refuses(net, error, f"out: .*{message}", lambda x=x: net(x, out=out))


def test_what_is_refused_leaves_out_as_it_was(net, refuses):
    out = np.full(2, 7, np.float32)
    for x in (np.array([1, np.nan, 1]), np.array([1, np.inf, 1], np.float32), [1e39, 0, 0]):
        refuses(net, ValueError, "x: expected finite", lambda x=x: net(x, out=out))
    assert (out == 7).all()


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_out_over_x(Network, refuses, shift):
    net = Network([Dense(3)], input_shape=3)
    memory = np.zeros((N + 1) * 3, np.float32)
    x, out = memory[: N * 3].reshape(N, 3), memory[shift : shift + N * 3].reshape(N, 3)
    message = "out: expected memory of its own"
    refuses(net, ValueError, message, lambda: net.predict(x, out=out))
    refuses(net, ValueError, message, lambda: net(x, out=out))
    refuses(net, ValueError, message, lambda: net(memory[:3], out=memory[shift : shift + 3]))
    net(memory[:3], out=memory[3:6])


@pytest.mark.parametrize(
    ("grad_output", "error", "message"),
    [
        (np.ones((N, 3)), ValueError, r"expected shape \(8, 2\), got \(8, 3\)"),
        (np.ones((N - 1, 2)), ValueError, r"expected shape \(8, 2\)"),
        (np.full((N, 2), np.nan), ValueError, "expected finite"),
        (np.full((N, 2), 1j), TypeError, "real numbers"),
    ],
)
def test_output_gradients(net, refuses, grad_output, error, message):
    net.forward(X)
    act = lambda: net.backward(grad_output)  # noqa: E731
    refuses(net, error, f"grad_output: .*{message}", act)


def test_flags_of_the_loop_methods(net, refuses):
    net.forward(X)
    acts = {
        "accumulate": lambda: net.backward(Y, accumulate="yes"),
        "training": lambda: net.forward(X, training=3),
    }
    for name, act in acts.items():
        refuses(net, TypeError, f"{name}: expected True or False", act)
    act = lambda: net.loss_and_gradients(X, Y, accumulate=1)  # noqa: E731
    refuses(net, TypeError, "accumulate: expected True or False", act)


def test_settings(net, refuses):
    def set_(name, value):
        return lambda: setattr(net, name, value)

    refuses(net, ValueError, "learning_rate: expected", set_("learning_rate", -1))
    refuses(net, ValueError, "optimizer: .*mean 'sgd'", set_("optimizer", "sdg"))
    refuses(net, ValueError, "n_threads: expected", set_("n_threads", 0))
    refuses(net, ValueError, "seed: expected", lambda: net.reset(seed=-1))
    refuses(net, AttributeError, "", set_("seed", 3))


def test_nan_in_a_mapped_file_leaves_the_network_at_the_batch_before(Network, tmp_path, standing):
    np.save(tmp_path / "x.npy", spoiled(X, np.nan, (6, 1)))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    net, before = (Network([Dense(2)], input_shape=3, loss="squared_error", seed=0) for _ in "ab")
    with pytest.raises(ValueError, match="finite"):
        net.fit(mapped, Y, batch_size=4, shuffle=False)
    before.train_on_batch(X[:4], Y[:4])
    assert np.array_equal(net.parameters, before.parameters)
    for method in ("predict", "evaluate"):
        arguments = (mapped, Y) if method == "evaluate" else (mapped,)
        stands = standing(net)
        with pytest.raises(ValueError, match="finite"):
            getattr(net, method)(*arguments)
        assert standing(net) == stands


def test_images_for_a_network_of_vectors(Network, refuses):
    net = Network([Flatten(), Dense(2)], input_shape=(2, 2), loss="squared_error")
    message = r"x: expected shape \(rows, 2, 2\), got \(2, 2\); pass one row as x\[None\]"
    refuses(net, ValueError, message, lambda: net.predict(np.ones((2, 2))))
