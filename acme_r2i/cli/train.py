"""`r2i train`: one run."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence

from acme_r2i.agents.registry import AGENT_NAMES, get_agent
from acme_r2i.cli import parsing, presets
from acme_r2i.cli.parsing import Parser
from acme_r2i.runs import config_changes, env_options, overrides, train_config
from acme_r2i.runs.train_config import TrainConfig

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
    parsing.add_options(train)
    add = train.add_argument
    add("--help-fields", action="store_true", help="show every field and its value, and exit")


def run(typed: argparse.Namespace, fields: list[str]) -> int:
    """Trains, or shows the fields; returns the exit code."""
    if typed.help_fields:
        task = train_config.task_name(typed.env) if typed.env else ""
        fields, _ = env_options.split(fields)
        config, _ = train_config.make_settings(
            typed.preset or train_config.default_of("preset"),
            task,
            overrides.parse_assignments(fields),
            agent=typed.agent or train_config.default_of("agent"),
            core=typed.core,
        )
        presets.print_fields(config)
        return 0
    config = parsing.read_options(typed, fields)
    from acme_r2i.runs.train import train

    if config.num_actors is None:
        return train(config)
    from acme_r2i.distributed.training import train_on_cluster

    return train(config, train_on_cluster)


def read(arguments: Sequence[str]) -> TrainConfig:
    """Returns what the arguments of `r2i train` ask for.

    Raises:
      UsageError: if they cannot be used.
    """
    parser = Parser()
    add(parser.add_subparsers())
    typed, fields = parser.parse_known_args(["train", *arguments])
    return parsing.read_options(typed, fields)


def _changeable() -> str:
    names = [pattern.removeprefix("config.") for pattern in config_changes.changeable()]
    return textwrap.fill(", ".join(names), 96, break_on_hyphens=False).replace("\n", "\n    ")
