"""The history of a fit and its pictures."""

from __future__ import annotations

import copy
import functools
import json
import operator
import pickle
import sys
import warnings
from array import array

import numpy as np
import pytest

from fastbp import SGD, Dense, DivergenceWarning, History
from fastbp.callbacks import EarlyStopping
from fastbp.engine import Record

CURVES = {"loss": [3.0, 2.0], "accuracy": [0.5, 0.75], "val_loss": [4.0, 3.0]}


@pytest.fixture
def history() -> History:
    return History(Record(2, dict(CURVES), np.arange(12.0).reshape(2, 3, 2)), (2, 1))


def test_history_is_a_dict_of_curves(history):
    assert history == CURVES
    assert history.epochs == 2


def test_outputs_have_the_shape_of_the_network(history):
    assert history.outputs.shape == (2, 3, 2, 1)
    assert History(Record(1, {"loss": [1.0]}), (2,)).outputs is None


def test_history_says_what_ended_the_fit(Network):
    def ended(**how):
        net = Network([Dense(1)], input_shape=1, loss="mse", optimizer=SGD(how.pop("rate", 0.1)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DivergenceWarning)
            return net.fit([[1.0], [2.0]], [1.0, 2.0], epochs=200, verbose=0, **how).ended

    assert ended() == "epochs"
    assert ended(stop_at_loss=1e6) == "stop_at_loss"
    assert ended(callbacks=[EarlyStopping("loss", min_delta=10)]) == "callback"
    assert ended(rate=1e30) == "divergence"


def test_history_survives_pickle(history):
    copy = pickle.loads(pickle.dumps(history))
    assert copy == history
    assert copy.epochs == 2
    assert copy.ended == "epochs"
    assert np.array_equal(copy.outputs, history.outputs)


def test_plot_draws_loss_and_metrics_with_validation_beside(history):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    loss, accuracy = history.plot()
    assert [line.get_ydata().tolist() for line in loss.lines] == [[3, 2], [4, 3]]
    assert [line.get_xdata().tolist() for line in accuracy.lines] == [[1, 2]]
    assert loss.get_ylabel() == "loss"
    assert [text.get_text() for text in loss.get_legend().texts] == ["training", "validation"]
    plt.close("all")


def test_plot_without_matplotlib_says_how_to_get_it(history, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'fastbp\[plot\]'"):
        history.plot()


READERS = {
    "getitem": lambda h: h["loss"] == [3, 2],
    "get": lambda h: h.get("val_loss") == [4, 3],
    "items": lambda h: list(h.items()) == list(CURVES.items()),
    "values": lambda h: list(h.values()) == list(CURVES.values()),
    "equality": lambda h: h == CURVES,
    "inequality": lambda h: (h != CURVES) is False,
    "equality of two": lambda h: h == another(h),
    "equality from the other side": lambda h: operator.eq(CURVES, h),
    "repr": lambda h: repr(h) == repr(CURVES),
    "dict": lambda h: dict(h) == CURVES,
    "unpacking": lambda h: {**h} == CURVES,
    "update of a dict": lambda h: updated({}, h) == CURVES,
    "union": lambda h: h | {"more": []} == CURVES | {"more": []},
    "union from the other side": lambda h: {"loss": []} | h == CURVES,
    "copy": lambda h: copy.copy(h) == h.copy() == copy.deepcopy(h) == CURVES,
    "pickle": lambda h: pickle.loads(pickle.dumps(h)) == CURVES,
    "json": lambda h: json.loads(json.dumps(h)) == CURVES,
    "pop": lambda h: h.pop("loss") == [3, 2] and "loss" not in h and len(h) == 2,
    "popitem": lambda h: h.popitem() == ("val_loss", [4, 3]),
    "setdefault": lambda h: h.setdefault("loss", 0) == [3, 2],
    "names": lambda h: list(h) == list(h.keys()) == list(reversed(list(reversed(h)))) == [*CURVES],
    "setitem": lambda h: (h.__setitem__("loss", 1), h["loss"])[1] == 1 and len(h["accuracy"]) == 2,
    "update": lambda h: updated(h, {"loss": 1})["loss"] == 1,
    "union in place": lambda h: h.__ior__({"loss": 1})["loss"] == 1,
    "delitem": lambda h: (h.__delitem__("loss"), "loss" in h)[1] is False and len(h) == 2,
    "clear": lambda h: (h.clear(), len(h), h == {})[1:] == (0, True),
}


def another(history):
    return History(Record(2, dict(history._unread) or dict(CURVES)), (1,))


def updated(a, b):
    a.update(b)
    return a


@pytest.mark.parametrize("curve", [list, tuple, functools.partial(array, "d")])
@pytest.mark.parametrize("reader", READERS)
def test_whatever_reads_the_curves_first_finds_lists_of_floats(reader, curve):
    curves = {name: curve(values) for name, values in CURVES.items()}
    history = History(Record(2, curves), (1,))
    assert READERS[reader](history)
    for values in history.values():
        assert values == 1 or (type(values) is list and all(type(v) is float for v in values))
