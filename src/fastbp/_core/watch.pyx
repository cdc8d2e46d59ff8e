"""Steps that are recorded: norms of what a layer has, and what its units do.

Such a step takes the way on which the whole batch stays in the team's frame and all gradients are
there before the first update. That changes no bit.

Sums are float64: over parameters as penalties are, over the rows of a unit in a chain, and over
units in order.
"""
from libc.math cimport NAN, sqrt
from libc.string cimport memset

import numpy as np

from fastbp._core.layout cimport FBP_CHUNK, FBP_NONE, value
from fastbp._core.native cimport address
from fastbp._core.share cimport share


cdef void look_at_units(const Worker *worker, const Watch *watch, const Pass *run) noexcept nogil:
    """Add what this thread's units of each layer do in the rows of a pass that is in the frame."""
    cdef const fbp_plan *plan = run.plan
    cdef const WatchedLayer *layer
    cdef size_t i, n, low, high, at
    for i in range(watch.n_layers):
        layer = &watch.layers[i]
        n = plan.sizes[layer.tensor]
        low = share(n, worker.rank, worker.size, plan.kernels.row_lanes)
        high = share(n, worker.rank + 1, worker.size, plan.kernels.row_lanes)
        at = layer.first_unit + low
        if run.before == 0:
            memset(watch.squares + at, 0, (high - low) * sizeof(double))
            memset(watch.outside + at, 0, (high - low) * sizeof(double))
            memset(watch.active + at, 0, (high - low) * sizeof(double))
        plan.kernels.watch_units(
            run.rows, high - low, n, layer.low, layer.high,
            value(plan, &worker.team.frame, layer.tensor, 0) + low * plan.itemsize,
            watch.squares + at, watch.outside + at, watch.active + at)


cdef double squares(const fbp_plan *plan, size_t n, const char *x) noexcept nogil:
    """The sum of n squares, which is what a penalty of factor 1 comes to."""
    return plan.kernels.penalty(0.0, 1.0, n, x)


cdef bint is_own(const Worker *worker, const Piece *piece) noexcept nogil:
    """Whether this thread updates the parameters of a piece."""
    cdef size_t n = worker.team.plan.n_parameters
    return (share(n, worker.rank, worker.size, FBP_CHUNK) <= piece.start
            < share(n, worker.rank + 1, worker.size, FBP_CHUNK))


cdef void look_at_gradients(const Worker *worker, const Watch *watch,
                            const char *gradients) noexcept nogil:
    """Before this thread's part of an update: what it will read."""
    cdef const fbp_plan *plan = worker.team.plan
    cdef const char *p
    cdef const char *g
    cdef Piece *piece
    cdef size_t i, n
    for i in range(watch.n_pieces):
        piece = &watch.pieces[i]
        if not is_own(worker, piece):
            continue
        n = piece.stop - piece.start
        p = worker.team.memory.parameters + piece.start * plan.itemsize
        g = gradients + piece.start * plan.itemsize
        piece.parameters = squares(plan, n, p)
        piece.gradients = squares(plan, n, g)
        plan.kernels.scale(n, -1.0, p, watch.before + piece.start * plan.itemsize)


cdef void look_at_updates(const Worker *worker, const Watch *watch) noexcept nogil:
    """Behind the update of all."""
    cdef const fbp_plan *plan = worker.team.plan
    cdef char *difference
    cdef Piece *piece
    cdef size_t i, n
    for i in range(watch.n_pieces):
        piece = &watch.pieces[i]
        if not is_own(worker, piece):
            continue
        n = piece.stop - piece.start
        difference = watch.before + piece.start * plan.itemsize
        plan.kernels.add(n, worker.team.memory.parameters + piece.start * plan.itemsize, difference)
        piece.updates = squares(plan, n, difference)


cdef bint is_kept(const fbp_plan *plan, const WatchedLayer *layer, size_t unit) noexcept nogil:
    """Whether a batch has a unit; tensors that lack units are those of the others."""
    cdef size_t i
    cdef const char *mask
    for i in range(layer.n_dropouts if plan.groups[layer.tensor] == FBP_NONE else 0):
        mask = plan.ops[layer.dropouts[i]].mask
        if plan.itemsize == 4 and (<const float *>mask)[unit] == 0:
            return False
        if plan.itemsize == 8 and (<const double *>mask)[unit] == 0:
            return False
    return True


cdef void record_units(const Watch *watch, const fbp_plan *plan, const WatchedLayer *layer,
                       double rows, double *to) noexcept nogil:
    """The layer's outputs; `to` has a place of each quantity for every layer."""
    cdef double squares = 0.0, outside = 0.0, dead = 0.0, units = 0.0
    cdef size_t unit
    for unit in range(plan.sizes[layer.tensor]):
        if is_kept(plan, layer, unit):
            units += 1.0
            squares += watch.squares[layer.first_unit + unit]
            outside += watch.outside[layer.first_unit + unit]
            dead += watch.active[layer.first_unit + unit] == 0
    to[0] = sqrt(squares / (rows * units)) if units > 0 else NAN
    to[watch.n_layers] = outside / (rows * units) if units > 0 and layer.saturates else NAN
    to[2 * watch.n_layers] = dead / units if units > 0 and layer.rectifies else NAN


cdef void record_step(Watch *watch, const fbp_plan *plan, size_t rows, double loss) noexcept nogil:
    """Put a step on record; `plan` is the one that its rows went through. One thread's work."""
    cdef size_t i, n = watch.n_layers
    cdef double *to = watch.records + watch.n * (2 + QUANTITIES * n)
    cdef double *sums = to + 2
    cdef const Piece *piece
    to[0], to[1] = <double>watch.due, loss
    memset(sums, 0, 3 * n * sizeof(double))
    for i in range(watch.n_pieces):
        piece = &watch.pieces[i]
        sums[piece.layer] += piece.parameters
        sums[n + piece.layer] += piece.gradients
        sums[2 * n + piece.layer] += piece.updates
    for i in range(3 * n):
        sums[i] = sqrt(sums[i])
    for i in range(n):
        record_units(watch, plan, &watch.layers[i], <double>rows, sums + 3 * n + i)
    watch.n += 1
    watch.due += watch.every


cdef class Watching:
    """The memory of a watch that a training fills."""

    def __init__(self, watch):
        self.watch = watch

    cdef int start(self, Watch *watch, const fbp_plan *plan) except -1:
        """Point the training to the memory."""
        cdef size_t i, dropout
        watch.every, watch.steps, watch.due = self.watch.every, self.watch.steps, self.watch.due
        watch.n_layers = len(self.watch.layers)
        self.layers = np.zeros(max(watch.n_layers, 1) * sizeof(WatchedLayer), np.uint8)
        watch.layers = <WatchedLayer *>address(self.layers)
        dropouts = [place for layer in self.watch.layers for place in layer.dropouts]
        self.dropouts = np.array([*dropouts, 0], np.uintp)
        dropout = 0
        for i, layer in enumerate(self.watch.layers):
            watch.layers[i].tensor = layer.tensor
            watch.layers[i].first_unit = watch.n_units
            limits = layer.limits or [NAN, NAN]
            watch.layers[i].low, watch.layers[i].high = limits
            watch.layers[i].saturates = layer.limits is not None
            watch.layers[i].rectifies = layer.rectifies
            watch.layers[i].n_dropouts = len(layer.dropouts)
            watch.layers[i].dropouts = <size_t *>address(self.dropouts) + dropout
            dropout += len(layer.dropouts)
            watch.n_units += plan.sizes[layer.tensor]
        self.cut(watch)
        self.place(watch)
        return 0

    cdef int cut(self, Watch *watch) except -1:
        """Cut the parameters of each layer where a chunk of the flat vector ends."""
        pieces = sorted(
            (at, min(stop, (at // FBP_CHUNK + 1) * FBP_CHUNK), i)
            for i, layer in enumerate(self.watch.layers) for start, stop in layer.spans
            for at in (start, *range((start // FBP_CHUNK + 1) * FBP_CHUNK, stop, FBP_CHUNK)))
        self.pieces = np.zeros(max(len(pieces), 1) * sizeof(Piece), np.uint8)
        watch.n_pieces, watch.pieces = len(pieces), <Piece *>address(self.pieces)
        for k, (start, stop, i) in enumerate(pieces):
            watch.pieces[k] = Piece(i, start, stop, 0.0, 0.0, 0.0)
        return 0

    cdef int place(self, Watch *watch) except -1:
        """Let records go where there is room."""
        self.watch.make_room()
        self.rows = self.watch.rows
        watch.records, watch.room = <double *>address(self.rows), len(self.rows)
        watch.n = self.watch.n
        return 0

    cdef int look(self, Watch *watch) except -1:
        """Show what has been recorded, and make room for more."""
        self.finish(watch)
        return self.place(watch)

    cdef int finish(self, const Watch *watch) except -1:
        """Show what has been recorded."""
        self.watch.n, self.watch.steps = watch.n, watch.steps
        return 0
