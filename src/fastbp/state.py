"""What a network is made of and where it stands: layers, parameters, optimizer, seed, copies."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from fastbp import arguments, optimizers
from fastbp import parameters as named_parts
from fastbp.bound import BoundLayer
from fastbp.engine import Array, EngineProtocol, Position, alone, measured
from fastbp.graph import Graph, chain, layer_names
from fastbp.lowering import lower_graph
from fastbp.occupancy import Occupancy
from fastbp.optimizers import Optimizer
from fastbp.plan import Plan
from fastbp.schedules import Schedule
from fastbp.summary import summary
from fastbp.tensors import Shape, row_shape

if TYPE_CHECKING:
    import numpy.typing as npt


class NetworkState:
    """The part of `Network` that holds: everything but training and asking.

    Its engine exists from the moment when the sizes are known: from construction with
    `input_shape`, else from the first fit.
    """

    def __init__(
        self,
        layers: Iterable[Any] | None = None,
        *,
        inputs: Any = None,
        outputs: Any = None,
        input_shape: int | tuple[int, ...] | None = None,
        loss: Any = None,
        loss_weights: Any = None,
        optimizer: Any = "adam",
        metrics: Iterable[Any] = (),
        dtype: Any = "float32",
        seed: int | None = None,
        n_threads: int | None = None,
    ) -> None:
        self._graph = arguments.graph(layers, inputs, outputs)  # of a chain known by input_shape
        self._descriptions = self._graph.layers if self._graph else arguments.layer_list(layers)
        n_outputs = len(self._graph.outputs) if self._graph else 1
        self._losses = arguments.loss_list(loss, n_outputs)
        self._loss_weights = arguments.loss_weights(loss_weights, n_outputs)
        self._optimizer = optimizers.resolve(optimizer)
        self._metrics = arguments.metric_list(metrics, n_outputs)
        self._dtype = arguments.dtype(dtype)
        self._seed = arguments.seed(seed)
        self._n_threads = arguments.n_threads(n_threads)
        self._class_names: tuple[str | int, ...] | None = None
        self._preprocessing: dict[str, Any] | None = None
        self._occupancy = Occupancy()
        self._engine: EngineProtocol | None = None
        self._forwarded = 0  # rows of the forward pass that backward() goes back through
        if self._graph and input_shape is not None:
            raise ValueError(f"input_shape: expected None beside inputs=, got {input_shape!r}")
        if self._graph:
            self._engine = self._started(self._lowered(()))
        elif input_shape is not None:
            self._engine = self._started(self._lowered(row_shape("input_shape", input_shape)))

    @staticmethod
    def _engine_class() -> type[EngineProtocol]:
        """Return the class of the engine."""
        raise NotImplementedError

    @property
    def plan(self) -> Plan:
        """What the engine runs."""
        return self._built.plan

    @property
    def layers(self) -> tuple[BoundLayer, ...]:
        """The layers, each with live views of its parameters and gradients."""
        named = zip(layer_names(self._descriptions), self._descriptions, strict=True)
        return tuple(BoundLayer(self, name, description) for name, description in named)

    @property
    def loss(self) -> Any:
        """What training lowers; a tuple where there are several outputs."""
        return alone(self._losses)

    @property
    def loss_weights(self) -> tuple[float, ...]:
        """What the loss of each output counts in the sum that training lowers."""
        return self._loss_weights

    @property
    def metrics(self) -> tuple[Any, ...]:
        """What is counted beside the loss; of several outputs a tuple for each."""
        return self._metrics

    @property
    def dtype(self) -> str:
        """Precision of parameters and arithmetic: "float32" or "float64"."""
        return self._dtype

    @property
    def seed(self) -> int:
        """Key of initial values, row orders and dropout masks; `reset` changes it."""
        return self._seed

    @property
    def n_threads(self) -> int | None:
        """Threads to work with; None lets the engine choose."""
        return self._n_threads

    @n_threads.setter
    def n_threads(self, n_threads: int | None) -> None:
        self._n_threads = arguments.n_threads(n_threads)

    @property
    def optimizer(self) -> Optimizer:
        """How parameters follow their gradients.

        Another kind of optimizer starts with an empty memory; the same kind with other constants
        goes on with what it remembers. A callback may set the same kind during a fit.
        """
        return self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer: Any) -> None:
        new, old = optimizers.resolve(optimizer), self._optimizer
        with self._occupancy.shared_by("optimizer"):
            if self._occupancy.is_visited() and not new.remembers_as(old):
                raise ValueError(
                    f"optimizer: expected during a fit one that remembers the same as {old}, "
                    f"got {new}"
                )
            if self._engine is not None:
                arguments.require_projection(new, self._engine.plan)
                self._engine.optimizer = new
            self._optimizer = new

    @property
    def learning_rate(self) -> float:
        """The optimizer's step length: that of the next update, where a schedule gives it.

        Setting it to a schedule starts that; see `fastbp.schedules`.
        """
        given: float | Schedule = self._optimizer.learning_rate
        return self._built.learning_rate if isinstance(given, Schedule) else given

    @learning_rate.setter
    def learning_rate(self, learning_rate: float | Schedule) -> None:
        self.optimizer = replace(self._optimizer, learning_rate=learning_rate)

    @property
    def position(self) -> Position:
        """Where training stands: steps, batches and epochs begun since it started.

        Within an epoch, `part.rows` of its `part.of_rows` rows have been taken.
        """
        return Position() if self._engine is None else self._engine.position

    @property
    def n_parameters(self) -> int:
        """How many parameters there are, frozen ones included."""
        return self.plan.n_parameters

    @property
    def parameters(self) -> Array:
        """Live view of all parameters, shape (n_parameters,): weights in layer order, then biases.

        Writing to it changes the network; assigning to it is `set_parameters`.
        """
        return self._built.parameters

    @parameters.setter
    def parameters(self, values: npt.ArrayLike) -> None:
        self.set_parameters(values)

    @property
    def gradients(self) -> Array:
        """Live view of the gradients, in the order of `parameters`.

        Those of the last `backward`, `loss_and_gradients` or `train_on_batch`; unspecified after
        `fit`.
        """
        return self._built.gradients

    def named_parameters(self) -> dict[str, Array]:
        """Return live views of the parameters by name, as in "dense_1.weights"."""
        return named_parts.named(self.plan, self.parameters)

    def set_parameters(self, parameters: Mapping[str, Any] | npt.ArrayLike) -> None:
        """Write new values; all of them are checked before the first is written.

        Parameters
        ----------
        parameters : mapping of str to array_like, or array_like of shape (n_parameters,)
            New values by name, for all parameters or some of them; or all in one vector.

        Raises
        ------
        TypeError, ValueError
            If a name is unknown, a shape is wrong or a value is not a finite real number.
        """
        with self._occupancy.shared_by("set_parameters"):
            if not self._occupancy.is_visited():  # then whoever begins to read is refused
                self._occupancy.require_unread("set_parameters")
            new = named_parts.checked(self.plan, parameters)
            views = self.named_parameters()
            for name, values in new.items():
                views[name][...] = values
            self._forwarded = 0

    def reset(self, seed: int | None = None) -> None:
        """Start over: initial parameters, an optimizer without memory, no epochs.

        Parameters
        ----------
        seed : int, optional
            A new seed; left out, the present one stays, and with it the initial parameters.
        """
        new = self._seed if seed is None else arguments.seed(seed)
        with self._occupancy.taken_by("reset"):
            self._occupancy.require_unread("reset")
            if self._engine is not None:
                self._start(self._engine, new)
            self._seed = new

    @property
    def class_names(self) -> tuple[str | int, ...] | None:
        """What the classes are called, in the order of the labels; goes along into files.

        As many texts or integers as there are outputs, or two beside a single output, whose no and
        yes they are; of several outputs, those of one of them.
        """
        return self._class_names

    @class_names.setter
    def class_names(self, names: Iterable[Any] | None) -> None:
        new = arguments.class_names(names)
        if self._engine is not None:
            arguments.require_class_names(new, self._engine.plan)
        self._class_names = new

    @property
    def preprocessing(self) -> dict[str, Any] | None:
        """What was done to the data before they came here; goes along into files.

        For the program to read: the network does nothing with it. Keys are texts; values numbers,
        texts, arrays, lists or mappings.
        """
        return self._preprocessing

    @preprocessing.setter
    def preprocessing(self, steps: Mapping[str, Any] | None) -> None:
        self._preprocessing = arguments.preprocessing(steps)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a safetensors file, from which `load` makes one that goes on.

        The file holds what the network is made of, its parameters, what its optimizer remembers,
        and where training stands, within an epoch if a callback saves behind a batch. The file
        under that name is the old one or the new one, whole, whatever happens on the way.

        Parameters
        ----------
        path : str or path
            The file.

        Raises
        ------
        TypeError, ValueError
            If there is something in the network that a file can't hold, such as a lambda.
        OSError
            If the file can't be written.
        RuntimeError
            If the network is being changed by another operation.
        """
        from fastbp import files

        files.save(self, path)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, custom_objects: Mapping[str, Any] | None = None
    ) -> Self:
        """Return the network that `save` has written to a file.

        Continuing its training gives the same bits as if it had never stopped, for any number of
        threads. Loading runs no code from the file and opens no other. The network has the dtype
        of the file; `set_parameters` brings its `named_parameters` into one of another dtype.

        Parameters
        ----------
        path : str or path
            The file.
        custom_objects : mapping of str to function or class, optional
            The functions and classes of your own that the network was made with, by their names.

        Returns
        -------
        Network
            A new network.

        Raises
        ------
        FileFormatError
            If the file is no network that fastbp saved, was damaged, or is of a newer format.
        OSError
            If it can't be read.
        """
        from fastbp import files

        return files.load(path, cls, custom_objects)

    def summary(self) -> str:
        """Return a table of the layers with output shapes and parameter counts."""
        return summary(self.plan, self._connections(self.plan.inputs[0]))

    def __repr__(self) -> str:
        size = "not built" if self._engine is None else f"{self.n_parameters:,} parameters"
        layers = f"{len(self._descriptions)} layers"
        if self._graph:
            layers += f" from {len(self._graph.inputs)} to {len(self._graph.outputs)} tensors"
        return f"<{type(self).__name__}: {layers}, {size}, {self._dtype}>"

    def copy(self, *, dtype: Any = None) -> Self:
        """Return a network of its own that goes on from where this one stands.

        It has the same parameters, optimizer memory, position in training and seed; its gradients
        start at 0.

        Parameters
        ----------
        dtype : {"float32", "float64"}, optional
            Precision of the copy; left out, that of this network.
        """
        state = self.__getstate__()
        if dtype is not None:
            state["_dtype"] = arguments.dtype(dtype)
            if trained := state["trained"]:
                parameters = {n: each.astype(dtype) for n, each in trained["parameters"].items()}
                trained |= {"parameters": parameters, "state": trained["state"].astype(dtype)}
        new = object.__new__(type(self))
        new.__setstate__(state)
        return new

    def __getstate__(self) -> dict[str, Any]:
        left_out = ("_occupancy", "_engine", "_forwarded")
        with self._occupancy.shared_by("copy"):
            made_of = {name: value for name, value in vars(self).items() if name not in left_out}
            engine = self._engine
            trained = engine and {
                "parameters": named_parts.named(engine.plan, engine.parameters.copy()),
                "state": engine.state.copy(),
                "position": engine.position,
            }
            return made_of | {"input_shape": engine and engine.plan.inputs[0], "trained": trained}

    def __setstate__(self, state: dict[str, Any]) -> None:
        input_shape, trained = state.pop("input_shape"), state.pop("trained")
        vars(self).update(state, _occupancy=Occupancy(), _engine=None, _forwarded=0)
        if trained:
            plan = self._lowered(input_shape)
            named_parts.require(plan, trained["parameters"], trained["state"], self._optimizer)
            engine = self._engine_class()(plan, self._optimizer, self._seed)
            self._restore(engine, **trained)
            self._engine = engine

    @property
    def _built(self) -> EngineProtocol:
        """The engine; there is none before the sizes are known."""
        if self._engine is None:
            raise RuntimeError(
                "network: expected known sizes, got a network without input_shape before its "
                "first fit(); pass input_shape= to Network, or call fit() first"
            )
        return self._engine

    def _lowered(self, input_shape: Shape) -> Plan:
        """Return the plan; `input_shape` is that of a chain."""
        graph = self._connections(input_shape)
        plan = lower_graph(graph, self._dtype, self._losses, self._loss_weights)
        arguments.require_projection(self._optimizer, plan)
        arguments.require_shared_cost(plan)
        arguments.require_class_names(self._class_names, plan)
        for _, k, metric in measured(plan.prefixes, self._metrics):
            if (loss := self._losses[k]) is not None:
                metric.require(loss, plan.tensors[plan.outputs[k].tensor])
        return plan

    def _connections(self, input_shape: Shape) -> Graph:
        return self._graph or chain(self._descriptions, input_shape)

    def _started(self, plan: Plan) -> EngineProtocol:
        """Return a new engine at the start of training."""
        engine = self._engine_class()(plan, self._optimizer, self._seed)
        self._start(engine, self._seed)
        return engine

    def _start(self, engine: EngineProtocol, seed: int) -> None:
        """Put an engine at the start of training."""
        drawn = named_parts.initial(engine.plan, seed)
        state = np.reshape(self._optimizer.initial_state, (-1, 1))
        self._restore(engine, drawn, state, Position())
        engine.seed = seed

    def _restore(
        self,
        engine: EngineProtocol,
        parameters: dict[str, Array],
        state: Array,
        position: Position,
    ) -> None:
        """Put an engine where training stood."""
        for name, view in named_parts.named(engine.plan, engine.parameters).items():
            view[...] = parameters[name]
        engine.state[...] = state
        engine.gradients[...] = 0
        engine.position = position
        self._forwarded = 0
