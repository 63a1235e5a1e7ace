"""A trained run and its policy: read from the run's folder, exported, and loaded again.

An exported policy is a folder of two files:

    policy.json     agent, settings, specs of the environment, and content of the run's config.json
    parameters.npz  what was learned, as in the run's folder

Importing this module imports no JAX.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

from acme_r2i.agents.common.agent_kind import AgentConfig, AgentKind
from acme_r2i.agents.common.array_spec import PlainEnvironmentSpec
from acme_r2i.agents.registry import get_agent
from acme_r2i.runs import UsageError, files, overrides, run_folder
from acme_r2i.runs.checkpoints import CHECKPOINTS, COUNTERS
from acme_r2i.runs.config_json import read_config
from acme_r2i.runs.files import load_arrays, save_arrays
from acme_r2i.runs.run_folder import PARAMETERS, check_format

if TYPE_CHECKING:
    import dm_env

    from acme_r2i.agents.common.policy import Policy


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
        options = overrides.without_recording(task, described["env_options"])
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


def save_parameters(folder: pathlib.Path, params: Any) -> None:
    """Writes parameters.npz, which appears complete or not at all."""
    save_arrays(folder / PARAMETERS, params)


def load_parameters(folder: pathlib.Path, like: Any, file: BinaryIO | None = None) -> Any:
    """Reads parameters.npz.

    Args:
      folder: of the run, or of one of its checkpoints.
      like: a tree of arrays, or of their shapes, with the structure to return.
      file: the folder's parameters.npz, where it is open.

    Raises:
      UsageError: if there is no such file, or it does not hold these parameters.
    """
    try:
        return load_arrays(folder / PARAMETERS, like, file)
    except FileNotFoundError:
        raise UsageError(f"{folder} has no {PARAMETERS}, which a run writes when it ends") from None


EXPORTED = "policy.json"
FORMAT = 2


def make_policy(
    kind: AgentKind,
    config: Any,
    spec: PlainEnvironmentSpec,
    load_params: Callable[[Any], Any],
    *,
    greedy: bool,
    seed: int = 0,
    num_environments: int | None = None,
) -> Policy:
    """Makes the policy of an agent.

    Args:
      kind: the agent.
      config: its settings.
      spec: of the environment.
      load_params: shapes of the parameters -> the parameters.
      greedy: take the likeliest actions.
      seed: of all that is drawn.
      num_environments: see ``Policy``.

    Raises:
      ValueError: if the agent does not suit the environment.
    """
    import jax

    from acme_r2i.agents.common.policy import Policy

    functions = kind.make_policy(config, kind.make_networks(config, spec), greedy=greedy)
    params = load_params(jax.eval_shape(functions.init, jax.random.key(0)))
    return Policy(functions, params, spec, seed=seed, num_environments=num_environments)


def load(
    path: str | os.PathLike[str],
    *,
    mode: str = "greedy",
    seed: int = 0,
    num_environments: int | None = None,
) -> Policy:
    """Loads a policy that `r2i export` has written; see ``acme_r2i.load``."""
    from acme_r2i.agents.common.policy import is_greedy

    folder = pathlib.Path(path)
    greedy = is_greedy(mode)
    try:
        content = json.loads((folder / EXPORTED).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder} holds no exported policy: {EXPORTED}: {error}") from None
    try:
        check_format(content, FORMAT)
        kind = get_agent(content["agent"])
        config = kind.config_from_dict(content["config"])
        spec = PlainEnvironmentSpec.from_json(content["specs"])
    except KeyError as error:
        raise UsageError(
            f"the policy in {folder} cannot be loaded: {EXPORTED} has no field {error}"
        ) from None
    except (TypeError, ValueError) as error:
        raise UsageError(f"the policy in {folder} cannot be loaded: {EXPORTED} {error}") from None
    return make_policy(
        kind,
        config,
        spec,
        functools.partial(load_parameters, folder),
        greedy=greedy,
        seed=seed,
        num_environments=num_environments,
    )


def export(run: TrainedRun, kept: KeptParameters, out: pathlib.Path) -> None:
    """Writes what it takes to act as a run has learned to.

    policy.json comes last: without it, what is there is no policy.

    Args:
      run: the run.
      kept: its parameters.
      out: a folder that is made, or is empty.

    Raises:
      UsageError: if the run cannot be rebuilt, or the folder not be written.
    """
    import jax

    spec = run.plain_spec()
    networks = run.kind.make_networks(run.config, spec)
    shapes = jax.eval_shape(networks.init, jax.random.key(0))
    load_parameters(kept.folder, shapes, kept.file)  # they fit
    described = {key: value for key, value in run.described.items() if key != "config"}
    content = {
        "format": FORMAT,
        "agent": run.kind.name,
        "env": run.task,
        "env_options": run.env_options,
        "parameters": kept.source,
        "env_steps": kept.env_steps,
        "learner_steps": kept.learner_steps,
        "specs": spec.to_json(),
        "config": run.described["config"],
        "run": described,
    }
    with files.writing("--out", out):
        out.mkdir(parents=True, exist_ok=True)
        kept.file.seek(0)
        files.write_whole(
            out / run_folder.PARAMETERS, lambda file: shutil.copyfileobj(kept.file, file)
        )
        files.write_json(out / EXPORTED, content)
