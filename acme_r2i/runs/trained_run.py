"""A run as it was left: its settings, its environment and what it learned, from its folder.

Importing this module imports no JAX.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
from typing import TYPE_CHECKING, Any, BinaryIO

from acme_r2i.agents.common.agent_kind import AgentConfig, AgentKind
from acme_r2i.agents.common.array_spec import PlainEnvironmentSpec
from acme_r2i.agents.registry import get_agent
from acme_r2i.runs import env_options, run_folder
from acme_r2i.runs.checkpoints import CHECKPOINTS, COUNTERS
from acme_r2i.runs.config_json import read_config
from acme_r2i.runs.errors import UsageError

if TYPE_CHECKING:
    import dm_env

LATEST = "latest"
# How often a checkpoint is looked for that a run replaces by newer ones in the meantime.
_ATTEMPTS = 100


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """What a run's config.json says.

    Attributes:
      folder: of the run.
      described: all of it.
      kind: the agent.
      config: the agent's settings.
      task: full name of its task.
      env_options: of the task's suite, without those that have a run record its episodes.
    """

    folder: pathlib.Path
    described: dict[str, Any]
    kind: AgentKind
    config: AgentConfig
    task: str
    env_options: dict[str, Any]

    def make_environment(self, seed: int) -> dm_env.Environment:
        """Makes an environment like those of the run.

        Raises:
          UsageError: if it cannot be made here; see ``environment_pool.make_one``.
        """
        from acme_r2i.runs.environment_pool import make_one

        try:
            return make_one(self.task, self.env_options, seed)
        except UsageError as error:
            raise UsageError(f"the run in {self.folder} cannot be rebuilt: {error}") from None

    def plain_spec(self) -> PlainEnvironmentSpec:
        """Describes the run's environment, which is made for it and closed. Imports NumPy."""
        from acme_r2i.environments import EnvironmentSpec

        environment = self.make_environment(seed=0)
        try:
            return PlainEnvironmentSpec.of(EnvironmentSpec.of(environment))
        finally:
            environment.close()


@dataclasses.dataclass(frozen=True)
class KeptParameters:
    """Parameters that a run has kept, in a file that is open: it stays when its checkpoint goes.

    Attributes:
      folder: has them, or had them.
      file: parameters.npz, for ``arrays.load_parameters``.
      source: "final" for those that the run ended with, or "checkpoint".
      env_steps: environment steps that led to them, None if unknown.
      learner_steps: updates that led to them, None if unknown.
    """

    folder: pathlib.Path
    file: BinaryIO
    source: str
    env_steps: int | None
    learner_steps: int | None


def read_run(folder: pathlib.Path) -> TrainedRun:
    """Reads a run's config.json.

    Raises:
      UsageError: if the folder holds no run, or one that this version cannot rebuild.
    """
    described = read_config(folder)
    try:
        kind = get_agent(described["agent"])
        config = kind.config_from_dict(described["config"])
        task = described["env"]
        options = env_options.without_recording(task, described["env_options"])
        return TrainedRun(folder, described, kind, config, task, options)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"the run in {folder} cannot be rebuilt: {error}") from None


def find_parameters(folder: pathlib.Path, checkpoint: str | None = None) -> KeptParameters:
    """Finds what a run has learned.

    Args:
      folder: of the run.
      checkpoint: environment steps of a kept checkpoint, "latest" for the last of them, or None for
        what the run ended with.

    Raises:
      UsageError: if it is not there, saying what is.
    """
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(FileNotFoundError):  # a newer checkpoint has taken its place
            return _open(folder, checkpoint)
    if not _checkpoints(folder):
        raise _has_no(folder, checkpoint, {})
    raise UsageError(
        f"--checkpoint {checkpoint}: the run in {folder} is replacing its checkpoints; give the "
        "same command again"
    )


def _open(folder: pathlib.Path, checkpoint: str | None) -> KeptParameters:
    """Likewise; FileNotFoundError if a checkpoint goes while it is opened, or listed."""
    kept = _checkpoints(folder)
    if checkpoint is None:
        try:
            file = open(folder / run_folder.PARAMETERS, "rb")  # noqa: SIM115
        except FileNotFoundError:
            hint = f"; it has {_list(kept)}" if kept else ""
            raise UsageError(
                f"{folder} has no {run_folder.PARAMETERS}, which a run writes when it ends{hint}"
            ) from None
        counts = _read(folder / run_folder.SUMMARY)
        return KeptParameters(
            folder, file, "final", counts.get("env_steps"), counts.get("learner_steps")
        )
    if checkpoint == LATEST:
        if not kept:  # so it looks, too, where one goes while another one comes
            raise FileNotFoundError
        env_steps = max(kept)
    else:
        digits = checkpoint.replace("_", "").replace(",", "")
        env_steps = int(digits) if digits.isdecimal() else None
    if env_steps not in kept:
        raise _has_no(folder, checkpoint, kept)
    path = kept[env_steps]
    file = open(path / run_folder.PARAMETERS, "rb")  # noqa: SIM115
    try:
        counts = json.loads((path / COUNTERS).read_text(encoding="utf-8"))["counts"]
        learner_steps = counts.get("learner_steps")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"checkpoint {path} is damaged: {COUNTERS} cannot be read: {error}"
        ) from None
    return KeptParameters(path, file, "checkpoint", env_steps, learner_steps)


def _checkpoints(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """The kept checkpoints by their environment steps."""
    found = {
        int(path.parent.name): path.parent
        for path in folder.glob(f"{CHECKPOINTS}/*/{run_folder.PARAMETERS}")
        if path.parent.name.isdecimal()
    }
    return dict(sorted(found.items()))


def _has_no(folder: pathlib.Path, checkpoint: str, kept: dict[int, pathlib.Path]) -> UsageError:
    return UsageError(f"--checkpoint {checkpoint}: {folder} has {_list(kept)}")


def _list(kept: dict[int, pathlib.Path]) -> str:
    return f"the checkpoints {', '.join(map(str, kept))}" if kept else "no checkpoints"


def _read(path: pathlib.Path) -> dict[str, Any]:
    """A JSON file's content, {} where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
