"""Pictures hold what they are to show."""

import numpy as np
import pytest

from fastbp import plotting

matplotlib_figure = pytest.importorskip("matplotlib.figure")


@pytest.fixture
def figure():
    return matplotlib_figure.Figure()


def test_a_curve_runs_over_epochs_from_1_with_validation_dashed(figure):
    axes = figure.subplots()
    plotting.curve(axes, {"loss": [3.0, 2.0, 1.0], "val_loss": [4.0, 3.0, 3.0]}, "loss")
    training, validation = axes.lines
    np.testing.assert_array_equal(training.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(training.get_ydata(), [3, 2, 1])
    np.testing.assert_array_equal(validation.get_ydata(), [4, 3, 3])
    assert (training.get_linestyle(), validation.get_linestyle()) == ("-", "--")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "loss")


def test_a_curve_without_validation_has_no_legend(figure):
    axes = figure.subplots()
    plotting.curve(axes, {"accuracy": [0.5]}, "accuracy")
    assert len(axes.lines) == 1
    assert axes.get_legend() is None


def test_a_descent_is_errors_on_a_logarithmic_scale_and_predictions_beside_targets(figure):
    left, right = figure.subplots(1, 2)
    predictions = np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]])
    plotting.descent(left, right, [1e-1, 1e-2, 1e-3], predictions, [0.4, 0.6])
    assert left.get_yscale() == "log"
    np.testing.assert_array_equal(left.lines[0].get_ydata(), [1e-1, 1e-2, 1e-3])
    a, b, first, second = right.lines
    for line, dashed, column, target in ((a, first, 0, 0.4), (b, second, 1, 0.6)):
        np.testing.assert_array_equal(line.get_ydata(), predictions[:, column])
        assert set(dashed.get_ydata()) == {target}
        assert line.get_color() == dashed.get_color()
    names = [text.get_text() for text in right.get_legend().texts]
    assert names == ["prediction", "target"]
    assert (left.get_ylabel(), right.get_ylabel()) == ("error", "prediction")


@pytest.mark.parametrize(("n_wrong", "n_drawn"), [(0, 0), (1, 1), (7, 7), (25, 25), (30, 25)])
def test_misread_images_are_drawn_with_what_they_were_taken_for(figure, n_wrong, n_drawn):
    truth = np.arange(40) % 10
    predicted = truth.copy()
    predicted[:n_wrong] = (truth[:n_wrong] + 1) % 10
    images = np.arange(40)[:, None, None] * np.ones((8, 8))
    plotting.misread(figure, images, truth, predicted)
    drawn = [axes for axes in figure.axes if axes.images]
    assert [axes.images[0].get_array()[0, 0] for axes in drawn] == list(range(n_drawn))
    assert [axes.get_title() for axes in drawn] == [
        f"{t} as {p}" for t, p in zip(truth[:n_drawn], predicted[:n_drawn], strict=True)
    ]
    title = f"{n_wrong} of 40 misread" + (", 25 of them here" if n_wrong > 25 else "")
    assert figure.get_suptitle() == title
