"""The one-function interface: the original's calls, keys and numbers, and right derivatives."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import numpy as np
import pytest
from textbook import given

import fastbp
import fastbp.mlp as MLP  # noqa: N812 - as scripts of the original have it

pytestmark = pytest.mark.usefixtures("core")

X, Y = np.array([0.1, 0.4, 4.1]), np.array([0.2])
OTHER = np.array([0.2, 3.1, 1.7])
KEYS = """
    w initial_w max_iter elapsed_iter tolerance activation learning_rate net_arch
    num_hidden_layers in_size out_size training_time_sec network_error derivative_chain
    weights_derivatives weights_gradients
"""


@pytest.fixture(autouse=True)
def _global_generator() -> Any:
    """Give NumPy's global generator back as it was."""
    state = np.random.get_state()  # noqa: NPY002
    yield
    np.random.set_state(state)  # noqa: NPY002


def train(seed: int = 0, x: Any = X, y: Any = Y, net_arch: Any = (7, 5, 4), **more: Any) -> Any:
    np.random.seed(seed)  # noqa: NPY002
    return MLP.MLP.train(x, y, net_arch, **{"max_iter": 500, "learning_rate": 0.7} | more)


def matrices(weights: list[Any]) -> list[Any]:
    return [np.atleast_2d(w) for w in weights]


def outputs(weights: list[Any], x: Any) -> Any:
    for w in matrices(weights):
        x = 1 / (1 + np.exp(-(x @ w.T)))
    return x


def error(weights: list[Any], x: Any, y: Any) -> float:
    return float(((outputs(weights, x) - y) ** 2).sum() / len(x))


def before_update(trained: dict[str, Any]) -> list[Any]:
    rate = trained["learning_rate"]
    pairs = zip(trained["w"], trained["weights_gradients"], strict=True)
    return [w + rate * gradient for w, gradient in pairs]


class TestNumbersOfTheOriginal:
    @pytest.mark.parametrize(
        ("faithful", "iterations", "prediction"),
        [(True, 123, "0.19981202717848404"), (False, 117, "0.1998064")],
    )
    def test_iterations_and_prediction(
        self, faithful: bool, iterations: int, prediction: str
    ) -> None:
        trained = train(faithful=faithful)
        assert trained["elapsed_iter"] == iterations
        assert MLP.MLP.predict(trained, OTHER) == given(prediction)

    @pytest.mark.parametrize("faithful", [True, False])
    def test_first_iteration(self, faithful: bool, capsys: pytest.CaptureFixture[str]) -> None:
        trained = train(faithful=faithful, max_iter=1, debug=True)
        assert trained["network_error"][0] == given("0.2242707855589602")
        words = capsys.readouterr().out.splitlines()[1].replace(",", "").split()
        assert words[:3] == ["iteration", "0:", "error"]
        assert [float(words[3]), float(words[5])] == given(
            "0.2242707855589602", "0.6735723657045037"
        )

    def test_last_iteration(self) -> None:
        trained = train(faithful=True)
        # Such numbers come from y - p, here 9e-8, which is right to 1e-15.
        close = {"abs": 0, "rel": 1e-15 / 9.05e-8}
        chain = trained["derivative_chain"]
        assert trained["network_error"][0] == pytest.approx(8.187986469533276e-15, **close)
        assert chain[3] == pytest.approx([2.8956007727e-08], **close)
        assert chain[0][0] == pytest.approx(-2.2441837955e-10, **close)
        assert train()["network_error"][0] < 1e-14

    @pytest.mark.parametrize(("faithful", "range_"), [(True, (103, 136)), (False, (103, 129))])
    def test_iterations_over_30_seeds(self, faithful: bool, range_: tuple[int, int]) -> None:
        counts = [train(seed, faithful=faithful)["elapsed_iter"] for seed in range(30)]
        assert (min(counts), max(counts)) == range_

    def test_the_prediction_stands_for_the_inputs_without_a_hidden_layer(self) -> None:
        trained = train(net_arch=[1], faithful=True, max_iter=1)
        p = outputs(trained["initial_w"], X)
        gradient = 2 * (p - 0.2) * p * (1 - p) * p
        assert trained["weights_gradients"][0] == pytest.approx(gradient.repeat(3), rel=1e-14)

    @pytest.mark.parametrize(("x", "y"), [([X, X], [Y, Y]), (X, [0.2, 0.3])])
    def test_the_original_takes_one_sample_and_one_output(self, x: Any, y: Any) -> None:
        with pytest.raises(ValueError, match="faithful: expected one sample and one output, got"):
            train(x=x, y=y, faithful=True)


class TestCalls:
    def test_arguments_and_defaults(self) -> None:
        parameters = inspect.signature(MLP.MLP.train).parameters.values()
        defaults = {p.name: p.default for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}
        required = dict.fromkeys(["x", "y", "net_arch"], inspect.Parameter.empty)
        assert defaults == required | {
            "max_iter": 5000, "tolerance": 1e-7, "learning_rate": 0.001,
            "activation": "sigmoid", "debug": False,
        }  # fmt: skip
        assert list(inspect.signature(MLP.MLP.predict).parameters) == ["trained_ann", "x"]

    @pytest.mark.parametrize("faithful", [True, False])
    def test_result(self, faithful: bool) -> None:
        trained = train(faithful=faithful)
        assert list(trained) == KEYS.split()
        assert trained["net_arch"].tolist() == [3, 7, 5, 4, 1]
        assert np.issubdtype(trained["net_arch"].dtype, np.integer)
        sizes = [trained[key] for key in ("num_hidden_layers", "in_size", "out_size")]
        assert sizes == [3, 3, 1]
        arguments = [trained[key] for key in ("max_iter", "tolerance", "learning_rate")]
        assert arguments == [500, 1e-7, 0.7]
        assert trained["activation"] == "sigmoid"
        assert 0 < trained["training_time_sec"] < 10
        for key in ("w", "initial_w", "weights_gradients"):
            assert [w.shape for w in trained[key]] == [(7, 3), (5, 7), (4, 5), (4,)]
        assert trained["network_error"].shape == (1,)
        assert [d.shape for d in trained["derivative_chain"]] == [(7,), (5,), (4,), (1,)]
        assert [a.shape for a in trained["weights_derivatives"]] == [(3,), (7,), (5,), (4,)]
        assert trained["weights_derivatives"][0].tolist() == X.tolist()

    @pytest.mark.parametrize("faithful", [True, False])
    def test_initial_weights_are_drawn_by_layer_and_unit_and_kept(self, faithful: bool) -> None:
        trained, draws = train(faithful=faithful), np.random.RandomState(0)
        for w, shape in zip(trained["initial_w"], [(7, 3), (5, 7), (4, 5), (4,)], strict=True):
            assert w.tolist() == draws.rand(*shape).tolist()
        assert not np.allclose(trained["w"][-1], trained["initial_w"][-1])

    def test_each_call_has_a_dictionary_of_its_own(self) -> None:
        first = train()
        kept = [w.copy() for w in first["w"]]
        second = train(1)
        assert first is not second
        assert all(np.array_equal(a, b) for a, b in zip(first["w"], kept, strict=True))

    @pytest.mark.parametrize(
        ("net_arch", "sizes"),
        [([1], [3, 1]), ([], [3, 1]), ([4, 1], [3, 4, 1]), ([1, 4], [3, 1, 4, 1]),
         ([1, 1], [3, 1, 1]), (np.array([2, 3]), [3, 2, 3, 1])],
    )  # fmt: skip
    @pytest.mark.parametrize("faithful", [True, False])
    def test_a_1_at_the_end_stands_for_the_output(
        self, net_arch: Any, sizes: list[int], faithful: bool
    ) -> None:
        trained = train(net_arch=net_arch, faithful=faithful, max_iter=3)
        assert trained["net_arch"].tolist() == sizes
        assert trained["num_hidden_layers"] == len(sizes) - 2

    def test_lists_are_left_alone(self) -> None:
        x, y, net_arch = [0.1, 0.4, 4.1], [0.2], [7, 5, 4, 1]
        train(x=x, y=y, net_arch=net_arch)
        assert (x, y, net_arch) == ([0.1, 0.4, 4.1], [0.2], [7, 5, 4, 1])

    @pytest.mark.parametrize("faithful", [True, False])
    @pytest.mark.parametrize(("max_iter", "iterations"), [(1, 1), (7, 7), (1e1, 10), (2.5, 3)])
    def test_iterations_end_at_max_iter(
        self, max_iter: float, iterations: int, faithful: bool
    ) -> None:
        trained = train(max_iter=max_iter, faithful=faithful)
        assert (trained["elapsed_iter"], trained["max_iter"]) == (iterations, max_iter)

    @pytest.mark.parametrize("faithful", [True, False])
    def test_a_tolerance_below_0_is_never_met(self, faithful: bool) -> None:
        assert train(tolerance=-1, faithful=faithful)["elapsed_iter"] == 500
        assert train(tolerance=1, faithful=faithful)["elapsed_iter"] == 1

    @pytest.mark.parametrize("faithful", [True, False])
    def test_debug_prints_start_iterations_and_end(
        self, faithful: bool, capsys: pytest.CaptureFixture[str]
    ) -> None:
        trained = train(faithful=faithful, debug=True)
        first, *lines, last = capsys.readouterr().out.splitlines()
        assert first == "training begins: layers of 3, 7, 5, 4, 1 units"
        assert last.startswith(f"training ends: {trained['elapsed_iter']} iterations, ")
        assert len(lines) == trained["elapsed_iter"]
        assert lines[-1].startswith(f"iteration {len(lines) - 1}: error ")
        assert float(lines[-1].split()[-1]) == pytest.approx(0.2, abs=1e-7)

    def test_without_debug_nothing_is_printed(self, capsys: pytest.CaptureFixture[str]) -> None:
        train()
        assert capsys.readouterr().out == ""

    def test_an_unknown_activation_is_told_and_sigmoid_taken(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        trained = train(activation="relu")
        assert capsys.readouterr().out == "activation 'relu' is not known; sigmoid is taken\n"
        assert trained["activation"] == "sigmoid"
        assert trained["elapsed_iter"] == 117

    @pytest.mark.parametrize("faithful", [True, False])
    @pytest.mark.parametrize("debug", [True, False])
    def test_plot_draws_error_and_prediction(self, faithful: bool, debug: bool) -> None:
        matplotlib = pytest.importorskip("matplotlib")
        matplotlib.use("agg")
        from matplotlib import pyplot as plt

        trained = train(faithful=faithful, plot=True, debug=debug)
        errors, predictions = plt.gcf().axes
        drawn = errors.lines[0].get_ydata()
        assert len(drawn) == len(predictions.lines[0].get_ydata()) == trained["elapsed_iter"]
        assert drawn[-1] == pytest.approx(trained["network_error"][0], rel=1e-8)
        assert predictions.lines[0].get_ydata()[0] == given("0.6735723657045037")
        plt.close("all")

    def test_plot_without_matplotlib_says_how_to_get_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(ImportError, match=r"plot: expected .* pip install 'fastbp\[plot\]'"):
            train(plot=True)


THREE = np.array([[0.1, 0.4], [0.9, -0.3], [2, 1]])
SETS = {
    "one sample": (X, Y, (7, 5, 4)),
    "no hidden layer": (X, Y, (1,)),
    "several outputs": (X, np.array([0.2, 0.7]), (5, 4)),
    "several samples": (THREE, np.array([0.2, 0.6, 0.9]), (4,)),
    "several of both": (
        THREE,
        np.array([[0.2, 0.5], [0.6, 0.1], [0.9, 0.3]]),
        (4, 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
class TestDerivatives:
    def rows(self, name: str) -> tuple[Any, Any, Any]:
        x, y, net_arch = SETS[name]
        one_output = name in ("one sample", "no hidden layer", "several samples")
        return np.atleast_2d(x), y.reshape(-1, 1) if one_output else np.atleast_2d(y), net_arch

    @pytest.mark.parametrize("iterations", [1, 2, 40])
    def test_weights_are_those_of_gradient_descent(self, name: str, iterations: int) -> None:
        x, y, net_arch = SETS[name]
        trained = train(x=x, y=y, net_arch=net_arch, max_iter=iterations, tolerance=0)
        x, y, _ = self.rows(name)
        weights = matrices([w.copy() for w in trained["initial_w"]])
        for _ in range(iterations):
            values = [x]
            for w in weights:
                values.append(1 / (1 + np.exp(-(values[-1] @ w.T))))
            delta = 2 / len(x) * (values[-1] - y) * values[-1] * (1 - values[-1])
            for layer in reversed(range(len(weights))):
                gradient, a = delta.T @ values[layer], values[layer]
                delta = (delta @ weights[layer]) * a * (1 - a)
                weights[layer] = weights[layer] - 0.7 * gradient
        for ours, theirs in zip(matrices(trained["w"]), weights, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13)

    def test_gradients_are_central_differences_of_the_error(self, name: str) -> None:
        x, y, net_arch = SETS[name]
        trained = train(x=x, y=y, net_arch=net_arch, max_iter=5)
        x, y, _ = self.rows(name)
        weights = before_update(trained)
        assert trained["network_error"] == pytest.approx([error(weights, x, y)], rel=1e-12)
        h = 1e-5
        for w, gradient in zip(weights, trained["weights_gradients"], strict=True):
            for at in np.ndindex(w.shape):
                middle, around = w[at], []
                for w[at] in (middle + h, middle - h):
                    around.append(error(weights, x, y))
                w[at] = middle
                # Rounding gives 1e-16 / h, the third derivative h^2.
                assert gradient[at] == pytest.approx((around[0] - around[1]) / (2 * h), abs=1e-9)

    def test_a_gradient_is_its_chain_times_its_inputs(self, name: str) -> None:
        x, y, net_arch = SETS[name]
        trained = train(x=x, y=y, net_arch=net_arch, max_iter=5)
        keys = "derivative_chain", "weights_derivatives", "weights_gradients"
        for delta, a, gradient in zip(*(trained[key] for key in keys), strict=True):
            product = np.atleast_2d(delta).T @ np.atleast_2d(a)
            np.testing.assert_allclose(np.atleast_2d(gradient), product, rtol=1e-14)
            assert delta.ndim == a.ndim == np.ndim(x)

    def test_prediction_has_the_axes_of_samples_and_outputs(self, name: str) -> None:
        x, y, net_arch = SETS[name]
        trained = train(x=x, y=y, net_arch=net_arch)
        prediction = MLP.MLP.predict(trained, x)
        assert np.shape(prediction) == (
            () if name in ("one sample", "no hidden layer") else y.shape
        )
        expected = outputs(trained["w"], np.atleast_2d(x))
        np.testing.assert_allclose(np.ravel(prediction), expected.ravel(), rtol=1e-14)

    def test_training_ends_at_the_tolerance(self, name: str) -> None:
        x, y, net_arch = SETS[name]
        fields = {"x": x, "y": y, "net_arch": net_arch}
        goal = train(**fields, max_iter=20, tolerance=0)["network_error"][0]
        assert train(**fields, tolerance=np.sqrt(goal) * (1 + 1e-9))["elapsed_iter"] == 20
        assert train(**fields, tolerance=np.sqrt(goal) * (1 - 1e-9))["elapsed_iter"] > 20


def test_training_is_that_of_a_network() -> None:
    trained = train()
    layers = [
        fastbp.Dense(len(w), activation="sigmoid", use_bias=False, weights_initializer=w.T)
        for w in matrices(trained["initial_w"])
    ]
    net = fastbp.Network(
        layers, input_shape=3, loss="squared_error", optimizer=fastbp.SGD(0.7), dtype="float64"
    )
    net.fit(X[None], Y, epochs=117, verbose=0)
    for w, layer in zip(matrices(trained["w"]), net.layers, strict=True):
        assert np.array_equal(w, layer.weights.T)


def test_several_samples_are_printed_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    x, y, net_arch = SETS["several samples"]
    train(x=x, y=y, net_arch=net_arch, max_iter=1, debug=True)
    line = capsys.readouterr().out.splitlines()[1]
    assert len(line[line.index("[") + 1 : line.index("]")].split()) == 3


def test_divergence_is_told() -> None:
    with pytest.warns(fastbp.DivergenceWarning):
        trained = train(y=[1e10], learning_rate=1e308, max_iter=4)
    assert list(trained) == KEYS.split()
    assert all(np.isfinite(w).all() for w in trained["w"])


BAD_TRAINING = {
    "x of text": ({"x": ["a", "b"]}, TypeError, "x: expected real numbers, got dtype"),
    "x of nothing": ({"x": []}, ValueError, r"x: expected shape \(inputs,\) or .*, got \(0,\)"),
    "x of three axes": ({"x": [[[1]]]}, ValueError, r"x: expected shape .*, got \(1, 1, 1\)"),
    "ragged x": ({"x": [[1], [1, 2]]}, ValueError, "x: expected an array of numbers, got"),
    "NaN in x": ({"x": [1, np.nan]}, ValueError, "x: expected finite numbers, got nan"),
    "infinite y": ({"y": [np.inf]}, ValueError, "y: expected finite numbers, got inf"),
    "complex y": ({"y": [1j]}, TypeError, "y: expected real numbers, got dtype complex128"),
    "y a number": ({"y": 0.2}, ValueError, r"y: expected shape \(outputs,\) or .*, got \(\)"),
    "samples": ({"x": [X, X], "y": [1, 2, 3]}, ValueError, "y: expected 2 samples, .*, got 3"),
    "rows of y": ({"y": [[1], [2]]}, ValueError, "y: expected 1 samples, .*, got 2"),
    "one size": ({"net_arch": 7}, TypeError, "net_arch: expected a list of sizes, got int 7"),
    "text": ({"net_arch": "75"}, TypeError, "net_arch: expected a list of sizes, got str '75'"),
    "size of 0": ({"net_arch": [7, 0]}, ValueError, "net_arch: expected .* at least 1, got 0"),
    "half a unit": ({"net_arch": [0.5]}, TypeError, "net_arch: expected an integer, got float"),
    "no iteration": ({"max_iter": 0}, ValueError, "max_iter: expected .* at least 1, got 0"),
    "endless": ({"max_iter": np.inf}, ValueError, "max_iter: expected a finite number, got inf"),
    "tolerance": ({"tolerance": "no"}, TypeError, "tolerance: expected a real number, got str"),
    "rate of 0": ({"learning_rate": 0}, ValueError, "learning_rate: expected .* above 0, got 0"),
    "debug": ({"debug": "yes"}, TypeError, "debug: expected True or False, got str 'yes'"),
    "faithful": ({"faithful": 1}, TypeError, "faithful: expected True or False, got int 1"),
    "plot": ({"plot": None}, TypeError, "plot: expected True or False, got NoneType None"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_TRAINING)
def test_bad_training_is_refused_before_a_number_is_drawn(name: str) -> None:
    fields, kind, message = BAD_TRAINING[name]
    np.random.seed(0)  # noqa: NPY002
    with pytest.raises(kind, match=message):
        MLP.MLP.train(**{"x": X, "y": Y, "net_arch": [3]} | fields)
    assert np.random.rand() == np.random.RandomState(0).rand()  # noqa: NPY002


@pytest.mark.parametrize(
    ("trained", "x", "kind", "message"),
    [
        (None, X[:2], ValueError, "x: expected 3 values a sample, got 2"),
        (None, [[1, 2, 3, 4]], ValueError, "x: expected 3 values a sample, got 4"),
        (None, "abc", TypeError, "x: expected real numbers, got dtype"),
        (None, [1, 2, np.nan], ValueError, "x: expected finite numbers, got nan"),
        ([X], X, TypeError, "trained_ann: expected what MLP.train returned, got list"),
        ({}, X, TypeError, "trained_ann: expected what MLP.train returned, got dict"),
    ],
)
def test_bad_prediction_is_refused(trained: Any, x: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        MLP.MLP.predict(train(max_iter=1) if trained is None else trained, x)
