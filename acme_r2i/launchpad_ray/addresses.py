"""Where nodes are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from acme_r2i.launchpad_ray import control, waiting
from acme_r2i.launchpad_ray.errors import import_ray

if TYPE_CHECKING:
    import ray

# How long the process of a node that is looked for may take to say whether it is up.
_ANSWER_SECONDS = 5.0


class Address:
    """Where a node is found, which is known from when its program is launched.

    Attributes:
      name: the node's name in the program, as in "learner/0".
      member: its number in its process.
      restart_seconds: how long others wait when the node has failed, until it has been restarted;
        0 where it is not.
    """

    def __init__(self):
        self.name = "a node that is in no program"
        self.member = 0
        self.restart_seconds = 0.0
        self._namespace: str | None = None

    def bind(self, name: str, namespace: str, member: int, restart_seconds: float) -> None:
        """Sets what is known at the launch: the Ray actor has the node's name in the namespace."""
        self.name = name
        self.member = member
        self.restart_seconds = restart_seconds
        self._namespace = namespace

    def actor(self) -> ray.actor.ActorHandle:
        """The Ray actor the node is in; waits for it where it is just being restarted.

        Raises:
          RuntimeError: if no program with the node has been launched, or it has ended.
          NodeUnavailableError: if the wait was in vain.
        """
        if self._namespace is None:
            raise RuntimeError(f"{self.name} has not been launched: its handle leads nowhere yet")
        actor = self._find()
        if actor is None and self.restart_seconds:
            actor = self._wait(self._find)
        if actor is None:
            raise RuntimeError(f"{self.name} does not run any more")
        return actor

    def actor_after_failure(self) -> ray.actor.ActorHandle:
        """Waits until the node answers calls again, in this process or a new one.

        Raises:
          NodeUnavailableError: if that takes longer than ``restart_seconds``, or never comes since
            the program ends.
        """
        return self._wait(self._find_answering)

    def _wait(self, look: Callable[[], ray.actor.ActorHandle | None]) -> ray.actor.ActorHandle:
        return waiting.wait_until_back(self.name, self._namespace, self.restart_seconds, look)

    def _find(self) -> ray.actor.ActorHandle | None:
        try:
            return import_ray().get_actor(self.name, namespace=self._namespace)
        except ValueError:
            return None

    def _find_answering(self) -> ray.actor.ActorHandle | None:
        ray = import_ray()
        actor = self._find()
        try:
            if actor and ray.get(control.send(actor, "answers"), timeout=_ANSWER_SECONDS):
                return actor
        except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError):
            pass
        return None
