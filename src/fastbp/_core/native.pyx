"""From Python's objects to the structs of the core: arrays to pointers, optimizers to numbers.

Arrays come checked from `fastbp.data`, and their owners outlive every call.
"""
from cpython.buffer cimport PyBUF_STRIDED_RO, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t
from libc.string cimport memset

from fastbp._core.layout cimport (
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


cdef char *address(object array) except? NULL:
    """Where an array's first element stands."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_STRIDED_RO)
    cdef char *data = <char *>view.buf
    PyBuffer_Release(&view)
    return data


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
