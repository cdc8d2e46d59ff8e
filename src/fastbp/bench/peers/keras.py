"""The workloads in Keras, on TensorFlow where it is installed, else on JAX or PyTorch.

Trained by `fit` as its users write it, which is what the targets name. With `steps_per_execution`
of 16 to 64 a step takes about half the time, which decides no row: JAX is far ahead in all.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from functools import partial

BACKENDS = [name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name)]
if BACKENDS:
    os.environ["KERAS_BACKEND"] = BACKENDS[0]
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras  # noqa: E402  (the backend must be chosen first)
import numpy as np  # noqa: E402


def _version(backend):
    names = ("tensorflow", "tensorflow-cpu") if backend == "tensorflow" else (backend,)
    for name in names:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "of unknown version"


BACKEND = keras.backend.backend()
if BACKEND == "jax":
    import jax

    jax.config.update("jax_enable_x64", True)  # or float64 rows would be trained in float32
VERSIONS = {"keras": keras.__version__, BACKEND: _version(BACKEND)}
DEVIATIONS: dict[str, str] = {}


def _limit(threads):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if BACKEND == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)


def _model(workload, weights, dropout):
    keras.backend.clear_session()
    keras.backend.set_floatx(workload.dtype)
    stack = [keras.Input((workload.sizes[0],))]
    for units, activation in zip(workload.sizes[1:], workload.activations, strict=True):
        name = "linear" if activation == "identity" else activation
        stack.append(keras.layers.Dense(units, activation=name))
        if dropout:
            stack.append(keras.layers.Dropout(dropout))
    if dropout:
        stack.pop()  # outputs are not dropped
    model = keras.Sequential(stack)
    if weights is not None:
        model.set_weights([array for pair in weights for array in pair])
    return model


def train(workload, x, y, weights, threads):
    """Train with `fit`."""
    if workload.data in ("neuron", "corners"):
        raise NotImplementedError("every epoch is a step, at milliseconds of Python each")
    _limit(threads)
    model = _model(workload, weights, workload.dropout)
    optimizer = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}[workload.optimizer]
    model.compile(optimizer=optimizer(workload.learning_rate), loss=workload.loss)

    def run():
        model.fit(
            x,
            y,
            epochs=workload.epochs,
            batch_size=workload.batch_size,
            shuffle=workload.shuffle,
            verbose=0,
        )

    def weights_now():
        flat = model.get_weights()
        return list(zip(flat[::2], flat[1::2], strict=True))

    return run, weights_now


def predictor(workload, weights, x, threads):
    """Predict with the model as a compiled function where the backend has one, on tensors."""
    _limit(threads)
    model, x = _model(workload, weights, 0), keras.ops.convert_to_tensor(x)
    call = model
    if BACKEND == "tensorflow":
        import tensorflow as tf

        call = tf.function(model).get_concrete_function(x)  # looks for no other signature
    elif BACKEND == "jax":
        import jax

        call = jax.jit(lambda x: model.stateless_call(variables, [], x)[0])
        variables = [v.value for v in model.trainable_variables]
        return lambda: call(x).block_until_ready(), lambda: np.asarray(call(x))
    return partial(call, x), lambda: np.asarray(call(x))
