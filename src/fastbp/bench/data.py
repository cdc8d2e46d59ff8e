"""The arrays of the workloads, from fixed seeds, so that every process makes the same."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np

from fastbp.bench.workloads import Array, Prediction, Training, Weights, Workload
from fastbp.datasets import digits, read_idx

IMAGES = "FASTBP_BENCH_IMAGES"
"""Environment variable: the folder of the "images", in the format of MNIST."""


def training_data(workload: Training) -> tuple[Array, Array]:
    """Return inputs (rows, inputs) and targets (rows, outputs), or int32 labels (rows,)."""
    x, y = _source(workload)
    if len(x) < workload.rows:
        raise ValueError(f"{workload.name}: expected {workload.rows} rows of data, got {len(x)}")
    kind = np.int32 if y.ndim == 1 else workload.dtype
    rows = workload.rows
    return np.ascontiguousarray(x[:rows], workload.dtype), np.ascontiguousarray(y[:rows], kind)


def _source(workload: Training) -> tuple[Array, Array]:
    rng, rows, outputs = np.random.default_rng(0), workload.rows, workload.sizes[-1]
    match workload.data:
        case "neuron":
            return np.array([[0.1, 0.4]]), np.array([[0.7]])
        case "corners":
            return np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0], [1], [1], [0]])
        case "digits":
            pixels, labels = digits()
            return pixels.reshape(len(pixels), -1) / 16, labels
        case "images":
            return images("train")
    x = rng.random((rows, workload.sizes[0]), dtype=np.float32)
    if workload.data == "random labels":
        return x, rng.integers(0, outputs, rows)
    return x, rng.random((rows, outputs), dtype=np.float32)


def images(part: str) -> tuple[Array, Array]:
    """Return images (rows, pixels), float32 in [0, 1], and labels of the part "train" or "t10k".

    Raises
    ------
    NotImplementedError
        If no folder of images was named.
    FileNotFoundError
        If the folder does not hold them.
    """
    folder = os.environ.get(IMAGES)
    if not folder:
        raise NotImplementedError("no folder of images was named")
    pixels, labels = map(read_idx, image_files(Path(folder), part))
    return pixels.reshape(len(pixels), -1).astype(np.float32) / 255, labels


def image_files(folder: Path, part: str) -> list[Path]:
    """Return the files of the images and labels of a part, or raise FileNotFoundError."""
    names = [f"{part}*-{kind}-ubyte*" for kind in ("images-idx3", "labels-idx1")]
    found = [sorted(folder.glob(name)) for name in names]
    if [len(files) for files in found] != [1, 1]:
        raise FileNotFoundError(f"{folder}: expected one file each of {' and '.join(names)}")
    return [file for files in found for file in files]


def prediction_data(workload: Prediction) -> Array:
    """Return the rows to predict, uniform in [0, 1)."""
    shape = (workload.rows, workload.sizes[0])
    return np.random.default_rng(0).random(shape, dtype=np.float32).astype(workload.dtype)


def initial_weights(workload: Workload) -> Weights:
    """Return Glorot uniform weights and zero biases, for programs that bring none of their own."""
    rng = np.random.default_rng(1)
    weights: Weights = []
    for inputs, outputs in pairwise(workload.sizes):
        limit = np.sqrt(6 / (inputs + outputs))
        w = rng.uniform(-limit, limit, (inputs, outputs)).astype(workload.dtype)
        weights.append((w, np.zeros(outputs, workload.dtype) if workload.use_bias else None))
    return weights
