"""From Python's objects to the structs of the core: arrays to pointers, optimizers to numbers.

Arrays come checked from `fastbp.data`, and their owners outlive every call.
"""
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS,
    PyBUF_FORMAT,
    PyBUF_STRIDED_RO,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.math cimport INFINITY
from libc.stdint cimport int32_t
from libc.string cimport memset

import numpy as np

from fastbp._core.layout cimport (
    FBP_SOURCE_bool,
    FBP_SOURCE_float32,
    FBP_SOURCE_float64,
    FBP_SOURCE_int8,
    FBP_SOURCE_int16,
    FBP_SOURCE_int32,
    FBP_SOURCE_int64,
    FBP_SOURCE_uint8,
    FBP_SOURCE_uint16,
    FBP_SOURCE_uint32,
    FBP_SOURCE_uint64,
    fbp_find_optimizer,
    fbp_optimizer,
    fbp_plan,
    fbp_rows,
    fbp_source,
)

from fastbp.schedules import Schedule

# Each optimizer's constants, in the order in which update.pyx reads them.
CONSTANTS = {
    "sgd": ("learning_rate", "momentum", "nesterov"),
    "adam": ("learning_rate", "beta_1", "beta_2", "epsilon", "epsilon_hat"),
    "adamw": ("learning_rate", "beta_1", "beta_2", "epsilon", "epsilon_hat"),
    "nadam": ("learning_rate", "beta_1", "beta_2", "epsilon", "epsilon_hat", "momentum_decay"),
    "rmsprop": ("learning_rate", "epsilon", "rho", "momentum", "centred"),
    "adagrad": ("learning_rate", "epsilon"),
    "rprop": ("learning_rate", "eta_minus", "eta_plus", "min_step", "max_step"),
    "quickprop": ("learning_rate", "mu"),
}

cdef object ndarray = np.ndarray

# By the binary logarithm of their size.
cdef int[4] SIGNED = [
    FBP_SOURCE_int8, FBP_SOURCE_int16, FBP_SOURCE_int32, FBP_SOURCE_int64]
cdef int[4] UNSIGNED = [
    FBP_SOURCE_uint8, FBP_SOURCE_uint16, FBP_SOURCE_uint32, FBP_SOURCE_uint64]


cdef char *address(object array) except? NULL:
    """Where an array's first element stands."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_STRIDED_RO)
    cdef char *data = <char *>view.buf
    PyBuffer_Release(&view)
    return data


cdef int source_of(const Py_buffer *view) noexcept:
    """The type of a buffer's elements, or -1 if they are unaligned or no native real numbers."""
    cdef char *letters = view.format  # more than one where the byte order or alignment is not ours
    cdef size_t size = view.itemsize
    if letters == NULL or letters[0] == 0 or letters[1] != 0 or <size_t>view.buf % size != 0:
        return -1
    if letters[0] == c"?":
        return FBP_SOURCE_bool
    if letters[0] in (c"f", c"d"):
        return FBP_SOURCE_float32 if size == 4 else FBP_SOURCE_float64
    if letters[0] in (c"b", c"h", c"i", c"l", c"q"):
        return SIGNED[(size > 1) + (size > 2) + (size > 4)]
    if letters[0] in (c"B", c"H", c"I", c"L", c"Q"):
        return UNSIGNED[(size > 1) + (size > 2) + (size > 4)]
    return -1


cdef bint find_block(object array, size_t width, bint writeable, Block *block) except -1:
    """Whether `array` is a C-contiguous array of real numbers of shape (width,) or (rows, width),
    and where."""
    cdef Py_buffer view
    cdef int kind = -1
    if type(array) is not ndarray:
        return False
    try:
        PyObject_GetBuffer(
            array, &view,
            PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if writeable else 0))
    except (BufferError, ValueError):
        return False
    if view.ndim in (1, 2) and <size_t>view.shape[view.ndim - 1] == width:
        kind = source_of(&view)
        block.data, block.bytes, block.type = <char *>view.buf, view.len, <fbp_source>kind
        block.dimensions, block.rows = view.ndim, view.shape[0] if view.ndim == 2 else 1
    PyBuffer_Release(&view)
    return kind >= 0


cdef bint apart(const Block *a, const Block *b) noexcept:
    """Whether two blocks have no byte in common."""
    return a.data + a.bytes <= b.data or b.data + b.bytes <= a.data


cdef fbp_rows native_rows(object array) except *:
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_STRIDED_RO | PyBUF_FORMAT)
    cdef int kind = source_of(&view)
    cdef fbp_rows rows = fbp_rows(<char *>view.buf, view.strides[0], <fbp_source>kind)
    PyBuffer_Release(&view)
    if kind < 0:
        raise TypeError(f"rows: expected aligned native real numbers, got {array.dtype}")
    return rows


cdef bint is_in_memory(object array):
    """Whether an array's memory is its own or another array's: no file's, no other object's."""
    owner = array.base
    while type(owner) is ndarray:
        owner = owner.base
    return owner is None


cdef bint find_rows(object array, tuple shape, fbp_rows *rows, size_t *n) except -1:
    """Whether `array` is one in memory, of rows that are vectors of this shape and can be read as
    they are, and where."""
    cdef Py_buffer view
    cdef int kind
    cdef bint found = False
    if type(array) is not ndarray or len(shape) != 1 or not is_in_memory(array):
        return False
    try:
        PyObject_GetBuffer(array, &view, PyBUF_STRIDED_RO | PyBUF_FORMAT)
    except (BufferError, ValueError):
        return False
    if view.ndim == 2 and view.shape[0] > 0 and view.shape[1] == <Py_ssize_t>shape[0]:
        kind = source_of(&view)
        found = (kind >= 0 and view.strides[0] % view.itemsize == 0
                 and (view.strides[1] == view.itemsize or view.shape[1] == 1))
        rows[0], n[0] = fbp_rows(<char *>view.buf, view.strides[0], <fbp_source>kind), view.shape[0]
    PyBuffer_Release(&view)
    return found


cdef class Ports:
    """Rows of data and arrays for outputs, in C; owns what a `Data` and a `Pass` point to."""

    def __dealloc__(self):
        PyMem_Free(self.memory)

    cdef int place(self, const fbp_plan *plan) except -1:
        """Take memory for the pointers."""
        self.memory = <char *>PyMem_Calloc(1, plan.n_inputs * sizeof(fbp_rows) + plan.n_outputs * (
            sizeof(Answers) + sizeof(char *)))
        if self.memory == NULL:
            raise MemoryError()
        self.x = <fbp_rows *>self.memory
        self.answers = <Answers *>(self.x + plan.n_inputs)
        self.outputs = <char **>(self.answers + plan.n_outputs)
        self.data.x, self.data.answers = self.x, self.answers
        return 0

    cdef int point(self, tuple outputs) except -1:
        """Let outputs go to these arrays."""
        for k, output in enumerate(outputs):
            self.outputs[k] = address(output)
        return 0


cdef Ports native_inputs(object x, const fbp_plan *plan):
    """Rows without targets."""
    cdef Ports ports = Ports()
    ports.place(plan)
    inputs = (x,) if plan.n_inputs == 1 else x
    ports.data.n = inputs[0].shape[0]
    for k, rows in enumerate(inputs):
        ports.x[k] = native_rows(rows)
    return ports


cdef bint leaves_out(const int32_t *labels, size_t n) noexcept:
    """Whether a row has no label."""
    cdef int32_t least = 0
    cdef size_t row
    for row in range(n):
        least = min(least, labels[row])
    return least < 0


cdef Ports native_data(object data, const fbp_plan *plan):
    """Rows with targets, and sample weights if there are any."""
    cdef Ports ports = native_inputs(data.x, plan)
    cdef size_t k, n = plan.n_outputs
    cdef tuple targets = (data.y,) if n == 1 else data.y
    cdef tuple weights = (data.weights,) if n == 1 else data.weights or (None,) * n
    ports.data.unchecked = data.unchecked
    for k in range(n):
        if plan.outputs[k].labels:
            ports.answers[k].labels = <const int32_t *>address(targets[k])
            ports.answers[k].leaves_out = leaves_out(ports.answers[k].labels, ports.data.n)
        else:
            ports.answers[k].y = native_rows(targets[k])
        if weights[k] is not None:
            ports.answers[k].weights = <const double *>address(weights[k])
    return ports


cdef Rule native_rule(object optimizer) except *:
    cdef Rule rule
    cdef int kind = fbp_find_optimizer(optimizer.name.encode())
    if optimizer.evaluates:  # it stands above the engine, and takes none of its steps
        memset(&rule, 0, sizeof(Rule))
        return rule
    if kind < 0:
        raise NotImplementedError(f"the compiled engine has no {optimizer.name}")
    memset(&rule, 0, sizeof(Rule))
    rule.kind = <fbp_optimizer>kind
    rule.n_states = optimizer.n_states
    rule.weight_decay, rule.decoupled = optimizer.weight_decay, optimizer.decoupled_weight_decay
    rule.clip_value = INFINITY if optimizer.clip_value is None else optimizer.clip_value
    rule.clip_norm = INFINITY if optimizer.clip_norm is None else optimizer.clip_norm
    for i, name in enumerate(CONSTANTS[optimizer.name]):
        value = getattr(optimizer, name)
        rule.constants[i] = 0 if isinstance(value, Schedule) else value
    return rule
