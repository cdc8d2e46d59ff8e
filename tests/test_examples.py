"""The programs in examples/ do what they say."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from textbook import given

from fastbp.bench.peers import textbook

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


@pytest.mark.parametrize("seed", range(4))
def test_neuron_ends_at_its_target_from_any_start(seed, capsys, core):
    errors, predictions = example("one_neuron").main(["--seed", str(seed)])
    assert len(errors) == len(predictions) == 80_000
    # To the digits given: from 0.69999924 to 0.69999963, and from 1.4e-13 to 5.7e-13.
    assert 0.699999235 <= predictions[-1] <= 0.699999635
    assert 1.35e-13 <= errors[-1] <= 5.75e-13
    assert f"step 79,999: prediction {predictions[-1]:.10f}" in capsys.readouterr().out


def test_neuron_records_what_a_numpy_loop_does(core):
    program = example("one_neuron")
    neuron, w = program.build(), np.random.RandomState(0).rand(2)
    neuron.set_parameters(w)
    errors, predictions = program.train(neuron)
    assert predictions[-1] == given("0.69999948996878891")
    *trained, loop_errors, loop_predictions = textbook.neuron(*w, 0.1, 0.4, 0.7, 0.01, 80_000)
    np.testing.assert_allclose(predictions, loop_predictions, rtol=0, atol=1e-14)
    np.testing.assert_allclose(errors, loop_errors, rtol=0, atol=1e-14)
    np.testing.assert_allclose(neuron.parameters, trained, rtol=0, atol=1e-13)


def test_neuron_draws_both_curves(tmp_path, core):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "neuron.png"
    example("one_neuron").main([str(picture)])
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_xor_is_solved_by_most_starts(capsys, core):
    solved = example("xor").main([])
    assert 65 <= solved <= 95  # of other draws, 79; the standard deviation is 4
    *rows, last = capsys.readouterr().out.splitlines()
    assert last == f"{solved} of 100 starts solve it"
    outputs = [float(row.split()[-1]) for row in rows]
    np.testing.assert_allclose(outputs, [0, 1, 1, 0], atol=0.1)


def test_xor_ends_where_a_numpy_loop_does(core):
    program = example("xor")
    network, draws = program.build(), np.random.RandomState(0)
    w1, b1, w2, b2 = (draws.rand(*shape) for shape in ((2, 2), (1, 2), (2, 1), (1, 1)))
    network.set_parameters(np.concatenate([part.ravel() for part in (w1, w2, b1, b2)]))
    history = program.train(network)
    assert history.outputs[-1, :, 0].tolist() == given(
        ".05770383", ".9470198", ".9469948", ".05712647"
    )
    assert len(history["loss"]) == len(history.outputs) == 10_000


def test_one_call_ends_at_its_target(capsys, core):
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    trained = example("one_call").main()
    np.random.set_state(state)  # noqa: NPY002
    assert trained["elapsed_iter"] == 117
    assert "[0.2 3.1 1.7] gives 0.1998064" in capsys.readouterr().out


def test_the_residual_network_reads_digits_and_tells_odd_ones(core, capsys):
    values = example("residual").main()
    assert values["dense_3_accuracy"] > 0.9
    assert values["dense_4_accuracy"] > 0.9
    assert "activation, " not in capsys.readouterr().out


def test_parts_of_your_own_learn_a_wave(core, capsys):
    values = example("custom").main()
    assert values["loss"] < 1e-3
    assert values["worst_error"] < 0.1
    assert "worst error" in capsys.readouterr().out


def test_every_example_is_tested_here():
    names = {path.stem for path in (ROOT / "examples").glob("*.py")}
    tested = set(re.findall(r'example\("(\w+)"\)', Path(__file__).read_text()))
    assert names == tested


def run_of_the_readme(name):
    """Run one of its programs; returns the names that it leaves."""
    (program,) = re.findall(
        rf"<!-- program: {name} -->\n```python\n(.*?)```",
        (ROOT / "README.md").read_text(),
        re.DOTALL,
    )
    names = {}
    exec(program, names)
    return names


def test_what_the_readme_has_for_a_keras_program_runs(core, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run_of_the_readme("from keras")["accuracy"] > 0.88
    assert (tmp_path / "digits.safetensors").exists()


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_what_the_readme_has_for_a_scikit_learn_program_runs(core):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    assert run_of_the_readme("from scikit-learn")["accuracy"] > 0.95


def test_tour_of_the_readme_runs(core, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    names = run_of_the_readme("tour")
    assert names["probabilities"].shape == (397, 10)
    assert names["net"].evaluate(names["x"], names["y"])["accuracy"] > 0.95
    assert "2,410 parameters" in capsys.readouterr().out


def test_custom_parts_pass_their_check_and_learn_a_wave(capsys, core):
    spec = importlib.util.spec_from_file_location("custom", ROOT / "examples" / "custom.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.main()["worst_error"] < 0.1
    assert "worst error" in capsys.readouterr().out
