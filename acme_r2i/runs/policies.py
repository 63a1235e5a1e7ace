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
from acme_r2i.runs import UsageError, files, overrides
from acme_r2i.runs.checkpoints import COUNTERS, list_checkpoints
from acme_r2i.runs.config_json import read_config
from acme_r2i.runs.files import load_arrays, save_arrays
from acme_r2i.runs.run_folder import PARAMETERS, SUMMARY, check_format

if TYPE_CHECKING:
    import dm_env

    from acme_r2i.agents.common.policy import Policy


LATEST = "latest"
EXPORTED = "policy.json"
FORMAT = 2  # of policy.json
# Attempts to open a checkpoint that a run replaces by newer ones in the meantime.
_ATTEMPTS = 100


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """A run, as its config.json describes it.

    Attributes:
      folder: folder of the run.
      described: content of config.json.
      kind: the agent.
      config: the agent's settings.
      task: full name of the task.
      env_options: options of the task's suite, without those that make a run record episodes.
    """

    folder: pathlib.Path
    described: dict[str, Any]
    kind: AgentKind
    config: AgentConfig
    task: str
    env_options: dict[str, Any]

    def make_environment(self, seed: int) -> dm_env.Environment:
        """Makes an environment like those of the run; UsageError if it cannot be made here."""
        from acme_r2i.runs.environment_pool import make_one

        try:
            return make_one(self.task, self.env_options, seed)
        except UsageError as error:
            raise UsageError(f"the run in {self.folder} cannot be rebuilt: {error}") from None

    def plain_spec(self) -> PlainEnvironmentSpec:
        """Returns the specs of the run's environment, which is made and closed. Imports NumPy."""
        from acme_r2i.environments import EnvironmentSpec

        environment = self.make_environment(seed=0)
        try:
            return PlainEnvironmentSpec.of(EnvironmentSpec.of(environment))
        finally:
            environment.close()


@dataclasses.dataclass(frozen=True)
class KeptParameters:
    """Parameters of a run, in an open file: it can be read after its checkpoint is removed.

    Attributes:
      folder: folder of the file.
      file: parameters.npz, for ``load_parameters``.
      source: "final" for those at the run's end, or "checkpoint".
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
      UsageError: if the folder holds no run, or a run that this version cannot rebuild.
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
    """Opens parameters of a run.

    Args:
      folder: folder of the run.
      checkpoint: environment steps of a kept checkpoint, "latest" for the newest, or None for the
        parameters at the run's end.

    Raises:
      UsageError: if they do not exist, naming those that do.
    """
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(FileNotFoundError):  # a newer checkpoint has replaced it
            return _open(folder, checkpoint)
    if not _kept(folder):
        raise _has_no(folder, checkpoint, {})
    raise UsageError(
        f"checkpoint={checkpoint}: the run in {folder} is replacing its checkpoints; try again"
    )


def _open(folder: pathlib.Path, checkpoint: str | None) -> KeptParameters:
    """Opens parameters; FileNotFoundError if a checkpoint is removed meanwhile."""
    kept = _kept(folder)
    if checkpoint is None:
        try:
            file = open(folder / PARAMETERS, "rb")  # noqa: SIM115
        except FileNotFoundError:
            hint = f"; it has {_list(kept)}: checkpoint=latest reads the newest" if kept else ""
            raise UsageError(
                f"{folder} has no {PARAMETERS}, which a run writes when it ends{hint}"
            ) from None
        counts: dict[str, Any] = {}
        with contextlib.suppress(UsageError):
            counts = files.read_json(folder / SUMMARY)
        return KeptParameters(
            folder, file, "final", counts.get("env_steps"), counts.get("learner_steps")
        )
    if checkpoint == LATEST:
        if not kept:  # also while the only one is replaced
            raise FileNotFoundError
        env_steps = max(kept)
    else:
        digits = checkpoint.replace("_", "").replace(",", "")
        env_steps = int(digits) if digits.isdecimal() else None
    if env_steps not in kept:
        raise _has_no(folder, checkpoint, kept)
    path = kept[env_steps]
    file = open(path / PARAMETERS, "rb")  # noqa: SIM115
    try:
        counts = json.loads((path / COUNTERS).read_text(encoding="utf-8"))["counts"]
        learner_steps = counts.get("learner_steps")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"checkpoint {path} is damaged: {COUNTERS} cannot be read: {error}"
        ) from None
    return KeptParameters(path, file, "checkpoint", env_steps, learner_steps)


def _kept(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """Returns the checkpoints with parameters by their environment steps, in order."""
    return {
        int(path.name): path
        for path in list_checkpoints(folder)
        if path.name.isdecimal() and (path / PARAMETERS).exists()
    }


def _has_no(folder: pathlib.Path, checkpoint: str, kept: dict[int, pathlib.Path]) -> UsageError:
    return UsageError(f"checkpoint={checkpoint} is not allowed: {folder} has {_list(kept)}")


def _list(kept: dict[int, pathlib.Path]) -> str:
    noun = "checkpoint" if len(kept) == 1 else "checkpoints"
    return f"the {noun} {', '.join(map(str, kept))}" if kept else "no checkpoints"


def save_parameters(folder: pathlib.Path, params: Any) -> None:
    """Writes parameters.npz, complete or not at all; OSError if it cannot be written."""
    save_arrays(folder / PARAMETERS, params)


def load_parameters(folder: pathlib.Path, like: Any, file: BinaryIO | None = None) -> Any:
    """Reads parameters.npz.

    Args:
      folder: folder of the run or of one of its checkpoints.
      like: tree of arrays, or of their shapes, with the structure to return.
      file: the folder's parameters.npz, if it is open.

    Raises:
      UsageError: if there is no such file, or it does not hold these parameters.
    """
    try:
        return load_arrays(folder / PARAMETERS, like, file)
    except FileNotFoundError:
        raise UsageError(f"{folder} has no {PARAMETERS}, which a run writes when it ends") from None


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
      config: the agent's settings.
      spec: specs of the environment.
      load_params: returns the parameters, given their shapes.
      greedy: whether to take the likeliest actions.
      seed: seed of random draws.
      num_environments: N to act for N environments at once, None for one without an axis [N].

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
    """Loads a policy that ``export`` has written; arguments as of ``acme_r2i.load``."""
    from acme_r2i.agents.common.checks import is_greedy

    folder = pathlib.Path(path)
    greedy = is_greedy(mode)
    failure = f"{folder} holds no exported policy: {EXPORTED}"
    content = files.read_json(folder / EXPORTED, failure=failure)
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
    """Writes the policy of a run to a folder, for ``load``. policy.json is written last.

    Args:
      run: the run.
      kept: its parameters.
      out: folder to make, or an empty one.

    Raises:
      UsageError: if the run cannot be rebuilt.
      OSError: if the folder cannot be written.
    """
    import jax

    spec = run.plain_spec()
    networks = run.kind.make_networks(run.config, spec)
    shapes = jax.eval_shape(networks.init, jax.random.key(0))
    load_parameters(kept.folder, shapes, kept.file)  # checks that they fit
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
        "run": {key: value for key, value in run.described.items() if key != "config"},
    }
    out.mkdir(parents=True, exist_ok=True)
    kept.file.seek(0)
    files.write_whole(out / PARAMETERS, lambda file: shutil.copyfileobj(kept.file, file))
    files.write_json(out / EXPORTED, content)
