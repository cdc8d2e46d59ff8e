"""L-BFGS: its direction and line search by their equations, its optima beside those of others.

What PyTorch and SciPy find is recorded in OPTIMA, and looked up anew where they are installed;

    python tests/test_lbfgs.py

prints it.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import fastbp.reference
from fastbp import LBFGS, Callback, Dense, DivergenceWarning, Dropout, lbfgs, random

OPTIMA = {"torch": 0.4352769983724, "scipy": 0.4352769983724}


def numbers(stream: int, *shape: int) -> np.ndarray:
    """Return numbers in [-2, 2), the same everywhere."""
    return random.uniform(1, stream, int(np.prod(shape)), "float64").reshape(shape) * 4 - 2


X, Y = numbers(0, 40, 3), numbers(1, 40, 2)
LABELS = (numbers(2, 40) + X[:, 0] > 0).astype(np.int32) + (X[:, 1] > 1)
NETWORKS: dict[str, list[Any]] = {
    "linear": [Dense(2)],
    "hidden": [Dense(7, "tanh"), Dense(2)],
    "dropout": [Dense(9, "tanh"), Dropout(0.3), Dense(2)],
    "frozen": [Dense(6, "tanh", trainable=False), Dense(5, "tanh", bias_trainable=False), Dense(2)],
    "wide": [Dense(130, "tanh"), Dense(130, "tanh"), Dense(2)],
}


def make(Network: Any, name: str = "hidden", **changes: Any) -> Any:
    options = {"loss": "mse", "optimizer": LBFGS(), "dtype": "float64", "seed": 3} | changes
    return Network(NETWORKS[name], input_shape=3, **options)


def fit(net: Any, epochs: int, **options: Any) -> Any:
    return net.fit(X, Y, epochs=epochs, verbose=0, **options)


def state_of(net: Any) -> tuple[bytes, bytes, Any]:
    engine = net._engine
    return engine.parameters.tobytes(), engine.state.tobytes(), engine.position


@pytest.mark.parametrize("n", [0, 1, 5, 4095, 4096, 4097, 9000])
def test_sums_are_float64_in_chunks_and_by_halves(n: int, dtype: str) -> None:
    a, b = (numbers(s, n).astype(dtype) for s in (4, 5))
    terms = np.zeros(-(-n // 4096) * 4096)
    terms[:n] = a.astype(np.float64) * b.astype(np.float64)
    total = 0.0
    for chunk in terms.reshape(-1, 4096):
        while len(chunk) > 1:
            chunk = chunk[: len(chunk) // 2] + chunk[len(chunk) // 2 :]
        total += chunk[0]
    assert lbfgs.dot(a, b) == total


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4, 7])
def test_the_direction_is_that_of_the_bfgs_matrix(steps: int) -> None:
    """(7.16) and (7.17), with a matrix; memory holds three steps."""
    n, history = 6, 3
    state = np.zeros((2 * history, n))
    root = numbers(6, n, n)
    for t in range(steps):
        state[t % history] = numbers(7 + t, n)
        state[history + t % history] = (root @ root.T + np.eye(n)) @ state[t % history]
    kept = [(state[t % history], state[history + t % history])
            for t in range(max(0, steps - history), steps)]  # fmt: skip
    H = np.eye(n)
    if kept:
        s, y = kept[-1]
        H *= (s @ y) / (y @ y)
    for s, y in kept:
        V = np.eye(n) - np.outer(y, s) / (s @ y)
        H = V.T @ H @ V + np.outer(s, s) / (s @ y)
    g = numbers(20, n)
    np.testing.assert_allclose(lbfgs.direction(g, state, steps), -H @ g, rtol=1e-11, atol=1e-11)


def test_a_pair_without_curvature_is_left_out() -> None:
    state = np.zeros((4, 2))
    state[0], state[2] = (1, 0), (-1, 0)  # the gradient fell
    g = np.array([3.0, 4.0])
    np.testing.assert_array_equal(lbfgs.direction(g, state, 1), -g)


@pytest.mark.parametrize("rate", [1e-6, 0.1, 1.0, 100.0, 1e8])
@pytest.mark.parametrize("name", ["hidden", "frozen"])
def test_steps_meet_the_strong_wolfe_conditions(
    name: str, rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the search begins far too near or too far."""
    found, right = [], lbfgs.line_search

    def recording(at: Any, start: Any, step: float) -> Any:
        found.append((start, right(at, start, step)))
        return found[-1][1]

    monkeypatch.setattr(lbfgs, "line_search", recording)
    net = make(fastbp.reference.Network, name, optimizer=LBFGS(rate))
    losses = fit(net, 12)["loss"]
    assert len(found) == 12
    for start, end in found:
        assert end.loss <= start.loss + 1e-4 * end.step * start.slope
        assert abs(end.slope) <= -0.9 * start.slope
    assert all(np.diff(losses) < 0)


def test_least_squares_are_solved(Network: Any, n_threads: int) -> None:
    net = make(Network, "linear", n_threads=n_threads)
    fit(net, 30)
    exact = np.linalg.lstsq(np.c_[X, np.ones(40)], Y, rcond=None)[0]
    np.testing.assert_allclose(net.parameters, exact.ravel(), rtol=0, atol=1e-7)


def cross_entropy(w: np.ndarray) -> tuple[float, np.ndarray]:
    """Return loss and gradient of a softmax regression."""
    inputs = np.c_[X, np.ones(40)]
    z = inputs @ w.reshape(4, 3)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    rows = np.arange(40)
    delta = p.copy()
    delta[rows, LABELS] -= 1
    return -np.log(p[rows, LABELS]).mean(), (inputs.T @ delta / 40).ravel()


def optimum_of_scipy() -> float:
    from scipy import optimize

    options = {"ftol": 1e-15, "gtol": 1e-10}
    found = optimize.minimize(
        cross_entropy, np.zeros(12), jac=True, method="L-BFGS-B", options=options
    )
    return float(found.fun)


def optimum_of_torch() -> float:
    import torch

    w = torch.zeros((4, 3), dtype=torch.float64, requires_grad=True)
    inputs, labels = torch.tensor(np.c_[X, np.ones(40)]), torch.tensor(LABELS, dtype=torch.int64)
    rule = torch.optim.LBFGS(
        [w], max_iter=200, tolerance_grad=1e-10, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> Any:
        rule.zero_grad()
        loss = torch.nn.functional.cross_entropy(inputs @ w, labels)
        loss.backward()
        return loss

    rule.step(closure)
    return float(closure().detach())


def test_the_optimum_is_that_of_others(Network: Any) -> None:
    net = Network([Dense(3, "softmax")], input_shape=3, loss="sparse_categorical_crossentropy",
                  optimizer="lbfgs", dtype="float64", seed=0)  # fmt: skip
    net.fit(X, LABELS, epochs=60, verbose=0)
    found = net.evaluate(X, LABELS)["loss"]
    # At a minimum the loss has half the digits that the parameters lack.
    for optimum in OPTIMA.values():
        assert found == pytest.approx(optimum, abs=1e-12)


@pytest.mark.parametrize("name", OPTIMA)
def test_the_recorded_optima_are_found_again(name: str) -> None:
    pytest.importorskip(name)
    found = {"torch": optimum_of_torch, "scipy": optimum_of_scipy}[name]()
    assert found == pytest.approx(OPTIMA[name], abs=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_engines_take_the_same_steps(name: str, core: None) -> None:
    nets = [make(Network, name) for Network in (fastbp.Network, fastbp.reference.Network)]
    curves = [fit(net, 8)["loss"] for net in nets]
    np.testing.assert_allclose(*curves, rtol=1e-9)
    np.testing.assert_allclose(nets[0].parameters, nets[1].parameters, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", NETWORKS)
def test_bits_depend_neither_on_team_nor_on_instruction_set(
    name: str, dtype: str, core: None
) -> None:
    compiled = fastbp.network.compiled_core()
    before, found = compiled.build_info()["isa"], set()
    try:
        for isa in compiled.available_isas():
            compiled.choose_isa(isa)
            for n_threads in (1, 2, 3, 8):
                net = make(fastbp.Network, name, dtype=dtype, n_threads=n_threads)
                fit(net, 5)
                found.add(state_of(net))
    finally:
        compiled.choose_isa(before)
    assert len(found) == 1


@pytest.mark.parametrize("name", ["hidden", "dropout"])
def test_twice_6_epochs_equal_once_12(name: str, Network: Any) -> None:
    """Of a memory of five steps, through a copy."""
    once, twice = (make(Network, name, optimizer=LBFGS(history=5)) for _ in range(2))
    losses = fit(once, 12)["loss"]
    halves = fit(twice, 6)["loss"]
    twice = twice.copy()
    assert [*halves, *fit(twice, 6)["loss"]] == [*losses]
    assert state_of(twice) == state_of(once)


@pytest.mark.parametrize("number", range(1, 12))
def test_an_interrupted_fit_goes_on_from_the_last_step(
    number: int, Network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever evaluation meets the interrupt."""
    whole, net = make(Network), make(Network)
    fit(whole, 10)
    right, calls = lbfgs.Training.evaluate, []

    def interrupted(training: Any, parameters: np.ndarray) -> Any:
        point = right(training, parameters)
        calls.append(point)
        if len(calls) == number:
            raise KeyboardInterrupt
        return point

    monkeypatch.setattr(lbfgs.Training, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(net, 10)
    monkeypatch.undo()
    done = net._engine.position.epochs
    fit(net, 10 - done)
    assert state_of(net) == state_of(whole)


def test_records_hold_what_other_rules_record(Network: Any) -> None:
    net, x, y = make(Network, metrics=["accuracy"]), X[:20], Y[:20]
    before, outputs = net.evaluate(x, y), net.predict(x)
    history = net.fit(x, y, epochs=3, validation_data=(X[20:], Y[20:]), record_outputs=True)
    assert {*history.keys()} == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert history["loss"][0] == pytest.approx(before["loss"], rel=1e-12)
    assert history["val_loss"][-1] == net.evaluate(X[20:], Y[20:])["loss"]
    np.testing.assert_allclose(history.outputs[0], outputs, rtol=1e-12)
    assert [len(curve) for curve in history.values()] == [3] * 4


def test_a_search_that_finds_nothing_leaves_the_network(Network: Any) -> None:
    """The loss is not finite so far away, and 25 evaluations don't lead back."""
    net = make(Network, optimizer=LBFGS(1e300))
    before = net.parameters.copy()
    losses = fit(net, 2)["loss"]
    np.testing.assert_array_equal(net.parameters, before)
    assert losses[0] == losses[1]
    assert net._engine.position[:3] == (2, 2, 2)


def test_a_goal_ends_training(Network: Any) -> None:
    losses = fit(make(Network), 40)["loss"]
    net = make(Network)
    assert fit(net, 40, stop_at_loss=losses[7])["loss"] == losses[:8]


def test_frozen_parameters_stay(Network: Any) -> None:
    net = make(Network, "frozen")
    before = net.parameters.copy()
    fit(net, 5)
    frozen = [net.layers[0].weights, net.layers[0].biases, net.layers[1].biases]
    changed = net.parameters != before
    assert changed.sum() == net.n_parameters - sum(part.size for part in frozen)


def test_at_the_optimum_nothing_moves(Network: Any) -> None:
    net = make(Network, "linear")
    net.parameters[:] = 0
    net.fit(X, 0 * Y, epochs=3, verbose=0)
    assert not net.parameters.any()


def test_a_loss_that_is_not_finite_ends_training_at_the_start(Network: Any) -> None:
    net = make(Network, "linear")
    net.parameters[:] = 1e200
    with pytest.warns(DivergenceWarning):
        history = fit(net, 5)
    assert (len(history["loss"]), set(net.parameters)) == (0, {1e200})


def test_a_search_that_goes_too_far_is_silent(Network: Any, dtype: str) -> None:
    net = make(Network, optimizer=LBFGS(1e20), dtype=dtype)
    losses = fit(net, 5)["loss"]
    assert np.isfinite(net.parameters).all()
    assert losses == sorted(losses, reverse=True)


def test_parameters_spoilt_in_a_callback_are_put_back(Network: Any) -> None:
    class Spoils(Callback):
        def on_epoch_end(self, epoch: int, logs: Any) -> None:
            if epoch == 2:
                self.network.parameters[0] = np.nan

    net, other = make(Network), make(Network)
    with pytest.warns(DivergenceWarning):
        fit(net, 5, callbacks=[Spoils()])
    fit(other, 3)
    assert net.parameters.tobytes() == other.parameters.tobytes()


@pytest.mark.parametrize("operation", ["step", "train_on_batch"])
def test_steps_from_one_gradient_are_refused(operation: str, Network: Any) -> None:
    net = make(Network)
    before = state_of(net)
    with pytest.raises(RuntimeError, match=rf"^{operation}: expected an optimizer .* got LBFGS"):
        getattr(net, operation)(*(X, Y)[: 2 * (operation != "step")])
    assert state_of(net) == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"history": 0}, "history: expected an integer at least 1"),
        ({"learning_rate": 0}, "learning_rate: expected a number above 0"),
        ({"weight_decay": 0.1}, "weight_decay: expected none for L-BFGS"),
        ({"clip_norm": 1.0}, "clip_norm: expected none for L-BFGS"),
    ],
)
def test_constants_out_of_range_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LBFGS(**given)


def test_an_error_in_the_recursion_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the tests above would not show whether there is a memory at all."""
    right = lbfgs.direction
    monkeypatch.setattr(lbfgs, "direction", lambda g, state, steps: right(g, state, 0))
    with warnings.catch_warnings(), pytest.raises(AssertionError):
        test_least_squares_are_solved(fastbp.reference.Network, 1)


if __name__ == "__main__":
    print({"torch": optimum_of_torch(), "scipy": optimum_of_scipy()})
