"""Runs a program of nodes to the end of the run: asks, counts, records."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable
from typing import Any

from acme_r2i.distributed.actor_group import ActorGroup
from acme_r2i.distributed.plan import Plan
from acme_r2i.distributed.polling import NodeAwayError, Poll
from acme_r2i.distributed.program import Nodes
from acme_r2i.distributed.remote_agent import RemoteAgent
from acme_r2i.distributed.remote_learner import RemoteLearner
from acme_r2i.distributed.stalls import StallWatch
from acme_r2i.runs import RunFailedError, UsageError
from acme_r2i.runs.agent import Blueprint, check_sizes
from acme_r2i.runs.checkpoints import Start
from acme_r2i.runs.evaluation import append_evaluation, drop_lost_future
from acme_r2i.runs.files import write_json
from acme_r2i.runs.loop import train_ratio
from acme_r2i.runs.record import RunRecord, Trouble

NODES = "nodes.json"
# How often nodes are asked.
_TURN_SECONDS = 0.1
# How long actors may take to end the step they are in when the run is ended.
_HALT_SECONDS = 5.0
# Updates that the learner may be ahead of the known steps; from 100 times as many on it is 1%.
_FEW_UPDATES = 16
# How long gRPC may take to find a server that has come back.
_RECONNECT_SECONDS = 150.0
# A learner that has waited so long for a batch which the limiter does not give it has all it gets.
_STARVED_SECONDS = 5.0


class ProgramWatch:
    """Tells when a program has ended."""

    def __init__(self, program: Any):
        """Watches from now on."""
        self.failure: Exception | None = None
        self._ended = threading.Event()
        self._program = program
        threading.Thread(target=self._wait, name="program", daemon=True).start()

    @property
    def ended(self) -> bool:
        """Whether it has ended; ``failure`` is what it failed of, if it did."""
        return self._ended.is_set()

    def failures(self, node: str) -> int:
        """How often a node has failed."""
        return len(self._restarts(node))

    def is_away(self, node: str) -> bool:
        """Whether a node has failed and is not back yet, or the program has ended."""
        restarts = self._restarts(node)
        return self.ended or (bool(restarts) and restarts[-1].seconds is None)

    def _restarts(self, node: str) -> list[Any]:
        return [each for each in self._program.restarts if each.node == node]

    def _wait(self) -> None:
        try:
            self._program.wait()
        except Exception as error:
            self.failure = error
        finally:
            self._ended.set()


class Conductor:
    """Runs the nodes."""

    def __init__(
        self,
        plan: Plan,
        blueprint: Blueprint,
        nodes: Nodes,
        watch: ProgramWatch,
        learner: RemoteLearner,
        agent: RemoteAgent,
        start: Start,
    ):
        """Stores the parts; the record of the run comes with ``run``."""
        self._plan, self._options = plan, plan.options
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
        self._told_restarts: dict[int, bool] = {}
        self._places: dict[str, Any] = {}

    def run(self, record: RunRecord, should_stop: Callable[[], bool]) -> tuple[bool, str | None]:
        """Runs to the end, or until it is told to stop or fails.

        Returns:
          Whether the run has come to where it was to end, and what failed, if anything did.
        """
        self._record = record
        clients = [handle.dereference() for handle in self._nodes.actors]
        self._actors = ActorGroup(self._plan, clients, record.counts, record)
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
                time.sleep(_TURN_SECONDS)
        except RunFailedError as error:
            return False, str(error)
        finally:
            self._connecting.shutdown(wait=False, cancel_futures=True)

    def measure(self) -> dict[str, Any]:
        """What a line of metrics says of the nodes."""
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
        """Last update that may be made by now: a little ahead, as reports come after the steps."""
        counts, schedule = self._record.counts, self._blueprint.schedule
        now = schedule.due(counts.env_steps, counts.dropped_episodes)
        last = schedule.due(self._options.env_steps, counts.dropped_episodes)
        return min(last, now + max(_FEW_UPDATES, now // 100))

    @property
    def _most_left_out(self) -> int:
        """Batches that the learner's process may leave out, by what the limiter has given.

        The limiter's own count is compared with the updates, whoever has read or lost the batches.
        So the learner never waits for steps while actors wait for it: then it would have made more
        than the updates that are due, and left out more than the surplus.
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
        """Whether all steps are taken, and all updates made that there are rows for."""
        if not self._actors.are_done or self._is_evaluating:
            return False
        if self._learner.has_begun and self._learner.learner_steps >= self._last_step:
            return True
        if self._learner.waiting_seconds < _STARVED_SECONDS:
            return False
        # What a learner that failed had read is not given again.
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
            return  # the program's to see
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
        """Has what is learned evaluated if it is due; of those that come too fast, the last."""
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
            if number not in self._told_restarts:
                self._told_restarts[number] = False
                note(f"{restart.node} failed, and is started again: {_in_a_line(restart.error)}")
            if restart.seconds is not None and not self._told_restarts[number]:
                self._told_restarts[number] = True
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
    """What an error says, without the traceback that it may come with."""
    lines = [line.strip() for line in str(error or "").splitlines() if line.strip()]
    if not lines:
        return "the program has ended before the run"
    beginning = lines[0].partition(": \x1b")[0].partition(": ray::")[0]
    return lines[-1] if len(lines) == 1 or beginning == lines[0] else f"{beginning}: {lines[-1]}"
