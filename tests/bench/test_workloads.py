import math
from dataclasses import replace

import numpy as np
import pytest

from fastbp import reference
from fastbp.bench import judge, networks
from fastbp.bench.data import image_files, images, initial_weights, prediction_data, training_data
from fastbp.bench.rows import QUICK, ROWS
from fastbp.bench.workloads import Prediction, Training

TRAININGS = {name: w for name, w in ROWS.items() if isinstance(w, Training) and w.data != "images"}
PREDICTIONS = {name: w for name, w in ROWS.items() if isinstance(w, Prediction)}
WIDEST = 24  # units that are left of each layer in a small form


def small(workload: Training, dtype: str) -> Training:
    sizes = (workload.sizes[0], *(min(n, WIDEST) for n in workload.sizes[1:]))
    return replace(workload.reduced(), sizes=sizes, dtype=dtype)


def trained(Network, workload):
    x, y = training_data(workload)
    run, weights = networks.train(Network, workload, x, y, initial_weights(workload))
    run()
    return weights()


def fall(Network, workload):
    x, y = training_data(workload)
    start = initial_weights(workload)
    loss = [judge.loss(workload, weights, x, y) for weights in (start, trained(Network, workload))]
    return loss[0] - loss[1]


@pytest.mark.parametrize("name", TRAININGS)
def test_each_training_lowers_the_loss_as_the_reference_does(Network, name, dtype):
    workload = small(TRAININGS[name], dtype)
    expected = fall(reference.Network, small(TRAININGS[name], "float64"))
    assert expected > 0
    assert judge.agree(fall(Network, workload), expected, 0.01)


@pytest.mark.parametrize("name", TRAININGS)
def test_each_training_gives_the_weights_of_the_reference(Network, name):
    workload = small(TRAININGS[name], "float64")
    pairs = zip(trained(Network, workload), trained(reference.Network, workload), strict=True)
    for got, expected in (arrays for layer in pairs for arrays in zip(*layer, strict=True)):
        if expected is not None:
            assert np.abs(got - expected).max() <= 1e-9 * np.abs(expected).max()


@pytest.mark.parametrize("name", [name for name in TRAININGS if name != "W7"])  # a second alone
def test_each_full_training_is_the_network_that_its_row_names(Network, name):
    workload = TRAININGS[name]
    net = networks.build(Network, workload, None)
    shapes = [w.shape for w, _ in networks.split(workload, net.parameters)]
    assert shapes == list(zip(workload.sizes, workload.sizes[1:], strict=False))
    rates = [layer.description.rate for layer in net.layers if hasattr(layer.description, "rate")]
    assert rates == [workload.dropout] * bool(workload.dropout)


@pytest.mark.parametrize("name", PREDICTIONS)
def test_each_prediction_gives_the_outputs_of_its_network(Network, name):
    workload = PREDICTIONS[name]
    x, weights = prediction_data(workload), initial_weights(workload)
    predict, outputs = networks.predictor(Network, workload, weights, x)
    assert judge.outputs_agree(workload, weights, x, predict())
    assert judge.outputs_agree(workload, weights, x, outputs())


def test_outputs_of_other_weights_do_not_agree():
    workload = PREDICTIONS["P1b"]
    x, weights = prediction_data(workload), initial_weights(workload)
    outputs = judge.outputs(workload, weights, x)
    assert judge.outputs_agree(workload, weights, x, outputs)
    assert not judge.outputs_agree(workload, weights, x, outputs * 1.001)
    assert not judge.outputs_agree(workload, weights, x, np.full_like(outputs, math.nan))


@pytest.mark.parametrize("name", TRAININGS)
def test_judge_and_reference_see_the_same_loss(name):
    workload = small(TRAININGS[name], "float64")
    x, y = training_data(workload)
    start = initial_weights(workload)
    net = networks.build(reference.Network, workload, start)
    assert judge.loss(workload, start, x, y) == pytest.approx(net.evaluate(x, y)["loss"], rel=1e-12)


@pytest.mark.parametrize("name", ["W1", "W2", "W3"])
def test_data_are_the_same_in_every_process_and_of_the_row(name):
    workload = TRAININGS[name]
    (x, y), (again, _) = training_data(workload), training_data(workload)
    assert x.shape == (workload.rows, workload.sizes[0])
    assert x.dtype == workload.dtype
    assert len(y) == workload.rows
    np.testing.assert_array_equal(x, again)


def test_digits_are_pixels_from_0_to_1():
    x, y = training_data(TRAININGS["W3"])
    assert (x.min(), x.max()) == (0, 1)
    assert sorted(set(y)) == list(range(10))


def test_units_of_a_run_are_what_its_time_is_divided_by():
    units = {name: workload.units for name, workload in ROWS.items()}
    assert units["W1"] == units["W2"] == units["W4a"] == 1
    assert units["S"] == 20
    assert units["W3"] == 20 * 57  # 56 full batches and one of 5 rows
    assert (units["W5"], units["W6"], units["W7"]) == (16, 8, 4)
    assert (units["P1a"], units["P2a"]) == (1000, 1)


def test_a_loss_that_stays_or_is_not_finite_has_not_fallen():
    assert judge.fell(1.0, 0.5)
    assert not judge.fell(1.0, 1.0)
    assert not judge.fell(1.0, math.nan)
    assert not judge.fell(math.inf, -math.inf)


def test_agreement_is_relative_and_never_with_nan():
    assert judge.agree(1.005, 1, 0.01)
    assert not judge.agree(1.02, 1, 0.01)
    assert not judge.agree(math.nan, 1, 0.01)


def test_a_short_form_has_a_fifth_of_the_units():
    short = {name: workload.short() for name, workload in ROWS.items()}
    assert short["W2"].units == ROWS["W2"].units / 5 == 0.2
    assert short["W3"].units == ROWS["W3"].units / 5
    assert short["P1a"].calls == 200
    assert short["W7"] == ROWS["W7"]  # one epoch is the least
    assert {*QUICK} <= {*ROWS}


def test_operations_are_those_of_the_products_an_epoch_needs():
    neuron, xor = TRAININGS["W1"], TRAININGS["W2"]
    assert neuron.operations == 2 * 2 * 2  # forward and weight gradient
    assert xor.operations == 2 * 4 * (6 + 6 + 2)  # and the deltas of the hidden layer
    assert PREDICTIONS["P1b"].operations == 2 * (64 * 32 + 32 * 10)


def idx(array):
    code = {1: 8, 4: 12}[array.itemsize]
    shape = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, code, array.ndim]) + shape + array.tobytes()


def test_images_are_read_from_the_folder_that_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("FASTBP_BENCH_IMAGES", raising=False)
    with pytest.raises(NotImplementedError, match="no folder"):
        images("train")
    monkeypatch.setenv("FASTBP_BENCH_IMAGES", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="expected one file each of train"):
        images("train")
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 15
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(pixels))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.array([3, 4], np.uint8)))
    x, y = images("train")
    assert x.shape == (2, 9)
    assert (x.dtype, x.max()) == (np.float32, 1)
    assert list(y) == [3, 4]
    assert len(image_files(tmp_path, "train")) == 2


def test_rows_on_images_are_those_on_random_rows_but_for_the_data():
    for name in ("M4a", "M4b", "M5"):
        row, other = ROWS[name], ROWS[name.replace("M", "W")]
        same = {"sizes", "optimizer", "batch_size", "dropout", "loss", "learning_rate", "unit"}
        assert {field: getattr(row, field) for field in same} == {
            field: getattr(other, field) for field in same
        }
        assert (row.data, row.rows) == ("images", 10_000)
