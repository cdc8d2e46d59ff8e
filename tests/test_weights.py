"""What rows count: by their sample weight, by their class, and not at all with an ignored label."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp import Dense
from fastbp.losses import SparseCategoricalCrossentropy

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 5))
LABELS = RNG.integers(0, 3, 40)
ONE_HOT = np.eye(3)[LABELS]
TABLE = np.array([0.5, 2, 3])


def network(Network: Any, loss: Any = None, outputs: int = 3, **fields: Any) -> fastbp.Network:
    last = "softmax" if outputs > 1 else "sigmoid"
    loss = loss or SparseCategoricalCrossentropy(ignore_label=9)
    given = {"optimizer": "sgd", "metrics": ["accuracy"], "dtype": "float64", "seed": 1} | fields
    return Network([Dense(4, "tanh"), Dense(outputs, last)], input_shape=5, loss=loss, **given)


def trained(net: fastbp.Network, x: Any, y: Any, **weights: Any) -> list[Any]:
    """Return all that a network says of data, and what it becomes by them."""
    said = [net.evaluate(x, y, **weights), net.train_on_batch(x, y, **weights)]
    loss, gradients = net.loss_and_gradients(x, y, **weights)
    said += [loss, gradients.tobytes()]
    said.append(dict(net.fit(x, y, batch_size=7, epochs=2, verbose=0, **weights)))
    return [*said, net.parameters.tobytes()]


@pytest.mark.parametrize("given", [TABLE, TABLE.tolist(), {0: 0.5, 1: 2, 2: 3}])
@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "categorical_crossentropy"])
def test_class_weights_are_sample_weights_by_class(Network: Any, loss: str, given: Any) -> None:
    y = LABELS if loss.startswith("sparse") else ONE_HOT
    nets = [network(Network, loss) for _ in range(2)]
    by_class = trained(nets[0], X, y, class_weight=given)
    assert by_class == trained(nets[1], X, y, sample_weight=TABLE[LABELS])


def test_class_weights_multiply_with_sample_weights(Network: Any) -> None:
    own = RNG.uniform(0, 2, 40)
    nets = [network(Network) for _ in range(2)]
    both = trained(nets[0], X, LABELS, class_weight=TABLE, sample_weight=own)
    assert both == trained(nets[1], X, LABELS, sample_weight=own * TABLE[LABELS])


def test_classes_that_a_mapping_leaves_out_count_once(Network: Any) -> None:
    nets = [network(Network) for _ in range(2)]
    some = trained(nets[0], X, LABELS, class_weight={1: 4.0})
    assert some == trained(nets[1], X, LABELS, class_weight=[1, 4, 1])


def test_a_single_output_has_the_classes_0_and_1(Network: Any) -> None:
    y = LABELS > 0
    nets = [network(Network, "binary_crossentropy", 1) for _ in range(2)]
    by_class = trained(nets[0], X, y, class_weight={1: 0.25})
    assert by_class == trained(nets[1], X, y, sample_weight=np.where(y, 0.25, 1))


def test_validation_data_counts_without_class_weights(Network: Any) -> None:
    net = network(Network)
    history = net.fit(X, LABELS, class_weight=TABLE, validation_data=(X, LABELS), verbose=0)
    np.testing.assert_allclose(history["val_loss"][0], net.evaluate(X, LABELS)["loss"], rtol=1e-12)


@pytest.mark.parametrize("own", [None, RNG.uniform(0.5, 2, 40)])
def test_rows_that_a_split_holds_out_count_without_class_weights(Network: Any, own: Any) -> None:
    """And ignored labels count on neither side."""
    y = np.where(np.arange(40) % 5, LABELS, 9)
    first, last = slice(30), slice(30, None)
    of_first, of_last = (None, None) if own is None else (own[first], own[last])
    held_out = (X[last], y[last]) if own is None else (X[last], y[last], of_last)
    nets = [network(Network) for _ in range(2)]
    options = {"class_weight": TABLE, "epochs": 3, "batch_size": 7}
    history = nets[0].fit(X, y, sample_weight=own, validation_split=0.25, **options)
    expected = nets[1].fit(
        X[first], y[first], sample_weight=of_first, validation_data=held_out, **options
    )
    assert history == expected
    assert nets[0].parameters.tobytes() == nets[1].parameters.tobytes()
    np.testing.assert_allclose(
        history["val_loss"][-1], nets[0].evaluate(X[last], y[last], sample_weight=of_last)["loss"]
    )


def test_a_split_that_holds_out_nothing_but_ignored_labels_is_refused(Network: Any) -> None:
    y = np.where(np.arange(40) < 30, LABELS, 9)
    with pytest.raises(ValueError, match=r"^validation_split: expected rows that count"):
        network(Network).fit(X, y, validation_split=0.25)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_with_an_ignored_label_are_as_if_they_were_not_there(
    Network: Any, dtype: str, n_threads: int
) -> None:
    y = LABELS.copy()
    y[::3] = 9
    left = y != 9
    nets = [network(Network, dtype=dtype, n_threads=n_threads) for _ in range(2)]
    some, all_left = nets[0].evaluate(X, y), nets[1].evaluate(X[left], y[left])
    assert some["accuracy"] == all_left["accuracy"]
    limit = {"float32": 1e-6, "float64": 1e-14}[dtype]
    assert some["loss"] == pytest.approx(all_left["loss"], rel=limit)
    found = [
        net.loss_and_gradients(*rows)
        for net, rows in zip(nets, ((X, y), (X[left], y[left])), strict=True)
    ]
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=0, atol=limit)


def test_an_epoch_counts_ignored_rows_neither_in_its_loss_nor_in_a_metric(Network: Any) -> None:
    """Without updates, the curve of an epoch is what evaluation finds."""
    y = LABELS.copy()
    y[:15] = 9  # two whole batches, and part of a third
    net = network(Network, optimizer=fastbp.SGD(0.0))
    history = net.fit(X, y, batch_size=7, shuffle=False, validation_data=(X, y), verbose=0)
    expected = net.evaluate(X, y)
    assert history["accuracy"] == history["val_accuracy"] == [expected["accuracy"]]
    assert 0 < expected["accuracy"] < 1
    assert history["loss"] == pytest.approx([expected["loss"]], rel=1e-6)


def test_a_batch_of_ignored_rows_alone_changes_nothing(Network: Any) -> None:
    y = LABELS.copy()
    y[:20] = 9
    net, other = (network(Network) for _ in range(2))
    net.fit(X, y, batch_size=20, shuffle=False, verbose=0)
    other.fit(X[20:], y[20:], batch_size=20, shuffle=False, verbose=0)
    np.testing.assert_allclose(net.parameters, other.parameters, rtol=0, atol=1e-15)


def test_a_class_number_may_be_the_ignored_label(Network: Any) -> None:
    net = network(Network, SparseCategoricalCrossentropy(ignore_label=2))
    left = LABELS != 2
    some, all_left = net.evaluate(X, LABELS), net.evaluate(X[left], LABELS[left])
    assert some["accuracy"] == all_left["accuracy"]
    assert some["loss"] == pytest.approx(all_left["loss"], rel=1e-14)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int64, np.float32, np.bool_])
def test_ignored_labels_may_be_of_any_type(Network: Any, kind: Any) -> None:
    y = (LABELS > 0).astype(kind)
    net = network(Network, SparseCategoricalCrossentropy(ignore_label=0))
    expected = net.evaluate(X, (LABELS > 0).astype(np.int32))
    assert net.evaluate(X, y) == expected


def test_bits_under_weights_do_not_depend_on_instruction_set_or_threads(core: None) -> None:
    module = fastbp.network.compiled_core()
    before, found = module.build_info()["isa"], set()
    y = np.where(LABELS == 2, 9, LABELS)
    try:
        for isa in module.available_isas():
            module.choose_isa(isa)
            for n_threads in (1, 2, 3):
                net = network(fastbp.Network, n_threads=n_threads)
                net.fit(X, y, class_weight=TABLE, batch_size=20, epochs=3, verbose=0)
                found.add((net.parameters.tobytes(), *net.evaluate(X, y).values()))
    finally:
        module.choose_isa(before)
    assert len(found) == 1
