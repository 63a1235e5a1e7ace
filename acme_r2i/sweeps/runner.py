"""Runs of `r2i train`, some at a time, each in its own process and folder."""

from __future__ import annotations

import dataclasses
import enum
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from acme_r2i.runs import UsageError, reason
from acme_r2i.runs.checkpoints import Start

POLL_SECONDS = 0.5


class State(enum.Enum):
    """How it stands with a run, as the table shows it."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    NOT_STARTED = "not started"
    LEFT_ALONE = "left alone"


@dataclasses.dataclass
class Job:
    """One run.

    Attributes:
      name: name of its folder.
      folder: folder of the run.
      arguments: arguments of `r2i train`, including the folder.
      state: state of the run.
      note: remark on the state, e.g. the reason of a failure.
    """

    name: str
    folder: pathlib.Path
    arguments: Sequence[str]
    state: State = State.WAITING
    note: str = ""

    @property
    def log(self) -> pathlib.Path:
        """File of its output, beside the folder, which a run may fail to make."""
        return self.folder.with_name(f"{self.folder.name}.log")


class Runner:
    """Runs a sweep until all of its runs have ended.

    Finished runs are not run again, unless more environment steps are asked for. Stopped runs are
    started with their own command and resume from their checkpoints, or start again without one.
    Runs with other settings are left alone.
    """

    def __init__(
        self,
        runs: Mapping[str, Sequence[str]],
        out: pathlib.Path,
        *,
        parallel: int = 1,
        pin: bool = False,
        look: Callable[[Sequence[str]], Start] | None = None,
    ):
        """Prepares the runs; nothing is started or written yet.

        Args:
          runs: the arguments of `r2i train` of each, by the name of its folder; without the folder.
          out: the folder that holds the runs' folders and, beside each, its log.
          parallel: runs at a time.
          pin: whether a run keeps to one core, which no other of these has at the same time.
          look: finds where a run would begin, from its arguments with the folder. Without it, all
            runs are started.

        Raises:
          UsageError: if more runs are to be pinned at a time than there are cores.
        """
        cores = sorted(os.sched_getaffinity(0))
        if pin and parallel > len(cores):
            raise UsageError(f"{parallel} runs at a time cannot be pinned to {len(cores)} cores")
        self._out = out
        self._parallel = parallel
        self._cores = cores if pin else None
        self._processes: dict[str, tuple[subprocess.Popen, int | None]] = {}
        self.jobs = {
            name: _make_job(name, out / name, arguments, look) for name, arguments in runs.items()
        }

    @property
    def ended(self) -> bool:
        """Whether nothing runs or waits."""
        return all(job.state not in (State.WAITING, State.RUNNING) for job in self.jobs.values())

    @property
    def whole(self) -> bool:
        """Whether all runs are done."""
        return all(job.state is State.DONE for job in self.jobs.values())

    def run(
        self,
        on_change: Callable[[Job], None] = lambda job: None,
        on_poll: Callable[[], None] = lambda: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Returns when all runs have ended.

        Args:
          on_change: called when a run starts or ends, and for those with nothing to do.
          on_poll: called about twice a second.
          should_stop: once true, running ones are asked to end (SIGTERM) and no other is started.
        """
        self._out.mkdir(parents=True, exist_ok=True)
        for job in self.jobs.values():
            if job.state is not State.WAITING:
                on_change(job)
        stopping = False
        while not self.ended:
            if should_stop() and not stopping:
                stopping = True
                self._stop(on_change)
            for job in self._collect():
                on_change(job)
            for job in [job for job in self.jobs.values() if job.state is State.WAITING]:
                if len(self._processes) >= self._parallel:
                    break
                self._start(job)
                on_change(job)
            on_poll()
            if not self.ended:
                time.sleep(POLL_SECONDS)

    def _start(self, job: Job) -> None:
        core = None
        prefix = []
        if self._cores is not None:
            taken = {core for _, core in self._processes.values()}
            core = next(core for core in self._cores if core not in taken)
            prefix = ["taskset", "-c", str(core)]
        command = [*prefix, sys.executable, "-m", "acme_r2i", "train", *job.arguments]
        try:
            with job.log.open("ab") as log:
                # In a session of its own: Ctrl-C in the terminal reaches it through this process
                # only.
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            place = error.filename or job.log
            job.state, job.note = State.FAILED, f"it cannot be started: {place}: {reason(error)}"
            return
        self._processes[job.name] = process, core
        job.state = State.RUNNING

    def _collect(self) -> list[Job]:
        """Takes note of the runs that have ended, and returns them."""
        over = []
        for name, (process, _) in list(self._processes.items()):
            code = process.poll()
            if code is not None:
                del self._processes[name]
                job = self.jobs[name]
                job.state, job.note = _outcome(job, code)
                over.append(job)
        return over

    def _stop(self, on_change: Callable[[Job], None]) -> None:
        for job in self.jobs.values():
            if job.state is State.WAITING:
                job.state = State.NOT_STARTED
                on_change(job)
        for process, _ in self._processes.values():
            process.send_signal(signal.SIGTERM)


def _make_job(
    name: str,
    folder: pathlib.Path,
    arguments: Sequence[str],
    look: Callable[[Sequence[str]], Start] | None,
) -> Job:
    job = Job(name, folder, [*arguments, "--workdir", str(folder)])
    if look is None:
        return job
    try:
        start = look(job.arguments)
    except UsageError as error:
        job.state, job.note = State.LEFT_ALONE, str(error)
        return job
    if start.finished:
        job.state, job.note = State.DONE, "already done"
    elif start.checkpoint is not None:
        job.note = "resumes from its checkpoint"
    elif start.restart_count:
        job.note = "begins again: it was ended before its first checkpoint"
    return job


def _outcome(job: Job, code: int) -> tuple[State, str]:
    # Negative for a run that the signal has met before it listened to any.
    if code in (128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM):
        return State.STOPPED, "stopped before its end"
    if code:
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return State.FAILED, f"{how}, see {job.log}{_last_words(job.log)}"
    return State.DONE, ""


def _last_words(log: pathlib.Path) -> str:
    lines = [
        line
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.strip()
    ]
    return f": {lines[-1].strip()}" if lines else ""
