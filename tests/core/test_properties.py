"""Promise 2 for any network, and promise 15: what arrays look like is no matter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_pair import Pair
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_cases import PROBABILITIES, UNLINKED, last_activation, options_after
from update_rules import RULES

import fastbp
from fastbp.activations import ACTIVATIONS
from fastbp.layers import Activation, Dense, Dropout, Layer, Rescale
from fastbp.losses import LOSSES
from fastbp.optimizers import SGD

pytestmark = pytest.mark.usefixtures("core")

# In float32 one net input in ten million is within rounding of a kink.
KINKED = {
    "float32": {"relu", "leaky_relu", "elu", "mean_absolute_error", "hinge", "quantile"},
    "float64": set(),
}


@st.composite
def dense(draw: st.DrawFn, activations: list[str]) -> Dense:
    return Dense(
        draw(st.integers(1, 40)),
        draw(st.sampled_from(activations)),
        use_bias=draw(st.booleans()),
        trainable=draw(st.sampled_from([True, True, True, False])),
        bias_trainable=draw(st.sampled_from([True, True, False])),
    )


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    """Both engines of any network with any loss."""
    dtype = draw(st.sampled_from(["float32", "float64"]))
    activations = [name for name in ACTIVATIONS if name not in KINKED[dtype]]
    kind = draw(st.sampled_from([LOSSES[n] for n in LOSSES if n not in KINKED[dtype]]))
    options: dict[str, Any] = {"reduction": draw(st.sampled_from(["mean", "sum"]))}
    layer = st.one_of(
        dense(activations),
        st.sampled_from(activations).map(Activation),
        st.floats(0, 0.6).map(Dropout),
        st.floats(-1.5, 1.5).map(Rescale),
    )
    layers: list[Layer] = draw(st.lists(layer, max_size=4))
    if kind.name in UNLINKED:
        chosen = draw(st.sampled_from(["identity", last_activation(kind)]))
        options |= draw(st.sampled_from(options_after(chosen, kind)))
        logits = [name for name in activations if name not in PROBABILITIES]
        layers.append(draw(dense(logits if chosen == "identity" else [chosen])))
    return Pair(
        layers,
        draw(st.integers(1, 40)),
        kind(**options),
        draw(st.sampled_from(sorted(RULES.items())))[1],
        dtype=dtype,
        n_threads=draw(st.integers(1, 3)),
        rows=draw(st.integers(1, 150)),
        weighted=draw(st.booleans()),
        seed=draw(st.integers(0, 2**32 - 1)),
        scale=1.0,
        metrics=(),  # of outputs that differ by a rounding, either may be the largest
    )


@settings(deadline=None, max_examples=150)
@given(pairs())
def test_engines_agree_on_any_network(pair: Pair) -> None:
    pair.check()
    pair.check_update()


@pytest.mark.thorough
@settings(deadline=None, max_examples=3000)
@given(pairs())
def test_engines_agree_on_thousands_of_networks(pair: Pair) -> None:
    pair.check()
    pair.check_update()


# What an array may look like: each gives the numbers of `x`, some in another layout or dtype.
LAYOUTS = {
    "Fortran": np.asfortranarray,
    "every other row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "every other column": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "part of a wider array": lambda x: np.pad(x, 3)[3:-3, 3:-3],
    "rows backwards": lambda x: x[::-1].copy()[::-1],
    "columns backwards": lambda x: x[:, ::-1].copy()[:, ::-1],
    "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "read-only": lambda x: locked(x),
    "unaligned": lambda x: unaligned(x),
    "float32": lambda x: x.astype(np.float32),
    "float64": lambda x: x.astype(np.float64),
    "int8": lambda x: x.astype(np.int8),
    "int64, backwards": lambda x: x[::-1].astype(np.int64)[::-1],
    "lists": lambda x: x.tolist(),
}


def locked(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


def unaligned(x: np.ndarray) -> np.ndarray:
    room = np.empty(x.nbytes + 1, np.uint8)
    moved = room[1:].view(x.dtype).reshape(x.shape)
    moved[...] = x
    return moved


def contents(array: Any) -> bytes:
    return np.asarray(array).tobytes()


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(sorted(LAYOUTS)),
    st.sampled_from(sorted(LAYOUTS)),
    st.sampled_from(["float32", "float64"]),
    st.tuples(st.integers(1, 70), st.integers(1, 20), st.integers(1, 9)),
    st.integers(1, 3),
)
def test_the_layout_of_arrays_changes_no_bit_and_no_array(
    x_layout: str, y_layout: str, dtype: str, sizes: tuple[int, int, int], n_threads: int
) -> None:
    rows, inputs, outputs = sizes
    rng = np.random.default_rng(0)
    x, y = (rng.integers(-9, 9, (rows, n)).astype(dtype) for n in (inputs, outputs))
    results = []
    for given_x, given_y in ((x, y), (LAYOUTS[x_layout](x), LAYOUTS[y_layout](y))):
        before = contents(given_x), contents(given_y)
        net = fastbp.Network(
            [Dense(7, "tanh"), Dense(outputs)], input_shape=inputs, loss="squared_error",
            optimizer=SGD(1e-3), dtype=dtype, seed=1, n_threads=n_threads,
        )  # fmt: skip
        curve = net.fit(given_x, given_y, epochs=2, batch_size=16)["loss"]
        parts = net.parameters, net.predict(given_x), net(given_x)
        parts += net.forward(given_x), net.backward(given_y)
        results.append((curve, net.evaluate(given_x, given_y), [p.tobytes() for p in parts]))
        assert (contents(given_x), contents(given_y)) == before
    assert results[0] == results[1]
