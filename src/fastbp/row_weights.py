"""What rows count: their sample weights, times what their class counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastbp import validate
from fastbp.arrays import LARGEST, plain, real_array, require_count, require_within
from fastbp.engine import Array
from fastbp.plan import Output
from fastbp.targets import ignore_label

FLOAT64 = np.dtype(np.float64)


def row_weights(
    argument: str, targets: Array, output: Output, name: str, sample_weight: Any, whole: bool
) -> Array | None:
    """Return what each row counts: its sample weight, and nothing where its label is ignored."""
    weights = None if sample_weight is None else _weights(name, sample_weight, len(targets), whole)
    if ignore_label(output) is None or targets.min() >= 0:
        return weights
    counts = (targets >= 0).astype(np.float64)
    return counts if weights is None else _product(argument, weights, counts, whole)


def _weights(argument: str, value: Any, n: int, whole: bool) -> Array:
    """Return sample weights, shape (n,), float64."""
    array = real_array(argument, value)
    if array.ndim != 1:
        raise ValueError(f"{argument}: expected shape ({n},), got {array.shape}")
    require_count(argument, array, n)
    weights = plain(array, FLOAT64)
    require_within(argument, weights, 0, LARGEST["float64"], "finite weights of at least 0")
    _require_weight(argument, weights, whole)
    return weights


def weights_by_class(
    argument: str, value: Any, targets: Array, output: Output, weights: Array | None, whole: bool
) -> Array | None:
    """Return what rows of `weights` count by their class too."""
    if value is None:
        return weights
    others = _class_weights(argument, value, targets, output, whole)
    return others if weights is None else _product(argument, weights, others, whole)


def _class_weights(argument: str, value: Any, targets: Array, output: Output, whole: bool) -> Array:
    """Return what each row counts by its class, shape (n,), float64."""
    assert output.loss is not None
    width = math.prod(output.shape)
    decision = output.loss.decision(width)
    if decision == "yes" and width > 1:
        raise ValueError(
            f"{argument}: expected rows of one class each, got the {width} yes-or-no outputs "
            f"of {output.loss.name}; pass sample_weight"
        )
    table = _table(argument, value, 2 if decision == "yes" else width)
    if decision == "label":
        classes = targets
    else:
        classes = targets.argmax(axis=1) if decision == "largest" else targets[:, 0] > 0.5
    weights = table[classes.astype(np.intp)]
    _require_weight(argument, weights, whole)
    return weights


def _table(argument: str, value: Any, classes: int) -> Array:
    """Return the weight of each class, 1 for those that a mapping leaves out."""
    if isinstance(value, Mapping):
        table = np.ones(classes)
        for number, weight in value.items():
            at = validate.integer(argument, number, 0, classes - 1)
            table[at] = validate.at_least(f"{argument}[{at}]", weight, 0)
        return table
    table = real_array(argument, value).astype(np.float64)
    if table.shape != (classes,):
        raise ValueError(f"{argument}: expected shape ({classes},), got {table.shape}")
    require_within(argument, table, 0, LARGEST["float64"], "finite weights of at least 0")
    return table


def _product(argument: str, weights: Array, others: Array, whole: bool) -> Array:
    """Return what rows count by both of two kinds of weights."""
    with np.errstate(over="ignore", under="ignore"):
        product: Array = weights * others
    _require_weight(argument, product, whole)
    return product


def _require_weight(argument: str, weights: Array, whole: bool) -> None:
    """Refuse weights that add up to more than a number can hold, or of whole data to nothing."""
    with np.errstate(over="ignore"):
        total = float(weights.sum())
    if total == math.inf or (whole and not total > 0):
        raise ValueError(f"{argument}: expected weights with a finite sum above 0, got {total}")
