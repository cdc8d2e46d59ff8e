"""Networks drawn at random: both engines agree, and nothing that may not change a bit does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import random_networks
from random_networks import Drawn, alone, draw

import fastbp
import fastbp.reference
from fastbp.callbacks import LambdaCallback
from fastbp.engine import each

pytestmark = [
    pytest.mark.usefixtures("core"),
    pytest.mark.filterwarnings("ignore::fastbp.exceptions.DivergenceWarning"),
]

SEEDS = range(25)
FUNCTIONS = {
    name: getattr(random_networks, name)
    for name in ("scaled", "scaled_back", "gate", "gate_back", "squashed", "squashed_slope")
}


def apart(one: Any, other: Any, floor: float = 0.0) -> float:
    """Return the largest difference, relative to the largest element."""
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    assert a.shape == b.shape
    assert np.isfinite(a).all() == np.isfinite(b).all()
    size = max(float(np.abs(b).max(initial=0)), floor)
    return float(np.abs(a - b).max(initial=0)) / (size or 1)


def trained(net: Any, drawn: Drawn, **options: Any) -> dict[str, Any]:
    return dict(net.fit(*drawn.data, **drawn.fit | options).items())


def answers(net: Any, drawn: Drawn) -> list[Any]:
    """Return what a network answers to its data, and what it became, as arrays."""
    x, y = drawn.data
    n, given = len(drawn.y), {}
    if "sample_weight" in drawn.fit:
        given["sample_weight"] = drawn.fit["sample_weight"]
    values = net.evaluate(x, y, **given)
    loss, gradients = net.loss_and_gradients(x, y, **given)
    found = [*values.values(), loss, gradients.copy(), net.parameters.copy()]
    outputs = each(net.forward(x, training=True), n)
    found += [*each(net.predict(x), n), *outputs]
    found += each(net.backward(alone(tuple(outputs))), len(drawn.x))
    return [*found, net.gradients.copy()]


def check_agreement(seed: int) -> None:
    """Before, on the way and at the end of a fit."""
    drawn = draw(seed)
    ours, theirs = drawn.network(n_threads=1), drawn.network(fastbp.reference.Network)
    assert np.array_equal(ours.parameters, theirs.parameters)
    for one, other in zip(answers(ours, drawn), answers(theirs, drawn), strict=True):
        assert apart(one, other, 1.0) < 1e-11
    assert list(ours.evaluate(*drawn.data)) == list(theirs.evaluate(*drawn.data))
    curves, others = trained(ours, drawn), trained(theirs, drawn)
    assert list(curves) == list(others)
    for name, curve in curves.items():
        assert apart(curve, others[name], 1.0) < 1e-7, name
    assert apart(ours.parameters, theirs.parameters, 1.0) < 1e-7


def everything(net: Any, drawn: Drawn) -> bytes:
    """Return the bytes of all answers, before and behind a fit."""
    parts = answers(net, drawn)
    parts += list(trained(net, drawn).values())
    return b"".join(np.asarray(part).tobytes() for part in [*parts, *answers(net, drawn)])


def check_threads(seed: int) -> None:
    drawn = draw(seed)
    for dtype in ("float32", "float64"):
        found = {everything(drawn.network(n_threads=n, dtype=dtype), drawn) for n in (1, 2, 3)}
        assert len(found) == 1


def check_instruction_sets(seed: int) -> None:
    core, drawn = fastbp.network.compiled_core(), draw(seed)
    before, found = core.build_info()["isa"], set()
    try:
        for isa in core.available_isas():
            core.choose_isa(isa)
            found.add(everything(drawn.network(n_threads=2, dtype="float32"), drawn))
    finally:
        core.choose_isa(before)
    assert len(found) == 1


def check_resuming(seed: int, Network: Any, path: Path) -> None:
    """A file written behind a batch goes on to the same bits, on other threads too."""
    drawn = draw(seed)
    if drawn.options["optimizer"] == "lbfgs":
        return
    net, saved = drawn.network(Network, n_threads=1), []

    def save(batch: int, values: dict[str, float]) -> None:
        if not saved:
            net.save(path)
            saved.append(dict(values))

    curves = trained(net, drawn, callbacks=[LambdaCallback(on_batch_end=save)])
    if not net.position.steps:
        return  # diverged: a fit goes back to where it began, which is another place for the rest
    again = Network.load(path, custom_objects=FUNCTIONS)
    assert again.summary() == net.summary()
    rest = trained(again, drawn)
    assert np.array_equal(again.parameters, net.parameters)
    assert again.position == net.position
    for name, curve in curves.items():
        # Metrics of all outputs of an epoch take those of rows before as they are now.
        first = 1 if name.endswith(("error", "top_1_accuracy")) else 0
        assert np.array_equal(rest[name][first:], curve[first:]), name


def check_layouts(seed: int) -> None:
    """Rows that stand in memory in another way, or are of another type, are the same rows."""
    drawn = draw(seed)
    x = tuple(rows.astype(np.float32) for rows in drawn.x)
    wide = tuple(np.repeat(rows, 2, axis=0)[::2] for rows in x)
    columns = tuple(np.asfortranarray(rows.astype(np.float64)) for rows in x)
    found = {
        everything(drawn.network(n_threads=n), drawn._replace(x=rows))
        for n, rows in ((1, x), (2, wide), (3, columns))
    }
    assert len(found) == 1


def check_streams(seed: int) -> None:
    """Batches that are read one after the other give the bits of rows in order."""
    drawn = draw(seed)
    (x, y), size = drawn.data, drawn.fit["batch_size"]
    given = {name: drawn.fit[name] for name in ("epochs", "class_weight") if name in drawn.fit}
    if drawn.options["optimizer"] == "lbfgs":
        return
    nets = [drawn.network(n_threads=2) for _ in range(2)]
    curves = nets[0].fit(x, y, batch_size=size, shuffle=False, verbose=0, **given)
    others = nets[1].fit(fastbp.Batches(x, y, batch_size=size), shuffle=False, verbose=0, **given)
    assert np.array_equal(nets[0].parameters, nets[1].parameters)
    assert np.array_equal(curves["loss"], others["loss"])


def check_precisions(seed: int) -> None:
    """A copy in the other precision gives nearly the same answers."""
    drawn = draw(seed)
    net = drawn.network(n_threads=1)
    for one, other in zip(
        answers(net.copy(dtype="float32"), drawn), answers(net, drawn), strict=True
    ):
        assert apart(one, other, 1.0) < 1e-3


@pytest.mark.parametrize("seed", SEEDS)
def test_engines_agree(seed: int) -> None:
    check_agreement(seed)


@pytest.mark.parametrize("seed", SEEDS[:8])
def test_threads_change_no_bit(seed: int) -> None:
    check_threads(seed)


@pytest.mark.parametrize("seed", SEEDS[:8])
def test_files_go_on_alike(seed: int, Network: Any, tmp_path: Path) -> None:
    check_resuming(seed, Network, tmp_path / "net")


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(100, 700))
def test_much_of_many_networks(seed: int, tmp_path: Path) -> None:
    check_agreement(seed)
    check_threads(seed)
    check_instruction_sets(seed)
    check_precisions(seed)
    check_layouts(seed)
    check_streams(seed)
    check_resuming(seed, fastbp.Network, tmp_path / "net")
