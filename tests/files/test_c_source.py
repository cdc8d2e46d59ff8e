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
from graph_cases import CASES, grown

import fastbp
import fastbp.reference
from fastbp.activations import ACTIVATIONS, ELU, LeakyReLU
from fastbp.datasets import digits
from fastbp.engine import alone, each
from fastbp.files import to_c

# That of the header, strictly, for a library that Python can load.
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2", "-ffp-contract=off"]
FMA = ["-mavx2", "-mfma"] if "fma" in Path("/proc/cpuinfo").read_text().split() else []
COMPILERS = ["gcc", "clang"]
GRAPHS = ["two inputs", "output inside", "flat and not", "frozen", "twice"]
README = Path(__file__).parents[2] / "README.md"
ELEMENTS = 4096
ROWS = 5


def compiler(name: str) -> str:
    return shutil.which(name) or pytest.skip(f"{name} is not installed")


def network(*layers, inputs=3, dtype="float32"):
    """Return a chain whose biases aren't all 0."""
    return biased(fastbp.Network(layers, input_shape=inputs, dtype=dtype, seed=1))


def biased(net):
    """Return the network with biases that aren't all 0."""
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


def graphs(cases, dtype):
    """Return networks of several inputs, outputs and ways between them, by name."""
    nets = {name: case.network(dtype=dtype, seed=1) for name, case in cases.items()}
    return {name.replace(" ", "_"): biased(net) for name, net in nets.items()}


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
    shapes = [output.shape for output in net.plan.outputs]

    def predict(*inputs):
        n = len(inputs[0])
        given = [np.ascontiguousarray(x, net.dtype).reshape(n, -1) for x in inputs]
        made = [np.full((n, int(np.prod(shape)) + 1), 77, net.dtype) for shape in shapes]
        for rows in zip(*given, *made, strict=True):
            function(*(ctypes.c_void_p(row.ctypes.data) for row in rows))
        assert all((y[:, -1] == 77).all() for y in made)
        return tuple(y[:, :-1].reshape(n, *shape) for y, shape in zip(made, shapes, strict=True))

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
    assert_networks_have_bits_of_predict(folder, single_functions(dtype) | stacks(dtype), command)


def assert_networks_have_bits_of_predict(folder, nets, command):
    functions = predictors(folder, nets, command)
    rng = np.random.default_rng(3)
    for name, net in nets.items():
        is_scanned = net.plan.inputs == ((ELEMENTS,),)
        given = (rng.normal(size=(ROWS, *shape)).astype(net.dtype) for shape in net.plan.inputs)
        rows = (scan(net.dtype),) if is_scanned else tuple(given)
        expected = each(net.predict(alone(rows)), len(net.plan.outputs))
        for y, wanted in zip(functions[name](*rows), expected, strict=True):
            assert_same_bits(y, wanted)


@pytest.mark.parametrize("cc", COMPILERS)
def test_every_activation_layer_and_size_has_the_bits_of_predict(tmp_path, core, dtype, cc):
    assert_bits_of_predict(tmp_path, dtype, [compiler(cc), *STRICT, *FMA])


@pytest.mark.parametrize(("cc", "dtype"), [("gcc", "float32"), ("clang", "float64")])
def test_graphs_have_the_bits_of_predict(tmp_path, core, dtype, cc):
    cases = {name: CASES[name] for name in GRAPHS} | {"grown": grown(1), "grown more": grown(7)}
    command = [compiler(cc), *STRICT, *FMA]
    assert_networks_have_bits_of_predict(tmp_path, graphs(cases, dtype), command)


@pytest.mark.thorough
@pytest.mark.parametrize("cc", COMPILERS)
def test_every_graph_has_the_bits_of_predict(tmp_path, core, dtype, cc):
    cases = CASES | {f"grown_{seed}": grown(seed) for seed in range(30)}
    command = [compiler(cc), *STRICT, *FMA]
    assert_networks_have_bits_of_predict(tmp_path, graphs(cases, dtype), command)


@pytest.mark.thorough
@pytest.mark.parametrize("cc", COMPILERS)
@pytest.mark.parametrize(
    "flags",
    [
        [*STRICT],
        [*STRICT, *FMA, "-O0"],
        [*STRICT, *FMA, "-O3"],
        [*STRICT, *FMA, "-Os"],
        [*STRICT[:-1], *FMA, "-O3", "-ffp-contract=fast"],
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
    (arguments,) = re.findall(r"^cc (.*?)  #", README.read_text(), re.MULTILINE)
    flags = [each for each in arguments.split() if FMA or each not in ("-mavx2", "-mfma")]
    (tmp_path / "main.c").write_text(main)
    tour = [fastbp.Rescale(1 / 16), fastbp.Dense(32, "relu"), fastbp.Dense(10, "softmax")]
    net = network(*tour, inputs=64)
    to_c(net, tmp_path / "digits.c")
    command = [compiler("gcc"), *STRICT, *flags]
    subprocess.run(command, cwd=tmp_path, check=True)
    row = digits()[0][0]
    printed = subprocess.run(
        [tmp_path / "digits"], input=" ".join(map(str, row)), capture_output=True, text=True
    ).stdout
    assert_same_bits(np.float32(printed.split()), net.predict(row[None])[0])


@pytest.mark.parametrize("cc", COMPILERS)
def test_header_serves_other_names_and_c_plus_plus(tmp_path, core, cc):
    to_c(network(fastbp.Dense(2)), tmp_path / "a net.c", name="Net1")
    program = '#include "a net.h"\nfloat y[Net1_OUTPUTS];\nvoid f() { Net1_predict(y, y); }\n'
    for name in ("main.c", "main.cc") if shutil.which("g++") else ("main.c",):
        (tmp_path / name).write_text(program)
        subprocess.run([compiler(cc), "-Wall", "-Werror", "-c", name], cwd=tmp_path, check=True)
        listed = subprocess.run(
            ["nm", "main.o"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert "U Net1_predict\n" in listed.stdout


def test_names_that_differ_in_case_alone_are_two(tmp_path, core):
    for file, name, units in (("a", "net", 2), ("b", "Net", 3), ("c", "NET", 4)):
        to_c(network(fastbp.Dense(units)), tmp_path / f"{file}.c", name=name)
    includes = "".join(f'#include "{file}.h"\n' for file in "abc")
    sizes = "int sizes[net_OUTPUTS == 2 && Net_OUTPUTS == 3 && NET_OUTPUTS == 4 ? 1 : -1];\n"
    calls = "void f(float *y) { net_predict(y, y); Net_predict(y, y); NET_predict(y, y); }\n"
    (tmp_path / "main.c").write_text(includes + sizes + calls)
    command = [compiler("gcc"), "-Wall", "-Werror", "-c", "main.c"]
    subprocess.run(command, cwd=tmp_path, check=True)


# Flags that let a compiler compute something else, as far as a source is told of them.
FREE = [
    "-ffast-math", "-Ofast", "-ffinite-math-only", "-funsafe-math-optimizations",
    "-fno-signed-zeros", "-freciprocal-math", "-mfpmath=387",
    "-fassociative-math -fno-signed-zeros -fno-trapping-math",
]  # fmt: skip


def refusal(folder, command):
    """Return the errors of a compiler, or nothing."""
    line = [*command, "-fsyntax-only", "net.c"]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True).stderr


@pytest.mark.parametrize(
    ("cc", "flags"), [("gcc", flags) for flags in FREE] + [("clang", flags) for flags in FREE[:3]]
)
def test_flags_that_would_change_bits_are_refused(tmp_path, core, cc, flags):
    to_c(network(fastbp.Dense(2)), tmp_path / "net.c")
    if flags.startswith("-m") and not FMA:
        pytest.skip("a flag of x86")
    assert not refusal(tmp_path, [compiler(cc)])
    assert "compile with" in refusal(tmp_path, [compiler(cc), *flags.split()])


def test_constants_of_another_precision_are_refused(tmp_path, core, dtype):
    to_c(network(fastbp.Dense(2), dtype=dtype), tmp_path / "net.c")
    said = refusal(tmp_path, [compiler("gcc"), "-fsingle-precision-constant"])
    assert ("without_fsingle_precision_constant" in said) == (dtype == "float64")


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
    assert_same_bits(*predict(rows), net.predict(rows))


def test_a_sum_of_two_branches_that_is_subnormal_counts_as_zero(tmp_path, core):
    a, b = fastbp.Input(2), fastbp.Input(2)
    net = fastbp.Network(inputs=(a, b), outputs=fastbp.Add()([a, b]))
    (predict,) = predictors(tmp_path, {"sum": net}, [compiler("gcc"), *STRICT]).values()
    tiny = np.finfo("float32").tiny
    rows = np.float32([[1.5 * tiny, -1.5 * tiny]]), np.float32([[-tiny, tiny]])
    assert_same_bits(*predict(*rows), net.predict(rows))


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


def test_a_constant_that_float32_can_not_hold_is_refused(tmp_path, core):
    to_c(network(fastbp.Rescale(1e300), dtype="float64"), tmp_path / "double.c")
    with pytest.raises(ValueError, match=r"^network: expected constants that float32 can hold"):
        to_c(network(fastbp.Rescale(1e300)), tmp_path / "float.c")
    assert sorted(os.listdir(tmp_path)) == ["double.c", "double.h"]


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


def test_the_header_of_a_graph_names_every_array(tmp_path):
    a, b = fastbp.Input(3), fastbp.Input((2, 2))
    h = fastbp.Concatenate()([a, fastbp.Flatten()(b)])
    net = fastbp.Network(inputs=(a, b), outputs=(fastbp.Dense(5)(h), h), dtype="float64")
    to_c(net, tmp_path / "model.c")
    header = (tmp_path / "model.h").read_text()
    declared = "void model_predict(const double *x_0, const double *x_1, double *y_0, double *y_1);"
    assert f"\n * {declared}\n" in header
    assert f"\n{declared}\n" in header
    words = " ".join(header.replace("\n * ", " ").split())
    described = (
        "y_0 (5 outputs of dense), y_1 (7 outputs of concatenate), from x_0 (3 inputs), x_1 (4"
    )
    assert described in words
    sizes = dict(re.findall(r"#define model_(\w+) +(\d+)", header))
    assert sizes == {"INPUTS_0": "3", "INPUTS_1": "4", "OUTPUTS_0": "5", "OUTPUTS_1": "7"}


@pytest.mark.parametrize(("name", "written"), [("*/ int", "___int"), ("Größe", "Gr__e")])
def test_a_name_of_a_layer_can_not_end_the_comment_it_stands_in(
    tmp_path, monkeypatch, name, written
):
    monkeypatch.setattr(fastbp.Dense, "name", name)
    a = fastbp.Input(3)
    net = fastbp.Network(inputs=a, outputs=(fastbp.Dense(2)(a), fastbp.Add()([a, a])))
    to_c(net, tmp_path / "model.c")
    assert f"y_0 (2 outputs of {written}), y_1" in (tmp_path / "model.h").read_text("ascii")


def test_a_function_of_many_arrays_has_lines_of_usual_length(tmp_path):
    inputs = [fastbp.Input(2) for _ in range(30)]
    to_c(fastbp.Network(inputs=inputs, outputs=fastbp.Add()(inputs)), tmp_path / "model.c")
    for name in ("model.c", "model.h"):
        assert max(map(len, (tmp_path / name).read_text().splitlines())) <= 100
    subprocess.run([compiler("gcc"), *STRICT, "-c", "model.c"], cwd=tmp_path, check=True)


def test_a_softmax_that_a_loss_has_to_itself_is_computed_once(tmp_path):
    to_c(CASES["output inside"].network(), tmp_path / "model.c")
    body = (tmp_path / "model.c").read_text().rpartition("{")[2]
    assert body.count("softmax(") == body.count("sigmoid_of") == 1


def test_outputs_of_one_value_have_an_array_each(tmp_path, core):
    x = fastbp.Input(3)
    h = fastbp.Dense(3)(x)
    same = (h, fastbp.Dropout(0.5)(h), x, fastbp.Dropout(0.5)(x), fastbp.Dropout(0.3)(h))
    nets = {"same": fastbp.Network(inputs=x, outputs=same)}
    assert_networks_have_bits_of_predict(tmp_path, nets, [compiler("gcc"), *STRICT])


def test_no_more_rows_are_kept_than_are_still_read(tmp_path):
    """A residual block has its input, a hidden row and its result; the next ones take turns."""
    x = h = fastbp.Input(8)
    for _ in range(5):
        h = fastbp.Add()([h, fastbp.Dense(8)(fastbp.Dense(16, "relu")(h))])
    to_c(fastbp.Network(inputs=x, outputs=fastbp.Dense(1)(h)), tmp_path / "model.c")
    sizes = re.findall(r"real h_\d+\[(\d+)\];", (tmp_path / "model.c").read_text())
    assert sorted(map(int, sizes)) == [8, 8, 16]


def test_a_part_of_a_graph_without_c_source_is_refused(tmp_path):
    a, b = fastbp.Input(3), fastbp.Input(3)
    own = fastbp.layers.Custom(lambda x: 2 * x, lambda x, y, dy: 2 * dy)
    net = fastbp.Network(inputs=(a, b), outputs=fastbp.Add()([own(a), b]))
    with pytest.raises(
        ValueError, match=r"^network: expected layers that have C source, got .custom"
    ):
        fastbp.files.to_c(net, tmp_path / "model.c")
    assert not list(tmp_path.iterdir())
