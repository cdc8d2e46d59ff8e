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
    FBP_SOURCE_float32,
    FBP_SOURCE_float64,
    fbp_find_optimizer,
    fbp_find_source,
    fbp_optimizer,
    fbp_plan,
    fbp_rows,
    fbp_source,
)

# Each optimizer's constants, in the order in which update.pyx reads them.
CONSTANTS = {
    "sgd": ("learning_rate", "momentum", "nesterov"),
    "adam": ("learning_rate", "beta_1", "beta_2", "epsilon"),
}

cdef object ndarray = np.ndarray


cdef char *address(object array) except? NULL:
    """Where an array's first element stands."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_STRIDED_RO)
    cdef char *data = <char *>view.buf
    PyBuffer_Release(&view)
    return data


cdef bint find_block(object array, size_t width, bint writeable, Block *block) except -1:
    """Whether `array` is a C-contiguous, aligned array of native floating point numbers, of shape
    (width,) or (rows, width); `block` then says where."""
    cdef Py_buffer view
    if type(array) is not ndarray:
        return False
    try:
        PyObject_GetBuffer(
            array, &view,
            PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if writeable else 0))
    except (BufferError, ValueError):
        return False
    cdef bint fits = is_block(&view, width)
    if fits:
        block.data, block.bytes = <char *>view.buf, view.len
        block.type = FBP_SOURCE_float32 if view.itemsize == 4 else FBP_SOURCE_float64
        block.dimensions, block.rows = view.ndim, view.shape[0] if view.ndim == 2 else 1
    PyBuffer_Release(&view)
    return fits


cdef bint is_block(const Py_buffer *view, size_t width) noexcept:
    cdef char *kind = view.format
    if view.ndim not in (1, 2) or <size_t>view.shape[view.ndim - 1] != width:
        return False
    if kind == NULL or kind[0] not in (c"f", c"d") or kind[1] != 0:  # a first letter may be "<"
        return False
    return <size_t>view.buf % view.itemsize == 0


cdef bint apart(const Block *a, const Block *b) noexcept:
    """Whether two blocks have no byte in common."""
    return a.data + a.bytes <= b.data or b.data + b.bytes <= a.data


cdef fbp_rows native_rows(object array) except *:
    cdef fbp_rows rows
    cdef int kind = fbp_find_source(array.dtype.name.encode())
    if kind < 0 or not array.flags.aligned or not array.dtype.isnative:
        raise TypeError(f"rows: expected aligned native real numbers, got {array.dtype}")
    rows.data = address(array)
    rows.stride = array.strides[0]
    rows.type = <fbp_source>kind
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
        rule.constants[i] = getattr(optimizer, name)
    return rule
