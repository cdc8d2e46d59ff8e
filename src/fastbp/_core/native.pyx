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
    "adam": ("learning_rate", "beta_1", "beta_2", "epsilon"),
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


cdef Data native_inputs(object x) except *:
    """Rows without targets."""
    cdef Data native
    memset(&native, 0, sizeof(Data))
    native.n = x.shape[0]
    native.x = native_rows(x)
    return native


cdef Data native_data(object data, const fbp_plan *plan) except *:
    """Rows with targets, and sample weights if there are any."""
    cdef Data native = native_inputs(data.x)
    native.unchecked = data.unchecked
    if plan.labels:
        native.labels = <const int32_t *>address(data.y)
    else:
        native.y = native_rows(data.y)
    if data.weights is not None:
        native.weights = <const double *>address(data.weights)
    return native


cdef Rule native_rule(object optimizer) except *:
    cdef Rule rule
    cdef int kind = fbp_find_optimizer(optimizer.name.encode())
    if kind < 0:
        raise NotImplementedError(f"the compiled engine has no {optimizer.name}")
    memset(&rule, 0, sizeof(Rule))
    rule.kind = <fbp_optimizer>kind
    rule.n_states = optimizer.n_states
    for i, name in enumerate(CONSTANTS[optimizer.name]):
        value = getattr(optimizer, name)
        rule.constants[i] = 0 if isinstance(value, Schedule) else value
    return rule
