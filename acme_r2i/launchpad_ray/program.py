"""A program: nodes in groups."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from acme_r2i.launchpad_ray.handles import Handle, ReverbHandle
from acme_r2i.launchpad_ray.nodes import Node


class Program:
    """Nodes that run together.

    Attributes:
      name: what it is called.
      groups: its nodes by the label of their group, in the order they were added.
    """

    def __init__(self, name: str):
        self.name = name
        self.groups: dict[str, list[Node]] = {}
        self._group: str | None = None

    def add_node(self, node: Node, label: str | None = None) -> Handle | ReverbHandle | None:
        """Adds a node.

        Args:
          node: the node, which is in no program yet.
          label: its group; needed outside of ``group``, not allowed within.

        Returns:
          The node's handle; None of a colocation, whose members have their own.

        Raises:
          ValueError: if the group is missing or named twice, or the node was added before.
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
        """Nodes that are added within belong to the group ``label``.

        Raises:
          ValueError: within another group.
        """
        if self._group is not None:
            raise ValueError(f"group {label!r} is within group {self._group!r}: groups do not nest")
        self._group = label
        try:
            yield
        finally:
            self._group = None

    def named_nodes(self) -> dict[str, tuple[str, Node]]:
        """Group and node by the node's name: its group, and its number in there, as "actor/3"."""
        return {
            f"{group}/{number}": (group, node)
            for group, nodes in self.groups.items()
            for number, node in enumerate(nodes)
        }
