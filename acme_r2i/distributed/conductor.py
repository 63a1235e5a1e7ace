"""The conductor of a distributed run: polls the nodes, counts, and writes the record."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable
from typing import Any

from acme_r2i.distributed.actor_group import ActorGroup
from acme_r2i.distributed.launch_nodes import Nodes
from acme_r2i.distributed.node_calls import TURN_SECONDS, NodeAwayError, Poll, ProgramWatch
from acme_r2i.distributed.node_settings import NodeSettings
from acme_r2i.distributed.remote_agent import RemoteAgent, RemoteLearner
from acme_r2i.runs import RunFailedError, UsageError
from acme_r2i.runs.agent import Blueprint, check_sizes
from acme_r2i.runs.checkpoints import Start
from acme_r2i.runs.evaluation import append_evaluation, drop_lost_future
from acme_r2i.runs.files import write_json
from acme_r2i.runs.loop import train_ratio
from acme_r2i.runs.record import RunRecord, Trouble

NODES = "nodes.json"
# Time for actors to end their step when the run is stopped.
_HALT_SECONDS = 5.0
# Updates that the learner may be ahead of the known steps, if more than 1% of all.
_FEW_UPDATES = 16
# Time for gRPC to find a server that was restarted.
_RECONNECT_SECONDS = 150.0
# If the limiter blocks the learner this long, no more batches will come.
_STARVED_SECONDS = 5.0


class StallWatch:
    """Says what each node does when no step of any kind has been made for a while."""

    def __init__(
        self,
        note: Callable[[str], None],
        stall_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Starts the clock.

        Args:
          note: shows a line.
          stall_seconds: time without a step until the first note; it doubles with every note.
          clock: returns seconds.
        """
        self._note = note
        self._stall_seconds = self._next = stall_seconds
        self._clock = clock
        self._last: tuple[int, ...] | None = None
        self._since = clock()

    def look(self, steps: tuple[int, ...], describe: Callable[[], str]) -> None:
        """Takes the state of the run.

        Args:
          steps: counts, of which one changes with every step.
          describe: returns the activity of all nodes.
        """
        now = self._clock()
        if steps != self._last:
            self._last, self._since, self._next = steps, now, self._stall_seconds
        elif now - self._since >= self._next:
            self._next *= 2
            self._note(f"no step for {now - self._since:.0f} s: {describe()}")


class Conductor:
    """Runs the nodes until the run ends."""

    def __init__(
        self,
        settings: NodeSettings,
        blueprint: Blueprint,
        nodes: Nodes,
        watch: ProgramWatch,
        learner: RemoteLearner,
        agent: RemoteAgent,
        start: Start,
    ):
        """Starts to connect to replay."""
        self._settings, self._options = settings, settings.options
        self._blueprint = blueprint
        self._nodes = nodes
        self._watch = watch
        self._learner = learner
        self._agent = agent
        self._start = start
        self._evaluator = None
        if nodes.evaluator is not None:
            self._evaluator = Poll(nodes.evaluator.dereference().futures.evaluate)
        self._connecting = concurrent.futures.ThreadPoolExecutor(1)
        self._replay = self._connecting.submit(nodes.replay.dereference)
        self._returned: concurrent.futures.Future | None = None
        self._noted_restarts: dict[int, bool] = {}
        self._places: dict[str, Any] = {}

    def run(self, record: RunRecord, should_stop: Callable[[], bool]) -> tuple[bool, str | None]:
        """Runs to the end, or until the run is stopped or fails.

        Args:
          record: record of the run.
          should_stop: returns whether the run is to stop.

        Returns:
          Whether the run is complete, and its failure, if any.
        """
        self._record = record
        clients = [handle.dereference() for handle in self._nodes.actors]
        self._actors = ActorGroup(self._settings, clients, record)
        self._trouble = Trouble(
            self._options.workdir, self._options.max_skipped_updates, record.note
        )
        self._stalls = StallWatch(record.note)
        self._evaluated = drop_lost_future(self._options.workdir, record.counts.env_steps)
        try:
            while True:
                if self._watch.ended:
                    return False, _in_a_line(self._watch.failure)
                self._turn()
                if should_stop():
                    self._actors.halt(_HALT_SECONDS)
                    self._save()
                    return False, None
                if self._is_over():
                    self._save()
                    return True, None
                time.sleep(TURN_SECONDS)
        except RunFailedError as error:
            return False, str(error)
        finally:
            self._connecting.shutdown(wait=False, cancel_futures=True)

    def measure(self) -> dict[str, Any]:
        """Returns the metrics of the nodes."""
        counts, options = self._record.counts, self._options
        info = self._agent.table_info()
        utilisation = self._learner.utilisation()
        return {
            "replay/sequences": info and info.size,
            "replay/train_ratio": train_ratio(options.config, self._blueprint.schedule, counts),
            **self._actors.measure(counts.learner_steps),
            "timing/learner": utilisation,
            "learner/utilisation": utilisation,
            "learner/lost_updates": self._learner.lost_updates,
            "nodes/restarts": len(self._nodes.program.restarts),
            "replay/updates_allowed": info
            and max(0.0, info.samples_allowed) / options.config.batch_size,
            "replay/inserts_allowed": info and max(0.0, info.inserts_allowed),
        }

    def _turn(self) -> None:
        record = self._record
        counts = record.counts
        self._note_restarts()
        self._connect()
        self._learner.turn(self._last_step, self._most_left_out, record.note)
        counts.learner_steps = self._learner.learner_steps
        for skipped in self._learner.take_skipped():
            counts.skipped_updates += 1
            self._trouble.add(skipped)
        self._actors.turn(counts.learner_steps)
        record.add_step(counts)
        self._evaluate()
        every = self._options.checkpoint_every
        if every is not None and self._agent.client is not None and self._learner.has_begun:
            self._save(if_due=True)
        self._stalls.look((counts.env_steps, counts.learner_steps), self._describe)
        self._write_places()

    @property
    def _last_step(self) -> int:
        """Last update that may be made by now; a little ahead, as reports lag behind steps."""
        counts, schedule = self._record.counts, self._blueprint.schedule
        now = schedule.due(counts.env_steps, counts.dropped_episodes)
        last = schedule.due(self._options.env_steps, counts.dropped_episodes)
        return min(last, now + max(_FEW_UPDATES, now // 100))

    @property
    def _most_left_out(self) -> int:
        """Number of batches that the learner's process may leave out.

        The limiter's own count of batches is compared with the updates, so batches that were lost
        with a process count, too. The learner then never waits for steps while actors wait for it:
        it would have made more updates than are due, and left out more than the surplus.
        """
        report = self._learner.report
        if report is None or not report.holds_back:
            return 0
        info = self._agent.table_info()
        if info is None:
            return 0
        counts, schedule = self._record.counts, self._blueprint.schedule
        surplus = schedule.surplus(counts.env_steps, counts.episodes, counts.dropped_episodes)
        without_update = info.samples // self._options.config.batch_size - report.learner_steps
        return report.left_out + max(0, surplus - without_update)

    def _is_over(self) -> bool:
        """Returns whether all steps are taken, and all updates made for which replay has rows."""
        if not self._actors.are_done or self._is_evaluating:
            return False
        if self._learner.has_begun and self._learner.learner_steps >= self._last_step:
            return True
        if self._learner.waiting_seconds < _STARVED_SECONDS:
            return False
        # Batches that a failed learner had read do not come again.
        info = self._agent.table_info()
        return info is not None and info.samples_allowed < self._options.config.batch_size

    def _save(self, *, if_due: bool = False) -> None:
        try:
            self._record.save_if_due() if if_due else self._record.save()
        except NodeAwayError as error:
            if not if_due:
                self._record.note(f"no checkpoint at the end: {error}")

    def _connect(self) -> None:
        if self._agent.client is not None or not self._replay.done():
            return
        if self._replay.exception() is not None:
            return  # the program has failed
        self._agent.client = self._replay.result()
        info = self._agent.table_info()
        if info is not None and self._start.checkpoint is not None:
            found = dict.fromkeys(self._start.replay_sizes, info.size)
            try:
                check_sizes(found, self._start.replay_sizes, self._start.checkpoint.path)
            except UsageError as error:
                raise RunFailedError(str(error)) from None

    @property
    def _is_evaluating(self) -> bool:
        return self._evaluator is not None and (self._evaluator.waits or self._evaluation_is_due)

    @property
    def _evaluation_is_due(self) -> bool:
        every = self._options.evaluate_every
        return self._record.counts.env_steps // every > self._evaluated // every

    def _evaluate(self) -> None:
        """Records an evaluation, and starts the latest that is due."""
        if self._evaluator is None:
            return
        evaluation = self._evaluator.take()
        if evaluation is not None:
            append_evaluation(self._options.workdir, evaluation)
            self._record.add_evaluation(evaluation)
        if self._evaluation_is_due and not self._evaluator.waits:
            self._evaluated = self._record.counts.env_steps
            self._evaluator.ask(self._evaluated)

    def _note_restarts(self) -> None:
        note = self._record.note
        for number, restart in enumerate(self._nodes.program.restarts):
            if number not in self._noted_restarts:
                self._noted_restarts[number] = False
                note(f"{restart.node} failed and is restarted: {_in_a_line(restart.error)}")
            if restart.seconds is not None and not self._noted_restarts[number]:
                self._noted_restarts[number] = True
                note(f"{restart.node} runs again after {restart.seconds:.1f} s")
                if restart.node.startswith("replay"):
                    self._returned = self._connecting.submit(
                        self._agent.table_info, _RECONNECT_SECONDS
                    )
        if self._returned is not None and self._returned.done():
            info, self._returned = self._returned.result(), None
            if info is not None:
                note(f"replay/0 holds {info.size:,} sequences again")

    def _describe(self) -> str:
        info = self._agent.table_info(2.0)
        replay = "does not answer" if info is None else info.describe()
        texts = [self._learner.describe(), *self._actors.describe(), f"replay/0: {replay}"]
        return "; ".join(texts)

    def _write_places(self) -> None:
        places = {**self._learner.places(), **self._actors.places()}
        if self._agent.client is not None:
            places["replay/0"] = {"address": self._agent.client.server_address}
        if places != self._places:
            self._places = places
            write_json(self._options.workdir / NODES, dict(sorted(places.items())))


def _in_a_line(error: Any) -> str:
    """Returns an error's message in one line, without its traceback."""
    lines = [line.strip() for line in str(error or "").splitlines() if line.strip()]
    if not lines:
        return "the program has ended before the run"
    beginning = lines[0].partition(": \x1b")[0].partition(": ray::")[0]
    return lines[-1] if len(lines) == 1 or beginning == lines[0] else f"{beginning}: {lines[-1]}"
