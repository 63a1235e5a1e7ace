"""The interface of a suite's module, and the errors of names that a suite does not have."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import dm_env


@dataclasses.dataclass(frozen=True)
class SuiteInfo:
    """Description of a suite, shown by ``r2i envs``.

    Attributes:
      summary: a few words.
      packages: pip requirements, e.g. ("bsuite==0.3.6",).
      licence: licence of the code, and of the assets if it differs.
      citation: authors, title and year.
      homepage: URL.
    """

    summary: str
    packages: tuple[str, ...]
    licence: str
    citation: str
    homepage: str


class Suite(Protocol):
    """Interface of a suite's module. Importing the module must not import the simulator.

    Optional members, all absent by default:

    - ``episode_limit(task) -> int | None``: maximum number of steps per episode of a resolved task
      with the default options, None if unknown.
    - ``reward_magnitude(task) -> float | None``: reward of one correct step of a resolved task,
      None if it is about 1.
    - ``reference(task) -> TaskReference``: returns to compare a resolved task's scores with.
    - ``SUITE_SCORES``: a tuple of PublishedScore, published for the suite as a whole.
    - ``RECORDING_OPTIONS``: a tuple of option names. These options make an environment record its
      episodes in files and do not change the task.
    - ``recorded_files(task, **options)``: the paths of the files that these options create.
    - ``RESTART_OPTIONS``: a dict of options that override the user's when a failed environment is
      replaced during a run.

    Attributes:
      INFO: description of the suite.
    """

    INFO: SuiteInfo

    def tasks(self) -> list[str]:
        """Returns the names of the tasks, without the suite's.

        An open suite, which accepts further names, returns the ones that are always available.
        """

    def resolve(self, task: str) -> str:
        """Returns the full name of a task, given a full or a short name.

        Raises:
          ValueError: if the suite has no such task. An open suite only checks the name's form.
        """

    def make(self, task: str, /, *, seed: int, **options: Any) -> dm_env.Environment:
        """Builds a resolved task. Floats may have any precision; the factory converts them.

        The keyword arguments other than ``seed`` are the suite's options. Each has a default and is
        annotated with ``bool``, ``int``, ``float`` or ``str``, optionally with ``| None``; the
        command line is generated from them. A suite that forwards unknown options to its tasks
        declares ``**options``.

        Raises:
          ValueError: for an invalid option value (the message gives option, value and allowed
            values), or a task that an open suite does not have.
          SimulatorMissingError: if the simulator or its renderer is not installed.
        """


class SimulatorMissingError(ImportError):
    """The task's simulator, or a file that it needs, is not installed."""


@contextlib.contextmanager
def importing(suite: str, requirement: str) -> Iterator[None]:
    """Converts an ImportError of a suite's simulator to a SimulatorMissingError.

    Args:
      suite: name of the suite.
      requirement: what pip installs.
    """
    try:
        yield
    except ImportError as error:
        raise SimulatorMissingError(
            f"suite {suite} cannot be imported (pip install {requirement}): {error}"
        ) from error


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Returns ``"; did you mean a, b?"`` with the closest candidates, or "" if none is close.

    Ignores case.
    """
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    nearest = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)
    if not nearest:
        return ""
    return f"; did you mean {', '.join(by_lower[lower] for lower in nearest)}?"


def unknown_task(suite: str, task: str, tasks: Iterable[str]) -> ValueError:
    """Returns the error for an unknown task, with the closest known names."""
    hint = did_you_mean(f"{suite}:{task}", (f"{suite}:{known}" for known in tasks))
    return ValueError(f"unknown task {suite}:{task}" + (hint or f"; r2i envs {suite} lists them"))
