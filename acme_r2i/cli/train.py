"""`r2i train`: one run."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence

from acme_r2i.agents.registry import AGENTS, get_agent
from acme_r2i.cli import parsing, presets
from acme_r2i.cli.parsing import Parser
from acme_r2i.runs import config_json, train_config
from acme_r2i.runs.train_config import TrainConfig

_DESCRIPTION = """\
Trains an agent on a task: R2I, unless --agent names another. Writes into the run's folder:
config.json (every setting), metrics.jsonl (a line every --log-every env steps), episodes.csv (a
line an episode), checkpoints/ and, at the end, parameters.npz and summary.json.

The same command with the same folder resumes the run. Ctrl-C and SIGTERM stop it with a
checkpoint. A finished run continues if --env-steps is larger.
"""

_EPILOG = """\
agents:
{agents}

{presets}
  With commas between them they stack: --preset popgym,dreamerv3,small

fields:
  Every field of the agent's settings can be set by its dotted path, on top of the preset:
    --batch_size 8 --behaviour.horizon 10 --world_model.core.layers 3
  Settings of several kinds change kind and keep the fields that both kinds have:
    --world_model.core.kind s4d --world_model.latent.kind gaussian
  r2i train --help-fields lists the fields of the given agent and preset.

environments:
  --env.NAME VALUE sets an option of the task's suite, as with bsuite_vision:
    --env bsuite_vision:catch/0 --env.size 32
  With --env-workers inline, environments are stepped one after another in the agent's process; with
  threads or processes, in parallel. An environment that raises an error, whose process dies or
  which exceeds --env-step-timeout is restarted with another seed, and its episode is dropped. (A
  thread that hangs cannot be stopped, and stops the run.)

distributed runs:
  With --num-actors N, replay, the learner and N actors are separate processes, on this machine or
  on a Ray cluster (docs/distributed.md). The learner takes a GPU if there is one; each actor and
  the learner reserve one CPU. Actors wait for the learner where it falls behind the train ratio,
  and the learner for them. Failed processes are restarted: the learner and replay from the last
  checkpoint, an actor with fresh episodes.

resuming:
  A run is resumed from its last intact checkpoint, with the settings it had. --allow-config-change
  permits other values of these, where parameters and replay still fit them:
    {changeable}
  --checkpoint-every, --keep-checkpoints and a larger --env-steps need no permission.

examples:
  r2i train --env popgym:RepeatPreviousEasy --env-steps 100000 --seed 0 --workdir runs/first
  r2i train --env bsuite:memory_len/3 --env-steps 50000 --behaviour.entropy_scale 1e-3
  r2i train --agent r2d2 --core lstm --env popgym:RepeatPreviousEasy --trace_length 32

exit code: 0 if the run is done, 1 if it failed (environments failed too often, updates were not
finite, the disk is full), 2 for invalid arguments, 130 after Ctrl-C, 143 after SIGTERM.
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's parser."""
    add = parsing.add_command(
        commands,
        run,
        "train --env SUITE:TASK [options] [--FIELD VALUE ...]",
        "train an agent on a task",
        _DESCRIPTION,
        _EPILOG.format(
            agents="\n".join(f"  {name:<13}{get_agent(name).summary}" for name in AGENTS),
            changeable=_changeable(),
            presets="\n\n".join(f"presets of {name}:\n{presets.describe(name)}" for name in AGENTS),
        ),
    )
    parsing.add_options(add)
    add("--help-fields", action="store_true", help="show every field and its value, and exit")


def run(typed: argparse.Namespace, fields: list[str]) -> int:
    """Trains, or shows the fields; returns the exit code."""
    if typed.help_fields:
        task = train_config.task_name(typed.env) if typed.env else ""
        fields, _ = parsing.split_suite_options(fields)
        config, _ = train_config.make_settings(
            typed.preset or train_config.default_of("preset"),
            task,
            parsing.parse_assignments(fields),
            agent=typed.agent or train_config.default_of("agent"),
            core=typed.core,
        )
        presets.print_fields(config)
        return 0
    config = parsing.read_options(typed, fields)
    from acme_r2i.interface import start

    return start(config)


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
    names = [pattern.removeprefix("config.") for pattern in config_json.changeable()]
    return textwrap.fill(", ".join(names), 96, break_on_hyphens=False).replace("\n", "\n    ")
