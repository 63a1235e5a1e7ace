"""`r2i train`: one run."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence

from acme_r2i.agents.registry import AGENT_NAMES, DEFAULT_AGENT, get_agent
from acme_r2i.cli import presets
from acme_r2i.cli.parsing import Parser, path, with_default
from acme_r2i.runs import config_changes, env_options, metrics_logs, options

_DESCRIPTION = """\
Trains an agent on a task; R2I, unless --agent names another. The run's folder gets config.json
(every setting), metrics.jsonl (a line every so many environment steps) and the same in metrics.csv,
episodes.csv (a line an episode), checkpoints/ and, at the end, parameters.npz and summary.json.

The same command with the same folder goes on where the run was left, whatever has ended it. Ctrl-C
and SIGTERM end it with a checkpoint; with more --env-steps, one that is done goes on, too.
"""

_EPILOG = """\
agents:
{agents}

{presets}
  With commas between them they stack: --preset popgym,dreamerv3,small

fields:
  Every field of the settings can be set by its dotted path, on top of the preset:
    --batch_size 8 --behaviour.horizon 10 --world_model.core.layers 3
  Settings that come in kinds change kind, and keep what both kinds have:
    --world_model.core.kind s4d --world_model.latent.kind gaussian
  r2i train --help-fields lists them, for the agent and the preset that are given with it.

environments:
  --env.NAME VALUE sets an option of the task's suite, as with bsuite_vision:
    --env bsuite_vision:catch/0 --env.size 32
  With --env-workers inline, environments are stepped one after another where the agent runs; with
  threads or processes, side by side. One that raises an error begins anew with another seed, its
  episode is dropped, and so it is with a process that dies or takes longer than
  --env-step-timeout. (A thread that hangs cannot be ended, and ends the run.)

many processes:
  With --num-actors N, replay, the learner and N actors are processes of their own, on this machine
  or on a Ray cluster (docs/distributed.md). The learner takes a GPU where there is one, each actor
  and the learner count for a CPU. Actors wait where learning falls behind the train ratio, the
  learner where acting does. What fails is started again: the learner and replay from the last
  checkpoint, an actor with fresh episodes.

going on:
  A run goes on from its last checkpoint that is whole, with the settings it had. With
  --allow-config-change it may have others, where what it has learned and replay still fit them:
    {changeable}
  --checkpoint-every, --keep-checkpoints and more --env-steps need no permission.

examples:
  r2i train --env popgym:RepeatPreviousEasy --env-steps 100000 --seed 0 --workdir runs/first
  r2i train --env bsuite:memory_len/3 --env-steps 50000 --behaviour.entropy_scale 1e-3
  r2i train --agent r2d2 --core lstm --env popgym:RepeatPreviousEasy --trace_length 32

exit code: 0 when the run is done, 1 if it failed (environments too often, updates that are not
finite, a full disk), 2 if the run cannot be, 130 after Ctrl-C, 143 after SIGTERM.
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's parser."""
    train = commands.add_parser(
        "train",
        help="train an agent on a task",
        usage="r2i train --env SUITE:TASK [options] [--FIELD VALUE ...]",
        description=_DESCRIPTION,
        epilog=_EPILOG.format(
            agents="\n".join(f"  {name:<13}{get_agent(name).summary}" for name in AGENT_NAMES),
            changeable=_changeable(),
            presets="\n\n".join(
                f"presets of {name}:\n{presets.describe(name)}" for name in AGENT_NAMES
            ),
        ),
    )
    train.set_defaults(run=run)
    add = train.add_argument
    add("--env", metavar="SUITE:TASK", help="the task, e.g. popgym:RepeatPreviousEasy (needed)")
    add(
        "--env-workers",
        metavar="|".join(options.ENV_WORKERS),
        default=options.ENV_WORKERS[0],
        help=with_default("where environments run"),
    )
    add(
        "--env-step-timeout",
        metavar="SECONDS",
        help="longest that a step or a reset may take, or none (default: "
        f"{options.DEFAULT_ENV_STEP_TIMEOUT:g}; inline: none)",
    )
    add(
        "--env-max-restarts",
        metavar="N",
        default=str(options.DEFAULT_ENV_MAX_RESTARTS),
        help=with_default("how often environments may begin anew after failing, all together"),
    )
    add("--agent", metavar="NAME", default=DEFAULT_AGENT, help=with_default("what to train"))
    add(
        "--core",
        metavar="NAME",
        help=f"sequence core, with --agent r2d2: {', '.join(get_agent('r2d2').core_names)}",
    )
    add(
        "--preset",
        metavar="NAME[,NAME...]",
        default=options.DEFAULT_PRESET,
        help=with_default("named settings"),
    )
    add(
        "--env-steps",
        metavar="N",
        default=str(options.DEFAULT_ENV_STEPS),
        help=with_default("actions to take, over all environments together"),
    )
    add(
        "--seed",
        metavar="N",
        default="0",
        help=with_default("of parameters, actions and environments"),
    )
    add(
        "--workdir",
        type=path,
        metavar="DIR",
        help="folder of the run, new or to go on with (default: a new one under runs/)",
    )
    add(
        "--log-every",
        metavar="N",
        default=str(options.DEFAULT_LOG_EVERY_ENV_STEPS),
        help=with_default("environment steps between two lines of metrics"),
    )
    add(
        "--evaluate-every",
        metavar="N",
        help="environment steps between two evaluations, as r2i evaluate does them, whose lines go "
        "to evaluations.jsonl (default: none)",
    )
    add(
        "--evaluate-episodes",
        metavar="N",
        help=f"episodes of such an evaluation (default: {options.DEFAULT_EVALUATE_EPISODES})",
    )
    add(
        "--evaluate-max-episode-steps",
        metavar="N|none",
        help="steps after which such an episode is cut off "
        f"(default: {options.DEFAULT_MAX_EPISODE_STEPS})",
    )
    add(
        "--checkpoint-every",
        metavar="N|none",
        help="environment steps between two checkpoints (default: a fiftieth of --env-steps, "
        f"{options.CLOSEST_CHECKPOINTS_ENV_STEPS:,} or more)",
    )
    add(
        "--keep-checkpoints",
        metavar="N",
        default=str(options.DEFAULT_KEEP_CHECKPOINTS),
        help=with_default("how many of them are kept"),
    )
    add(
        "--max-skipped-updates",
        metavar="N",
        default=str(options.DEFAULT_MAX_SKIPPED_IN_A_ROW),
        help=with_default("updates in a row that are not finite, and skipped, which end the run"),
    )
    add(
        "--num-actors",
        metavar="N",
        help="act in N processes, learn in another, on Ray; they share the num_environments of the "
        "settings evenly, so N divides it (default: one process does all)",
    )
    add(
        "--cluster",
        metavar="local|auto|HOST:PORT",
        help="where these processes run: on this machine alone, on the Ray cluster of RAY_ADDRESS "
        f"or the one this machine is part of, or on another (default: {options.DEFAULT_CLUSTER})",
    )
    add(
        "--max-staleness",
        metavar="N",
        help="learner steps by which an actor's parameters may be behind before it waits for newer "
        f"ones (default: {options.DEFAULT_MAX_STALENESS})",
    )
    add(
        "--max-restarts",
        metavar="N",
        help="how often each of the processes is started again when it fails, before the run is "
        f"ended (default: {options.DEFAULT_MAX_RESTARTS})",
    )
    add(
        "--allow-config-change",
        action="store_true",
        help="let a run go on with other settings than it had, where they fit",
    )
    add(
        "--tensorboard",
        action="store_true",
        help="write TensorBoard's event files, too, into tensorboard/ of the folder",
    )
    add(
        "--wandb",
        metavar="|".join(metrics_logs.WANDB_MODES),
        help="give the metrics to Weights & Biases, too (default: not)",
    )
    add(
        "--wandb-project",
        metavar="NAME",
        help=f"where they go there (default: {metrics_logs.DEFAULT_WANDB_PROJECT})",
    )
    add("--help-fields", action="store_true", help="show every field and its value, and exit")


def run(typed: argparse.Namespace, fields: list[str]) -> int:
    """Trains, or shows the fields; returns the exit code."""
    if typed.help_fields:
        task = options.task_name(typed.env) if typed.env else ""
        fields, _ = env_options.split(fields)
        config, _ = options.make_config(
            typed.preset, task, fields, agent=typed.agent, core=typed.core
        )
        presets.print_fields(config)
        return 0
    checked = _read(typed, fields)
    from acme_r2i.runs.train import train

    if checked.num_actors is None:
        return train(checked)
    from acme_r2i.distributed.training import train_on_cluster

    return train(checked, train_on_cluster)


def read(arguments: Sequence[str]) -> options.TrainOptions:
    """What the arguments of `r2i train` ask for.

    Raises:
      UsageError: if they cannot be used.
    """
    parser = Parser()
    add(parser.add_subparsers())
    typed, fields = parser.parse_known_args(["train", *arguments])
    return _read(typed, fields)


def _read(typed: argparse.Namespace, fields: list[str]) -> options.TrainOptions:
    return options.make_options(
        env=typed.env,
        agent=typed.agent,
        core=typed.core,
        preset=typed.preset,
        env_steps=typed.env_steps,
        seed=typed.seed,
        workdir=typed.workdir,
        log_every=typed.log_every,
        env_workers=typed.env_workers,
        env_step_timeout=typed.env_step_timeout,
        env_max_restarts=typed.env_max_restarts,
        evaluate_every=typed.evaluate_every,
        evaluate_episodes=typed.evaluate_episodes,
        evaluate_max_episode_steps=typed.evaluate_max_episode_steps,
        checkpoint_every=typed.checkpoint_every,
        keep_checkpoints=typed.keep_checkpoints,
        max_skipped_updates=typed.max_skipped_updates,
        num_actors=typed.num_actors,
        cluster=typed.cluster,
        max_staleness=typed.max_staleness,
        max_restarts=typed.max_restarts,
        allow_config_change=typed.allow_config_change,
        tensorboard=typed.tensorboard,
        wandb=typed.wandb,
        wandb_project=typed.wandb_project,
        fields=fields,
    )


def _changeable() -> str:
    names = [pattern.removeprefix("config.") for pattern in config_changes.CHANGEABLE]
    return textwrap.fill(", ".join(names), 96, break_on_hyphens=False).replace("\n", "\n    ")
