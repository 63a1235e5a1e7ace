"""What the pool asks of the place where an environment lives, and how that says it has failed."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import dm_env

from acme_r2i.environments.checked import EnvironmentSpec


class Limits(NamedTuple):
    """The longest that one environment may take, in seconds; None is without limit.

    Attributes:
      start: to be made, its simulator's import included.
      answer: for a step, or a reset.
    """

    start: float | None
    answer: float | None


class WorkerFailedError(Exception):
    """A worker has none of the answers it owes, and will have no more.

    Attributes:
      reason: what it did, to be read after its name, e.g. "was killed by SIGKILL".
      can_restart: whether another one can be put in its place.
      cause: what the environment raised, where that is the reason.
    """

    def __init__(
        self, reason: str, *, can_restart: bool = True, cause: BaseException | None = None
    ):
        super().__init__(reason)
        self.reason = reason
        self.can_restart = can_restart
        self.cause = cause


class Worker(Protocol):
    """Where one environment lives. Constructing it begins to make the environment.

    The environment begins its first episode by itself, and another one whenever one has ended. So
    time steps come in the order FIRST, then one after each action, LAST, FIRST, and so on.
    """

    def spec(self) -> EnvironmentSpec:
        """Waits until the environment is made, and returns its specs.

        Raises:
          WorkerFailedError: as ``receive`` does.
        """

    def send(self, action: Any) -> None:
        """Has the environment take an action; it must have answered all that came before."""

    def receive(self) -> dm_env.TimeStep:
        """Waits for the next time step.

        Raises:
          WorkerFailedError: if the environment raises, takes too long, or is gone.
        """

    def close(self) -> None:
        """Begins to end it."""

    def join(self, seconds: float) -> None:
        """Waits so long for its end, then sees to it where that can be done.

        Raises:
          WorkerFailedError: if the environment failed as it was closed.
        """
