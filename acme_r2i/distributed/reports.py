"""What nodes tell the conductor, a few times a second."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from acme_r2i.environments import Restart
from acme_r2i.runs.metrics import Episode


@dataclasses.dataclass(frozen=True)
class Place:
    """The process a node is in.

    Attributes:
      host: name of its machine.
      pid: its number there.
      made: tells it from the node's other processes.
    """

    host: str
    pid: int
    made: str


@dataclasses.dataclass(frozen=True)
class ActorReport:
    """What an actor has done in its process, up to the end of a batched step.

    Attributes:
      place: where it is.
      env_steps: actions taken.
      limit: how many it takes before it waits to be given more.
      episodes: that have ended since its last report; they count from its own first step.
      restarts: of its environments since then, with the steps of the episodes that are dropped.
      dropped_episodes: episodes without an end, because their environments failed.
      parameters: learner steps of the parameters it acts by; None before it has any.
      seconds: what the time went to so far, of what TimeShares tell apart.
      doing: what it does now, in a few words.
      failure: why it cannot go on; None while it can.
    """

    place: Place
    env_steps: int = 0
    limit: int = 0
    episodes: Sequence[Episode] = ()
    restarts: Sequence[tuple[Restart, int]] = ()
    dropped_episodes: int = 0
    parameters: int | None = None
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    doing: str = ""
    failure: str | None = None


@dataclasses.dataclass(frozen=True)
class LearnerReport:
    """Where the learner is.

    Attributes:
      place: where it is.
      device: what it runs on.
      learner_steps: updates done, those before a restored checkpoint included.
      seconds: since it began in this process.
      waited_seconds: of these, in which it waited for a batch.
      waiting_seconds: for which it has been waiting for one; 0 while it has one.
      left_out: batches that it has read in this process and made no update of.
      holds_back: whether it has a batch for which no update is due as far as it knows.
      skipped: updates that were not made, since its last report.
      doing: what it does now, in a few words.
    """

    place: Place
    device: str
    learner_steps: int = 0
    seconds: float = 0.0
    waited_seconds: float = 0.0
    waiting_seconds: float = 0.0
    left_out: int = 0
    holds_back: bool = False
    skipped: Sequence[Any] = ()
    doing: str = ""
