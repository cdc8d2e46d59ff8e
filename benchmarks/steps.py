"""Time of training steps of one network at a given number of threads, fastbp alone."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

import fastbp
from fastbp.bench import networks
from fastbp.bench.data import training_data

MOST_BATCHES = 16  # of an epoch: more would measure memory rather than the network
MOST_BYTES = 64_000_000


def on_random_rows(workload, batch_size):
    """Return the row at another batch size, on as many random rows as a few batches need."""
    labels = workload.loss == "sparse_categorical_crossentropy"
    row_bytes = workload.sizes[0] * 8
    batches = max(1, min(MOST_BATCHES, MOST_BYTES // (row_bytes * batch_size)))
    return replace(
        workload,
        data="random labels" if labels else "random targets",
        batch_size=batch_size,
        rows=batches * batch_size,
        epochs=1,
        unit="step",
    )


class Steps:
    """A network in training, to be timed for about `seconds` at a time.

    Parameters
    ----------
    workload : Training
        What is trained, on as many of its batches as there is time for.
    seconds : float
        How long one timing takes on one thread; at least a step.
    """

    def __init__(self, workload, seconds):
        self._net = networks.build(fastbp.Network, workload, None)
        self._x, self._y = training_data(workload)
        batch = workload.batch_size
        self._workload = replace(workload, rows=batch, epochs=1)
        self.time(1)  # makes what is kept between runs
        while (step := self.time(1)) * self._workload.epochs < seconds / 4:
            self._workload = replace(self._workload, epochs=4 * self._workload.epochs)
        batches = max(1, min(workload.steps, round(seconds / step)))
        epochs = max(1, round(seconds / step / batches))
        self._workload = replace(workload, rows=batches * batch, epochs=epochs)

    def time(self, n_threads):
        """Return the time of a step, the mean over one run."""
        self._net.n_threads = n_threads
        rows = self._workload.rows
        fit = partial(networks.fit, self._net, self._workload, self._x[:rows], self._y[:rows])
        start = time.perf_counter()
        fit()
        return (time.perf_counter() - start) / self._workload.steps
