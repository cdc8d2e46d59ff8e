"""The two smallest trainings as textbooks print them: a function for each factor of the chain."""

from __future__ import annotations

import numpy as np


def sigmoid(s):
    return 1 / (1 + np.exp(-s))


def sigmoid_derivative(s):
    return sigmoid(s) * (1 - sigmoid(s))


def squared_error(predicted, target):
    return np.power(predicted - target, 2)


def squared_error_derivative(predicted, target):
    return 2 * (predicted - target)


def weighted_sum_derivative(x):
    return x


def update(w, gradient, learning_rate):
    return w - learning_rate * gradient


def neuron(w1, w2, x1, x2, target, learning_rate, steps):
    """Train a neuron of two inputs without bias; return its weights, errors and predictions."""
    predictions, errors = [], []
    for _ in range(steps):
        s = w1 * x1 + w2 * x2
        predicted = sigmoid(s)
        errors.append(squared_error(predicted, target))
        predictions.append(predicted)
        g1 = squared_error_derivative(predicted, target)
        g2 = sigmoid_derivative(s)
        w1 = update(w1, weighted_sum_derivative(x1) * g2 * g1, learning_rate)
        w2 = update(w2, weighted_sum_derivative(x2) * g2 * g1, learning_rate)
    return w1, w2, errors, predictions


def xor(w1, b1, w2, b2, x, y, learning_rate, epochs):
    """Train a network with one hidden layer on all rows at once; return its parameters."""
    for _ in range(epochs):
        hidden = sigmoid(np.dot(x, w1) + b1)
        output = sigmoid(np.dot(hidden, w2) + b2)
        delta_output = (output - y) * output * (1 - output)
        delta_hidden = np.dot(delta_output, w2.T) * hidden * (1 - hidden)
        w2 = w2 - learning_rate * np.dot(hidden.T, delta_output)
        b2 = b2 - learning_rate * np.sum(delta_output, axis=0)
        w1 = w1 - learning_rate * np.dot(x.T, delta_hidden)
        b1 = b1 - learning_rate * np.sum(delta_hidden, axis=0)
    return w1, b1, w2, b2
