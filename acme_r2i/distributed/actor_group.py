"""The actors, in the process of the command: polled for reports, and given limits of steps."""

from __future__ import annotations

import time
from typing import Any

from acme_r2i.distributed.actor_node import ActorReport
from acme_r2i.distributed.node_calls import RemoteNode
from acme_r2i.distributed.node_settings import NodeSettings
from acme_r2i.runs import RunFailedError
from acme_r2i.runs.loop import SPENT_ON
from acme_r2i.runs.metrics import Episode
from acme_r2i.runs.record import RunRecord


class StepShares:
    """Shares the steps of a run among actors that act on their own.

    Each actor acts in batches up to its limit. The steps that are left are given to the actors in
    equal shares; steps that a slow actor has not used are taken back. Steps that an actor may have
    used are given to another only after the actor has confirmed a lower limit. So together they
    take exactly the steps of the run.

    Steps and limits count from the start of the actor's process.
    """

    def __init__(self, env_steps: int, actors: int, batch: int):
        """Starts with no step taken.

        Args:
          env_steps: steps to take.
          actors: number of actors.
          batch: number of steps that an actor takes at once, its last batch aside.
        """
        self._env_steps = env_steps
        self._batch = batch
        self._before = [0] * actors  # by former processes
        self._taken = [0] * actors
        self._limits = [0] * actors

    @property
    def left(self) -> int:
        """Steps that no actor is known to have taken."""
        return self._env_steps - sum(self._before) - sum(self._taken)

    def next_limit(self, actor: int) -> int:
        """Returns the limit to send to an actor, who may use it from now on."""
        share = -(-self.left // len(self._taken))
        wanted = self._taken[actor] + max(self._batch, -(-share // self._batch) * self._batch)
        free = self._env_steps - sum(self._before) - sum(self._limits)
        limit = self._limits[actor]
        if wanted > limit:
            more = min(wanted - limit, free)
            if more > self._batch:
                more -= more % self._batch
            self._limits[actor] = limit + more
            return limit + more
        return wanted

    def confirm(self, actor: int, taken: int, limit: int) -> None:
        """Takes the steps that an actor reports, and the limit it keeps to from now on."""
        self._taken[actor] = taken
        self._limits[actor] = limit

    def restart(self, actor: int) -> None:
        """Starts a new process of an actor; the steps that it had reported stay taken."""
        self._before[actor] += self._taken[actor]
        self._taken[actor] = self._limits[actor] = 0


class _Member(RemoteNode):
    """One actor."""

    def __init__(self, number: int, client: Any):
        super().__init__(f"actor/{number}", client)
        # Time, env steps and time spent at the last line of metrics.
        self.marked = (time.monotonic(), 0, dict.fromkeys(SPENT_ON, 0.0))
        self.env_steps = 0  # of all its processes


class ActorGroup:
    """Polls all actors for reports, and counts their steps and episodes.

    If an actor fails, the steps that it had not reported are lost (less than half a second's), and
    so are its open episodes.
    """

    def __init__(self, settings: NodeSettings, clients: list[Any], record: RunRecord):
        """Makes no call yet.

        Args:
          settings: settings of the run.
          clients: clients of the actor nodes.
          record: takes episodes and restarts; their numbers are added to its counts.
        """
        left = settings.options.env_steps - record.counts.env_steps
        self._environments = settings.environments_per_actor
        self._shares = StepShares(left, len(clients), self._environments)
        self._members = [_Member(number, client) for number, client in enumerate(clients)]
        self._counts = record.counts
        self._record = record

    @property
    def are_done(self) -> bool:
        """Whether all steps have been taken and reported."""
        return self._shares.left == 0

    def turn(self, learner_steps: int) -> None:
        """Takes new reports, and asks for the next ones.

        Raises:
          RunFailedError: if an actor cannot continue.
        """
        for number, member in enumerate(self._members):
            self._take(number, member)
            if not member.poll.waits:
                limit = 0 if member.report is None else self._shares.next_limit(number)
                member.poll.ask(member.uid, limit, learner_steps)

    def halt(self, seconds: float) -> None:
        """Stops all actors, and takes their last reports.

        Args:
          seconds: timeout.
        """
        until = time.monotonic() + seconds
        waiting = dict(enumerate(self._members))
        asked: set[int] = set()
        while waiting and time.monotonic() < until:
            for number, member in list(waiting.items()):
                answered = self._take(number, member)
                if member.poll.waits:
                    continue
                report = member.report
                # It has halted if a later report has no step beyond the last limit.
                if answered and number in asked and report.limit <= report.env_steps:
                    del waiting[number]
                    continue
                member.poll.ask(member.uid, 0, -1)
                asked.add(number)
            time.sleep(0.02)

    def places(self) -> dict[str, dict[str, Any]]:
        """Returns the entries of all actors in nodes.json."""
        return {name: place for each in self._members for name, place in each.places().items()}

    def describe(self) -> list[str]:
        """Returns the activity of each, or that it does not answer."""
        return [each.describe() for each in self._members]

    def measure(self, learner_steps: int) -> dict[str, Any]:
        """Returns the metrics of all actors since the last call."""
        now = time.monotonic()
        line: dict[str, Any] = {}
        staleness: list[int] = []
        shares: dict[str, list[float]] = {name: [] for name in SPENT_ON}
        for number, member in enumerate(self._members):
            since, env_steps, seconds = member.marked
            passed = now - since
            report = member.report
            spent = {**seconds, **(report.seconds if report else {})}
            age = None
            if report is not None and report.parameters is not None:
                age = max(0, learner_steps - report.parameters)
                staleness.append(age)
            line[f"actors/{number}/env_steps_per_second"] = (
                (member.env_steps - env_steps) / passed if passed else None
            )
            line[f"actors/{number}/staleness"] = age
            for name in SPENT_ON:
                # Those of a restarted actor begin at 0 again.
                shares[name].append(max(0.0, spent[name] - seconds[name]) / max(passed, 1e-9))
            member.marked = (now, member.env_steps, spent)
        line["actors/staleness"] = max(staleness, default=None)
        line["actors/dropped_episodes"] = self._counts.dropped_episodes
        for name in SPENT_ON:
            # A late report covers more than the time that has passed.
            line[f"timing/{name}"] = min(1.0, sum(shares[name]) / len(self._members))
        return line

    def _take(self, number: int, member: _Member) -> bool:
        """Takes a report, if there is one."""
        report: ActorReport | None = member.poll.take()
        if report is None:
            return False
        if report.place.uid != member.uid:
            self._begin(number, member, report)
            return True
        before, member.report = member.report, report
        if report.failure is not None:
            raise RunFailedError(f"{member.name}: {report.failure}")
        self._add(member, before, report)
        self._shares.confirm(number, report.env_steps, report.limit)
        return True

    def _begin(self, number: int, member: _Member, report: ActorReport) -> None:
        if member.report is not None:
            member.restarts += 1
            self._shares.restart(number)
            self._counts.dropped_episodes += self._environments
            self._record.note(f"{member.name} restarts with new episodes; its open ones are lost")
        member.report = ActorReport(report.place, doing=report.doing)
        now, env_steps, _ = member.marked
        member.marked = now, env_steps, dict.fromkeys(SPENT_ON, 0.0)
        member.client.futures.begin(report.place.uid, member.restarts)

    def _add(self, member: _Member, before: ActorReport, report: ActorReport) -> None:
        counts = self._counts
        for restart, dropped_env_steps in report.restarts:
            counts.restarts += 1
            self._record.add_restart(restart, dropped_env_steps)
        counts.dropped_episodes += report.dropped_episodes - before.dropped_episodes
        for episode in report.episodes:
            counts.episodes += 1
            self._record.add_episode(
                Episode(
                    # Counted as if the whole report had happened after all known steps.
                    counts.env_steps + episode.env_steps - before.env_steps,
                    counts.episodes,
                    episode.episode_return,
                    episode.length,
                )
            )
        counts.env_steps += report.env_steps - before.env_steps
        member.env_steps += report.env_steps - before.env_steps
