"""Settings of a run: every option once, with its type, help, unit and what resuming may change.

The command line, config.json, the comparison on resume and docs/options.md are made from
:class:`TrainConfig`. Importing this module imports no JAX and no simulator.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import re
import resource
import time
import typing
from collections.abc import Collection, Mapping
from typing import Any, Literal

from acme_r2i.agents.common.agent_kind import AgentConfig, AgentKind
from acme_r2i.agents.common.checks import require
from acme_r2i.agents.registry import AGENTS, DEFAULT_AGENT, get_agent
from acme_r2i.runs import UsageError, overrides, run_folder
from acme_r2i.runs.external_logs import check_wandb

AUTO = "auto"
ENV_WORKERS = ("inline", "threads", "processes")
# Time limit of a step where environments have workers. Inline, a limit slows every step.
ENV_STEP_TIMEOUT_SECONDS = 60.0
# Longer than any episode of the suites; Memory Maze has up to 40,000 steps.
MAX_EPISODE_STEPS = 100_000


@dataclasses.dataclass(frozen=True)
class Option:
    """Metadata of a field of :class:`TrainConfig`.

    Attributes:
      help: one line, with the unit.
      metavar: placeholder of the value in the help; "" for a flag.
      resume: "fixed" if a resumed run must keep the value, "permitted" if it may change with
        ``allow_config_change``, "free" if it may change.
      choices: allowed values, looked up when they are checked; () for any.
      at_least: smallest allowed number.
      goes_with: field without which this one has no effect.
      recorded: runs whose config.json has the field: "always", "distributed" or "never".
    """

    help: str
    metavar: str = "N"
    resume: Literal["fixed", "permitted", "free"] = "free"
    choices: Collection[str] = ()
    at_least: int | None = None
    goes_with: str | None = None
    recorded: Literal["always", "distributed", "never"] = "always"


def _option(default: Any, help: str, metavar: str = "N", **more: Any) -> Any:
    return dataclasses.field(default=default, metadata={"option": Option(help, metavar, **more)})


def _evaluation(default: Any, help: str, metavar: str = "N") -> Any:
    return _option(default, help, metavar, at_least=1, goes_with="evaluate_every")


def _distributed(default: Any, help: str, metavar: str = "N", **more: Any) -> Any:
    return _option(default, help, metavar, goes_with="num_actors", recorded="distributed", **more)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Settings of a run, checked on construction.

    Every field is an option of ``r2i train``, except the last three: ``overrides`` sets fields of
    the agent's settings on top of the preset, by dotted path; ``env_options`` sets options of the
    task's suite; ``config``, which is computed, is the agent's whole settings. ``workdir`` becomes
    an absolute path, and "auto" the value that it stands for.

    Raises:
      ValueError: naming the field, its value and what is allowed. Nothing is written.
    """

    env: str = _option(
        dataclasses.MISSING,
        "task, e.g. popgym:RepeatPreviousEasy (required)",
        "SUITE:TASK",
        resume="fixed",
    )
    env_workers: str = _option(
        "inline", "where environments are stepped", resume="permitted", choices=ENV_WORKERS
    )
    env_step_timeout: float | Literal["auto"] | None = _option(
        AUTO,
        f"time limit of a step or reset; auto: {ENV_STEP_TIMEOUT_SECONDS:g}, or none if inline",
        "SECONDS|none",
        resume="permitted",
    )
    env_max_restarts: int = _option(
        10, "restarts of failed environments in total", resume="permitted", at_least=0
    )
    agent: str = _option(DEFAULT_AGENT, "agent to train", "NAME", resume="fixed", choices=AGENTS)
    core: str | None = _option(
        None, "sequence core of the agent r2d2 (default: the preset's)", "NAME", recorded="never"
    )
    preset: str = _option("cpu", "named settings", "NAME[,NAME...]")
    env_steps: int = _option(
        100_000, "environment steps, over all environments", resume="permitted", at_least=1
    )
    seed: int = _option(
        0, "seed of parameters, actions and environments", resume="fixed", at_least=0
    )
    workdir: pathlib.Path | None = _option(
        None,
        "folder of the run, new or to resume (default: a new one under runs/)",
        "DIR",
        recorded="never",
    )
    log_every: int = _option(
        1000, "environment steps between two lines of metrics", resume="permitted", at_least=1
    )
    evaluate_every: int | None = _option(
        None,
        "environment steps between two evaluations, recorded in evaluations.jsonl (default: none)",
        at_least=1,
    )
    evaluate_episodes: int = _evaluation(20, "episodes of an evaluation")
    evaluate_max_episode_steps: int | None = _evaluation(
        MAX_EPISODE_STEPS, "steps after which an episode of an evaluation is truncated", "N|none"
    )
    checkpoint_every: int | Literal["auto"] | None = _option(
        AUTO,
        "environment steps between two checkpoints; auto: a fiftieth of env_steps, at least 10,000",
        "N|none",
        at_least=1,
    )
    keep_checkpoints: int = _option(2, "number of checkpoints kept", at_least=1)
    max_skipped_updates: int = _option(
        10,
        "consecutive updates skipped as not finite after which the run stops",
        resume="permitted",
        at_least=1,
    )
    num_actors: int | None = _option(
        None,
        "actor processes of a distributed run, on Ray; they share num_environments evenly "
        "(default: one process does all)",
        resume="permitted",
        at_least=1,
        recorded="distributed",
    )
    cluster: str = _distributed(
        "local",
        "where a distributed run runs: this machine, the Ray cluster of RAY_ADDRESS or of this "
        "machine, or another Ray cluster",
        "local|auto|HOST:PORT",
    )
    max_staleness: int = _distributed(
        32,
        "learner steps by which an actor's parameters may lag before the actor waits",
        at_least=0,
    )
    max_restarts: int = _distributed(
        5, "restarts of each failing process before the run stops", at_least=0
    )
    allow_config_change: bool = _option(
        False,
        "resume with other settings, where parameters and replay fit them",
        "",
        recorded="never",
    )
    tensorboard: bool = _option(False, "also write TensorBoard event files", "")
    wandb: str | None = _option(
        None, "also log to Weights & Biases (default: off)", choices=("online", "offline")
    )
    wandb_project: str = _option(
        "acme_r2i", "project on Weights & Biases", "NAME", goes_with="wandb"
    )
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    env_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    config: AgentConfig = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        for name, kind in _types().items():
            value = overrides.convert(f"TrainConfig.{name}", getattr(self, name), kind)
            object.__setattr__(self, name, value)
        task = task_name(self.env)
        settings = (self.preset, task, self.overrides)
        config, values = make_settings(*settings, agent=self.agent, core=self.core)
        for name, option in options().items():
            self._check(name, option)
        derived = {
            "env": task,
            "overrides": values,
            "env_options": overrides.check_suite_options(task, self.env_options),
            "config": config,
            "workdir": self.workdir or overrides.absolute_path(_new_folder(task, self.seed)),
            "env_step_timeout": env_step_timeout(self.env_step_timeout, self.env_workers),
            "checkpoint_every": checkpoint_every(self.checkpoint_every, self.env_steps),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)
        self._check_together()

    def _check(self, name: str, option: Option) -> None:
        """Checks one option by its metadata."""
        value = getattr(self, name)
        if option.choices:
            allowed = f"it must be one of {', '.join(option.choices)}"
            require(self, name, allowed, value is None or value in option.choices)
        if option.at_least is not None and isinstance(value, int):
            check_number(f"TrainConfig.{name}", value, option.at_least)
        if option.goes_with and getattr(self, option.goes_with) is None:
            if value != default_of(name):
                raise UsageError(goes_with(name, option.goes_with))

    def _check_together(self) -> None:
        """Checks options that depend on each other, and on this machine."""
        timeout = self.env_step_timeout
        require(self, "env_step_timeout", "it must be above 0", timeout is None or timeout > 0)
        if self.num_actors is not None:
            _check_distributed(self)
        if self.wandb is not None:
            check_wandb(self.wandb)
        check_env_steps(get_agent(self.agent), self.config, self.env_steps)
        _check_number_of_workers(self)
        _check_recorded_files(self)
        try:
            str(self.workdir).encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"TrainConfig.workdir={repr(os.fsencode(self.workdir))[1:]} is not allowed: its "
                "name must be UTF-8, for Reverb and TensorBoard"
            ) from None
        texts = [value for value in self.env_options.values() if isinstance(value, str)]
        run_folder.check_can_be_made(self.workdir, texts)


def check_number(name: str, value: int, at_least: int) -> None:
    """Raises UsageError if a whole number is too small, or too large for a seed."""
    if not at_least <= value < 2**32:
        raise UsageError(f"{name}={value} is not allowed: it must be in [{at_least}, 2**32)")


@functools.cache
def options() -> Mapping[str, Option]:
    """Returns the options by field, in the order of the help."""
    return {
        field.name: field.metadata["option"]
        for field in dataclasses.fields(TrainConfig)
        if "option" in field.metadata
    }


@functools.cache
def _types() -> Mapping[str, Any]:
    hints = typing.get_type_hints(TrainConfig)
    return {name: hints[name] for name in options()}


def paths() -> list[str]:
    """Returns the options that are paths."""
    return [name for name, kind in _types().items() if kind == pathlib.Path | None]


def flags() -> list[str]:
    """Returns the options that are true or false."""
    return [name for name, kind in _types().items() if kind is bool]


def default_of(name: str) -> Any:
    """Returns the default of an option; "auto" where it depends on others."""
    return TrainConfig.__dataclass_fields__[name].default


def goes_with(name: str, other: str) -> str:
    """Returns the error message for an option that would have no effect."""
    return f"TrainConfig.{name} goes with TrainConfig.{other}, which is not given"


def env_step_timeout(value: float | str | None, env_workers: str) -> float | None:
    """Returns the time limit of a step in seconds, None for no limit."""
    if value == AUTO:
        return None if env_workers == "inline" else ENV_STEP_TIMEOUT_SECONDS
    return value


def checkpoint_every(value: int | str | None, env_steps: int) -> int | None:
    """Returns the environment steps between two checkpoints, None for no checkpoints."""
    if value == AUTO:
        return max(10_000, env_steps // 50)
    return value


def check_env_steps(kind: AgentKind, config: AgentConfig, env_steps: int) -> None:
    """Raises UsageError if a run is too short for a first update."""
    needed, minimum = kind.first_env_steps(config), config.replay.min_env_steps
    if env_steps >= needed:
        return
    reason = f"replay.min_env_steps={minimum}, before which nothing is learned"
    if needed > minimum:
        reason = (
            f"{needed}, which is when each of {config.num_environments} environments has a "
            f"sequence of {config.sequence_length} rows to learn from; or give a smaller "
            f"{overrides.SETTINGS}num_environments"
        )
    raise UsageError(
        f"TrainConfig.env_steps={env_steps} is not allowed: it must be at least {reason}"
    )


def _check_distributed(config: TrainConfig) -> None:
    """Checks the options of a distributed run. Nothing is started."""
    if not get_agent(config.agent).can_be_distributed:
        able = [name for name in AGENTS if get_agent(name).can_be_distributed]
        raise UsageError(
            f"TrainConfig.num_actors goes with TrainConfig.agent {' or '.join(able)} only; "
            f"{config.agent} acts and learns in one process"
        )
    number = config.config.num_environments
    allowed = ", ".join(str(n) for n in range(1, number + 1) if number % n == 0)
    require(
        config,
        "num_actors",
        f"the actors share {number} environments evenly, so it must be one of {allowed}; "
        f"{overrides.SETTINGS}num_environments sets their number",
        number % config.num_actors == 0,
    )
    is_known = config.cluster in ("local", "auto")
    require(
        config,
        "cluster",
        "it must be local, auto, or HOST:PORT of a Ray cluster",
        is_known or re.fullmatch(r"[^\s:/]+:\d+", config.cluster),
    )
    from acme_r2i import environments  # imports NumPy

    for name in environments.recording_options(config.env.partition(":")[0]):
        if config.env_options.get(name):
            raise UsageError(
                f"{overrides.SUITE_OPTIONS}{name} does not go with TrainConfig.num_actors: it "
                "records into one file, from one process"
            )


def _check_number_of_workers(config: TrainConfig) -> None:
    """Checks that this machine can have a thread or a process for each environment."""
    if config.env_workers == "inline":
        return
    allowed = 1024
    if config.env_workers == "processes":
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files != resource.RLIM_INFINITY:
            # Three open files for each process, and 128 others.
            allowed = min(allowed, max(1, (files - 128) // 3))
    if config.config.num_environments > allowed:
        raise UsageError(
            f"{overrides.SETTINGS}num_environments={config.config.num_environments} is not "
            f"allowed: with TrainConfig.env_workers {config.env_workers} it must be at most "
            f"{allowed} here; with inline there may be more"
        )


def _check_recorded_files(config: TrainConfig) -> None:
    """Checks that one environment alone writes each file of results."""
    from acme_r2i import environments  # imports NumPy

    files = environments.recorded_files(config.env, config.env_options)
    if files and config.config.num_environments != 1:
        raise UsageError(
            f"{overrides.SETTINGS}num_environments={config.config.num_environments} is not "
            f"allowed: one environment writes {files[0].name}, so it must be 1"
        )


def make_settings(
    preset: str,
    task: str,
    values: Mapping[str, Any] | None = None,
    *,
    agent: str = DEFAULT_AGENT,
    core: str | None = None,
) -> tuple[AgentConfig, dict[str, Any]]:
    """Returns a preset's settings for a task with some fields set, and the values of these.

    The task decides the reward scale, unless there is no task ("") or the preset measures the
    scale while it trains (None). Rewards far from size 1 are hard to learn from: with R2I they fall
    inside one bin of the two-hot code (255 bins on the symlog range [-20, 20] are 0.16 apart); with
    R2D2 they are smaller than the errors of an untrained network.

    Raises:
      UsageError: naming an unknown agent, preset, core or field, or a value that is not allowed.
    """
    _check_name("agent", agent, AGENTS)
    kind = get_agent(agent)
    names = [name.strip() for name in preset.split(",")]
    for name in names:
        if name not in kind.presets and overrides.nearest(name, kind.presets):
            _check_name("preset", name, kind.presets)
    try:
        config = kind.compose(names)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if task and config.reward_scale is not None:
        from acme_r2i import environments  # imports NumPy

        if magnitude := environments.reward_magnitude(task):
            config = dataclasses.replace(config, reward_scale=1.0 / magnitude)
    assignments = {**_core_assignment(kind, core), **(values or {})}
    names = [f"TrainConfig.{name}" for name in options()]
    return overrides.apply_overrides(config, assignments, options=names)


def _core_assignment(kind: AgentKind, core: str | None) -> dict[str, str]:
    """Returns the field that ``core`` stands for, and its value."""
    if core is None:
        return {}
    if not kind.has_core_option:
        owners = [name for name in AGENTS if get_agent(name).has_core_option]
        field = f"{overrides.SETTINGS}{kind.core_field}.kind" if kind.core_field else "none"
        raise UsageError(
            f"TrainConfig.core goes with TrainConfig.agent {' or '.join(owners)} only; the core of "
            f"{kind.name} is {'the field ' if kind.core_field else ''}{field}"
        )
    _check_name("core", core, kind.core_names)
    return {f"{kind.core_field}.kind": core}


def _check_name(what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        close = overrides.nearest(name, known)
        hint = f"did you mean {', '.join(close)}?" if close else f"{what}s: {', '.join(known)}"
        raise UsageError(f"unknown {what} {name!r}; {hint}")


def task_name(env: str | None) -> str:
    """Returns a task's full name, without importing its simulator.

    Raises:
      UsageError: if there is no such task, naming those that are similar.
    """
    if not env:
        raise UsageError("TrainConfig.env is needed, e.g. popgym:RepeatPreviousEasy")
    from acme_r2i import environments  # imports NumPy

    try:
        return environments.validate_name(env)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _new_folder(task: str, seed: int) -> str:
    """Returns a folder under runs/, named after the task, the seed and the time."""
    return f"runs/{re.sub('[^A-Za-z0-9_]', '_', task)}/seed{seed}-{time.strftime('%Y%m%d-%H%M%S')}"
