"""The programs in examples/ do what they say."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
MNIST = ROOT.parent / "shared" / "data" / "mnist10k"


def example(name):
    """Return a program of examples/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def mnist():
    """The module examples/mnist.py."""
    return example("mnist")


@pytest.fixture(scope="module")
def mnist_folder():
    if not MNIST.is_dir():
        pytest.skip(f"no MNIST images at {MNIST}")
    return MNIST


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(header + array.astype("u1").tobytes())


@pytest.fixture
def bars(tmp_path):
    """A folder of images that a network must be able to tell apart: a bar at ten heights."""
    for part, count in (("train", 400), ("t10k", 100)):
        labels = np.arange(count) % 10
        images = np.zeros((count, 28, 28))
        images[np.arange(count), 2 + 2 * labels] = 200
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", labels)
    return tmp_path


def test_mnist_network_has_101770_parameters(mnist, core):
    assert mnist.build().n_parameters == 101_770


def test_mnist_learns_from_idx_files(mnist, bars, capsys, core):
    assert mnist.main([str(bars)])["accuracy"] == 1
    assert "test accuracy: 100.00 %" in capsys.readouterr().out


def test_mnist_names_the_files_it_misses(mnist, tmp_path, core):
    with pytest.raises(SystemExit, match=r"expected one file train\*-images-idx3-ubyte\*, found 0"):
        mnist.main([str(tmp_path)])


def test_mnist_reads_real_digits_with_92_percent_or_better(mnist, mnist_folder, core):
    # 5 epochs over 10,000 images; scikit-learn's MLP reaches 94.9 % in 10.
    assert mnist.main([str(mnist_folder)])["accuracy"] >= 0.92


def test_a_network_learns_from_files(tmp_path, capsys, core):
    figures = example("larger_than_memory").main([str(tmp_path), "--rows", "20000"])
    assert figures["accuracy"] > 0.99
    assert "test accuracy" in capsys.readouterr().out


def test_the_residual_network_reads_digits_and_tells_odd_ones(core, capsys):
    values = example("residual").main()
    assert values["dense_3_accuracy"] > 0.9
    assert values["dense_4_accuracy"] > 0.9
    assert "activation, " not in capsys.readouterr().out


def test_tour_of_the_readme_runs(core, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names = {}
    exec(program, names)
    assert names["probabilities"].shape == (397, 10)
    assert names["net"].evaluate(names["x"], names["y"])["accuracy"] > 0.95
    assert "2,410 parameters" in capsys.readouterr().out
