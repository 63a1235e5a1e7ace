"""What every suite's module offers to the factory and to ``r2i envs``."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import dm_env


@dataclasses.dataclass(frozen=True)
class SuiteInfo:
    """What a suite is, for people.

    Attributes:
      summary: a few words for a list.
      packages: the packages that it takes, as pip has them, e.g. ("bsuite==0.3.6",).
      licence: of the suite's code, and of its assets where they have another.
      citation: authors, title and year of what to cite.
      homepage: where it is kept.
    """

    summary: str
    packages: tuple[str, ...]
    licence: str
    citation: str
    homepage: str


class Suite(Protocol):
    """The module of a suite. Importing it imports no simulator.

    A suite may have RESTART_OPTIONS, a dict: the options that change for an environment that is
    made anew in the middle of a run, because another one has failed. It may have RECORDING_OPTIONS,
    a tuple of names: the options that have an environment write down what is played in it, and
    change nothing of the task. Then it has ``recorded_files``, of which ``factory.recorded_files``
    tells.

    Attributes:
      INFO: what the suite is.
    """

    INFO: SuiteInfo

    def tasks(self) -> list[str]:
        """Returns every task's name, without the suite's; of a suite that is open to other names,
        those that are always there."""

    def resolve(self, task: str) -> str:
        """Returns the task's full name (a suite may take short ones).

        Raises:
          ValueError: if the suite does not have the task, or, of a suite that is open to other
            names, if no task can have that name.
        """

    def make(self, task: str, /, *, seed: int, **options: Any) -> dm_env.Environment:
        """Builds a resolved task.

        Its numbers may have any precision: the factory converts and checks them (``Checked``).

        The keyword arguments beside ``seed`` are the suite's options: annotated with ``bool``,
        ``int``, ``float`` or ``str``, ``| None`` added where it may be, and with a default, so that
        a command line can set them. A suite whose tasks have options of their own takes
        ``**options`` and passes them on.

        Raises:
          ValueError: on a wrong value, naming the option, the value and what is allowed; or if a
            suite that is open to other names does not have the task.
          SimulatorMissingError: if the simulator, or what it draws with, is not there.
        """

    def reward_magnitude(self, task: str) -> float | None:
        """Returns what ``factory.reward_magnitude`` says of a resolved task."""

    def episode_limit(self, task: str) -> int | None:
        """Returns the most steps that an episode of a resolved task can have with the suite's
        default options, None where there is no such number or it is not known."""
