"""Calls to the process of a node itself, beside those to its object.

Methods of NodeProcess other than `call` answer in threads of their own, so that calls never keep
them waiting: three of them last as long as the program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ray

GROUP = "control"
THREADS = 6


def send(actor: ray.actor.ActorHandle, method: str) -> ray.ObjectRef:
    """Calls a method of a NodeProcess that takes no arguments."""
    return getattr(actor, method).options(concurrency_group=GROUP).remote()
