"""A program before its launch: nodes in groups, and the resources that they take.

A node is pickled and sent to its process, which makes the node's object and runs it.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from acme_r2i.launchpad_ray.calls import Address, Handle, dereference

_DEFAULT_CALLS = 16


class Node:
    """One node, or several in one process.

    Attributes:
      address: place of the node.
      calls_at_once: number of calls from other nodes that its process answers at a time.
    """

    calls_at_once = _DEFAULT_CALLS

    def __init__(self):
        self.address = Address()

    def create_handle(self) -> Handle | None:
        """Returns the handle that other nodes take as an argument."""
        return Handle(self.address)

    def members(self) -> Sequence[Node]:
        """Returns the nodes of its process: itself, or the members of a colocation."""
        return [self]

    def make(self, handover: Any) -> Any:
        """Makes the node's object, in the process of the node.

        Args:
          handover: result of ``handover`` in the node's former process; None in the first.
        """
        raise NotImplementedError

    def handover(self, made: Any) -> Any:
        """Returns a few bytes for ``make`` in the node's next process, should it be restarted."""

    def run(self, made: Any) -> bool:
        """Does the node's own work; returns False if there is none."""
        raise NotImplementedError

    def close(self, made: Any) -> None:
        """Releases resources that are outside the process or would outlive its threads."""


class CourierNode(Node):
    """A node around an object of the user's.

    The object is the result of ``constructor(*args, **kwargs)``, with clients in place of handles.
    Its ``run`` is called if it has one. Other nodes may call its methods during ``run`` and after.
    """

    def __init__(
        self,
        constructor: Callable[..., Any],
        *args: Any,
        courier_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        """Writes the node down.

        Args:
          constructor: a class or function.
          *args: its arguments, which may have handles.
          courier_kwargs: options of Launchpad's transport. Only ``thread_pool_size`` is known: the
            number of calls that are answered at a time.
          **kwargs: more arguments.

        Raises:
          ValueError: for another name in ``courier_kwargs``.
        """
        super().__init__()
        options = dict(courier_kwargs or {})
        self.calls_at_once = options.pop("thread_pool_size", _DEFAULT_CALLS)
        if options:
            raise ValueError(
                f"courier_kwargs has {sorted(options)}: only thread_pool_size is known"
            )
        self._constructor, self._args, self._kwargs = constructor, args, kwargs
        self._runs = True

    def disable_run(self) -> None:
        """Makes the node only answer calls, though its object has a ``run``."""
        self._runs = False

    def make(self, handover: Any) -> Any:
        args, kwargs = dereference((self._args, self._kwargs))
        return self._constructor(*args, **kwargs)

    def run(self, made: Any) -> bool:
        runs = self._runs and hasattr(made, "run")
        if runs:
            made.run()
        return runs


class MultiThreadingColocation(Node):
    """Several nodes in one process, each in a thread of its own."""

    def __init__(self, nodes: Sequence[Node]):
        """Writes the nodes down; ValueError if there are none, or one is a colocation itself."""
        super().__init__()
        self._nodes = list(nodes)
        if not self._nodes or any(isinstance(n, MultiThreadingColocation) for n in self._nodes):
            raise ValueError("a colocation takes one node or more, none of them a colocation")
        self.calls_at_once = sum(node.calls_at_once for node in self._nodes)

    def create_handle(self) -> None:
        """Returns None: its members have handles."""

    def members(self) -> Sequence[Node]:
        return self._nodes


class Program:
    """Nodes that run together.

    Attributes:
      name: name of the program.
      groups: its nodes by the label of their group, in the order they were added.
    """

    def __init__(self, name: str):
        self.name = name
        self.groups: dict[str, list[Node]] = {}
        self._group: str | None = None

    def add_node(self, node: Node, label: str | None = None) -> Handle | None:
        """Adds a node.

        Args:
          node: the node, which is in no program yet.
          label: its group; needed outside of ``group``, not allowed within.

        Returns:
          The node's handle; None for a colocation, whose members have handles.

        Raises:
          ValueError: if the group is missing or given twice, or the node was added before.
        """
        if label is not None and self._group is not None:
            raise ValueError(f"add_node got label {label!r} within group {self._group!r}: give one")
        group = self._group if label is None else label
        if group is None:
            raise ValueError("a node is added within `with program.group(...)`, or with a label")
        if any(node is other for nodes in self.groups.values() for other in nodes):
            raise ValueError(f"the node was added to program {self.name!r} before")
        self.groups.setdefault(group, []).append(node)
        return node.create_handle()

    @contextlib.contextmanager
    def group(self, label: str) -> Iterator[None]:
        """Puts nodes that are added within into the group ``label``; ValueError if nested."""
        if self._group is not None:
            raise ValueError(f"group {label!r} is within group {self._group!r}: groups do not nest")
        self._group = label
        try:
            yield
        finally:
            self._group = None

    def named_nodes(self) -> dict[str, tuple[str, Node]]:
        """Returns (group, node) by the node's name: group and index there, as in "actor/3"."""
        return {
            f"{group}/{number}": (group, node)
            for group, nodes in self.groups.items()
            for number, node in enumerate(nodes)
        }


@dataclasses.dataclass(frozen=True)
class Resources:
    """Resources of one node.

    Ray counts CPUs to place nodes; it does not limit a process to them. A GPU, or a share of one,
    is seen only by the node that takes it.

    Attributes:
      num_cpus: CPUs, 0 or more.
      num_gpus: GPUs, 0 or more. A node without runs JAX on the CPU.
      custom: amounts by name of resources that the cluster's machines were started with.
      environment: environment variables of its process.
    """

    num_cpus: float = 1
    num_gpus: float = 0
    custom: Mapping[str, float] = dataclasses.field(default_factory=dict)
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        for name in ("num_cpus", "num_gpus"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be 0 or more")

    def variables(self) -> dict[str, str]:
        """Returns the process's variables, with the CPU for JAX if the node has no GPU."""
        without = {} if self.num_gpus or self.custom else {"JAX_PLATFORMS": "cpu"}
        return {**without, **self.environment}

    def totals(self) -> dict[str, float]:
        """Returns the amounts above 0, by Ray's names."""
        amounts = {"CPU": self.num_cpus, "GPU": self.num_gpus, **self.custom}
        return {name: amount for name, amount in amounts.items() if amount}
