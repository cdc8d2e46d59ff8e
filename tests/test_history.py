"""The history of a fit and its pictures."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest

from fastbp import History
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


def test_history_survives_pickle(history):
    copy = pickle.loads(pickle.dumps(history))
    assert copy == history
    assert copy.epochs == 2
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
