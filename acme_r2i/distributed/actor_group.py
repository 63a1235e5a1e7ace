"""The actors as the conductor has them: what they have done, and how far they may go."""

from __future__ import annotations

import time
from typing import Any

from acme_r2i.distributed.plan import Plan
from acme_r2i.distributed.polling import Poll
from acme_r2i.distributed.reports import ActorReport
from acme_r2i.distributed.step_shares import StepShares
from acme_r2i.runs import RunFailedError
from acme_r2i.runs.loop import SPENT_ON
from acme_r2i.runs.metrics import Counts, Episode
from acme_r2i.runs.record import RunRecord


class _Member:
    """One actor."""

    def __init__(self, number: int, client: Any):
        self.name = f"actor/{number}"
        self.client = client
        self.poll = Poll(client.futures.report)
        self.report: ActorReport | None = None
        self.restarts = 0
        # At the last line of metrics.
        self.marked = (time.monotonic(), 0, dict.fromkeys(SPENT_ON, 0.0))
        self.env_steps = 0  # in all its processes

    @property
    def made(self) -> str | None:
        return self.report and self.report.place.made


class ActorGroup:
    """Asks all actors for reports, and counts what they tell.

    Of an actor that fails, what it had not told is lost: fewer steps than it takes in half a
    second, and its open episodes.
    """

    def __init__(
        self,
        plan: Plan,
        clients: list[Any],
        counts: Counts,
        record: RunRecord,
    ):
        """Begins.

        Args:
          plan: of the run.
          clients: of the actor nodes.
          counts: how far the run is; steps and episodes are added there.
          record: takes episodes and restarts.
        """
        left = plan.options.env_steps - counts.env_steps
        self._environments = plan.environments_per_actor
        self._shares = StepShares(left, len(clients), self._environments)
        self._members = [_Member(number, client) for number, client in enumerate(clients)]
        self._counts = counts
        self._record = record

    @property
    def are_done(self) -> bool:
        """Whether all steps have been taken, and told."""
        return self._shares.left == 0

    def turn(self, learner_steps: int) -> None:
        """Takes the reports that have come, and asks for others.

        Raises:
          RunFailedError: if an actor cannot go on.
        """
        for number, member in enumerate(self._members):
            self._take(number, member)
            if not member.poll.waits:
                member.poll.ask(member.made, self._limit(number, member), learner_steps)

    def halt(self, seconds: float) -> None:
        """Has them take no more steps, and takes what they have done; waits so long for it."""
        until = time.monotonic() + seconds
        waiting = dict(enumerate(self._members))
        asked: set[int] = set()
        while waiting and time.monotonic() < until:
            for number, member in list(waiting.items()):
                answered = self._take(number, member)
                if member.poll.waits:
                    continue
                report = member.report
                # Halted where a report after the one with the last limit brings nothing new.
                if answered and number in asked and report.limit <= report.env_steps:
                    del waiting[number]
                    continue
                member.poll.ask(member.made, 0, -1)
                asked.add(number)
            time.sleep(0.02)

    def places(self) -> dict[str, dict[str, Any]]:
        """Where each of them is."""
        return {
            each.name: {
                "host": each.report.place.host,
                "pid": each.report.place.pid,
                "restarts": each.restarts,
            }
            for each in self._members
            if each.report is not None
        }

    def describe(self) -> list[str]:
        """What each of them does, or that it does not answer."""
        texts = []
        for each in self._members:
            silent = each.poll.silent_seconds
            if each.report is None or silent > 5:
                texts.append(f"{each.name} has not answered for {silent:.0f} s")
            else:
                texts.append(f"{each.name} {each.report.doing}")
        return texts

    def measure(self, learner_steps: int) -> dict[str, Any]:
        """What a line of metrics says of them, since the one before."""
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
                # Those of an actor that was restarted begin at 0 again.
                shares[name].append(max(0.0, spent[name] - seconds[name]) / max(passed, 1e-9))
            member.marked = (now, member.env_steps, spent)
        line["actors/staleness"] = max(staleness, default=None)
        line["actors/dropped_episodes"] = self._counts.dropped_episodes
        for name in SPENT_ON:
            # A report that comes late tells of more than has passed.
            line[f"timing/{name}"] = min(1.0, sum(shares[name]) / len(self._members))
        return line

    def _limit(self, number: int, member: _Member) -> int:
        return 0 if member.report is None else self._shares.next_limit(number)

    def _take(self, number: int, member: _Member) -> bool:
        """Takes a report, if there is one."""
        report: ActorReport | None = member.poll.take()
        if report is None:
            return False
        if report.place.made != member.made:
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
            self._record.note(
                f"{member.name} begins anew with fresh episodes; those it was in are lost"
            )
        member.report = ActorReport(report.place, doing=report.doing)
        now, env_steps, _ = member.marked
        member.marked = now, env_steps, dict.fromkeys(SPENT_ON, 0.0)
        member.client.futures.begin(report.place.made, member.restarts)

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
                    # As if all that is reported had happened at once, after what is known.
                    counts.env_steps + episode.env_steps - before.env_steps,
                    counts.episodes,
                    episode.episode_return,
                    episode.length,
                )
            )
        counts.env_steps += report.env_steps - before.env_steps
        member.env_steps += report.env_steps - before.env_steps
