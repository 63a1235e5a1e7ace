"""The actor node: steps several environments with one batched policy call, and writes to replay."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import fractions
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from acme_r2i.distributed.node_settings import NodeSettings, Place, work_until_stopped
from acme_r2i.environments import EnvironmentFailedError, Restart
from acme_r2i.runs import RunFailedError
from acme_r2i.runs.environment_pool import make_pool
from acme_r2i.runs.loop import SPENT_ON, RunLoop, UpdateSchedule
from acme_r2i.runs.metrics import Counts, Episode, TimeShares
from acme_r2i.runs.process import use_compilation_cache

if TYPE_CHECKING:
    import reverb

    from acme_r2i.launchpad_ray.calls import Client

# Longest interval between two fetches of parameters while newer ones are known of.
FETCH_SECONDS = 1.0
# Delay until a raised limit is seen.
_LIMIT_SECONDS = 0.02
_DOING = {
    "environment": "steps its environments",
    "policy": "chooses actions",
    "replay": "waits for replay to take a sequence",
}
_NO_UPDATES = UpdateSchedule(0, fractions.Fraction(0))


@dataclasses.dataclass(frozen=True)
class ActorReport:
    """State of an actor's process at the end of a batched step.

    Attributes:
      place: the process.
      env_steps: actions taken in this process.
      limit: env_steps after which it waits for a higher limit.
      episodes: episodes that have ended since the last report; their env_steps count from the
        process's first step.
      restarts: restarts of environments since the last report, each with the number of steps of its
        dropped episode.
      dropped_episodes: episodes of this process without an end, as their environments failed.
      parameters: learner steps of the parameters in use; None before the first.
      seconds: time spent so far, by the names of ``loop.SPENT_ON``.
      doing: current activity, in a few words.
      failure: why it cannot continue; None if it can.
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


class BoundedParameters:
    """The parameters of an actor, fetched while it acts and never too old.

    Takes the place of Acme's VariableClient. Parameters are fetched in the background when they
    reach half of the allowed staleness, or are older than a second. ``update`` waits for newer ones
    when they exceed the allowed staleness.

    Attributes:
      params: the parameters.
      steps: learner steps of the parameters.
      newest: latest learner step that is known of. Whoever hears of a newer one sets it.
      waits: whether ``update`` is waiting.
    """

    def __init__(
        self,
        learner: Client,
        max_staleness: int,
        place: Callable[[Any], Any] = lambda params: params,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Fetches the first parameters, and waits for them.

        Args:
          learner: the learner node. Its ``get_parameters(steps)`` returns learner steps and
            parameters; None in place of parameters of ``steps``.
          max_staleness: learner steps by which parameters may be behind ``newest`` when an action
            is chosen.
          place: puts parameters on the device that acts.
          clock: returns seconds.
        """
        self._learner = learner
        self._max_staleness = max_staleness
        self._place = place
        self._clock = clock
        self._request: concurrent.futures.Future | None = None
        self._asked = clock()
        self.params: Any = None
        self.steps = self.newest = -1
        self.waits = False
        self.update(wait=True)

    @property
    def staleness(self) -> int:
        """Learner steps behind ``newest``."""
        return max(0, self.newest - self.steps)

    def update(self, wait: bool = False) -> None:
        """Takes fetched parameters, fetches newer ones if due, and waits if it must.

        Args:
          wait: whether to wait for an answer in any case.
        """
        if self._request is not None and self._request.done():
            self._take()
        if wait:
            self._fetch()
        while self.staleness > self._max_staleness:
            self._fetch()
        if self._request is None and self._is_due():
            self._ask()

    def _is_due(self) -> bool:
        if self.newest == self.steps:
            return False
        # A restarted learner may be behind these parameters.
        old = 2 * abs(self.newest - self.steps) >= self._max_staleness
        return old or self._clock() - self._asked >= FETCH_SECONDS

    def _ask(self) -> None:
        self._asked = self._clock()
        self._request = self._learner.futures.get_parameters(self.steps)

    def _fetch(self) -> None:
        self.waits = True
        try:
            if self._request is None:
                self._ask()
            self._take()
        finally:
            self.waits = False

    def _take(self) -> None:
        request, self._request = self._request, None
        steps, params = request.result()
        if params is not None:
            self.params = self._place(params)
        self.steps = self.newest = steps


class ActorNode:
    """Acts from ``begin`` on, up to a limit of environment steps."""

    def __init__(self, settings: NodeSettings, number: int, replay: reverb.Client, learner: Client):
        """Waits for ``begin``.

        Args:
          settings: settings of the run.
          number: index of the actor.
          replay: takes the rows.
          learner: has the parameters.
        """
        self._settings, self._number = settings, number
        self._replay, self._learner = replay, learner
        self._place = Place(socket.gethostname(), os.getpid(), uuid.uuid4().hex)
        self._stop = threading.Event()
        self._begun = threading.Event()
        self._restart_count = 0
        # Guards the limit and the content of reports.
        self._lock = threading.Lock()
        self._limit = self._run_limit = self._committed = 0
        self._counts = Counts()
        self._reported = Counts()
        self._ended: list[Episode] = []
        self._reported_episodes: list[Episode] = []
        self._failed_environments: list[tuple[Restart, int]] = []
        self._parameters: BoundedParameters | None = None
        self._time = TimeShares(SPENT_ON)
        self._state = "waits to begin"
        self._failure: str | None = None

    def begin(self, uid: str, restart_count: int) -> None:
        """Starts acting, if ``uid`` is of this process."""
        if uid == self._place.uid:
            self._restart_count = restart_count
            self._begun.set()

    def report(self, uid: str | None, limit: int, learner_steps: int) -> ActorReport:
        """Takes the limit of environment steps and the learner's steps; returns the state.

        Args:
          uid: process that the limit is for; others keep to 0.
          limit: environment steps this process may take. Steps under way are not taken back.
          learner_steps: the learner's steps; -1 for unknown.
        """
        if uid != self._place.uid:
            limit = 0
        parameters = self._parameters
        if parameters is not None and learner_steps >= 0:
            parameters.newest = learner_steps
        with self._lock:
            self._limit = max(self._committed, limit)
            episodes, self._reported_episodes = self._reported_episodes, []
            restarts, self._failed_environments = self._failed_environments, []
            return ActorReport(
                place=self._place,
                env_steps=self._reported.env_steps,
                limit=self._limit,
                episodes=episodes,
                restarts=restarts,
                dropped_episodes=self._reported.dropped_episodes,
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
            # A new process would fail in the same way, so the conductor ends the run instead.
            self._failure = str(error)
            self._stop.wait()

    def _act(self) -> None:
        import jax

        settings, options = self._settings, self._settings.options
        use_compilation_cache(options.workdir)
        self._state = "makes its environments"
        seeds = settings.actor_seeds(self._number, self._restart_count)
        remade = settings.restart_count + self._restart_count > 0
        with make_pool(options, seeds, remade=remade) as envs:
            self._state = "builds its policy"
            from acme_r2i.agents.common.acting import BatchedActor
            from acme_r2i.runs.agent import NoLearner

            builder, networks = settings.make_builder()
            self._state = "waits for parameters from learner/0"
            cpu = jax.devices("cpu")[0]
            self._parameters = BoundedParameters(
                self._learner,
                options.max_staleness,
                place=lambda params: jax.device_put(params, cpu),
            )
            key = settings.actor_key(self._number, self._restart_count)
            actor = BatchedActor(
                builder.make_policy(networks),
                jax.random.split(key, len(envs)),
                self._parameters,
                [builder.make_adder(self._replay) for _ in range(len(envs))],
            )
            self._loop(
                RunLoop(
                    envs,
                    actor,
                    NoLearner(),
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
            self._stop.wait(_LIMIT_SECONDS)

    def _must_wait(self) -> bool:
        """Returns whether no step may be taken now; if one may, commits to the next batch."""
        if self._stop.is_set():
            return True
        taken = self._counts.env_steps
        with self._lock:
            room = min(self._limit, self._run_limit) - taken
            batch = min(self._settings.environments_per_actor, self._run_limit - taken)
            if room < batch:
                return True
            self._committed = taken + batch
            return False

    def _end_turn(self, counts: Counts) -> None:
        with self._lock:
            self._reported = dataclasses.replace(counts)
            self._reported_episodes += self._ended
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
