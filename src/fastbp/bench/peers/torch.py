"""The workloads in PyTorch: eager, fused optimizers, subnormals flushed; traced for prediction.

`torch.compile` is left out: it needs a C++ compiler where it runs, and on the rows where it beats
eager steps (W3) it is still far behind JAX, so that it decides no row.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

import torch
from torch import nn
from torch.nn import functional

VERSIONS = {"torch": torch.__version__}
DEVIATIONS: dict[str, str] = {}
MODE = ExitStack()
"""The inference mode of a prediction: held until the next row, for entering takes a microsecond."""
ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


def _limit(threads):
    MODE.close()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)


def _model(workload, weights, dropout):
    """Return the network; without its softmax where the loss takes net inputs."""
    stack, linear = [], []
    dtype = getattr(torch, workload.dtype)
    for layer, activation in enumerate(workload.activations):
        inputs, outputs = workload.sizes[layer : layer + 2]
        linear.append(nn.Linear(inputs, outputs, bias=workload.use_bias, dtype=dtype))
        stack.append(linear[-1])
        if activation in ACTIVATIONS:
            stack.append(ACTIVATIONS[activation]())
        if dropout and layer < len(workload.activations) - 1:
            stack.append(nn.Dropout(dropout))
    for module, (w, b) in zip(linear, weights or [], strict=False):
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(w.T))
            if b is not None:
                module.bias.copy_(torch.from_numpy(b))
    return nn.Sequential(*stack), linear


LOSSES = {
    "sparse_categorical_crossentropy": functional.cross_entropy,
    "mean_squared_error": functional.mse_loss,
    "squared_error": lambda p, t: functional.mse_loss(p, t, reduction="sum"),
    "half_squared_error": lambda p, t: functional.mse_loss(p, t, reduction="sum") / 2,
}
"""Loss of a batch; the two sums are of the rows too, which W1 and W2 want."""


def fused_optimizer(workload, parameters):
    """Return the optimizer whose step is one kernel."""
    if workload.optimizer == "adam":
        return torch.optim.Adam(parameters, workload.learning_rate, eps=1e-7, fused=True)
    return torch.optim.SGD(parameters, workload.learning_rate, fused=True)


def train(workload, x, y, weights, threads, optimizer=fused_optimizer):
    """Train in the usual loop, with what `optimizer` makes of workload and parameters."""
    _limit(threads)
    model, linear = _model(workload, weights, workload.dropout)
    optimizer, loss = optimizer(workload, model.parameters()), LOSSES[workload.loss]
    x = torch.from_numpy(x)
    y = torch.from_numpy(y).long() if y.ndim == 1 else torch.from_numpy(y)

    def step(x, y):
        optimizer.zero_grad(set_to_none=True)
        loss(model(x), y).backward()
        optimizer.step()

    def run():
        for _ in range(workload.epochs):
            if workload.shuffle:
                for rows in torch.randperm(workload.rows).split(workload.batch_size):
                    step(x[rows], y[rows])
            else:
                for batch in zip(
                    x.split(workload.batch_size), y.split(workload.batch_size), strict=True
                ):
                    step(*batch)

    def weights_now():
        return [(m.weight.detach().numpy().T.copy(), _array(m.bias)) for m in linear]

    return run, weights_now


def _array(bias):
    return None if bias is None else bias.detach().numpy().copy()


def predictor(workload, weights, x, threads):
    """Predict tensors in inference mode: one row into tensors kept, more with the frozen trace."""
    _limit(threads)
    MODE.enter_context(torch.inference_mode())
    x = torch.from_numpy(x)
    predict = (_one_row if workload.rows == 1 else _traced)(workload, weights, x)
    return predict, lambda: predict().numpy()


def _traced(workload, weights, x):
    model, _ = _model(workload, weights, 0)
    if workload.activations[-1] == "softmax":
        model.append(nn.Softmax(dim=1))
    return partial(torch.jit.freeze(torch.jit.trace(model.eval(), x)).forward, x)


def _one_row(workload, weights, x):
    """Return a call without modules, which cost more than the arithmetic of a row."""
    layers = [
        (torch.from_numpy(w), torch.from_numpy(b), torch.empty(1, len(b)), IN_PLACE.get(name))
        for (w, b), name in zip(weights, workload.activations, strict=True)
    ]

    def predict():
        z = x
        for w, b, out, activate in layers:
            z = torch.addmm(b, z, w, out=out)
            if activate:
                activate(z)
        return z

    return predict


IN_PLACE = {"relu": torch.relu_, "softmax": lambda z: torch.softmax(z, 1, out=z)}
