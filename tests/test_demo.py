"""The main job reads digits as well as promised, and prints and draws what it should."""

import re
import subprocess
import sys
import time

import numpy as np
import pytest

from fastbp import demo


def images(data):
    """Return all images of a split with their labels, sorted."""
    x, y = np.vstack([data.x_train, data.x_test]), np.append(data.y_train, data.y_test)
    return sorted((row.tobytes(), int(label)) for row, label in zip(x, y, strict=True))


def test_split_is_80_to_20_of_all_digits_and_follows_the_seed():
    first, again, other = demo.split(0), demo.split(0), demo.split(1)
    assert (len(first.x_train), len(first.x_test)) == (1438, 359)
    np.testing.assert_array_equal(first.x_test, again.x_test)
    assert not np.array_equal(first.x_test, other.x_test)
    assert images(first) == images(other)


def test_over_ten_seeds_accuracy_is_97_percent_on_average_and_never_below_95(core):
    accuracies = []
    for seed in range(10):
        data = demo.split(seed)
        accuracies.append(np.mean(demo.train(data, seed).predicted == data.y_test))
    assert np.mean(accuracies) >= 0.97
    assert min(accuracies) >= 0.95


def test_network_is_64_32_10(Network):
    network = demo.build(0, Network, "float32")
    assert network.n_parameters == 64 * 32 + 32 + 32 * 10 + 10


def test_confusion_counts_truth_by_row_and_reading_by_column():
    counts = demo.confusion(np.array([3, 3, 8]), np.array([3, 8, 8]))
    assert counts[3, 3] == counts[3, 8] == counts[8, 8] == 1
    assert counts.sum() == 3
    line = demo.confusion_table(counts).splitlines()[4]
    assert line.split() == ["3", ".", ".", ".", "1", ".", ".", ".", ".", "1", "."]


@pytest.fixture(scope="module")
def report(tmp_path_factory, core):
    """A whole run of the program: its folder, its output and its seconds."""
    folder = tmp_path_factory.mktemp("demo")
    began = time.monotonic()
    run = subprocess.run(
        [sys.executable, "-m", "fastbp"], cwd=folder, capture_output=True, text=True, check=True
    )
    return folder, run.stdout, run.stderr, time.monotonic() - began


def test_run_prints_summary_accuracy_confusion_and_comparison(report):
    _, text, _, _ = report
    assert "2,410 parameters" in text
    accuracy = re.search(r"^test accuracy: (\d\d\.\d) %$", text, re.M)
    assert float(accuracy[1]) >= 95
    table = re.search(r"^digit.*read as\n((?:.+\n){10})", text, re.M)[1]
    counts = [[int(n.replace(".", "0")) for n in row.split()[1:]] for row in table.splitlines()]
    assert np.sum(counts) == 359
    assert f"{100 * np.trace(counts) / 359:.1f}" == accuracy[1]
    for name in ("compiled core", "NumPy reference", "ratio"):
        assert re.search(rf"^  {name} +[\d.]+( s)?$", text, re.M)


def test_run_shows_both_engines_in_agreement(report):
    _, text, _, _ = report
    differ = int(re.search(r"test predictions that differ +(\d+) of 359", text)[1])
    largest = float(re.search(r"largest parameter difference of a float64 run +(\S+)", text)[1])
    assert differ <= 1
    assert largest <= 1e-9


def test_run_shows_progress_with_loss_and_accuracy(report):
    _, _, progress, _ = report
    assert re.search(r"epoch 30/30 .*loss .*accuracy", progress)


def test_run_takes_less_than_ten_seconds(report):
    assert report[-1] < 10


def test_run_writes_the_picture(report):
    pytest.importorskip("matplotlib")
    folder, text, _, _ = report
    assert f"{demo.PICTURE} shows" in text
    assert (folder / demo.PICTURE).read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_run_says_how_to_get_the_picture(
    monkeypatch, tmp_path, capsys, core
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "EPOCHS", 1)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    demo.run(0)
    assert "pip install 'fastbp[plot]'" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_costs_the_picture_only(
    monkeypatch, tmp_path, capsys, core
):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(demo, "EPOCHS", 1)
    monkeypatch.setattr(demo, "PICTURE", str(tmp_path / "none" / "digits.png"))
    demo.run(0)
    assert "No picture: " in capsys.readouterr().out
