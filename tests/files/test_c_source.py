"""Networks as C source: compiled without a warning, they have the bits of `predict`."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import fastbp
import fastbp.reference
from fastbp.activations import ACTIVATIONS, ELU, LeakyReLU
from fastbp.datasets import digits
from fastbp.files import to_c

# That of the header, strictly, for a library that Python can load.
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2", "-ffp-contract=off"]
FMA = ["-mavx2", "-mfma"] if "fma" in Path("/proc/cpuinfo").read_text().split() else []
COMPILERS = ["gcc", "clang"]
README = Path(__file__).parents[2] / "README.md"
ELEMENTS = 4096
ROWS = 5


def compiler(name: str) -> str:
    return shutil.which(name) or pytest.skip(f"{name} is not installed")


def network(*layers, inputs=3, dtype="float32"):
    """Return a network whose biases aren't all 0."""
    net = fastbp.Network(layers, input_shape=inputs, dtype=dtype, seed=1)
    biases = {name: each for name, each in net.named_parameters().items() if "biases" in name}
    rng = np.random.default_rng(2)
    net.set_parameters({name: rng.normal(size=each.shape) for name, each in biases.items()})
    return net


def single_functions(dtype):
    """Return a network for each activation of single elements, by name."""
    functions = {name: kind() for name, kind in ACTIVATIONS.items() if name != "softmax"}
    functions |= {"leaky_relu": LeakyReLU(3.1), "elu": ELU(1.7)}
    return {
        name: network(fastbp.Activation(f), inputs=ELEMENTS, dtype=dtype)
        for name, f in functions.items()
    }


def stacks(dtype):
    """Return networks of every layer, and of sizes around every tile and block, by name."""
    dense = fastbp.Dense
    sizes = (1, 3, 255, 5, 256, 7, 257, 8, 513, 15, 16, 17, 33, 20)
    widths = (7, 9, 16, 33)
    layers = {
        "sizes": [dense(units) for units in sizes],
        "probabilities": [dense(units, activation="softmax") for units in widths],
        "flat": [fastbp.Flatten()],
        "all": [
            fastbp.Flatten(), fastbp.Rescale(0.3), dense(18, activation="relu", use_bias=False),
            fastbp.Dropout(0.5), dense(40), fastbp.Dropout(0.5, structured=True),
            fastbp.Activation("silu"), fastbp.Rescale(-1.7), dense(6, activation="softmax"),
            fastbp.Rescale(3),
        ],
    }  # fmt: skip
    shapes = {name: (2, 3) if name in ("flat", "all") else 3 for name in layers}
    return {name: network(*layers[name], inputs=shapes[name], dtype=dtype) for name in layers}


def predictors(folder, nets, command):
    """Return a function of rows for each network, all compiled to one library."""
    for name, net in nets.items():
        to_c(net, folder / f"{name}.c")
    sources = [f"{name}.c" for name in nets]
    library = ["-shared", "-fPIC", "-o", "all.so", *sources, "-lm"]
    subprocess.run([*command, *library], cwd=folder, check=True)
    loaded = ctypes.CDLL(folder / "all.so")
    return {name: rows_of(loaded[f"{name}_predict"], net) for name, net in nets.items()}


def rows_of(function, net):
    """Return a function of rows that calls `function`, which must write its outputs alone."""
    function.restype = None

    def predict(rows):
        sizes = [int(np.prod(shape)) for shape in (net.plan.input_shape, net.plan.output_shape)]
        rows = np.ascontiguousarray(rows, net.dtype).reshape(len(rows), sizes[0])
        outputs = np.full((len(rows), sizes[1] + 1), 77, net.dtype)
        for x, y in zip(rows, outputs, strict=True):
            function(ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data))
        assert (outputs[:, -1] == 77).all()
        return outputs[:, :-1].reshape(len(rows), *net.plan.output_shape)

    return predict


def scan(dtype):
    """Return numbers of every size of which an activation makes something, and zeros."""
    rng = np.random.default_rng(0)
    limits = np.finfo(dtype)
    near = rng.uniform(-20, 20, 4 * ELEMENTS)
    far = rng.uniform(-800, 800, 4 * ELEMENTS) * (1 if dtype == "float64" else 1 / 8)
    least = 2 * limits.tiny  # of which no activation forms half without flushing it
    powers = rng.uniform(np.log(least), np.log(limits.max), 4 * ELEMENTS - 8)
    sized = np.exp(powers) * rng.choice([-1, 1], powers.size)
    edges = [0.0, -0.0, least, -least, limits.max, -limits.max, 1, -1]
    return np.concatenate([near, far, sized, edges]).astype(dtype).reshape(-1, ELEMENTS)


def assert_same_bits(given, expected):
    assert given.dtype == expected.dtype
    np.testing.assert_array_equal(given, expected)
    np.testing.assert_array_equal(np.signbit(given), np.signbit(expected))


def assert_bits_of_predict(folder, dtype, command):
    """Compile every activation and layer with a command, and compare."""
    nets = single_functions(dtype) | stacks(dtype)
    functions = predictors(folder, nets, command)
    rng = np.random.default_rng(3)
    for name, net in nets.items():
        is_scanned = net.plan.input_shape == (ELEMENTS,)
        rows = scan(dtype) if is_scanned else rng.normal(size=(ROWS, *net.plan.input_shape))
        assert_same_bits(functions[name](rows), net.predict(rows.astype(dtype)))


@pytest.mark.parametrize("cc", COMPILERS)
def test_every_activation_layer_and_size_has_the_bits_of_predict(tmp_path, core, dtype, cc):
    assert_bits_of_predict(tmp_path, dtype, [compiler(cc), *STRICT, *FMA])


@pytest.mark.thorough
@pytest.mark.parametrize("cc", COMPILERS)
@pytest.mark.parametrize(
    "flags",
    [
        [*STRICT],
        [*STRICT, *FMA, "-O0"],
        [*STRICT, *FMA, "-O3"],
        [*STRICT, *FMA, "-Os"],
        ["-O3", "-march=native"],  # contracts products and sums, unless the source says no
    ],
    ids=" ".join,
)
def test_bits_do_not_depend_on_flags(tmp_path, core, dtype, cc, flags):
    assert_bits_of_predict(tmp_path, dtype, [compiler(cc), *flags])


def test_the_c_of_the_readme_prints_what_predict_returns(tmp_path, core):
    if not README.exists():
        pytest.skip("needs the checkout's README")
    (main,) = re.findall(r"```c\n(.*?)```", README.read_text(), re.DOTALL)
    (tmp_path / "main.c").write_text(main)
    tour = [fastbp.Rescale(1 / 16), fastbp.Dense(32, "relu"), fastbp.Dense(10, "softmax")]
    net = network(*tour, inputs=64)
    to_c(net, tmp_path / "digits.c")
    command = [compiler("gcc"), *STRICT, "-o", "main", "main.c", "digits.c", "-lm"]
    subprocess.run(command, cwd=tmp_path, check=True)
    row = digits()[0][0]
    printed = subprocess.run(
        [tmp_path / "main"], input=" ".join(map(str, row)), capture_output=True, text=True
    ).stdout
    assert_same_bits(np.float32(printed.split()), net.predict(row[None])[0])


@pytest.mark.parametrize("cc", COMPILERS)
def test_header_serves_other_names_and_c_plus_plus(tmp_path, core, cc):
    to_c(network(fastbp.Dense(2)), tmp_path / "a net.c", name="Net1")
    program = '#include "a net.h"\nfloat y[NET1_OUTPUTS];\nvoid f() { Net1_predict(y, y); }\n'
    for name in ("main.c", "main.cc") if shutil.which("g++") else ("main.c",):
        (tmp_path / name).write_text(program)
        subprocess.run([compiler(cc), "-Wall", "-Werror", "-c", name], cwd=tmp_path, check=True)
        listed = subprocess.run(
            ["nm", "main.o"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert "U Net1_predict\n" in listed.stdout


def test_source_calls_fma_alone_and_has_no_state(tmp_path, core, dtype):
    nets = stacks(dtype)
    to_c(nets["all"], tmp_path / "all.c")
    subprocess.run([compiler("gcc"), *STRICT, "-c", "all.c"], cwd=tmp_path, check=True)
    listed = subprocess.run(["nm", "all.o"], cwd=tmp_path, capture_output=True, text=True).stdout
    symbols = [line.split()[-2:] for line in listed.splitlines()]
    outside = {name for kind, name in symbols if kind == "U"}
    fma = "fmaf" if dtype == "float32" else "fma"
    assert fma in outside
    assert outside <= {fma, "memcpy", "memset", "_GLOBAL_OFFSET_TABLE_"}
    assert [name for kind, name in symbols if kind.isupper() and kind != "U"] == ["all_predict"]
    assert not {kind for kind, _ in symbols} & set("BbCDd")  # nothing that could be written


def test_subnormal_parameters_count_as_zero(tmp_path, core):
    net = network(fastbp.Dense(2), inputs=2)
    net.set_parameters({"dense.weights": np.float32([[1e-40, 1], [-1e-42, 1]])})
    (predict,) = predictors(tmp_path, {"tiny": net}, [compiler("gcc"), *STRICT]).values()
    rows = np.float32([[3e38, 1], [1, 3e38]])
    assert_same_bits(predict(rows), net.predict(rows))


def test_networks_of_the_reference_engine_have_the_same_source(tmp_path, core):
    for folder, kind in (("a", fastbp.Network), ("b", fastbp.reference.Network)):
        (tmp_path / folder).mkdir()
        net = kind([fastbp.Dense(3)], input_shape=2, seed=0)
        to_c(net, tmp_path / folder / "net.c")
    for name in ("net.c", "net.h"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_network_of_unknown_size_is_refused(tmp_path, core):
    with pytest.raises(RuntimeError, match="expected known sizes"):
        to_c(fastbp.Network([fastbp.Dense(2)]), tmp_path / "net.c")


@pytest.mark.parametrize(
    ("path", "name", "error", "message"),
    [
        (3, None, TypeError, "path: expected a path, got int 3"),
        ("net.cc", None, ValueError, "path: expected a name of letters.* that ends in .c"),
        ("net", None, ValueError, "that ends in .c, got 'net'"),
        ('"net.c', None, ValueError, "path: expected a name of letters"),
        ("2 nets.c", None, ValueError, "name: expected .* a letter first, got '2 nets'"),
        ("net.c", "my-net", ValueError, "name: expected .* got 'my-net'"),
        ("net.c", "_net", ValueError, "name: expected .* got '_net'"),
        ("net.c", "n\u00e4t", ValueError, "name: expected .* letters, digits and _"),
        ("net.c", "n" * 56, ValueError, "name: expected at most 55 letters"),
        ("net.c", 3, TypeError, "name: expected a str, got int 3"),
    ],
)
def test_bad_names_are_refused(tmp_path, monkeypatch, core, path, name, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        to_c(network(fastbp.Dense(2)), path, name)
    assert os.listdir() == []


class Doubled(fastbp.activations.Identity):
    name = "doubled"


def test_bad_networks_are_refused_and_old_files_stay(tmp_path, core):
    path = tmp_path / "net.c"
    to_c(network(fastbp.Dense(2)), path)
    old = [path.read_bytes(), path.with_suffix(".h").read_bytes()]
    diverged = network(fastbp.Dense(2))
    diverged.parameters[0] = np.nan
    own = fastbp.reference.Network([fastbp.Dense(2, activation=Doubled())], input_shape=3)
    for bad, error, message in [
        (diverged, ValueError, "network: expected finite parameters, got others in dense.weights"),
        (own, ValueError, "network: expected layers that have C source, got 'doubled'"),
        ("net", TypeError, "network: expected a Network, got str 'net'"),
    ]:
        with pytest.raises(error, match=message):
            to_c(bad, path)
    assert [path.read_bytes(), path.with_suffix(".h").read_bytes()] == old
    assert sorted(os.listdir(tmp_path)) == ["net.c", "net.h"]


def test_a_graph_of_layers_is_refused(tmp_path):
    x = fastbp.Input(3)
    h = fastbp.Dense(3)(x)
    branches = fastbp.Network(inputs=x, outputs=fastbp.Add()([h, x]))
    two = fastbp.Network(inputs=x, outputs=(h, fastbp.Dense(3)(x)))
    for net, message in ((branches, "layers that have C source"), (two, "one input and one")):
        with pytest.raises(ValueError, match=f"^network: expected {message}"):
            fastbp.files.to_c(net, tmp_path / "model.c")
    assert not list(tmp_path.iterdir())
