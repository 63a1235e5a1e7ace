"""The node that acts: several environments, one batched policy call, rows to the replay server."""

from __future__ import annotations

import dataclasses
import fractions
import os
import socket
import threading
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from acme_r2i.distributed.parameters import BoundedParameters
from acme_r2i.distributed.plan import Plan
from acme_r2i.distributed.reports import ActorReport, Place
from acme_r2i.distributed.working import work_until_stopped
from acme_r2i.environments import EnvironmentFailedError, Restart
from acme_r2i.runs import RunFailedError
from acme_r2i.runs.environment_pool import make_pool
from acme_r2i.runs.loop import SPENT_ON, RunLoop, UpdateSchedule
from acme_r2i.runs.metrics import Counts, Episode, TimeShares
from acme_r2i.runs.process import use_compilation_cache

if TYPE_CHECKING:
    import reverb

    from acme_r2i import launchpad_ray

_DOING = {
    "environment": "steps its environments",
    "policy": "chooses actions",
    "replay": "waits for replay to take a sequence",
}
_NO_UPDATES = UpdateSchedule(0, fractions.Fraction(0))
# How soon a limit that was raised is seen.
_POLL_SECONDS = 0.02


class ActorNode:
    """Acts from ``begin`` on, up to the limit that it is told."""

    def __init__(
        self, plan: Plan, number: int, replay: reverb.Client, learner: launchpad_ray.Client
    ):
        """Stores the parts.

        Args:
          plan: of the run.
          number: which of the actors it is.
          replay: gets the rows.
          learner: has the parameters.
        """
        self._plan, self._number = plan, number
        self._replay, self._learner = replay, learner
        self._place = Place(socket.gethostname(), os.getpid(), uuid.uuid4().hex)
        self._stop = threading.Event()
        self._begun = threading.Event()
        self._restarts = 0
        # Guards what reports are made of, and the limit.
        self._lock = threading.Lock()
        self._limit = self._run_limit = self._committed = 0
        self._counts = Counts()
        self._told = Counts()
        self._ended: list[Episode] = []
        self._told_episodes: list[Episode] = []
        self._failed_environments: list[tuple[Restart, int]] = []
        self._parameters: BoundedParameters | None = None
        self._time = TimeShares(SPENT_ON)
        self._state = "waits to begin"
        self._failure: str | None = None

    def begin(self, made: str, restarts: int) -> None:
        """Has the process begin that is meant; it is the first in its place after ``restarts``.

        A call that did not reach a process goes to the next one, hence ``made``, of its Place.
        """
        if made == self._place.made:
            self._restarts = restarts
            self._begun.set()

    def report(self, made: str | None, limit: int, learner_steps: int) -> ActorReport:
        """Takes how far it may act and how far the learner is; tells how far it is."""
        if made != self._place.made:
            limit = 0
        parameters = self._parameters
        if parameters is not None and learner_steps >= 0:
            parameters.newest = learner_steps
        with self._lock:
            # What is being done is not taken back.
            self._limit = max(self._committed, limit)
            episodes, self._told_episodes = self._told_episodes, []
            restarts, self._failed_environments = self._failed_environments, []
            return ActorReport(
                place=self._place,
                env_steps=self._told.env_steps,
                limit=self._limit,
                episodes=episodes,
                restarts=restarts,
                dropped_episodes=self._told.dropped_episodes,
                parameters=parameters and parameters.steps,
                seconds=self._time.seconds,
                doing=self._describe(),
                failure=self._failure,
            )

    def run(self) -> None:
        """Acts until the program is stopped."""
        work_until_stopped(self._work, self._stop)

    def _work(self) -> None:
        self._begun.wait()
        try:
            self._act()
        except (EnvironmentFailedError, RunFailedError) as error:
            # It would fail again: the run is ended instead.
            self._failure = str(error)
            self._stop.wait()

    def _act(self) -> None:
        import jax

        plan, options = self._plan, self._plan.options
        use_compilation_cache(options.workdir)
        self._state = "makes its environments"
        seeds = plan.actor_seeds(self._number, self._restarts)
        with make_pool(options, seeds, remade=plan.lives + self._restarts > 0) as envs:
            self._state = "builds its policy"
            from acme_r2i.agents.common.acting import BatchedActor

            blueprint = plan.blueprint()
            builder, networks = plan.make_builder(blueprint)
            self._state = "waits for parameters from learner/0"
            cpu = jax.devices("cpu")[0]
            self._parameters = BoundedParameters(
                self._learner,
                options.max_staleness,
                place=lambda params: jax.device_put(params, cpu),
            )
            actor = BatchedActor(
                builder.make_policy(networks),
                jax.random.split(plan.actor_key(self._number, self._restarts), len(envs)),
                self._parameters,
                [builder.make_adder(self._replay) for _ in range(len(envs))],
            )
            self._loop(
                RunLoop(
                    envs,
                    actor,
                    _LearnsElsewhere(),
                    _NO_UPDATES,
                    on_episode=self._ended.append,
                    on_restart=self._note_restart,
                    on_turn=self._end_turn,
                    should_stop=self._must_wait,
                    counts=self._counts,
                    time_shares=self._time,
                )
            )

    def _loop(self, loop: RunLoop) -> None:
        while not self._stop.is_set():
            with self._lock:
                self._run_limit = self._limit
            if self._counts.env_steps < self._run_limit:
                self._state = ""
                loop.run(self._run_limit)
            self._state = "waits to be given more steps to take"
            self._stop.wait(_POLL_SECONDS)

    def _must_wait(self) -> bool:
        """Whether no step may be taken now; if one may, it is from now on as good as taken."""
        if self._stop.is_set():
            return True
        taken = self._counts.env_steps
        with self._lock:
            room = min(self._limit, self._run_limit) - taken
            batch = min(self._plan.environments_per_actor, self._run_limit - taken)
            if room < batch:
                return True
            self._committed = taken + batch
            return False

    def _end_turn(self, counts: Counts) -> None:
        with self._lock:
            self._told = dataclasses.replace(counts)
            self._told_episodes += self._ended
        self._ended.clear()
        self._parameters.update()

    def _note_restart(self, restart: Restart, dropped_env_steps: int) -> None:
        with self._lock:
            self._failed_environments.append((restart, dropped_env_steps))

    def _describe(self) -> str:
        if self._state:
            return self._state
        if self._parameters.waits:
            return (
                f"waits for parameters from learner/0: it has those of update "
                f"{self._parameters.steps}, the newest are of {self._parameters.newest}"
            )
        return _DOING.get(self._time.current, "acts")


class _LearnsElsewhere:
    """The learner of a loop that only acts."""

    def step(self) -> None:
        raise AssertionError("the loop has no updates")

    def take_skipped(self, wait: bool = False) -> Sequence[Any]:
        del wait
        return ()
