"""What is to be trained, checked before anything is imported that takes time to import."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import resource
import time
from collections.abc import Collection, Sequence
from typing import Any

from acme_r2i.agents.common.agent_kind import AgentConfig, AgentKind
from acme_r2i.agents.registry import AGENT_NAMES, DEFAULT_AGENT, get_agent
from acme_r2i.runs import env_options, overrides, run_folder
from acme_r2i.runs.errors import UsageError
from acme_r2i.runs.metrics_logs import DEFAULT_WANDB_PROJECT, check_wandb

DEFAULT_PRESET = "cpu"
DEFAULT_ENV_STEPS = 100_000
DEFAULT_LOG_EVERY_ENV_STEPS = 1000
ENV_WORKERS = ("inline", "threads", "processes")
DEFAULT_ENV_STEP_TIMEOUT = 60.0
DEFAULT_ENV_MAX_RESTARTS = 10
DEFAULT_EVALUATE_EPISODES = 20
# Longer than any episode of the suites, of which Memory Maze's have up to 40,000 steps.
DEFAULT_MAX_EPISODE_STEPS = 100_000
DEFAULT_KEEP_CHECKPOINTS = 2
DEFAULT_MAX_SKIPPED_IN_A_ROW = 10
DEFAULT_CLUSTER = "local"
DEFAULT_MAX_STALENESS = 32
DEFAULT_MAX_RESTARTS = 5
# Threads or processes of environments that a run may have, where the open files are enough.
MOST_WORKERS = 1024
_FILES_OF_A_PROCESS = 3
_OTHER_FILES = 128
# Without a wish, a run has at most so many checkpoints, and none closer together than this.
MOST_CHECKPOINTS = 50
CLOSEST_CHECKPOINTS_ENV_STEPS = 10_000

# The command's options beside the fields of the configuration.
OPTION_NAMES = (
    "env",
    "env-workers",
    "env-step-timeout",
    "env-max-restarts",
    "agent",
    "core",
    "preset",
    "env-steps",
    "seed",
    "workdir",
    "log-every",
    "evaluate-every",
    "evaluate-episodes",
    "evaluate-max-episode-steps",
    "checkpoint-every",
    "keep-checkpoints",
    "max-skipped-updates",
    "num-actors",
    "cluster",
    "max-staleness",
    "max-restarts",
    "allow-config-change",
    "tensorboard",
    "wandb",
    "wandb-project",
    "help",
    "help-fields",
)


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """A run.

    Attributes:
      env: the task's full name, "suite:task".
      agent: name of the agent, one of ``registry.AGENT_NAMES``.
      preset: names of the settings, with commas between them.
      config: the settings, overrides included.
      overrides: value of each field that was set by hand, by dotted path.
      env_steps: actions to take, over all environments together.
      seed: of parameters, actions and environments.
      workdir: folder of the run, an absolute path.
      log_every_env_steps: a line of metrics is due every so many environment steps.
      env_options: of the task's suite, by name.
      env_workers: where the environments run, one of ENV_WORKERS.
      env_step_timeout: seconds that a step or a reset may take; None is without limit.
      env_max_restarts: how often environments that fail may be made anew, all together.
      evaluate_every_env_steps: an evaluation is due every so many environment steps; None for none.
      evaluate_episodes: of an evaluation.
      evaluate_max_episode_steps: where these are cut off, None for nowhere.
      checkpoint_every_env_steps: environment steps between two checkpoints; there is also one when
        the run ends or is ended by a signal. None makes none at all.
      keep_checkpoints: how many are kept.
      max_skipped_in_a_row: updates that are not finite, one right after the other, that end it.
      num_actors: nodes that act, of a run on many processes; None acts and learns in this one.
      cluster: where they run: "local", "auto" or a Ray cluster's address.
      max_staleness: learner steps by which the parameters of an actor may be behind.
      max_restarts: how often each node is started again when it fails.
      allow_config_change: whether a run that is resumed may have other settings than it had.
      tensorboard: whether TensorBoard's event files are written, too.
      wandb: how metrics go to Weights & Biases, one of ``metrics_logs.WANDB_MODES``; None if not.
      wandb_project: where they go there.
    """

    env: str
    agent: str
    preset: str
    config: AgentConfig
    overrides: dict[str, Any]
    env_steps: int
    seed: int
    workdir: pathlib.Path
    log_every_env_steps: int = DEFAULT_LOG_EVERY_ENV_STEPS
    env_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    env_workers: str = ENV_WORKERS[0]
    env_step_timeout: float | None = None
    env_max_restarts: int = DEFAULT_ENV_MAX_RESTARTS
    evaluate_every_env_steps: int | None = None
    evaluate_episodes: int = DEFAULT_EVALUATE_EPISODES
    evaluate_max_episode_steps: int | None = DEFAULT_MAX_EPISODE_STEPS
    checkpoint_every_env_steps: int | None = None
    keep_checkpoints: int = DEFAULT_KEEP_CHECKPOINTS
    max_skipped_in_a_row: int = DEFAULT_MAX_SKIPPED_IN_A_ROW
    num_actors: int | None = None
    cluster: str = DEFAULT_CLUSTER
    max_staleness: int = DEFAULT_MAX_STALENESS
    max_restarts: int = DEFAULT_MAX_RESTARTS
    allow_config_change: bool = False
    tensorboard: bool = False
    wandb: str | None = None
    wandb_project: str = DEFAULT_WANDB_PROJECT


# Options that are there or not, and take no value.
FLAG_NAMES = tuple(
    field.name.replace("_", "-")
    for field in dataclasses.fields(TrainOptions)
    if isinstance(field.default, bool)
)


def make_options(
    *,
    env: str | None,
    agent: str = DEFAULT_AGENT,
    core: str | None = None,
    preset: str = DEFAULT_PRESET,
    env_steps: str = str(DEFAULT_ENV_STEPS),
    seed: str = "0",
    workdir: str | pathlib.Path | None = None,
    log_every: str = str(DEFAULT_LOG_EVERY_ENV_STEPS),
    env_workers: str = ENV_WORKERS[0],
    env_step_timeout: str | None = None,
    env_max_restarts: str = str(DEFAULT_ENV_MAX_RESTARTS),
    evaluate_every: str | None = None,
    evaluate_episodes: str | None = None,
    evaluate_max_episode_steps: str | None = None,
    checkpoint_every: str | None = None,
    keep_checkpoints: str = str(DEFAULT_KEEP_CHECKPOINTS),
    max_skipped_updates: str = str(DEFAULT_MAX_SKIPPED_IN_A_ROW),
    num_actors: str | None = None,
    cluster: str | None = None,
    max_staleness: str | None = None,
    max_restarts: str | None = None,
    allow_config_change: bool = False,
    tensorboard: bool = False,
    wandb: str | None = None,
    wandb_project: str | None = None,
    fields: Sequence[str] = (),
) -> TrainOptions:
    """Checks what was typed and makes options of it. Nothing is written.

    Args:
      env: the task's name.
      agent: the agent's name.
      core: name of its sequence core; None leaves it to preset and fields.
      preset: names of presets, with commas between them.
      env_steps: a whole number.
      seed: a whole number.
      workdir: folder of the run; None chooses one under runs/ that names task, seed and time.
      log_every: a whole number.
      env_workers: one of ENV_WORKERS.
      env_step_timeout: a number of seconds, or "none"; None takes the default of the workers.
      env_max_restarts: a whole number.
      evaluate_every: a whole number; None for no evaluations.
      evaluate_episodes: a whole number; None takes the default.
      evaluate_max_episode_steps: a whole number, or "none"; None takes the default.
      checkpoint_every: a whole number, or "none"; None goes by the length of the run.
      keep_checkpoints: a whole number.
      max_skipped_updates: a whole number.
      num_actors: a whole number; None for a run in one process.
      cluster: "local", "auto" or an address; None takes the default.
      max_staleness: a whole number; None takes the default.
      max_restarts: a whole number; None takes the default.
      allow_config_change: as it is.
      tensorboard: as it is.
      wandb: a mode; None for none.
      wandb_project: a name; None takes the default.
      fields: assignments of fields and of the suite's options, e.g. ["--batch_size", "8",
        "--env.size", "32"].

    Raises:
      UsageError: naming what is wrong, what is allowed, and what is near an unknown name.
    """
    task = task_name(env)
    fields, suite_options = env_options.split(fields)
    config, values = make_config(preset, task, fields, agent=agent, core=core)
    _require(
        "--env-workers",
        repr(env_workers),
        f"it must be one of {', '.join(ENV_WORKERS)}",
        env_workers in ENV_WORKERS,
    )
    steps = whole_number("--env-steps", env_steps, 1)
    options = TrainOptions(
        env=task,
        agent=agent,
        preset=preset,
        config=config,
        overrides=values,
        env_steps=steps,
        seed=whole_number("--seed", seed, 0),
        workdir=overrides.absolute_path(workdir or default_workdir(task, seed)),
        log_every_env_steps=whole_number("--log-every", log_every, 1),
        env_options=env_options.read(task, suite_options),
        env_workers=env_workers,
        env_step_timeout=read_env_step_timeout(env_step_timeout, env_workers),
        env_max_restarts=whole_number("--env-max-restarts", env_max_restarts, 0),
        evaluate_every_env_steps=(
            None if evaluate_every is None else whole_number("--evaluate-every", evaluate_every, 1)
        ),
        evaluate_episodes=whole_number(
            "--evaluate-episodes", evaluate_episodes or str(DEFAULT_EVALUATE_EPISODES), 1
        ),
        evaluate_max_episode_steps=number_or_none(
            "--evaluate-max-episode-steps",
            evaluate_max_episode_steps or str(DEFAULT_MAX_EPISODE_STEPS),
        ),
        checkpoint_every_env_steps=read_checkpoint_every(checkpoint_every, steps),
        keep_checkpoints=whole_number("--keep-checkpoints", keep_checkpoints, 1),
        max_skipped_in_a_row=whole_number("--max-skipped-updates", max_skipped_updates, 1),
        num_actors=None if num_actors is None else whole_number("--num-actors", num_actors, 1),
        cluster=cluster or DEFAULT_CLUSTER,
        max_staleness=whole_number(
            "--max-staleness", max_staleness or str(DEFAULT_MAX_STALENESS), 0
        ),
        max_restarts=whole_number("--max-restarts", max_restarts or str(DEFAULT_MAX_RESTARTS), 0),
        allow_config_change=allow_config_change,
        tensorboard=tensorboard,
        wandb=wandb,
        wandb_project=wandb_project or DEFAULT_WANDB_PROJECT,
    )
    for name, value in (
        ("--cluster", cluster),
        ("--max-staleness", max_staleness),
        ("--max-restarts", max_restarts),
    ):
        _check_goes_with(name, value, "--num-actors", num_actors)
    if options.num_actors is not None:
        _check_can_be_distributed(options)
    for name, value in (
        ("--evaluate-episodes", evaluate_episodes),
        ("--evaluate-max-episode-steps", evaluate_max_episode_steps),
    ):
        _check_goes_with(name, value, "--evaluate-every", evaluate_every)
    _check_goes_with("--wandb-project", wandb_project, "--wandb", wandb)
    if wandb is not None:
        check_wandb(wandb)
    check_env_steps(get_agent(agent), config, options.env_steps)
    _check_number_of_workers(options)
    _check_one_environment_records(options)
    _check_is_utf8(options.workdir)
    texts = [value for value in options.env_options.values() if isinstance(value, str)]
    run_folder.check_can_be_made(options.workdir, texts)
    return options


def _check_is_utf8(workdir: pathlib.Path) -> None:
    try:
        str(workdir).encode()
    except UnicodeEncodeError:
        name = repr(os.fsencode(workdir))[1:]
        raise UsageError(
            f"--workdir={name} is not allowed: its name must be UTF-8, for Reverb and TensorBoard"
        ) from None


def check_env_steps(kind: AgentKind, config: AgentConfig, env_steps: int) -> None:
    """Checks whether a run is long enough to learn anything.

    Raises:
      UsageError: if it is not.
    """
    needed, minimum = kind.first_env_steps(config), config.replay.min_env_steps
    reason = f"replay.min_env_steps={minimum}, before which nothing is learned"
    if needed > minimum:
        reason = (
            f"{needed}, which is when each of {config.num_environments} environments has a "
            f"sequence of {config.sequence_length} rows to learn from; or give a smaller "
            "--num_environments"
        )
    _require("--env-steps", env_steps, f"it must be at least {reason}", env_steps >= needed)


def _check_can_be_distributed(options: TrainOptions) -> None:
    """Checks what `--num-actors` goes together with. Nothing is started."""
    if not get_agent(options.agent).can_be_distributed:
        able = [name for name in AGENT_NAMES if get_agent(name).can_be_distributed]
        raise UsageError(
            f"--num-actors goes with --agent {' or '.join(able)} only; {options.agent} acts and "
            "learns in one process"
        )
    environments = options.config.num_environments
    if environments % options.num_actors:
        allowed = [n for n in range(1, environments + 1) if environments % n == 0]
        raise UsageError(
            f"--num-actors={options.num_actors} is not allowed: the actors share "
            f"{environments} environments evenly, so it must be one of "
            f"{', '.join(map(str, allowed))}; --num_environments changes how many there are"
        )
    if options.cluster not in ("local", "auto") and not re.fullmatch(
        r"[^\s:/]+:\d+", options.cluster
    ):
        raise UsageError(
            f"--cluster={options.cluster} is not allowed: it must be local, auto, or HOST:PORT of "
            "a Ray cluster"
        )
    from acme_r2i import environments as environments_lib  # imports NumPy

    recording = environments_lib.recording_options(options.env.partition(":")[0])
    for name in recording:
        if options.env_options.get(name):
            raise UsageError(
                f"--env.{name} does not go with --num-actors: it records into one file, from one "
                "process"
            )


def _check_number_of_workers(options: TrainOptions) -> None:
    """Checks whether this machine can have a thread or a process for each environment."""
    if options.env_workers == "inline":
        return
    number, allowed = options.config.num_environments, MOST_WORKERS
    if options.env_workers == "processes":
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files != resource.RLIM_INFINITY:
            allowed = min(allowed, max(1, (files - _OTHER_FILES) // _FILES_OF_A_PROCESS))
    _require(
        "--num_environments",
        number,
        f"with --env-workers {options.env_workers} it must be at most {allowed} here; with inline "
        "there may be more",
        number <= allowed,
    )


def _check_one_environment_records(options: TrainOptions) -> None:
    """Checks whether one environment alone would write each file of results."""
    from acme_r2i import environments  # imports NumPy

    files = environments.recorded_files(options.env, options.env_options)
    if files:
        number = options.config.num_environments
        allowed = f"one environment writes {files[0].name}, so it must be 1"
        _require("--num_environments", number, allowed, number == 1)


def _check_goes_with(name: str, value: str | None, other: str, other_value: str | None) -> None:
    """Checks that an option is not given which would do nothing."""
    if value is not None and other_value is None:
        raise UsageError(f"{name} goes with {other}, which is not given")


def whole_number(name: str, text: str, minimum: int) -> int:
    """Reads an option; numbers from 2**32 on are no seeds, and nothing else needs them.

    Raises:
      UsageError: if it is no whole number in [minimum, 2**32).
    """
    value = overrides.convert(name, text, int)
    _require(name, value, f"it must be in [{minimum}, 2**32)", minimum <= value < 2**32)
    return value


def number_or_none(name: str, text: str) -> int | None:
    """Reads an option that is a whole number above 0, or "none"; see ``whole_number``."""
    return None if text.lower() == "none" else whole_number(name, text, 1)


def read_env_step_timeout(text: str | None, env_workers: str) -> float | None:
    """The seconds of `--env-step-timeout`; inline, a limit that nobody asked for would be slow."""
    if text is None:
        return None if env_workers == "inline" else DEFAULT_ENV_STEP_TIMEOUT
    seconds = overrides.convert("--env-step-timeout", text, float | None)
    _require("--env-step-timeout", seconds, "it must be above 0", seconds is None or seconds > 0)
    return seconds


def read_checkpoint_every(text: str | None, env_steps: int) -> int | None:
    """The steps of `--checkpoint-every`; by default few enough to cost a long run little."""
    if text is None:
        return max(CLOSEST_CHECKPOINTS_ENV_STEPS, env_steps // MOST_CHECKPOINTS)
    return number_or_none("--checkpoint-every", text)


def make_config(
    preset: str,
    task: str,
    fields: Sequence[str] = (),
    *,
    agent: str = DEFAULT_AGENT,
    core: str | None = None,
) -> tuple[AgentConfig, dict[str, Any]]:
    """Returns a preset's settings for a task with some fields set, and the values of these.

    The task decides one thing, the reward scale: with R2I, a reward far from size 1 falls inside
    one bin of the two-hot code (255 bins on the symlog range [-20, 20] are 0.16 apart), and what
    there is to learn from it fades; with R2D2, its loss drowns in what the network gets wrong
    anyway. Without a task ("") it stays at the preset's; so does None, the running size.
    """
    _check_name("agent", agent, AGENT_NAMES)
    kind = get_agent(agent)
    names = [name.strip() for name in preset.split(",")]
    for name in names:
        if name not in kind.presets and overrides.nearest(name, kind.presets):
            _check_name("preset", name, kind.presets)
    try:
        config = kind.compose(names)
    except ValueError as error:
        raise UsageError(str(error)) from None
    magnitude = _reward_magnitude(task) if task else None
    if magnitude and config.reward_scale is not None:
        config = dataclasses.replace(config, reward_scale=1.0 / magnitude)
    assignments = {**_core_assignment(kind, core), **overrides.parse_assignments(fields)}
    return overrides.apply_overrides(config, assignments, options=OPTION_NAMES)


def _core_assignment(kind: AgentKind, core: str | None) -> dict[str, str]:
    """What `--core NAME` says, as the field it stands for."""
    if core is None:
        return {}
    if not kind.has_core_option:
        owners = [f"--agent {name}" for name in AGENT_NAMES if get_agent(name).has_core_option]
        raise UsageError(
            f"--core goes with {' or '.join(owners)} only; the core of --agent {kind.name} is "
            + (f"the field --{kind.core_field}.kind" if kind.core_field else "none")
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
      UsageError: if there is no such task, naming those near.
    """
    if not env:
        raise UsageError("--env is needed, e.g. --env popgym:RepeatPreviousEasy")
    from acme_r2i import environments  # imports NumPy

    try:
        return environments.validate_name(env)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _reward_magnitude(task: str) -> float | None:
    from acme_r2i import environments  # imports NumPy

    return environments.reward_magnitude(task)


def default_workdir(task: str, seed: str) -> str:
    """A folder under runs/ of a task, a seed and a moment."""
    return f"runs/{re.sub('[^A-Za-z0-9_]', '_', task)}/seed{seed}-{time.strftime('%Y%m%d-%H%M%S')}"


def _require(name: str, value: Any, allowed: str, holds: bool) -> None:
    if not holds:
        raise UsageError(f"{name}={value} is not allowed: {allowed}")
