"""Files of every format version stay loadable, and mean what they meant."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from golden_files import X, targets

import fastbp
from fastbp import Adam, Dense, Dropout, Flatten, Rescale, schedules
from fastbp.engine import EpochPart, Position
from fastbp.metrics import F1

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.glob("golden_*/*.safetensors"))


def expected(path):
    return json.loads(path.with_name("expected.json").read_text())[path.name]


def test_every_version_has_its_files():
    assert [path.parent.name for path in FILES] == ["golden_1"] * 2


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_file_is_loaded_and_predicts_what_it_did(Network, path):
    net, was = Network.load(path), expected(path)
    *counts, part = was["position"]
    assert net.position == Position(*counts, part=EpochPart(*part))
    limit = 1e-12 if net.dtype == "float64" else 1e-5
    np.testing.assert_allclose(net.predict(X[:2]), was["predictions"], rtol=limit)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_file_goes_on_to_where_it_did(Network, path):
    net, was = Network.load(path), expected(path)
    net.fit(X, targets(net), epochs=2, batch_size=16)
    assert net.position.epochs == was["epochs"]
    limit = 1e-9 if net.dtype == "float64" else 1e-4
    np.testing.assert_allclose(net.predict(X[:2]), was["after"], rtol=limit)


def test_the_first_version_has_all_that_was_in_it(Network):
    net = Network.load(FOLDER / "golden_1" / "dropping.safetensors")
    assert [type(each.description) for each in net.layers] == [
        Flatten, Rescale, Dense, Dropout, Dense,
    ]  # fmt: skip
    assert net.seed == 2**64 - 1
    rate = schedules.Warmup(schedules.Cosine(0.05, 30), 5)
    assert net.optimizer == Adam(rate, clip_norm=2.0)
    assert net.metrics == (fastbp.metrics.Accuracy(), F1("macro"))
    assert net.class_names == ("cat", "dog", "\u00fcbrige")
    np.testing.assert_array_equal(net.preprocessing["mean"], X.mean(0))
    assert net.preprocessing["limits"] == (0, float("inf"))
    other = Network.load(FOLDER / "golden_1" / "recurring.safetensors")
    other.reset()
    np.testing.assert_array_equal(
        other.named_parameters()["dense.weights"], np.arange(24).reshape(8, 3) / 24
    )
